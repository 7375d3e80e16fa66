"""MNIST-1D: drawn the same each time, as its paper says."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from neuro_deploy.train import load_recipe
from neuro_deploy.train.datasets import load_dataset, mnist1d
from neuro_deploy.train.nets import build


def test_it_is_drawn_again_the_same() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = load_dataset("mnist1d"), load_dataset("mnist1d")
    assert np.array_equal(one.train_x, other.train_x) and np.array_equal(one.test_x, other.test_x)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert one.train_x.shape == (4000, 40) and one.test_x.shape == (1000, 40)
    assert np.bincount(one.train_y).tolist() == [400] * 10 and np.bincount(one.test_y).tolist() == [100] * 10
    assert not {x.tobytes() for x in one.train_x} & {x.tobytes() for x in one.test_x}


def test_values_lie_on_their_grid() -> None:
    data = load_dataset("mnist1d")
    x = np.concatenate([data.train_x, data.test_x]).astype(np.float64)
    assert np.array_equal(x, np.rint(x / data.input_quantum) * data.input_quantum)
    assert data.input_low <= x.min() and x.max() <= data.input_high
    assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
    assert (np.abs(x) == data.input_high).mean() < 1e-3


def test_the_curves_are_ten_different_ones_that_start_at_zero() -> None:
    curves = mnist1d.templates()
    assert curves.shape == (10, 12) and not curves[:, 0].any()
    assert np.allclose(curves.std(1), 1 / 6) and len({c.tobytes() for c in curves}) == 10


def test_a_sample_tells_its_class() -> None:
    """By its nearest neighbours it is found four times as often as by chance, and by shuffled labels it is not."""
    data = load_dataset("mnist1d")
    nearest = KNeighborsClassifier(5).fit(data.train_x, data.train_y)
    assert nearest.score(data.test_x, data.test_y) > 0.4
    shuffled = np.random.default_rng(0).permutation(data.train_y)
    assert KNeighborsClassifier(5).fit(data.train_x, shuffled).score(data.test_x, data.test_y) < 0.15


def test_the_recipe_builds() -> None:
    recipe, data = load_recipe("mnist1d_mlp"), load_dataset("mnist1d")
    assert sum(p.numel() for p in build(recipe, data).parameters()) > 40_000
