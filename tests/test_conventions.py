"""Foreign files: which family wrote them, what they mean, and their explicit form."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import networks
import nir
import nir_drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import assume, read_graph
from neuro_deploy.graph.conventions import FAMILIES, read_as, recognise
from neuro_deploy.graph.normalize import normalize
from neuro_deploy.neurons.scheme import RESETS
from neuro_deploy.report import nir_families

SIZE = 5


def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def foreign(*neurons: nir.NIRNode) -> nir.NIRGraph:
    """input -> fc0 -> neuron 0 -> fc1 -> neuron 1 ... -> output, no metadata."""
    random = rng()
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([SIZE])})}
    for i, neuron in enumerate(neurons):
        nodes[f"fc{i}"] = networks.affine(SIZE, SIZE, random, scale=2.5)
        nodes[f"n{i}"] = neuron
    nodes["output"] = nir.Output({"output": np.array([SIZE])})
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


def lif(tau: Any, r: Any, **more: Any) -> nir.LIF:
    rest = {"v_leak": np.zeros(SIZE), "v_threshold": rng().uniform(0.7, 1.3, SIZE), "v_reset": np.zeros(SIZE), **more}
    return nir.LIF(tau=np.asarray(tau, np.float32), r=np.asarray(r, np.float32), **rest)


def taus(low: float, high: float) -> Any:
    return rng().uniform(low, high, SIZE)


def written_by(family: str) -> nir.NIRGraph:
    """A graph with the numbers that a family's exporter would write."""
    if family == "snntorch":
        tau = 1e-4 / (1 - rng().uniform(0.91, 0.97, SIZE))
        return foreign(lif(tau, tau / 1e-4), lif(tau * 1.5, tau * 1.5 / 1e-4))
    if family == "spikingjelly":
        tau, reset = taus(2, 8) * 5e-3, rng().uniform(-0.3, -0.1, SIZE)
        leaky = lif(tau, tau / 5e-3, v_leak=reset, v_reset=reset)
        return foreign(leaky, nir.IF(np.full(SIZE, 200.0), np.ones(SIZE), rng().uniform(-0.2, 0.1, SIZE)))
    if family == "norse":
        return foreign(lif(taus(3e-3, 2e-2), np.ones(SIZE), v_leak=taus(0.05, 0.1)))
    if family == "sinabs":
        return foreign(lif(taus(4, 20), np.ones(SIZE)), nir.IF(np.ones(SIZE), np.full(SIZE, 1.5), np.zeros(SIZE)))
    if family == "rockpool":
        tau = taus(2e-3, 2e-2)
        return foreign(lif(tau, tau * np.exp(-1e-3 / tau) / 1e-3))
    tau = 1e-4 * 4096 / rng().integers(200, 2000, SIZE)
    return foreign(lif(tau, tau / 1e-4, v_threshold=rng().integers(40, 90, SIZE) / 64))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_recognised_with_reasons(family: str, tmp_path: Path) -> None:
    nd.write_nir(written_by(family), tmp_path / "x.nir")
    matches = {match.family: match for match in recognise(nd.read_nir(tmp_path / "x.nir"))}
    assert set(matches) == set(FAMILIES)
    assert matches[family].fits, matches[family]
    others = [name for name, match in matches.items() if match.fits and name != family]
    twins = {"snntorch": ["spikingjelly"], "lava-dl": ["snntorch", "spikingjelly"], "sinabs": ["spikingjelly"]}
    assert others == twins.get(family, [])
    assert all(sign.text for match in matches.values() for sign in match.signs)


def test_a_file_of_ours_has_no_foreign_convention() -> None:
    assert recognise(networks.chain()) == ()


DT = {"snntorch": 1e-4, "spikingjelly": 5e-3, "norse": 1e-3, "sinabs": 1.0, "rockpool": 1e-3, "lava-dl": 1e-4}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_file_means_in_its_family(family: str) -> None:
    """The first population's leak, gain, reset and comparison, by the rules of the table in scalar code."""
    graph = written_by(family)
    told = {"reset": "subtract-late"} if family == "snntorch" else {}
    reading = read_graph(read_as(graph, family, **told))
    node, neuron, dt = graph.nodes["n0"], reading.neurons["n0"], DT[family]
    assert reading.dt == pytest.approx(dt, rel=1e-5)
    exponential = family in ("sinabs", "rockpool")
    leak = np.exp(-dt / node.tau) if exponential else 1 - dt / node.tau
    rate = 1 - leak if family == "sinabs" else dt / node.tau
    np.testing.assert_allclose(neuron.params["beta"], leak, rtol=1e-5)
    r = {"norse": 1.0, "rockpool": node.tau / dt}.get(family, node.r)
    gain = {n.name: n for n in reading.nodes}.get("n0.in")
    wanted = np.broadcast_to(r * rate, SIZE)
    np.testing.assert_allclose(wanted if gain is None else gain.operation.scale, wanted, rtol=1e-5)
    assert (gain is None) == bool(np.allclose(wanted, 1.0, atol=1e-6))
    soft = family in ("snntorch", "sinabs", "rockpool")
    assert neuron.kind == ("cf" if soft else "lif")
    start = {"norse": node.v_leak, "spikingjelly": node.v_reset}.get(family, 0.0)
    theta = (node.v_threshold - start).astype(np.float32)
    at = np.nextafter(theta, np.float32(0)) if family in ("sinabs", "rockpool", "spikingjelly") else theta
    np.testing.assert_array_equal(neuron.params["theta"], at)
    if family == "snntorch":
        np.testing.assert_allclose(neuron.params["theta_reset"], theta / leak, rtol=1e-5)
    if family in ("sinabs", "rockpool"):
        np.testing.assert_array_equal(neuron.params["theta_reset"], theta)
        assert neuron.params["circulations"] == 16


def test_the_same_file_gives_other_spikes_in_other_families() -> None:
    """What field reports complain of: one file, and 0 or many spikes, by who reads it."""
    graph, x = written_by("snntorch"), rng().uniform(0, 1, (40, 8, SIZE))
    counts = {}
    for family in ("snntorch", "norse"):
        told = read_as(graph, family, reset="value")
        counts[family] = int(nd.simulate(told, x, "reference").populations["n1"].data["spikes"].sum())
    assert counts["snntorch"] > 50 and counts["norse"] == 0


def test_what_a_family_does_not_tell_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"snnTorch files do not tell the reset .* give --reset"):
        read_as(written_by("snntorch"), "snntorch")
    mixed = foreign(lif(taus(0.01, 0.02), taus(1, 2)[::-1], v_reset=np.full(SIZE, 0.1)))
    with pytest.raises(InputError, match=r"SpikingJelly files do not tell their time step.* give --dt"):
        read_as(mixed, "spikingjelly")
    assert read_graph(read_as(mixed, "spikingjelly", dt=0.002)).dt == 0.002
    with pytest.raises(InputError, match="--as brian: unknown; known are snntorch"):
        read_as(mixed, "brian")
    with pytest.raises(InputError, match=r"already says its time step \(dt = 0\.002 s\) and needs no --as"):
        read_as(networks.chain(), "snntorch")
    one_tau = foreign(lif(np.full(SIZE, 0.02), np.ones(SIZE)))
    with pytest.raises(InputError, match="SpikingJelly files do not tell their time step"):
        read_as(one_tau, "spikingjelly")


@pytest.mark.parametrize(("family", "dt"), [("rockpool", 1e-3), ("spikingjelly", 5e-3)])
def test_a_dt_that_contradicts_the_numbers_is_refused(family: str, dt: float) -> None:
    with pytest.raises(InputError, match=rf"--dt 0\.002: the numbers of this .* file say {dt:g} s; leave --dt out"):
        read_as(written_by(family), family, dt=0.002)
    assert read_graph(read_as(written_by(family), family, dt=dt * 1.0001)).dt == dt * 1.0001


def test_rockpools_gain_is_made_with_the_chosen_dt() -> None:
    """Two populations of two steps: the numbers tell no dt, so the user does, and every gain is 1 at it."""
    tau = taus(2e-3, 2e-2)
    graph = foreign(*(lif(tau, tau * np.exp(-step / tau) / step) for step in (1e-3, 2e-3)))
    with pytest.raises(InputError, match="give --dt"):
        read_as(graph, "rockpool")
    reading = read_graph(read_as(graph, "rockpool", dt=1.5e-3))
    assert reading.dt == 1.5e-3 and not [n.name for n in reading.nodes if n.name.endswith(".in")]


def test_spikingjellys_neurons_rest_where_each_starts() -> None:
    """Per neuron, whatever the order of the nodes and their names."""
    leak = np.full(SIZE, -0.5)
    leaky = lif(np.full(SIZE, 0.02), np.full(SIZE, 20.0), v_leak=leak, v_reset=leak)
    still = nir.IF(np.full(SIZE, 1000.0), np.ones(SIZE), np.zeros(SIZE))
    for graph in (foreign(still, leaky), foreign(leaky, still)):
        assert {m.family: m.fits for m in recognise(graph)}["spikingjelly"]
    wrong = lif(np.full(SIZE, 0.02), np.full(SIZE, 20.0), v_reset=leak)
    other = nir.IF(np.full(SIZE, 1000.0), np.ones(SIZE), np.zeros(SIZE))
    for graph in (foreign(other, wrong), foreign(wrong, other)):
        assert not {m.family: m.fits for m in recognise(graph)}["spikingjelly"]


def test_an_li_that_starts_elsewhere_is_refused_as_norses() -> None:
    graph = foreign(nir.LI(taus(0.01, 0.02), np.ones(SIZE), np.full(SIZE, 0.1)))
    with pytest.raises(UnsupportedError, match=r"n0: v_leak is not 0: Norse's potential starts there"):
        read_as(graph, "norse")


@pytest.mark.parametrize("told", [{"dt": 1e-3}, {"dt": 1e-3, "reset": "value"}, {"family": "norse"}])
def test_rounds_without_a_reset_that_has_them_are_refused(told: dict[str, Any], tmp_path: Path) -> None:
    nd.write_nir(written_by("norse"), tmp_path / "x.nir")
    options = [word for key, value in told.items() for word in (f"--{key}".replace("family", "as"), str(value))]
    command = ["normalize", str(tmp_path / "x.nir"), *options, "--rounds", "4", "--nir", str(tmp_path / "y.nir")]
    assert run(command) == 2 and not (tmp_path / "y.nir").exists()
    assert run([*command, "--reset", "subtract"]) == (2 if "family" in told else 0)  # its v_reset is not 0


def test_normalize_says_what_was_assumed_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(foreign(lif(np.full(SIZE, 0.01), np.full(SIZE, 2.0), v_reset=np.full(SIZE, -0.5))), tmp_path / "x.nir")
    command = ["normalize", str(tmp_path / "x.nir"), "--as", "norse", "--nir", str(tmp_path / "y.nir")]
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "n0: r 2 -> 1, v_reset -0.5 -> 0\n" in shown and "the file: says dt = 0.001\n" in shown
    assert "the file: says reset = value\n" in shown and "6 change(s) by what was said of it, 0 of form" in shown
    assert run(["normalize", str(tmp_path / "y.nir"), "--as", "snntorch", "--nir", str(tmp_path / "z.nir")]) == 2
    assert "already says its time step (dt = 0.001 s) and needs no --as" in " ".join(capsys.readouterr().err.split())


def pooled_behind(output: str, *more: str) -> nir.NIRGraph:
    """A pool behind a nested graph whose Output has a name; more: nodes beside it that lead nowhere."""
    inner: dict[str, Any] = {"in": nir.Input({"input": np.array([2, 4, 4])}), "lif": networks_lif((2, 4, 4))}
    inner[output] = nir.Output({"output": np.array([2, 4, 4])})
    edges = [*itertools.pairwise(inner), *(("in", name) for name in more)]
    block = nir.NIRGraph({**inner, **{name: networks_lif((2, 4, 4)) for name in more}}, edges, type_check=False)
    nodes = {
        "input": nir.Input({"input": np.array([2, 4, 4])}),
        "block": block,
        "pool": nir.AvgPool2d(*(np.array([2, 2]) for _ in range(2)), np.array([0, 0])),
        "end": networks_lif((2, 2, 2)),
        "output": nir.Output({"output": np.array([2, 2, 2])}),
    }
    return networks.graph(nodes, list(itertools.pairwise(nodes)))


def networks_lif(shape: tuple[int, ...]) -> nir.LIF:
    values = (0.005, 2.5, 0.0, 0.3, 0.0)
    return nir.LIF(*(np.full(shape, value, np.float32) for value in values))


def test_a_pool_behind_a_nested_graph_passes_stock_nirs_check(tmp_path: Path) -> None:
    before = pooled_behind("out")
    nd.write_nir(before, tmp_path / "before.nir")
    with pytest.raises(KeyError, match="output"):
        nir.read(tmp_path / "before.nir", type_check=True)
    after, changes = normalize(before, stock=True)
    assert ("block.out", "renamed to output") in changes and ("block.in", "renamed to input") in changes
    nd.write_nir(after, tmp_path / "after.nir")
    assert set(nir.read(tmp_path / "after.nir", type_check=True).nodes) == set(before.nodes)
    x = rng().uniform(0, 1, (8, 3, 2, 4, 4)).astype(np.float32)
    one, other = (nd.simulate(graph, x, "reference") for graph in (before, after))
    for name in ("block.lif", "end"):
        assert one.populations[name].data["spikes"].any()
        np.testing.assert_array_equal(one.populations[name].data["spikes"], other.populations[name].data["spikes"])


def test_what_stock_nir_refuses_still_is_refused_by_name() -> None:
    normalize(pooled_behind("output", "spare"))
    with pytest.raises(UnsupportedError, match=r"block\.spare: leads nowhere, in a nested graph; take it out"):
        normalize(pooled_behind("output", "spare"), stock=True)


def test_drawn_graphs_pass_stock_nirs_check_or_are_refused_by_name(tmp_path: Path) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
    @given(nir_drawn.cases())
    def check(case: nir_drawn.Case) -> None:
        graph = assume(case.graph, dt=case.dt)
        try:
            made, _ = normalize(graph, stock=True)
        except UnsupportedError as error:
            assert [v for v in error.violations if v.node != "graph" and v.remedy]
            met["refused"] += 1
            return
        nd.write_nir(made, tmp_path / "x.nir")
        nir.read(tmp_path / "x.nir", type_check=True)
        met["passed"] += 1

    check()
    assert met["passed"] > met["refused"]


def awkward() -> nir.NIRGraph:
    """Scalars, no shapes, a grouped convolution, an oblong kernel, a pool, in a nested graph and outside."""
    random = rng()
    grouped = random.normal(0, 0.6, (4, 1, 3, 3)).astype(np.float32)
    oblong = random.normal(0, 0.4, (3, 4, 1, 3)).astype(np.float32)
    scalar = nir.LIF(np.float32(5e-4), np.float32(5), np.float32(0), np.float32(0.4), np.float32(0))
    inner = {
        "input": nir.Input({"input": None}),
        "conv": nir.Conv2d(None, grouped, 1, 1, 1, 2, random.normal(0, 0.1, 4).astype(np.float32)),
        "lif": scalar,
        "output": nir.Output({"output": None}),
    }
    nodes = {
        "input": nir.Input({"input": np.array([2, 5, 6])}),
        "block": nir.NIRGraph(inner, list(itertools.pairwise(inner)), type_check=False),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 0])),
        "oblong": nir.Conv2d(None, oblong, (1, 1), (0, 1), 1, 1, np.zeros(3, np.float32)),
        "last": nir.LIF(np.float32(7e-4), np.float32(7), np.float32(0), np.float32(0.3), np.float32(0)),
        "flat": nir.Flatten({"input": None}, 0, -1),
        "end": nir.LI(np.float32(3e-4), np.float32(3), np.float32(0)),
        "output": nir.Output({"output": None}),
    }
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


@pytest.mark.parametrize("stock", [False, True])
def test_normalize_changes_the_form_and_no_spike(stock: bool, tmp_path: Path) -> None:
    before = read_as(awkward(), "snntorch", reset="value")
    after, changes = normalize(before, stock=stock)
    assert {c.node for c in changes} >= {
        "block.input",
        "block.conv",
        "block.lif",
        "oblong",
        "last",
        "flat",
        "end",
        "output",
    }
    nd.write_nir(after, tmp_path / "x.nir")
    if stock:
        assert set(nir.read(tmp_path / "x.nir", type_check=True).nodes) >= set(before.nodes)
    else:
        with pytest.raises(ValueError, match="mismatch"):
            nir.read(tmp_path / "x.nir", type_check=True)
    again = nd.read_nir(tmp_path / "x.nir")
    assert again.nodes["last"].v_threshold.shape == (3, 4, 3)
    assert again.nodes["block"].nodes["lif"].tau.shape == (4, 5, 6)
    x = rng().uniform(0, 1, (10, 4, 2, 5, 6)).astype(np.float32)
    one, other = (nd.simulate(graph, x, "reference", ("spikes", "v")) for graph in (before, again))
    assert list(one.populations) == list(other.populations)
    for name, recording in one.populations.items():
        assert recording.data["spikes"].any() or name == "end"
        for variable, values in recording.data.items():
            if stock:
                np.testing.assert_allclose(values, other.populations[name].data[variable], atol=1e-5)
            else:
                np.testing.assert_array_equal(values, other.populations[name].data[variable])
    assert normalize(again, stock=stock)[1] == []


def test_a_kernel_that_no_rim_makes_square_is_refused_for_stock_alone() -> None:
    graph = read_as(awkward(), "snntorch", reset="value")
    graph.nodes["oblong"].weight = graph.nodes["oblong"].weight[..., :2]
    normalize(graph)
    with pytest.raises(UnsupportedError, match=r"oblong: its kernel \(1, 2\) cannot be made square"):
        normalize(graph, stock=True)


def test_commands_take_a_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(written_by("snntorch"), tmp_path / "theirs.nir")
    x = rng().uniform(0, 1, (20, 6, SIZE)).astype(np.float32)
    np.savez(tmp_path / "x.npz", input=x)
    theirs, told = str(tmp_path / "theirs.nir"), ["--as", "snntorch", "--reset", "subtract-late"]
    given = ["--input", str(tmp_path / "x.npz")]

    assert run(["simulate", theirs, *given, "--backend", "reference", "--out", str(tmp_path / "a.trace.h5")]) == 2
    assert "give --dt SECONDS, or by --as" in " ".join(capsys.readouterr().err.split())
    assert run(["normalize", theirs, *told, "--nir", str(tmp_path / "ours.nir")]) == 0
    for name, options in (("theirs", told), ("ours", [])):
        out = str(tmp_path / f"{name}.trace.h5")
        given_name = str(tmp_path / f"{name}.nir")
        assert run(["simulate", given_name, *given, "--backend", "reference", *options, "--out", out]) == 0
        program = str(tmp_path / f"{name}.program.h5")
        assert run(["compile", given_name, *options, "--calibrate", str(tmp_path / "x.npz"), "--out", program]) == 0
    one, other = (nd.load_trace(tmp_path / f"{name}.trace.h5") for name in ("theirs", "ours"))
    np.testing.assert_array_equal(one.populations["n1"].data["spikes"], other.populations["n1"].data["spikes"])
    assert one.populations["n1"].data["spikes"].any()
    assert nd.load_program(tmp_path / "theirs.program.h5") == nd.load_program(tmp_path / "ours.program.h5")
    assert one.provenance["discretization"] == "forward Euler" and one.provenance["reset"] == "subtract-late"
    wrong = ["simulate", str(tmp_path / "ours.program.h5"), *given, "--dt", "1", "--out", str(tmp_path / "b.trace.h5")]
    assert run(wrong) == 2
    assert "leave those options out" in " ".join(capsys.readouterr().err.split())


def test_inspect_shows_the_families_and_what_each_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(written_by("snntorch"), tmp_path / "x.nir")
    assert run(["inspect", str(tmp_path / "x.nir"), "--json", "--no-targets"]) == 0
    families = {f["family"]: f for f in json.loads(capsys.readouterr().out)["families"]}
    assert [name for name, f in families.items() if f["fits"]] == ["snntorch", "spikingjelly"]
    readings = {r["reset"]: r for r in families["snntorch"]["readings"]}
    assert set(readings) == set(RESETS)
    x = np.random.default_rng(0).uniform(0, 1, (40, 4, SIZE)).astype(np.float32)
    for reset, reading in readings.items():
        trace = nd.simulate(read_as(written_by("snntorch"), "snntorch", reset=reset), x, "reference")
        assert reading["spikes"]["n1"] == trace.populations["n1"].data["spikes"].sum() > 20
        beta = 1 - 1e-4 / written_by("snntorch").nodes["n0"].tau
        assert reading["leak"][0] == pytest.approx(beta.min(), rel=1e-4)
        assert reading["gain"] == [1.0, 1.0] and reading["dt"] == 1e-4 and reading["fires"] == ">"
    assert len({r["spikes"]["n0"] for r in readings.values()}) == len(readings)
    assert "give --dt SECONDS" in families["rockpool"]["readings"][0]["problem"]
    assert run(["inspect", str(tmp_path / "x.nir"), "--no-targets"]) == 0
    shown = capsys.readouterr().out
    assert "Whose file it may be" in shown and "subtract-late" in shown
    told = ["--as", "snntorch", "--reset", "subtract-late", "--no-targets"]
    assert run(["inspect", str(tmp_path / "x.nir"), *told]) == 0
    shown = capsys.readouterr().out
    assert "as a file of snntorch" in shown and "Whose file it may be" not in shown


def test_a_large_file_is_not_run_in_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    for largest, spikes in ((SIZE, {"n0": 0}), (SIZE - 1, None)):
        monkeypatch.setattr(nir_families, "LARGEST", largest)
        first = nir_families.try_families(written_by("norse"))[0]
        assert first["family"] == "norse" and first["fits"]
        assert (first["readings"][0]["spikes"] is None) == (spikes is None)


def test_what_norse_itself_writes_is_read_at_its_own_step() -> None:
    """Its exporter writes dt*tau: with dt = 1e-3 and tau = 10 ms, 1e-5."""
    tau = taus(3e-3, 2e-2)
    graph = foreign(lif(1e-3 * tau, np.ones(SIZE)))
    reading = read_graph(read_as(graph, "norse"))
    np.testing.assert_allclose(reading.neurons["n0"].params["beta"], 1 - 1e-3 / tau, rtol=1e-5)


def test_a_reading_that_the_numbers_do_not_fit_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(written_by("snntorch"), tmp_path / "x.nir")
    said = {}
    for options in ("--as snntorch --reset value", "--as norse", "--dt 0.001", "--dt 0.0001"):
        run(["inspect", str(tmp_path / "x.nir"), "--no-targets", *options.split()])
        said[options] = " ".join(capsys.readouterr().err.split())
    assert "warning" not in said["--as snntorch --reset value"] and "warning" not in said["--dt 0.0001"]
    assert "not those of a norse file (not so: r is 1 everywhere)" in said["--as norse"]
    assert "It looks like a file of snntorch" in said["--as norse"]
    assert "a step of 0.001 s, but its numbers are those of 0.0001 s" in said["--dt 0.001"]


def test_a_verdict_says_what_was_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nd.write_nir(written_by("snntorch"), tmp_path / "x.nir")
    np.savez(tmp_path / "x.npz", input=rng().uniform(0, 1, (20, 6, SIZE)).astype(np.float32))
    told = ["--as", "snntorch", "--reset", "subtract-late", "--input", str(tmp_path / "x.npz"), "--lava-samples", "0"]
    report = tmp_path / "r.html"
    assert run(["verify", str(tmp_path / "x.nir"), *told, "--json", "--report", str(report)]) == 0
    made = json.loads(capsys.readouterr().out)["program"]
    assert made["max_steps"] == 20 and made["read_as"]["reset"] == "subtract-late"
    assert "--reset subtract-late" in report.read_text() and made["digest"] in report.read_text()
    program = tmp_path / "x.program.h5"
    calibrate = ["--calibrate", str(tmp_path / "x.npz"), "--max-steps", "20"]
    assert run(["compile", str(tmp_path / "x.nir"), *told[:4], *calibrate, "--out", str(program)]) == 0
    assert "reset subtract-late" in capsys.readouterr().out
    assert nd.load_program(program).digest == made["digest"]


def test_python_has_the_same_readings() -> None:
    graph = nd.read_as(written_by("sinabs"), "sinabs")
    assert nd.compile(nd.normalize(graph)[0], input_range=(0, 1), max_steps=9).encoders[0].high > 0
    one, other = (nd.compile(graph, input_range=r, max_steps=9) for r in ((0.0, 1.0, 0.5), nd.InputRange(0, 1, 0.5)))
    assert one == other
    with pytest.raises(InputError, match="compile takes a NIR graph"):
        nd.compile("x.nir")


def test_shapes_that_stock_nir_gets_wrong_are_repaired(tmp_path: Path) -> None:
    """Stock nir takes an oblong kernel for a square one, and writes what it thinks into Flatten and Output."""
    weight = rng().normal(0.1, 0.5, (3, 2, 3, 1)).astype(np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([2, 6, 5])}),
        "conv": nir.Conv2d((6, 5), weight, 1, 0, 1, 1, np.zeros(3, np.float32)),
        "flat": nir.Flatten({"input": None}, 0, -1),
        "output": nir.Output({"output": None}),
    }
    stock = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=True)
    assert list(stock.nodes["flat"].input_type["input"]) == [3, 4, 3], "the truth is (3, 4, 5)"
    nir.write(tmp_path / "stock.nir", stock)
    before = assume(nd.read_nir(tmp_path / "stock.nir"), dt=1e-3)
    after, changes = normalize(before)
    assert [n.shape for n in read_graph(before).nodes] == [(2, 6, 5), (3, 4, 5), (60,), (60,)]
    assert list(after.nodes["flat"].input_type["input"]) == [3, 4, 5]
    assert list(after.nodes["output"].output_type["output"]) == [60]
    assert {c.node for c in changes} == {"flat", "output"}
