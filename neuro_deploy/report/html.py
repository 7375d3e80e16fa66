"""The report: one HTML file that opens from disk, without network, with the verdict on top."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import nir
import numpy as np
from markupsafe import Markup

from ..comparison import Comparison, Verdict, input_names
from ..comparison.runs import run_names
from ..errors import InputError
from ..estimates import Estimate
from ..explanation import Explanation
from ..files import write_text
from ..program import ChipProgram
from ..trace import Trace
from .cause_table import account_rows
from .estimate_table import COLUMNS, benchmark_rows, layer_rows, remarks, summary_rows
from .explain_html import explain_sections
from .fit_table import facts_of, fullest_rows, population_rows
from .graph_svg import graph_svg, program_svg
from .histograms import histograms, svg, told
from .page import rendered, text_of
from .provenance import flat_text, known_of
from .text import NONE, number, percent, shape_text
from .two_runs import Runs
from .views import view

SCRIPTS = ("plot.js", "raster.js", "potentials.js", "report.js")


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    result: Comparison | Verdict,
    a: Trace,
    b: Trace,
    program: ChipProgram | None = None,
    stages: Sequence[tuple[str, float]] = (),
    estimate: Estimate | None = None,
    graph: nir.NIRGraph | None = None,
    explained: Explanation | None = None,
    provenance: Mapping[str, object] | None = None,
) -> None:
    """Write a self-contained HTML report of two runs, atomically; the same arguments give the same bytes.

    result: what `compare(a, b)` or `judge` found.   a, b: the runs that are drawn.
    program: for the thresholds and the facts about it.   stages: (name, seconds).
    estimate: of energy and time on the chip.   graph: the network that is drawn (else the program is, if there is one).
    explained: what each number format costs.
    provenance: versions, commands and whatever else a reader needs to repeat it (mappings may nest).
    Raises: FileError; InputError if the verdict holds no comparison of a and b.
    """
    runs = Runs(a, b, _main(result, a, b), program)
    write_text(path, render(title, result, runs, stages, provenance or {}, estimate, graph, explained))


def _main(result: Comparison | Verdict, a: Trace, b: Trace) -> Comparison:
    """The comparison of a and b: exact for runs of one kind, else the statistics."""
    if isinstance(result, Comparison):
        return result
    found = result.exact if a.kind == b.kind else result.statistics
    if found is None:
        raise InputError(f"report: the verdict holds no comparison of {a.backend} and {b.backend}")
    return found if found.kind == "exact" or found.a == a.backend else _swapped(found)


def _swapped(found: Comparison) -> Comparison:
    """The same statistics with the runs named the other way round, for drawing only."""
    return Comparison(found.kind, found.b, found.a, found.steps, found.samples, not_compared=found.not_compared)


def render(
    title: str,
    result: Comparison | Verdict,
    runs: Runs,
    stages: Sequence[tuple[str, float]],
    provenance: Mapping[str, object],
    estimate: Estimate | None = None,
    graph: nir.NIRGraph | None = None,
    explained: Explanation | None = None,
) -> str:
    """The report's text."""
    verdict = result if isinstance(result, Verdict) else None
    exact = verdict.exact if verdict else result if isinstance(result, Comparison) and result.exact else None
    shown = verdict.statistics if verdict else runs.result if runs.result.statistics else None
    parts = {
        "script": Markup("\n".join(map(text_of, SCRIPTS))),
        "title": title,
        "banner": banner(result),
        "figures": list(_figures(result)),
        "exact": exact,
        "statistics": shown,
        "first": exact.first if exact else None,
        "account": list(account_rows(exact.first.cause)) if exact and exact.first and exact.first.cause else [],
        "notes": _notes(result, exact, shown),
        "not_compared": [m for c in (exact, shown) if c for m in c.not_compared],
        "counts": list(_counts(runs)),
        "names": run_names(runs.a, runs.b),
        "witnesses": verdict.witnesses if verdict else {},
        "stages": stages,
        "estimate": _estimate(estimate) if estimate else None,
        "graph": _graph(graph, runs),
        "explained": Markup(explain_sections(explained)) if explained else "",
        "histograms": [(h.population, Markup(svg(h)), told(h), [n for n, _ in h.counts]) for h in histograms(runs)],
        "fit": _fit(runs.program),
        "provenance": [*flat_text(provenance), *known_of(runs)],
        "data": view(runs),
    }
    return rendered("report.html.j2", parts)


def banner(result: Comparison | Verdict) -> dict[str, str]:
    """The verdict: a state (good, bad, open), a sign, a word, a sentence."""
    if isinstance(result, Verdict):
        sentence = result.sentence
        if result.passed:
            word, state = "Passed", "good"
        else:
            different = result.exact is not None and result.exact.differing > 0
            word, state = ("Failed", "bad") if different else ("Not judged", "open")
    else:
        sentence = result.summary()
        if result.equal:
            word, state = "Equal", "good"
        elif result.differing:
            word, state = "Different", "bad"
        else:
            word, state = ("Statistics" if result.kind == "statistics" else "Not enough recorded"), "open"
    sentence = sentence.removeprefix(f"{word.lower()}: ")
    sentence = sentence[:1].upper() + sentence[1:]
    return {"state": state, "sign": {"good": "✓", "bad": "✗", "open": "!"}[state], "word": word, "sentence": sentence}


def _figures(result: Comparison | Verdict) -> Iterator[tuple[str, str]]:
    """(value, what it is), for the row below the verdict."""
    if isinstance(result, Verdict):
        for name, fraction in result.accuracy.items():
            yield percent(fraction), f"accuracy {name}"
        if result.exact:
            yield number(result.differing), f"of {number(result.exact.values)} numbers differ, sim against Lava"
            yield number(result.differing_spikes), "spikes differ, sim against Lava"
        if result.agreement is not None:
            yield percent(result.agreement), "same decision, float and sim"
        yield number(result.lava_samples), f"of {number(result.samples)} samples judged by Lava"
        return
    if result.kind == "exact":
        yield number(result.differing), f"of {number(result.values)} values differ"
    yield number(result.differing_spikes), "spikes differ"
    if result.decisions:
        yield percent(result.decisions.agreement), "same decision"
        for name, right in ((result.a, result.decisions.correct_a), (result.b, result.decisions.correct_b)):
            if right is not None:
                yield percent(right / result.decisions.samples), f"accuracy {name}"
    yield number(result.samples), "samples compared"


def _notes(result: Comparison | Verdict, *parts: Comparison | None) -> list[str]:
    notes = list(result.remarks) if isinstance(result, Verdict) else []
    return list(dict.fromkeys([*notes, *(note for c in parts if c for note in c.notes)]))


def _counts(runs: Runs) -> Iterator[tuple[str, str, list[str]]]:
    """Per population: name, shape, spikes and spikes per neuron-step of both runs (logical steps)."""
    inputs, samples = input_names(runs.a, runs.b), runs.result.samples
    for name in dict.fromkeys([*runs.a.populations, *runs.b.populations]):
        cells = []
        shape: tuple[int, ...] = ()
        for trace in (runs.a, runs.b):
            recording = trace.populations.get(name)
            if recording is None or "spikes" not in recording.data:
                cells += [NONE, NONE]
                continue
            shape = recording.shape
            s = trace.aligned(name, "spikes")[:, :samples]
            total = float(np.abs(s).sum(dtype=np.float64))
            cells += [number(total), f"{total / max(1, s.size):.4f}"]
        yield name + (" (input)" if name in inputs else ""), shape_text(shape), cells


def _estimate(found: Estimate) -> dict[str, object]:
    """Texts of an estimate: facts, the columns of its layers and their rows, remarks."""
    facts = [*summary_rows(found), *benchmark_rows(found)]
    layers = {"columns": [name.rstrip("#") for name in COLUMNS], "rows": list(layer_rows(found))}
    return {"target": found.target, "samples": found.samples, "facts": facts, "remarks": list(remarks(found)), **layers}


def _graph(graph: nir.NIRGraph | None, runs: Runs) -> Markup | None:
    """The network, else the program, as SVG."""
    if graph is not None:
        return Markup(graph_svg(graph, runs.a.dt))
    return Markup(program_svg(runs.program)) if runs.program else None


def _fit(program: ChipProgram | None) -> dict[str, object] | None:
    """Texts of how much of the chip a program takes, if `compile` said so."""
    fit = program.report.get("fit") if program else None
    if not fit:
        return None
    sentence, columns, fullest = facts_of(fit)
    found = {"sentence": sentence, "columns": columns, "rows": list(population_rows(fit)), "notes": fit["notes"]}
    return {**found, "fullest_columns": fullest, "fullest": list(fullest_rows(fit)), "target": fit["target"]}
