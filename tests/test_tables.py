"""The rich tables show what they should, and text in them is never markup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from rich.console import Console, RenderableType
from runs import changed, floated, program, run, with_data

from neuro_deploy.comparison import compare, judge
from neuro_deploy.report.tables import comparison_table, program_table, trace_table, verdict_table
from neuro_deploy.report.text import number


def shown(item: RenderableType) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(item)
    return capture.get()


def test_a_comparison() -> None:
    a = run()
    text = shown(comparison_table(compare(a, changed(a, "out", "v", (3, 2, 1, 1), by=7))))
    assert "different: 1 of 1,632 values" in text
    assert "First difference: out, neuron (1, 1), step 1, sample 2" in text
    for label in ("v[t]", "v[t-1]", "u[t]", "h[t]", "spikes[t]"):
        assert label in text
    text = shown(comparison_table(compare(a, with_data(a, "fc1", "v", None))))
    assert "not enough recorded" in text and "not recorded by sim (b)" in text and "needed" in text
    assert "equal: 1,632 values" in shown(comparison_table(compare(a, a)))


def test_statistics() -> None:
    a = run()
    readout = program().readout
    text = shown(comparison_table(compare(floated(a), a, readout=readout, labels=np.zeros(4, int))))
    assert "spikes reference" in text and "4 of 4 (100.00%)" in text and "accuracy sim" in text and "v: 0, 0" in text


def test_a_verdict() -> None:
    a = run()
    good = shown(verdict_table(judge(a, lava=replace(a, backend="lava"), witnesses={"fc1": "our CF in Lava"})))
    assert "PASSED" in good and "judge of fc1" in good and "our CF in Lava" in good and "0 of 1,632" in good
    bad = shown(verdict_table(judge(a, lava=changed(a, "fc1", "v", (3, 0, 0)))))
    assert "FAILED" in bad and "1 of 1,632" in bad
    assert "Lava did not run" in shown(verdict_table(judge(a)))


def test_a_program() -> None:
    text = shown(program_table(program()))
    for part in ("4-bit unsigned", "vth 20 .. 24", "input -> fc1", "spike_count of out", program().digest, "0.0001"):
        assert part in text
    assert "a <remark>" in text and "2 x 2" in text
    bare = replace(program(), report={"other": {"x": 1}, "bounds": {"fc1": {"h": {"largest": 9, "limit": 8}}}})
    text = shown(program_table(replace(bare, readout=None, proven=False)))
    assert "other" in text and "not zero" in text and "Rounding errors" not in text


def test_a_trace() -> None:
    text = shown(trace_table(replace(run(), counters={"fc1": {"v_clips": 3}}, provenance={"numpy": "9.9"})))
    for part in ("10 steps of 0.001 s, 4 samples", "spikes, v, h, u", "0 of 5", "1: 153", "limit 3 times", "9.9"):
        assert part in text
    assert "spikes" in shown(trace_table(floated(run())))
    assert "recorded" in shown(trace_table(with_data(run(), "fc1", "spikes", None)))


def test_names_are_no_markup() -> None:
    chip = program("[red]x[/red]")
    assert "[red]x[/red]" in shown(program_table(chip))
    a = run()
    strange = replace(a, populations={"[bold]y": a.populations["fc1"]})
    assert "[bold]y" in shown(trace_table(strange))
    assert "[bold]y" in shown(comparison_table(compare(strange, strange)))


def test_numbers() -> None:
    assert [number(x) for x in (None, "", "x", 1234567, 2.0, 0.123456, float("nan"))] == [
        "–",
        "–",
        "x",
        "1,234,567",
        "2",
        "0.12346",
        "nan",
    ]
