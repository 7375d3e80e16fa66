"""What is held out: disjoint, whole, by class, the same for the same seed, and documented numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuro_deploy.errors import RecipeError
from neuro_deploy.train.datasets import load, load_dataset
from neuro_deploy.train.datasets.splitting import test_split as split_of
from neuro_deploy.train.datasets.splitting import validated
from neuro_deploy.train.recipe import DataSettings

DIGITS = str(Path(__file__).resolve().parent / "data" / "mnist_200.npz")


def rows(x: np.ndarray) -> list[bytes]:
    return [sample.tobytes() for sample in x]


def test_a_file_without_a_split_is_split_by_the_seed() -> None:
    train, test = split_of(10_000, DataSettings(name="mnist"))
    order = np.random.RandomState(0).permutation(10_000)
    np.testing.assert_array_equal(train, order[:8000])
    np.testing.assert_array_equal(test, order[8000:])
    other = split_of(10_000, DataSettings(name="mnist", seed=1, test_share=0.1))
    assert len(other[1]) == 1000 and not np.array_equal(other[1], order[9000:])
    data = load(DataSettings(name="mnist", path=DIGITS))
    assert len(data.train_y) == 160 and len(data.test_y) == 40
    assert len({*rows(data.train_x), *rows(data.test_x)}) == 200
    assert rows(load(DataSettings(name="mnist", path=DIGITS)).test_x) == rows(data.test_x)
    assert rows(load(DataSettings(name="mnist", path=DIGITS, seed=1)).test_x) != rows(data.test_x)
    assert load(DataSettings(name="mnist", path=DIGITS, seed=1)).digest == data.digest


@pytest.mark.parametrize("measure", ["test", "validation"])
def test_validation_is_held_out_of_the_training_set_by_class(measure: str) -> None:
    whole = load_dataset("digits")
    data = load(DataSettings(name="digits", validation=0.25, measure=measure))
    assert sorted(rows(data.train_x) + rows(data.valid_x)) == sorted(rows(whole.train_x))
    want = [round(0.25 * n) for n in np.bincount(whole.train_y)]
    assert np.bincount(data.valid_y).tolist() == want
    measured = whole.test_x if measure == "test" else data.valid_x
    np.testing.assert_array_equal(data.test_x, measured)
    kept = [x for x in rows(whole.train_x) if x in set(rows(data.train_x))]
    assert kept == rows(data.train_x)
    again = load(DataSettings(name="digits", validation=0.25, seed=5))
    assert rows(again.valid_x) != rows(data.valid_x) and len(again.valid_y) == len(data.valid_y)


def test_what_is_held_out_does_not_depend_on_the_coding() -> None:
    plain, spikes = (
        load(DataSettings(name="digits", validation=0.1, coding=coding), 4) for coding in ("direct", "latency")
    )
    assert spikes.valid_x.shape == (len(plain.valid_y), 4, 64)
    np.testing.assert_array_equal(plain.valid_y, spikes.valid_y)
    np.testing.assert_array_equal(spikes.valid_x.any(1), plain.valid_x > 0)


def test_shares_that_leave_nothing() -> None:
    data = load_dataset("digits")
    with pytest.raises(RecipeError, match="holds out all or none"):
        validated(data, DataSettings(name="digits", validation=1e-6))
    with pytest.raises(RecipeError, match="needs a share to hold out"):
        load(DataSettings(name="digits", measure="validation"))
    with pytest.raises(RecipeError, match="leaves nothing to test"):
        split_of(3, DataSettings(name="mnist", test_share=0.01))
