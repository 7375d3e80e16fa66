"""Comparisons, verdicts, programs and traces as rich tables, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import singledispatch

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..comparison import Comparison, Verdict, counter_remarks
from ..fixed import LOIHI
from ..program import ChipProgram
from ..trace import Trace
from ..wiring import Conv, Wiring
from .cause_table import distance_table, divergence_tables, steps_table
from .fit_table import fit_table
from .text import NONE, facts, number, percent, shape_text, span, table

GOOD, BAD, WARN = "bold green", "bold red", "yellow"


def comparison_table(comparison: Comparison) -> RenderableType:
    """What was compared, what was not, where the runs part."""
    style = GOOD if comparison.equal else WARN if comparison.kind == "statistics" else BAD
    parts: list[RenderableType] = [Text(comparison.summary(), style)]
    title = f"{comparison.a} against {comparison.b}"
    if comparison.exact:
        parts.append(_exact(title, comparison))
    if comparison.statistics:
        parts += [_statistics(title, comparison), distance_table(comparison)]
    if comparison.decisions:
        parts.append(_decisions(comparison))
    if comparison.first:
        parts += [*divergence_tables(comparison.first, comparison.a, comparison.b), steps_table(comparison)]
    if comparison.not_compared:
        rows = [
            (m.population, m.variable, m.reason, Text("needed", BAD) if m.needed else "")
            for m in comparison.not_compared
        ]
        parts.append(table("Not compared", ("population", "variable", "why", ""), rows))
    parts += [Text(f"note: {note}", WARN) for note in comparison.notes]
    return Group(*parts)


def _exact(title: str, comparison: Comparison) -> Table:
    rows = (
        (
            e.population,
            e.variable,
            e.span,
            number(e.values),
            Text(number(e.differing), BAD if e.differing else "green"),
            number(e.max_abs) if e.differing else "",
        )
        for e in comparison.exact
    )
    return table(title, ("population", "variable", "compared", "values#", "differing#", "largest difference#"), rows)


def _statistics(title: str, comparison: Comparison) -> Table:
    a, b = comparison.a, comparison.b
    columns = ("population", f"spikes {a}#", f"spikes {b}#", "differing#", "rate difference#", "error (max, RMS)")
    rows = []
    for s in comparison.statistics:
        errors = ", ".join(f"{name}: {most:.3g}, {rms:.3g}" for name, (most, rms) in s.errors.items())
        counts = (number(s.spikes_a), number(s.spikes_b), number(s.differing_spikes), number(s.rate_difference))
        rows.append((s.population, *counts, errors or NONE))
    return table(title, columns, rows)


def _decisions(comparison: Comparison) -> Table:
    d = comparison.decisions
    assert d is not None
    rows = [("same decision", f"{d.agreeing} of {d.samples} ({percent(d.agreement)})")]
    for name, right in ((comparison.a, d.correct_a), (comparison.b, d.correct_b)):
        if right is not None:
            rows.append((f"accuracy {name}", f"{right} of {d.samples} ({percent(right / d.samples)})"))
    return facts(rows)


def verdict_table(verdict: Verdict) -> RenderableType:
    """The verdict of a road: the sentence, the figures, who judged."""
    failed = (" NOT JUDGED ", WARN) if verdict.exact is None or verdict.exact.equal else (" FAILED ", BAD)
    label, style = (" PASSED ", GOOD) if verdict.passed else failed
    head = Text.assemble((label, f"{style} reverse"))
    head.append("  " + verdict.sentence)
    part = f" (of {number(verdict.lava_samples)} samples)" if verdict.lava_samples < verdict.samples else ""
    rows: list[tuple[str, object]] = [
        (f"accuracy {name}", percent(x) + (part if name == "lava" else "")) for name, x in verdict.accuracy.items()
    ]
    if verdict.exact:
        style = BAD if verdict.differing else "green"
        rows.append(("differing spikes, sim against Lava", Text(number(verdict.differing_spikes), style)))
        rows.append(("differing values", Text(f"{number(verdict.differing)} of {number(verdict.exact.values)}", style)))
    rows.append(("samples", f"sim {number(verdict.samples)}, Lava {number(verdict.lava_samples)}"))
    if verdict.statistics:
        counts = verdict.statistics.differing_spikes
        total = sum(s.values for s in verdict.statistics.statistics if s.differing_spikes is not None)
        if counts is not None and total:
            share = f"{number(counts)} of {number(total)} ({percent(counts / total)})"
            rows.append(("differing spikes, float against sim", share))
        if verdict.agreement is not None:
            rows.append(("same decision, float and sim", percent(verdict.agreement)))
    rows += [(f"judge of {name}", text) for name, text in verdict.witnesses.items()]
    return Group(head, facts(rows), *(Text(f"note: {remark}", WARN) for remark in verdict.remarks))


def program_table(program: ChipProgram) -> RenderableType:
    """What is in a ChipProgram: what is proven of it, its parts, how much of the chip it takes, what `compile` did."""
    style = GOOD if program.proven else WARN
    remarks = [Text(f"note: {remark}", style) for remark in program.report.get("remarks", [])]
    fit = program.report.get("fit")
    taken = [fit_table(fit)] if fit else []
    parts = (*_program_parts(program), *taken, *_compile_report(program))
    return Group(_program_head(program), *remarks, Text(), *parts)


def _program_head(program: ChipProgram) -> Table:
    wirings, readout = [s.wiring for s in program.synapses], program.readout
    nonzero, stored = (sum(int(f(w.weight)) for w in wirings) for f in (np.count_nonzero, np.size))
    weights = f"{number(stored)} stored, {number(nonzero)} of them not zero"
    decision = f"{readout.rule} of {readout.population}, {_window(readout.start, readout.stop)}" if readout else NONE
    rows: list[tuple[str, object]] = [
        ("target", program.target),
        ("digest", program.digest),
        ("dt", f"{program.dt:g} s"),
        ("longest run", f"{number(program.max_steps)} steps, then {program.depth} more to drain"),
        ("proven", Text("yes: no register can wrap or clip", "green") if program.proven else Text("no", WARN)),
        ("neurons", number(sum(p.size for p in program.populations))),
        ("connections", f"{number(sum(w.connections for w in wirings))} (weights: {weights})"),
        ("readout", decision),
        ("read as", _scheme(program.report.get("scheme"))),
    ]
    other = {k: v for k, v in asdict(program.registers).items() if v != getattr(LOIHI, k)}
    if other:
        what = ", ".join(f"{name} {value} (not {getattr(LOIHI, name)})" for name, value in other.items())
        rows.append(("registers", Text(f"not Loihi's: {what}", WARN)))
    return facts(rows)


def _scheme(told: Mapping[str, str] | None) -> str:
    """How the NIR file was read."""
    if not told:
        return NONE
    rounds = "" if told["reset"] == "value" else f", {told['rounds']} spike(s) a step at most"
    return f"{told['discretization']}; reset {told['reset']}{rounds}; fires at h {told['fires']} threshold"


def _program_parts(program: ChipProgram) -> Iterator[Table]:
    rows: list[tuple[object, ...]] = []
    for e in program.encoders:
        rule = f"x * {e.numerator}/{e.denominator}" + (f" + {e.offset}" if e.offset else "")
        rows.append((e.name, shape_text(e.shape), rule, e.format, f"{e.low} .. {e.high}"))
    yield table("Inputs", ("name", "shape", "integer", "format", "clipped to"), rows)
    rows = []
    for p in program.populations:
        params = ", ".join(f"{name} {span(values)}" for name, values in p.params.items())
        rows.append((p.name, p.kind, shape_text(p.shape), p.latency, params))
    yield table("Populations", ("name", "kind", "shape", "latency#", "integer parameters"), rows)
    rows = []
    for s in program.synapses:
        counts = (number(n) for n in (s.wiring.connections, s.weight.size, int(np.count_nonzero(s.weight))))
        ends = f"{s.source} -> {s.target}"
        rows.append((s.name, ends, s.kind, _layout(s.wiring), s.exponent, s.delay, span(s.weight), *counts))
    columns = ("name", "from, to", "kind", "layout", "exponent#", "delay#", "weights", "connections#", "stored#")
    yield table("Synapses", (*columns, "not zero#"), rows)


@singledispatch
def _layout(wiring: Wiring) -> str:
    """How many targets and sources; of a convolution the kernel, and what is not its default."""
    return f"{wiring.target_size} x {wiring.source_size}"


@_layout.register
def _(wiring: Conv) -> str:
    parts = [f"kernel {shape_text(wiring.weight.shape[2:])}"]
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = getattr(wiring, name)
        if value != (default, default):
            parts.append(f"{name} {shape_text(value)}")
    parts += [f"groups {wiring.groups}"] if wiring.groups > 1 else []
    return ", ".join([*parts, f"{shape_text(wiring.source_shape)} -> {shape_text(wiring.target_shape)}"])


def _window(start: int, stop: int) -> str:
    return "all steps" if not (start or stop) else f"steps {start} .. {stop - 1 if stop else 'last'}"


def _compile_report(program: ChipProgram) -> Iterator[RenderableType]:
    report = {k: v for k, v in program.report.items() if k not in ("remarks", "fit")}
    roundings = report.pop("roundings", None)
    if roundings:
        rows = [(node, name, f"{most:.3g}", f"{rms:.3g}") for node, name, most, rms in roundings]
        yield table("Rounding errors", ("where", "parameter", "largest#", "RMS#"), rows)
    bounds = report.pop("bounds", None)
    if isinstance(bounds, dict) and bounds:
        flat = [(name, register, value) for name, registers in bounds.items() for register, value in registers.items()]
        columns = ("population", "register", "reaches#", "limit#")
        yield table("Bounds, for any input", columns, [_bound(*f) for f in flat])
    if report:
        yield facts([(LABELS.get(name, name.replace("_", " ")), _short(value)) for name, value in report.items()])


LABELS = {"input_range": "input (low, high, step)", "proof_loss_bits": "bits lost for the proof"}


def _bound(name: str, register: str, value: object) -> tuple[object, ...]:
    if isinstance(value, dict) and {"largest", "limit"} <= set(value):
        over = value["largest"] > value["limit"]
        return name, register, Text(number(value["largest"]), WARN if over else ""), number(value["limit"])
    return name, register, _short(value), NONE


def _short(value: object) -> str:
    if isinstance(value, list) and all(isinstance(v, (int, float, str)) for v in value):
        text = ", ".join(map(number, value))
    else:
        text = number(value) if isinstance(value, (int, float, str)) else str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def trace_table(trace: Trace) -> RenderableType:
    """What a run recorded: how much each population fires, and its potentials."""
    head = facts(
        [
            ("run by", f"{trace.backend} ({trace.kind})"),
            ("size", f"{number(trace.steps)} steps of {trace.dt:g} s, {number(trace.batch)} samples"),
            ("program", trace.digest or NONE),
            *trace.provenance.items(),
        ]
    )
    columns = ("name", "shape", "latency#", "recorded", "silent#", "rate#", "spikes#")
    activity = [_activity(trace, name) for name in trace.populations]
    parts: list[RenderableType] = [head, Text(), table("Populations", columns, activity)]
    parts.append(table("Values", ("name", "how often each spike value occurs", "v"), _values(trace)))
    parts += [Text(f"note: {remark}", WARN) for remark in counter_remarks(trace)]
    return Group(*parts)


def _activity(trace: Trace, name: str) -> tuple[object, ...]:
    recording = trace.populations[name]
    spikes = silent = rate = NONE
    if "spikes" in recording.data:
        s = trace.aligned(name, "spikes")
        spikes = number(float(np.abs(s).sum(dtype=np.float64)))
        rate = f"{np.abs(s).mean(dtype=np.float64):.4f}"
        silent = f"{int((~s.any(axis=(0, 1))).sum())} of {recording.size}"
    recorded = ", ".join(recording.data)
    return name, shape_text(recording.shape), recording.latency, recorded, silent, rate, spikes


def _values(trace: Trace) -> Iterator[tuple[str, str, str]]:
    for name, recording in trace.populations.items():
        counts = NONE
        if "spikes" in recording.data:
            s = trace.aligned(name, "spikes")
            counts = _histogram(s[s != 0])
        yield name, counts, span(recording.data["v"]) if "v" in recording.data else NONE


def _histogram(fired: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    """How often each value that is not zero occurs: "1: 20, 2: 3"; only the range if there are many."""
    values, counts = np.unique(fired, return_counts=True)
    if len(values) > 6 or (fired.dtype.kind == "f" and (values != np.rint(values)).any()):
        return span(values)
    return ", ".join(f"{number(v.item())}: {number(int(n))}" for v, n in zip(values, counts, strict=True)) or NONE
