# SPDX-License-Identifier: Apache-2.0
"""The version, which is that of the library inside."""
from ._cenote import version

__version__ = version()
