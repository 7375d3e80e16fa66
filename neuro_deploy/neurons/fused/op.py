"""The fused neuron as an operator of torch: neuro_deploy::fire, and neuro_deploy::fire_backward for its gradients.

torch.compile and autocast take both as they are: their shapes follow from those of the inputs, and they compute in the
dtype of the parameters whatever x has.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol, cast

import torch
from packaging.version import Version
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from ...errors import InputError
from .form import LEARNED, PARAMETERS, Form, Inputs, Outputs, Sums

WORTH = 1 << 14
"""Neurons times steps from which a kernel that is not in the process yet is worth loading, or compiling."""
TRITON = Version("3.3")
"""The first whose compiler takes what gpu_kernels.py says; torch 2.7 brings it."""
COUNT = len(Inputs._fields)
LEARNED_AT = [Inputs._fields.index(name) for name in LEARNED]
PLAIN = frozenset((Tensor, Parameter, type(None)))

TENSORS = "Tensor x, Tensor alpha, Tensor beta, Tensor theta, " + ", ".join(f"Tensor? {n}" for n in Inputs._fields[4:])
FORM = "int circulations, int circulations_neg, bool hard, bool detach, str surrogate, bool smooth"


class Implementation(Protocol):
    """plain.py, cpu.py, gpu.py."""

    def forward(self, i: Inputs, form: Form, watch: bool) -> Outputs: ...
    def backward(self, grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums: ...


def implementation(name: str, i: Inputs, form: Form) -> Implementation:
    """The implementation called `name`: "plain", "cpu", "gpu"; for "auto" the one for this device, dtype and size."""
    return _module(choose(i, form) if name == "auto" else name)


@cache
def _module(name: str) -> Implementation:
    return cast(Implementation, importlib.import_module(f"{__package__}.{name}"))


def choose(i: Inputs, form: Form) -> str:
    """Which implementation "auto" is: kernels for float32, where there is something to win, else "plain"."""
    if i.beta.dtype != torch.float32 or form.smooth:
        return "plain"
    if i.x.device.type == "cuda":
        return "gpu" if _triton() else "plain"
    if i.x.device.type != "cpu":
        return "plain"
    return "cpu" if i.x.numel() >= WORTH or _met(i, form) else "plain"


@cache
def _triton() -> bool:
    return find_spec("triton") is not None and Version(importlib.import_module("triton").__version__) >= TRITON


def _met(i: Inputs, form: Form) -> bool:
    """True if the CPU's kernel for these options is in this process already."""
    module = sys.modules.get(f"{__package__}.cpu")
    return module is not None and bool(module.met(i, form))


@contextmanager
def afresh() -> Iterator[None]:
    """Within the block only what it loads itself counts as loaded: "auto" does not depend on what went before."""
    name = f"{__package__}.cpu"
    before = set(sys.modules[name].MET) if name in sys.modules else set()
    if before:
        sys.modules[name].MET.clear()
    try:
        yield
    finally:
        if before:
            sys.modules[name].MET.update(before)


def _fire(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, form, watch, backend = Inputs(*args[:COUNT]), Form(*args[COUNT:-2]), args[-2], args[-1]
    check(i)
    found = implementation(backend, i, form).forward(i, form, watch)
    return tuple(i.beta.new_empty(0) if t is None else t for t in found)  # type: ignore[return-value]


def check(i: Inputs) -> None:
    """Raises: InputError for tensors that are not as Inputs says: kernels read their memory as if they were."""
    (steps, batch), neurons = i.x.shape[:2], i.x.shape[2:]
    for name, value in zip(Inputs._fields[1:], i[1:], strict=True):
        if value is None:
            continue
        if value.dtype != i.beta.dtype or value.device != i.x.device:
            raise InputError(
                f"{name} is {value.dtype} on {value.device}, but beta {i.beta.dtype} and x on {i.x.device}"
            )
        shapes = {"alpha": ((steps,),), "v0": ((batch, *neurons),), "u0": ((batch, *neurons),)}.get(name, ((), neurons))
        if value.shape not in shapes and not (value.numel() == 1 and name in PARAMETERS):
            raise InputError(f"{name} has shape {tuple(value.shape)}, but x {tuple(i.x.shape)}")


def _shapes(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, watch = Inputs(*args[:COUNT]), args[-2]
    there = (True, watch, watch, watch and i.beta_syn is not None)
    s, v, h, u = (i.beta.new_empty(i.x.shape if wanted else (0,)) for wanted in there)
    return s, v, h, u


def _backward(*args: Any) -> list[Tensor]:
    i, form = Inputs(*args[4 : 4 + COUNT]), Form(*args[4 + COUNT : -2])
    grads = Outputs(*(g if g is not None and g.shape == i.x.shape else None for g in args[:4]))  # (0,): as None
    found = _gradients(implementation(args[-1], i, form), grads, i, form, args[-2])
    return [i.beta.new_empty(0) if g is None else g for g in found]


def _gradients(how: Implementation, grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> list[Tensor | None]:
    """Of LEARNED; None where they are not wanted."""
    sums = how.backward(grads, i, form, need)
    return [_reduced(t, getattr(i, n)) if w else None for n, w, t in zip(LEARNED, need, sums, strict=True)]


def _reduced(total: Tensor | None, like: Tensor) -> Tensor:
    """A gradient in the shape and dtype of what it belongs to.  total: (..., *like.shape); or any, for one number."""
    assert total is not None
    if total.shape != like.shape:
        if like.numel() == 1:
            total = total.sum(dtype=torch.float64).reshape(like.shape)
        while total.ndim > like.ndim:
            total = total.sum(0, dtype=torch.float64)
    return total.to(like.dtype).contiguous()


def _backward_shapes(*args: Any) -> list[Tensor]:
    i, need = Inputs(*args[4 : 4 + COUNT]), args[-2]
    likes = [getattr(i, name) for name in LEARNED]
    return [
        like.new_empty(like.shape) if wanted else i.beta.new_empty(0) for like, wanted in zip(likes, need, strict=True)
    ]


class _Fire(torch.autograd.Function):
    """neuro_deploy::fire where gradients are wanted.  direct: without torch's dispatcher."""

    @staticmethod
    def forward(ctx: Any, direct: bool, watch: bool, backend: str, form: Form, *inputs: Any) -> Any:
        ctx.save_for_backward(*inputs)
        ctx.form, ctx.backend, ctx.direct = form, backend, direct
        ctx.set_materialize_grads(False)
        return _run(direct, watch, backend, form, Inputs(*inputs))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        wanted = ctx.needs_input_grad[4:]
        need = [wanted[k] for k in LEARNED_AT]
        i, form = Inputs(*ctx.saved_tensors), ctx.form
        if ctx.direct and _direct(grads):
            found = _gradients(implementation(ctx.backend, i, form), Outputs(*grads), i, form, need)
        else:
            found = BACKWARD(*grads, *i, *form, need, ctx.backend)
        given: list[Tensor | None] = [None] * (4 + COUNT)
        for k, grad, want in zip(LEARNED_AT, found, need, strict=True):
            given[4 + k] = grad if want else None
        return tuple(given)


def _direct(tensors: Iterable[Any]) -> bool:
    """True if nobody looks on (torch.compile, a trace, vmap, tensors of other kinds), so that torch's dispatcher, which
    costs as much as a small population, has nothing to decide."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and PLAIN.issuperset(map(type, tensors))
    )


def _run(direct: bool, watch: bool, backend: str, form: Form, i: Inputs) -> Any:
    """The outputs; without gradients."""
    if direct:
        check(i)
        return tuple(implementation(backend, i, form).forward(i, form, watch))
    with torch._C._AutoDispatchBelowAutograd():
        return FIRE(*i, *form, watch, backend)


def _with_gradients(direct: bool, watch: bool, backend: str, form: Form, i: Inputs) -> Any:
    forward_mode = forward_ad._current_level >= 0  # refused by torch in _Fire, which has backward mode alone
    if forward_mode or (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in i)):
        return _Fire.apply(direct, watch, backend, form, *i)  # type: ignore[no-untyped-call]
    return _run(direct, watch, backend, form, i)


def _autograd(*args: Any) -> Any:
    return _with_gradients(False, args[-2], args[-1], Form(*args[COUNT:-2]), Inputs(*args[:COUNT]))


LIBRARY: Any = torch.library.Library("neuro_deploy", "DEF")  # type: ignore[no-untyped-call]
LIBRARY.define(f"fire({TENSORS}, {FORM}, bool watch, str backend) -> (Tensor, Tensor, Tensor, Tensor)")
GRADS = "Tensor? gs, Tensor? gv, Tensor? gh, Tensor? gu"
LIBRARY.define(f"fire_backward({GRADS}, {TENSORS}, {FORM}, bool[] need, str backend) -> Tensor[]")
LIBRARY.impl("fire", _fire, "CompositeExplicitAutograd")
LIBRARY.impl("fire", _autograd, "Autograd")
LIBRARY.impl("fire_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("neuro_deploy::fire", _shapes, lib=LIBRARY)
torch.library.register_fake("neuro_deploy::fire_backward", _backward_shapes, lib=LIBRARY)
FIRE: Any = torch.ops.neuro_deploy.fire.default
BACKWARD: Any = torch.ops.neuro_deploy.fire_backward.default


def fire(i: Inputs, form: Form, watch: bool = False, backend: str = "auto") -> Outputs:
    """The population's T steps: s, and with `watch` v, h and u, (T, B, *shape), in the dtype of the parameters.

    Gradients of all four reach LEARNED; the others get none, and there are none of second order.
    backend: "auto", or an implementation by name.
    """
    if _direct(i):
        return Outputs(*_with_gradients(True, watch, backend, form, i))
    s, v, h, u = FIRE(*i, *form, watch, backend)
    return Outputs(s, v, h, u if i.beta_syn is not None else None) if watch else Outputs(s, None, None, None)
