# SPDX-License-Identifier: Apache-2.0
"""As much of SGLang's own side as its HiCache storage backends see, for the tests: host pools with
their pages, the base class, and a controller with its prefetch and backup threads. `install()`
puts the base class where SGLang would be."""
import ctypes
import dataclasses
import enum
import queue
import sys
import threading
import types

PAGE_TOKENS = 4
TOKEN_BYTES = 256  # of a half (K, or V) of all layers
PAGES_AT_ONCE = 128


class PoolName(str, enum.Enum):
    KV = "kv"
    MAMBA = "mamba"
    SWA = "swa"
    DRAFT = "draft"


class PoolHitPolicy(str, enum.Enum):
    ALL_PAGES = "all_pages"
    TRAILING_PAGES = "trailing_pages"
    BLOCK_GROUPS = "block_groups"


@dataclasses.dataclass
class PoolTransfer:
    name: PoolName
    host_indices: list = None
    keys: list = None
    hit_policy: PoolHitPolicy = PoolHitPolicy.ALL_PAGES


@dataclasses.dataclass
class PoolTransferResult:
    kv_hit_pages: int
    extra_pool_hit_pages: dict
    restorable_prefix_pages: list = None


class HiCacheStorage:
    """The base class of backends."""

    def on_host_pools_registered(self):
        pass


class StorageMetrics:
    def __init__(self, **figures):
        self.__dict__.update(figures)


@dataclasses.dataclass
class Config:
    """What a backend is told of its engine."""

    model_name: str = "org/model"
    tp_rank: int = 0
    tp_size: int = 1
    pp_rank: int = 0
    pp_size: int = 1
    attn_cp_rank: int = 0
    attn_cp_size: int = 1
    dcp_rank: int = 0
    dcp_size: int = 1
    is_mla_model: bool = False
    enable_storage_metrics: bool = False
    extra_config: dict = None


class Tensor:
    """Memory as torch shows it."""

    device = types.SimpleNamespace(type="cpu")

    def __init__(self, size, contiguous=True):
        self.array = (ctypes.c_ubyte * size)()
        self.contiguous_now = contiguous

    def data_ptr(self):
        return ctypes.addressof(self.array)

    def numel(self):
        return len(self.array)

    def element_size(self):
        return 1

    def is_contiguous(self):
        return self.contiguous_now

    def contiguous(self):
        copy = Tensor(len(self.array))
        copy.array[:] = self.array
        return copy


class HostPool:
    """Pages of tokens; page-first: the K half of all pages, then the V half."""

    dtype = "torch.bfloat16"
    page_size = PAGE_TOKENS

    def __init__(self, pages, layout="page_first", halves=2):
        self.layout = layout
        self.halves = halves
        self.half_bytes = pages * PAGE_TOKENS * TOKEN_BYTES
        self.kv_buffer = Tensor(halves * self.half_bytes)

    def get_page_buffer_meta(self, indices):
        begin = self.kv_buffer.data_ptr()
        pointers = [begin + half * self.half_bytes + indices[i] * TOKEN_BYTES
                    for i in range(0, len(indices), PAGE_TOKENS) for half in range(self.halves)]
        return pointers, [PAGE_TOKENS * TOKEN_BYTES] * len(pointers)

    def page(self, number):
        """A page's bytes."""
        at, size = number * PAGE_TOKENS * TOKEN_BYTES, PAGE_TOKENS * TOKEN_BYTES
        return b"".join(bytes(self.kv_buffer.array[half * self.half_bytes + at:][:size])
                        for half in range(self.halves))

    def fill(self, number, seed):
        at, size = number * PAGE_TOKENS * TOKEN_BYTES, PAGE_TOKENS * TOKEN_BYTES
        for half in range(self.halves):
            value = bytes([(seed + 7 * half) % 255 + 1]) * size
            ctypes.memmove(self.kv_buffer.data_ptr() + half * self.half_bytes + at, value, size)

    def destroy(self):
        self._destroyed = True
        self.kv_buffer = None


class MambaPool(HostPool):
    """States: a place is a page."""

    page_size = 1

    def get_hybrid_pool_buffer(self):
        return [self.kv_buffer]

    def get_page_buffer_meta(self, indices):
        begin = self.kv_buffer.data_ptr()
        return [begin + i * TOKEN_BYTES for i in indices], [TOKEN_BYTES] * len(indices)


def places(pages, page_size=PAGE_TOKENS):
    """Indices of tokens for pages of a host pool."""
    return [page * page_size + i for page in pages for i in range(page_size)]


class Controller:
    """Backs pages up and prefetches them, a batch at a time, in a thread for each. What a backend
    raises, or returns instead of a list, ends the thread for good."""

    def __init__(self, backend, pool):
        self.backend, self.pool = backend, pool
        backend.register_mem_pool_host(pool)
        backend.on_host_pools_registered()
        self.queues = {"backup": queue.Queue(), "prefetch": queue.Queue()}
        self.threads = [threading.Thread(target=self._run, args=(name,)) for name in self.queues]
        for thread in self.threads:
            thread.start()

    def _run(self, name):
        while (order := self.queues[name].get()) is not None:
            hashes, pages, answer = order
            answer.put(getattr(self, "_" + name)(hashes, pages))

    def _backup(self, hashes, pages):
        done = 0
        for at in range(0, len(hashes), PAGES_AT_ONCE):
            part = hashes[at:at + PAGES_AT_ONCE]
            if not all(self.backend.batch_set_v1(part, places(pages[at:at + len(part)]), None)):
                break
            done += len(part)
        return done

    def _prefetch(self, hashes, pages):
        done = 0
        for at in range(0, len(hashes), PAGES_AT_ONCE):
            part = hashes[at:at + PAGES_AT_ONCE]
            hit = self.backend.batch_exists(part, None)
            if hit:
                got = self.backend.batch_get_v1(part[:hit], places(pages[at:at + hit]), None)
                done += got.index(False) if False in got else len(got)
            if hit < len(part):
                break
        return done

    def call(self, name, hashes, pages, seconds=60):
        """How many leading pages were stored, or fetched."""
        answer = queue.Queue()
        self.queues[name].put((hashes, pages, answer))
        return answer.get(timeout=seconds)

    def close(self):
        for orders in self.queues.values():
            orders.put(None)
        for thread in self.threads:
            thread.join()
        self.backend.close()


def install():
    """Makes `import sglang...` find these."""
    base = "sglang.srt.mem_cache.hicache_storage"
    metrics = "sglang.srt.observability.metrics_collector"
    contents = {base: {c.__name__: c for c in (HiCacheStorage, PoolHitPolicy, PoolName,
                                               PoolTransfer, PoolTransferResult)},
                metrics: {"StorageMetrics": StorageMetrics}}
    for path in (base, metrics):
        for end in [i for i, c in enumerate(path) if c == "."] + [len(path)]:
            contents.setdefault(path[:end], {})
    for name, names in contents.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(names)
        sys.modules[name] = module
