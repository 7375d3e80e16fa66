"""A look inside: what the neurons of a model did in a forward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class States(NamedTuple):
    """What a population did in one forward pass, each (T, B, *shape), in the parameters' dtype.

    spikes: zeros for a kind that never fires.   v, h: the potential after and before firing.   u: the synaptic current,
    None where there is none.
    """

    spikes: Tensor
    v: Tensor
    h: Tensor
    u: Tensor | None = None


_WATCHERS: ContextVar[tuple[Callable[[nn.Module, States], None], ...]] = ContextVar("_WATCHERS", default=())


@contextmanager
def observe(model: nn.Module) -> Iterator[dict[str, States]]:
    """Within the block, a forward pass of `model` fills the dict: name of each neuron module -> its States.

    Names are those of `model.named_modules()`, in the order of execution; a later pass replaces an earlier one.  The
    tensors carry gradients if gradients are on.  Nothing is stored in the modules.  What torch.compile made runs
    uncompiled within the block (torch 2.6 or newer; older ones show nothing of it); a compiled function cannot contain
    the block, so a training step that watches (with a balance loss, say) is not compiled.

        with observe(model) as states:
            model(x)
        states["cf1"].h
    """
    names = {id(m): name for name, m in model.named_modules()}
    seen: dict[str, States] = {}

    def note(module: nn.Module, states: States) -> None:
        if id(module) in names:
            seen[names[id(module)]] = states

    token = _WATCHERS.set((*_WATCHERS.get(), note))
    try:
        with _eager():
            yield seen
    finally:
        _WATCHERS.reset(token)


def _eager() -> AbstractContextManager[None]:
    """Within it, what torch.compile made runs uncompiled."""
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    return cast(AbstractContextManager[None], torch.compiler.set_stance("force_eager"))


def watchers() -> tuple[Callable[[nn.Module, States], None], ...]:
    """Who observes; nobody where torch.compile looks on, which cannot read a ContextVar."""
    return () if torch.compiler.is_compiling() else _WATCHERS.get()
