"""`margins` against a plain loop over single decisions, and against distances built by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
from rich.console import Console

from neuro_deploy.backends import simulate
from neuro_deploy.cli import run as command
from neuro_deploy.comparison import margins as module
from neuro_deploy.comparison.margins import Margins, Near, Neurons, RegisterUse, margins
from neuro_deploy.errors import InputError
from neuro_deploy.files import read_input
from neuro_deploy.fixed import Registers
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population, save_program
from neuro_deploy.report.margins_table import margins_table
from neuro_deploy.trace import VARIABLES, Recording, Trace

PLAIN = {"dv": 4096, "bias_mant": 0, "bias_exp": 0}


def alone(kind: str, size: int, latency: int = 1, **params: Any) -> ChipProgram:
    """One population of a kind behind an input of one."""
    population = Population("p", kind, (size,), PLAIN | params, latency, np.asarray(1.0))
    synapse = DenseSynapse("w", "in", "p", np.ones((size, 1)))
    encoder = Encoder("in", (1,), 1, 1, 8, False, 0, 255)
    return ChipProgram("loihi2", 1e-3, 16, (encoder,), (population,), (synapse,), None, False)


def recorded(program: ChipProgram, h: Any, spikes: Any, **others: Any) -> Trace:
    """A made-up run; h, spikes: (T, B, N), with rows before the latency and after it that must not count."""
    p = program.populations[0]
    data = {}
    for name, values in {"h": h, "spikes": spikes, **others}.items():
        rows = np.full((p.latency + len(values) + 1, *np.shape(values)[1:]), 64, np.int32)
        rows[p.latency : -1] = values
        data[name] = rows
    return Trace({"p": Recording(p.shape, p.latency, p.unit, data)}, len(h), 1e-3, "sim", "integer", program.digest)


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_distances_by_hand() -> None:
    """theta = 64 << 6 = 4096, K = 2: a tie, one LSB above, one below, one unit, between the levels, far beyond."""
    program = alone("cf", 8, latency=3, vth=64, vth_neg=64, rounds=2, rounds_neg=0)
    h = np.array([4096, 4097, 4095, 4096 + 64, 4096 + 65, 8192 - 2, -4096, 3 * 4096 + 1]).reshape(1, 1, 8)
    s = np.array([0, 1, 0, 1, 1, 1, 0, 2]).reshape(1, 1, 8)
    result = margins(program, trace=recorded(program, h, s, v=h - 4096 * s))
    firing = result.population("p").firing
    assert firing is not None and (firing.decisions, firing.fired, firing.spikes) == (8, 5, 6)
    assert (firing.ties, firing.smallest) == (1, 0)
    assert (firing.within_lsb, firing.within_unit) == (Near(3, 1), Near(5, 3))
    # 0 | 1, 1 | 2 | 64, 65 | 4097 (h = 12289, nearest 8192) | 8192 (h = -4096, nearest 4096)
    assert firing.histogram == (1, 2, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 1)
    assert (firing.saturated, firing.clipped) == (1, 1)
    assert firing.dead == Neurons(3, (0, 2, 6)) and firing.always == Neurons(5, (1, 3, 4, 5, 7))
    assert result.population("p").registers["h"] == RegisterUse(12289, (1 << 23) - 1, 14, 23)
    assert result.population("p").registers["v"].largest == 4097
    assert (result.unit, result.steps, result.samples) == (64, 1, 1)


def test_mirrored_levels_and_missing_rounds() -> None:
    """theta_neg = 128 << 6 = 8192, K_neg = 1; what is beyond (K + 1) levels lacked a round."""
    program = alone("cf", 6, vth=64, vth_neg=128, rounds=2, rounds_neg=1)
    h = np.array([-8192, -8193, -8191, -16384, -16385, 12288]).reshape(1, 1, 6)
    s = np.array([0, -1, 0, -1, -1, 2]).reshape(1, 1, 6)
    firing = margins(program, trace=recorded(program, h, s)).population("p").firing
    assert firing is not None and (firing.ties, firing.within_lsb) == (1, Near(3, 1))
    assert (firing.fired, firing.spikes, firing.saturated, firing.clipped) == (4, 5, 4, 1)
    assert firing.histogram == (1, 2, *[0] * 11, 1, 2)  # 0 | 1, 1 | 4096 (h = 12288) | 8192, 8193
    assert firing.dead.first == (0, 2) and firing.always.first == (1, 3, 4, 5)


def test_dead_and_always_over_all_steps_and_samples() -> None:
    program = alone("lif", 14, latency=2, vth=1, du=4095)
    spikes = np.zeros((3, 2, 14), np.int64)
    spikes[:, :, :12] = 1
    spikes[1, 1, 11] = 0
    spikes[2, 0, 13] = 1
    firing = margins(program, trace=recorded(program, spikes * 100, spikes)).population("p").firing
    assert firing is not None and firing.always == Neurons(11, tuple(range(10)))
    assert firing.dead == Neurons(1, (12,))


def test_other_registers() -> None:
    program = replace(
        alone("lif", 1, vth=1, du=4095), registers=Registers(v_bits=16, u_bits=12, input_shift=3, threshold_shift=5)
    )
    h = np.array([[[32 + 8]], [[32 + 9]]])
    p = margins(program, trace=recorded(program, h, h * 0 + 1, u=h * 0 - 3)).population("p")
    assert p.firing is not None and p.firing.within_unit == Near(1, 1)
    assert p.registers["h"].limit == (1 << 15) - 1 and p.registers["u"] == RegisterUse(3, 2047, 2, 11)


def test_integrators_have_registers_only() -> None:
    program = alone("li", 2, du=4095)
    p = margins(program, np.full((3, 2, 1), 5.0)).population("p")
    assert p.firing is None and p.registers["v"].largest == 5 * 64
    assert "No population fires" in shown(margins(program, np.ones((1, 1, 1))))


# --- a plain loop -----------------------------------------------------------------------------------------------------


def decisions(program: ChipProgram, trace: Trace, name: str) -> Iterator[tuple[int, int, int, int, int]]:
    """(neuron, h, s, nearest distance, K) of each decision."""
    p = program.population(name)
    size, params = p.size, p.params
    theta = np.broadcast_to(params["vth"], (size,)).tolist()
    theta_neg = np.broadcast_to(params.get("vth_neg", np.asarray(1)), (size,)).tolist()
    up, down = int(params.get("rounds", 1)), int(params.get("rounds_neg", 0))
    for t in range(trace.steps):
        for b in range(trace.batch):
            for n in range(size):
                h, s = (int(trace.populations[name].data[v][p.latency + t, b].reshape(-1)[n]) for v in ("h", "spikes"))
                levels = [k * theta[n] * 64 for k in range(1, up + 1)]
                levels += [-k * theta_neg[n] * 64 for k in range(1, down + 1)]
                yield n, h, s, min(abs(h - level) for level in levels), up if s > 0 else -down


def buckets(distances: list[int]) -> tuple[int, ...]:
    counts = [0] * (max(distances).bit_length() + 1)
    for d in distances:
        counts[d.bit_length()] += 1
    return tuple(counts)


def chain(rng: np.random.Generator, signed: bool) -> ChipProgram:
    """3 -> 5 CF -> 4 LIF -> 6 CF with small whole numbers, so that h meets its levels."""
    cf = {"rounds": 3, "rounds_neg": 2 * signed, "bias_exp": 6}
    populations = []
    for i, (name, kind, n) in enumerate((("a", "cf", 5), ("b", "lif", 4), ("c", "cf", 6))):
        params = {
            "dv": rng.choice([0, 2048, 4095], n),
            "bias_mant": rng.integers(-1, 2, n),
            "vth": rng.integers(1, 5, n),
        }
        params |= cf | {"vth_neg": rng.integers(1, 5, n)} if kind == "cf" else {"bias_exp": 5, "du": 4095}
        populations.append(Population(name, kind, (n,), params, i + 1, np.asarray(1.0)))
    pairs = (("in", "a", (5, 3)), ("a", "b", (4, 5)), ("b", "c", (6, 4)), ("a", "c", (6, 5)))
    synapses = [DenseSynapse(f"{i}{j}", i, j, rng.integers(-2, 4, shape)) for i, j, shape in pairs]
    encoder = Encoder("in", (3,), 1, 1, 3, False, 0, 7)
    return ChipProgram("loihi2", 1e-3, 16, (encoder,), tuple(populations), tuple(synapses), None, False)


@pytest.mark.parametrize("seed", range(6))
def test_a_plain_loop_says_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, x = chain(rng, bool(seed % 2)), rng.integers(0, 3, (8, 5, 3)).astype(float)
    trace = simulate(program, x, "sim", VARIABLES)
    result = margins(program, x)
    assert result == margins(program, trace=trace)
    for p in result.populations:
        found, firing = list(decisions(program, trace, p.name)), p.firing
        assert firing is not None
        away = [d for *_, d, _ in found]
        assert firing.decisions == len(found) == 8 * 5 * p.neurons
        assert (firing.fired, firing.spikes) == (sum(s != 0 for _, _, s, *_ in found), sum(abs(f[2]) for f in found))
        assert (firing.smallest, firing.ties, firing.histogram) == (min(away), away.count(0), buckets(away))
        for near, limit in ((firing.within_lsb, 1), (firing.within_unit, 64)):
            assert near == Near(sum(d <= limit for d in away), sum(f[3] <= limit and f[2] != 0 for f in found))
        assert firing.saturated == sum(s != 0 and s == k for _, _, s, _, k in found)
        for wanted, neurons in ((0, firing.dead), (8 * 5, firing.always)):
            which = [n for n in range(p.neurons) if sum(f[0] == n and f[2] != 0 for f in found) == wanted]
            assert neurons == Neurons(len(which), tuple(which))
        for name, use in p.registers.items():
            assert use.largest == int(np.abs(trace.aligned(p.name, name).astype(np.int64)).max())


def test_the_loop_is_not_vacuous() -> None:
    met: Counter[str] = Counter()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        program, x = chain(rng, bool(seed % 2)), rng.integers(0, 3, (8, 5, 3)).astype(float)
        met["negative"] += int((simulate(program, x).aligned("c", "spikes") < 0).any())
        for firing in (p.firing for p in margins(program, x).populations):
            assert firing is not None
            met.update(ties=firing.ties, clipped=firing.clipped, far=firing.decisions - firing.within_unit.decisions)
            met.update(dead=firing.dead.count, always=firing.always.count, missed=firing.within_unit.fired)
            met["rest"] += firing.saturated - firing.clipped
    assert len(met) == 8 and min(met.values()) > 0, met


# --- chunks, errors, the command --------------------------------------------------------------------------------------


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = runs.program(), np.random.default_rng(5).random((10, 7, 3)) * 3
    whole, seen = margins(program, x), []
    monkeypatch.setattr(module, "CHUNK", 12 * 9 * 2)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert margins(program, x, progress=lambda done, total: seen.append((done, total))) == whole
    assert seen == [(2, 7), (4, 7), (6, 7), (7, 7)]
    monkeypatch.setattr(module, "CHUNK", 1)
    assert margins(program, x) == whole == margins(program, trace=simulate(program, x, "sim", VARIABLES))


def test_what_cannot_be_measured() -> None:
    program, trace = runs.program(), runs.run()
    for arguments in ({}, {"x": np.ones((2, 2, 3)), "trace": trace}):
        with pytest.raises(InputError, match="either an input x or a trace"):
            margins(program, **arguments)
    with pytest.raises(InputError, match="not a run of this program"):
        margins(program, trace=replace(trace, digest="other"))
    with pytest.raises(InputError, match="not a run of this program"):
        margins(program, trace=runs.floated(trace))
    less = runs.with_data(runs.with_data(trace, "fc1", "h", None), "out", "spikes", None)
    with pytest.raises(InputError, match=r"fc1: h not recorded by sim\n  out: spikes not recorded.*\n  simulate with"):
        margins(program, trace=less)
    with pytest.raises(InputError, match="no population of the program"):
        margins(program, trace=replace(trace, populations={"input": trace.populations["input"]}))
    with pytest.raises(InputError, match="shape"):
        margins(program, np.ones((2, 2, 4)))
    one = margins(program, trace=replace(trace, populations={"out": trace.populations["out"]}))
    assert [p.name for p in one.populations] == ["out"]


def shown(result: Margins) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(margins_table(result))
    return capture.get()


def test_table() -> None:
    program = alone("cf", 8, latency=3, vth=64, vth_neg=64, rounds=2, rounds_neg=0)
    h = np.array([4096, 4097, 4095, 4096 + 64, 4096 + 65, 8192 - 2, -4096, 3 * 4096 + 1]).reshape(1, 1, 8)
    text = shown(margins(program, trace=recorded(program, h, np.array([0, 1, 0, 1, 1, 1, 0, 2]).reshape(1, 1, 8))))
    for part in ("within 1 weight unit (64 LSB)", "62.50%", "60.00%", "3 (0, 2, 6)", "5 (1, 3, 4, 5, 7)", "14 of 23"):
        assert part in text, part
    silent = margins(alone("lif", 12, vth=1000, du=4095), np.zeros((1, 1, 1)))
    assert "12 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)" in shown(silent)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    program = runs.program()
    save_program(program, "p.program.h5")
    np.savez("x.npz", input=np.random.default_rng(5).random((10, 6, 3)).astype(np.float32) * 3)
    assert command(["margins", "p.program.h5", "--input", "x.npz", "--samples", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == margins(program, read_input("x.npz")[0][:, :4]).to_dict() and told["samples"] == 4
    assert command(["margins", "p.program.h5", "--input", "x.npz"]) == 0
    assert "Spikes at risk" in capsys.readouterr().out
    for arguments, message in (
        (["p.program.h5", "--input", "x.npz", "--samples", "7"], "samples must be in [1, 6]"),
        (["x.npz", "--input", "x.npz"], "x.npz"),
    ):
        assert command(["margins", *arguments]) == 2
        assert message in capsys.readouterr().err
    command(["margins", "--help"])
    assert "Example: neuro_deploy margins" in " ".join(capsys.readouterr().out.split())
