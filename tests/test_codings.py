"""Codings against slow definitions in plain Python, and against what the chip's encoder makes of them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError, RecipeError
from neuro_deploy.train.datasets import Dataset, coded, load, load_dataset
from neuro_deploy.train.datasets.coding import frames, latency, levels, rate
from neuro_deploy.train.datasets.recordings import of_npz
from neuro_deploy.train.recipe import DataSettings

DATA = Path(__file__).resolve().parent / "data"
DIGITS, EVENTS = str(DATA / "mnist_200.npz"), str(DATA / "nmnist_20.npz")


def slow_latency(level: int, most: int, steps: int) -> list[int]:
    """One spike at floor((1 - p) (T - 1) + 1/2), none for the lowest level."""
    when = math.floor((1 - Fraction(level, most)) * (steps - 1) + Fraction(1, 2))
    return [int(level > 0 and t == when) for t in range(steps)]


def slow_frames(events, sensor, steps: int, window: int, max_count: int, pool: int):
    """Each event into its box, one after the other."""
    channels, height, width = sensor
    tall = pool if height > 1 else 1
    out = np.zeros((steps, channels, height // tall, width // pool), int)
    origin, dropped, clipped = 0, 0, 0
    if not window and len(events[3]):
        origin = min(int(t) for t in events[3])
        window = max(int(t) for t in events[3]) - origin + 1
    for x, y, polarity, t in zip(*events, strict=True):
        if int(t) - origin >= window:
            dropped += 1
            continue
        box = ((int(t) - origin) * steps // window, int(polarity), int(y) // tall, int(x) // pool)
        if out[box] == max_count:
            clipped += 1
        else:
            out[box] += 1
    return out, dropped, clipped


def test_levels_are_exact_on_a_grid() -> None:
    x = np.arange(256, dtype=np.float32) / np.float32(255)
    level, most = levels(x, 0.0, 1.0, 1 / 255)
    assert most == 255 and level.tolist() == list(range(256))
    signed, most = levels(np.array([-4.0, -0.5, 0.0, 4.0]), -4.0, 4.0, 1 / 32)
    assert most == 256 and signed.tolist() == [0, 112, 128, 256]
    assert levels(np.array([0.0, 0.3, 2.0]), 0.0, 1.0, 0.0)[0].tolist() == [0, 76, 255]
    with pytest.raises(InputError, match="cannot be coded"):
        levels(x, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="no whole number of quanta"):
        levels(x, 0.0, 1.0, 0.3)


@pytest.mark.parametrize("steps", [1, 2, 7, 16, 300])
def test_latency_is_its_definition(steps: int) -> None:
    x = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    spikes = latency(x, 0.0, 1.0, 1 / 255, steps)
    assert spikes.shape == (256, steps, 1) and spikes.dtype == np.uint8
    for level in range(256):
        assert spikes[level, :, 0].tolist() == slow_latency(level, 255, steps), level
    assert spikes[255, 0, 0] == 1 and not spikes[0].any() and (steps > 16 or spikes[1, -1, 0] == 1)


@pytest.mark.parametrize("signed", [False, True])
def test_rate_is_its_definition(signed: bool) -> None:
    rng = np.random.default_rng(3)
    low, most = (-127, 254) if signed else (0, 16)
    x = (rng.integers(0, most + 1, (300, 2, 3)) + low).astype(np.float32) / 32
    spikes = rate(x, low / 32, (low + most) / 32, 1 / 32, 5, np.random.default_rng(7))
    draws = np.random.default_rng(7)
    for b in range(300):
        for t in range(5):
            for i, value in np.ndenumerate(x[b]):
                p = Fraction(int(value * 32) - low, most)
                assert spikes[b, t][i] == int(draws.random() < float(p)), (b, t, i)
    assert 0.4 < spikes.mean() < 0.6


def test_rate_does_not_depend_on_how_many_samples_follow() -> None:
    x = load_dataset("digits").train_x
    few, many = (rate(part, 0.0, 1.0, 1 / 16, 4, np.random.default_rng(0)) for part in (x[:300], x[:700]))
    np.testing.assert_array_equal(few, many[:300])
    assert not np.array_equal(many[:300], rate(x[:300], 0.0, 1.0, 1 / 16, 4, np.random.default_rng(1)))
    assert abs(many.mean() - x[:700].mean()) < 0.005


@given(st.data())
def test_frames_are_their_definition(data: st.DataObject) -> None:
    pool = data.draw(st.sampled_from([1, 2, 3]))
    channels = data.draw(st.integers(1, 2))
    height = data.draw(st.sampled_from([1, 6]))
    sensor = (channels, height, 6)
    one = st.tuples(st.integers(0, 5), st.integers(0, height - 1), st.integers(0, channels - 1), st.integers(0, 40))
    drawn = data.draw(st.lists(one, max_size=60))
    events = tuple(np.array([e[i] for e in drawn], np.uint32) for i in range(4))
    steps, window = data.draw(st.integers(1, 7)), data.draw(st.sampled_from([0, 1, 7, 30, 41]))
    limit = data.draw(st.sampled_from([1, 2, 15]))
    counts, *lost = frames(events, sensor, steps, window, limit, pool)
    expected, *also = slow_frames(events, sensor, steps, window, limit, pool)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.uint8 and lost == also
    assert counts.sum() + sum(lost) == len(drawn)


def test_frames_of_real_recordings_are_their_definition() -> None:
    for i, each in enumerate(of_npz(Path(EVENTS))):
        if i % 5 == 0:
            counts, dropped, clipped = frames(each.events, (2, 34, 34), 10, 200_000, 3, 2)
            expected, *lost = slow_frames(each.events, (2, 34, 34), 10, 200_000, 3, 2)
            np.testing.assert_array_equal(counts, expected)
            assert [dropped, clipped] == lost and dropped > 100 and clipped > 100
            assert counts[:, 0].any() and counts[:, 1].any() and counts.max() == 3


@pytest.mark.parametrize(
    ("place", "value", "message"), [(0, 34, "x in"), (1, 34, "y in"), (2, 2, "polarity in"), (0, -1, "x in")]
)
def test_events_beyond_the_sensor_are_refused(place: int, value: int, message: str) -> None:
    events = [np.array([0, value if i == place else 1]) for i in range(4)]
    with pytest.raises(InputError, match=f"events have {message}"):
        frames(tuple(events), (2, 34, 34), 4, 10, 15)
    with pytest.raises(InputError, match="does not divide"):
        frames((np.zeros(1, int),) * 4, (2, 34, 34), 4, 10, 15, 3)


def exact(data: Dataset, steps: int, target: str = "loihi2") -> None:
    """The encoder of a network compiled for this data sends each value as the whole number of quanta that it is."""
    size = int(np.prod(data.shape))
    net = nn.Sequential(nn.Flatten(2), nn.Linear(size, 3), nd.nn.LIF(0.75, 1.0, reset="hard")).eval()
    told = {"input_low": data.input_low, "input_high": data.input_high, "input_quantum": data.input_quantum}
    program = nd.compile(nd.export_nir(net, dt=0.001, input_shape=data.shape, **told), target)
    x, _ = data.test_input(steps)
    sent, clipped = program.encoders[0].encode(x)
    assert clipped == 0 and sent.any()
    np.testing.assert_array_equal(sent, np.rint(x.astype(np.float64) / data.input_quantum))
    np.testing.assert_allclose(sent * data.input_quantum, x, rtol=1e-6)


CASES = {
    "digits": DataSettings(name="digits"),
    "mnist1d": DataSettings(name="mnist1d"),
    "mnist": DataSettings(name="mnist", path=DIGITS),
    "frames": DataSettings(name="nmnist", path=EVENTS),
    "rate": DataSettings(name="mnist", path=DIGITS, coding="rate"),
    "latency": DataSettings(name="mnist", path=DIGITS, coding="latency"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_encoder_changes_nothing(case: str) -> None:
    exact(load(CASES[case], 6), 6)


@pytest.mark.parametrize("case", ["rate", "latency"])
def test_spikes_go_to_a_chip_that_takes_spikes_only(case: str) -> None:
    data = load(CASES[case], 6)
    assert (data.input_low, data.input_high, data.input_quantum, data.steps) == (0.0, 1.0, 1.0, 6)
    assert data.train_x.dtype == np.uint8 and data.train_x.shape == (160, 6, 1, 28, 28)
    exact(data, 6, "loihi1")


def test_training_sees_what_the_test_input_has() -> None:
    import torch

    for case, asked in CASES.items():
        data = load(asked, 6)
        x, label = data.test_input(6)
        shown = data.shown(torch.tensor(data.test_x), 6)
        assert shown.dtype == torch.float32 and x.dtype == np.float32, case
        assert x.shape == (6, len(label), *data.shape) == tuple(shown.shape)
        np.testing.assert_array_equal(shown.numpy(), x)


def test_a_sequence_reads_a_sample_part_by_part() -> None:
    rows, whole = load(DataSettings(name="digits", coding="sequence", shape=[8]), 8), load(DataSettings(name="digits"))
    assert rows.steps == 8 and rows.shape == (8,) and rows.train_x.shape == (1437, 8, 8)
    np.testing.assert_array_equal(rows.test_input(8)[0][2], whole.test_x[:, 16:24])
    points = load(DataSettings(name="mnist1d", coding="sequence", shape=[1], validation=0.1))
    assert points.steps == 40 and points.shape == (1,) and points.valid_x.shape[1:] == (40, 1)
    exact(rows, 8)
    for asked, steps, message in (
        ({"name": "digits", "shape": [8]}, 4, r"network.steps = 4, but digits has 8 parts of \[8\]"),
        ({"name": "digits"}, 8, r"needs data.shape, a part of a sample of digits, whose shape is \(64,\); got \[\]"),
        ({"name": "digits", "shape": [7]}, 8, r"got \[7\]"),
        ({"name": "nmnist", "path": EVENTS, "shape": [2]}, 5, "counted into frames"),
    ):
        with pytest.raises(RecipeError, match=message):
            load(DataSettings(coding="sequence", **asked), steps)


def test_codings_that_make_no_sense() -> None:
    with pytest.raises(RecipeError, match="counted into frames"):
        load(DataSettings(name="nmnist", path=EVENTS, coding="rate"), 5)
    with pytest.raises(RecipeError, match="needs the number of steps"):
        load(DataSettings(name="digits", coding="latency"))
    series = load(CASES["frames"], 5)
    with pytest.raises(RecipeError, match="is for static samples"):
        coded(series, DataSettings(name="nmnist", coding="latency"), 5)


def test_rate_coding_of_a_series_draws_each_step() -> None:
    series = load(CASES["frames"], 5)
    spikes = coded(series, DataSettings(name="nmnist", coding="rate"), 5)
    assert spikes.train_x.shape == series.train_x.shape and spikes.steps == 5
    assert not spikes.train_x[series.train_x == 0].any() and spikes.train_x.max() == 1
