"""shrink: planted faults in networks of several hundred neurons become a handful, and still differ from their file."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import networks
import numpy as np
import pytest
from runs import with_data

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.cli import run as command
from neuro_deploy.errors import FormatError, InputError
from neuro_deploy.program import ChipProgram
from neuro_deploy.shrinking import Judge, between_backends, between_programs, load_case, save_case, shrink
from neuro_deploy.shrinking.case import Case, at_once, keep, without
from neuro_deploy.shrinking.smallest import smallest
from neuro_deploy.trace import Trace

STEPS, SAMPLES = 10, 8


@cache
def program() -> ChipProgram:
    return nd.compile(networks.chain(seed=7, sizes=(40, 160, 120, 30)), "loihi2", max_steps=STEPS)


@cache
def pixels() -> Any:
    return networks.pixels(STEPS, SAMPLES, 40, seed=2)


def one_weight(chip: ChipProgram, at: int, by: int = 1) -> ChipProgram:
    """The weight of a synapse that follows active neurons, off by one."""
    synapses = list(chip.synapses)
    s = synapses[at]
    weight = s.weight.copy()
    weight[weight.shape[0] // 2, weight.shape[1] // 3] += by << max(0, -s.exponent)
    synapses[at] = replace(s, wiring=s.wiring.with_weight(weight))
    return replace(chip, synapses=tuple(synapses))


def leaking(chip: ChipProgram, name: str) -> ChipProgram:
    changed = [
        replace(p, params={**p.params, "dv": p.params["dv"] + 1}) if p.name == name else p for p in chip.populations
    ]
    return replace(chip, populations=tuple(changed))


def test_of_a_network_that_is_cut_nothing_is_proven() -> None:
    """Bounds and the fit are those of the whole one, for its steps."""
    case = Case((program(), program()), pixels())
    assert program().proven and "bounds" in str(program().report)
    for made in (at_once(case), keep(case, {"cf1": [0, 1]}), without(case, [case.synapses[-1]])):
        for p in made.programs:
            assert not p.proven and p.report.keys() <= {"scheme"}


def wrong_leak(chip: ChipProgram, x: Any) -> Trace:
    """An executor of its own whose second layer leaks too much."""
    return replace(simulate(leaking(chip, "cf2"), x, "sim"), backend="wrong", digest=chip.digest)


LEAK = Judge(lambda chip, x: simulate(chip, x, "sim"), wrong_leak)


def small(case: Case) -> bool:
    return case.neurons <= 3 and case.inputs <= 6 and case.x.shape[0] <= 4 and case.x.shape[1] == 1


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_weight_off_by_one(at: int, tmp_path: Path) -> None:
    other = one_weight(program(), at)
    found = shrink((program(), other), pixels(), between_programs(), seconds=600)
    assert found.before.neurons >= 300 and found.finished
    assert small(found.case), str(found.case)
    assert found.tried < 40, "few questions: a run of Lava takes seconds"
    save_case(found.case, found.first, tmp_path / "case.h5")
    assert (tmp_path / "case.h5").stat().st_size < 100_000
    again = load_case(tmp_path / "case.h5")
    assert again.programs == found.case.programs and np.array_equal(again.x, found.case.x)
    assert again.backends == ("sim", "sim")
    with h5py.File(tmp_path / "case.h5") as handle:
        told = json.loads(handle["case"].attrs["difference"])
    assert (told["population"], told["a"], told["b"]) == (found.first.population, found.first.a, found.first.b)
    assert between_programs().comparison(again)[2].first == found.first
    twice = shrink((program(), other), pixels(), between_programs(), seconds=600)
    assert twice.case.programs == again.programs and np.array_equal(twice.case.x, again.x), "deterministic"


def test_an_executor_with_a_wrong_leak(tmp_path: Path) -> None:
    found = shrink(program(), pixels(), LEAK, seconds=600)
    assert small(found.case) and found.case.neurons == 1, str(found.case)
    assert found.case.x.any() and list(found.case.populations) == ["cf2"]
    save_case(found.case, found.first, tmp_path / "case.h5")
    chip = nd.load_program(tmp_path / "case.h5")
    assert LEAK.diverges(chip, load_case(tmp_path / "case.h5").x)
    assert not between_backends("sim", "sim-plain").diverges(chip, found.case.x), "only the wrong executor differs"


def saturating(limit: int) -> Judge:
    """An executor of its own in which the first layer's potential stops at a limit."""

    def run(chip: ChipProgram, x: Any) -> Trace:
        trace = simulate(chip, x, "sim")
        seen = trace.populations.get("cf1")
        v = np.maximum(seen.data["v"], limit) if seen else None
        return trace if v is None else with_data(trace, "cf1", "v", v)

    return Judge(lambda chip, x: simulate(chip, x, "sim"), run)


def test_nothing_more_can_be_left_out() -> None:
    v = simulate(program(), pixels(), "sim").populations["cf1"].data["v"]
    judge = saturating(int(v.min() * 0.6))
    case = shrink(program(), pixels(), judge, seconds=600).case
    assert case.neurons == 1 and case.inputs > 1, str(case)
    smaller = [keep(case, {case.encoder.name: np.delete(np.arange(case.inputs), i)}) for i in range(case.inputs)]
    smaller += [replace(case, x=np.delete(case.x, i, axis=0)) for i in range(len(case.x)) if len(case.x) > 1]
    for place in np.flatnonzero(case.x):
        less = case.x.copy()
        less.flat[place] = 0
        smaller.append(replace(case, x=less))
    assert not any(judge.comparison(c)[2].first for c in smaller)


def leak_of(name: str) -> Judge:
    """An executor of its own in which a population has another leak."""

    def wrong(p: ChipProgram, x: Any) -> Trace:
        leaky = [
            replace(q, params={**q.params, "dv": (q.params["dv"] + 9) % 4097}) if q.name == name else q
            for q in p.populations
        ]
        trace = simulate(replace(p, populations=tuple(leaky)), x, "sim")
        return replace(trace, backend="wrong", digest=p.digest)

    return Judge(lambda p, x: simulate(p, x, "sim"), wrong)


@pytest.mark.parametrize("name", ["echo", "signed", "out"])
def test_branches_loops_and_convolutions(name: str) -> None:
    chip, shape = everything()
    x = networks.pixels(8, 2, int(np.prod(shape)), seed=4).reshape(8, 2, *shape)
    assert any(s.kind == "conv" for s in chip.synapses) and any(s.delay for s in chip.synapses)
    judge = leak_of(name)
    found = shrink(chip, x, judge, seconds=600)
    assert found.case.neurons == 1 and found.case.inputs <= 2 and len(found.case.x) <= 3, str(found.case)
    only = found.case.programs[0]
    assert judge.diverges(only, found.case.x)
    assert only.depth == 1 and not any(s.delay for s in only.synapses)


@cache
def everything() -> tuple[ChipProgram, tuple[int, ...]]:
    chip = nd.compile(networks.everything(seed=5), "loihi2", max_steps=8)
    return chip, chip.encoders[0].shape


def test_a_fault_that_needs_two_layers() -> None:
    """Where recorded spikes in the place of what feeds a population take the difference away, its branch stays."""
    judge = deep()
    found = shrink(program(), pixels(), judge, seconds=600)
    assert list(found.case.populations) == ["cf1", "cf2"] and found.case.neurons <= 8
    assert judge.diverges(found.case.programs[0], found.case.x)


def deep() -> Judge:
    """An executor of its own that goes wrong in a second layer only where there is a first one that fires."""

    def wrong(p: ChipProgram, x: Any) -> Trace:
        trace = simulate(p, x, "sim")
        if not {"cf1", "cf2"} <= set(trace.populations) or not trace.populations["cf1"].data["spikes"].any():
            return trace
        v = trace.populations["cf2"].data["v"].copy()
        v[-1] += trace.populations["cf2"].data["spikes"][-1] > 0
        return with_data(trace, "cf2", "v", v)

    return Judge(lambda p, x: simulate(p, x, "sim"), wrong)


def test_what_agrees_cannot_be_shrunk() -> None:
    with pytest.raises(InputError, match=r"agree in every one of [\d,]+ values of 8 samples"):
        shrink(program(), pixels(), between_backends("sim", "sim-plain"))
    with pytest.raises(InputError, match="reference"):
        between_backends("sim", "reference")
    other = nd.compile(networks.chain(seed=7, sizes=(40, 20, 12, 3)), "loihi2")
    with pytest.raises(InputError, match=r"cf1: shape \(160,\) and \(20,\)"):
        shrink((program(), other), pixels(), between_programs())
    for seconds in (0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="seconds"):
            shrink(program(), pixels(), LEAK, seconds=seconds)


def test_when_the_time_is_over_the_best_so_far_is_given() -> None:
    seen: list[tuple[str, int]] = []
    found = shrink(program(), pixels(), LEAK, seconds=1e-9, watch=lambda case, n, s: seen.append((str(case), n)))
    assert not found.finished and found.tried == 0 and found.case is found.before
    found = shrink(program(), pixels(), LEAK, seconds=600, watch=lambda case, n, s: seen.append((str(case), n)))
    assert [n for _, n in seen] == list(range(1, found.tried + 1))
    assert seen[-1][0] == str(found.case) != str(found.before)


def test_the_smallest_part_of_a_list() -> None:
    asked = []

    def does(kept: list[int]) -> bool:
        asked.append(kept)
        return {3, 40, 77} <= set(kept)

    assert smallest(range(100), does) == [3, 40, 77] and len(asked) < 60
    assert smallest(range(9), lambda kept: True) == []
    assert smallest(range(9), lambda kept: True, least=1) == [8]
    assert smallest([5], lambda kept: False) == [5]
    assert smallest(range(6), lambda kept: len(kept) % 2 == 0) == []
    needs = smallest(range(7), lambda kept: sum(kept) >= 11)
    assert sum(needs) >= 11 and all(sum(needs) - n < 11 for n in needs)


@pytest.mark.lava
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs by commands; the written file runs by simulate in sim and Lava, and by compare."""
    monkeypatch.chdir(tmp_path)
    nd.save_program(program(), "one.h5")
    nd.save_program(one_weight(program(), 1), "two.h5")
    np.savez("x.npz", input=pixels())
    assert command(["shrink", "one.h5", "--other", "two.h5", "--input", "x.npz", "--out", "case.h5"]) == 0
    said = capsys.readouterr().out
    assert "310 neurons, 40 inputs, 10 steps, 8 samples" in said and "1 neuron, 1 input" in said and "cf2" in said
    assert command(["compare", "case.h5", "--report", "case.html"]) == 1
    assert "thresholds of the first program" in Path("case.html").read_text()
    said = capsys.readouterr().out
    assert "diagnosis: weight" in said
    for backend in ("sim", "lava"):
        assert command(["simulate", "case.h5", "--backend", backend, "--out", f"{backend}.trace.h5"]) == 0
    assert command(["compare", "sim.trace.h5", "lava.trace.h5", "--program", "case.h5"]) == 0
    assert command(["inspect", "case.h5"]) == 0
    assert command(["shrink", "case.h5", "--out", "again.h5"]) == 0
    assert Path("again.h5").read_bytes() == Path("case.h5").read_bytes()
    capsys.readouterr()
    wrong = (
        (["shrink", "one.h5", "--other", "one.h5", "--input", "x.npz", "--out", "no.h5"], "nothing to shrink"),
        (["shrink", "one.h5", "--against", "sim,sim-plain", "--input", "x.npz", "--out", "no.h5"], "nothing to shrink"),
        (["shrink", "one.h5", "--against", "sim", "--input", "x.npz", "--out", "no.h5"], "two backends"),
        (["shrink", "one.h5", "--against", "sim,lav", "--input", "x.npz", "--out", "no.h5"], "did you mean lava"),
        (["shrink", "one.h5", "--other", "two.h5", "--input", "x.npz", "--out", "two.h5"], "is an input"),
        (["shrink", "one.h5", "--out", "no.h5"], "--input"),
        (["simulate", "one.h5", "--out", "no.h5"], "--input"),
        (["compare", "one.h5"], "against which trace"),
        (["compare", "case.h5", "--program", "one.h5"], "leave --program out"),
    )
    for arguments, text in wrong:
        assert command(arguments) == 2, arguments
        assert text in " ".join(capsys.readouterr().err.split()), arguments
    assert not Path("no.h5").exists()


def test_a_nir_file_is_compiled_for_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(networks.chain(seed=7, sizes=(12, 20, 9, 5)), tmp_path / "x.nir")
    np.savez(tmp_path / "x.npz", input=networks.pixels(6, 2, 12, seed=2))
    words = ["shrink", str(tmp_path / "x.nir"), "--target", "loihi2", "--against", "sim,sim-plain"]
    words += ["--input", str(tmp_path / "x.npz"), "--out", str(tmp_path / "case.h5")]
    assert command(words) == 2
    assert "nothing to shrink" in " ".join(capsys.readouterr().err.split())
    nd.write_nir(networks.chain(seed=7, sizes=(12, 20, 9, 5), dt=None), tmp_path / "x.nir")
    assert command(words) == 2
    assert "'compile' it with the options that it needs" in " ".join(capsys.readouterr().err.split())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    case = Case((program(), one_weight(program(), 1)), pixels(), ("sim", "sim"))
    save_case(case, None, tmp_path / "case.h5")
    assert load_case(tmp_path / "case.h5").programs == case.programs
    with h5py.File(tmp_path / "case.h5", "r+") as handle:
        handle["case"].attrs["schema"] = 99
    with pytest.raises(FormatError, match="newer"):
        load_case(tmp_path / "case.h5")
    nd.save_program(program(), tmp_path / "p.h5")
    with pytest.raises(FormatError, match="not a case"):
        load_case(tmp_path / "p.h5")
    (tmp_path / "case.h5").write_bytes((tmp_path / "p.h5").read_bytes()[:900])
    with pytest.raises(FormatError):
        load_case(tmp_path / "case.h5")
