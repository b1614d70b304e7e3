# SPDX-License-Identifier: Apache-2.0
"""vLLM's own tiering manager over the tier, against the pool at $CENOTE_META: its factories make
the spec, the primary tier and the tier as from the configuration, and an engine's calls of a few
steps store chunks, evict them, and find them again, the same and another engine's.

Run by test_vllm.py with vLLM importable; prints its version and "passed".
"""
import sys
import time
import uuid

from importlib.metadata import version

import torch
from vllm.v1.kv_offload import config as of
from vllm.v1.kv_offload.base import LookupResult, ReqContext, ScheduleEndContext, make_offload_key
from vllm.v1.kv_offload.factory import OffloadingSpecFactory
from vllm.v1.kv_offload.tiering.manager import TieringOffloadingManager

BLOCK_BYTES, CHUNKS, SECONDS = 1 << 16, 16, 30
EXTRA = {"spec_name": "TieringOffloadingSpec", "cpu_bytes_to_use": BLOCK_BYTES * CHUNKS,
         "secondary_tiers": [{"type": "CenoteTier", "module_path": "cenote.adapters.vllm_tier",
                              "lookup_deadline": SECONDS, "locality": "REMOTE"}]}


class Engine:
    """A scheduler's side, and the copies that workers would make."""

    def __init__(self, model="org/model"):
        self.spec = OffloadingSpecFactory.create_spec(of.OffloadingConfig(
            groups=(of.OffloadingGroupConfig(16, ("layer.0", "layer.1"), 0),),
            worker_kv_bytes_per_block=BLOCK_BYTES, enable_kv_cache_events=False,
            extra_config=EXTRA, engine_id=f"cenote-{uuid.uuid4().hex}",
            model=of.OffloadingModelConfig(model, "bfloat16"),
            cache=of.OffloadingCacheConfig(16, 1),
            parallel=of.OffloadingParallelConfig(0, 1, 1, 1, 1, 1, 0, 1, None, True)))
        self.manager = self.spec.get_manager()
        assert isinstance(self.manager, TieringOffloadingManager)
        (self.tier,) = self.manager.secondary_tiers
        self.memory = self.spec._scheduler_mmap.base_tensor.view(CHUNKS, BLOCK_BYTES)
        self.new = []

    def step(self):
        self.manager.on_schedule_end(ScheduleEndContext(tuple(self.new), ()))
        self.new = []
        time.sleep(0.001)

    def begin(self):
        request = ReqContext(uuid.uuid4().hex)
        self.manager.on_new_request(request)
        self.new.append(request.req_id)
        return request

    def store(self, keys, seed):
        request = self.begin()
        output = self.manager.prepare_store(keys, request)
        assert output.keys_to_store == keys, output
        for i, chunk in enumerate(output.store_spec.chunk_ids):
            self.memory[int(chunk)] = torch.full((BLOCK_BYTES,), seed + i, dtype=torch.int8)
        self.manager.complete_store(keys, request, True)
        self.manager.on_request_finished(request)
        self.settle()

    def settle(self):
        end = time.monotonic() + SECONDS
        while self.manager.has_pending_work():
            assert time.monotonic() < end, "work that never ends"
            self.step()

    def find(self, keys):
        """What is there of each, as long as it takes to know."""
        request, end, found = self.begin(), time.monotonic() + SECONDS, {}
        while True:
            assert time.monotonic() < end, found
            found = {key: self.manager.lookup(key, request) for key in keys}
            if not {LookupResult.RETRY, LookupResult.HIT_PENDING} & set(found.values()):
                break
            self.step()
        hits = [key for key in keys if found[key] is LookupResult.HIT]
        chunks = self.manager.prepare_load(hits, request).chunk_ids if hits else []
        values = [self.memory[int(chunk)].clone() for chunk in chunks]
        self.manager.complete_load(hits, request)
        self.manager.on_request_finished(request)
        self.settle()
        return hits, values


def main():
    keys = [make_offload_key(bytes([i]) * 32, 0) for i in range(8)]
    first = Engine()
    first.store(keys[:6], 1)
    first.manager.reset_cache()
    first.manager.on_reset_flushed()
    second, other = Engine(), Engine("other")
    for engine, wanted in ((first, keys[:6]), (second, keys[:6]), (other, [])):
        hits, values = engine.find(keys)
        assert hits == wanted, hits
        assert all(bool((value == i).all()) for i, value in enumerate(values, 1))
        stats = engine.manager.get_stats()
        assert stats is not None
    counters = second.tier.counters
    assert (counters["hits"], counters["misses"], second.tier.locality.value) == (6, 0, "REMOTE")
    hits, _ = second.find(keys[:6])  # from the primary tier
    assert len(hits) == 6 and counters["gets"] == 6
    for engine in (first, second, other):
        engine.memory = None
        engine.manager.shutdown()
    print(f"vLLM {version('vllm')}, torch {torch.__version__}: passed")


if __name__ == "__main__":
    sys.exit(main())
