# SPDX-License-Identifier: Apache-2.0
"""Other stores' interfaces over a Cenote pool, so that code written for them runs unchanged."""
