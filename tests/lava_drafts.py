"""Networks for the tests that compare executors: what is connected with what, before any number is drawn.

`sketch` asks a chooser for each decision: hypothesis in `drafts()`, so that a failing network shrinks to a small one,
or a random generator in `random_draft()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

KINDS = ("lif", "cf", "li", "lif-reset", "cf-current", "cf-signed", "cf-signed-current", "cf-reset", "cf-reset-current")
WIRINGS = ("dense", "sparse", "conv")
STYLES = ("gentle", "edge", "violent", "any")
"""gentle: small multiples of 64, so that h meets k*theta; edge: 2^k - 1, 2^k, -2^k; violent: registers overflow;
any: over the registers' full range."""

Shape = tuple[int, int, int]
Pair = tuple[int, int]
Choose = Callable[[Sequence[Any]], Any]
LARGEST = 40
"""Neurons of a population, more or less."""


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution; pairs are (vertical, horizontal)."""

    channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def over(self, shape: Shape) -> Shape:
        """The shape that it makes of one."""
        sides = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(shape[1:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        ]
        return (self.channels, sides[0], sides[1])


@dataclass(frozen=True)
class Link:
    """A synapse.  window: of a convolution."""

    source: str
    wiring: str
    delay: int = 0
    window: Window | None = None


@dataclass(frozen=True)
class Layer:
    """A population and what it receives.  late: steps that its latency is more than its depth."""

    kind: str
    style: str
    shape: Shape
    links: tuple[Link, ...]
    late: int = 0


@dataclass(frozen=True)
class Draft:
    """A network.  bits, negative: of the input's payload.   seed: of all numbers."""

    bits: int
    negative: bool
    shape: Shape
    layers: tuple[Layer, ...]
    seed: int


def sketch(choose: Choose, kinds: Sequence[tuple[str, str, str]] | None = None) -> Draft:
    """A network of populations, each behind one before it, with skips, recurrence and delays.

    choose: gives one of a sequence.   kinds: (kind, style, wiring of its first synapse) of each population, if given.
    """
    shape = _shape(choose)
    senders, layers = {"in": shape}, []
    for index in range(len(kinds) if kinds else choose((1, 2, 3, 4))):
        kind, style, wiring = kinds[index] if kinds else (choose(KINDS), choose(STYLES), choose(WIRINGS))
        name = f"p{index}"
        source = list(senders)[-1] if kinds else choose(list(reversed(senders)))
        first, target = _first(choose, source, senders[source], wiring)
        if kind != "li":
            senders[name] = target
        links = [first]
        for other in choose(((), (name,), ("in",), (name, "in"), (choose(list(senders)),))):
            if other in senders:
                links.append(_further(choose, other, senders[other], target))
        layers.append(Layer(kind, style, target, tuple(links), choose((0, 0, 1, 2))))
    bits = choose((1, 4, 8, 16))
    return Draft(bits, bits > 1 and choose((False, True)), shape, tuple(layers), choose(range(1 << 32)))


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """A network that hypothesis chooses."""
    return sketch(lambda options: draw(st.sampled_from(options)))


def random_draft(seed: int, kinds: Sequence[tuple[str, str, str]] | None = None) -> Draft:
    """A network that a random generator chooses."""
    rng = np.random.default_rng(seed)
    return sketch(lambda options: options[int(rng.integers(len(options)))], kinds)


def _shape(choose: Choose) -> Shape:
    """A list, a row of channels or an image of channels."""
    height, width = choose(((1, 1), (1, 1), (1, 4), (1, 6), (2, 3), (3, 2), (3, 3), (4, 3), (3, 5)))
    return (choose(range(1, 8 if height * width == 1 else 4)), height, width)


def _first(choose: Choose, source: str, shape: Shape, wiring: str) -> tuple[Link, Shape]:
    """The synapse that makes a population's shape."""
    delay = choose((0, 0, 0, 1, 3))
    if wiring != "conv":
        return Link(source, wiring, delay), _shape(choose)
    sides = [_side(choose, n) for n in shape[1:]]
    kernel, stride, padding, dilation = ((sides[0][i], sides[1][i]) for i in range(4))
    groups = choose([g for g in range(1, shape[0] + 1) if shape[0] % g == 0])
    window = Window(groups, kernel, stride, padding, dilation, groups)
    more = max(1, min(3, LARGEST // int(np.prod(window.over(shape)))))
    window = replace(window, channels=groups * choose(range(1, more + 1)))
    return Link(source, "conv", delay, window), window.over(shape)


def _side(choose: Choose, n: int) -> tuple[int, int, int, int]:
    """(kernel, stride, padding, dilation) along one side of n; a side of one has none of them."""
    if n == 1:
        return 1, 1, 0, 1
    padding, dilation = choose((0, 1)), choose((1, 2))
    most = min(3, (n + 2 * padding - 1) // dilation + 1)
    return choose(range(1, most + 1)), choose((1, 2, 3)), padding, dilation


def _further(choose: Choose, source: str, shape: Shape, target: Shape) -> Link:
    """One more synapse into a population; a convolution that keeps the sides where they are equal."""
    wiring, delay = choose(WIRINGS), choose((0, 0, 0, 1, 2))
    if wiring != "conv":
        return Link(source, wiring, delay)
    if shape[1:] != target[1:]:
        return Link(source, "sparse", delay)
    kernel = tuple(1 if n == 1 else choose((1, 3)) for n in shape[1:])
    dilation = tuple(1 if n == 1 else choose((1, 2)) for n in shape[1:])
    padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return Link(source, "conv", delay, Window(target[0], kernel, (1, 1), padding, dilation))  # type: ignore[arg-type]
