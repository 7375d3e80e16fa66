"""Files as datasets are published, from real recordings: our readers against tonic's, and against damage."""

from __future__ import annotations

import gzip
import importlib.util
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from neuro_deploy.errors import FileError, FormatError
from neuro_deploy.train.datasets.archives import files_in
from neuro_deploy.train.datasets.formats import Events, read_aedat2, read_atis, read_gesture, read_shd
from neuro_deploy.train.datasets.images import read_cifar, read_idx
from neuro_deploy.train.datasets.recordings import Recording, of_npz

DATA = Path(__file__).resolve().parent / "data"


def real() -> list[Recording]:
    """Twenty real recordings of an event camera."""
    return list(of_npz(DATA / "nmnist_20.npz"))


def atis(each: Recording) -> bytes:
    """A recording in N-MNIST's own five bytes an event."""
    x, y, polarity, t = (np.asarray(v, np.int64) for v in each.events)
    raw = np.stack([x, y, polarity << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
    return raw.astype(np.uint8).tobytes()


def aedat2(each: Recording, start: int = 77) -> bytes:
    """A recording as a DVS128 writes it, its clock starting anywhere."""
    x, y, polarity, t = (np.asarray(v, np.int64) for v in each.events)
    address = (127 - y) << 8 | (127 - x) << 1 | 1 - polarity
    words = np.stack([address, t + start], axis=1).astype(">u4")
    return b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n#35 is a comment\r\n" + words.tobytes()


def shd(recordings: list[Recording]) -> bytes:
    """Recordings as spiking digits are published: times in seconds and units, an array each."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, dtype in (("times", np.float32), ("units", np.uint16)):
            made = file.create_dataset(f"spikes/{name}", (len(recordings),), h5py.vlen_dtype(dtype))
            for i, each in enumerate(recordings):
                made[i] = each.t_us / 1e6 if name == "times" else each.y.astype(int) * 20 + each.x % 20
        file["labels"] = np.array([each.label for each in recordings], np.uint16)
    return buffer.getvalue()


def gesture(each: Recording) -> bytes:
    """A recording as tonic publishes DVS Gesture: rows of x, y, polarity, milliseconds."""
    buffer = io.BytesIO()
    x, y, polarity, t = (np.asarray(v, np.int16) for v in (*each.events[:3], each.t_us // 1000))
    np.save(buffer, np.stack([x, y, polarity, t], axis=1))
    return buffer.getvalue()


def same(one: Events, each: Recording) -> None:
    for got, want in zip(one, each.events, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.fixture(scope="module")
def tonic() -> ModuleType:
    """tonic's own readers: its file io.py, alone, since the whole package wants librosa."""
    found = importlib.util.find_spec("tonic")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tonic is not installed: its readers do not judge ours (pip install --no-deps tonic)")
    spec = importlib.util.spec_from_file_location("tonic_io", Path(found.submodule_search_locations[0]) / "io.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nmnist_as_written() -> None:
    for each in real():
        same(read_atis(atis(each), "x.bin"), each)


def test_nmnist_as_tonic_reads_it(tonic: ModuleType, tmp_path: Path) -> None:
    """Also where the clock runs over: rows of y = 240, with 2^13 microseconds each."""
    dtype = np.dtype([(name, int) for name in "xytp"])
    for i, each in enumerate(real()):
        data = atis(each)
        cut = 5 * (len(each.x) // 3)
        over = bytes((0, 240, 0, 0, 0))
        data = data[:cut] + over + data[cut : 2 * cut] + over * 2 + data[2 * cut :] if i % 2 else data
        (tmp_path / "x.bin").write_bytes(data)
        theirs = tonic.read_mnist_file(str(tmp_path / "x.bin"), dtype)
        for got, name in zip(read_atis(data, "x.bin"), "xypt", strict=True):
            np.testing.assert_array_equal(got, theirs[name])


def test_an_aedat_file_as_written() -> None:
    for each in real():
        x, y, polarity, t = read_aedat2(aedat2(each), "x.aedat")
        same((x, y, polarity, t + each.t_us[0]), each)


def test_an_aedat_file_as_tonic_reads_it(tonic: ModuleType, tmp_path: Path) -> None:
    """The addresses and clock that tonic reads (1.7.0 fails in `read_dvs_128`: its two parts are called), and its bits
    of an address; jAER's image is that turned by half, its polarity the other one."""
    for each in real()[:4]:
        (tmp_path / "x.aedat").write_bytes(aedat2(each))
        version, start, _ = tonic.read_aedat_header_from_file(str(tmp_path / "x.aedat"))
        theirs = tonic.get_aer_events_from_file(str(tmp_path / "x.aedat"), version, start)
        address = theirs["address"]
        x, y, polarity, t = read_aedat2(aedat2(each), "x.aedat")
        np.testing.assert_array_equal(127 - y, address >> 8 & 0x7F)
        np.testing.assert_array_equal(127 - x, address >> 1 & 0x7F)
        np.testing.assert_array_equal(1 - polarity, address & 1)
        np.testing.assert_array_equal(t + 77 + int(each.t_us[0]), theirs["timeStamp"])


def test_spiking_digits_as_written() -> None:
    recordings = real()
    found = read_shd(shd(recordings), "shd_train.h5")
    assert [label for label, _ in found] == [each.label for each in recordings]
    for (_, (x, y, polarity, t)), each in zip(found, recordings, strict=True):
        np.testing.assert_array_equal(x, each.y.astype(int) * 20 + each.x % 20)
        assert not y.any() and not polarity.any()
        assert np.abs(t - each.t_us.astype(int)).max() <= 0.02  # float32 seconds


def test_gestures_as_written() -> None:
    for each in real():
        x, y, polarity, t = read_gesture(gesture(each), "0.npy")
        milliseconds = each.t_us.astype(np.int64) // 1000
        same((x, y, polarity, each.t_us), each)
        np.testing.assert_array_equal(t, (milliseconds - milliseconds[0]) * 1000)


def test_idx_and_cifar() -> None:
    image = np.load(DATA / "mnist_200.npz")["image"]
    data = struct.pack(">BBBBiii", 0, 0, 8, 3, *image.shape) + image.tobytes()
    np.testing.assert_array_equal(read_idx(data, "x"), image)
    colours = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3, 32, 32)
    for labels in (1, 2):
        rows = b"".join(bytes([9, 7][-labels:]) + each.tobytes() for each in colours)
        x, y = read_cifar(rows, labels, "x")
        np.testing.assert_array_equal(x, colours)
        assert y.tolist() == [7, 7]


class _Trap:
    """Unpickled, it would run code."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("1 / 0",)


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Trap()], object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (read_atis, b"1234567", "7 bytes are no whole number"),
        (read_aedat2, b"1234567", "not an AEDAT 2.0 file"),
        (read_aedat2, b"#!AER-DAT2.0\n1234567", "7 bytes are no whole number"),
        (read_gesture, b"1234567", "not an array"),
        (read_gesture, _pickled(), "not an array.*allow_pickle=False"),
        (read_shd, b"1234567", "not a file of spiking digits"),
        (read_idx, b"\0\0\x08\x01\0\0\0\x05abc", "3 values, an array .5,. was announced"),
        (read_idx, b"\x1f\x8b", "not an IDX file"),
        (lambda data, where: read_cifar(data, 1, where), b"123", "no whole number of images"),
    ],
)
def test_damaged_files(read: Callable[[bytes, str], object], data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=f"some/file: .*{message}"):
        read(data, "some/file")


def test_files_in_folders_and_archives(tmp_path: Path) -> None:
    """The same names and bytes, however they are packed; other files are passed by."""
    want = {"Train/3/00002.bin": b"two", "Train/3/00001.bin": b"one", "Test/0/1.bin": b"three"}
    folder = tmp_path / "folder"
    for name, data in want.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "readme.txt").write_text("passed by")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name, data in want.items():
            packed.writestr(name, data)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name in want:
            tar.add(folder / name, name)
    (tmp_path / "one.bin.gz").write_bytes(gzip.compress(b"zipped"))
    assert list(files_in(folder, (".bin",))) == [(name, want[name]) for name in sorted(want)]
    assert list(files_in(tmp_path / "a.zip", (".bin",))) == list(want.items())
    assert list(files_in(tmp_path / "a.tar.gz", (".bin",))) == list(want.items())
    assert list(files_in(tmp_path / "one.bin.gz", (".bin",))) == [("one.bin", b"zipped")]
    with pytest.raises(FileError, match="does not exist"):
        list(files_in(tmp_path / "nowhere", (".bin",)))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.bin.gz"])
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what it says")
    with pytest.raises(FormatError, match=f"{name}: cannot be read, or is damaged"):
        list(files_in(tmp_path, (".bin",)))
