# SPDX-License-Identifier: Apache-2.0
"""Tells vllm-ascend of the backend "cenote". vLLM calls register() in each of its processes, by the
entry point of this package's wheel; without the wheel call it yourself before the engine starts.

vllm-ascend copies layer by layer into shared memory only with the backend "memcache". Where
CENOTE_ASCEND_AS is "memcache", that name means this backend, too."""
from __future__ import annotations

import importlib
import importlib.util
import os

STORE = "vllm_ascend.distributed.kv_transfer.kv_pool.ascend_store.backend"


def register() -> None:
    """Adds the backend, if vllm-ascend is there."""
    if importlib.util.find_spec("vllm_ascend") is None:
        return
    backends = importlib.import_module(STORE).backend_map
    for name in {"cenote", os.environ.get("CENOTE_ASCEND_AS") or "cenote"}:
        backends[name] = {"name": "CenoteBackend", "path": "cenote.adapters.ascend_store"}
