"""Norse -> NIR -> Norse: its own spikes in every layer and step, or a refusal.

Seeds are fixed: our float32 operations stand in another order than Norse's, and potentials are measured from v_leak, so
a potential within rounding of its threshold could fire in one and not in the other; in these runs none does.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import framework_runs as runs
import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters import neurons
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.neurons.scheme import METADATA
from neuro_deploy.program import Readout
from neuro_deploy.train.export import graph_of
from neuro_deploy.train.fold import fold

MISSING = "Norse is not installed: pip install --no-deps -r tests/frameworks.txt"
pytest.importorskip("nirtorch", reason=MISSING)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    norse = pytest.importorskip("norse.torch", reason=MISSING)

DT = 0.0013


def tensor(*values: float, n: int = 0) -> torch.Tensor:
    """One number, or n of them from the first to the second."""
    return torch.tensor(values[0]) if len(values) == 1 else torch.linspace(*values, n)


def lif_parameters(n: int = 0) -> Any:
    """Distinct values, none a default; per neuron if n."""
    if n:
        rates = {"tau_syn_inv": tensor(310.0, 560.0, n=n), "tau_mem_inv": tensor(90.0, 260.0, n=n)}
        levels = {"v_leak": tensor(-0.2, 0.15, n=n), "v_th": tensor(0.35, 0.6, n=n), "v_reset": tensor(-0.4, 0.1, n=n)}
        return norse.LIFParameters(**rates, **levels)
    levels = {"v_leak": tensor(0.12), "v_th": tensor(0.53), "v_reset": tensor(-0.17)}
    return norse.LIFParameters(tau_syn_inv=tensor(440.0), tau_mem_inv=tensor(170.0), **levels)


def box_parameters(method: Any, n: int = 0) -> Any:
    p = lif_parameters(n)
    return norse.LIFBoxParameters(
        tau_mem_inv=p.tau_mem_inv, v_leak=p.v_leak, v_th=p.v_th, v_reset=p.v_reset, reset_method=method
    )


def iaf_parameters(n: int = 0) -> Any:
    if n:
        return norse.IAFParameters(v_th=tensor(0.7, 1.1, n=n), v_reset=tensor(-0.3, 0.35, n=n))
    return norse.IAFParameters(v_th=tensor(0.9), v_reset=tensor(0.25))


CELLS: dict[str, Callable[[int, bool], nn.Module]] = {
    "LIFCell": lambda n, wide: norse.LIFCell(lif_parameters(n * wide), dt=DT),
    "LIFBoxCell, value": lambda n, wide: norse.LIFBoxCell(box_parameters(norse.reset_value, n * wide), dt=DT),
    "LIFBoxCell, subtract": lambda n, wide: norse.LIFBoxCell(box_parameters(norse.reset_subtract, n * wide), dt=DT),
    "IAFCell": lambda n, wide: norse.IAFCell(iaf_parameters(n * wide), dt=DT),
}


def dense(name: str, wide: bool) -> nn.Module:
    torch.manual_seed(21)
    make = CELLS[name]
    model = norse.SequentialState(nn.Linear(10, 14), make(14, wide), nn.Linear(14, 9), make(9, wide))
    with torch.no_grad():
        model[0].weight.mul_(5)
        model[2].weight.mul_(6)
    return model.eval()


def own(model: nn.Module, names: tuple[str, ...], x: torch.Tensor) -> dict[str, np.ndarray]:
    """A cell's own spikes, one step a call."""
    state: list[Any] = [None]

    def step(given: torch.Tensor) -> None:
        _, state[0] = model(given, state[0])

    return runs.run_steps(step, {name: model.get_submodule(name) for name in names}, x)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_its_own_spikes(name: str, wide: bool) -> None:
    model, x = dense(name, wide), runs.inputs(10, low=-0.2)
    graph = nd.from_norse(model, input_shape=(10,))
    assert read_graph(graph).dt == DT
    runs.assert_spikes(graph, x, own(model, ("1", "3"), x))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_there_and_back(tmp_path: Any, name: str, wide: bool) -> None:
    """from(to(graph)) is the graph in every field, and the module's spikes are the graph's."""
    x, about = runs.inputs(10, low=-0.2), {"input_shape": (10,), "steps": 17, "input_low": -0.2, "input_high": 1.0}
    about |= {"input_quantum": 0.125, "readout": Readout("3", "spike_count", 3, 16)}
    graph = nd.from_norse(dense(name, wide), **about)
    nd.write_nir(graph, tmp_path / "x.nir")
    back = nd.to_norse(nd.read_nir(tmp_path / "x.nir"))
    runs.assert_same(graph, nd.from_norse(back, **about))
    runs.assert_spikes(graph, x, own(back, ("1", "3"), x))


@pytest.mark.parametrize("over_time", [False, True])
def test_recurrent(over_time: bool) -> None:
    """Input and recurrent weights of Norse's own, self connections too; by steps, and over time."""
    torch.manual_seed(22)
    kinds = (norse.LIFRecurrent, norse.LIF) if over_time else (norse.LIFRecurrentCell, norse.LIFCell)
    p = lif_parameters()._replace(v_leak=tensor(0.11))
    first = kinds[0](10, 13, p=p, dt=DT, autapses=True)
    with torch.no_grad():
        first.input_weights.mul_(0.7)
        first.recurrent_weights.mul_(1.3)
    model = norse.SequentialState(first, nn.Linear(13, 6), kinds[1](lif_parameters(), dt=DT)).eval()
    with torch.no_grad():
        model[1].weight.mul_(6)
    x = runs.inputs(10, low=-0.4)
    graph = nd.from_norse(model, input_shape=(10,))
    assert list(graph.nodes) == ["input", "0_input", "0_gain", "0", "0_recurrent", "1", "2_gain", "2", "output"]
    expected = whole(model, ("0", "2"), x) if over_time else own(model, ("0", "2"), x)
    runs.assert_spikes(graph, x, expected)
    back = nd.to_norse(graph)
    runs.assert_same(graph, nd.from_norse(back, input_shape=(10,)))
    runs.assert_spikes(graph, x, own(back, ("0", "2"), x))


def whole(model: nn.Module, names: tuple[str, ...], x: torch.Tensor) -> dict[str, np.ndarray]:
    """The spikes of modules over time, all steps in one call."""
    seen = runs.run_steps(model, {name: model.get_submodule(name) for name in names}, x[None])
    return {name: out[0] for name, out in seen.items()}


def test_convolutions_over_time() -> None:
    torch.manual_seed(23)
    iaf = norse.IAF(norse.IAFParameters(v_th=tensor(0.8), v_reset=tensor(0.15)), dt=DT)
    model = norse.SequentialState(
        norse.Lift(
            nn.Sequential(nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(1, 0), bias=False), nn.BatchNorm2d(3))
        ),
        norse.LIF(lif_parameters(), dt=DT),
        norse.Lift(nn.AvgPool2d(2, 1, 1)),
        nn.Flatten(2),
        nn.Linear(120, 6),
        iaf,
    ).eval()
    with torch.no_grad():
        model[0].lifted_module[0].weight.mul_(9)
        model[4].weight.mul_(3)
        model[0].lifted_module[1].running_var.uniform_(0.5, 1.5)
        model[0].lifted_module[1].bias.uniform_(0.2, 0.6)
    x = runs.inputs(2, 7, 9)
    graph = nd.from_norse(model, input_shape=(2, 7, 9))
    assert list(graph.nodes) == ["input", "0_0", "1_gain", "1", "2", "3", "4", "5", "output"]
    expected = whole(model, ("1", "5"), x)
    runs.assert_spikes(graph, x, expected)
    back = nd.to_norse(graph)
    runs.assert_same(graph, nd.from_norse(back, input_shape=(2, 7, 9)))
    for name, spikes in own(back, ("1", "5"), x).items():
        np.testing.assert_array_equal(spikes, expected[name])


INTEGRATORS: dict[str, Callable[[], nn.Module]] = {
    "LICell": lambda: norse.LICell(norse.LIParameters(tensor(330.0), tensor(140.0), tensor(0.35)), dt=DT),
    "LIBoxCell": lambda: norse.LIBoxCell(norse.LIBoxParameters(tensor(140.0), tensor(-0.35)), dt=DT),
    "LILinearCell": lambda: norse.LILinearCell(
        14, 14, norse.LIParameters(tensor(330.0), tensor(140.0), tensor(0.35)), dt=DT
    ),
}


@pytest.mark.parametrize("name", INTEGRATORS)
def test_integrators_in_the_middle(name: str) -> None:
    """Neurons behind an integrator see its potential, v_leak too."""
    torch.manual_seed(24)
    model = norse.SequentialState(
        nn.Linear(10, 14), INTEGRATORS[name](), nn.Linear(14, 9), norse.LIFCell(lif_parameters(), dt=DT)
    ).eval()
    with torch.no_grad():
        model[0].weight.mul_(3)
        model[2].weight.mul_(4)
    x = runs.inputs(10, low=-0.2)
    graph = nd.from_norse(model, input_shape=(10,))
    runs.assert_spikes(graph, x, own(model, ("3",), x))
    names = {"1": own(model, ("1",), x)["1"]}
    trace = nd.simulate(graph, x.numpy(), "reference")
    rest = np.float32(model[1].p.v_leak)
    np.testing.assert_allclose(trace.populations["1"].data["v"] + rest, names["1"], rtol=0, atol=1e-5)
    if name != "LILinearCell":
        back = nd.to_norse(graph)
        runs.assert_spikes(graph, x, own(back, ("3",), x))
        again = nd.from_norse(back, input_shape=(10,))
        assert {n for n in graph.nodes if "rest" not in n} == {n for n in again.nodes if "rest" not in n}


@pytest.mark.parametrize("kind", ["lif", "cf", "li, then lif", "lif with a current"])
def test_any_gain_comes_back(kind: str) -> None:
    """Graphs of ours have unit gain, Norse's have 1 - beta: a Scale makes up for it, and folds away again."""
    torch.manual_seed(25)
    beta, theta = torch.linspace(0.55, 0.93, 7), torch.linspace(0.9, 0.4, 7)
    layers: dict[str, list[nn.Module]] = {
        "lif": [nd.nn.LIF(beta, theta, reset="hard", v_reset=torch.linspace(-0.3, 0.2, 7))],
        "cf": [nd.nn.CirculateFire(beta, theta, 1, theta_reset=theta / beta)],
        "li, then lif": [nd.nn.Integrator(beta), nn.Linear(7, 7), nd.nn.LIF(1.0, 0.7, reset="hard")],
        "lif with a current": [nd.nn.LIF(0.73, theta, reset="hard", beta_syn=torch.linspace(0.8, 0.55, 7))],
    }
    net = nn.Sequential(OrderedDict(fc=nn.Linear(10, 7), **{f"n{i}": m for i, m in enumerate(layers[kind])})).eval()
    with torch.no_grad():
        net.fc.weight.mul_(3)
    graph, x = graph_of(fold(net), dt=DT, input_shape=(10,)), runs.inputs(10, low=-0.2)
    back = nd.to_norse(graph)
    last = f"n{len(layers[kind]) - 1}"
    runs.assert_spikes(graph, x, own(back, (last,), x))
    again = nd.from_norse(back, input_shape=(10,))
    assert again.metadata[METADATA].pop("proof")["random"]["differences"] == 0
    runs.assert_same(graph, again)


def test_neurons_without_reset_go_there_and_back() -> None:
    """Norse says it by a threshold of 0 that is taken away, and a v_leak below."""
    net = nn.Sequential(
        OrderedDict(fc=nn.Linear(10, 7), n=nd.nn.CirculateFire(0.8, torch.linspace(0.9, 0.4, 7), 1, theta_reset=0.0))
    ).eval()
    graph, x = graph_of(fold(net), dt=DT, input_shape=(10,)), runs.inputs(10, low=-0.2)
    back = nd.to_norse(graph)
    runs.assert_spikes(graph, x, own(back, ("n",), x))
    again = nd.from_norse(back, input_shape=(10,))
    assert read_graph(again).neurons["n"].keeps
    runs.assert_spikes(again, x, own(back, ("n",), x))


@pytest.mark.parametrize("method", ["heaviside", "triangle", "tanh", "circ", "heavi_erfc"])
def test_surrogates_do_not_matter(method: str) -> None:
    torch.manual_seed(26)
    cell = norse.LIFCell(lif_parameters()._replace(method=method), dt=DT)
    model = norse.SequentialState(nn.Linear(10, 8), cell).eval()
    with torch.no_grad():
        model[0].weight.mul_(5)
    x = runs.inputs(10, low=-0.2)
    runs.assert_spikes(nd.from_norse(model, input_shape=(10,)), x, own(model, ("1",), x))


def plain(**changes: Any) -> nn.Module:
    return norse.LIFCell(lif_parameters()._replace(**changes), dt=DT)


REFUSED: list[tuple[str, Callable[[], nn.Module]]] = [
    ("v_th: is not above the potential at rest", lambda: plain(v_leak=tensor(0.6))),
    ("tau_mem_inv: times dt is 1.3", lambda: plain(tau_mem_inv=tensor(1000.0))),
    ("tau_syn_inv: times dt is", lambda: plain(tau_syn_inv=tensor(-1.0))),
    ("tau_mem_inv: tau_mem_inv of shape", lambda: plain(tau_mem_inv=tensor(100.0, 200.0, n=4))),
    ("v_th: is torch.float64", lambda: plain(v_th=torch.linspace(0.4, 0.6, 5, dtype=torch.float64))),
    ("reset_method", lambda: norse.LIFBoxCell(box_parameters(lambda z, v, r, th: v - z), dt=DT)),
    ("v_leak: other than one number", lambda: norse.LICell(norse.LIParameters(v_leak=tensor(0.1, 0.2, n=5)), dt=DT)),
    ("an exponential", lambda: norse.LIFAdExCell(dt=DT)),
    ("an exponential", lambda: norse.LIFExCell(dt=DT)),
    ("adapts", lambda: norse.LSNNCell(dt=DT)),
    ("refractory", lambda: norse.LIFRefracCell(dt=DT)),
    ("conductances", lambda: norse.CobaLIFCell(5, 5, dt=DT)),
    ("compartments", lambda: norse.LIFMCRecurrentCell(5, 5, g_coupling=torch.eye(5), dt=DT)),
    ("learns", lambda: norse.LIFCorrelation(5, 5)),
    ("takes \\(T, B", lambda: norse.Lift(norse.LIF(lif_parameters(), dt=DT))),
]


@pytest.mark.parametrize(("match", "make"), REFUSED)
def test_what_is_not_kept_is_refused(match: str, make: Callable[[], nn.Module]) -> None:
    model = norse.SequentialState(nn.Linear(5, 5), make(), nn.GELU()).eval()
    with pytest.raises(UnsupportedError, match=match) as caught:
        nd.from_norse(model, input_shape=(5,), dt=DT)
    assert "  1" in str(caught.value) and "2: GELU is not supported" in str(caught.value)


def replaced(**attributes: Any) -> nn.Module:
    cell = plain()
    for name, value in attributes.items():
        setattr(cell, name, value)
    return cell


@pytest.mark.parametrize(
    ("match", "make"),
    [
        ("activation: is <lambda>, not that of LIFCell", lambda: replaced(activation=lambda x, s, p, dt: (x, s))),
        ("activation: is lif_step", lambda: replaced(activation=norse.functional.lif.lif_step)),
        ("state_fallback: gives a first state", lambda: replaced(state_fallback=lambda x: None)),
        ("state_fallback: gives", lambda: replaced(state_fallback=norse.LIFBoxCell(dt=DT).initial_state)),
        ("v_th: holds values that are NaN", lambda: plain(v_th=tensor(float("nan")))),
    ],
)
def test_what_was_put_in_place_of_a_cells_own_is_refused(match: str, make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnsupportedError, match=f"1.{match}"):
        nd.from_norse(norse.SequentialState(nn.Linear(5, 5), make()).eval(), input_shape=(5,))


def test_one_dt_for_all() -> None:
    two = norse.SequentialState(plain(), norse.LIFCell(lif_parameters(), dt=0.002))
    with pytest.raises(InputError, match=r"several \(0 0.0013, 1 0.002\)"):
        nd.from_norse(two, input_shape=(5,))
    with pytest.raises(InputError, match=r"another or several \(0 0.0013\)"):
        nd.from_norse(norse.SequentialState(plain()), input_shape=(5,), dt=0.001)
    with pytest.raises(InputError, match="give dt="):
        nd.from_norse(norse.SequentialState(nn.Linear(4, 4)), input_shape=(4,))


def test_every_class_of_norse_is_known() -> None:
    kept = neurons("norse")
    found = {n for n in dir(norse) if isinstance(getattr(norse, n), type) and issubclass(getattr(norse, n), nn.Module)}
    spiking = {n for n in found if n.startswith(("LIF", "LI", "IAF", "LSNN", "Izhi", "Coba"))}
    assert spiking == set(kept), spiking ^ set(kept)
    for name, entry in kept.items():
        assert entry.how.startswith("exact: " if entry.convert else "refused: "), name
        assert entry.convert or entry.remedy, name


def test_what_norse_cannot_represent_is_refused() -> None:
    net = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(4, 4),
            cf=nd.nn.CirculateFire(0.8, 0.9, 3),
            fc2=nn.Linear(4, 4),
            drift=nd.nn.LIF(0.7, 0.8, reset="hard", drift=0.1),
            fc3=nn.Linear(4, 4),
            value=nd.nn.LIF(1.0, 0.8, reset="hard", v_reset=0.2),
            fc4=nn.Linear(4, 4),
            fine=nd.nn.LIF(torch.tensor([0.3, 0.2, 0.1, 0.41]), 0.8, reset="hard"),
        )
    ).eval()
    with pytest.raises(UnsupportedError) as caught:
        nd.to_norse(nd.export_nir(net, dt=DT, input_shape=(4,)))
    lines = [str(v) for v in caught.value.violations]
    for start in ("cf: several rounds", "drift: drift: is not 0", "value: beta: beta = 1", "fine: beta: "):
        assert any(line.startswith(start) for line in lines), (start, lines)


@pytest.mark.parametrize("name", CELLS)
def test_what_norses_own_export_loses(tmp_path: Any, name: str) -> None:
    """Its time constants are dt * tau, so the file is read at dt * dt; v_reset, how it resets and the gain are lost.

    Where a parameter is one number for a population, its graph cannot be written at all.
    """
    model, x = dense(name, True), runs.inputs(10, low=-0.2)
    spikes = own(model, ("1", "3"), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError, match="Scalar datasets"):
            nir.write(tmp_path / "scalar.nir", norse.to_nir(dense(name, False), torch.zeros(10), dt=DT))
        nir.write(tmp_path / "theirs.nir", norse.to_nir(model, torch.zeros(10), dt=DT))
    theirs = nd.read_nir(tmp_path / "theirs.nir")
    node, p = theirs.nodes["1"], model[1].p
    assert not np.any(np.asarray(node.v_reset)) and p.v_reset.all()
    if name == "IAFCell":
        assert np.all(node.r == 1)  # of NIR's IF, whose input counts r * dt
    else:
        tau = node.tau_mem if name == "LIFCell" else node.tau
        np.testing.assert_allclose(np.asarray(tau), DT / np.asarray(p.tau_mem_inv), rtol=1e-6)
    if name == "LIFCell":
        assert np.all(node.w_in == 1)  # of NIR's CubaLIF, whose current takes dt / tau_syn of its input
    trace = nd.simulate(theirs, x.numpy(), "reference", dt=DT if name == "IAFCell" else DT * DT)
    lost = {n: int((trace.populations[n].data["spikes"] != s).sum()) for n, s in spikes.items()}
    ours = nd.simulate(nd.from_norse(model, input_shape=(10,)), x.numpy(), "reference")
    assert all(np.array_equal(ours.populations[n].data["spikes"], s) for n, s in spikes.items())
    assert min(lost.values()) > 100, lost
