# SPDX-License-Identifier: Apache-2.0
"""vLLM's secondary tier beneath its OffloadingConnector. Checked against vLLM 0.33.0.

    --kv-transfer-config '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both",
        "kv_connector_extra_config": {"spec_name": "TieringOffloadingSpec",
            "cpu_bytes_to_use": 10737418240,
            "secondary_tiers": [{"type": "CenoteTier", "module_path": "cenote.adapters.vllm_tier",
                "meta": "unix:/run/cenote/control"}]}}'

Its caller is the scheduler's thread, which must never wait: what is there is asked in a thread, one
question a step, and chunks travel in libcenote's background, straight from and into the primary
tier's memory. A lookup that isn't answered soon is a miss. Importing this module needs vLLM.
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import time
import typing

from vllm.v1.kv_offload.base import Locality, LookupResult, Medium, RequestOffloadingContext
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager

from .. import errors
from ..records import BATCH_MAX, milliseconds
from .calls import STORED, TIMEOUT_SECONDS, Calls
from .link import LOGGER, Link
from .lookups import Lookups

__all__ = ["CenoteTier"]

DEADLINE_SECONDS = 10.0
LOOKUP_SECONDS = 0.5
DRAIN_MAX = 256
DRAIN_WAIT_MS = 100
CLOSED = int(errors.Status.CLOSED)


def _identity(spec, chunk_bytes: int) -> str:
    """Names the model, and the form of chunks: engines that agree in it share them."""
    config = spec.config
    parallel = config.parallel
    alike = parallel.is_parallelism_agnostic or config.replicated_layout
    ranks = [] if alike else [getattr(parallel, f"{name}_size")
                              for name in ("tp", "pp", "pcp", "dcp")]
    form = [config.model.name, str(config.model.dtype), config.cache.tokens_per_hash,
            config.cache.blocks_per_chunk, ranks, config.replicated_layout, config.canonical_layout,
            config.kv_cache_layout, chunk_bytes,
            [[group.tokens_per_block, list(group.layer_names)] for group in config.groups]]
    digest = hashlib.sha256(json.dumps(form).encode()).hexdigest()[:24]
    return f"vllm/{config.model.name.strip('/').replace('/', '-')[-200:]}/{digest}/"


class _Job:
    """One of vLLM's jobs, as one or more of libcenote's."""

    def __init__(self, number: int, keys: list[bytes], is_load: bool):
        self.number = number
        self.keys = keys
        self.is_load = is_load
        self.done = [False] * len(keys)
        self.parts_left = 1  # the one that submits the others
        self.begin = time.monotonic()


class CenoteTier(SecondaryTierManager):
    """The class that vLLM loads. Parameters are those of `cenote.Client`, `ttl` and `pin` of its
    puts, `deadline` (seconds after which a load or store ends as failed), `lookup_deadline`
    (seconds after which a lookup is a miss), `prefix` of all keys, and vLLM's `locality`.

    `counters` tells of chunks: gets, hits, misses, puts, dropped_puts; and of late_lookups,
    outages, refused_in_outage, failed_calls."""

    medium = Medium.STORAGE
    cache_hit_source = SecondaryTierManager.cache_hit_source  # no disk

    def __init__(self, offloading_spec, primary_kv_view: memoryview, tier_type: str,
                 backpressure_detector=None, *, locality: str | None = None,
                 deadline: float = DEADLINE_SECONDS, lookup_deadline: float = LOOKUP_SECONDS,
                 prefix: str = "", **options):
        super().__init__(offloading_spec, primary_kv_view, tier_type, backpressure_detector)
        if locality is not None:
            self.locality = Locality(locality)
        if primary_kv_view.readonly or not primary_kv_view.c_contiguous:
            raise ValueError("the primary tier's memory isn't contiguous, or is read-only")
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(primary_kv_view))
        self._chunk_bytes = primary_kv_view.strides[0]
        self._chunks = len(primary_kv_view)
        self._deadline_ms = milliseconds(deadline)
        self._start = prefix + _identity(offloading_spec, self._chunk_bytes)
        self._link = Link(**{"timeout": TIMEOUT_SECONDS, **options})
        self._calls = Calls(self._link)
        self._lookups = Lookups(self._link, self._calls, self._name, lookup_deadline)
        self._flying: dict[int, _Job] = {}
        self._finished: list[JobResult] = []
        self._link.when_reached(lambda handle: self._calls.guarded(
            "registering the primary tier", lambda: handle.register(primary_kv_view), None))

    @property
    def counters(self) -> typing.Counter[str]:
        """What has happened so far."""
        return self._link.counters

    def _name(self, key: bytes) -> str:
        return self._start + key.hex()

    # ---- what is there

    def lookup(self, key: bytes, req_context) -> LookupResult:
        """Is a chunk there? RETRY until the answer has come."""
        found = self._calls.guarded("a lookup", lambda: self._lookups.lookup(
            key, req_context.req_id), False)
        if found is None:
            return LookupResult.RETRY
        return LookupResult.HIT if found else LookupResult.MISS

    def on_new_request(self, req_context) -> RequestOffloadingContext:
        """Chunks are taken as they come."""
        return RequestOffloadingContext()

    def on_schedule_end(self, context) -> None:
        """Asks for what the step's lookups were about."""
        self._lookups.flush()

    def on_request_finished(self, req_context) -> None:
        """Forgets the answers to a request."""
        self._lookups.forget(req_context.req_id)

    # ---- chunks between the primary tier and Cenote

    def submit_store(self, job_metadata) -> None:
        """Stores chunks, or drops them; those that are there count as stored."""
        self._submit(job_metadata, False)

    def submit_load(self, job_metadata) -> None:
        """Fetches chunks."""
        self._submit(job_metadata, True)

    def _submit(self, order, is_load: bool) -> None:
        """Never waits, and never raises."""
        job = _Job(order.job_id, list(order.keys), is_load)
        self._link.count("gets" if is_load else "puts", len(job.keys))
        self._flying[job.number] = job
        self._calls.ask("submitting a job", lambda handle: self._begin(handle, job, order), None)
        self._end_part(job, 0, [])

    def _begin(self, handle, job: _Job, order) -> None:
        names = [self._name(key) for key in job.keys]
        memory = self._memory(order.chunk_ids)
        if len(memory) != len(names):
            raise ValueError(f"{len(names)} keys, but {len(memory)} chunks")
        for at in range(0, len(names), BATCH_MAX):
            part = slice(at, at + BATCH_MAX)
            job.parts_left += 1
            try:
                if job.is_load:
                    handle.submit_get(names[part], memory[part], self._deadline_ms, (job, at))
                else:
                    handle.submit_put(names[part], memory[part], 0, self._deadline_ms, (job, at),
                                      self._link.policy)
            except BaseException:
                job.parts_left -= 1
                raise

    def _memory(self, chunk_ids) -> list[tuple[int, int]]:
        numbers = [int(number) for number in chunk_ids]
        if self._primary_kv_view.nbytes and numbers and not \
                0 <= min(numbers) <= max(numbers) < self._chunks:
            raise ValueError(f"chunks {min(numbers)} to {max(numbers)} of {self._chunks}")
        return [(self._address + number * self._chunk_bytes, self._chunk_bytes)
                for number in numbers]

    def _end_part(self, job: _Job, at: int, results: list[int]) -> None:
        for i, result in enumerate(results, at):
            job.done[i] = result == self._chunk_bytes if job.is_load else result in STORED
        self._link.note(r for r in results if r < 0)
        job.parts_left -= 1
        if job.parts_left == 0 and self._flying.pop(job.number, None) is not None:
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        good = [key for key, ok in zip(job.keys, job.done, strict=True) if ok]
        lost = [key for key, ok in zip(job.keys, job.done, strict=True) if not ok]
        if job.is_load:
            self._link.count("hits", len(good))
            self._link.count("misses", len(lost))
            self._lookups.miss(lost)  # or they would be loaded again and again
        else:
            self._link.count("dropped_puts", len(lost))
        self._finished.append(JobResult(
            job_id=job.number, success=not lost,
            successful_keys=tuple(good) if job.is_load and lost and good else None,
            transfer_time=time.monotonic() - job.begin,
            transfer_bytes=len(good) * self._chunk_bytes))

    def _drain(self, wait_ms: int) -> None:
        """Takes what has landed."""
        handle = self._link.raw_handle()
        while self._flying and handle is not None:
            try:
                landed = handle.drain(DRAIN_MAX, wait_ms)
            except errors.CenoteError as error:  # closed: nothing is under way any more
                LOGGER.info("jobs given up: %d; %s", len(self._flying), error)
                for job in list(self._flying.values()):
                    job.parts_left = 1
                    self._end_part(job, 0, [])
                return
            for _, (job, at), _, results, _ in landed:
                self._end_part(job, at, results)
            if len(landed) < DRAIN_MAX:
                return

    def get_finished_jobs(self) -> list[JobResult]:
        """Jobs that have ended since; vLLM may use their memory again."""
        self._drain(0)
        finished, self._finished = self._finished, []
        return finished

    def drain_jobs(self) -> None:
        """Waits until all jobs have ended: no longer than their deadline."""
        while self._flying:
            self._drain(DRAIN_WAIT_MS)

    def shutdown(self) -> None:
        """Ends the session; nothing touches the primary tier's memory any more."""
        self._link.close()  # what still waits fails at once
        self._lookups.close()
        self._drain(0)
