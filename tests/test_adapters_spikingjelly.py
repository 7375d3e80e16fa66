"""SpikingJelly: `reference` gives its own spikes from our adapter's graph; what its own NIR exchange keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters.spikingjelly import NEURONS
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph.conventions import read_as

pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed (tests/frameworks.txt)")

from spikingjelly.activation_based import functional, layer, neuron, surrogate

DT = 0.002
STEPS, BATCH = 50, 8


def spikes_of(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """What each population sent, (T, B, *shape).  The model is called once in step mode 'm', else step by step."""
    seen: dict[str, list[torch.Tensor]] = {}

    def watch(name: str) -> Any:
        return lambda module, given, sent: seen.setdefault(name, []).append(sent)

    hooks = [m.register_forward_hook(watch(n)) for n, m in model.named_modules() if type(m).__name__ in NEURONS]
    multi = any(getattr(m, "step_mode", "s") == "m" for m in model.modules())
    functional.reset_net(model)
    with torch.no_grad():
        model(x) if multi else [model(step) for step in x]
    functional.reset_net(model)
    for hook in hooks:
        hook.remove()
    return {name: (torch.stack(sent) if len(sent) > 1 else sent[0]).numpy() for name, sent in seen.items()}


def dense(first: nn.Module, second: nn.Module, mode: str = "m") -> nn.Sequential:
    """5 -> 9 -> 4, biases positive."""
    torch.manual_seed(5)
    model = nn.Sequential(layer.Linear(5, 9), first, layer.Linear(9, 4), second).eval()
    with torch.no_grad():
        for linear in (model[0], model[2]):
            linear.weight.add_(0.15)
            linear.bias.abs_()
    functional.set_step_mode(model, mode)
    return model


def given() -> torch.Tensor:
    return torch.rand(STEPS, BATCH, 5, generator=torch.Generator().manual_seed(2)) * 2 - 0.4


def check(model: nn.Module, x: torch.Tensor, tmp_path: Path, **options: Any) -> None:
    """Convert, write, read, run: every spike of every layer and step."""
    theirs = spikes_of(model, x)
    graph = nd.from_spikingjelly(model, dt=DT, input_shape=tuple(x.shape[2:]), **options)
    nd.write_nir(graph, tmp_path / "jelly.nir")
    trace = nd.simulate(nd.read_nir(tmp_path / "jelly.nir"), x.numpy(), "reference")
    assert set(trace.populations) - {"input"} == {name.replace(".", "_") for name in theirs}
    for name, sent in theirs.items():
        assert sent.any(axis=(0, 1)).mean() > 0.5 and 0.03 < sent.mean() < 0.97, f"{name}: most fire, not always"
        np.testing.assert_array_equal(trace.populations[name.replace(".", "_")].data["spikes"], sent, err_msg=name)


ATAN = surrogate.ATan()
PAIRS: Mapping[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    "IF, soft and hard": lambda: (
        neuron.IFNode(v_threshold=1.3, v_reset=None),
        neuron.IFNode(v_threshold=0.9, v_reset=-0.35, surrogate_function=ATAN),
    ),
    "LIF, decayed input": lambda: (
        neuron.LIFNode(tau=2.7, v_threshold=0.21, v_reset=None),
        neuron.LIFNode(tau=1.6, v_threshold=0.55, v_reset=0.06),
    ),
    "LIF, whole input": lambda: (
        neuron.LIFNode(tau=3.4, decay_input=False, v_threshold=0.8, v_reset=-0.3),
        neuron.LIFNode(tau=2.3, decay_input=False, v_threshold=0.7, v_reset=None),
    ),
    "LIF to 0": lambda: (
        neuron.LIFNode(tau=3.4, decay_input=False, v_threshold=0.8),
        neuron.LIFNode(tau=2.3, v_threshold=0.3),
    ),
    "parametric LIF": lambda: (
        neuron.ParametricLIFNode(init_tau=2.7, v_threshold=0.21, v_reset=None),
        neuron.ParametricLIFNode(init_tau=1.9, decay_input=False, v_threshold=1.1, v_reset=0.1),
    ),
    "activation-aware IF": lambda: (
        neuron.ActivationAwareIFNode(torch.linspace(0.8, 1.6, 9), torch.linspace(-0.3, 0.3, 9), channel_dim=1),
        neuron.ActivationAwareIFNode(1.2, torch.linspace(-0.2, 0.3, 4), v_reset=-0.2),
    ),
    "simple": lambda: (
        neuron.SimpleLIFNode(tau=2.7, decay_input=True, v_threshold=0.25, v_reset=-0.15),
        neuron.SimpleIFNode(v_threshold=1.1, v_reset=0.35),
    ),
    "simple, whole input": lambda: (
        neuron.SimpleIFNode(v_threshold=1.1, v_reset=None),
        neuron.SimpleLIFNode(tau=3.1, decay_input=False, v_threshold=0.9, v_reset=0.2),
    ),
}


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("pair", PAIRS)
def test_reference_gives_its_spikes(pair: str, mode: str, tmp_path: Path) -> None:
    check(dense(*PAIRS[pair](), mode), given(), tmp_path)


def test_a_synaptic_current(tmp_path: Path) -> None:
    first = neuron.CUBALIFNode(c_decay=0.35, v_decay=0.6, v_threshold=1.9, v_reset=-0.4)
    second = neuron.CUBALIFNode(c_decay=0.55, v_decay=0.45, v_threshold=2.1, v_reset=None)
    check(dense(first, second), given(), tmp_path)


def test_ties_fire(tmp_path: Path) -> None:
    """Sums that meet the threshold exactly: multiples of 1/8, leaks of 1 and 1/2."""
    pair = neuron.IFNode(v_threshold=0.75, v_reset=None), neuron.LIFNode(2.0, False, v_threshold=0.625, v_reset=-0.25)
    model = dense(*pair)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for linear in (model[0], model[2]):
            linear.weight.copy_(torch.randint(-2, 5, linear.weight.shape, generator=draw) / 8)
            linear.bias.zero_()
    x = torch.randint(0, 2, (STEPS, BATCH, 5), generator=draw).float()
    check(model, x, tmp_path)
    trace = nd.simulate(nd.from_spikingjelly(model, dt=DT, input_shape=(5,)), x.numpy(), "reference", record=("h",))
    for name, theta in (("1", 0.75), ("3", 0.875)):
        assert (trace.populations[name].data["h"] == theta).sum() > 20, "many meet it"


def layers_model(mode: str) -> nn.Sequential:
    """Its own layers: convolution, batch norm, pool, dropout, flatten; and torch's."""
    torch.manual_seed(8)
    model = nn.Sequential(
        layer.Conv2d(2, 6, 3, stride=(2, 1), padding=(1, 0), groups=2, bias=False),
        layer.BatchNorm2d(6),
        neuron.IFNode(v_threshold=0.8, v_reset=None),
        layer.AvgPool2d(2),
        layer.Dropout(0.4),
        layer.Flatten(),
        nn.Linear(36, 7),
        layer.BatchNorm1d(7),
        neuron.LIFNode(tau=2.4, v_threshold=0.3, v_reset=-0.2),
    )
    functional.set_step_mode(model, mode)
    with torch.no_grad():
        model[6].weight.add_(0.05)
        for norm in (model[1], model[7]):
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.1, 0.4)
            norm.weight.uniform_(0.7, 1.4)
            norm.bias.uniform_(0.1, 0.4)
    return model.eval()


@pytest.mark.parametrize("mode", ["m", "s"])
def test_its_layers(mode: str, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(6)
    check(layers_model(mode), torch.rand(STEPS, BATCH, 2, 8, 8, generator=draw) - 0.3, tmp_path)


@pytest.mark.parametrize("pair", ["layers", *PAIRS])
def test_it_compiles_for_a_chip(pair: str) -> None:
    """And on the chip it fires as often, within 0.02: rounding to 8 bits moves spikes in time, and those of an
    integrator for good.
    """
    model, x = (dense(*PAIRS[pair]()), given()) if pair in PAIRS else (layers_model("m"), None)
    if x is None:
        x = torch.rand(STEPS, BATCH, 2, 8, 8, generator=torch.Generator().manual_seed(6)) - 0.3
    about = {"steps": STEPS, "input_low": -0.4, "input_high": 1.6}
    graph = nd.from_spikingjelly(model, dt=DT, input_shape=tuple(x.shape[2:]), **about)
    trace = nd.simulate(nd.compile(graph, target="loihi2"), x.numpy(), "sim")
    for name, sent in spikes_of(model, x).items():
        population = trace.populations[name]
        ours = population.data["spikes"][population.latency :][:STEPS].reshape(sent.shape)
        assert abs(ours.mean() - sent.mean()) < 0.02, name


def test_its_containers_and_torchs_flatten(tmp_path: Path) -> None:
    torch.manual_seed(11)
    model = nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)),
        neuron.LIFNode(tau=2.2, v_threshold=0.15, v_reset=None, step_mode="m"),
        nn.Flatten(2),
        layer.MultiStepContainer(nn.Linear(48, 5), neuron.IFNode(v_threshold=0.7, v_reset=0.1)),
    ).eval()
    with torch.no_grad():
        model[0][1].running_var.fill_(0.3)
        model[3][0].weight.add_(0.05)
    x = torch.rand(STEPS, BATCH, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    check(model, x, tmp_path)


def test_an_integrator_is_the_output(tmp_path: Path) -> None:
    first, second = neuron.LIFNode(tau=2.7, v_threshold=0.21, v_reset=0.05), neuron.NonSpikingLIFNode(tau=3.3)
    model = dense(first, second)
    x = given()
    functional.reset_net(model)
    with torch.no_grad():
        theirs = torch.stack(model(x)).numpy()
    functional.reset_net(model)
    graph = nd.from_spikingjelly(model, dt=DT, input_shape=(5,))
    ours = nd.simulate(graph, x.numpy(), "reference", record=("v",)).populations["3"].data["v"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert theirs.std() > 0.01


def test_integrators_take_all_steps_at_once() -> None:
    """So beside them torch's own layers are fine, and neurons that go step by step are not."""
    model = nn.Sequential(nn.Linear(5, 4), neuron.NonSpikingIFNode()).eval()
    nd.from_spikingjelly(model, dt=DT, input_shape=(5,))
    with pytest.raises(UnsupportedError, match="1: its step_mode is 's' where the network's is 'm'"):
        nd.from_spikingjelly(dense(neuron.IFNode(), neuron.NonSpikingIFNode(), "s"), dt=DT, input_shape=(5,))


def test_a_model_that_spikingjelly_cannot_run_is_named() -> None:
    broken = changed(neuron.IFNode(), v_threshold=torch.linspace(0.4, 0.9, 4))
    with pytest.raises(InputError, match="1: the model itself does not run"):
        nd.from_spikingjelly(nn.Sequential(nn.Linear(5, 4), broken).eval(), dt=DT, input_shape=(5,))


def test_everything_that_is_refused_is_named_at_once() -> None:
    model = nn.Sequential(
        layer.Linear(4, 4),
        neuron.ILIFNode(),
        layer.MaxPool2d(2),
        neuron.LIFNode(v_threshold=-0.5, v_reset=None),
        neuron.IFNode(v_threshold=0.2, v_reset=0.3),
        neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=False)),
        neuron.NonSpikingIFNode(decode="last_mem"),
    )
    functional.set_step_mode(model, "m")
    model[3].step_mode = "s"
    with pytest.raises(UnsupportedError) as caught:
        nd.from_spikingjelly(model, dt=DT, input_shape=(4,))
    said = str(caught.value)
    for words in (
        "3: its step_mode is 's' where the network's is 'm'",
        "1: ILIFNode is not kept exactly (it rounds",
        "2: MaxPool2d is not supported",
    ):
        assert words in said
    functional.set_step_mode(model, "m")
    del model[1:3]
    with pytest.raises(UnsupportedError) as caught:
        nd.from_spikingjelly(model, dt=DT, input_shape=(4,))
    said = str(caught.value)
    for words in (
        "1.v_threshold: is -0.5, not above 0",
        "2.v_threshold - v_reset: is -0.1, not above 0",
        "3.surrogate_function: Sigmoid does not give 1",
        "4.decode: decode 'last_mem' joins all steps",
    ):
        assert words in said
    joined = nn.Sequential(layer.SeqToANNContainer(nn.Linear(4, 4), neuron.IFNode()), neuron.IFNode(step_mode="m"))
    with pytest.raises(UnsupportedError, match=r"0\.1: stands in a SeqToANNContainer"):
        nd.from_spikingjelly(joined, dt=DT, input_shape=(4,))


def changed(module: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def begun(module: Any, name: str, value: Any) -> nn.Module:
    module.set_reset_value(name, value)
    return module  # type: ignore[no-any-return]


NAN = float("nan")
WRONG: list[tuple[str, Callable[[], nn.Module]]] = [
    ("v: starts at 0.5, not at 0", lambda: begun(neuron.IFNode(0.7, None), "v", 0.5)),
    ("v: starts at 0.5, not at 0", lambda: begun(neuron.SimpleIFNode(0.7, 0.0), "v", torch.full((8, 4), 0.5))),
    ("v: starts at 0, not at -0.2", lambda: changed(neuron.LIFNode(2.0, True, 0.3, None), v_reset=-0.2)),
    ("c: starts at 0.1, not at 0", lambda: begun(neuron.CUBALIFNode(0.4, 0.7), "c", 0.1)),
    ("_neuron_precision", lambda: changed(neuron.LIFNode(), _neuron_precision=(torch.float16, "fp32", "fp32"))),
    ("tau: is 0.7, so a step", lambda: neuron.NonSpikingLIFNode(0.7, None)),
    ("tau: is 0.5, so a step", lambda: changed(neuron.LIFNode(), tau=0.5)),
    ("tau: tau of shape", lambda: changed(neuron.LIFNode(), tau=torch.rand(3) + 2)),
    ("c_decay: is a leak of -0.3", lambda: neuron.CUBALIFNode(c_decay=-0.3, v_decay=0.7)),
    ("c_decay: is a leak of 1.3", lambda: neuron.CUBALIFNode(c_decay=1.3, v_decay=0.7, v_reset=None)),
    ("v_decay: is a leak of -0.5", lambda: neuron.CUBALIFNode(c_decay=0.3, v_decay=-0.5, v_reset=None)),
    ("v_threshold: v_threshold of shape", lambda: changed(neuron.IFNode(), v_threshold=torch.rand(3) + 0.1)),
    ("v_threshold: holds values that are NaN", lambda: changed(neuron.IFNode(), v_threshold=NAN)),
    ("v_threshold: is torch.float64", lambda: changed(neuron.IFNode(), v_threshold=torch.rand(4).double())),
    ("v_threshold: 'high' is not a number", lambda: changed(neuron.IFNode(), v_threshold="high")),
]


@pytest.mark.parametrize(("match", "make"), WRONG)
def test_attributes_that_are_not_kept_are_refused(match: str, make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnsupportedError, match=rf"1\.{match}"):
        nd.from_spikingjelly(nn.Sequential(nn.Linear(4, 4), make()).eval(), dt=DT, input_shape=(4,))


def spread(n: int, low: float, high: float) -> nn.Parameter:
    return nn.Parameter(torch.linspace(low, high, n))


TENSORS: dict[str, Callable[[int], nn.Module]] = {
    "leaks": lambda n: changed(
        neuron.CUBALIFNode(0.4, 0.7, 1.9, -0.2), c_decay=spread(n, 0.3, 0.6), v_decay=spread(n, 0.7, 0.5)
    ),
    "soft": lambda n: changed(neuron.CUBALIFNode(0.4, 0.6, 1.9, None), v_threshold=spread(n, 1.4, 1.9)),
    "hard": lambda n: changed(neuron.SimpleIFNode(0.7, -0.1), v_threshold=spread(n, 0.9, 1.4)),
    "tau": lambda n: changed(neuron.SimpleLIFNode(3.3, True, 0.2, 0.0), tau=spread(n, 2.0, 3.0)),
}
"""Classes that SpikingJelly can run so; its IFNode and LIFNode take numbers alone."""


@pytest.mark.parametrize("name", TENSORS)
def test_parameters_per_neuron(name: str, tmp_path: Path) -> None:
    check(dense(TENSORS[name](9), TENSORS[name](4), "s"), given(), tmp_path)


def exported(model: nn.Module, x: torch.Tensor) -> nir.NIRGraph:
    """Its own export, at DT, read by its convention: it fires at the threshold."""
    pytest.importorskip("nirtorch", reason="SpikingJelly's NIR exchange needs nirtorch (tests/frameworks.txt)")
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    multi = any(getattr(m, "step_mode", "s") == "m" for m in model.modules())
    return read_as(export_to_nir(model, x if multi else x[0], dt=DT), "spikingjelly", dt=DT)


OWN: Mapping[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    "IF, LIF": lambda: (neuron.IFNode(v_threshold=1.3), neuron.LIFNode(tau=1.6, v_threshold=0.17)),
    "LIF, whole input": lambda: (
        neuron.LIFNode(tau=3.4, decay_input=False, v_threshold=0.8),
        neuron.ParametricLIFNode(init_tau=2.7, v_threshold=0.21),
    ),
    "a current": lambda: (neuron.CUBALIFNode(0.35, 0.6, 1.9, 0.0), neuron.CUBALIFNode(0.55, 0.45, 2.1, 0.0)),
}


@pytest.mark.parametrize("pair", OWN)
def test_its_export_keeps_neurons_that_reset_to_0(pair: str) -> None:
    model, x = dense(*OWN[pair]()), given()
    trace = nd.simulate(exported(model, x), x.numpy(), "reference")
    for name, sent in spikes_of(model, x).items():
        assert 0.01 < sent.mean() < 0.99
        np.testing.assert_array_equal(trace.populations[f"_{name}"].data["spikes"], sent)


@pytest.mark.parametrize("make", [neuron.IFNode, neuron.LIFNode, lambda **v: neuron.CUBALIFNode(0.4, 0.6, **v)])
def test_neurons_start_from_v_reset(make: Callable[..., nn.Module]) -> None:
    """Nothing in NIR says where a potential starts; our adapter, and our reading of its files, measure from v_reset."""
    model, x = dense(make(v_threshold=0.9, v_reset=-0.6), make(v_threshold=0.7, v_reset=0.2)), given()
    theirs, own = spikes_of(model, x), nd.simulate(exported(model, x), x.numpy(), "reference")
    ours = nd.simulate(nd.from_spikingjelly(model, dt=DT, input_shape=(5,)), x.numpy(), "reference")
    for name, sent in theirs.items():
        np.testing.assert_array_equal(own.populations[f"_{name}"].data["spikes"], sent)
        np.testing.assert_array_equal(ours.populations[name].data["spikes"], sent)


def test_its_export_refuses_what_it_cannot_say() -> None:
    x = given()
    with pytest.raises(NotImplementedError, match="soft reset"):
        exported(dense(neuron.IFNode(v_reset=None), neuron.IFNode()), x)
    grouped = nn.Sequential(layer.Conv2d(2, 4, 3, groups=2), neuron.IFNode())
    with pytest.raises(NotImplementedError, match="Grouped"):
        exported(grouped, torch.rand(2, 3, 2, 8, 8))
    for unknown in (neuron.ILIFNode(), neuron.SimpleIFNode()):
        with pytest.raises((KeyError, ValueError, RuntimeError)):
            exported(dense(unknown, neuron.IFNode()), x)


def imported(graph: nir.NIRGraph, x: torch.Tensor) -> np.ndarray:
    """The output of SpikingJelly's own reading of a graph."""
    pytest.importorskip("nirtorch", reason="SpikingJelly's NIR exchange needs nirtorch (tests/frameworks.txt)")
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    module, state, sent = import_from_nir(graph, dt=DT), None, []
    with torch.no_grad():
        for step in x:
            spikes, state = module(step, state)
            sent.append(spikes)
    return torch.stack(sent).numpy()


def test_its_import_takes_what_it_knows_and_refuses_the_rest() -> None:
    """Neurons of one layer must be alike, rest at v_reset, and take their input whole or by dt/tau."""
    x = given()
    model = dense(neuron.LIFNode(3.4, False, v_threshold=0.8), neuron.LIFNode(2.3, False, v_threshold=0.7))
    graph = nd.from_spikingjelly(model, dt=DT, input_shape=(5,))
    np.testing.assert_array_equal(imported(graph, x), spikes_of(model, x)["3"])
    size = np.ones(4)
    for node, words in (
        (nir.LIF(tau=DT * np.arange(2, 6), r=size, v_leak=0 * size, v_threshold=size), "uniform"),
        (nir.LIF(tau=3 * DT * size, r=size, v_leak=0.1 * size, v_threshold=size), "v_leak must equal v_reset"),
        (nir.LIF(tau=3 * DT * size, r=2 * size, v_leak=0 * size, v_threshold=size), "r must equal 1 or tau / dt"),
        (nir.IF(r=size, v_threshold=size), "r must equal 1 / dt"),
    ):
        shape = np.array([4])
        nodes = {"input": nir.Input({"input": shape}), "n": node, "output": nir.Output({"output": shape})}
        with pytest.raises(ValueError, match=words):
            imported(nir.NIRGraph(nodes, [("input", "n"), ("n", "output")]), x[..., :4])


def test_the_registry_knows_every_neuron() -> None:
    classes = {n for n, kind in vars(neuron).items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    assert classes == set(NEURONS)
    for kept in NEURONS.values():
        assert kept.how.startswith("exact: ") if kept.convert else kept.how.startswith("refused: ") and kept.remedy
