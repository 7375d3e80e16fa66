"""The fused neuron as an operator of torch: neuro_deploy::fire, and neuro_deploy::fire_backward for its gradients.

torch.compile and autocast take both as they are: their shapes follow from those of the inputs, and they compute in the
dtype of the parameters whatever x has.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from . import plain
from .form import LEARNED, Form, Inputs, Outputs, Sums

WORTH = 1 << 14
"""Neurons times steps from which a kernel that is not in the process yet is worth loading, or compiling."""
COUNT = len(Inputs._fields)

TENSORS = "Tensor x, Tensor alpha, Tensor beta, Tensor theta, " + ", ".join(f"Tensor? {n}" for n in Inputs._fields[4:])
FORM = "int circulations, int circulations_neg, bool hard, bool detach, str surrogate, bool smooth"


class Implementation(Protocol):
    """plain.py, cpu.py, gpu.py."""

    def forward(self, i: Inputs, form: Form, watch: bool) -> Outputs: ...
    def backward(self, grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums: ...


def implementation(name: str, i: Inputs, form: Form) -> Implementation:
    """The implementation called `name`: "plain", "cpu", "gpu"; for "auto" the one for this device, dtype and size."""
    name = choose(i, form) if name == "auto" else name
    if name == "plain":
        return cast(Implementation, plain)
    return cast(Implementation, importlib.import_module(f"{__package__}.{name}"))


def choose(i: Inputs, form: Form) -> str:
    """Which implementation "auto" is: kernels for float32, where there is something to win, else "plain"."""
    if i.beta.dtype != torch.float32 or form.smooth:
        return "plain"
    if i.x.device.type == "cuda":
        return "gpu" if find_spec("triton") else "plain"
    if i.x.device.type != "cpu":
        return "plain"
    return "cpu" if i.x.numel() >= WORTH or _met(i, form) else "plain"


def _met(i: Inputs, form: Form) -> bool:
    """True if the CPU's kernel for these options is in this process already."""
    module = sys.modules.get(f"{__package__}.cpu")
    return module is not None and bool(module.met(i, form))


def _fire(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, form, watch, backend = Inputs(*args[:COUNT]), Form(*args[COUNT:-2]), args[-2], args[-1]
    found = implementation(backend, i, form).forward(i, form, watch)
    nothing = [i.beta.new_empty(0) for _ in found]
    return tuple(n if t is None else t for t, n in zip(found, nothing, strict=True))  # type: ignore[return-value]


def _shapes(*args: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, watch = Inputs(*args[:COUNT]), args[-2]
    there = (True, watch, watch, watch and i.beta_syn is not None)
    s, v, h, u = (i.beta.new_empty(i.x.shape if wanted else (0,)) for wanted in there)
    return s, v, h, u


def _backward(*args: Any) -> list[Tensor]:
    i, form = Inputs(*args[4 : 4 + COUNT]), Form(*args[4 + COUNT : -2])
    grads = Outputs(*(g if g is not None and g.shape == i.x.shape else None for g in args[:4]))  # (0,): as None
    need, backend = args[-2], args[-1]
    sums = implementation(backend, i, form).backward(grads, i, form, need)
    found = []
    for name, wanted, total in zip(LEARNED, need, sums, strict=True):
        like = getattr(i, name)
        found.append(_reduced(total, like) if wanted else i.beta.new_empty(0))
    return found


def _reduced(total: Tensor | None, like: Tensor) -> Tensor:
    """A gradient in the shape and dtype of what it belongs to.  total: (..., *like.shape); or any, for one number."""
    assert total is not None
    if like.ndim == 0 or like.numel() == 1:
        total = total.sum(dtype=torch.float64).reshape(like.shape) if total.shape != like.shape else total
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
    """neuro_deploy::fire where gradients are wanted."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*args[:COUNT])
        ctx.form, ctx.backend = args[COUNT:-2], args[-1]
        ctx.set_materialize_grads(False)
        return _fire(*args) if _direct(args[:COUNT]) else _below(*args)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        needs = dict(zip(Inputs._fields, ctx.needs_input_grad, strict=False))
        need = [needs[name] for name in LEARNED]
        tensors = (*grads, *ctx.saved_tensors)
        found = (_backward if _direct(tensors) else BACKWARD)(*tensors, *ctx.form, need, ctx.backend)
        by_name = {name: grad for name, grad, wanted in zip(LEARNED, found, need, strict=True) if wanted}
        return (*(by_name.get(name) for name in Inputs._fields), *(None for _ in Form._fields), None, None)


def _direct(tensors: Sequence[Any]) -> bool:
    """True if nobody looks on (torch.compile, vmap, tensors of other kinds), so that torch's dispatcher, which costs as
    much as a small population, has nothing to decide."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and all(t is None or type(t) in (Tensor, Parameter) for t in tensors)
    )


def _below(*args: Any) -> tuple[Tensor, ...]:
    with torch._C._AutoDispatchBelowAutograd():
        return cast(tuple[Tensor, ...], FIRE(*args))


def _with_gradients(*args: Any) -> tuple[Tensor, ...]:
    if torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args[:COUNT]):
        return cast(tuple[Tensor, ...], _Fire.apply(*args))  # type: ignore[no-untyped-call]
    return _fire(*args) if _direct(args[:COUNT]) else _below(*args)


LIBRARY: Any = torch.library.Library("neuro_deploy", "DEF")  # type: ignore[no-untyped-call]
LIBRARY.define(f"fire({TENSORS}, {FORM}, bool watch, str backend) -> (Tensor, Tensor, Tensor, Tensor)")
GRADS = "Tensor? gs, Tensor? gv, Tensor? gh, Tensor? gu"
LIBRARY.define(f"fire_backward({GRADS}, {TENSORS}, {FORM}, bool[] need, str backend) -> Tensor[]")
LIBRARY.impl("fire", _fire, "CompositeExplicitAutograd")
LIBRARY.impl("fire", _with_gradients, "Autograd")
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
    run = _with_gradients if _direct(i) else FIRE
    s, v, h, u = run(*i, *form, watch, backend)
    return Outputs(s, v, h, u if i.beta_syn is not None else None) if watch else Outputs(s, None, None, None)
