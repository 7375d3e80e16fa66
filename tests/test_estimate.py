"""Energy, time and NeuroBench's counts of a run, against plain loops over single spikes and single connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import runs
from estimate_oracle import oracle, spikes_of
from test_fit import limited, random_program

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import InputError, TargetError
from neuro_deploy.estimates import Estimate, Span
from neuro_deploy.estimates.events import fan_out
from neuro_deploy.program import ChipProgram
from neuro_deploy.target import Sourced, SourcedRange, Target, load_target
from neuro_deploy.trace import Trace
from neuro_deploy.wiring import to_sparse

TABLE_2 = {
    "synaptic_op": (23.6, 3.5),
    "neuron_update": (52, 5.3),
    "active neuron": (81, 8.4),
    "within tile": (1.7, 2.1),
    "east-west": (3.0, 4.1),
    "north-south": (4.0, 6.5),
    "barrier": (113, 465),
}
"""Davies et al. 2018, table 2: pJ and ns at 0.75 V; the barrier's ns for 1 and for 32 tiles."""


def close(span: Span, sums: Any, batch: int) -> None:
    assert np.allclose(np.array(span) * batch, sums, rtol=1e-12, atol=0)


def check(program: ChipProgram, trace: Trace, target: Target) -> Estimate:
    """An estimate that agrees with the loops in every number."""
    told, expected = nd.estimate(program, trace, target), oracle(program, trace, target)
    assert [layer.name for layer in told.layers] == list(expected["layers"])
    for layer in told.layers:
        plain = expected["layers"][layer.name]
        assert layer.spikes * trace.batch == pytest.approx(plain["spikes"], rel=1e-12)
        assert layer.messages * trace.batch == pytest.approx(plain["messages"], rel=1e-12)
        close(layer.synaptic_ops, (plain["effective"], plain["stored"]), trace.batch)
        for name in ("active", "idle", "busy"):
            close(getattr(layer, name), plain[name], trace.batch)
    close(told.time, expected["time"], trace.batch)
    assert told.tiles == expected["tiles"]
    return told


def spans(told: Estimate) -> Iterator[Span]:
    yield from (told.active, told.idle, told.time, told.energy)
    for layer in told.layers:
        yield from (layer.synaptic_ops, layer.active, layer.idle, layer.busy)


# --- the counts and the costs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything() -> tuple[ChipProgram, Trace]:
    program = nd.compile(networks.everything(), target="loihi2", max_steps=5)
    x = networks.pixels(5, 2, 128).reshape(5, 2, 2, 8, 8)
    return program, nd.simulate(program, x, record=("spikes",))


def test_every_kind_of_network_on_many_cores(everything: tuple[ChipProgram, Trace]) -> None:
    program, trace = everything
    spikes = [spikes_of(program, trace, p.name) for p in program.populations if p.kind != "li"]
    assert all(s.any() for s in spikes) and max(s.max() for s in spikes) > 1 and min(s.min() for s in spikes) < 0
    told = check(program, trace, limited("loihi2", neurons=6))
    assert told.cores > 40 and told.tiles > 8 and told.samples == 2 and told.steps == 5 + program.depth
    assert told.active == Span.total([layer.active for layer in told.layers])
    ops = told.layers[2].synaptic_ops
    assert 0 < ops.low <= ops.high and all(0 <= span.low <= span.high for span in spans(told))
    first = load_target("loihi1")
    assert first.costs is not None
    dear, time = SourcedRange(low=50, high=90, source="davies"), first.costs.time
    apart = first.costs.model_copy(update={"time": time.model_copy(update={"hop_east_west": dear})})
    for costs, neurons, tiles in ((first.costs, 60, range(2, 8)), (apart, 30, range(5, 9))):
        other = check(program, trace, limited("loihi2", neurons=neurons).model_copy(update={"costs": costs}))
        assert other.tiles in tiles, "more than one, and a row is longer than a column"
    one = check(program, trace, load_target("loihi2"))
    assert one.cores == len(program.populations) and one.idle == told.idle and one.active.high < told.active.high


def test_a_graded_spike_is_one_message_or_many() -> None:
    program, trace = runs.program(), runs.run()
    chip = load_target("loihi2")
    assert chip.costs is not None and chip.costs.graded.value == "once"
    unary = chip.costs.model_copy(update={"graded": Sourced[Any](value="each", source="ours")})
    once, each = check(program, trace, chip), check(program, trace, chip.model_copy(update={"costs": unary}))
    total = sum(np.abs(spikes_of(program, trace, n)).sum() for n in ("input", "fc1", "out")) / trace.batch
    assert sum(layer.spikes for layer in each.layers) == pytest.approx(total)
    assert each.active.low > 1.5 * once.active.low and each.idle == once.idle
    assert load_target("loihi1").costs.graded.value == "each"  # type: ignore[union-attr]


def test_an_input_that_is_encoded_as_another_number_is_sent() -> None:
    """0 becomes 2: the chip sends it, NeuroBench's network does not."""
    base = runs.program()
    program = replace(base, encoders=(replace(base.encoders[0], offset=2),))
    x = np.random.default_rng(5).integers(0, 2, (6, 3, 3))
    trace = nd.simulate(program, x, record=("spikes",))
    told = check(program, trace, load_target("loihi2"))
    assert told.layers[0].spikes == 6 * 3 > np.count_nonzero(x) / 3
    first = np.count_nonzero(x, axis=(0, 1)) @ fan_out(program.synapses[0].wiring)
    assert told.neurobench.effective_acs >= first / 3 > 0


def test_the_costs_are_those_that_were_published() -> None:
    costs = load_target("loihi1").costs
    assert costs is not None
    e, t = costs.energy, costs.time
    assert (e.synaptic_op.low, e.neuron_update.high, e.message.low) == (23.6, 52, 1.7)
    assert e.neuron_update.high + e.neuron_active.high == TABLE_2["active neuron"][0]
    assert t.neuron_update.low + t.neuron_active.low == pytest.approx(TABLE_2["active neuron"][1])
    assert t.synaptic_op.low <= TABLE_2["synaptic_op"][1] <= t.synaptic_op.high
    assert (t.barrier_tile.low, t.barrier_chip.low) == TABLE_2["barrier"]
    for name, entry in (("east-west", "hop_east_west"), ("north-south", "hop_north_south")):
        assert (getattr(e, entry).low, getattr(t, entry).low) == TABLE_2[name]
    borrowed = load_target("loihi2")
    assert borrowed.costs is not None and borrowed.costs.energy.synaptic_op.low == e.synaptic_op.low
    assert "no energy per operation of Loihi 2 is published" in borrowed.costs.basis
    for _, entry in borrowed.costs.energy:
        assert all(borrowed.sources[key].startswith("Loihi 1's figure, borrowed") for key in entry.sources)


def test_fan_out_counts_weights_that_are_not_zero() -> None:
    rng = np.random.default_rng(4)
    for seed in range(40):
        for synapse in random_program(np.random.default_rng(seed)).synapses:
            weight = synapse.weight * rng.integers(0, 2, synapse.weight.shape)
            wiring = synapse.wiring.with_weight(weight.astype(np.int32))
            sources = wiring.triples()[1][wiring.triples()[2] != 0]
            assert (fan_out(wiring) == np.bincount(sources, minlength=wiring.source_size)).all()
            assert (fan_out(wiring) == fan_out(to_sparse(wiring))).all()


# --- what NeuroBench counts -------------------------------------------------------------------------------------------


def test_neurobench_counts_by_hand() -> None:
    """`tests/frameworks/test_neurobench.py` asks neurobench itself."""
    program, rng = runs.program(), np.random.default_rng(5)
    x = np.where(np.arange(10)[:, None, None] % 2, rng.integers(0, 2, (10, 4, 3)), rng.random((10, 4, 3)) * 3)
    trace = nd.simulate(program, x, record=("spikes",))
    counts = nd.estimate(program, trace).neurobench
    acs = macs = 0
    for synapse in program.synapses:
        offset = program.population(synapse.target).latency - 1
        first = 0 if synapse.source == "input" else offset
        for row in range(first, first + trace.steps):
            values = spikes_of(program, trace, synapse.source)[row] * (0.25 if synapse.source == "input" else 1)
            ops = sum(np.count_nonzero(synapse.weight[:, i]) for _, i in np.argwhere(values).tolist())
            if set(np.unique(values).tolist()) <= {0, 1, -1}:
                acs += ops
            else:
                macs += ops
    assert macs > acs > 0 and (counts.effective_acs, counts.effective_macs) == (acs / 4, macs / 4)
    assert counts.dense == 10 * (5 * 3 + 4 * 5)
    fired = [trace.aligned(n, "spikes") for n in ("fc1", "out")]
    assert counts.activation_sparsity == sum((s == 0).sum() for s in fired) / sum(s.size for s in fired)
    assert counts.connection_sparsity == sum((s.weight == 0).sum() for s in program.synapses) / 35
    assert counts.footprint_bytes == 35 + (5 * 4 + 4 + 2 + 2 * 4 + 5 * 2 + 1) + (2 + 2 + 4 + 2 + 1)


def test_late_and_recurrent_inputs_count_once_they_arrive(everything: tuple[ChipProgram, Trace]) -> None:
    program, trace = everything
    counts = nd.estimate(program, trace).neurobench
    assert any(s.source == s.target for s in program.synapses) and any(s.delay for s in program.synapses)
    total = 0
    for s in program.synapses:
        latency = trace.populations[s.source].latency
        lag = latency + 1 + s.delay - program.population(s.target).latency
        assert lag >= 0
        values = spikes_of(program, trace, s.source)[latency : latency + trace.steps - lag]
        total += int(np.count_nonzero(values, axis=(0, 1)) @ fan_out(s.wiring))
    assert (counts.effective_acs + counts.effective_macs) * trace.batch == pytest.approx(total)
    assert counts.effective_acs > 0 and 0 < counts.effective_macs < counts.dense


# --- refusals and what is shown ---------------------------------------------------------------------------------------


def test_refusals(tmp_path: Path) -> None:
    program, trace = runs.program(), runs.run()
    with pytest.raises(InputError, match="not of program"):
        nd.estimate(replace(program, max_steps=63), trace)
    with pytest.raises(InputError, match="a float network"):
        nd.estimate(program, runs.floated(trace))
    with pytest.raises(InputError, match=r"lacks the spikes of .*out"):
        nd.estimate(program, nd.simulate(program, np.ones((3, 1, 3)), only=["fc1"]))
    text = (Path(__file__).parent.parent / "hardware" / "loihi2.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text[: text.index("[costs]")], encoding="utf-8")
    assert nd.compile(networks.chain(), path).target == "loihi2"
    with pytest.raises(TargetError, match=r"no \[costs\]"):
        nd.estimate(program, trace, path)
    for old, new, problem in (
        ("low = 23.6", "low = 99.9", "no range"),
        ('high_source = "brief"', 'high_source = "hearsay"', "costs.time.barrier_tile: source 'hearsay'"),
        ("spike = { low = 0.0, high = 69.3", "spoke = { low = 0.0, high = 69.3", "(?s)energy.spike.*energy.spoke"),
        ("columns = { value = 8", "columns = { value = 0", "columns"),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(TargetError, match=problem):
            load_target(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    nd.write_nir(networks.chain(), tmp_path / "net.nir")
    np.savez(tmp_path / "x.npz", input=networks.pixels(6, 5, 12))
    nd.save_program(nd.compile(networks.chain(), max_steps=6), tmp_path / "p.program.h5")
    return tmp_path


def test_inspect_and_verify_show_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "p.program.h5", "--input", "x.npz", "--samples", "3"]) == 0
    shown = capsys.readouterr().out
    assert "Estimate on loihi2, of one inference (mean of 3)" in shown and "cf2" in shown
    assert "no energy per operation of Loihi 2 is published" in " ".join(shown.split())
    assert run(["inspect", "p.program.h5", "--input", "x.npz", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    program = nd.load_program(here / "p.program.h5")
    trace = nd.simulate(program, networks.pixels(6, 5, 12))
    expected = nd.estimate(program, trace)
    assert told["digest"] == program.digest and told["estimate"] == json.loads(json.dumps(expected.to_dict()))
    assert told["estimate"]["energy"]["low"] == sum(asdict(expected)[n][0] for n in ("active", "idle"))
    assert run(["verify", "net.nir", "--input", "x.npz", "--lava-samples", "0", "--json", "--report", "r.html"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] == told["estimate"]
    page = (here / "r.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="estimate">') :].split("</section>")[0]
    assert "Energy and time on loihi2 (estimate)" in section and "cf2" in section and "Not measured" in section
    assert run(["verify", "net.nir", "--input", "x.npz", "--lava-samples", "0"]) == 0
    assert "Estimate on loihi2" in capsys.readouterr().out


def test_misplaced_options_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "net.nir", "--input", "x.npz"]) == 2
    assert "only a program can be estimated" in capsys.readouterr().err
    assert run(["inspect", "p.program.h5", "--samples", "3"]) == 2
    assert "--input FILE.npz" in capsys.readouterr().err
    assert run(["inspect", "p.program.h5", "--input", "x.npz", "--target", "lohi1"]) == 2
    assert "did you mean loihi1" in capsys.readouterr().err
    assert run(["inspect", "p.program.h5", "--input", "x.npz", "--target", "loihi1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["estimate"]["target"] == "loihi1"
