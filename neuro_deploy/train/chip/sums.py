"""The sums that a population gets, as a chip keeps them: exact, wrapped where an accumulator would, with gradients.

a = wrap32( sum of the synapses' parts )            each part as wires.py says
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arithmetic import accumulates_exactly, wrapped
from .wires import BITS, Wire


@dataclass(frozen=True)
class Exactly:
    """How a synapse's sums are made.

    dtype: one in which they are exact.   exponent: of the synapse.   wraps: True if a sum may leave its accumulator.
    most: bound of what it adds to its target.
    """

    dtype: torch.dtype
    exponent: int
    wraps: bool
    most: int


def exactly(name: str, wire: Wire, q: Tensor, exponent: int, largest: int) -> Exactly:
    """How the sums of a synapse with the weights q can be made, for spikes up to `largest` in magnitude.

    Raises: UnsupportedError, naming it, where that is in no way.
    """
    sizes = q.detach().abs()
    reach = int(wire.totals(sizes).max()) * largest if sizes.numel() else 0
    dtype = accumulates_exactly(name, reach, max(largest, int(sizes.max())) if sizes.numel() else 0)
    most = reach << exponent if exponent >= 0 else -(-reach >> -exponent)
    wraps = max(reach, most) >= 1 << (BITS - 1) or (wire.after and most >= 1 << (wire.bits - 1))
    return Exactly(dtype, exponent, wraps, most)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor, q: Tensor, wire: Wire, how: Exactly) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(s, q)
        ctx.wire, ctx.gain = wire, 2.0**how.exponent
        product = wire.product(s.flatten(0, 1).to(how.dtype), q.to(how.dtype)).double()
        product = product.view(*s.shape[:2], wire.sizes[0])
        exact = torch.floor(product * ctx.gain) if how.exponent < 0 else product * ctx.gain
        if not how.wraps:
            return exact, None
        ctx.mark_non_differentiable(exact)
        if wire.after:
            return wrapped(exact, wire.bits), exact
        kept = wrapped(product, wire.bits) * ctx.gain
        return torch.floor(kept) if how.exponent < 0 else wrapped(kept, BITS), exact

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, rest: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        s, q = ctx.saved_tensors
        g = (grad.float() * ctx.gain).flatten(0, 1)
        need = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        with torch.autocast(g.device.type, enabled=False):
            to_s, to_q = ctx.wire.backward(s.flatten(0, 1).float(), q.float(), g, need)
        return None if to_s is None else to_s.view(s.shape), None if to_q is None else to_q.double(), None, None


class Part(NamedTuple):
    """What a synapse adds to its target: whole numbers, float64 (T, B, N_target).

    kept: as the chip keeps it, with gradients.   exact: before it wrapped; None where it cannot.
    """

    kept: Tensor
    exact: Tensor | None

    def split(self, rows: int) -> list[Part]:
        """The same in pieces of so many rows.  (A slice for each would cost a tensor of all rows each, backward.)"""
        kept = torch.split(self.kept, rows)
        exact = [None] * len(kept) if self.exact is None else torch.split(self.exact, rows)
        return [Part(*both) for both in zip(kept, exact, strict=True)]


def synaptic_sum(s: Tensor, q: Tensor, wire: Wire, how: Exactly) -> Part:
    """A synapse's part.  s: whole numbers (T, B, N_source).   q: whole numbers, float64.   how: see `exactly`.

    Gradients pass through rounding and wraps.
    """
    return Part(*cast("tuple[Tensor, Tensor | None]", _Sum.apply(s, q, wire, how)))  # type: ignore[no-untyped-call]


def total(parts: Sequence[Part], hows: Sequence[Exactly]) -> tuple[Tensor, Tensor | None]:
    """The sum that a population gets, float64 (T, B, N), and where it is not what it would be without wraps (or None).

    hows: of its synapses, those of the parts among them.
    """
    kept = parts[0].kept
    for part in parts[1:]:
        kept = kept + part.kept
    if sum(how.most for how in hows) < 1 << (BITS - 1) and not any(how.wraps for how in hows):
        return kept, None
    with torch.no_grad():
        exact = torch.stack([part.kept if part.exact is None else part.exact for part in parts]).sum(0)
        away = wrapped(kept, BITS) - kept
    final = kept + away
    return final, final.detach() != exact
