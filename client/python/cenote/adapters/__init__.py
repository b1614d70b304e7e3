# SPDX-License-Identifier: Apache-2.0
"""Adapters for serving engines, a module each, named for the release it was checked against.

In all of them an outage is a miss or a dropped put, and is counted; no exception reaches an
engine's thread for it, and nothing waits where the engine must not wait.
"""
