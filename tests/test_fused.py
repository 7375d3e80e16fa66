"""The fused neuron's implementations against each other and against derivatives."""

from __future__ import annotations

import ctypes
import itertools
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch
from fused_cases import CASES, Case, draw, draw_grads, form
from torch import Tensor

from neuro_deploy.errors import InputError
from neuro_deploy.neurons.fused import Inputs, Outputs, cpu, fire, memory, op, plain, team
from neuro_deploy.neurons.fused.cpu_pieces import WORK
from neuro_deploy.neurons.fused.form import LEARNED, Sums
from neuro_deploy.neurons.fused.surrogate import BUMPS, STEPS, UNITS, exp2_minus

SHAPES = {"scalar": (6, 3, 700), "per neuron": (6, 33, 30), "wide": (3, 2, 5000), "2-D": (2, 300, 3, 7)}


def same(got: Tensor | None, want: Tensor | None, name: str) -> None:
    assert (got is None) == (want is None), name
    if got is not None and want is not None:
        assert got.dtype == want.dtype and torch.equal(got, want), name


def compare(i: Inputs, case: Case) -> Outputs:
    """Forward passes agree in every bit; gives the definition's."""
    want, got = plain.forward(i, case.form, True), cpu.forward(i, case.form, True)
    for name, a, b in zip(Outputs._fields, got, want, strict=True):
        same(a, b, name)
    same(cpu.forward(i, case.form, False).s, want.s, "s alone")
    return want


@pytest.mark.parametrize("grid", [False, True], ids=["any", "on the thresholds"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_spikes_and_potentials_are_equal(name: str, shape: str, grid: bool) -> None:
    case = CASES[name]
    i = draw(case, SHAPES[shape], 1, per_neuron=shape != "scalar", grid=grid)
    found = compare(i, case)
    assert found.s is not None and found.h is not None
    assert set(range(-case.form.circulations_neg, min(case.form.circulations, 3) + 1)) <= set(found.s.unique().tolist())
    on_threshold = any((found.h == i.theta * k).any() for k in range(1, case.form.circulations + 1))
    assert on_threshold == grid


@pytest.mark.parametrize("mutant", [">=", "a round less", "a contracted product"])
def test_the_comparison_sees_a_difference(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["cf"]
    i = draw(case, SHAPES["per neuron"], 1, per_neuron=True, grid=mutant == ">=")
    if mutant == ">=":
        monkeypatch.setattr(plain, "fired", lambda h, th, a, n, f: sum((h >= th * k).float() for k in range(1, n + 1)))
    elif mutant == "a round less":
        monkeypatch.setattr(plain, "fired", lambda h, th, a, n, f: sum((h > th * k).float() for k in range(1, n)))
    else:
        monkeypatch.setattr(
            plain,
            "fire",
            lambda h, a, i, f: (
                u := plain.fired(h, i.theta, a, 3, f),
                0 * u,
                (h.double() - i.theta.double() * u).float(),
            ),
        )
    with pytest.raises(AssertionError):
        compare(i, case)


def gradients(i: Inputs, case: Case, which: tuple[bool, ...] = (True, True, True, True)) -> list[tuple[str, Any, Any]]:
    grads = draw_grads(plain.forward(i, case.form, True), 2, which)
    need = [getattr(i, name) is not None for name in LEARNED]
    got, want = cpu.backward(grads, i, case.form, need), plain.backward(grads, i, case.form, need)
    return [(n, g, w) for n, g, w, needed in zip(Sums._fields, got, want, need, strict=True) if needed]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_equal(name: str, shape: str) -> None:
    """Of x, v0 and u0 bit for bit; sums, in float64, but for the order of additions."""
    i = draw(CASES[name], SHAPES[shape], 3, per_neuron=shape != "scalar")
    for which, got, want in gradients(i, CASES[name]):
        assert want.count_nonzero() > 0, which
        if which in ("x", "v0", "u0"):
            same(got, want, which)
        else:
            torch.testing.assert_close(got, want.double(), rtol=1e-11, atol=1e-9, msg=which)


@pytest.mark.parametrize("which", [w for w in itertools.product((False, True), repeat=4) if sum(w) in (0, 1, 3)])
def test_gradients_of_some_outputs(which: tuple[bool, ...]) -> None:
    case = CASES["cf, current, theta_reset, drift"]
    for name, got, want in gradients(draw(case, (4, 3, 50), 4, per_neuron=True), case, which):
        torch.testing.assert_close(got, want.to(got.dtype), rtol=1e-11, atol=1e-9, msg=name)
        assert bool(want.count_nonzero()) == any(which) or name != "x"


@pytest.mark.parametrize("whose", ["torch's", "Python's"])
def test_threads_change_nothing(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if whose == "Python's":
        monkeypatch.setattr(team, "_openmp", lambda: None)
    elif team._openmp() is None:
        pytest.skip("torch's threads are not libgomp's here")
    case, found = CASES["lif"], []
    i = draw(case, (5, 64, 1000), 5, per_neuron=False)
    for count in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        grads = draw_grads(cpu.forward(i, case.form, False), 6)
        found.append([*cpu.forward(i, case.form, True), *cpu.backward(grads, i, case.form, [True] * 4 + [False] * 3)])
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            same(got, want, "threads")


@pytest.mark.parametrize("whose", ["torch's", "Python's"])
def test_a_job_is_done_by_as_many_threads_as_were_asked_for(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if whose == "Python's":
        monkeypatch.setattr(team, "_openmp", lambda: None)
    elif team._openmp() is None:
        pytest.skip("torch's threads are not libgomp's here")
    wait = threading.Barrier(3, timeout=30)
    seen: list[int] = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def work(job: int) -> None:
        wait.wait()  # breaks where there are fewer
        seen.append(job)

    class Compiled:
        address = ctypes.cast(work, ctypes.c_void_p).value

    team.run(team.Kernel(Compiled()), 77, 3)
    assert seen == [77] * 3


@pytest.mark.skipif(sys.platform != "linux" or "+" not in torch.__version__, reason="not one of torch's Linux wheels")
def test_torchs_own_threads_are_found() -> None:
    assert team._openmp() is not None


SMOOTH = [
    *(("plain", surrogate, name) for surrogate in BUMPS for name in CASES if "detached" not in name),
    ("cpu", "sigmoid", "cf, current, theta_reset, drift"),
    ("cpu", "arctan", "signed"),
    ("cpu", "triangle", "hard, all"),
]


@pytest.mark.parametrize(("backend", "surrogate", "name"), SMOOTH)
def test_backward_passes_gradcheck(backend: str, surrogate: str, name: str) -> None:
    """With the smooth step forward, in float64, the backward pass is the derivative by all inputs, of all outputs."""
    case = CASES[name]
    smooth = case.form._replace(circulations=min(3, case.form.circulations), surrogate=surrogate, smooth=True)
    i = draw(case, (3, 2, 2), 7, per_neuron=True, dtype=torch.float64)
    there = {n: getattr(i, n).requires_grad_() for n in LEARNED if getattr(i, n) is not None}

    def run(*values: Tensor) -> Tensor:
        outputs = fire(i._replace(**dict(zip(there, values, strict=True))), smooth, True, backend)
        return sum((n * t for n, t in enumerate(outputs, 1) if t is not None), torch.zeros(()))

    assert torch.autograd.gradcheck(run, tuple(there.values()), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("surrogate", BUMPS)
def test_steps_are_the_integrals_of_the_bumps(surrogate: str) -> None:
    z = torch.linspace(-90, 90, 401, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(STEPS[surrogate](z).sum(), z)
    torch.testing.assert_close(BUMPS[surrogate](z.detach() * UNITS[surrogate]), slope)


def test_our_exponential() -> None:
    y = torch.linspace(0, 130, 100001)
    want = torch.exp2(-y.double().clamp(max=125))
    assert ((exp2_minus(y) - want).abs() / want).max() < 2.0**-22
    assert exp2_minus(torch.tensor([0.0])).item() == 1 and exp2_minus(torch.tensor([float("nan")])).isnan()


def test_torch_checks_the_operator() -> None:
    """Schema, autograd registration, shapes without data, and AOT tracing with symbolic shapes."""
    for name in ("cf, current, theta_reset, drift", "signed"):
        i = draw(CASES[name], (3, 2, 5), 8, per_neuron=True)
        learned = [
            t if t is None or n not in LEARNED else t.requires_grad_() for n, t in zip(i._fields, i, strict=True)
        ]
        for watch in (False, True):
            torch.library.opcheck(op.FIRE, (*learned, *CASES[name].form, watch, "plain"))


@pytest.mark.parametrize("backend", ["plain", "cpu"])
def test_outputs_lie_in_order_however_the_input_lies(backend: str) -> None:
    """What torch.compile is told they do; images in channels_last come as such."""
    i = draw(CASES["signed, detached, current"], (3, 2, 4, 5, 6), 8, per_neuron=False)
    turned = i.x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert not turned.is_contiguous() and torch.equal(turned, i.x)
    found, want = (fire(i._replace(x=x), CASES["signed, detached, current"].form, True, backend) for x in (turned, i.x))
    for got, wanted in zip(found, want, strict=True):
        assert got is not None and got.is_contiguous() and torch.equal(got, wanted)  # type: ignore[arg-type]
    torch.library.opcheck(op.FIRE, (*i._replace(x=turned), *CASES["cf"].form, True, backend))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_input_of_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    i = draw(CASES["cf"], (4, 8, 40), 9, per_neuron=False)
    half = i.x.to(dtype).requires_grad_()
    for backend in ("plain", "cpu"):
        s = fire(i._replace(x=half), CASES["cf"].form, backend=backend).s
        same(s, fire(i._replace(x=half.float()), CASES["cf"].form, backend=backend).s, backend)
        assert s is not None and s.dtype == torch.float32
        (grad,) = torch.autograd.grad(s.sum(), half)
        assert grad.dtype == dtype and grad.count_nonzero() > 0


def test_no_gradients_of_second_order() -> None:
    i = draw(CASES["lif"], (2, 3, 4), 10, per_neuron=False)
    x = i.x.requires_grad_()
    s = fire(i._replace(x=x), form(), backend="plain").s
    assert s is not None
    (grad,) = torch.autograd.grad(s.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"does not require grad|differentiable"):
        grad.sum().backward()


def test_memory_is_used_again_when_nobody_uses_it() -> None:
    size = (3, 12347)
    first = torch.from_numpy(memory.empty(size, "float32"))
    address, part = first.data_ptr(), first[1:].reshape(-1)[5:]
    del first
    other = memory.empty(size, "float32")
    assert other.ctypes.data != address
    del part
    again = memory.empty(size, "float32")
    assert again.ctypes.data == address and again.shape == size and again.flags.c_contiguous


def test_memory_that_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory._Free(4 * memory.SMALL)
    monkeypatch.setattr(memory._Lease.__del__, "__defaults__", (free,))
    for n in (1, 2, 3, 4, 5, 2, 1, 1, 1):
        memory.empty((n * memory.SMALL,), "uint8")
        assert free.total == sum(size * len(found) for size, found in free.sizes.items()) <= free.kept
    assert free.total > 0 and all(free.sizes.values())


@pytest.mark.parametrize(("version", "taken"), [("3.2.0", False), ("3.3.0", True), ("3.10.0+git1", True)])
def test_triton_is_taken_from_the_version_that_compiles_its_kernels_on(
    version: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ModuleType("triton")
    found.__dict__.update(__version__=version, __spec__=ModuleSpec("triton", None))
    monkeypatch.setitem(sys.modules, "triton", found)
    assert op._triton.__wrapped__() == taken


BAD: dict[str, Callable[[Inputs], Inputs]] = {
    "alpha of one step": lambda i: i._replace(alpha=i.alpha[:1]),
    "alpha of another dtype": lambda i: i._replace(alpha=i.alpha.double()),
    "theta of another dtype": lambda i: i._replace(theta=i.theta.double()),
    "theta of another shape": lambda i: i._replace(theta=i.theta[:-1]),
    "v0 without a batch": lambda i: i._replace(v0=i.x[0, 0]),
    "theta elsewhere": lambda i: i._replace(theta=i.theta.to("meta")),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("what", BAD)
def test_tensors_that_are_not_as_said_are_refused(what: str, grad: bool) -> None:
    i = draw(CASES["lif"], (4, 3, 40), 11, per_neuron=True)
    bad = BAD[what](i._replace(x=i.x.requires_grad_(grad)))
    with pytest.raises(InputError):
        fire(bad, form(), backend="cpu")
    if "elsewhere" not in what:  # torch itself looks at devices there
        with pytest.raises(InputError):
            op.FIRE(*bad, *form(), False, "cpu")


def test_views_of_other_signs_and_layouts() -> None:
    i = draw(CASES["lif"], (4, 6, 500), 12, per_neuron=False)
    want = plain.forward(i, form(), False).s
    same(cpu.forward(i._replace(x=torch._neg_view(-i.x)), form(), False).s, want, "negated")
    same(cpu.forward(i._replace(x=i.x.transpose(0, 2).contiguous().transpose(0, 2)), form(), False).s, want, "strided")
    gs = torch.randn(i.x.shape, generator=torch.Generator().manual_seed(1))
    need = [True] * 4 + [False] * 3
    want_x = plain.backward(Outputs(gs, None, None, None), i, form(), need).x
    same(cpu.backward(Outputs(torch._neg_view(-gs), None, None, None), i, form(), need).x, want_x, "negated")
    same(cpu.backward(Outputs(gs.to_sparse(), None, None, None), i, form(), need).x, want_x, "sparse")
    nothing = torch._efficientzerotensor(i.x.shape)
    assert not cpu.backward(Outputs(nothing, None, None, None), i, form(), need).x.any()  # type: ignore[union-attr]


def test_scratch_is_as_long_as_the_sequence_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one neuron over a long time: not a block of them."""
    asked: list[int] = []
    scratch = cpu._scratch
    monkeypatch.setattr(cpu, "_scratch", lambda size: (asked.append(size), scratch(size))[1])
    i = draw(CASES["lif"], (50_000, 1, 1), 13, per_neuron=False)
    grads = Outputs(cpu.forward(i, form(), False).s, None, None, None)
    cpu.backward(grads, i, form(), [True] * 4 + [False] * 3)
    assert asked[0] == 4 * WORK and asked[1] == 4 * (WORK + 50_000)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_gradients_of_forward_mode_are_refused() -> None:
    i = draw(CASES["lif"], (4, 3, 40), 14, per_neuron=False)

    def run(x: Tensor) -> Tensor:
        s = fire(i._replace(x=x), form(), backend="cpu").s
        assert s is not None
        return s

    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.func.jvp(run, (i.x,), (torch.ones_like(i.x),))
    with torch.autograd.forward_ad.dual_level(), pytest.raises((RuntimeError, NotImplementedError)):
        run(torch.autograd.forward_ad.make_dual(i.x, torch.ones_like(i.x)))


def test_waits_for_other_threads_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a job is free when run() is left."""
    monkeypatch.setattr(team, "_openmp", lambda: None)
    ended = threading.Event()
    main = threading.get_ident()

    class Compiled:
        address = ctypes.cast(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda job: None), ctypes.c_void_p).value

    kernel = team.Kernel(Compiled())
    begun = threading.Barrier(2, timeout=30)

    def call(job: int) -> None:
        begun.wait()
        if threading.get_ident() == main:
            raise KeyboardInterrupt
        time.sleep(0.3)
        ended.set()

    kernel.call = call
    with pytest.raises(KeyboardInterrupt):
        team.run(kernel, 0, 2)
    assert ended.is_set()
