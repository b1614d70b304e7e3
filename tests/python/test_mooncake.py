#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.compat.mooncake by its callers' contract: what engines call, and what they look at.

With MOONCAKE_SOURCE (a checkout of Mooncake) its own Python tests run against the facade, too.
"""
import ctypes
import os
import pathlib
import subprocess
import sys
import unittest

from suite import BLOCK, PACKAGE, PoolCase, main
from cenote.compat import mooncake  # noqa: E402 pylint: disable=wrong-import-order

INVALID, NOT_FOUND, NO_SPACE = -600, -704, -200
# Cases of mooncake-wheel/tests/test_distributed_object_store.py that hold of the facade. The others
# are about Mooncake's own ways: memory that a client donates and takes along.
UPSTREAM = ("TestReplicateConfig", "TestConfigDictSetup", "TestDistributedObjectStoreSingleStore")
NOT_OURS = ("test_client_tear_down",)
RUN = """
import sys, unittest
sys.path[:0] = [{package!r}, {tests!r}]
from cenote.compat import mooncake
mooncake.install()
import test_distributed_object_store as upstream
suite, load = unittest.TestSuite(), unittest.defaultTestLoader.loadTestsFromTestCase
for name in {classes!r}:
    suite.addTests(t for t in load(getattr(upstream, name)) if t._testMethodName not in {skipped!r})
sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
"""


class Memory:
    """An engine's memory, by address."""

    def __init__(self, size, fill=b""):
        self.array = ctypes.create_string_buffer(fill, size)
        self.address = ctypes.addressof(self.array)

    def read(self, offset, size):
        return self.array.raw[offset:offset + size]


class StoreCase(PoolCase):
    def setUp(self):
        super().setUp()
        self.store = mooncake.MooncakeDistributedStore()
        self.addCleanup(self.store.close)
        self.assertEqual(self.store.setup("localhost", "P2PHANDSHAKE", 16 << 20, 16 << 20, "tcp",
                                          "", self.pool.meta_endpoint,
                                          tenant_id=self._testMethodName[:64]), 0)

    def memory(self, size, fill=b""):
        memory = Memory(size, fill)
        self.assertEqual(self.store.register_buffer(memory.address, size), 0)
        self.addCleanup(self.store.unregister_buffer, memory.address)
        return memory


class Calls(StoreCase):
    def test_put_get_and_questions(self):
        store = self.store
        self.assertEqual((store.put("k", b"one"), store.put("k", b"two")), (0, 0))
        self.assertEqual((store.get("k"), store.get("none")), (b"one", b""))
        self.assertEqual((store.is_exist("k"), store.is_exist("none")), (1, 0))
        self.assertEqual(store.batch_is_exist(["k", "none"]), [1, 0])
        self.assertEqual((store.get_size("k"), store.get_size("none")), (3, NOT_FOUND))
        self.assertEqual(store.upsert("k", b"three"), 0)
        self.assertEqual(store.get_batch(["k", "none"]), [b"three", b""])
        handle, none = store.batch_get_buffer(["k", "none"])
        self.assertEqual((handle.size(), bytes(handle), none), (5, b"three", None))
        self.assertEqual(ctypes.string_at(handle.ptr(), 5), b"three")
        self.assertEqual((store.remove("k"), store.remove("k", force=True)), (0, NOT_FOUND))
        self.assertEqual(store.health_check(), 0)
        self.assertRegex(store.get_hostname(), r"^localhost:\d+$")

    def test_parts_and_batches(self):
        store = self.store
        self.assertEqual(store.put_parts("p", b"a", bytearray(b"b"), memoryview(b"c")), 0)
        self.assertEqual(store.put_batch(["x", "y"], [b"1", b"22"]), 0)
        self.assertEqual(store.put_batch(["x"], []), INVALID)
        self.assertEqual(store.get_batch(["p", "x", "y"]), [b"abc", b"1", b"22"])
        self.assertEqual(store.upsert_batch(["x", "y"], [b"3", b"4"]), 0)
        self.assertEqual(store.upsert_parts("p", b"d", b"e"), 0)
        self.assertEqual(store.get_batch(["p", "x", "y"]), [b"de", b"3", b"4"])
        self.assertEqual(store.batch_remove(["x", "none"]), [0, NOT_FOUND])
        self.assertEqual(store.remove_by_regex("^y"), 1)
        self.assertEqual(store.put_batch([f"{i}" for i in range(300)], [b""] * 300), 0)
        self.assertEqual((store.remove_by_regex("("), store.remove_all()), (INVALID, 301))
        self.assertEqual(store.batch_is_exist(["p", "0"]), [0, 0])

    def test_by_address(self):
        store, memory = self.store, self.memory(4 * len(BLOCK), BLOCK)
        to = memory.address + 2 * len(BLOCK)
        self.assertEqual(store.put_from("k", memory.address, len(BLOCK)), 0)
        self.assertEqual(store.get_into("k", to, 2 * len(BLOCK)), len(BLOCK))
        self.assertEqual(memory.read(2 * len(BLOCK), len(BLOCK)), BLOCK)
        self.assertEqual(store.get_into("none", to, len(BLOCK)), NOT_FOUND)
        self.assertLess(store.get_into("k", to, 5), 0)
        self.assertEqual(store.batch_put_from(["a", "b"], [memory.address] * 2, [10, 20]), [0, 0])
        self.assertEqual(store.batch_get_into(["a", "none", "b"], [to] * 3, [20] * 3),
                         [10, NOT_FOUND, 20])
        self.assertEqual(store.batch_get_into(["a", "b"], [to] * 3, [5] * 3), [INVALID] * 2)
        self.assertEqual(store.batch_put_from(["a", "b"], [to], [5]), [INVALID] * 2)
        at = memory.address
        self.assertEqual(store.put_from_with_metadata("m", at + 1, at + 9, 3, 2), 0)
        self.assertEqual(store.get("m"), BLOCK[9:11] + BLOCK[1:4])
        self.assertEqual(store.upsert_from("k", memory.address, 4), 0)
        self.assertEqual(store.batch_upsert_from(["k"], [memory.address], [4]), [0])
        self.assertEqual(store.unregister_buffer(memory.address + 1), INVALID)
        self.assertEqual(store.register_buffer(0, 5), INVALID)
        self.assertEqual(store.register_buffer(16, 5), INVALID)
        self.assertEqual(store.put_from("bad", 16, 5), INVALID)
        self.assertNotEqual(store.alloc_from_mem_pool(4096), 0)
        self.assertEqual(store.alloc_from_mem_pool(-1), 0)

    def test_several_buffers_of_an_object(self):
        """An object scattered over layers: the page-first and layer-first pools of engines."""
        layers, page, pages = 8, 512, 4
        memory = self.memory(2 * layers * pages * page)
        data = os.urandom(layers * pages * page)
        ctypes.memmove(memory.address, data, len(data))
        keys = [f"page/{i}" for i in range(pages)]

        def pointers(base):
            return [[base + (layer * pages + i) * page for layer in range(layers)]
                    for i in range(pages)]

        sizes = [[page] * layers] * pages
        half = memory.address + len(data)
        self.assertEqual(self.store.batch_put_from_multi_buffers(keys, pointers(memory.address),
                                                                 sizes), [0] * pages)
        self.assertEqual(self.store.batch_get_into_multi_buffers(keys, pointers(half), sizes),
                         [layers * page] * pages)
        self.assertEqual(memory.read(len(data), len(data)), data)
        self.assertEqual(self.store.batch_get_into_multi_buffers(
            ["none"], [[half, half]], [[1]]), [INVALID])
        self.assertEqual(self.store.batch_put_from_multi_buffers(keys, [], []), [INVALID] * pages)

    def test_ranges(self):
        store, memory = self.store, self.memory(64)
        store.put("k", bytes(range(100)))
        self.assertEqual(store.get_into_ranges([memory.address], [["k", "none", "k"]],
                                               [[[0, 10], [0], [62]]], [[[5, 90], [0], [0]]],
                                               [[[5, 10], [1], [4]]]),
                         [[[5, 10], [NOT_FOUND], [INVALID]]])
        self.assertEqual(memory.read(0, 5) + memory.read(10, 10),
                         bytes(range(5, 10)) + bytes(range(90, 100)))
        self.assertEqual(store.get_into_ranges([memory.address], [["k"]], [[[0]]], [[[98]]],
                                               [[[4]]]), [[[INVALID]]])

    def test_layer_by_layer(self):
        store, memory = self.store, self.memory(400, bytes(range(100, 200)))
        keys, at = ["a", "b"], memory.address
        self.assertEqual(store.batch_put_session_start(keys, [20, 20]), [0, 0])
        self.assertEqual(store.batch_put_session_start(["a"], [20]), [INVALID])
        for layer in (1, 0):
            self.assertEqual(store.batch_put_session_end(["a"]), [INVALID])
            self.assertEqual(store.batch_is_exist(keys), [0, 0])
            self.assertEqual(store.batch_put_from_multi_buffer_ranges(
                keys, [[at + layer * 10], [at + 50 + layer * 10]], [[10]] * 2, [[layer * 10]] * 2),
                [10, 10])
        self.assertEqual(store.batch_put_session_end([*keys, "none"]), [0, 0, INVALID])
        self.assertEqual(store.get("b"), bytes(range(150, 170)))
        self.assertEqual(store.batch_put_session_start(["a"], [20]), [-705])
        self.assertEqual(store.batch_get_session_start([*keys, "none"]), [0, 0, NOT_FOUND])
        self.assertEqual(store.batch_get_into_multi_buffer_ranges(
            [*keys, "none"], [[at + 200, at + 210], [at + 220], [at]], [[5, 5], [10], [1]],
            [[15, 0], [10], [0]]), [10, 10, INVALID])
        self.assertEqual(memory.read(200, 5) + memory.read(210, 5) + memory.read(220, 10),
                         bytes([*range(115, 120), *range(100, 105), *range(160, 170)]))
        self.assertEqual(store.batch_get_session_end(keys), 0)
        self.assertEqual(store.batch_put_session_start(["gone"], [5]), [0])
        self.assertEqual(store.batch_put_session_revoke(["gone", "gone"]), [0, INVALID])
        self.assertEqual(store.batch_put_session_end(["gone"]), [INVALID])

    def test_configurations(self):
        config = mooncake.ReplicateConfig()
        config.with_soft_pin = True
        config.preferred_segment = "localhost:1"
        self.assertEqual(self.store.put("k", b"1", config), 0)
        config.replica_num = 2  # and one node
        self.assertEqual(self.store.put("k2", b"1", config), NO_SPACE)
        config.replica_num = 0
        self.assertEqual(self.store.batch_put_from(["k2"], [0], [0], config), [INVALID])

    def test_pins(self):
        """What a configuration says of eviction is what Cenote keeps."""
        action = mooncake.SoftPinAction
        for options, pin in (({}, "none"), ({"with_soft_pin": True}, "soft"),
                             ({"with_hard_pin": True, "with_soft_pin": True}, "hard"),
                             ({"soft_pin_action": action.ENABLE, "soft_pin_ttl_ms": 5000}, "soft"),
                             ({"soft_pin_action": action.ENABLE, "soft_pin_ttl_ms": 0}, "none"),
                             ({"soft_pin_action": action.DISABLE, "with_soft_pin": True}, "none")):
            config = mooncake.ReplicateConfig()
            for name, value in options.items():
                setattr(config, name, value)
            self.assertEqual(self.store.upsert("k", b"1", config), 0)
            kept = self.client.get_policy("k")
            self.assertEqual(kept.pin, pin, options)
            if pin == "soft":
                self.assertLessEqual(kept.pin_left, config.soft_pin_ttl_ms or 1800)

    def test_how_objects_are_kept(self):
        store, config = mooncake.MooncakeDistributedStore(), mooncake.ReplicateConfig()
        self.addCleanup(store.close)
        setup = {"local_hostname": "localhost", "metadata_server": "", "ttl": 3600,
                 "master_server_addr": self.pool.meta_endpoint,
                 "tenant_id": self._testMethodName[:64]}
        for wrong in ({"ttl": "1h"}, {"ttl": 0}, {"pin": "firm"}):
            self.assertEqual(store.setup({**setup, **wrong}), INVALID, wrong)
        self.assertEqual(store.setup({**setup, "pin": ["soft", 60]}), 0)
        self.assertEqual(store.put("plain", b"1"), 0)
        self.assertEqual(store.put("unsaid", b"1", config), 0)
        self.assertEqual(store.batch_put_session_start(["session"], [0], config), [0])
        self.assertEqual(store.batch_put_session_end(["session"]), [0])
        self.check_kept(3, 3600, "soft", 60)
        config.with_hard_pin = True
        self.assertEqual(store.put("firm", b"1", config), 0)
        self.assertEqual(self.client.get_policy("firm").pin, "hard")
        config.with_hard_pin = False
        config.soft_pin_action = mooncake.SoftPinAction.DISABLE
        self.assertEqual(store.put("loose", b"1", config), 0)
        self.assertEqual(self.client.get_policy("loose").pin, "none")

    def test_groups(self):
        config, keys = mooncake.ReplicateConfig(), ["0", "1", "2", "3"]
        config.group_ids = ["a", "", "b" * 100, "a"]
        self.assertEqual(self.store.put_batch(keys, [b"1"] * 4, config), 0)
        groups = [self.client.get_policy(key).group for key in keys]
        self.assertEqual((groups[0], groups[1], len(groups[2]), groups[3]), (b"a", b"", 32, b"a"))
        for wrong in (["a"], [5] * 4, 5):
            config.group_ids = wrong
            self.assertEqual(self.store.put_batch(keys, [b"1"] * 4, config), INVALID)
            self.assertEqual(self.store.batch_put_session_start(keys, [1] * 4, config),
                             [INVALID] * 4)
        config.group_ids = ["s"]
        self.assertEqual(self.store.batch_put_session_start(["session"], [1], config), [0])
        self.assertEqual(self.store.batch_put_session_revoke(["session"]), [0])

    def test_tenants(self):
        other = mooncake.MooncakeDistributedStore()
        self.addCleanup(other.close)
        self.assertEqual(other.setup({"local_hostname": "localhost", "metadata_server": "",
                                      "global_segment_size": "16 MB", "unknown": 1,
                                      "master_server_addr": self.pool.meta_endpoint}), 0)
        self.store.put("k", b"1")
        self.assertEqual(other.is_exist("k"), 0)


class Refusing(StoreCase):
    def check_refusals(self, store, codes):
        for result in (store.put("k", b"1"), store.put_from("k", 0, 0), store.get_into("k", 0, 0),
                       store.is_exist("k"), store.get_size("k"), store.remove("k"),
                       store.remove_all(), *store.batch_is_exist(["k"]),
                       *store.batch_get_into(["k"], [0], [0]),
                       *store.batch_put_from(["k"], [0], [0]),
                       *store.batch_put_session_start(["k2"], [5])):
            self.assertIn(result, codes)
        self.assertEqual((store.get("k"), store.get_batch(["k"]), store.get_buffer("k")),
                         (b"", [b""], None))


class WrongUse(Refusing):
    def test_before_setup_and_after_close(self):
        self.check_refusals(mooncake.MooncakeDistributedStore(), {INVALID})
        self.assertEqual((self.store.close(), self.store.close()), (0, 0))
        self.check_refusals(self.store, {INVALID})
        self.assertEqual(self.store.health_check(), 1)
        self.assertEqual(self.store.setup("localhost", "", 0, 0, "tcp", "",
                                          self.pool.meta_endpoint), 0)
        self.assertEqual(self.store.put("k", b"1"), 0)

    def test_a_pool_that_is_not_there(self):
        store = mooncake.MooncakeDistributedStore()
        self.assertEqual(store.setup("localhost", "", 0, 0, "tcp", "", "127.0.0.1:1"), -900)
        self.assertEqual(store.setup("localhost", "", "50%", 0, "tcp", "", "127.0.0.1:1"), INVALID)
        self.assertEqual(store.setup({"local_hostname": "localhost"}), INVALID)

    def test_wrong_types(self):
        for call in (lambda: self.store.put(5, b"1"), lambda: self.store.put("k", 5),
                     lambda: self.store.put("k", None), lambda: self.store.batch_is_exist([None]),
                     lambda: self.store.put_from("k", "a", 5)):
            self.assertRaises(TypeError, call)


class ServiceGone(Refusing):
    def test_the_service_gone(self):
        self.store.put("k", b"1")
        self.pool.allow(".")
        self.store._client.close()
        self.store._client = self.open(timeout=0.5)
        self.pool.meta.kill()
        self.check_refusals(self.store, {-900, -901, -800})
        self.assertEqual(self.store.health_check(), 2)


class Upstream(PoolCase):
    """Mooncake's own tests, from $MOONCAKE_SOURCE."""

    pool_options = {"dram": "1200MiB"}

    @unittest.skipUnless(os.environ.get("MOONCAKE_SOURCE"), "SKIPPED: no MOONCAKE_SOURCE")
    def test_session_ranges(self):
        tree = pathlib.Path(os.environ["MOONCAKE_SOURCE"])
        script = tree / "mooncake-store/tests/e2e/session_ranges_tcp_e2e.py"
        program = (f"import sys; sys.path.insert(0, {str(PACKAGE)!r});"
                   "from cenote.compat import mooncake; sys.modules['store'] = mooncake;"
                   f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60,
                       env=self.pool.environment())

    @unittest.skipUnless(os.environ.get("MOONCAKE_SOURCE"), "SKIPPED: no MOONCAKE_SOURCE")
    def test_distributed_object_store(self):
        tests = pathlib.Path(os.environ["MOONCAKE_SOURCE"]) / "mooncake-wheel/tests"
        program = RUN.format(package=str(PACKAGE), tests=str(tests), classes=UPSTREAM,
                             skipped=NOT_OURS)
        subprocess.run([sys.executable, "-c", program], check=True, timeout=600,
                       env=self.pool.environment(DEFAULT_KV_LEASE_TTL="10"))


class Names(unittest.TestCase):
    def test_imports_of_code_that_knows_only_mooncake(self):
        mooncake.install()
        mooncake.install()
        from mooncake.store import MooncakeDistributedStore, ReplicateConfig, SoftPinAction
        self.assertIs(MooncakeDistributedStore, mooncake.MooncakeDistributedStore)
        self.assertIs(ReplicateConfig().soft_pin_action, SoftPinAction.PRESERVE)


if __name__ == "__main__":
    main()
