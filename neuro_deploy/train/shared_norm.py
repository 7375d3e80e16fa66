"""Batch norm over the parts of a batch that several processes have: the statistics of the whole batch.

torch.nn.SyncBatchNorm does it on GPUs only, and for channels on the second axis only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .processes import Processes, is_split, total


class _Shared(_BatchNorm):
    """Between a batch norm's class and torch's: statistics over all processes, where each has a part of the batch."""

    processes: Processes

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...).  In training mean and variance are those of all processes' samples together.

        Of the parts i, with n_i values a channel, means m_i and summed squares about them q_i:

            n = sum n_i,   mean = sum n_i * m_i / n,   var = sum (q_i + n_i * (m_i - mean)^2) / n

        Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample
        variances (1982).
        """
        if not self.training or not is_split():
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        x = input.float()
        mean, var, n = self._statistics(x)
        self._remember(mean.detach(), var.detach(), n)
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        y = (x - mean.view(shape)) * scale.view(shape)
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y.to(input.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance (C,) of all processes' values, and how many they are, ()."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        mine = x.mean(axes)
        squares = (x - mine.view(1, -1, *[1] * (x.ndim - 2))).square().sum(axes)
        row = torch.cat([mine, squares, mine.new_full((1,), x.numel() // x.shape[1])])
        others = self.processes.count - self.processes.rank - 1
        rows = total(nn.functional.pad(row[None], (0, 0, self.processes.rank, others)))
        means, squares, counts = rows[:, : len(mine)], rows[:, len(mine) : -1], rows[:, -1:].detach()
        n = counts.sum()
        mean = (means * counts).sum(0) / n
        return mean, (squares + counts * (means - mean).square()).sum(0) / n, n

    def _remember(self, mean: Tensor, var: Tensor, n: Tensor) -> None:
        """Update the running statistics, as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * (n / (n - 1)), momentum)


@contextmanager
def shared_norm(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Within the block the batch norms of a model count the samples of all processes."""
    changed: list[tuple[_BatchNorm, type[_BatchNorm]]] = []
    if processes.count > 1:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                kind = type(module)
                changed.append((module, kind))
                module.__class__ = cast(
                    type[_BatchNorm], type(kind.__name__, (kind, _Shared), {"processes": processes})
                )
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind
