#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All kinds of memory that a value comes from and goes to."""
import array
import ctypes
import mmap
import unittest
import weakref

from suite import BLOCK, PoolCase, cenote, main, numpy

CPU, CUDA = 1, 2
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Managed(ctypes.Structure):
    """DLManagedTensor, of the DLPack protocol."""


DELETER = ctypes.CFUNCTYPE(None, ctypes.POINTER(Managed))
Managed._fields_ = [
    ("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("dimensions", ctypes.c_int32),
    ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
    ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
    ("byte_offset", ctypes.c_uint64), ("manager", ctypes.c_void_p), ("deleter", DELETER)]


class Tensor:
    """A framework's tensor, which has DLPack only."""

    def __init__(self, memory, shape, bits=16, strides=None, device=CPU, offset=0):
        self.memory = memory
        self.device = device
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.strides = (ctypes.c_int64 * len(shape))(*strides) if strides else None
        self.exported = self.deleted = 0
        self.managed = Managed(ctypes.addressof(memory), (device, 0), len(shape), 4, bits, 1,
                               self.shape, self.strides, offset, None, DELETER(self._delete))

    def _delete(self, _):
        self.deleted += 1

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self):
        self.exported += 1
        return _new_capsule(ctypes.addressof(self.managed), b"dltensor", None)


class Buffers(PoolCase):
    def fetch(self, memory):
        self.client.put("block", BLOCK)
        self.assertEqual(self.client.get_into("block", memory), len(BLOCK))

    def test_bytearray_and_memoryview(self):
        memory = bytearray(len(BLOCK) + 8)
        self.fetch(memoryview(memory)[8:])
        self.assertEqual(memory[8:], BLOCK)
        memory.append(1)  # nothing keeps it from growing any more

    def test_array_ctypes_mmap(self):
        for memory in (array.array("Q", bytes(len(BLOCK))), (ctypes.c_char * len(BLOCK))(),
                       mmap.mmap(-1, len(BLOCK))):
            self.fetch(memory)
            self.assertEqual(bytes(memoryview(memory).cast("B")), BLOCK)
            self.client.put("again", memory, replace=True)
            self.assertEqual(self.client.get("again"), BLOCK)

    def test_read_only_memory_can_be_put(self):
        self.client.put("k", memoryview(BLOCK)[::1])
        self.assertEqual(self.client.get("k"), BLOCK)

    def test_raw_addresses(self):
        memory = (ctypes.c_char * len(BLOCK))()
        address = ctypes.addressof(memory)
        half = len(BLOCK) // 2
        self.fetch([(address + half, half), (address, half)])
        self.assertEqual(bytes(memory), BLOCK[half:] + BLOCK[:half])
        self.client.put("k", (address, 5))
        self.assertEqual(self.client.get("k"), BLOCK[half:half + 5])
        self.client.put("empty", (0, 0))
        self.assertEqual(self.client.get("empty"), b"")

    def test_registered_memory(self):
        memory = bytearray(len(BLOCK))
        with self.client.register(memory) as region:
            self.assertEqual(region.length, len(BLOCK))
            self.assertRaises(BufferError, memory.append, 1)  # it can't move
            self.fetch((region.address, region.length))
            self.assertEqual(memory, BLOCK)
            self.assertRaises(cenote.InvalidError, self.client.register, memory)
        memory.append(1)
        self.assertRaises(cenote.InvalidError, region.unregister)

    def test_registrations_end_with_the_client(self):
        memory = bytearray(4096)
        client = self.open()
        client.register(memory)
        client.close()
        memory.append(1)

    def test_dlpack(self):
        memory = (ctypes.c_char * len(BLOCK))()
        tensor = Tensor(memory, (2, 1, len(BLOCK) // 4), strides=(len(BLOCK) // 4, 777, 1))
        self.fetch(tensor)
        self.assertEqual(bytes(memory), BLOCK)
        self.assertEqual((tensor.exported, tensor.deleted), (1, 1))
        self.client.put("k", Tensor(memory, (4,), bits=8, offset=16))
        self.assertEqual(self.client.get("k"), BLOCK[16:20])

    def test_dlpack_that_cannot_be(self):
        memory = (ctypes.c_char * len(BLOCK))()
        tensor = Tensor(memory, (4, 4), strides=(1, 4))
        self.assertRaisesRegex(BufferError, "contiguous", self.client.put, "k", tensor)
        self.assertEqual((tensor.exported, tensor.deleted), (1, 1))
        tensor = Tensor(memory, (4, 4), device=CUDA)
        self.assertRaisesRegex(cenote.NotSupportedError, "CUDA", self.client.put, "k", tensor)
        self.assertEqual(tensor.exported, 0)
        tensor.__class__ = type("Broken", (Tensor,), {"__dlpack_device__": lambda self: "cpu"})
        self.assertRaises(TypeError, self.client.put, "k", tensor)

    def test_what_is_no_memory(self):
        client, size = self.client, len(BLOCK)
        client.put("k", BLOCK)
        for wrong, error in ((None, TypeError), (5, TypeError), ("text", TypeError),
                             ((1, 2, 3), TypeError), (("a", 1), TypeError), ((-1, 5), ValueError),
                             ((0, 5), ValueError), ((1 << 63, 1 << 63), ValueError),
                             ([b"ok", None], TypeError), ([[b"deep"]], TypeError)):
            self.assertRaises(error, client.put, "x", wrong)
        self.assertRaisesRegex(BufferError, "read-only", client.get_into, "k", bytes(size))
        self.assertRaisesRegex(BufferError, "read-only", client.get_into, "k",
                               memoryview(bytearray(size)).toreadonly())
        self.assertRaisesRegex(BufferError, "contiguous", client.get_into, "k",
                               memoryview(bytearray(2 * size))[::2])
        self.assertRaisesRegex(BufferError, "read-only", client.register, bytes(size))
        self.assertRaises(cenote.BufferSizeError, client.get_into, "k", bytearray(size - 1))
        self.assertRaises(ValueError, client.get_batch, ["k"], [bytearray(size)] * 2)

    def test_memory_that_is_not_there(self):
        client, libc = self.client, ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p

        def pages(protection):
            found = libc.mmap(None, ctypes.c_size_t(1 << 16), protection,
                              mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, ctypes.c_long(0))
            self.addCleanup(libc.munmap, ctypes.c_void_p(found), ctypes.c_size_t(1 << 16))
            return found

        client.put("k", BLOCK)
        nowhere, constant = (pages(0), 1 << 16), (pages(mmap.PROT_READ), 1 << 16)
        for call in (lambda: client.get_into("k", nowhere), lambda: client.put("x", nowhere),
                     lambda: client.get_into("k", (8, 1 << 16)), lambda: client.register(nowhere),
                     lambda: client.get_into("k", constant), lambda: client.register(constant)):
            self.assertRaises(cenote.BadAddressError, call)
        client.put("zeros", constant)
        self.assertEqual(client.get("zeros"), bytes(1 << 16))

    def test_what_is_given_is_let_go(self):
        class Memory(bytearray):
            """Can be referred to weakly."""

        memory = Memory(len(BLOCK))
        watch = weakref.ref(memory)
        self.fetch([memory])
        del memory
        self.assertIsNone(watch())


@unittest.skipIf(numpy is None, "SKIPPED: no numpy (python3-numpy)")
class Numpy(PoolCase):
    def test_blocks_of_an_engine(self):
        rows = numpy.random.default_rng(1).integers(0, 255, (4, 3, 1000), numpy.uint8)
        keys = [f"{i}" for i in range(4)]
        self.assertEqual(self.client.put_batch(keys, rows), [0] * 4)
        into = numpy.zeros_like(rows)
        self.assertEqual(self.client.get_batch(keys, into), [3000] * 4)
        self.assertTrue((rows == into).all())
        with self.client.view("2") as view:
            self.assertTrue((numpy.frombuffer(view, numpy.uint8).reshape(3, 1000) == rows[2]).all())

    def test_layers_by_address(self):
        cache = numpy.arange(8 * 16, dtype=numpy.float16).reshape(8, 16)
        pieces = [(cache.ctypes.data + i * cache.strides[0], cache.strides[0]) for i in range(8)]
        self.client.put("k", pieces)
        self.assertEqual(self.client.get("k"), cache.tobytes())

    def test_what_numpy_cannot_give(self):
        cache = numpy.zeros((8, 8))
        self.assertRaisesRegex(BufferError, "contiguous", self.client.put, "k", cache[:, ::2])
        self.assertRaisesRegex(BufferError, "contiguous", self.client.put, "k",
                               numpy.asfortranarray(cache))
        cache.flags.writeable = False
        self.client.put("k", cache)
        self.assertRaisesRegex(BufferError, "read-only", self.client.get_into, "k", cache)


if __name__ == "__main__":
    main()
