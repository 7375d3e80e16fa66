"""What is held out: always the same for the same seed, on every machine and version.

The order comes from `numpy.random.RandomState(seed).permutation(n)`, whose stream numpy has frozen (its NEP 19).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import RecipeError
from ..recipe import DataSettings
from .base import Dataset

Indices = NDArray[np.int64]


def test_split(count: int, asked: DataSettings) -> tuple[Indices, Indices]:
    """Indices to train and to test, for samples that come without a split of their own.

    In the order of the permutation of `asked.seed`, the first n - round(n * test_share) train, the others test.
    Raises: RecipeError if one of them would be empty.
    """
    held = round(count * asked.test_share)
    if not 0 < held < count:
        raise RecipeError(f"data.test_share = {asked.test_share} of {count} samples leaves nothing to test or to train")
    order = np.random.RandomState(asked.seed).permutation(count)
    return order[: count - held], order[count - held :]


def validated(data: Dataset, asked: DataSettings) -> Dataset:
    """The dataset with the share `asked.validation` of each class of its training set held out.

    Of a class with n samples, round(n * validation) are held out: the first of them in the permutation of `asked.seed`
    over the whole training set.  The others keep their order.  With measure = "validation" they take the test set's
    place.   Raises: RecipeError if nothing would be left, or held out.
    """
    if not asked.validation:
        if asked.measure == "validation":
            raise RecipeError("data.measure = 'validation' needs a share to hold out, such as data.validation = 0.2")
        return data
    order = np.random.RandomState(asked.seed).permutation(len(data.train_y))
    held = np.zeros(len(order), bool)
    for label in range(data.classes):
        own = order[data.train_y[order] == label]
        held[own[: round(len(own) * asked.validation)]] = True
    if held.all() or not held.any():
        raise RecipeError(f"data.validation = {asked.validation} of {len(held)} samples holds out all or none of them")
    valid_x, valid_y = data.train_x[held], data.train_y[held]
    test_x, test_y = (valid_x, valid_y) if asked.measure == "validation" else (data.test_x, data.test_y)
    return replace(
        data,
        train_x=data.train_x[~held],
        train_y=data.train_y[~held],
        valid_x=valid_x,
        valid_y=valid_y,
        test_x=test_x,
        test_y=test_y,
    )
