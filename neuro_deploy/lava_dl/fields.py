"""Datasets of one group of a `.net` file, each checked as it is read."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from ..errors import Violation
from ..fixed import Ints

MEND = "export the network again"
LIMIT = 2.0**31
MOST = 1 << 26
"""Neurons of a layer, and numbers of a dataset: more are a damaged file."""


class Fields:
    """A group.  What is wrong goes into `found`, and the value is then None.

    where: the group's name for messages.
    """

    def __init__(self, group: h5py.Group, where: str, found: list[Violation]) -> None:
        self.group, self.where, self.found = group, where, found
        self.read: set[str] = set()
        self.inside: list[Fields] = []

    def has(self, name: str) -> bool:
        """True if there is such a dataset or group."""
        return name in self.group

    def refuse(self, what: str, remedy: str = MEND) -> None:
        """Remember a violation, once."""
        violation = Violation(self.where, what, remedy)
        if violation not in self.found:
            self.found.append(violation)

    def holds_group(self, name: str) -> bool:
        """True if there is such a group."""
        return isinstance(self.group.get(name), h5py.Group)

    def inner(self, name: str) -> Fields | None:
        """A group within, or None."""
        group = self.group.get(name)
        self.read.add(name)
        if isinstance(group, h5py.Group):
            self.inside.append(Fields(group, f"{self.where}/{name}", self.found))
            return self.inside[-1]
        if group is not None:
            self.refuse(f"{name} is no group")
        return None

    def text(self, name: str) -> str | None:
        """A text, of ASCII, also if it stands in an array of one."""
        value = self._value(name)
        if value is None:
            return None
        single = value.reshape(-1)[0] if value.size == 1 else None
        if isinstance(single, bytes):
            return single.decode("ascii", "replace")
        if isinstance(single, str):
            return single
        self.refuse(f"{name} is no text")
        return None

    def whole(self, name: str, default: int | None = None, low: float = -LIMIT, high: float = LIMIT) -> Ints | None:
        """Whole numbers within low..high, int64 of any shape; `default` (if given) where there are none."""
        if default is not None and not self.has(name):
            return np.asarray(default, np.int64)
        value = self._value(name)
        if value is None:
            return None
        if value.dtype.kind not in "biuf" or not value.size:
            self.refuse(f"{name} has dtype {value.dtype} and shape {value.shape}, numbers were expected")
            return None
        numbers = value.astype(np.float64)
        bad = ~np.isfinite(numbers)
        if bad.any():
            self.refuse(f"{name} holds {int(bad.sum())} values that are NaN or infinite", "mend the training run")
            return None
        if (fractions := numbers != np.rint(numbers)).any():
            what = f"{name} holds {int(fractions.sum())} values that are not whole, such as {numbers[fractions][0]:g}"
            self.refuse(what, "quantize them in slayer (pre_hook_fx=neuron.quantize_8bit), and export again")
            return None
        if numbers.min() < low or numbers.max() > high:
            worst = numbers.min() if numbers.min() < low else numbers.max()
            self.refuse(f"{name} {worst:g} is outside [{low:g}, {high:g}]")
            return None
        return numbers.astype(np.int64)

    def number(self, name: str, default: int | None = None, low: float = -LIMIT, high: float = LIMIT) -> int | None:
        """A single whole number."""
        value = self.whole(name, default, low, high)
        if value is None or value.size == 1:
            return None if value is None else int(value.reshape(-1)[0])
        self.refuse(f"{name} has shape {value.shape}, a single number was expected")
        return None

    def pair(self, name: str, default: int, low: float) -> tuple[int, int] | None:
        """(vertical, horizontal); a single number stands for both."""
        value = self.whole(name, default, low)
        if value is None:
            return None
        if value.size not in (1, 2):
            self.refuse(f"{name} has shape {value.shape}, two numbers were expected")
            return None
        vertical, horizontal = np.resize(value.reshape(-1), 2).tolist()
        return vertical, horizontal

    def shape(self, axes: Sequence[int]) -> tuple[int, ...] | None:
        """The dataset `shape`, with so many axes."""
        value = self.whole("shape", low=1)
        if value is None:
            return None
        if value.ndim <= 1 and value.size in axes and float(np.prod(value.astype(np.float64))) <= MOST:
            return tuple(value.reshape(-1).tolist())
        self.refuse(
            f"shape {tuple(value.reshape(-1).tolist())} has not {' or '.join(map(str, axes))} axes, or too many neurons"
        )
        return None

    def agrees(self, name: str, *wanted: int) -> None:
        """Refuse numbers that say something else than the weights, if there are any."""
        value = self.whole(name, 0) if self.has(name) else None
        if value is not None and value.reshape(-1).tolist() != list(wanted):
            self.refuse(f"{name} {value.tolist()} is not that of its weights, {', '.join(map(str, wanted))}")

    def refuse_unread(self, harmless: Sequence[str]) -> None:
        """Refuse what nothing has read, by name, here and in the groups within."""
        for name in sorted(set(self.group) - self.read - set(harmless)):
            self.refuse(f"{name} is not known here, so it may mean another network", "leave it out if it means nothing")
        for fields in self.inside:
            fields.refuse_unread(harmless)

    def _value(self, name: str) -> np.ndarray | None:
        self.read.add(name)
        item = self.group.get(name)
        if isinstance(item, h5py.Dataset):
            if (item.size or 0) > MOST:
                self.refuse(f"{name} has shape {item.shape}, too many numbers")
                return None
            return np.asarray(item[()])
        self.refuse(f"{name} is missing" if item is None else f"{name} is a group, a dataset was expected")
        return None
