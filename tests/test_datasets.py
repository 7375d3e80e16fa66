"""Datasets as recipes and the command line see them: files that the user names, listings, mistakes, training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuro_deploy.cli import run
from neuro_deploy.errors import DatasetError, FileError, FormatError, RecipeError
from neuro_deploy.files import read_input, read_npz, write_npz
from neuro_deploy.train import load_recipe, load_run
from neuro_deploy.train.datasets import about, data_of, dataset_names, load, load_dataset
from neuro_deploy.train.datasets.cache import CACHE
from neuro_deploy.train.datasets.recordings import is_cache, of_cache, of_npz, write_cache
from neuro_deploy.train.recipe import DataSettings, EventSettings

DATA = Path(__file__).resolve().parent / "data"
DIGITS, EVENTS = DATA / "mnist_200.npz", DATA / "nmnist_20.npz"
DIGESTS = {"digits": "a7487402593386db", "mnist": "7456231f4f55eeb7", "nmnist": "15dbf7ea7f34335d"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "250")


def test_what_is_known_is_what_is_loaded() -> None:
    for name in ("digits", "mnist1d"):
        known, data = about(name), load_dataset(name)
        assert (known.shape, known.classes, known.train, known.test) == (
            data.shape,
            data.classes,
            len(data.train_y),
            len(data.test_y),
        )


def test_every_dataset_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets"]) == 0
    table = capsys.readouterr().out
    for name in dataset_names():
        known = about(name)
        assert known.name == name and known.title and known.licence and known.source and known.shape
        assert known.train > known.test / 2 > 0 and (known.steps > 0) == (known.kind == "series")
        assert f" {name} " in table
    assert str(Path("cache") / "datasets") in table


def test_one_dataset_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "nmnist", "--data", str(EVENTS), "--steps", "7"]) == 0
    shown = capsys.readouterr().out
    for text in ("CC BY-SA 4.0", "Orchard", "2 x 34 x 34", "60,000 to train, 10,000 to test", "10 and 10", "[0, 15]"):
        assert text in shown, text
    assert run(["datasets", "mnist", "--data", str(DIGITS)]) == 0
    assert "160 and 40" in capsys.readouterr().out
    assert run(["datasets", "mnits"]) == 2 and "did you mean mnist" in capsys.readouterr().err
    assert run(["datasets", "--download"]) == 2 and "which dataset?" in capsys.readouterr().err


def test_digests_do_not_change() -> None:
    paths = {"mnist": str(DIGITS), "nmnist": str(EVENTS)}
    for name, digest in DIGESTS.items():
        assert load(DataSettings(name=name, path=paths.get(name, "")), 5).digest == digest, name


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from neuro_deploy.train.datasets import about, dataset_names; "
        "assert all(about(name) for name in dataset_names()); "
        "assert 'torch' not in sys.modules and 'sktime' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_images_by_a_path() -> None:
    raw, data = read_npz(DIGITS), load(DataSettings(name="mnist", path=str(DIGITS)))
    assert (
        data.shape == (1, 28, 28) and data.train_x.dtype == np.float32 and (data.input_low, data.input_high) == (0, 1)
    )
    order = np.random.RandomState(0).permutation(200)
    np.testing.assert_array_equal(np.rint(data.train_x[:, 0] * 255), raw["image"][order[:160]])
    np.testing.assert_array_equal(data.test_y, raw["label"][order[160:]])
    recipe = load_recipe("mnist_mlp", [f"data.path={DIGITS}"])
    assert data_of(recipe).shape == (784,)


def test_recordings_by_a_path() -> None:
    data = load(DataSettings(name="nmnist", path=str(EVENTS)), 5)
    assert data.train_x.shape == data.test_x.shape == (10, 5, 2, 34, 34) and data.train_x.dtype == np.uint8
    assert data.steps == 5 and data.shape == (2, 34, 34) and (data.input_high, data.input_quantum) == (15, 1)
    assert sorted(data.train_y) == list(range(10))
    events = sum(len(each.x) for each in of_npz(EVENTS))
    assert 0.998 * events < data.train_x.sum(dtype=int) + data.test_x.sum(dtype=int) <= events
    settings = EventSettings(window=100_000, max_count=2, pool=2)
    less = load(DataSettings(name="nmnist", path=str(EVENTS), events=settings, shape=[578]), 5)
    assert less.shape == (578,) and less.train_x.max() == less.input_high == 2
    assert less.digest == data.digest


def test_a_cache_file_keeps_every_event(tmp_path: Path) -> None:
    """Recordings without events included, in blocks and alone."""
    from dataclasses import replace

    recordings = list(of_npz(EVENTS))
    nothing = {name: getattr(recordings[0], name)[:0] for name in ("x", "y", "polarity", "t_us")}
    recordings[3:3] = [replace(recordings[0], name="empty", **nothing)]
    counts = write_cache(tmp_path / "a.h5", iter(recordings))
    assert counts == {"train": 11, "test": 10} and is_cache(tmp_path / "a.h5") and not is_cache(EVENTS)
    for one, other in zip(of_cache(tmp_path / "a.h5"), recordings, strict=True):
        assert (one.split, one.name, one.label) == (other.split, other.name, other.label)
        for got, want in zip(one.events, other.events, strict=True):
            np.testing.assert_array_equal(got, want)
    with pytest.raises(FormatError, match="t_us in"):
        write_cache(tmp_path / "b.h5", iter([replace(recordings[0], t_us=recordings[0].t_us.astype(int) - 10**6)]))
    assert not (tmp_path / "b.h5").exists()


def test_blocks_do_not_change_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuro_deploy.train.datasets import recordings

    write_cache(tmp_path / "a.h5", of_npz(EVENTS))
    whole = [each.digest for each in of_cache(tmp_path / "a.h5")]
    for block in (1, 5000, 12_345):
        monkeypatch.setattr(recordings, "BLOCK", block)
        assert [each.digest for each in of_cache(tmp_path / "a.h5")] == whole
        write_cache(tmp_path / "b.h5", of_npz(EVENTS))
        assert [each.digest for each in of_cache(tmp_path / "b.h5")] == whole


def written(path: Path, source: Path, **changes: np.ndarray | None) -> str:
    arrays = {**read_npz(source), **changes}
    write_npz(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mnist", {"image": None}, "no train_image, train_label, test_image, test_label; found label"),
        ("mnist", {"label": np.zeros(7, int)}, "200 images and 7 labels"),
        ("mnist", {"image": np.zeros((200, 28, 27), np.uint8)}, "expected uint8 images of 784 values"),
        ("mnist", {"image": np.zeros((200, 28, 28))}, "expected uint8 images of 784 values"),
        ("mnist", {"label": np.full(200, 10)}, r"labels must be integers in \[0, 9\]"),
        ("nmnist", {"test_x": None}, "no test_x; found"),
        ("nmnist", {"train_label": np.arange(9)}, "not of one length"),
        ("nmnist", {"train_label": np.arange(1, 11)}, r"has the label 10, not one of \[0, 9\]"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, changes: dict, message: str) -> None:
    source = {"mnist": DIGITS, "nmnist": EVENTS}[name]
    with pytest.raises(FormatError, match=f"x.npz: .*{message}"):
        load(DataSettings(name=name, path=written(tmp_path / "x.npz", source, **changes)), 4)


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mnist: is not on this machine; get it by 'neuro_deploy datasets mnist"):
        load_dataset("mnist")
    with pytest.raises(FileError, match="cannot be read"):
        load(DataSettings(name="mnist", path=str(tmp_path / "nowhere.npz")))
    with pytest.raises(FormatError, match=r"no train-images-idx3-ubyte, .* MNIST's four files were expected"):
        load(DataSettings(name="mnist", path=str(tmp_path)))
    with pytest.raises(FormatError, match="recordings to train and to test were expected, got none"):
        load(DataSettings(name="nmnist", path=str(tmp_path)), 4)
    with pytest.raises(RecipeError, match="how many frames"):
        load(DataSettings(name="nmnist", path=str(EVENTS)))
    with pytest.raises(RecipeError, match=r"data\.events\.pool = 4 does not divide the sensor's 34 x 34"):
        load(DataSettings(name="nmnist", path=str(EVENTS), events=EventSettings(pool=4)), 4)
    with pytest.raises(RecipeError, match=r"data\.events is for recordings"):
        load(DataSettings(name="digits", events=EventSettings(pool=2)))
    with pytest.raises(RecipeError, match=r"data\.path: digits is not read from files"):
        load(DataSettings(name="digits", path="x"))
    with pytest.raises(RecipeError, match=r"data\.events\.max_count: .*less than or equal to 255"):
        load_recipe("nmnist_mlp", ["data.events.max_count=256"])
    with pytest.raises(RecipeError, match=r"data\.codin: no such key; did you mean data\.coding"):
        load_recipe("digits_mlp", ["data.codin=rate"])


@pytest.mark.parametrize(
    ("recipe", "source", "changes"),
    [
        ("mnist_mlp", DIGITS, []),
        ("mnist_mlp", DIGITS, ["data.coding=rate", "data.validation=0.2", "data.measure=validation"]),
        ("nmnist_mlp", EVENTS, []),
    ],
)
def test_training_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, source: Path, changes: list[str]
) -> None:
    """A path as the user sees it, kept whole in the run; its own test input; export and the chip's program."""
    monkeypatch.chdir(source.parent)
    out = tmp_path / "run"
    settings = ["training.epochs=2", "training.batch_size=16", *changes]
    given = [text for change in settings for text in ("--set", change)]
    assert run(["train", recipe, "--data", source.name, "--out", str(out), *given]) == 0
    monkeypatch.chdir(tmp_path)
    trained = load_run(out)
    assert trained.recipe.data.path == str(source) and trained.metrics["epoch"] == 2
    x, label = read_input(out / "test.npz")
    np.testing.assert_array_equal(x, trained.data.test_input(trained.recipe.network.steps)[0])
    np.testing.assert_array_equal(label, trained.data.test_y)
    assert run(["export", str(out), "--nir", "x.nir"]) == 0
    assert run(["compile", "x.nir", "--out", "x.program.h5"]) == 0
    assert run(["simulate", "x.program.h5", "--input", str(out / "test.npz"), "--out", "x.trace.h5"]) == 0


def test_training_without_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "nmnist_mlp", "--out", str(tmp_path / "run")]) == 2
    assert "nmnist: is not on this machine" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
