#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Times to live, pins, groups and namespaces from Python, of both clients."""
import asyncio
import inspect
import time

from suite import BLOCK, PoolCase, cenote, main, pools

Status = cenote.Status
Settings = cenote.NamespaceSettings


class Policies(PoolCase):
    pool_options = {"dram": "16MiB", "options": ("--lease=300ms",)}

    def test_puts_that_say_how(self):
        client = self.client
        client.put("plain", b"1")
        self.assertEqual(client.get_policy("plain"), (None, "none", None, b""))
        client.put("all", b"1", ttl=3600, pin=("soft", 60), group="prompt 7")
        kept = client.get_policy("all")
        self.assertTrue(3500 < kept.ttl_left <= 3600 and 50 < kept.pin_left <= 60, kept)
        self.assertEqual((kept.pin, kept.group), ("soft", b"prompt 7"))
        self.assertEqual(client.put_batch(["a", "b"], [b"1", b"2"], pin="hard", group=b"\0\xff"),
                         [0, 0])
        for key in ("a", "b"):
            self.assertEqual(client.get_policy(key), (None, "hard", None, b"\0\xff"))
        with client.writer("w", 2, pin="soft") as writer:
            writer.write(0, b"12")
        self.assertEqual(client.get_policy("w").pin, "soft")
        client.put("all", b"2", replace=True)  # a new value, without
        self.assertEqual(client.get_policy("all"), (None, "none", None, b""))

    def test_a_ttl_runs_out(self):
        client = self.client
        begin = time.monotonic()
        client.put("short", b"1", ttl=0.3)
        client.put("later", b"1")
        client.set_policy("later", ttl=0.3)
        self.assertEqual(client.prefix(["short", "later"]), 2)
        pools.wait_until(lambda: "short" not in client and "later" not in client, 10, "the end")
        self.assertGreater(time.monotonic() - begin, 0.3)

    def test_what_is_given_changes_and_the_rest_stays(self):
        client = self.client
        client.put("k", b"1", ttl=3600, pin="hard", group="g")
        client.set_policy("k", pin="soft")
        self.assertEqual(client.get_policy("k")[1:], ("soft", None, b"g"))
        client.set_policy("k", group=None)
        self.assertEqual(client.get_policy("k")[1:], ("soft", None, b""))
        self.assertIsNotNone(client.get_policy("k").ttl_left)
        client.set_policy("k", ttl=None, pin=None)
        self.assertEqual(client.get_policy("k"), (None, "none", None, b""))
        self.assertEqual(client.set_policy_batch(["k", "missing"], pin="hard"),
                         [0, Status.NOT_FOUND])
        with self.assertRaises(cenote.NotFoundError):
            client.set_policy("missing", ttl=5)
        with self.assertRaises(KeyError):
            client.get_policy("missing")

    def test_policies_that_are_none(self):
        client = self.client
        for options, error in (({"ttl": 0}, ValueError), ({"ttl": -1}, ValueError),
                               ({"ttl": 4e8}, ValueError), ({"ttl": float("nan")}, ValueError),
                               ({"ttl": "1h"}, TypeError), ({"pin": "firm"}, ValueError),
                               ({"pin": ("hard", 5)}, ValueError), ({"pin": 1}, ValueError),
                               ({"pin": ("soft", 0)}, ValueError), ({"pin": ()}, ValueError),
                               ({"pin": ["soft"]}, (ValueError, TypeError)),
                               ({"group": "g" * 65}, ValueError), ({"group": 7}, TypeError)):
            for call in (lambda: client.put("k", b"", **options),
                         lambda: client.put_batch(["k"], [b""], **options),
                         lambda: client.writer("k", 1, **options),
                         lambda: client.set_policy("k", **options),
                         lambda: asyncio.run(self.put_async(**options))):
                with self.assertRaises(error, msg=str(options)):
                    call()
        self.assertRaisesRegex(ValueError, "what is to be changed", client.set_policy, "k")
        self.assertNotIn("k", client)

    async def put_async(self, **options):
        async with self.open(cenote.AsyncClient) as client:
            await client.put("k", b"", **options)

    def test_pins_of_a_full_pool(self):
        """What is pinned hard stays while others go, up to a limit."""
        client, value = self.client, bytes(1 << 20)
        self.assertEqual(client.put_batch([f"p{i}" for i in range(4)], [value] * 4, pin="hard"),
                         [0] * 4)
        for i in range(40):
            pools.wait_until(lambda i=i: client.put_batch([f"{i}"], [value])[0]
                             in (0, Status.EXISTS), 20, "room")
        self.assertEqual(client.prefix([f"p{i}" for i in range(4)]), 4)
        self.assertNotIn("0", client)
        with self.assertRaises(cenote.LimitError):
            client.put("huge", bytes(6 << 20), pin="hard")

    def test_removing_a_prefix(self):
        client = self.client
        client.put_batch([f"a/{i}" for i in range(700)], [b"x"] * 700)
        client.put("b", b"1")
        self.assertEqual(client.remove_prefix("a/"), 700)
        self.assertEqual([e.key for e in client.keys()], [b"b"])
        self.assertEqual((client.remove_prefix("a/"), client.remove_prefix(b"")), (0, 1))
        with self.assertRaises(TypeError):
            client.remove_prefix(None)


class Namespaces(PoolCase):
    pool_options = {"dram": "16MiB", "options": ("--lease=300ms", "--session-grace=300ms")}

    def find(self, name):
        return next((space for space in self.client.namespaces() if space.name == name), None)

    def test_beginning_and_end(self):
        client = self.client
        wanted = Settings(quota_bytes=1 << 20, ttl=60, pin_limit_bytes=1 << 16)
        self.assertIs(client.namespace_create("mine", wanted), True)
        self.assertIs(client.namespace_create("mine"), False)
        self.assertEqual(self.find("mine")[:4], ("mine", wanted, 0, 0))
        client.namespace_set("mine", wanted._replace(quota_objects=5, ttl=None))
        self.assertEqual(self.find("mine").settings, Settings(1 << 20, 5, None, 1 << 16))
        with self.open(namespace="mine") as mine:
            mine.put("k", BLOCK)
            self.assertEqual(self.find("mine").used_objects, 1)
            with self.assertRaises(cenote.InUseError):
                client.namespace_remove("mine")
            self.assertEqual(client.namespace_clear("mine"), 1)
            self.assertNotIn("k", mine)

        def removed():
            try:
                return client.namespace_remove("mine")
            except cenote.InUseError:  # a lease, or the session
                return False
        pools.wait_until(removed, 20, "the namespace being free")
        self.assertIsNone(self.find("mine"))
        self.assertIs(client.namespace_remove("mine"), False)

    def test_a_quota(self):
        """The oldest go for the newest, and what can't go refuses."""
        client = self.client
        client.namespace_create("small", Settings(quota_bytes=1 << 20, pin_limit_bytes=1 << 20))
        with self.open(namespace="small") as small:
            small.put("firm", bytes(600 << 10), pin="hard")
            with self.assertRaises(cenote.QuotaError) as caught:
                small.put("more", bytes(600 << 10))
            self.assertIsInstance(caught.exception, cenote.NoSpaceError)
            self.assertEqual(caught.exception.code, Status.QUOTA)
            self.assertEqual(small.put_batch(["more", "x"], [bytes(600 << 10), b"x"]),
                             [Status.QUOTA, 0])
        space = self.find("small")
        self.assertEqual((space.used_objects, space.services), (2, 1))
        self.assertGreaterEqual(space.pinned_bytes, 600 << 10)

    def test_names_and_settings_that_are_none(self):
        client = self.client
        for name in ("", "with space", "x" * 65):
            self.assertRaises(cenote.InvalidError, client.namespace_create, name)
        for name in (None, 5, b"bytes", "a\0b"):
            for call in (client.namespace_create, client.namespace_clear, client.namespace_remove):
                self.assertRaises(TypeError, call, name)
        for settings in (Settings(-1), Settings(1 << 64), Settings(ttl=-1), Settings(ttl=1e10)):
            self.assertRaises(ValueError, client.namespace_create, "n", settings)
        self.assertRaises(cenote.NotFoundError, client.namespace_set, "nobody", Settings())
        self.assertRaises(cenote.NotFoundError, client.namespace_clear, "nobody")
        self.assertRaises(cenote.InvalidError, client.namespace_remove, "default")
        self.assertIsNone(self.find("n"))


class InALoop(PoolCase):
    def test_each_method(self):
        async def use():
            async with self.open(cenote.AsyncClient) as client:
                await client.put("k", b"1", ttl=60, pin="soft", group="g")
                kept = await client.get_policy("k")
                self.assertEqual(kept[1:], ("soft", None, b"g"))
                self.assertEqual(await client.put_batch(["a"], [b"1"], pin="hard"), [0])
                await client.set_policy("k", pin="hard")
                self.assertEqual(await client.set_policy_batch(["a", "none"], ttl=5),
                                 [0, Status.NOT_FOUND])
                self.assertEqual((await client.get_policy("a")).pin, "hard")
                self.assertEqual(await client.remove_prefix(""), 2)
                self.assertIs(await client.namespace_create("n"), True)
                await client.namespace_set("n", Settings(quota_objects=1))
                spaces = {space.name: space for space in await client.namespaces()}
                self.assertEqual(spaces["n"].settings.quota_objects, 1)
                self.assertEqual(await client.namespace_clear("n"), 0)
                self.assertIs(await client.namespace_remove("nobody"), False)
        asyncio.run(use())

    def test_both_clients_take_the_same(self):
        """Names and options of methods, but for those that only one has."""
        for name, method in inspect.getmembers(cenote.AsyncClient, inspect.iscoroutinefunction):
            if name.startswith("_"):
                continue
            own = dict(inspect.signature(method).parameters)
            own.pop("deadline", None)
            other = inspect.signature(getattr(cenote.Client, name)).parameters
            self.assertEqual(own, dict(other), name)


if __name__ == "__main__":
    main()
