#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a pool does for a serving engine, to be seen: a prompt's second prefill is a copy.

    bench/kvcache_demo.py [--connect ENDPOINT] [--lengths 256,512,...] [--plot FILE.svg] [--quick]

An engine that computes a prompt keeps keys and values of each token and layer: its KV cache.
Whoever gets a prompt that begins in the same way would compute the same numbers again; here they
are fetched from the pool instead. Three things make that work, and they are what adapters for real
engines do:

  1. The cache is cut into blocks of so many tokens. A block's name is the hash of its tokens and
     of the name before it: equal names, equal texts from the very beginning (`block_names`).
  2. Before it computes, an engine asks how many of the prompt's blocks are there, and has them
     copied to where its model looks for them, in all layers at once (`PrefixCache.load`).
  3. After the first token it stores the blocks that weren't there (`PrefixCache.store`).

The model (kvcache_model.py) is small, its weights are random, its arithmetic is real. A document
and a question are asked for, then the same document and another question: without the pool; with
it; in another process; and in another process that gets its bytes by TCP, as from another machine.
Whoever answers a question must answer the same: that is asserted. Needs targets python and
cenoted, and python3-numpy. With a BLAS that is slow (Debian's libblas3) prefill is slower, and the
pool looks better: figures in documents are taken with OpenBLAS.
"""
import argparse
import concurrent.futures
import contextlib
import functools
import hashlib
import multiprocessing
import os
import pathlib
import statistics
import sys
import time
import typing

TREE = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.setdefault("CENOTE_BIN", str(TREE / "build/bin"))).resolve()
sys.path[:0] = [str(BIN.parent / "python"), str(TREE / "bench")]
import cenote  # noqa: E402 pylint: disable=wrong-import-position
import numpy  # noqa: E402 pylint: disable=wrong-import-position
import lineplot  # noqa: E402 pylint: disable=wrong-import-position
from kvcache_model import Model, Shape  # noqa: E402 pylint: disable=wrong-import-position

BLOCK = 64  # tokens
ANSWER = 24  # tokens
POOL = "512MiB"
SHAPE, LENGTHS = Shape(layers=6, width=384, heads=6, hidden=1024), (256, 512, 1024, 2048)
QUICK_SHAPE, QUICK_LENGTHS = Shape(layers=2, width=64, heads=2, hidden=160), (128, 256)
QUESTIONS = (b"\nWhat is a pool made of?\n", b"\nWhen may a view be released?\n")
WITHOUT, AGAIN_WITHOUT, FIRST, AGAIN, PROCESS, MACHINE = WAYS = (
    "without the pool, 1st question", "without the pool, 2nd question",
    "with the pool, 1st question", "with the pool, 2nd question",
    "2nd question, another process", "2nd question, by TCP")


# ---- the KV cache in the pool

def block_names(model: Model, tokens: numpy.ndarray) -> list[bytes]:
    """Of all blocks that are full: each is the hash of all that the block's numbers depend on, the
    model, the tokens before it, and its own."""
    names, name = [], hashlib.sha256(model.name.encode()).digest()
    for at in range(0, len(tokens) - BLOCK + 1, BLOCK):
        name = hashlib.sha256(name + tokens[at:at + BLOCK].tobytes()).digest()
        names.append(name)
    return names


def pieces(cache: numpy.ndarray, block: int) -> list[numpy.ndarray]:
    """Where a block lies in a cache: its keys, and its values, in each layer. Together they are
    one value of the pool."""
    tokens = slice(block * BLOCK, (block + 1) * BLOCK)
    return [part[tokens] for layer in cache for part in layer]


class PrefixCache:
    """A model's blocks in a pool."""

    def __init__(self, client: cenote.Client, model: Model):
        self._client = client
        self._block_bytes = model.shape.cache_bytes(BLOCK)

    def load(self, names: list[bytes], cache: numpy.ndarray) -> int:
        """Fetches the blocks with which a prompt begins, as many as there are; how many."""
        there = self._client.prefix(names)
        lengths = self._client.get_batch(names[:there], [pieces(cache, i) for i in range(there)])
        # One may have been evicted since it was asked for: what is behind it is of no use.
        return next((i for i, length in enumerate(lengths) if length != self._block_bytes), there)

    def store(self, names: list[bytes], cache: numpy.ndarray, first: int) -> int:
        """Stores a prompt's blocks from the first one on that wasn't there; how many are new. What
        doesn't fit, or is there by now, is no error: it is a cache."""
        results = self._client.put_batch(names[first:], [pieces(cache, i)
                                                         for i in range(first, len(names))])
        return results.count(0)


# ---- serving

class Answer(typing.NamedTuple):
    """What became of a request. Times are in seconds."""

    tokens: bytes
    reused: int  # tokens that weren't computed
    load: float
    first: float  # from the request to the first token, loading included
    store: float


class Engine:
    """Answers one request after the other, in memory for the longest, and remembers nothing of
    them: what it needn't compute it has from the pool."""

    def __init__(self, model: Model, pool: PrefixCache | None, prompt_max: int):
        self._model = model
        self._pool = pool
        self._cache = model.new_cache(prompt_max + ANSWER)

    def answer(self, prompt: bytes) -> Answer:
        """Prefill, then decoding: the most likely token, again and again."""
        begin = time.perf_counter()
        tokens, cache = numpy.frombuffer(prompt, numpy.uint8), self._cache
        names = block_names(self._model, tokens)
        # The last token is computed in any case: its scores are what the answer begins with.
        usable = names[:(len(tokens) - 1) // BLOCK]
        reused = self._pool.load(usable, cache) * BLOCK if self._pool else 0
        loaded = time.perf_counter()
        scores = self._prefill(tokens, reused)
        text = [int(numpy.argmax(scores))]
        first = time.perf_counter()
        if self._pool:
            self._pool.store(names, cache, reused // BLOCK)
        stored = time.perf_counter()
        while len(text) < ANSWER:
            scores = self._model.run(numpy.array(text[-1:]), len(tokens) + len(text) - 1, cache)
            text.append(int(numpy.argmax(scores)))
        return Answer(bytes(text), reused, loaded - begin, first - begin, stored - first)

    def _prefill(self, tokens: numpy.ndarray, begin: int) -> numpy.ndarray:
        """Block by block, as engines do it to serve others in between. It has another merit here:
        a block is computed in the same steps whether those before it were computed or fetched, so
        that not even the last bit of an answer depends on it."""
        scores = None
        for at in range(begin, len(tokens), BLOCK):
            scores = self._model.run(tokens[at:at + BLOCK], at, self._cache)
        return scores


@functools.cache
def model_of(shape: Shape) -> Model:
    """Made once in a process; the same in all, as if all had read it from one file."""
    return Model(shape)


def serve_elsewhere(endpoint: str, transport: str, shape: Shape,
                    prompts: list[bytes]) -> list[Answer]:
    """Another engine: in a process of its own, with a client and a copy of the model of its own."""
    model = model_of(shape)
    with cenote.Client(endpoint, transport=transport) as client:
        engine = Engine(model, PrefixCache(client, model), max(map(len, prompts)))
        return [engine.answer(prompt) for prompt in prompts]


# ---- the demonstration

def prompts_of(length: int, number: int) -> tuple[bytes, bytes, bytes]:
    """A document of so many tokens that nobody has asked for before, with each question; and some
    other text, to warm up."""
    text = (TREE / "include/cenote/cenote.h").read_bytes()
    document = (b"Document %d, of %d bytes.\n" % (number, length) + text)[:length]
    return document + QUESTIONS[0], document + QUESTIONS[1], b"warm up " * 16 + document[:BLOCK]


def show(endpoint: str, shape: Shape, length: int, number: int,
         others: dict[str, concurrent.futures.Executor]) -> dict[str, Answer]:
    """All ways to get an answer about one document."""
    one, two, warm = prompts_of(length, number)
    model, longest = model_of(shape), max(len(one), len(two), len(warm))
    alone = Engine(model, None, longest)
    alone.answer(warm)
    found = {WITHOUT: alone.answer(one), AGAIN_WITHOUT: alone.answer(two)}
    with cenote.Client(endpoint) as client:
        engine = Engine(model, PrefixCache(client, model), longest)
        engine.answer(warm)
        found.update({FIRST: engine.answer(one), AGAIN: engine.answer(two)})
    for way, transport in ((PROCESS, "auto"), (MACHINE, "tcp")):
        found[way] = others[way].submit(serve_elsewhere, endpoint, transport, shape,
                                        [warm, two]).result()[1]
    check(found, length)
    return found


def check(found: dict[str, Answer], length: int) -> None:
    """The pool changes when an answer comes, never which."""
    assert found[FIRST].tokens == found[WITHOUT].tokens
    for way in (AGAIN, PROCESS, MACHINE):
        assert found[way].tokens == found[AGAIN_WITHOUT].tokens, way
        assert found[way].reused == length // BLOCK * BLOCK, way
    assert found[FIRST].reused == 0


def median_of(answers: list[Answer]) -> Answer:
    """The times of several rounds, each by its median."""
    return answers[0]._replace(**{name: statistics.median(getattr(a, name) for a in answers)
                                  for name in ("load", "first", "store")})


def print_table(shape: Shape, results: dict[int, dict[str, Answer]]) -> None:
    """For each length what each way took."""
    longest = max(results)
    seconds = results[longest][AGAIN_WITHOUT].first
    print(f"{shape.layers} layers of width {shape.width}, {shape.heads} heads; "
          f"{shape.cache_bytes(1) >> 10} KiB of KV cache a token, blocks of {BLOCK} tokens; "
          f"prefill at {shape.operations(0, longest) / seconds / 1e9:.1f} GFLOP/s")
    print(f"{'document':>8}  {'':<32}{'reused':>7}{'first token':>13}{'loading':>10}"
          f"{'speed-up':>10}")
    for length, found in results.items():
        for way, a in found.items():
            before = found[AGAIN_WITHOUT].first / a.first
            print(f"{length:>8}  {way:<32}{a.reused:>7}{a.first * 1e3:>10.1f} ms"
                  f"{a.load * 1e3:>7.1f} ms{before:>9.1f}x")
    stored = results[longest][FIRST]
    print(f"Storing {shape.cache_bytes(longest) >> 20} MiB after the first token took "
          f"{stored.store * 1e3:.1f} ms. All answers are the same with and without the pool. "
          f"Load {os.getloadavg()[0]:.1f}.")


def plot(results: dict[int, dict[str, Answer]]) -> str:
    """Time to first token over the length of the document."""
    series = {way: [(length, found[way].first * 1e3) for length, found in results.items()]
              for way in (AGAIN_WITHOUT, FIRST, AGAIN, PROCESS, MACHINE)}
    return lineplot.svg("Time to first token", "tokens of the document that both questions share",
                        "milliseconds", series)


def run(endpoint: str, options) -> None:
    """Everything, against a pool that is there."""
    shape = QUICK_SHAPE if options.quick else SHAPE
    seed = time.time_ns()  # a pool that is used by others may know last time's documents
    results = {}
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        others = {way: stack.enter_context(concurrent.futures.ProcessPoolExecutor(1, spawn))
                  for way in (PROCESS, MACHINE)}
        for length in options.lengths:
            rounds = [show(endpoint, shape, length, seed + i, others)
                      for i in range(options.rounds)]
            results[length] = {way: median_of([found[way] for found in rounds]) for way in WAYS}
    print_table(shape, results)
    if options.plot:
        options.plot.write_text(plot(results), encoding="utf-8")


def main() -> None:
    """Parses the options, and finds a pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connect", metavar="ENDPOINT",
                        help="of a pool that is there; otherwise one is started, and ended")
    parser.add_argument("--lengths", type=lambda text: [int(n) for n in text.split(",")],
                        help="of the documents, in tokens")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many documents")
    parser.add_argument("--plot", type=pathlib.Path, help="draw the times there, as SVG")
    parser.add_argument("--quick", action="store_true", help="a tiny model: to see that it works")
    options = parser.parse_args()
    options.lengths = options.lengths or (QUICK_LENGTHS if options.quick else LENGTHS)
    if options.connect:
        run(options.connect, options)
    else:
        with cenote.local("64MiB" if options.quick else POOL) as pool:
            run(pool.endpoint, options)


if __name__ == "__main__":
    main()
