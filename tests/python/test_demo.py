#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench/kvcache_demo.py in its quick form; and that its answers depend on what the pool gives."""
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from suite import SOURCE, PoolCase, main, numpy, pools

DEMO = SOURCE / "bench/kvcache_demo.py"
sys.path.insert(0, str(SOURCE / "bench"))
if numpy is None:
    pools.skip("no python3-numpy")
import kvcache_demo as demo  # noqa: E402 pylint: disable=wrong-import-position


class Quick(PoolCase):
    def test_the_program(self):
        """It asserts by itself that answers are the same."""
        with tempfile.TemporaryDirectory() as directory:
            plot = pathlib.Path(directory) / "plot.svg"
            done = subprocess.run([sys.executable, DEMO, "--quick", "--plot", plot],
                                  capture_output=True, text=True, timeout=120 * pools.SLOWNESS,
                                  check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            drawn = xml.etree.ElementTree.parse(plot)
        for length in demo.QUICK_LENGTHS:
            rows = re.findall(rf"^ +{length}  (.*?)  +(\d+) .* ms .* ms ", done.stdout, re.M)
            self.assertEqual([name for name, _ in rows], list(demo.WAYS), done.stdout)
            self.assertEqual([int(n) for _, n in rows], [0, 0, 0, length, length, length])
        self.assertIn(demo.MACHINE, "".join(drawn.getroot().itertext()))


class Prefixes(PoolCase):
    def setUp(self):
        super().setUp()
        self.model = demo.model_of(demo.QUICK_SHAPE)
        self.cache = demo.PrefixCache(self.client, self.model)
        self.engine = demo.Engine(self.model, self.cache, 8 * demo.BLOCK)
        self.prompt = demo.prompts_of(4 * demo.BLOCK, 0)[0]
        self.names = demo.block_names(self.model, numpy.frombuffer(self.prompt, numpy.uint8))

    def test_names_tell_texts_apart_from_their_beginning(self):
        other = bytearray(self.prompt)
        other[0] ^= 1
        names = demo.block_names(self.model, numpy.frombuffer(other, numpy.uint8))
        self.assertEqual((len(names), len(self.names)), (4, 4))
        self.assertFalse(set(names) & set(self.names))
        other = bytearray(self.prompt)
        other[2 * demo.BLOCK] ^= 1
        names = demo.block_names(self.model, numpy.frombuffer(other, numpy.uint8))
        self.assertEqual([a == b for a, b in zip(names, self.names)], [True, True, False, False])

    def test_a_gap_is_computed(self):
        first = self.engine.answer(self.prompt)
        self.assertEqual(first.reused, 0)
        self.client.remove(self.names[2])
        again = self.engine.answer(self.prompt)
        self.assertEqual((again.tokens, again.reused), (first.tokens, 2 * demo.BLOCK))
        self.assertEqual(self.engine.answer(self.prompt).reused, 4 * demo.BLOCK)

    def test_what_is_fetched_counts(self):
        """With other keys and values in the pool the answer is another: it is really used."""
        first = self.engine.answer(self.prompt)
        self.client.put_batch(self.names, [bytes(self.model.shape.cache_bytes(demo.BLOCK))] * 4,
                              replace=True)
        again = self.engine.answer(self.prompt)
        self.assertEqual(again.reused, 4 * demo.BLOCK)
        self.assertNotEqual(again.tokens, first.tokens)
        self.client.put_batch(self.names, [b"too short"] * 4, replace=True)
        self.assertEqual(self.engine.answer(self.prompt)[:2], (first.tokens, 0))


if __name__ == "__main__":
    main()
