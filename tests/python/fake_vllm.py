# SPDX-License-Identifier: Apache-2.0
"""As much of vLLM's own side as its secondary tiers see, for the tests: the base classes, a primary
tier, and the scheduler's loop over both. `install()` puts the classes where vLLM would be."""
import dataclasses
import enum
import itertools
import mmap
import sys
import time
import types

CHUNK_BYTES = 8192


class Locality(enum.Enum):
    LOCAL = "LOCAL"
    REMOTE = "REMOTE"


class Medium(enum.Enum):
    CPU = "CPU"
    STORAGE = "STORAGE"


class LookupResult(enum.Enum):
    MISS = enum.auto()
    HIT = enum.auto()
    HIT_PENDING = enum.auto()
    RETRY = enum.auto()


class RequestOffloadingContext:
    pass


@dataclasses.dataclass
class TransferJob:
    job_id: int
    keys: list
    chunk_ids: list
    is_promotion: bool
    req_context: object


@dataclasses.dataclass
class JobResult:
    job_id: int
    success: bool
    successful_keys: tuple = None
    transfer_time: float = None
    transfer_bytes: int = None


class SecondaryTierManager:
    """The base class of tiers."""

    cache_hit_source = "external"

    def __init__(self, offloading_spec, primary_kv_view, tier_type, backpressure_detector=None):
        self._primary_kv_view = primary_kv_view
        self.tier_type = tier_type
        self.locality = None


def spec(model="org/model", layers=("a", "b"), tp_size=1, agnostic=False, layout="NHD"):
    """What a tier is told of its engine."""
    ns = types.SimpleNamespace
    return ns(config=ns(
        model=ns(name=model, dtype="bfloat16"), kv_cache_layout=layout, replicated_layout=False,
        cache=ns(tokens_per_hash=16, blocks_per_chunk=1), canonical_layout=False,
        groups=(ns(tokens_per_block=16, layer_names=layers),),
        parallel=ns(tp_size=tp_size, pp_size=1, pcp_size=1, dcp_size=1,
                    is_parallelism_agnostic=agnostic)))


class Primary:
    """The primary tier: chunks of one memory, pinned while a job is at them."""

    def __init__(self, chunks, chunk_bytes=CHUNK_BYTES):
        self.memory = mmap.mmap(-1, chunks * chunk_bytes)
        self.view = memoryview(self.memory).cast("b", (chunks, chunk_bytes))
        self.chunk_bytes = chunk_bytes
        self.free = list(range(chunks))
        self.chunk_of = {}  # keys that are ready
        self.pins = {}

    def chunk(self, number):
        at = number * self.chunk_bytes
        return self.memory[at:at + self.chunk_bytes]

    def fill(self, number, value):
        at = number * self.chunk_bytes
        self.memory[at:at + self.chunk_bytes] = bytes([value % 256]) * self.chunk_bytes

    def forget(self):
        """Everything is evicted that isn't pinned."""
        for key, number in list(self.chunk_of.items()):
            if not self.pins.get(number):
                del self.chunk_of[key]
                self.free.append(number)


class Request:
    """Chunks that a request's prefix has, in order."""

    numbers = itertools.count()

    def __init__(self, keys):
        self.req_id = f"request-{next(self.numbers)}"
        self.keys = keys
        self.hits = None  # leading chunks that needn't be computed


class Scheduler:
    """The tiering manager and the loop above it. `slowest` is the slowest call of a step."""

    def __init__(self, tier, primary):
        self.tier, self.primary = tier, primary
        self.jobs = {}
        self.numbers = itertools.count()
        self.failed = {True: 0, False: 0}  # jobs: loads, stores
        self.slowest = 0.0

    def _timed(self, function, *arguments):
        begin = time.monotonic()
        result = function(*arguments)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return result

    def _finish_jobs(self):
        for result in self._timed(self.tier.get_finished_jobs):
            job = self.jobs.pop(result.job_id)  # once each, or KeyError
            self.failed[job.is_promotion] += not result.success
            good = set(job.keys if result.success else result.successful_keys or ())
            assert good <= set(job.keys)
            for key, number in zip(job.keys, job.chunk_ids):
                self.primary.pins[number] -= 1
                if job.is_promotion and key in good:
                    self.primary.chunk_of[key] = number
                elif job.is_promotion:
                    self.primary.free.append(number)

    def _submit(self, request, pairs, is_promotion):
        job = TransferJob(next(self.numbers), [k for k, _ in pairs], [n for _, n in pairs],
                          is_promotion, request)
        self.jobs[job.job_id] = job
        for number in job.chunk_ids:
            self.primary.pins[number] = self.primary.pins.get(number, 0) + 1
        self._timed(self.tier.submit_load if is_promotion else self.tier.submit_store, job)

    def _loading(self, key):
        return any(key in job.keys for job in self.jobs.values() if job.is_promotion)

    def _look(self, request):
        """The leading chunks in the primary tier, and what to load; None: wait."""
        loads, wait = [], False
        for at, key in enumerate(request.keys):
            if key in self.primary.chunk_of:
                continue
            if self._loading(key):
                wait = True
                continue
            result = self._timed(self.tier.lookup, key, request)
            if result is LookupResult.MISS:
                if not loads and not wait:
                    request.hits = at
                    return
                break
            wait = wait or result is LookupResult.RETRY
            if result is LookupResult.HIT:
                loads.append((key, self.primary.free.pop()))
        if loads:
            self._submit(request, loads, True)
        elif not wait:
            request.hits = len(request.keys)

    def step(self, requests):
        """One turn; requests that know their hits are done with it."""
        self._finish_jobs()
        for request in requests:
            if request.hits is None:
                self._look(request)
        self._timed(self.tier.on_schedule_end, None)

    def run(self, *prefixes, seconds=30):
        """Requests until each has loaded what it can, and computed and stored the rest; how many
        chunks each had not to compute."""
        requests = [Request(keys) for keys in prefixes]
        for request in requests:
            self.tier.on_new_request(request)
        end = time.monotonic() + seconds
        while any(request.hits is None for request in requests):
            assert time.monotonic() < end, "a request waits for ever"
            self.step(requests)
            time.sleep(0.001)
        for request in requests:
            self._compute(request)
            self._timed(self.tier.on_request_finished, request)
        return [request.hits for request in requests]

    def _compute(self, request):
        made = [(key, self.primary.free.pop()) for key in request.keys
                if key not in self.primary.chunk_of]
        for key, number in made:
            self.primary.fill(number, key[0])
            self.primary.chunk_of[key] = number
        if made:
            self._submit(request, made, False)

    def settle(self, seconds=30):
        """Steps until no job is under way."""
        end = time.monotonic() + seconds
        while self.jobs:
            assert time.monotonic() < end, "a job never ends"
            self.step([])
            time.sleep(0.001)

    def reset(self):
        """As a reset of the cache does it: all jobs end, then all chunks are forgotten."""
        self.tier.drain_jobs()
        self._finish_jobs()
        assert not self.jobs
        self.primary.forget()


def install():
    """Makes `import vllm...` find these."""
    contents = {"vllm": {}, "vllm.v1": {}, "vllm.v1.kv_offload": {},
                "vllm.v1.kv_offload.base": {c.__name__: c for c in (
                    Locality, LookupResult, Medium, RequestOffloadingContext)},
                "vllm.v1.kv_offload.tiering": {},
                "vllm.v1.kv_offload.tiering.base": {c.__name__: c for c in (
                    JobResult, SecondaryTierManager, TransferJob)}}
    for name, names in contents.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(names)
        sys.modules[name] = module
