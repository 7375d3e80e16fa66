"""The whole way of a download, from a server on this machine that serves real recordings in the published formats."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from test_event_formats import aedat2, atis, gesture, real, shd

from neuro_deploy.cli import run
from neuro_deploy.errors import DatasetError, FormatError
from neuro_deploy.train.datasets import About, dataset_names, load, module_of
from neuro_deploy.train.datasets.base import Archive
from neuro_deploy.train.datasets.cache import CACHE, cache_dir, fetch, prepared
from neuro_deploy.train.recipe import DataSettings, EventSettings

DATA = Path(__file__).resolve().parent / "data"
DOWNLOADED = [name for name in dataset_names() if module_of(name).ABOUT.files]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/cut/"):  # announces more than it sends
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            return
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    (tmp_path / "www").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "www"))) as serving:
        serving.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def idx(values: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape) + values.tobytes())


def mnist() -> dict[str, bytes]:
    image, label = (np.load(DATA / "mnist_200.npz")[name] for name in ("image", "label"))
    names = [file.name for file in module_of("mnist").ABOUT.files]
    return dict(zip(names, map(idx, (image[:150], label[:150], image[150:], label[150:])), strict=True))


def cifar(fine: bool) -> dict[str, bytes]:
    """Rows of CIFAR's binary version; pixels are those of real digits, four to a colour image."""
    image, label = (np.load(DATA / "mnist_200.npz")[name] for name in ("image", "label"))
    pixels = np.resize(image, (60, 3072))
    rows = [(b"\x03" if fine else b"") + bytes([label[i]]) + pixels[i].tobytes() for i in range(60)]
    if fine:
        return {
            "cifar-100-binary.tar.gz": tarred({"c/train.bin": b"".join(rows[:50]), "c/test.bin": b"".join(rows[50:])})
        }
    parts = {f"c/data_batch_{k + 1}.bin": b"".join(rows[10 * k : 10 * k + 10]) for k in range(5)}
    return {"cifar-10-binary.tar.gz": tarred({**parts, "c/test_batch.bin": b"".join(rows[50:])})}


def nmnist() -> dict[str, bytes]:
    files: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    for i, each in enumerate(real()):
        files[each.split][f"{each.split.title()}/{each.label}/{i:05d}.bin"] = atis(each)
    return {f"{split}.zip": zipped(of) for split, of in files.items()}


def spoken() -> dict[str, bytes]:
    parts = {split: [each for each in real() if each.split == split] for split in ("train", "test")}
    return {f"shd_{split}.h5.zip": zipped({f"shd_{split}.h5": shd(part)}) for split, part in parts.items()}


def gestures() -> dict[str, bytes]:
    files: dict[str, dict[str, bytes]] = {"Train": {}, "Test": {}}
    for each in real():
        split = each.split.title()
        files[split][f"ibmGesture{split}/user01_led/{each.label}.npy"] = gesture(each)
    return {f"ibmGesture{split}.tar.gz": tarred(of) for split, of in files.items()}


def photographs() -> dict[str, bytes]:
    names = [file.name.removesuffix(".zip") for file in module_of("cifar10_dvs").ABOUT.files]
    of = {name: [each for each in real() if each.label == i] for i, name in enumerate(names)}
    return {
        f"{name}.zip": zipped({f"{name}/cifar10_{name}_{k}.aedat": aedat2(each) for k, each in enumerate(some)})
        for name, some in of.items()
    }


MADE: dict[str, tuple[Callable[[], dict[str, bytes]], int, int, int]] = {
    "mnist": (mnist, 150, 50, 10),
    "cifar10": (partial(cifar, False), 50, 10, 10),
    "cifar100": (partial(cifar, True), 50, 10, 100),
    "nmnist": (nmnist, 10, 10, 10),
    "shd": (spoken, 10, 10, 20),
    "dvs_gesture": (gestures, 10, 10, 11),
    "cifar10_dvs": (photographs, 16, 4, 10),
}
"""How a dataset's files are made, samples to train and to test, classes."""


def served(
    name: str, server: http.server.ThreadingHTTPServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModuleType, About]:
    """The dataset with its files at the server, small ones with digests of their own."""
    make, train, test, _ = MADE[name]
    module, files = module_of(name), make()
    known = module.ABOUT
    assert [file.name for file in known.files] == list(files)
    host = f"http://127.0.0.1:{server.server_address[1]}"
    archives = []
    for file, data in files.items():
        (root / "www" / file).write_bytes(data)
        archives.append(Archive(file, f"{host}/{file}", hashlib.md5(data).hexdigest(), len(data) / 1e6))
    monkeypatch.setattr(module, "ABOUT", replace(known, files=tuple(archives), train=train, test=test))
    return module, module.ABOUT


def test_every_download_is_tried() -> None:
    assert list(MADE) == DOWNLOADED
    for name in DOWNLOADED:
        for file in module_of(name).ABOUT.files:
            assert file.url.startswith("https://") and len(file.md5) == 32 and file.size > 0


@pytest.mark.parametrize("name", MADE)
def test_a_download_is_kept_and_read(
    name: str,
    server: http.server.ThreadingHTTPServer,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, known = served(name, server, tmp_path, monkeypatch)
    _, train, test, classes = MADE[name]
    asked = DataSettings(name=name)
    with pytest.raises(DatasetError, match=f"{name}: is not on this machine; get it by .*datasets {name} --download"):
        load(asked, 6)
    assert run(["datasets", name]) == 0 and "is not on this machine" in capsys.readouterr().out
    assert run(["datasets", name, "--download"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert [path.name for path in cache.iterdir() if ".frames-" not in path.name] == [prepared(known).name]
    assert f"wrote {prepared(known)}" in said
    data = load(asked, 6)
    assert (len(data.train_y), len(data.test_y), data.classes) == (train, test, classes)
    assert data.shape == known.shape and data.train_x.any() and data.digest in said
    loose = load(DataSettings(name=name, path=str(tmp_path / "www")), 6)
    for field in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(loose, field), getattr(data, field))
    assert loose.digest == data.digest
    asked_before = len(server.asked)  # type: ignore[attr-defined]
    load(asked, 3)
    assert len(server.asked) == asked_before == len(known.files)  # type: ignore[attr-defined]


def test_what_was_downloaded_is_what_was_given(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N-MNIST's recordings by way of its .bin files and the cache are those of the .npz."""
    module, known = served("nmnist", server, tmp_path, monkeypatch)
    done = []
    fetch(known, module.prepare, lambda now, total: done.append((now, total)))
    assert done[-1][0] == done[-1][1] > 0 and done == sorted(done)
    one, other = (load(DataSettings(name="nmnist", path=path), 9) for path in ("", str(DATA / "nmnist_20.npz")))
    for part in ("train", "test"):
        x, y = getattr(other, f"{part}_x"), getattr(other, f"{part}_y")
        np.testing.assert_array_equal(getattr(one, f"{part}_x"), x[np.argsort(y)])
    assert one.digest == other.digest


def test_another_digest_is_refused(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, known = served("mnist", server, tmp_path, monkeypatch)
    (tmp_path / "www" / known.files[2].name).write_bytes(b"something else")
    with pytest.raises(
        DatasetError, match=r"t10k-images.* could not be downloaded \(.*hash.*name their folder: --data"
    ):
        fetch(known, module.prepare)
    assert not prepared(known).exists()
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == [file.name for file in known.files[:2]]


def test_a_download_goes_on_where_it_was_interrupted(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, known = served("mnist", server, tmp_path, monkeypatch)
    host = known.files[0].url.rpartition("/")[0]
    broken = replace(known, files=(*known.files[:3], replace(known.files[3], url=f"{host}/cut/x.gz")))
    with pytest.raises(DatasetError, match="could not be downloaded"):
        fetch(broken, module.prepare)
    assert not [path for path in cache_dir().rglob("*") if path.name not in {f.name for f in known.files} | {"mnist"}]
    server.asked.clear()  # type: ignore[attr-defined]
    fetch(known, module.prepare)
    assert server.asked == [f"/{known.files[3].name}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["gone", "nobody"])
def test_a_server_that_fails(
    where: str, server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, known = served("mnist", server, tmp_path, monkeypatch)
    url = known.files[0].url + ".gone" if where == "gone" else "http://127.0.0.1:1/x.gz"
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte.gz could not be downloaded .*try again"):
        fetch(replace(known, files=(replace(known.files[0], url=url),)), module.prepare)


def test_too_few_recordings_are_no_download(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nmnist", "mnist"):
        module, known = served(name, server, tmp_path, monkeypatch)
        monkeypatch.setattr(module, "ABOUT", replace(known, train=known.train + 1))
        with pytest.raises(FormatError, match=f"{name} has "):
            fetch(module.ABOUT, module.prepare)
        assert not prepared(known).exists()


def test_nothing_to_download(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets", "digits", "--download"]) == 2
    assert "digits: nothing is to be downloaded" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(DatasetError, match="nothing is to be downloaded"):
        fetch(module_of("digits").ABOUT, lambda folder, out: None)


def test_frames_are_kept_for_the_next_time(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to those made anew; others for other settings or recordings; a damaged file is made again."""

    def kept() -> list[Path]:
        return sorted(cache.glob("nmnist.frames-*.h5"))

    module, known = served("nmnist", server, tmp_path, monkeypatch)
    fetch(known, module.prepare)
    asked = DataSettings(name="nmnist")
    made, again = load(asked, 6), load(asked, 6)
    (first,) = kept()
    for field in ("train_x", "train_y", "test_x", "test_y"):
        np.testing.assert_array_equal(getattr(again, field), getattr(made, field))
    assert again.digest == made.digest and again.input_high == made.input_high and again.steps == 6

    with h5py.File(first, "r+") as file:
        file["train_y"][0] = 7
    assert load(asked, 6).train_y[0] == 7 != made.train_y[0], "what was kept is what is read"
    first.write_bytes(first.read_bytes()[:1000])
    np.testing.assert_array_equal(load(asked, 6).train_y, made.train_y)
    assert load(asked, 5).steps == 5 and len(kept()) == 2
    assert load(asked.model_copy(update={"events": EventSettings(max_count=2)}), 6).train_x.max() == 2
    assert load(DataSettings(name="nmnist", path=str(DATA / "nmnist_20.npz")), 6).digest == made.digest
    assert len(kept()) == 3

    fetch(known, module.prepare)
    assert not kept()
