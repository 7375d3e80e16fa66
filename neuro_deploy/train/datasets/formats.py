"""How the recordings of event sensors are written in the files in which they are published."""

from __future__ import annotations

import io
from typing import TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError

Ints = NDArray[np.int64]
Events: TypeAlias = tuple[Ints, Ints, Ints, Ints]
"""x, y, polarity, t_us."""

OVERFLOW_ROW, OVERFLOW_US = 240, 1 << 13
GESTURE_US = 1000
DVS128 = 127


def read_atis(data: bytes, where: str) -> Events:
    """Events of N-MNIST (and N-Caltech101): five bytes each.

    x; y; then 24 bits, big-endian: polarity (1: on) and 23 bits of microseconds.  Where y is 240 there is no event: the
    clock of all that follows goes on by 2^13.
    Source: G. Orchard, https://www.garrickorchard.com/datasets/n-mnist, and his event-Python (eventvision.py).
    Raises: FormatError for a length that is no multiple of five.
    """
    if len(data) % 5:
        raise FormatError(f"{where}: {len(data)} bytes are no whole number of events of five bytes")
    raw = np.frombuffer(data, np.uint8).reshape(-1, 5).astype(np.int64)
    x, y = raw[:, 0], raw[:, 1]
    turns = y == OVERFLOW_ROW
    t = ((raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]) + OVERFLOW_US * np.cumsum(turns)
    return x[~turns], y[~turns], (raw[:, 2] >> 7)[~turns], t[~turns]


def read_aedat2(data: bytes, where: str) -> Events:
    """Events of a DVS128 in an AEDAT 2.0 file, upright and from its first event on.

    Lines that begin with "#", then for each event two big-endian uint32: an address (bit 0: 1 for off; bits 1 to 7:
    column, from the right; bits 8 to 14: row, from the bottom) and microseconds.
    Source: jAER's DVS128 (https://github.com/SensorsINI/jaer), the camera of CIFAR10-DVS.
    Raises: FormatError for a file of another kind, or length.
    """
    if not data.startswith(b"#!AER-DAT2"):
        raise FormatError(f"{where}: not an AEDAT 2.0 file")
    start = 0
    while data[start : start + 1] == b"#":
        end = data.find(b"\n", start)
        start = end + 1 if end >= 0 else len(data)
    if (len(data) - start) % 8:
        raise FormatError(f"{where}: {len(data) - start} bytes are no whole number of events of eight bytes")
    words = np.frombuffer(data, ">u4", offset=start).reshape(-1, 2).astype(np.int64)
    address, t = words[:, 0], words[:, 1]
    column, row, off = address >> 1 & 127, address >> 8 & 127, address & 1
    return DVS128 - column, DVS128 - row, 1 - off, t - (t[0] if len(t) else 0)


def read_gesture(data: bytes, where: str) -> Events:
    """Events of DVS Gesture as cut into gestures: an array (N, 4) of x, y, polarity, milliseconds, from its first on.

    Source: the files that tonic publishes (https://figshare.com/ndownloader/files/38022171), in numpy's format.
    Raises: FormatError for anything else.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FormatError(f"{where}: not an array of numpy's, or damaged ({error})") from error
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iuf":
        raise FormatError(f"{where}: expected events of shape (N, 4), got {array.dtype} {array.shape}")
    x, y, polarity, t = np.rint(array).astype(np.int64).T
    return x, y, polarity, (t - (t[0] if len(t) else 0)) * GESTURE_US


def read_shd(data: bytes, where: str) -> list[tuple[int, Events]]:
    """Labels and events of a file of the Spiking Heidelberg Digits: x is the cochlea's channel, y and polarity are 0.

    HDF5: `spikes/times` seconds, `spikes/units` channels, both of one array a recording, and `labels`.
    Source: B. Cramer et al., IEEE TNNLS 33:2744, 2022, https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/.
    Raises: FormatError for anything else.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            labels, times, units = file["labels"][()], file["spikes/times"][()], file["spikes/units"][()]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where}: not a file of spiking digits, or damaged ({error})") from error
    if not len(labels) == len(times) == len(units):
        raise FormatError(f"{where}: {len(labels)} labels, {len(times)} and {len(units)} recordings")
    found = []
    for label, time, unit in zip(labels, times, units, strict=True):
        t, x = np.rint(np.asarray(time, np.float64) * 1e6).astype(np.int64), np.asarray(unit, np.int64)
        order = np.argsort(t, kind="stable")
        zero = np.zeros(len(t), np.int64)
        found.append((int(label), (x[order], zero, zero, t[order])))
    return found
