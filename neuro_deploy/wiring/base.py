"""What wirings have in common; dense and sparse ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..trace import frozen

Array = NDArray[Any]
W = TypeVar("W", bound="Wiring")


@dataclass(frozen=True, eq=False)
class Wiring(ABC):
    """What the kinds have in common.  weight: numbers of any dtype, in the kind's layout; frozen."""

    kind: ClassVar[str]
    weight: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(np.asarray(self.weight)))

    @property
    @abstractmethod
    def source_size(self) -> int:
        """Number N_source of neurons that send."""

    @property
    @abstractmethod
    def target_size(self) -> int:
        """Number N_target of neurons that receive."""

    @property
    def problems(self) -> list[str]:
        """What is wrong with the layout; [] if nothing."""
        return []

    @property
    @abstractmethod
    def connections(self) -> int:
        """Number of pairs of neurons that the layout connects, weights of zero included."""

    def with_weight(self: W, weight: Array) -> W:
        """The same layout with other weights."""
        return replace(self, weight=weight)

    @abstractmethod
    def spread(self, values: Array) -> Array:
        """values (N_target,) at each weight's target; broadcasts against `weight`.

        A convolution's weight belongs to all neurons of a channel: they must have one value.
        """

    @abstractmethod
    def largest(self) -> Array:
        """The largest |weight| that each target gets, (N_target,); 0 where it gets none."""

    @abstractmethod
    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        """The weighted sums (M, N_target) of x (M, N_source).

        multiply: (x (M, n), weight (k, n)) -> (M, k) for the parts of the product; by default x @ weight.T.
        """

    @abstractmethod
    def triples(self) -> tuple[Array, Array, Array]:
        """(targets, sources, weights) of all connections, by target and then by source."""

    @abstractmethod
    def row(self, target: int) -> tuple[Array, Array]:
        """(sources, weights) of one target's connections, by source."""


def plain_product(x: Array, weight: Array) -> Array:
    """x @ weight.T."""
    return np.asarray(x @ weight.T)


@dataclass(frozen=True, eq=False)
class Dense(Wiring):
    """All to all.  weight: (N_target, N_source)."""

    kind: ClassVar[str] = "dense"

    @property
    def problems(self) -> list[str]:
        return [] if self.weight.ndim == 2 else [f"weight {self.weight.shape} has not two axes"]

    @property
    def source_size(self) -> int:
        return int(self.weight.shape[1])

    @property
    def target_size(self) -> int:
        return int(self.weight.shape[0])

    @property
    def connections(self) -> int:
        return self.weight.size

    def spread(self, values: Array) -> Array:
        return values[:, None]

    def largest(self) -> Array:
        return np.asarray(np.abs(self.weight).max(axis=1, initial=0))

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        return (multiply or plain_product)(x, self.weight)

    def triples(self) -> tuple[Array, Array, Array]:
        targets, sources = np.indices(self.weight.shape)
        return targets.reshape(-1), sources.reshape(-1), self.weight.reshape(-1)

    def row(self, target: int) -> tuple[Array, Array]:
        return np.arange(self.source_size), self.weight[target]


@dataclass(frozen=True, eq=False)
class Sparse(Wiring):
    """Single connections, by target (compressed rows).

    weight: (n,).   columns: int32 (n,), the source of each.   starts: int64 (N_target + 1,); target i has the entries
    starts[i] .. starts[i + 1] - 1.   sources: N_source.
    """

    kind: ClassVar[str] = "sparse"
    columns: NDArray[np.int32]
    starts: NDArray[np.int64]
    sources: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "columns", frozen(np.asarray(self.columns, np.int32)))
        object.__setattr__(self, "starts", frozen(np.asarray(self.starts, np.int64)))

    @property
    def problems(self) -> list[str]:
        if self.weight.ndim != 1 or self.columns.shape != self.weight.shape or self.starts.ndim != 1:
            return ["weight and columns must be of one length, starts one-dimensional"]
        found = []
        if not len(self.starts) or self.starts[0] != 0 or self.starts[-1] != len(self.weight):
            found.append(f"starts must go from 0 to {len(self.weight)}")
        if (np.diff(self.starts) < 0).any():
            found.append("starts must not fall")
        if self.weight.size and not (self.columns.min() >= 0 and self.columns.max() < self.sources):
            found.append(f"columns must be in [0, {self.sources - 1}]")
        return found

    @property
    def source_size(self) -> int:
        return self.sources

    @property
    def target_size(self) -> int:
        return len(self.starts) - 1

    @property
    def connections(self) -> int:
        return self.weight.size

    @property
    def rows(self) -> NDArray[np.int64]:
        """The target of each entry, (n,)."""
        return np.repeat(np.arange(self.target_size), np.diff(self.starts))

    def spread(self, values: Array) -> Array:
        return np.asarray(values[self.rows])

    def largest(self) -> Array:
        result = np.zeros(self.target_size, self.weight.dtype)
        np.maximum.at(result, self.rows, np.abs(self.weight))
        return result

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        from scipy.sparse import csr_matrix

        kind = np.result_type(x, self.weight)
        shape = (self.target_size, self.sources)
        matrix = csr_matrix((self.weight.astype(kind), self.columns, self.starts), shape=shape)
        return np.ascontiguousarray((matrix @ x.astype(kind).T).T)

    def triples(self) -> tuple[Array, Array, Array]:
        return self.rows, self.columns.astype(np.int64), self.weight

    def row(self, target: int) -> tuple[Array, Array]:
        held = slice(self.starts[target], self.starts[target + 1])
        return self.columns[held].astype(np.int64), self.weight[held]

    @staticmethod
    def of(targets: Array, sources: Array, weights: Array, shape: tuple[int, int]) -> Sparse:
        """From single connections (a pair that occurs twice is added up); shape: (N_target, N_source)."""
        key = targets.astype(np.int64) * shape[1] + sources
        pairs, where = np.unique(key, return_inverse=True)
        total = np.zeros(len(pairs), weights.dtype)
        np.add.at(total, where, weights)
        starts = np.searchsorted(pairs, np.arange(shape[0] + 1, dtype=np.int64) * shape[1])
        return Sparse(total, (pairs % shape[1]).astype(np.int32), starts, shape[1])


def to_sparse(wiring: Wiring) -> Sparse:
    """Any wiring as single connections, weights of zero left out."""
    if isinstance(wiring, Sparse):
        return wiring
    targets, sources, weights = wiring.triples()
    kept = weights != 0
    return Sparse.of(targets[kept], sources[kept], weights[kept], (wiring.target_size, wiring.source_size))


def to_dense(wiring: Wiring) -> Dense:
    """Any wiring as a matrix."""
    if isinstance(wiring, Dense):
        return wiring
    matrix = np.zeros((wiring.target_size, wiring.source_size), wiring.weight.dtype)
    targets, sources, weights = wiring.triples()
    np.add.at(matrix, (targets, sources), weights)
    return Dense(matrix)
