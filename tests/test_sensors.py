"""Series that a package carries: read without it, standardized on the training set, on a grid of 8 bits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from test_codings import exact

from neuro_deploy.errors import DatasetError, FormatError, RecipeError
from neuro_deploy.train.datasets import about, load, load_dataset
from neuro_deploy.train.datasets.series import find_ts, read_ts
from neuro_deploy.train.recipe import DataSettings

SHAPES = {"basic_motions": (40, 40, 100, 6, 4), "japanese_vowels": (270, 370, 29, 12, 9)}
FILES = {"basic_motions": "BasicMotions", "japanese_vowels": "JapaneseVowels"}
TS = "#words\n@problemName x\n@classLabel true a b\n@data\n1,2,3:4,5,6:b\n0.5,-1:2,2:a\n\n"

carried = pytest.mark.skipif(
    importlib.util.find_spec("sktime") is None, reason="sktime is not installed, which carries the series"
)


@carried
@pytest.mark.parametrize("name", SHAPES)
def test_series_are_there(name: str) -> None:
    data, (train, test, steps, channels, classes) = load_dataset(name), SHAPES[name]
    assert data.train_x.shape == (train, steps, channels) and data.test_x.shape == (test, steps, channels)
    assert (about(name).train, about(name).test, about(name).steps, about(name).classes) == (
        train,
        test,
        steps,
        classes,
    )
    assert data.steps == steps and data.shape == (channels,) == about(name).shape and data.train_x.dtype == np.float32
    assert sorted(set(data.train_y)) == sorted(set(data.test_y)) == list(range(classes))
    assert data.digest == load_dataset(name).digest == about(name).digest
    exact(data, steps)


@carried
@pytest.mark.parametrize("name", SHAPES)
def test_series_are_standardized_by_the_training_set(name: str) -> None:
    data = load_dataset(name)
    series, labels, classes = read_ts(find_ts(about(name), FILES[name], "TRAIN"))
    whole = np.concatenate(series)
    assert [classes[y] for y in data.train_y] == labels
    for i, one in enumerate(series):
        want = np.clip((one - whole.mean(0)) / whole.std(0), -127 / 32, 127 / 32)
        assert np.abs(data.train_x[i, : len(one)] - want).max() <= 1 / 64 + 1e-6
        assert not data.train_x[i, len(one) :].any()


@carried
@pytest.mark.parametrize("name", SHAPES)
def test_the_package_reads_the_same(name: str) -> None:
    """sktime's own reader, where it can be imported (it needs pandas and scikit-base); it writes labels small."""
    for needed in ("pandas", "skbase"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: sktime's own reader does not judge ours")
    from sktime.datasets import load_from_tsfile

    path = find_ts(about(name), FILES[name], "TEST")
    series, labels, _ = read_ts(path)
    frame, theirs = load_from_tsfile(str(path), return_data_type="nested_univ")
    assert list(theirs) == [label.lower() for label in labels] and len(frame) == len(series)
    for i, one in enumerate(series):
        np.testing.assert_array_equal(np.stack([frame.iloc[i, c].to_numpy() for c in range(one.shape[1])], 1), one)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sktime", None)
    with pytest.raises(DatasetError, match=r"sktime, which is not installed; pip install 'neuro_deploy\[sensors\]'"):
        load_dataset("basic_motions")


def test_a_package_that_does_not_carry_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sktime").mkdir()
    (tmp_path / "sktime" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "sktime", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DatasetError, match=r"does not carry it \(no .*BasicMotions_TRAIN.ts\); pip install"):
        load_dataset("basic_motions")
    assert "sktime" not in sys.modules


@carried
def test_steps_are_the_data_s_own() -> None:
    with pytest.raises(RecipeError, match=r"network\.steps = 8, but basic_motions has 100 steps of its own"):
        load(DataSettings(name="basic_motions"), 8)
    assert load(DataSettings(name="basic_motions", coding="rate"), 100).train_x.max() == 1


def test_a_ts_file(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text(TS)
    series, labels, classes = read_ts(tmp_path / "x.ts")
    assert labels == ["b", "a"] and classes == ["a", "b"]
    assert [one.tolist() for one in series] == [[[1, 4], [2, 5], [3, 6]], [[0.5, 2], [-1, 2]]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3:4", "?:4", ":5: not a series"),
        ("3:4", "3,3:4", ":5: not a series of equally long"),
        ("6:b", "6:c", r":5: label 'c' of \['a', 'b'\]"),
        ("0.5", "NaN", ":6: label 'a' .* or a value that is missing"),
        ("@data", "", "without series"),
    ],
)
def test_a_damaged_ts_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "x.ts").write_text(TS.replace(old, new))
    with pytest.raises(FormatError, match=message):
        read_ts(tmp_path / "x.ts")
