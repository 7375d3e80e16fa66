"""Programs, traces and inputs as files: whole, deterministic, refused when damaged, never half written."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import h5py
import networks
import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro_deploy as nd
from neuro_deploy.errors import FileError, FormatError, InputError
from neuro_deploy.files import atomic_write, read_input, write_npz
from neuro_deploy.program import ChipProgram, Readout
from neuro_deploy.trace import Recording, Trace, escape, unescape


def program() -> ChipProgram:
    return nd.compile(networks.chain(rounds_neg=2), "loihi2", max_steps=77)


def trace() -> Trace:
    return nd.simulate(program(), networks.pixels(6, 3, 12), record=("spikes", "v", "h", "u"))


def test_program_round_trip(tmp_path: Path) -> None:
    before = program()
    nd.save_program(before, tmp_path / "p.h5")
    after = nd.load_program(tmp_path / "p.h5")
    assert after == before and hash(after) == hash(before) and after.digest == before.digest
    assert after.report == before.report and after.readout == before.readout == Readout("lif")
    assert (after.max_steps, after.dt, after.target) == (77, networks.DT, "loihi2")
    for one, other in zip(before.populations, after.populations, strict=True):
        assert (one.name, one.kind, one.shape, one.latency) == (other.name, other.kind, other.shape, other.latency)
        np.testing.assert_array_equal(one.unit, other.unit)
        for name, values in one.params.items():
            np.testing.assert_array_equal(values, other.params[name])
    nd.save_program(before, tmp_path / "q.h5")
    assert (tmp_path / "p.h5").read_bytes() == (tmp_path / "q.h5").read_bytes()


def test_digest_sees_every_field() -> None:
    base = program()
    population, synapse, encoder = base.populations[1], base.synapses[1], base.encoders[0]
    weight = synapse.weight.copy()
    weight[0, 0] += 2
    changed = replace(synapse, wiring=synapse.wiring.with_weight(weight))
    variants = [
        replace(base, dt=0.5),
        replace(base, max_steps=78),
        replace(base, target="x"),
        replace(base, proven=not base.proven),
        replace(base, readout=None),
        replace(base, encoders=(replace(encoder, offset=1),)),
        replace(base, encoders=(replace(encoder, high=15),)),
        replace(base, populations=(base.populations[0], replace(population, latency=5), base.populations[2])),
        replace(
            base,
            synapses=(base.synapses[0], changed, base.synapses[2]),
        ),
        replace(base, synapses=(base.synapses[0], replace(synapse, delay=1), base.synapses[2])),
        replace(base, synapses=(base.synapses[0], replace(synapse, exponent=1), base.synapses[2])),
    ]
    for name in population.params:
        params = {**population.params, name: population.params[name] + 1}
        variants.append(
            replace(base, populations=(base.populations[0], replace(population, params=params), base.populations[2]))
        )
    digests = [v.digest for v in variants]
    assert base.digest not in digests and len(set(digests)) == len(digests)
    assert replace(base, report={}).digest == base.digest
    with pytest.raises(ValueError, match="read-only"):
        population.params["dv"][0] = 1


def test_a_changed_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    nd.save_program(program(), path)
    with h5py.File(path, "r+") as handle:
        leaf = next(iter(handle["synapses"].values()))
        leaf["weight"][0, 0] += 2
    with pytest.raises(FormatError, match="digest"):
        nd.load_program(path)
    with h5py.File(path, "r+") as handle:
        handle.attrs["schema"] = 99
    with pytest.raises(FormatError, match="newer"):
        nd.load_program(path)


def test_trace_round_trip_and_stock_reader(tmp_path: Path) -> None:
    before = trace()
    nd.save_trace(before, tmp_path / "t.h5")
    after = nd.load_trace(tmp_path / "t.h5")
    assert list(after.populations) == list(before.populations) == ["input", "cf1", "cf2", "lif"]
    for field in ("steps", "dt", "backend", "kind", "digest", "counters"):
        assert getattr(after, field) == getattr(before, field), field
    for name, recording in before.populations.items():
        other = after.populations[name]
        assert (recording.shape, recording.latency) == (other.shape, other.latency)
        np.testing.assert_array_equal(recording.unit, other.unit)
        assert list(recording.data) == list(other.data)
        for variable, data in recording.data.items():
            assert data.dtype == other.data[variable].dtype
            np.testing.assert_array_equal(data, other.data[variable])
    stock = nir.read_data(tmp_path / "t.h5")
    v = before.populations["cf1"].data["v"]
    np.testing.assert_array_equal(stock.nodes["cf1"].observables["v"].data, v.swapaxes(0, 1))
    nd.save_trace(before, tmp_path / "s.h5")
    assert (tmp_path / "t.h5").read_bytes() == (tmp_path / "s.h5").read_bytes()


def test_trace_keeps_shapes_and_names(tmp_path: Path) -> None:
    data = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5).astype(np.int32)
    odd = {
        "a/b": Recording((4, 5), 1, np.float64(0.5), {"v": data}),
        "..": Recording((4, 5), 0, np.float64(1), {"v": data}),
    }
    before = Trace(odd, 2, 0.001, "sim", "integer")
    nd.save_trace(before, tmp_path / "t.h5")
    after = nd.load_trace(tmp_path / "t.h5")
    np.testing.assert_array_equal(after.populations["a/b"].data["v"], data)
    np.testing.assert_array_equal(after.aligned("a/b", "v"), data[1:])
    with pytest.raises(InputError, match="fewer than latency"):
        Trace(odd, 3, 0.001, "sim", "integer")


@given(st.text(min_size=1, max_size=20))
def test_escape_is_reversible(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    key = escape(name)
    assert unescape(key) == name
    assert set(key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-%")
    assert key.strip(".")


@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7, 0.97])
def test_truncated_files_are_refused(tmp_path: Path, part: float) -> None:
    nd.save_program(program(), tmp_path / "p.h5")
    nd.save_trace(trace(), tmp_path / "t.h5")
    write_npz(tmp_path / "x.npz", input=networks.pixels(6, 3, 12))
    for name, load in (("p.h5", nd.load_program), ("t.h5", nd.load_trace), ("x.npz", read_input)):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / "cut").write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(FormatError, match="cut"):
            load(tmp_path / "cut")


def test_one_kind_of_file_is_not_another(tmp_path: Path) -> None:
    nd.save_program(program(), tmp_path / "p.h5")
    nd.save_trace(trace(), tmp_path / "t.h5")
    nd.write_nir(networks.chain(), tmp_path / "n.nir")
    loaders = {"p.h5": nd.load_program, "t.h5": nd.load_trace, "n.nir": nd.read_nir}
    for name in loaders:
        for other, load in loaders.items():
            if other != name:
                with pytest.raises(FormatError):
                    load(tmp_path / name)


def test_input_files(tmp_path: Path) -> None:
    def refuse(match: str, **arrays: np.ndarray) -> None:
        write_npz(tmp_path / "x.npz", **arrays)
        with pytest.raises(InputError, match=match):
            read_input(tmp_path / "x.npz")

    x = networks.pixels(4, 3, 12)
    write_npz(tmp_path / "x.npz", input=x, label=np.arange(3))
    read, label = read_input(tmp_path / "x.npz")
    np.testing.assert_array_equal(read, x)
    assert label is not None and label.tolist() == [0, 1, 2]
    refuse("no array named 'input'", data=x)
    refuse("must have shape", input=x[0])
    refuse("must have shape", input=x[:0])
    refuse("1 values that are NaN", input=np.where(np.arange(x.size).reshape(x.shape) == 5, np.nan, x))
    refuse("must be numbers", input=x.astype("U"))
    refuse("must be 3 integers", input=x, label=np.arange(4))
    np.save(tmp_path / "single.npy", x)
    with pytest.raises(FormatError, match="a single array"):
        read_input(tmp_path / "single.npy")
    np.savez(tmp_path / "y.npz", input=np.array([{}], dtype=object))
    with pytest.raises(FormatError, match="allow_pickle"):
        read_input(tmp_path / "y.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")

    class Stop(Exception):
        pass

    with pytest.raises(Stop), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise Stop
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["f.txt"]
    with pytest.raises(FileError, match="is a directory"), atomic_write(tmp_path):
        pass
    with pytest.raises(FileError, match="cannot be written"), atomic_write(path / "below"):
        pass


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f.bin"
    path.write_bytes(b"old")
    code = textwrap.dedent(
        f"""
        import os, signal
        from neuro_deploy.files import atomic_write
        with atomic_write({str(path)!r}) as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
