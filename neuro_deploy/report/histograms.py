"""How often which potential h stood before firing, against the thresholds: a histogram of each population, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..comparison import input_names
from ..comparison.runs import run_names
from .text import number
from .two_runs import Runs, chip_numbers, flat, thresholds

BINS = 60
MOST_VALUES = 1 << 22
"""Values of one run that are counted: those of the first samples."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 210, 62, 14, 12, 40
BELOW, ABOVE, OTHER = "#9aa7b1", "#0072b2", "#e69f00"
"""Below and above the first threshold, and the other run.  Source: Okabe and Ito, 2008."""
MOST_LEVELS = 8


class Histogram(NamedTuple):
    """Counts of h of a population.  low, width: of the bins, each without its lower and with its upper end (firing is
    strict).   counts: of each run that recorded h, with its name.   levels: thresholds within, with their names.
    samples, above: what was counted, and the
    share above the first threshold."""

    population: str
    low: float
    width: float
    counts: tuple[tuple[str, NDArray[np.int64]], ...]
    levels: tuple[tuple[float, str], ...]
    unit: str
    samples: int
    above: float | None


def histograms(runs: Runs) -> Iterator[Histogram]:
    """A histogram of each population of which a run recorded h."""
    inputs = input_names(runs.a, runs.b)
    names = run_names(runs.a, runs.b)
    for name in dict.fromkeys([*runs.a.populations, *runs.b.populations]):
        held = [
            (label, _values(runs, trace, name))
            for label, trace in zip(names, (runs.a, runs.b), strict=True)
            if name not in inputs and name in trace.populations and "h" in trace.populations[name].data
        ]
        held = [(label, values) for label, values in held if values.size]
        if held:
            yield _histogram(runs, name, held)


def _values(runs: Runs, trace: Any, name: str) -> NDArray[np.float64]:
    """h of the logical steps, (steps, samples, N), in the units shown; of as many samples as MOST_VALUES allows."""
    recording = trace.populations[name]
    size = recording.size
    samples = max(1, min(runs.result.samples, MOST_VALUES // max(1, trace.steps * size)))
    h = trace.aligned(name, "h")[:, :samples].reshape(trace.steps, samples, size).astype(np.float64)
    return h if runs.exact else np.asarray(h * flat(np.asarray(recording.unit), size))


def _histogram(runs: Runs, name: str, held: Sequence[tuple[str, NDArray[np.float64]]]) -> Histogram:
    known = thresholds(runs, name)
    relative = known is not None and bool((known.theta > 0).all())
    values = [(label, h / known.theta if known is not None and relative else h) for label, h in held]
    finite = [(label, h[np.isfinite(h)]) for label, h in values]
    levels = _levels(known) if known is not None and relative else []
    everything = np.concatenate([h for _, h in finite]) if finite else np.zeros(1)
    low, high = (float(x) for x in np.quantile(everything, (0.0005, 0.9995))) if everything.size else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 1.1 if relative else low + 1e-9)
    width = nice((high - low) / BINS)
    first = math.floor(low / width)
    bins = max(1, math.ceil(high / width) - first)
    counts = tuple((label, _count(h / width - first, bins)) for label, h in finite)
    above = float((finite[0][1] > 1).mean()) if relative and finite[0][1].size else None
    unit = "h / θ" if relative else "h, chip integers" if chip_numbers(runs) else "h, float units"
    inside = tuple((x, text) for x, text in levels if first * width < x < (first + bins) * width)
    samples = values[0][1].shape[1]
    return Histogram(name, first * width, width, counts, inside, unit, samples, above)


def _levels(known: Any) -> list[tuple[float, str]]:
    """k for k = 1..K, and -k * theta_neg / theta where that is one number."""
    up = [(float(k), f"{k if k > 1 else ''}θ") for k in range(1, min(MOST_LEVELS, int(known.rounds.max())) + 1)]
    ratio = known.theta_neg / known.theta
    down = min(MOST_LEVELS, int(known.rounds_neg.max())) if np.ptp(ratio) == 0 else 0
    return up + [(-k * float(ratio[0]), f"−{k if k > 1 else ''}θ′") for k in range(1, down + 1)]


def nice(rough: float) -> float:
    """The smallest 1, 2, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))


def _count(places: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """How many lie in each bin; what lies beyond the ends is counted in the outermost."""
    index = np.ceil(places - 1e-9).astype(np.int64) - 1
    return np.bincount(np.clip(index, 0, bins - 1), minlength=bins)


def svg(found: Histogram) -> str:
    """The histogram as an SVG element; counts on a logarithmic axis."""
    most = max(int(counts.max()) for _, counts in found.counts)
    decades = max(1, math.ceil(math.log10(most + 1)))
    across, up = (WIDTH - LEFT - RIGHT) / len(found.counts[0][1]), (HEIGHT - TOP - BOTTOM) / decades
    base = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - found.low) / found.width * across

    def y(count: float) -> float:
        return base - math.log10(count + 1) * up

    parts = [*_grid(decades, base, up), *_bars(found, across, base, y), *_outline(found, across, base, y)]
    last = -math.inf
    for value, text in sorted(found.levels):
        parts.append(f'<path d="M{x(value):.1f} {TOP}V{base}" stroke="#1d252c" stroke-dasharray="5 3" fill="none"/>')
        if x(value) - last > 22:
            parts.append(f'<text x="{x(value) + 3:.1f}" y="{TOP + 9}" class="level">{text}</text>')
            last = x(value)
    for value in _ticks(found):
        parts.append(f'<text x="{x(value):.1f}" y="{base + 15}" text-anchor="middle">{number(value)}</text>')
    below = f'x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 5}"'
    beside = f'transform="translate(11 {(TOP + base) / 2:.0f}) rotate(-90)"'
    parts.append(f'<text {below} text-anchor="middle">{found.unit}</text>')
    parts.append(f'<text {beside} text-anchor="middle">count</text>')
    title = escape(f"Histogram of h of {found.population}: {told(found)}")
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="histogram" aria-label="{title}">'
    return head + "".join(parts) + "</svg>"


def told(found: Histogram) -> str:
    """What the histogram shows, in a sentence."""
    share = "" if found.above is None else f"{found.above:.1%} of the decisions above θ; "
    return f"{share}{number(found.samples)} sample{'s' if found.samples != 1 else ''}"


def _grid(decades: int, base: float, up: float) -> Iterator[str]:
    for k in range(decades + 1):
        at = base - math.log10(10**k + 1 if k else 1) * up
        label = "0" if k == 0 else number(10**k)
        if k == 0 or at >= TOP:
            yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e6eaee"/>'
            yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>'


def _bars(found: Histogram, across: float, base: float, y: Any) -> Iterator[str]:
    first = min((v for v, text in found.levels if v > 0), default=math.inf)
    for i, count in enumerate(found.counts[0][1]):
        if count:
            colour = ABOVE if found.low + (i + 0.5) * found.width > first else BELOW
            box = f'x="{LEFT + i * across:.1f}" y="{y(count):.1f}" width="{max(0.6, across - 0.8):.1f}"'
            yield f'<rect {box} height="{base - y(count):.1f}" fill="{colour}"/>'


def _outline(found: Histogram, across: float, base: float, y: Any) -> Iterator[str]:
    """The second run as a line of steps."""
    for _, counts in found.counts[1:]:
        path = f"M{LEFT} {base}" + "".join(f"V{y(c):.1f}h{across:.3f}" for c in counts) + f"V{base}"
        yield f'<path d="{path}" fill="none" stroke="{OTHER}" stroke-width="1.8"/>'


def _ticks(found: Histogram) -> list[float]:
    bins = len(found.counts[0][1])
    step = nice(bins * found.width / 7)
    first = math.ceil(found.low / step - 1e-9)
    end = found.low + bins * found.width
    return [round(k * step, 10) for k in range(first, first + 12) if k * step <= end + 1e-9]
