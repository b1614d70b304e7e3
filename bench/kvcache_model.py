# SPDX-License-Identifier: Apache-2.0
"""A small decoder-only transformer in numpy, for kvcache_demo.py: bytes in, bytes out.

Its weights are drawn by a seed, so its words mean nothing; but it computes what a trained one of
its size computes: norms, rotary positions, causal attention over a cache of keys and values, a
gated feed-forward layer; in float32.
"""
import math
import typing

import numpy

VOCABULARY = 256  # a token is a byte
BASE = 10000.0  # of rotary positions


class Shape(typing.NamedTuple):
    """How large a model is."""

    layers: int
    width: int
    heads: int
    hidden: int  # width of the feed-forward layer

    def cache_bytes(self, tokens: int) -> int:
        """Of keys and values of so many tokens."""
        return self.layers * 2 * tokens * self.width * 4

    def operations(self, begin: int, end: int) -> float:
        """Multiplications and additions for the tokens from begin to end."""
        weights = self.layers * self.width * (4 * self.width + 3 * self.hidden)
        seen = (begin + end) / 2  # by each token, on average
        return 2 * (end - begin) * (weights + 2 * self.layers * self.width * seen)


class Layer(typing.NamedTuple):
    """Weights of a layer."""

    attend: numpy.ndarray  # width x 3 width: queries, keys, values
    merge: numpy.ndarray  # width x width
    gate: numpy.ndarray  # width x hidden
    up: numpy.ndarray  # width x hidden
    down: numpy.ndarray  # hidden x width


def normalise(x: numpy.ndarray) -> numpy.ndarray:
    """Root mean square 1 for each token."""
    return x / numpy.sqrt(numpy.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def attention(queries: numpy.ndarray, keys: numpy.ndarray, values: numpy.ndarray,
              heads: int) -> numpy.ndarray:
    """What each of the last tokens makes of all tokens up to itself."""
    new, seen = len(queries), len(keys)
    size = queries.shape[1] // heads

    def by_head(x):
        return x.reshape(len(x), heads, size).transpose(1, 0, 2)

    scores = by_head(queries) @ by_head(keys).transpose(0, 2, 1) / numpy.float32(math.sqrt(size))
    later = numpy.triu(numpy.ones((new, new), bool), 1)
    scores[:, :, seen - new:][:, later] = -numpy.inf
    weights = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ by_head(values)).transpose(1, 0, 2).reshape(new, heads * size)


class Model:
    """Weights, and what computes with them. It remembers nothing: a cache is its caller's."""

    def __init__(self, shape: Shape, seed: int = 1):
        random = numpy.random.default_rng(seed)

        def matrix(rows, columns):
            return (random.standard_normal((rows, columns), numpy.float32)
                    / numpy.float32(math.sqrt(rows)))

        self.shape = shape
        self.name = f"demo/{seed}/{'x'.join(map(str, shape))}"  # two models have two names
        self.embedding = matrix(VOCABULARY, shape.width) * numpy.float32(math.sqrt(VOCABULARY))
        self.layers = [Layer(matrix(shape.width, 3 * shape.width), matrix(shape.width, shape.width),
                             matrix(shape.width, shape.hidden), matrix(shape.width, shape.hidden),
                             matrix(shape.hidden, shape.width)) for _ in range(shape.layers)]
        self.head = matrix(shape.width, VOCABULARY)

    def new_cache(self, tokens: int) -> numpy.ndarray:
        """Room for keys [layer, 0] and values [layer, 1] of so many tokens. What is used before it
        was computed will show: it isn't a number."""
        return numpy.full((self.shape.layers, 2, tokens, self.shape.width), numpy.nan,
                          numpy.float32)

    def _rotate(self, x: numpy.ndarray, begin: int) -> numpy.ndarray:
        """Turns pairs of numbers by an angle that grows with the token's position."""
        size = self.shape.width // self.shape.heads
        angles = (numpy.arange(begin, begin + len(x))[:, None, None]
                  * BASE ** (-numpy.arange(0, size, 2) / size))
        sine, cosine = numpy.sin(angles).astype("f"), numpy.cos(angles).astype("f")
        pairs = x.reshape(len(x), self.shape.heads, 2, size // 2)
        one, two = pairs[:, :, 0], pairs[:, :, 1]
        return numpy.stack((one * cosine - two * sine, one * sine + two * cosine),
                           axis=2).reshape(x.shape)

    def run(self, tokens: numpy.ndarray, begin: int, cache: numpy.ndarray) -> numpy.ndarray:
        """Computes tokens, whose first is number `begin` of its text: enters their keys and values
        into the cache, which has those of all tokens before, and returns the last one's scores for
        what comes next."""
        end = begin + len(tokens)
        x = self.embedding[tokens]
        for layer, (keys, values) in zip(self.layers, cache):
            queries, new_keys, new_values = numpy.split(normalise(x) @ layer.attend, 3, axis=1)
            keys[begin:end] = self._rotate(new_keys, begin)
            values[begin:end] = new_values
            x = x + attention(self._rotate(queries, begin), keys[:end], values[:end],
                              self.shape.heads) @ layer.merge
            y = normalise(x)
            gate = y @ layer.gate
            x = x + (gate / (1 + numpy.exp(-gate)) * (y @ layer.up)) @ layer.down
        return normalise(x[-1]) @ self.head
