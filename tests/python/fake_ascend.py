# SPDX-License-Identifier: Apache-2.0
"""As much of vllm-ascend's own side as its store backends see, for the tests: the base class, a
worker with caches of several layers and its transfer threads, CANN's memcpy with a device whose
addresses the host hasn't. `install()` puts the base class where vllm-ascend would be."""
import ctypes
import importlib.machinery
import queue
import sys
import threading
import types

LAYERS, CACHES, BLOCK_BYTES = 3, 2, 2048  # of one layer's K, or V
DEVICE_BEGIN = 1 << 56
SAVE, LOAD = 0, 1
BASE = "vllm_ascend.distributed.kv_transfer.kv_pool.ascend_store.backend"


class Backend:
    """The base class of backends."""

    store = None

    @classmethod
    def create_scheduler_client(cls, parallel_config):
        return cls(parallel_config)


class Host:
    """Caches in memory of the host."""

    def __init__(self, size):
        self.array = (ctypes.c_ubyte * size)()
        self.begin = ctypes.addressof(self.array)

    def read(self, address, size):
        return bytes(self.array[address - self.begin:address - self.begin + size])

    def write(self, address, data):
        ctypes.memmove(ctypes.addressof(self.array) + address - self.begin, data, len(data))


class Device(Host):
    """Caches in memory of a device: only memcpy() knows where its addresses are."""

    everything = []
    fails = False

    def __init__(self, size):
        super().__init__(size)
        self.begin = DEVICE_BEGIN + sum(len(d.array) + 4096 for d in self.everything)
        self.everything.append(self)

    @classmethod
    def _where(cls, address, size):
        for device in cls.everything:
            if device.begin <= address and address + size <= device.begin + len(device.array):
                return ctypes.addressof(device.array) + address - device.begin
        return None

    @classmethod
    def memcpy(cls, target, target_max, source, size, kind):
        """As acl.rt.memcpy()."""
        assert size <= target_max and kind in (1, 2)
        device = cls._where(target if kind == 1 else source, size)
        if device is None or cls.fails:
            return 107000
        ctypes.memmove(device if kind == 1 else target, source if kind == 1 else device, size)
        return 0


class Worker:
    """A worker's caches and threads. Keys' blocks lie over all layers."""

    def __init__(self, backend, blocks, memory=Host):
        self.backend = backend
        self.memory = memory(LAYERS * CACHES * blocks * BLOCK_BYTES)
        self.blocks = blocks
        backend.register_buffer([self.memory.begin], [len(self.memory.array)])
        self.queues = {"put": queue.Queue(), "get": queue.Queue(), "layers": queue.Queue()}
        self.threads = [threading.Thread(target=self._run, args=(q,)) for q in self.queues.values()]
        for thread in self.threads:
            thread.start()

    def _run(self, orders):
        self.backend.set_device()
        while (order := orders.get()) is not None:
            function, arguments, answer = order
            answer.put(function(*arguments))

    def call(self, name, function, *arguments):
        """In one of the threads."""
        answer = queue.Queue()
        self.queues[name].put((function, arguments, answer))
        return answer.get(timeout=60)

    def pieces(self, block, layers=range(LAYERS)):
        """Addresses and sizes of a block's."""
        addresses = [self.memory.begin + ((layer * CACHES + cache) * self.blocks + block)
                     * BLOCK_BYTES for layer in layers for cache in range(CACHES)]
        return addresses, [BLOCK_BYTES] * len(addresses)

    def fill(self, block, seed):
        for i, address in enumerate(self.pieces(block)[0]):
            self.memory.write(address, bytes([(seed + i) % 255 + 1]) * BLOCK_BYTES)

    def content(self, block):
        return b"".join(self.memory.read(a, BLOCK_BYTES) for a in self.pieces(block)[0])

    def put(self, keys, blocks):
        pieces = [self.pieces(b) for b in blocks]
        return self.call("put", self.backend.put, keys, [a for a, _ in pieces],
                         [s for _, s in pieces])

    def get(self, keys, blocks):
        pieces = [self.pieces(b) for b in blocks]
        return self.call("get", self.backend.get, keys, [a for a, _ in pieces],
                         [s for _, s in pieces])

    def _copy(self, numbers, blocks, layer, direction):
        """One layer of blocks that have numbers."""
        order = [(number + (layer * CACHES + i) * BLOCK_BYTES, address, size)
                 for number, block in zip(numbers, blocks) if number > 0
                 for i, (address, size) in enumerate(zip(*self.pieces(block, [layer])))]
        return self.call("layers", self.backend.store.batch_copy, [n for n, _, _ in order],
                         [a for _, a, _ in order], [s for _, _, s in order], direction)

    def save_layers(self, keys, blocks, results=None):
        """As the layerwise sending thread does."""
        numbers = self.backend.batch_alloc(keys, [LAYERS * CACHES * BLOCK_BYTES] * len(keys))
        codes = [self._copy(numbers, blocks, layer, SAVE) for layer in range(LAYERS)]
        assert codes == [0] * LAYERS
        return self.call("layers", self.backend.batch_write_finish, keys,
                         results or [0] * len(keys))

    def load_layers(self, keys, blocks):
        """As the worker and its layerwise receiving thread do: which blocks are there."""
        infos = self.backend.batch_get_key_info(keys)
        numbers = [info.gva_list()[0] if info.size() else 0 for info in infos]
        there = [key for key, number in zip(keys, numbers) if number > 0]
        leases = dict(zip(there, self.backend.batch_add_lease(there, 60000))) if there else {}
        numbers = [number if leases.get(key) == 0 else 0 for key, number in zip(keys, numbers)]
        codes = [self._copy(numbers, blocks, layer, LOAD) for layer in range(LAYERS)]
        assert codes == [0] * LAYERS
        self.backend.batch_remove_lease(there)
        return [number > 0 for number in numbers]

    def close(self):
        for orders in self.queues.values():
            orders.put(None)
        for thread in self.threads:
            thread.join()
        self.backend.close()


def _module(name, names):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__dict__.update(names)
    sys.modules[name] = module


def install():
    """Makes `import vllm_ascend...` find these."""
    parts = BASE.split(".")
    for i in range(1, len(parts)):
        _module(".".join(parts[:i]), {})
    _module(BASE, {"backend_map": {"mooncake": {}, "memcache": {}}})
    _module(f"{BASE}.base", {"Backend": Backend})


def install_device():
    """Makes `import acl.rt` find a device."""
    _module("acl", {})
    _module("acl.rt", {"memcpy": Device.memcpy})


def remove_device():
    for name in ("acl", "acl.rt"):
        sys.modules.pop(name, None)
