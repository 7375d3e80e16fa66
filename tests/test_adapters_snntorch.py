"""snnTorch -> NIR -> snnTorch: its own spikes in every layer and step, or a refusal.

Seeds are fixed: our float32 operations stand in another order than snnTorch's, so a potential within one rounding of
its threshold could fire in one and not in the other; in these runs none does.
"""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import framework_runs as runs
import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters import neurons
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.conventions import read_as
from neuro_deploy.neurons.scheme import METADATA, RESETS
from neuro_deploy.program import Readout

snn = pytest.importorskip("snntorch", reason="snnTorch is not installed: pip install --no-deps -r tests/frameworks.txt")

KEEP: dict[str, dict[str, Any]] = {
    "subtract": {"reset_mechanism": "subtract", "reset_delay": True},
    "zero": {"reset_mechanism": "zero", "reset_delay": False},
    "zero, late": {"reset_mechanism": "zero", "reset_delay": True},
    "none": {"reset_mechanism": "none", "reset_delay": True},
    "none, at once": {"reset_mechanism": "none", "reset_delay": False},
}


def arrays(n: int) -> dict[str, torch.Tensor]:
    """Distinct values for each neuron."""
    return {"beta": torch.linspace(0.55, 0.93, n), "threshold": torch.linspace(0.9, 0.35, n)}


def leaky(n: int, **reset: Any) -> nn.Module:
    return snn.Leaky(**arrays(n), **reset, init_hidden=True)


def graded(n: int, **reset: Any) -> nn.Module:
    return snn.Leaky(**arrays(n), **reset, init_hidden=True, graded_spikes_factor=torch.linspace(0.7, 1.9, n))


def synaptic(n: int, **reset: Any) -> nn.Module:
    return snn.Synaptic(alpha=torch.linspace(0.6, 0.2, n), **arrays(n), **reset, init_hidden=True)


def rleaky(n: int, **reset: Any) -> nn.Module:
    return snn.RLeaky(**arrays(n), **reset, init_hidden=True, linear_features=n)


def one_to_one(n: int, **reset: Any) -> nn.Module:
    return snn.RLeaky(**arrays(n), **reset, init_hidden=True, all_to_all=False, V=torch.linspace(-0.6, 0.4, n))


def rsynaptic(n: int, **reset: Any) -> nn.Module:
    alpha = torch.linspace(0.5, 0.1, n)
    return snn.RSynaptic(alpha=alpha, **arrays(n), **reset, init_hidden=True, linear_features=n)


def lapicque(n: int, **reset: Any) -> nn.Module:
    """beta and gain are 1 - time_step / (R*C) and time_step / C."""
    reset = {key: value for key, value in reset.items() if key != "reset_delay"}
    threshold = arrays(n)["threshold"]
    return snn.Lapicque(R=5.1, C=0.73, time_step=0.9, threshold=threshold, **reset, init_hidden=True)


def alpha(n: int, **reset: Any) -> nn.Module:
    reset = {key: value for key, value in reset.items() if key != "reset_delay"}
    leaks = {"alpha": torch.linspace(0.85, 0.95, n), "beta": torch.linspace(0.8, 0.7, n)}
    return snn.Alpha(**leaks, threshold=torch.linspace(0.2, 0.1, n), **reset, init_hidden=True)


CASES: list[tuple[Callable[..., nn.Module], tuple[str, ...]]] = [
    (leaky, ("subtract", "zero", "zero, late", "none", "none, at once")),
    (graded, ("subtract", "zero", "zero, late", "none")),
    (synaptic, ("subtract", "zero", "none", "none, at once")),
    (rleaky, ("subtract", "zero", "none")),
    (one_to_one, ("subtract", "zero", "none")),
    (rsynaptic, ("subtract", "none")),
    (lapicque, ("subtract", "none")),
    (alpha, ("none",)),
]
ALL = [(make, reset) for make, resets in CASES for reset in resets]


def dense(make: Callable[..., nn.Module], reset: str) -> nn.Sequential:
    torch.manual_seed(11)
    model = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(10, 14), one=make(14, **KEEP[reset]), fc2=nn.Linear(14, 9), two=make(9, **KEEP[reset])
        )
    )
    with torch.no_grad():
        model.fc1.weight.mul_(2.5)
        model.fc2.weight.mul_(2.5)
    return model.eval()


def own(model: nn.Module, names: tuple[str, ...], x: torch.Tensor) -> dict[str, np.ndarray]:
    """Spikes without the factor of graded ones, by our names of the populations."""
    modules = {name: model.get_submodule(name) for name in names}
    seen = runs.run_steps(model, modules, x)
    sizes = {name: modules[name].graded_spikes_factor.numpy() for name in names}
    return {name.replace(".", "_"): np.where(out != 0, out / sizes[name], 0) for name, out in seen.items()}


@pytest.mark.parametrize(("make", "reset"), ALL)
def test_its_own_spikes(make: Callable[..., nn.Module], reset: str) -> None:
    model, x = dense(make, reset), runs.inputs(10, low=-0.2)
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,))
    runs.assert_spikes(graph, x, own(model, ("one", "two"), x))


@pytest.mark.parametrize(("make", "reset"), [c for c in ALL if c[0] not in (graded, lapicque, alpha)])
def test_there_and_back(tmp_path: Any, make: Callable[..., nn.Module], reset: str) -> None:
    """from(to(graph)) is the graph in every field, and the module's spikes are the graph's."""
    x, about = runs.inputs(10, low=-0.2), {"dt": 0.003, "input_shape": (10,), "steps": 17, "input_low": -0.2}
    about |= {"input_high": 1.0, "input_quantum": 0.125, "readout": Readout("two", "spike_count", 3, 16)}
    nd.write_nir(nd.from_snntorch(dense(make, reset), **about), tmp_path / "x.nir")
    graph = nd.from_snntorch(dense(make, reset), **about)
    back = nd.to_snntorch(nd.read_nir(tmp_path / "x.nir"))
    runs.assert_same(graph, nd.from_snntorch(back, **about))
    runs.assert_spikes(graph, x, own(back, ("one", "two"), x))
    assert graph.metadata[METADATA]["readout"] == {"population": "two", "rule": "spike_count", "start": 3, "stop": 16}


@pytest.mark.parametrize("make", [graded, lapicque])
def test_gains_come_back_as_layers(make: Callable[..., nn.Module]) -> None:
    """A gain or a factor is a Scale of ours in the Sequential: the same spikes, and the same graph from then on."""
    model, x = dense(make, "subtract"), runs.inputs(10, low=-0.2)
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,))
    back = nd.to_snntorch(graph)
    runs.assert_spikes(graph, x, own(back, ("one", "two"), x))
    again = nd.from_snntorch(back, dt=0.003, input_shape=(10,), readout=Readout("two"))
    runs.assert_same(graph, again)


class Net(nn.Module):
    """A hand-written time step: convolutions, batch norm, pooling, a convolution that recurs, learned parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(12)
        channels = torch.tensor([0.62, 0.81, 0.93]).reshape(3, 1, 1)
        self.conv = nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(1, 0), bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.lif1 = snn.Leaky(channels, torch.rand(3, 7, 4) * 0.4 + 0.3, reset_mechanism="zero", learn_beta=True)
        self.pool = nn.AvgPool2d(2, 1, 1)
        self.lif2 = snn.RLeaky(0.77, threshold=0.43, conv2d_channels=3, kernel_size=3, learn_threshold=True)
        self.out = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(120, 6))
        self.lif3 = snn.Synaptic(0.4, 0.7, threshold=0.9)
        with torch.no_grad():
            self.conv.weight.mul_(3)
            self.out[2].weight.mul_(3)
            self.norm.running_mean.uniform_(-0.3, 0.3)
            self.norm.running_var.uniform_(0.5, 1.5)
            self.norm.weight.uniform_(0.8, 1.6)
            self.norm.bias.uniform_(0.1, 0.4)
        self.state: list[Any] = [None] * 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c, d, e, f = self.state
        s1, a = self.lif1(self.norm(self.conv(x)), a)
        s2, c = self.lif2(self.pool(s1), b, c)
        s3, e, f = self.lif3(self.out(s2), e, f)
        self.state = [a, s2, c, d, e, f]
        return s3


LAYERS = ["conv", "norm", "lif1", "pool", "lif2", "out", "lif3"]


def test_a_time_loop_of_ones_own_with_convolutions() -> None:
    model, x = Net().eval(), runs.inputs(2, 7, 9)
    graph = nd.from_snntorch(model, dt=0.002, input_shape=(2, 7, 9), layers=LAYERS)
    assert [type(graph.nodes[n]).__name__ for n in ("lif1", "lif2_recurrent", "out_2")] == ["LIF", "Conv2d", "Affine"]
    expected = own(model, ("lif1", "lif2", "lif3"), x)
    runs.assert_spikes(graph, x, expected)
    back = nd.to_snntorch(graph)
    runs.assert_same(graph, nd.from_snntorch(back, dt=0.002, input_shape=(2, 7, 9)))
    for name, spikes in own(back, ("lif1", "lif2", "lif3"), x).items():
        np.testing.assert_array_equal(spikes, expected[name])


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("reset", ["subtract", "zero, late", "none"])
def test_no_memory_and_no_leak(beta: float, reset: str) -> None:
    torch.manual_seed(5)
    neurons = snn.Leaky(beta, 0.61, **KEEP[reset], init_hidden=True)
    check_alone(neurons)


@pytest.mark.parametrize("make", [synaptic, rsynaptic, rleaky])
def test_no_memory_but_the_reset(make: Callable[..., nn.Module]) -> None:
    """The reset of the step before must not pass the current."""
    torch.manual_seed(5)
    neurons = make(8, **KEEP["subtract"])
    neurons.beta = torch.tensor(0.0)
    check_alone(neurons)


def check_alone(neurons: nn.Module) -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(10, 8), one=neurons)).eval()
    x = runs.inputs(10, low=-0.7)
    with torch.no_grad():
        model.fc.weight.mul_(2)
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,))
    runs.assert_spikes(graph, x, own(model, ("one",), x))
    runs.assert_same(graph, nd.from_snntorch(nd.to_snntorch(graph), dt=0.003, input_shape=(10,)))


def test_a_potential_that_is_read_goes_to_the_chip() -> None:
    """The usual readout, the potential of a last layer without reset: its spikes are left out, its decision stays."""
    torch.manual_seed(6)
    last = snn.Leaky(torch.linspace(0.9, 0.7, 5), 0.8, reset_mechanism="none", init_hidden=True, output=True)
    model = nn.Sequential(nn.Linear(10, 14), leaky(14, **KEEP["subtract"]), nn.Linear(14, 5), last).eval()
    x, readout = runs.inputs(10, low=-0.2), Readout("3", "last_v")
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,), input_low=-0.2, input_high=1.0, readout=readout)
    assert type(graph.nodes["3"]) is nir.LI and not read_graph(graph).neurons["3"].params.keys() - {"beta"}
    runs.assert_spikes(graph, x, own(model, ("1",), x))
    reference = nd.simulate(graph, x.numpy(), "reference")
    np.testing.assert_allclose(reference.populations["3"].data["v"][-1], last.mem.detach(), atol=1e-5)
    np.testing.assert_array_equal(readout.decide(reference), last.mem.argmax(dim=1))
    program = nd.compile(graph, target="loihi2")
    assert (program.readout.decide(nd.simulate(program, x.numpy())) == readout.decide(reference)).mean() >= 0.75


@pytest.mark.parametrize("rule", ["last_v", "mean_v", "spike_count"])
@pytest.mark.parametrize("make", [leaky, synaptic, rleaky, graded])
def test_only_a_last_potential_that_is_read_loses_its_spikes(make: Callable[..., nn.Module], rule: str) -> None:
    """Not where they are counted, go through a loop, or have a size: they and the potentials are snnTorch's."""
    model, x = dense(make, "none"), runs.inputs(10, low=-0.2)
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,), readout=Readout("two", rule))
    kinds = {name: neuron.kind for name, neuron in read_graph(graph).neurons.items()}
    assert kinds == {"one": "cf", "two": "li" if rule != "spike_count" and make in (leaky, synaptic) else "cf"}
    spikes = own(model, ("one", "two"), x)
    runs.assert_spikes(graph, x, {name: spikes[name] for name, kind in kinds.items() if kind == "cf"})
    data = nd.simulate(graph, x.numpy(), "reference", ("v",)).populations["two"].data
    np.testing.assert_allclose(data["v"][-1], model.two.mem.detach(), atol=1e-5)


@pytest.mark.parametrize("make", [leaky, synaptic, rleaky, lapicque])
def test_hidden_layers_without_reset_go_to_the_chip(make: Callable[..., nn.Module]) -> None:
    model, x = dense(make, "none"), runs.inputs(10, low=-0.2)
    spikes = own(model, ("one", "two"), x)
    graph = nd.from_snntorch(model, dt=0.003, input_shape=(10,), steps=len(x), input_low=-0.2, input_high=1.0)
    program = nd.compile(graph, target="loihi2")
    trace = nd.simulate(program, x.numpy())
    for name, theirs in spikes.items():
        assert (trace.aligned(name, "spikes") == theirs).mean() > 0.9, name


def test_an_integrator_and_a_threshold_are_neurons_without_reset() -> None:
    """The other form that says it goes back too, with its spikes."""
    x, beta = runs.inputs(5), np.linspace(0.5, 0.9, 5, dtype=np.float32)
    tau = np.float32(0.003) / (1 - beta)
    nodes = {
        "input": nir.Input({"input": np.array([5])}),
        "memory": nir.LI(tau=tau, r=tau / np.float32(0.003), v_leak=np.zeros(5, np.float32)),
        "fires": nir.Threshold(np.linspace(0.9, 3.5, 5, dtype=np.float32)),
        "output": nir.Output({"output": np.array([5])}),
    }
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), metadata={METADATA: {"dt": 0.003}}, type_check=False)
    back = nd.to_snntorch(graph)
    assert back.fires.reset_mechanism == "none" and list(back._modules) == ["fires"]
    runs.assert_spikes(graph, x, own(back, ("fires",), x))
    again = nd.from_snntorch(back, dt=0.003, input_shape=(5,))
    assert read_graph(again).neurons["fires"].keeps
    runs.assert_spikes(again, x, own(nd.to_snntorch(graph), ("fires",), x))


REFUSED: list[tuple[str, Callable[[], nn.Module]]] = [
    ("reset_delay: False with reset 'subtract'", lambda: snn.Leaky(0.8, reset_delay=False)),
    ("reset_delay: False with reset 'subtract'", lambda: snn.Synaptic(0.5, 0.8, reset_delay=False)),
    ("reset_delay: a reset to zero that comes one step late", lambda: snn.Synaptic(0.5, 0.8, reset_mechanism="zero")),
    ("train with Leaky", lambda: snn.Lapicque(0.8, reset_mechanism="zero")),
    ("reset_delay: snnTorch 1.0.0 itself", lambda: snn.RSynaptic(0.5, 0.8, linear_features=5, reset_delay=False)),
    ("reset_mechanism: the reset also throws away", lambda: snn.Alpha(0.9, 0.8)),
    ("spike_grad: does not fire exactly", lambda: snn.Leaky(0.8, spike_grad=torch.sigmoid)),
    ("spike_grad: does not fire exactly", lambda: snn.Leaky(0.8, spike_grad=lambda x: (x >= 0).float())),
    ("state_quant", lambda: snn.Leaky(0.8, state_quant=lambda v: v.round())),
    ("threshold: is not above 0", lambda: snn.Leaky(0.8, torch.linspace(-0.1, 0.4, 5))),
    ("beta: mixes 0 and larger", lambda: snn.Leaky(torch.linspace(0.0, 0.4, 5))),
    ("beta: mixes 1", lambda: snn.Leaky(torch.linspace(0.6, 1.0, 5))),
    ("1.beta: is torch.float64", lambda: snn.Leaky(torch.linspace(0.6, 0.9, 5, dtype=torch.float64))),
    ("1.threshold: holds values that are NaN", lambda: snn.Leaky(0.8, torch.tensor(torch.nan))),
    ("1.threshold: holds values that are NaN or inf", lambda: snn.Leaky(0.8, torch.linspace(0.1, torch.inf, 5))),
    ("1.alpha: 1 means", lambda: snn.Synaptic(1.0, 0.8, reset_mechanism="zero", reset_delay=False)),
    ("1.alpha: mixes 1", lambda: snn.Synaptic(torch.linspace(0.6, 1.0, 5), 0.8, reset_mechanism="none")),
    ("beta: beta of shape", lambda: snn.Leaky(torch.linspace(0.6, 0.9, 4))),
    ("fires when its potential changes", lambda: snn.DeltaLeaky(0.8, beta=0.8)),
    ("ReLU", lambda: snn.LeakyParallel(5, 5)),
    ("whole sequence", lambda: snn.StateLeaky(0.8, 5)),
    ("whole sequence", lambda: snn.LinearLeaky(0.8, 5, 5)),
    ("gates", lambda: snn.SLSTM(5, 5)),
    ("gates", lambda: snn.SConv2dLSTM(1, 1, 3)),
    ("products", lambda: snn.AssociativeLeaky(5, 2, 2, 4)),
    ("batch axis", lambda: snn.GradedSpikes(5, 2.0)),
]


@pytest.mark.parametrize(("match", "make"), REFUSED)
def test_what_is_not_kept_is_refused(match: str, make: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(5, 5), make(), nn.GELU(), snn.Leaky(0.8, torch.tensor(-2.0))).eval()
    with pytest.raises(UnsupportedError, match=match) as caught:
        nd.from_snntorch(model, dt=0.003, input_shape=(5,))
    text = str(caught.value)
    assert "  1" in text and "2: GELU is not supported" in text and "3.threshold: is not above 0" in text


def test_inhibition_and_changed_resets_are_refused() -> None:
    with pytest.warns(UserWarning, match="Inhibition"):
        inhibited = snn.Leaky(0.8, inhibition=True)
    changed = snn.Leaky(0.8)
    changed.reset_mechanism = "zero"
    for population, match in ((inhibited, "only the highest"), (changed, "goes on with the old one")):
        with pytest.raises(UnsupportedError, match=match):
            nd.from_snntorch(nn.Sequential(nn.Linear(5, 5), population).eval(), dt=0.003, input_shape=(5,))


MAKE = {"Leaky": leaky, "RLeaky": rleaky, "Synaptic": synaptic, "RSynaptic": rsynaptic, "Lapicque": lapicque}


def listed(how: str, reset: str, late: bool) -> bool:
    """What a registry's text says of a reset: words of what is kept, then what is not, or only with a delay."""
    kept, _, rest = how.removeprefix("exact: ").partition("; not ")
    if "with reset_delay=True" in kept and not late:
        return False
    kept, _, delays = kept.partition("; zero with")
    if delays:  # "zero with reset_delay=False, subtract with True"
        return reset == "none" or late == (reset == "subtract")
    return reset in kept and not (reset in rest and ("reset_delay=False" not in rest or not late))


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("name", [*MAKE, "Alpha"])
def test_the_registry_says_what_is_kept(name: str, reset: str, late: bool) -> None:
    make = {**MAKE, "Alpha": alpha}[name]
    model = nn.Sequential(nn.Linear(5, 5), make(5, reset_mechanism=reset, reset_delay=late)).eval()
    if listed(neurons("snntorch")[name].how, reset, late):
        nd.from_snntorch(model, dt=0.003, input_shape=(5,))
        return
    with pytest.raises(UnsupportedError, match="reset"):
        nd.from_snntorch(model, dt=0.003, input_shape=(5,))


def test_every_class_of_snntorch_is_known() -> None:
    kept = neurons("snntorch")
    modules = (nn.Module,)
    classes = {n for n in dir(snn) if isinstance(getattr(snn, n), type) and issubclass(getattr(snn, n), modules)}
    assert classes - {"SpikingNeuron", "LIF"} == set(kept)
    for name, entry in kept.items():
        assert entry.how.startswith("exact: " if entry.convert else "refused: "), name
        assert entry.convert or entry.remedy, name


def test_what_snntorch_cannot_represent_is_refused() -> None:
    signed = nd.nn.CirculateFire(0.8, 0.9, 2, polarity="signed", theta_neg=1.1, circulations_neg=1)
    model = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(4, 4),
            cf=signed,
            fc2=nn.Linear(4, 4),
            hard=nd.nn.LIF(0.7, 0.8, reset="hard", v_reset=-0.3),
            fc3=nn.Linear(4, 4),
            soft=nd.nn.LIF(0.7, 0.8),
            fc4=nn.Linear(4, 4),
            some=nd.nn.CirculateFire(0.7, 0.8, 1, theta_reset=[0.0, 0.5, 0.8, 0.0]),
            fc5=nn.Linear(4, 4),
            twice=nd.nn.CirculateFire(0.7, 0.8, 2, theta_reset=0.0),
            fc6=nn.Linear(4, 4),
            li=nd.nn.Integrator(0.9),
        )
    ).eval()
    with pytest.raises(UnsupportedError) as caught:
        nd.to_snntorch(nd.export_nir(model, dt=0.003, input_shape=(4,)))
    lines = [str(v) for v in caught.value.violations]
    for node, what in (
        ("cf", "circulations: several rounds or signed"),
        ("cf", "theta_reset: a round takes theta before the leak"),
        ("hard", "v_reset: is not 0"),
        ("soft", "theta_reset: a round takes theta before the leak"),
        ("some", "theta_reset: a round takes theta before the leak"),
        ("twice", "circulations: several rounds or signed"),
        ("li", "an integrator without a Threshold"),
    ):
        assert any(line.startswith(f"{node}: {what}") for line in lines), (node, what)


def test_branches_and_delays_are_refused() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.one = nn.Linear(4, 4), nd.nn.LIF(0.7, 0.8, reset="hard")
            self.b, self.two = nn.Linear(4, 4), nd.nn.LIF(0.7, 0.8, reset="hard")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.one(self.a(x))
            return self.two(self.b(first) + first)

    with pytest.raises(UnsupportedError, match=r"two: gets b, one, not b alone"):
        nd.to_snntorch(nd.export_nir(Skip().eval(), dt=0.003, input_shape=(4,)))
    graph = nd.from_snntorch(nn.Sequential(nn.Linear(4, 4), snn.Leaky(0.8)).eval(), dt=0.003, input_shape=(4,))
    graph.nodes["0"] = nir.Delay(delay=np.full(4, 0.003, np.float32))
    with pytest.raises(UnsupportedError, match="0: Delay has no module in torch"):
        nd.to_snntorch(graph)


def exported(model: nn.Module) -> nir.NIRGraph:
    """What snnTorch's own exporter writes."""
    pytest.importorskip("nirtorch", reason="nirtorch is not installed: pip install --no-deps -r tests/frameworks.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from snntorch.export_nir import export_to_nir

        graph: nir.NIRGraph = export_to_nir(model, torch.zeros(SAMPLES, 10), ignore_dims=[0])
    for name in ("one", "two"):
        model.get_submodule(name).reset_mem()
    return graph


def test_what_snntorchs_own_export_loses() -> None:
    """Reset subtract, zero and none give one and the same file, which fires as a hard reset does."""
    x, fields, lost, kept = runs.inputs(10, low=-0.2), [], {}, {}
    for reset in ("subtract", "zero", "none"):
        model = dense(leaky, reset)
        theirs = exported(model)
        spikes = own(model, ("one", "two"), x)
        ours = nd.from_snntorch(model, dt=0.003, input_shape=(10,))
        fields.append({k: np.asarray(v) for k, v in vars(theirs.nodes["one"]).items() if isinstance(v, np.ndarray)})
        for graph, count, dt in ((theirs, lost, 1e-4), (ours, kept, None)):
            trace = nd.simulate(graph, x.numpy(), "reference", dt=dt)
            found = {name: trace.populations[name].data["spikes"] for name in spikes}
            count[reset] = sum(int((found[name] != spikes[name]).sum()) for name in spikes)
    for other in fields[1:]:
        for key, value in fields[0].items():
            np.testing.assert_array_equal(other[key], value)
    assert kept == {"subtract": 0, "zero": 0, "none": 0}
    assert lost["zero"] <= 2 < 500 < min(lost["subtract"], lost["none"]), lost


def differing(make: Callable[..., nn.Module], reset: str, path: Path) -> dict[str, int]:
    """For each reset that its own file may be read by: the spikes of both layers that are not the model's."""
    x, model = runs.inputs(10, low=-0.2), dense(make, reset)
    nir.write(path, exported(model))
    spikes = own(model, ("one", "two"), x)
    counts = {}
    for meant in RESETS:
        trace = nd.simulate(read_as(nd.read_nir(path), "snntorch", reset=meant), x.numpy(), "reference")
        found = {name.partition(".")[0]: recording.data["spikes"] for name, recording in trace.populations.items()}
        counts[meant] = sum(int((found[name] != spikes[name]).sum()) for name in spikes)
    return counts


MEANS = {"subtract": "subtract-late", "zero": "value", "zero, late": "value", "none": "none", "none, at once": "none"}
"""What a module's reset is in its file, where a reading has it at all."""
READABLE = [(make, reset) for make, reset in ALL if make not in (graded, lapicque, alpha)]


@pytest.mark.parametrize(("make", "reset"), READABLE)
def test_its_own_file_has_its_spikes_once_the_reset_is_told(
    make: Callable[..., nn.Module], reset: str, tmp_path: Path
) -> None:
    counts = differing(make, reset, tmp_path / "x.nir")
    assert counts.pop(MEANS[reset]) == 0 and min(counts.values()) > 400, counts


@pytest.mark.parametrize("make", [synaptic, rleaky, one_to_one, rsynaptic])
def test_no_reading_has_a_reset_to_zero_that_comes_late(make: Callable[..., nn.Module], tmp_path: Path) -> None:
    """Of all classes but Leaky, where it keeps the input of the next step."""
    assert min(differing(make, "zero, late", tmp_path / "x.nir").values()) > 400


SAMPLES = runs.SAMPLES
