# SPDX-License-Identifier: Apache-2.0
"""SGLang's own storage controller over the backend, against the pool at $CENOTE_META: it makes the
backend by its factory from the configuration, and its threads back pages of its host pool up and
prefetch them, for an engine that comes later, too.

Its constructors want a device and its process groups; so the controller and the pool are made
without them, with what the storage paths use. Run by test_sglang.py with SGLang importable; prints
its version and "passed".
"""
import hashlib
import sys
import threading
import types
from importlib.metadata import version
from unittest import mock

import torch
from sglang.srt.managers import cache_controller
from sglang.srt.managers.cache_controller import HiCacheController
from sglang.srt.mem_cache.pool_host.mha import MHATokenToKVPoolHost

PAGE, PAGES, SECONDS = 4, 300, 60
EXTRA = {"backend_name": "cenote", "module_path": "cenote.adapters.sglang_hicache",
         "class_name": "CenoteHiCacheStorage"}
PARALLEL = types.SimpleNamespace(attn_dcp_size=1, attn_dcp_rank=0, tp_rank=0, tp_size=1, pp_rank=0,
                                 pp_size=1, attn_tp_rank=0, attn_tp_size=1, attn_dp_rank=0)


def hashes_of(tokens, last_hash, page_size):
    """In the place of SGLang's, for which it compiles an extension."""
    assert last_hash is None
    return [hashlib.sha256(str(tokens[:end]).encode()).hexdigest()
            for end in range(page_size, len(tokens) + 1, page_size)]


def pool_of(layout):
    """SGLang's host pool, with memory that isn't pinned."""
    pool = object.__new__(MHATokenToKVPoolHost)
    pool.__dict__.update(layout=layout, dtype=torch.bfloat16, head_dim=8, v_head_dim=8, head_num=2,
                         layer_num=3, page_size=PAGE, page_num=PAGES, size=PAGE * PAGES, dcp_size=1,
                         device="cpu", pin_memory=False, pool_label="kv")
    dims = {"page_first": (2, PAGE * PAGES, 3, 2, 8), "layer_first": (2, 3, PAGE * PAGES, 2, 8),
            "page_first_direct": (2, PAGES, 3, PAGE, 2, 8)}[layout]
    pool.kv_buffer = torch.zeros(dims, dtype=torch.bfloat16)
    return pool


def controller_of(pool, extra):
    """SGLang's controller, as far as its storage goes; attached to the backend."""
    made = object.__new__(HiCacheController)
    made.__dict__.update(
        mem_pool_host=pool, storage_host_pool=pool, mem_pool_device=object(), page_size=PAGE,
        tp_group=None, attn_cp_group=None, attn_tp_group=None, pp_group=None, enable_storage=False,
        enable_storage_metrics=True, host_memory_mode="cache", storage_backend=None,
        storage_stop_event=threading.Event())
    made.attach_storage_backend("dynamic", model_name="org/model",
                                storage_backend_extra_config={**EXTRA, **extra})
    return made


def drive(layout, extra):
    """What the scheduler asks of the controller."""
    tokens = list(range(1, PAGE * PAGES + 1))
    hashes = hashes_of(tokens, None, PAGE)
    first, second = pool_of(layout), pool_of(layout)
    first.kv_buffer.view(torch.int16).random_(1, 1000)
    order = torch.arange(PAGE * PAGES)
    controller = controller_of(first, extra)
    controller.write_storage(order[:PAGE * 290], tokens[:PAGE * 290], hashes[:290])
    done = controller.ack_backup_queue.get(timeout=SECONDS)
    assert done.completed_tokens == PAGE * 290, done.completed_tokens
    assert controller.storage_backend.counters["dropped_puts"] == 0
    controller.detach_storage_backend()

    controller = controller_of(second, extra)
    controller.prefetch("request", tokens)
    operation = controller.prefetch_hit_queue.get(timeout=SECONDS)
    assert operation.storage_hit_count == PAGE * 290, operation.storage_hit_count
    operation.host_indices = order.view(PAGES, PAGE).flip(0).flatten()[:PAGE * 290]
    controller.prefetch_buffer.put(operation)
    tokens_there = []
    while not (ack := controller.ack_prefetch_queue.get(timeout=SECONDS)).completed_req:
        tokens_there.append(ack.completed_tokens)
    assert tokens_there == [PAGE * 128, PAGE * 256, PAGE * 290], tokens_there
    for page in (0, 7, 289):
        assert torch.equal(second.get_data_page((PAGES - 1 - page) * PAGE).view(torch.int16),
                           first.get_data_page(page * PAGE).view(torch.int16)), page
    assert controller.storage_backend.get_stats() is not None
    controller.storage_backend.clear()
    assert controller.storage_backend.batch_exists(hashes) == 0
    controller.detach_storage_backend()


def main():
    with mock.patch.object(cache_controller, "get_parallel", lambda: PARALLEL), \
            mock.patch.object(cache_controller, "is_dp_attention_enabled", lambda: False), \
            mock.patch.object(cache_controller, "get_storage_hash_str", hashes_of):
        for layout in ("page_first", "page_first_direct", "layer_first"):
            drive(layout, {"interface_v1": 1})
        drive("page_first", {})
    print(f"SGLang {version('sglang')}, torch {torch.__version__}: passed")


if __name__ == "__main__":
    sys.exit(main())
