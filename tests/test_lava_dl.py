"""lava-dl's `.net` files: against netx itself, a plain interpreter, Lava's models, and on everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lava_dl_files import cuba, even, interpret, write_net
from lava_harness import differences, run_spk

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import FormatError, InputError, UnsupportedError
from neuro_deploy.files import read_npz
from neuro_deploy.lava_dl import import_net, to_nir, to_program
from neuro_deploy.program import ChipProgram

DATA = Path(__file__).resolve().parent / "data"
DT = 0.002
ALL = ("spikes", "v", "h", "u")
KEPT = 4
Rng = np.random.Generator


def golden(name: str) -> tuple[ChipProgram, np.ndarray, dict[str, np.ndarray]]:
    """A real file's program, the input that netx got (T, 1, ...), and what netx made of it."""
    found = read_npz(DATA / "netx_trace.npz")
    x = found[f"{name}.x"]
    if name == "tiny":
        x = np.broadcast_to(x, (20, *x.shape))
    return to_program(import_net(DATA / f"{name}.net")), x[:, None], found


def busy(name: str, rng: Rng) -> tuple[ChipProgram, np.ndarray]:
    """A real file's program and random input (T, B, ...) on which every layer fires."""
    program = to_program(import_net(DATA / f"{name}.net"))
    if name == "tiny":
        return program, rng.uniform(-2, 2, (20, 2, 3, 16, 16)).astype(np.float32)
    return program, (rng.random((40, 2, 200)) < 0.005).astype(np.float32)


# --- the two real files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start"), [("oxford", 0), ("tiny", 1)])
def test_sim_equals_what_netx_itself_made_of_a_file(name: str, start: int) -> None:
    """netx's steps count from 1: with an input block its first one is row 1, without one its source takes row 0."""
    program, x, told = golden(name)
    trace = nd.simulate(program, x, backend="sim", record=ALL)
    for index, population in enumerate(program.populations):
        spikes, v = told[f"{name}.{index}.spikes"], told[f"{name}.{index}.v"]
        data = trace.populations[population.name].data
        assert spikes.sum() >= 72 and len(spikes) == (80 if name == "oxford" else 20)
        assert (data["spikes"][start:, 0][: len(spikes)] == spikes).all()
        assert (data["v"][start:, 0][: len(spikes) : KEPT] == v).all()


def mutant(program: ChipProgram, name: str, **changes: Any) -> ChipProgram:
    """The program with something else in the population or synapse `name`."""
    populations = [replace(p, **changes) if p.name == name else p for p in program.populations]
    synapses = [replace(s, **changes) if s.name == name else s for s in program.synapses]
    return replace(program, populations=tuple(populations), synapses=tuple(synapses))


def test_the_comparison_with_netx_can_fail() -> None:
    """A bias of the next channel or a step late, a leak or threshold one off, a kernel, a weight, a delay."""
    program, x, told = golden("tiny")
    conv, synapse = program.population("conv1"), next(s for s in program.synapses if s.name == "input0-conv1")
    params, other = dict(conv.params), synapse.weight.copy()
    other[0, 0, 0, 0] += 2
    mutants = {
        "none": program,
        "bias": mutant(program, "conv1", params=params | {"bias_mant": np.roll(params["bias_mant"], 36)}),
        "bias a step late": mutant(program, "conv1", latency=2),
        "leak": mutant(program, "conv1", params=params | {"dv": params["dv"] + 1}),
        "threshold": mutant(program, "conv1", params=params | {"vth": params["vth"] - 1}),
        "kernel": mutant(program, synapse.name, wiring=synapse.wiring.with_weight(synapse.weight.swapaxes(2, 3))),
        "weight": mutant(program, synapse.name, wiring=synapse.wiring.with_weight(other)),
        "delay": mutant(program, synapse.name, delay=1),
    }
    for name, changed in mutants.items():
        data = nd.simulate(changed, x, backend="sim", record=ALL).populations["conv1"].data
        spikes, v = data["spikes"][1:21, 0], data["v"][1:21:KEPT, 0]
        same = (spikes == told["tiny.1.spikes"]).all() and (v == told["tiny.1.v"]).all()
        assert bool(same) == (name == "none"), name


@pytest.mark.lava
@pytest.mark.parametrize("name", ["oxford", "tiny"])
def test_sim_its_definition_and_lavas_models_agree(name: str) -> None:
    program, x = busy(name, np.random.default_rng(1))
    sim = nd.simulate(program, x, backend="sim", record=ALL)
    plain = nd.simulate(program, x, backend="sim-plain", record=ALL)
    lava = run_spk(program, x)
    assert all(sim.populations[p.name].data["spikes"].sum() > 10 for p in program.populations)
    for other in (plain, lava):
        found = differences(sim, other)
        assert len(found) >= 3 * len(program.populations) and set(found.values()) == {0}


@pytest.mark.lava
def test_the_real_runtime_agrees() -> None:
    program, x = busy("tiny", np.random.default_rng(2))
    sim = nd.simulate(program, x[:8, :1], backend="sim")
    lava = nd.simulate(program, x[:8, :1], backend="lava")
    assert nd.compare(sim, lava).equal
    assert sim.populations["conv2"].data["spikes"].sum() > 0


def test_the_integers_of_a_file_stay() -> None:
    program = to_program(import_net(DATA / "tiny.net"))
    with h5py.File(DATA / "tiny.net") as file:
        for index, name in ((1, "conv1"), (2, "conv2")):
            layer, population = file[f"layer/{index}"], program.population(name)
            synapse = next(s for s in program.synapses if s.target == name)
            assert synapse.kind == "conv" and synapse.exponent == synapse.delay == 0
            assert (synapse.weight == layer["weight"][..., 0]).all()
            each = np.repeat(layer["bias"][()], population.size // len(layer["bias"]))
            assert (population.params["bias_mant"] == each).all() and population.params["bias_exp"] == 6
            group = layer["neuron"]
            assert population.params["du"] == group["iDecay"][()] - 1
            assert population.params["dv"] == group["vDecay"][()] and population.params["vth"] == group["vThMant"][()]
    encoder = program.encoders[0]
    assert (encoder.numerator, encoder.denominator, encoder.offset, encoder.shape) == (36, 1, 0, (3, 16, 16))
    assert program.max_steps == 64 and program.proven and {p.latency for p in program.populations} == {1}
    assert program.readout is not None and program.readout.population == "conv2"


def test_a_description_is_frozen_and_a_program_is_a_file(tmp_path: Path) -> None:
    net = import_net(DATA / "oxford.net")
    with pytest.raises(FrozenInstanceError):
        net.steps = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        net.layers[0].wiring.weight[0, 0] = 1  # type: ignore[union-attr]
    program = to_program(net, dt=DT)
    nd.save_program(program, tmp_path / "p.h5")
    assert nd.load_program(tmp_path / "p.h5") == program and program.dt == DT


# --- every kind of block, against a plain interpreter of the raw file -----------------------------------------------


def layers_dense(rng: Rng) -> list[dict[str, Any]]:
    """No input block; decays per channel; weights in one axis; a bias of one number."""
    decays = {"iDecay": rng.integers(1, 4097, 9), "vDecay": rng.integers(0, 4097, 9)}
    first = {"weight": even(rng, 9, 12), "bias": even(rng, 9, most=12), "neuron": cuba(**decays)}
    second = {"weight": even(rng, 6 * 9, most=60), "bias": np.asarray([3.0]), "neuron": cuba(iDecay=1, type="LOIHI")}
    return [{"type": "dense", "shape": [9, 1, 1], **first}, {"type": "dense", "shape": [6], **second}]


def layers_images(rng: Rng) -> list[dict[str, Any]]:
    """Input block, a grouped and dilated convolution that is not square, a recurrent dense layer."""
    geometry = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], "groups": 2}
    conv = {"weight": even(rng, 4, 1, 3, 2, 1, most=60), "bias": even(rng, 4, most=20), **geometry}
    back = {"weight": even(rng, 5, 64), "weight_rec": even(rng, 5, 5, most=90)}
    return [
        {"type": "input", "shape": [2, 7, 6], "weight": [40.0], "bias": [10.0], "neuron": cuba(iDecay=3000)},
        {"type": "conv", "shape": [4, 4, 4], **conv, "neuron": cuba(iDecay=2500, vThMant=[30, 40, 50, 60])},
        {"type": "flatten", "shape": [64, 1, 1]},
        {"type": "dense_rec", "shape": [5], **back, "neuron": cuba(vDecay=0, vThMant=90)},
    ]


def layers_pool(rng: Rng) -> list[dict[str, Any]]:
    """A pool of an odd image (slayer adds a row of zeros), one with stride and dilation along the rows."""
    first = {"stride": [2, 2], "padding": [0, 0], "dilation": [1, 1], "kernelSize": [2, 2]}
    second = {"stride": [2, 1], "padding": [0, 1], "dilation": [1, 2], "kernelSize": [1, 3]}
    return [
        {"type": "input", "shape": [3, 7, 9], "weight": -48.0, "neuron": cuba()},
        {"type": "pool", "shape": [3, 4, 5], **first, "weight": np.full((1, 1, 2, 2, 1), 32.0), "neuron": cuba()},
        {"type": "conv", "shape": [2, 4, 6], "weight": even(rng, 2, 3, 3, 2), "padding": 1, "neuron": cuba()}
        | {"stride": 1, "dilation": 1},
        {"type": "pool", "shape": [2, 2, 4], **second, "weight": np.full((1, 1, 1, 3), 50.0), "neuron": cuba()},
    ]


def layers_average(rng: Rng) -> list[dict[str, Any]]:
    return [
        {"type": "input", "shape": [1, 1, 8]},
        {"type": "flatten", "shape": [8, 1, 1]},
        {"type": "dense", "shape": [12], "weight": even(rng, 12, 8, most=90), "neuron": cuba(gradedSpike=None)},
        {"type": "average", "shape": [3, 1, 1]},
    ]


def layers_delays(rng: Rng) -> list[dict[str, Any]]:
    """Axonal delays of a convolution and of two dense layers, one of them of one number."""
    conv = {"weight": even(rng, 4, 2, 3, 3, most=60), "stride": 1, "padding": 0, "dilation": 1}
    return [
        {"type": "input", "shape": [2, 5, 5]},
        {"type": "conv", "shape": [4, 3, 3], **conv, "delay": [3.0, 0.0, 5.0, 3.0], "neuron": cuba(iDecay=2000)},
        {"type": "flatten", "shape": [36, 1, 1]},
        {"type": "dense", "shape": [7], "weight": even(rng, 7, 36), "delay": rng.integers(0, 6, 7), "neuron": cuba()},
        {"type": "dense", "shape": [4], "weight": even(rng, 4, 7, most=90), "delay": [2.0], "neuron": cuba()},
    ]


def layers_exponents(rng: Rng) -> list[dict[str, Any]]:
    """wgtExp; odd weights of both signs, in a convolution and in a dense layer; odd ones of one sign."""
    odd = 2 * rng.integers(-10, 30, (4, 2, 2, 2)) + 1
    return [
        {"type": "input", "shape": [2, 4, 4], "weight": 30, "neuron": cuba()},
        {"type": "conv", "shape": [4, 3, 3], "weight": odd, "neuron": cuba(wgtExp=1)},
        {"type": "flatten", "shape": [36, 1, 1]},
        {"type": "dense", "shape": [6], "weight": 2 * rng.integers(-20, 40, (6, 36)) + 1, "neuron": cuba(wgtExp=-2)},
        {"type": "dense", "shape": [3], "weight": 2 * rng.integers(0, 127, (3, 6)) + 1, "neuron": cuba()},
    ]


def layers_integrator(rng: Rng) -> list[dict[str, Any]]:
    """The last layer has no neurons: netx sums up all that it gets."""
    return [
        {"type": "dense", "shape": [9], "weight": even(rng, 9, 10, most=90), "neuron": cuba(refDelay=None)},
        {"type": "dense", "shape": [4], "weight": even(rng, 4, 9)},
    ]


def layers_silent(rng: Rng) -> list[dict[str, Any]]:
    """slayer's Affine with dynamics: a threshold that nothing reaches."""
    first, *_ = layers_integrator(rng)
    last = {"weight": even(rng, 4, 9), "neuron": cuba(vThMant=(1 << 18) - 1, iDecay=900)}
    return [first, {"type": "dense", "shape": [4], **last}]


NETS: dict[str, Callable[[Rng], list[dict[str, Any]]]] = {
    name.removeprefix("layers_"): function for name, function in list(globals().items()) if name.startswith("layers_")
}


def drawn(name: str, path: Path) -> tuple[Path, np.ndarray]:
    """A network of that kind and input (T, 1, ...)."""
    rng = np.random.default_rng(sum(map(ord, name)))
    file = write_net(path / f"{name}.net", *NETS[name](rng), steps=33)
    net = import_net(file)
    shape = (33, 1, *net.input_shape)
    return file, (rng.uniform(-2, 2, shape) if net.gain else rng.random(shape) < 0.4).astype(np.float32)


@pytest.mark.parametrize("name", NETS)
def test_sim_equals_a_plain_interpreter_of_the_file(name: str, tmp_path: Path) -> None:
    file, x = drawn(name, tmp_path)
    program = to_program(import_net(file))
    trace = nd.simulate(program, x, backend="sim", record=ALL)
    told = interpret(file, x[:, 0])
    assert list(told) == [p.name for p in program.populations]
    for population in program.populations:
        states, kind = told[population.name], population.kind
        spikes, v = (trace.aligned(population.name, key)[:, 0] for key in ("spikes", "v"))
        if kind == "lif":
            assert states["spikes"].sum() > 10 and (states["spikes"] == 0).sum() > 5
            assert (spikes == states["spikes"]).all()
        shown = v / 64 * population.unit * 64 if population.name.startswith("average") else v
        assert kind == "lif" or np.unique(v).size > 3
        assert np.allclose(shown, states["v"], rtol=0, atol=1e-12)


@pytest.mark.lava
@pytest.mark.parametrize("name", NETS)
def test_lavas_models_agree_on_every_block(name: str, tmp_path: Path) -> None:
    file, x = drawn(name, tmp_path)
    program = to_program(import_net(file))
    found = differences(nd.simulate(program, x, backend="sim", record=ALL), run_spk(program, x))
    assert len(found) >= 2 * len(program.populations) and set(found.values()) == {0}


def test_delays_per_input_and_per_weight(tmp_path: Path) -> None:
    """netx takes them too: (N_in,) and (N, N_in).  One weight a time: its spike arrives delay + 1 steps later."""
    rng = np.random.default_rng(3)
    weight, each = np.full((3, 4), 200.0), rng.integers(0, 9, (3, 4))
    for name, delay in (("inputs", each[0]), ("weights", each)):
        layer = {"type": "dense", "shape": [3], "weight": weight, "delay": delay, "neuron": cuba()}
        program = to_program(import_net(write_net(tmp_path / f"{name}.net", layer)))
        assert sum(s.weight.size for s in program.synapses) == 12
        x = np.zeros((12, 4, 4), np.float32)
        x[0, range(4), range(4)] = 1  # sample j: input j alone
        s = nd.simulate(program, x, backend="sim").aligned("dense0", "spikes")
        assert (s.sum(axis=0) == 1).all() and np.array_equal(s.argmax(axis=0).T, np.tile(delay, (3, 1))[-3:])


def test_an_input_image_is_given_if_the_file_has_none(tmp_path: Path) -> None:
    conv = {"type": "conv", "shape": [2, 3, 4], "weight": np.full((2, 1, 2, 2), 4.0), "neuron": cuba()}
    file = write_net(tmp_path / "conv.net", conv)
    with pytest.raises(UnsupportedError, match=r"layer/0: the size of its input image .* --input-shape"):
        import_net(file)
    assert import_net(file, (1, 4, 5)).input_shape == (1, 4, 5)
    with pytest.raises(UnsupportedError, match=r"shape \(2, 3, 4\), but its kernel gives \(2, 4, 4\)"):
        import_net(file, (1, 5, 5))
    with pytest.raises(InputError, match="input_shape must be"):
        import_net(file, (1, 5))


def test_more_input_bits(tmp_path: Path) -> None:
    program = to_program(import_net(DATA / "oxford.net"), input_bits=4)
    assert program.encoders[0].high == 15 and program.encode(np.full((1, 1, 200), 9.0))[0]["input"].max() == 9


# --- NIR ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NETS if n != "exponents"])
def test_nir_is_the_same_network_where_no_leak_is_rounded(name: str, tmp_path: Path) -> None:
    """Leaks of 0 and 1 round nothing: `reference` gives the program's spikes and potentials, through a file."""
    rng = np.random.default_rng(7)
    layers = NETS[name](rng)
    for layer in layers:
        if "neuron" in layer:
            layer["neuron"] |= {"iDecay": 4096, "vDecay": 4096 if layer["type"] == "input" else 0, "vThMant": 30}
    file = write_net(tmp_path / "plain.net", *layers)
    net = import_net(file)
    graph, program = written(to_nir(net, DT), tmp_path), to_program(net, dt=DT)
    x = drawn(name, tmp_path)[1]
    if net.gain:
        x = (np.rint(x * 16) / 16).astype(np.float32) if net.gain % 16 == 0 else np.rint(x)
    float_, sim = (nd.simulate(s, x, backend=b, record=ALL) for s, b in ((graph, "reference"), (program, "sim")))
    for p in program.populations:
        a, b = float_.aligned(p.name, "v"), sim.aligned(p.name, "v") * p.unit
        assert (float_.aligned(p.name, "spikes") == sim.aligned(p.name, "spikes")).all()
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5)
        assert sim.aligned(p.name, "spikes").sum() > 5 if p.kind == "lif" else np.unique(b).size > 3


@pytest.mark.parametrize("name", ["oxford", "tiny"])
def test_nir_of_a_real_file_differs_by_the_rounding_of_leaks_alone(name: str, tmp_path: Path) -> None:
    program, x, _ = golden(name)
    net = import_net(DATA / f"{name}.net")
    graph = written(to_nir(net, DT), tmp_path)
    float_, sim = (nd.simulate(s, x, backend=b, record=ALL) for s, b in ((graph, "reference"), (program, "sim")))
    for p in program.populations:
        a, b = float_.aligned(p.name, "spikes"), sim.aligned(p.name, "spikes")
        same = (a == b).all(axis=0)
        gap = np.abs(float_.aligned(p.name, "v") - sim.aligned(p.name, "v") * p.unit)
        assert b.sum() >= 72 and (a != b).sum() <= 0.01 * b.sum()
        assert same.mean() > 0.9 and np.median(gap[:, same]) < 0.2


def test_a_compiled_nir_has_the_programs_timing(tmp_path: Path) -> None:
    file, _ = drawn("delays", tmp_path)
    net = import_net(file)
    program, compiled = to_program(net, dt=DT), nd.compile(to_nir(net, DT))
    assert {p.name: p.latency for p in compiled.populations} == {p.name: 1 for p in program.populations}
    for p in program.populations:
        delays = [sorted(s.delay for s in c.synapses if s.target == p.name) for c in (program, compiled)]
        assert delays[0] == delays[1]
    with pytest.raises(UnsupportedError, match="rounded"):
        nd.compile(to_nir(net, DT), exact=True)  # the compiler takes the largest scale, not the file's


def test_nir_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    neuron = cuba(vDecay=0, iDecay=100)
    layers = [{"type": "dense", "shape": [2], "weight": np.ones((2, 2)), "neuron": neuron} for _ in range(2)]
    net = import_net(write_net(tmp_path / "n.net", *layers))
    with pytest.raises(UnsupportedError, match="infinite time constant") as caught:
        to_nir(net, DT)
    assert {v.node for v in caught.value.violations} == {"dense0", "dense1"}
    with pytest.raises(InputError, match="dt must be"):
        to_nir(net, 0.0)


def written(graph: Any, folder: Path) -> Any:
    nd.write_nir(graph, folder / "g.nir")
    return nd.read_nir(folder / "g.nir")


# --- what is refused ------------------------------------------------------------------------------------------------


def dense(**changes: Any) -> dict[str, Any]:
    """A sound dense layer of 3 neurons on 3 inputs, changed; None leaves a key out."""
    layer = {"type": "dense", "shape": [3], "weight": 2 * np.eye(3), "neuron": cuba(), **changes}
    return {k: v for k, v in layer.items() if v is not None}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "sdnn": (dense(neuron=cuba(type="SDNN")), "sigma-delta neurons are not supported"),
    "alif": (dense(neuron=cuba(type="ALIF")), r"adaptive-threshold \(ALIF\) neurons"),
    "rf": (dense(neuron=cuba(type="RF_PHASE")), "resonate-and-fire neurons"),
    "no neuron type": (dense(neuron=cuba(type=None)), "neuron: type is missing"),
    "refDelay": (dense(neuron=cuba(refDelay=2)), "refDelay 2: only 1"),
    "graded": (dense(neuron=cuba(gradedSpike=True)), "gradedSpike: spikes that carry"),
    "iDecay": (dense(neuron=cuba(iDecay=0)), "iDecay 0 is a current that nothing takes away"),
    "iDecay range": (dense(neuron=cuba(iDecay=4097)), r"iDecay 4097 is outside \[0, 4096\]"),
    "vDecay": (dense(neuron=cuba(vDecay=None)), "vDecay is missing"),
    "vDecay shape": (dense(neuron=cuba(vDecay=[1, 2])), r"vDecay has shape \(2,\), one number or one per channel"),
    "vThMant": (dense(neuron=cuba(vThMant=0)), "vThMant 0 is outside"),
    "some silent": (dense(neuron=cuba(vThMant=[5, 6, 1 << 17])), "some thresholds can be reached"),
    "weight_exp": (dense(neuron=cuba(weight_exp=[2.0])), "weight_exp 2: slayer scales"),
    "wgtExp": (dense(neuron=cuba(wgtExp=9)), r"wgtExp 9 is outside \[-8, 7\]"),
    "nan": (dense(weight=np.full((3, 3), np.nan)), "weight holds 9 values that are NaN"),
    "fraction": (dense(weight=np.full((3, 3), 0.5)), "weight holds 9 values that are not whole, such as 0.5"),
    "text": (dense(weight="abc"), "weight has dtype .* numbers were expected"),
    "empty": (dense(weight=np.zeros((3, 0))), "numbers were expected"),
    "no weight": (dense(weight=None), "weight is missing"),
    "weight shape": (dense(weight=np.ones((2, 4))), r"weight \(2, 4\) does not fit 3 neurons"),
    "inputs": (dense(weight=np.ones((3, 5))), r"weights for 5 inputs, but the layer before has shape \(3,\)"),
    "complex": (dense(weight={"real": np.ones((3, 3)), "imag": np.ones((3, 3))}), "complex weights"),
    "bias": (dense(bias=[1.0, 2.0]), r"bias has shape \(2,\)"),
    "bias fraction": (dense(bias=[1.5]), "bias holds 1 values that are not whole"),
    "delay": (dense(delay=[1.0, 2.0]), r"delay \(2,\) fits neither 3 neurons nor their 3 inputs"),
    "negative delay": (dense(delay=[-1.0]), "delay -1 is outside"),
    "delay and bias": (dense(delay=[0, 0, 4], bias=[1, 0, 1]), "neurons with a delay have a bias"),
    "delay and loop": (dense(type="dense_rec", weight_rec=np.eye(3), delay=[2]), "delays and recurrent weights"),
    "loop": (dense(type="dense_rec"), "weight_rec is missing"),
    "loop shape": (dense(type="dense_rec", weight_rec=np.ones((3, 2))), r"weight_rec \(3, 2\) is not \(3, 3\)"),
    "shape": (dense(shape=[3, 1]), "has not 1 or 3 axes"),
    "large": (dense(shape=[3000, 3000, 30]), "too many neurons"),
    "no shape": (dense(shape=None), "shape is missing"),
    "bare bias": (dense(neuron=None, bias=[1.0]), "has a bias but no neurons"),
    "neuron": (dense(neuron=3), "neuron is no group"),
    "convT": ({"type": "convT", "shape": [3]}, "a block of type 'convT' is not supported; use a convolution"),
    "concat": ({"type": "concat", "shape": [3]}, "'concat' is not supported; lava-dl's own netx"),
    "unknown": ({"type": "magic", "shape": [3]}, "'magic' is not supported; known are input, flatten, dense"),
    "no type": ({"shape": [3]}, "type is missing"),
    "average": ({"type": "average", "shape": [2]}, "cannot share out 3 neurons among 2 groups"),
    "late input": ({"type": "input", "shape": [3]}, "is an input block behind other layers"),
    "conv on a row": ({"type": "conv", "shape": [1, 1, 1], "weight": np.ones((1, 3, 1, 1))}, "reads images of 3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_layer_is_named(name: str, tmp_path: Path) -> None:
    layer, message = WRONG[name]
    with pytest.raises(UnsupportedError, match=message) as caught:
        import_net(write_net(tmp_path / "n.net", dense(), layer, dense()))
    assert caught.value.violations[0].node.startswith("layer/1") and all(v.remedy for v in caught.value.violations)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    layers = [layer for layer, _ in WRONG.values()]
    with pytest.raises(UnsupportedError) as caught:
        import_net(write_net(tmp_path / "n.net", dense(), *layers, dense()))
    named = {v.node.split("/")[1] for v in caught.value.violations}
    assert named >= {str(i + 1) for i in range(len(layers))}


IMAGE = {"type": "input", "shape": [2, 6, 6]}
POOL = {"type": "pool", "weight": np.full((1, 1, 2, 2), 64.0), "neuron": cuba()}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([IMAGE, dense(weight=np.ones((3, 72)))], r"gets an image \(2, 6, 6\); put a flatten block"),
        ([IMAGE, {**POOL, "shape": [2, 5, 5], "stride": 1}], "reach into the next channel in slayer"),
        ([IMAGE, {**POOL, "shape": [2, 3, 3], "stride": 2, "weight": np.ones((2, 1, 2, 2))}], "weight .* of a pool"),
        ([IMAGE, {**POOL, "shape": [2, 4, 3], "stride": 2}], r"has shape \(2, 4, 3\), but its kernel gives"),
        ([IMAGE, {"type": "conv", "shape": [1, 1, 1], "weight": np.ones((1, 2, 9, 9)), "neuron": cuba()}], "not fit"),
        ([IMAGE, {"type": "conv", "shape": [1, 6, 6], "weight": np.ones((1, 2)), "neuron": cuba()}], "is not .out, in"),
        ([IMAGE, {"type": "flatten", "shape": [71]}], r"has shape \(71,\), but the layer before"),
        ([{"type": "flatten", "shape": [3]}, dense()], "is the first layer"),
        ([{**IMAGE, "neuron": cuba(wgtExp=1)}], "wgtExp 1 of an input block"),
        ([IMAGE], "has no layer with neurons"),
        ([dense(), {"type": "average", "shape": [3]}, dense()], "is behind an average block"),
    ],
)
def test_layers_that_do_not_fit(layers: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        import_net(write_net(tmp_path / "n.net", *layers))


DENSE: dict[str, Any] = {"type": "dense", "shape": [4], "weight": np.full((4, 6), 2.0)}
CONV: dict[str, Any] = {"type": "conv", "shape": [2, 3, 3], "weight": np.full((2, 1, 2, 2), 2.0)}


@pytest.mark.parametrize("known", ["inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize"])
def test_what_a_file_says_twice_must_agree(known: str, tmp_path: Path) -> None:
    dense = known.endswith("Features")
    first = {"type": "input", "shape": [6] if dense else [1, 4, 4]}
    block = {**(DENSE if dense else CONV), "neuron": cuba()}
    right = {"inFeatures": 6, "outFeatures": 4, "inChannels": 1, "outChannels": 2, "kernelSize": [2, 2]}[known]
    import_net(write_net(tmp_path / "x.net", first, {**block, known: right}))
    with pytest.raises(UnsupportedError, match=rf"layer/1: {known} .* is not that of its weights"):
        import_net(write_net(tmp_path / "x.net", first, {**block, known: np.asarray(right) + 1}))


@pytest.mark.parametrize("name", ["mask", "weight_scale", "weight_rec"])
def test_what_nothing_reads_is_refused_by_name(name: str, tmp_path: Path) -> None:
    first = {"type": "input", "shape": [6]}
    odd = {**DENSE, name: np.zeros((4, 4)), "neuron": cuba(vLeak=500, theta=2560, tauRho=1.0)}
    with pytest.raises(UnsupportedError) as caught:
        import_net(write_net(tmp_path / "x.net", {**first, "extra": 1}, odd))
    found = [(v.node, v.what.split()[0]) for v in caught.value.violations]
    assert found == [("layer/0", "extra"), ("layer/1", name), ("layer/1/neuron", "vLeak")]
    import_net(write_net(tmp_path / "x.net", first, {**DENSE, "neuron": cuba(theta=2560, tauRho=1.0, scaleRho=1.0)}))


@pytest.mark.parametrize("name", ["weight", "bias", "weight_rec"])
def test_nir_holds_every_integer_or_says_which_it_does_not(name: str, tmp_path: Path) -> None:
    block = {**DENSE, "type": "dense_rec", "weight_rec": np.zeros((4, 4)), "bias": np.zeros(4), "neuron": cuba()}
    for value, fits in ((16777216, True), (16777218, True), (16777217, False)):
        wide = np.full(np.shape(block[name]), float(value))
        net = import_net(write_net(tmp_path / "x.net", {"type": "input", "shape": [6]}, {**block, name: wide}))
        if fits:
            to_nir(net, 0.001)
            continue
        with pytest.raises(UnsupportedError, match=f"dense_rec1: {name}: 16777217 is no float32"):
            to_nir(net, 0.001)


def test_a_layer_that_is_missing(tmp_path: Path) -> None:
    file = write_net(tmp_path / "n.net", dense(), dense(), dense())
    with h5py.File(file, "a") as handle:
        handle.move("layer/1", "layer/7")
    with pytest.raises(UnsupportedError, match="layer/1: is missing"):
        import_net(file)


@pytest.mark.parametrize("cut", [0, 100, 3000, 60_000, 120_000])
def test_a_file_that_is_cut_short(cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.net").write_bytes((DATA / "tiny.net").read_bytes()[:cut])
    with pytest.raises(FormatError):
        import_net(tmp_path / "n.net")
    assert run(["import", str(tmp_path / "n.net"), "--out", str(tmp_path / "p.h5")]) == 2
    assert "Traceback" not in (text := capsys.readouterr().err) and "internal error" not in text
    assert not (tmp_path / "p.h5").exists()


def test_damaged_files_give_errors_of_ours(tmp_path: Path) -> None:
    """Single bytes changed: read, or refused; never another exception."""
    rng, sound, refused = np.random.default_rng(5), (DATA / "tiny.net").read_bytes(), 0
    for _ in range(60):
        damaged = bytearray(sound)
        for place in rng.integers(0, 20_000, 4):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "n.net").write_bytes(damaged)
        try:
            to_program(import_net(tmp_path / "n.net"))
        except nd.NeuroDeployError:
            refused += 1
    assert refused > 20


def test_what_a_target_cannot_do_is_said_at_once(tmp_path: Path) -> None:
    layers = [
        {"type": "input", "shape": [3], "neuron": cuba(vDecay=4096)},
        dense(weight=2 * np.eye(3) * 200, delay=[63], neuron=cuba(vThMant=[5, 6, 7])),
        dense(weight=np.array([[101, 5, -3]] * 3), bias=[4097, 0, 0]),
        dense(weight=np.array([[201, 5, -3]] * 3)),
    ]
    net = import_net(write_net(tmp_path / "n.net", *layers))
    with pytest.raises(UnsupportedError) as caught:
        to_program(net, "loihi1")
    text = str(caught.value)
    for part in (
        "input: input of 10 bits, but loihi1 takes binary spikes",
        "input0: vDecay 4096 keeps nothing",
        "dense1: thresholds differ",
        "dense1: weights 0 .. 400 do not fit 8 bits",
        "dense1: delay 63 exceeds 62",
        "dense2: bias_mant in [0, 4097] exceeds",
        "dense3: weights -3 .. 201 do not fit 8 bits",
    ):
        assert part in text
    assert "dense2: weights" not in text
    assert to_program(import_net(DATA / "oxford.net"), "loihi1").target == "loihi1"


def test_a_register_that_may_overflow_is_not_proven() -> None:
    program = to_program(import_net(DATA / "oxford.net"))
    assert not program.proven and any("register h can reach" in remark for remark in program.report["remarks"])
    assert to_program(import_net(DATA / "oxford.net"), max_steps=1).proven


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, graph = tmp_path / "t.program.h5", tmp_path / "t.nir"
    arguments = ["import", str(DATA / "tiny.net"), "--out", str(program), "--nir", str(graph), "--dt", str(DT)]
    assert run(arguments) == 0
    assert nd.load_program(program) == to_program(nd.import_net(DATA / "tiny.net"), dt=DT)
    assert "nothing rounded" in capsys.readouterr().out
    assert run(["inspect", str(graph)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to write; give --out"),
        (["--nir", "t.nir"], "give --dt SECONDS"),
        (["--out", "p.h5", "--input-shape", "a,b"], "give whole numbers such as 3,16,16"),
        (["--out", "p.h5", "--input-shape", "1,2,3"], "the file's input has shape"),
        (["--out", "p.h5", "--target", "loihi3"], "unknown target"),
        (["--out", "p.h5", "--max-steps", "0"], "must be above 0"),
        (["--out", "tiny.net"], "is an input of this command"),
        (["--out", "x", "--nir", "./x", "--dt", "0.001"], "two outputs of this command have this path"),
    ],
)
def test_the_command_refuses(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.net").write_bytes((DATA / "tiny.net").read_bytes())
    assert run(["import", "tiny.net", *arguments]) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text and "internal error" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.net"]
