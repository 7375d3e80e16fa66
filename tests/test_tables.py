"""The rich tables show what they should, and text in them is never markup."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from rich.console import Console, RenderableType
from runs import changed, floated, program, run, with_data

from neuro_deploy.comparison import compare, judge
from neuro_deploy.fixed import Registers
from neuro_deploy.lower.fit import fit
from neuro_deploy.program import Population
from neuro_deploy.program.data import Synapse
from neuro_deploy.report.fit_table import fit_table
from neuro_deploy.report.summary import program_summary
from neuro_deploy.report.tables import comparison_table, program_table, trace_table, verdict_table
from neuro_deploy.report.text import number
from neuro_deploy.target import load_target
from neuro_deploy.wiring import Conv, Sparse


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


def test_what_compile_proved_comes_first() -> None:
    proven = replace(program(), report={"remarks": ["cannot overflow: no register can wrap"]})
    text = shown(program_table(proven))
    assert text.index("cannot overflow") < text.index("Inputs")
    open_ = replace(program(), proven=False, report={"remarks": ["not proven: x", "fc1: register h can reach 9"]})
    text = shown(program_table(open_))
    assert text.index("not proven") < text.index("register h can reach 9") < text.index("Inputs")


def test_a_convolution_and_other_registers() -> None:
    conv = Conv(np.ones((4, 1, 3, 2), np.int32), (2, 8, 8), (2, 2), (1, 0), (1, 3), 2)
    base = program()
    params = base.populations[0].params | {"vth": 20, "bias_mant": 0}
    cf = Population("img", "cf", conv.target_shape, params, 1, np.asarray(1.0))
    some = Sparse.of(np.array([0, 1]), np.array([3, 0]), np.array([0, 5]), (conv.target_size, conv.target_size))
    chip = replace(
        base,
        encoders=(replace(base.encoders[0], shape=conv.source_shape),),
        populations=(cf,),
        synapses=(Synapse("c", "input", "img", conv), Synapse("loop", "img", "img", some, -3, 2)),
        readout=None,
        registers=Registers(v_bits=20),
    )
    text = shown(program_table(chip))
    layout = "kernel 3 x 2, stride 2 x 2, padding 1 x 0, dilation 1 x 3, groups 2, 2 x 8 x 8 -> 4 x 4 x 3"
    for part in (layout, "sparse", "48 x 48", "v_bits 20 (not 24)", "26 stored, 25 of them not zero"):
        assert part in text, part
    assert "not Loihi's" not in shown(program_table(base))
    conv_json, loop_json = program_summary(chip)["synapses"]
    assert (conv_json["kind"], conv_json["stored_weights"]) == ("conv", 24)
    assert conv_json["connections"] == conv.connections == len(conv.triples()[0])
    assert (loop_json["kind"], loop_json["connections"], loop_json["delay"]) == ("sparse", 2, 2)


def test_the_fit_is_shown_without_the_target() -> None:
    chip = program()
    told = json.loads(json.dumps(fit(chip, load_target("loihi1")).to_dict()))
    chip = replace(chip, report={"fit": told})
    text = shown(program_table(chip))
    for part in ("2 cores of 128 a chip, 1 chip", "of a chip", "1.56%", "5 (0%)", "131,072", "upper bound of cores"):
        assert part in text, part
    summary = program_summary(chip)
    assert summary["fit"] == told and "fit" not in summary["report"]
    assert "not published" in shown(fit_table(fit(chip, load_target("loihi2")).to_dict()))
    told["populations"][0]["fullest"]["neurons"] = 2048
    assert "2,048 (200%)" in shown(fit_table(told))
    assert "chips: not published" in shown(fit_table(told | {"chips": 0, "cores_per_chip": 0}))
    assert program_summary(program())["fit"] is None


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
