"""The HTML report: the verdict on top, one file, nothing from outside, no text that acts, a bounded size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray
from reports import EVIL, evil_report
from runs import changed, floated, program, run, with_data

from neuro_deploy.comparison import compare, judge
from neuro_deploy.errors import FileError, InputError
from neuro_deploy.lower.fit import fit
from neuro_deploy.report import provenance, write_report
from neuro_deploy.report.histograms import histograms, svg
from neuro_deploy.report.two_runs import Runs
from neuro_deploy.report.views import POTENTIALS, RASTERS, SAMPLES, choose_samples, view
from neuro_deploy.target import load_target
from neuro_deploy.trace import Recording, Trace


def split(text: str) -> tuple[str, Any]:
    """The page, and the data it draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return text, json.loads(found[1])


def unpacked(part: dict[str, Any], columns: int) -> list[NDArray[Any]]:
    """Both runs' values (rows, columns), read as the page does."""
    dtype = np.dtype({"Int8": "i1", "Int16": "<i2", "Int32": "<i4", "Float32": "<f4", "Float64": "<f8"}[part["type"]])

    def raw(text: str) -> NDArray[np.uint8]:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
        return np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).reshape(-1)

    a = raw(part["a"])
    b = a if part["b"] == "same" else raw(part["b"]) ^ a
    return [run.view(dtype).reshape(-1, columns) for run in (a, b)]


@pytest.fixture(scope="module")
def sim() -> Trace:
    return run(samples=12)


@pytest.fixture(scope="module")
def lava(sim: Trace) -> Trace:
    """Differs first in fc1.v, sample 9, neuron 3, row 5; then in spikes of out."""
    other = changed(sim, "fc1", "v", (5, 9, 3))
    for sample in (2, 9, 10, 11):
        other = changed(other, "out", "spikes", (8, sample, 1, 0), by=2)
    return replace(other, backend="lava")


def test_a_failed_verdict(sim: Trace, lava: Trace, tmp_path: Path) -> None:
    readout = program().readout
    assert readout
    labels = readout.decide(sim)
    verdict = judge(
        sim, lava=lava, reference=floated(sim), readout=readout, labels=labels, witnesses={"fc1": "our CF in Lava"}
    )
    path = tmp_path / "deep" / "report.html"
    told = {"command": "neuro_deploy verify x.nir", "versions": {"numpy": "9.9.9"}}
    options = {"program": program(), "stages": [("compile", 0.25)], "provenance": told}
    write_report(path, title="x on loihi2", result=verdict, a=sim, b=lava, **options)
    page, data = split(path.read_text(encoding="utf-8"))
    for part in ("Failed", "✗", "x on loihi2", "First difference", "our CF in Lava", "9.9.9", "0.25", program().digest):
        assert part in page
    assert "neuron <b>3</b>, at step <b>4</b> of sample" in page
    assert data["samples"][data["sample"]] == {"index": 9, "differs": True}
    assert len(data["samples"]) == SAMPLES and {2, 9, 10, 11} <= {s["index"] for s in data["samples"]}
    fc1, out = data["populations"][1:]
    here = data["sample"]
    assert fc1["interest"][0] == 3 and fc1["differing"] == 1 and fc1["first"][here] == [4, 3] and fc1["start"] == -1
    thresholds = fc1["potentials"]["thresholds"]
    assert thresholds["theta"][3] == 23 * 64 and thresholds["rounds"] == 3 and thresholds["roundsNeg"] == 0
    assert fc1["potentials"]["windows"][here] == [-1, 12] and fc1["potentials"]["neurons"] is None
    a, b = unpacked(fc1["potentials"]["variables"]["v"][here], 5)
    np.testing.assert_array_equal(a, sim.populations["fc1"].data["v"][:, 9])
    np.testing.assert_array_equal(b, lava.populations["fc1"].data["v"][:, 9])
    assert np.argwhere(a != b).tolist() == [[5, 3]]
    a, b = unpacked(out["raster"]["samples"][here], 4)
    np.testing.assert_array_equal(a, sim.populations["out"].data["spikes"][:, 9].reshape(-1, 4))
    assert np.argwhere(a != b).tolist() == [[8, 2]] and b[8, 2] == a[8, 2] + 2 and out["first"][here] == [6, 2]


def test_the_verdict_in_words(sim: Trace, lava: Trace, tmp_path: Path) -> None:
    def words(result: Any, other: Trace, first: Trace = sim) -> str:
        path = tmp_path / "r.html"
        write_report(path, title="t", result=result, a=first, b=other)
        found = re.search(r'<section class="banner (\w+)".*?"word">(.*?)</p>', path.read_text("utf-8"), re.DOTALL)
        assert found
        return f"{found[1]} {found[2]}"

    assert words(compare(sim, sim), sim) == "good Equal"
    assert words(compare(sim, lava), lava) == "bad Different"
    blind = with_data(sim, "fc1", "v", None)
    assert words(compare(sim, blind), blind) == "open Not enough recorded"
    assert words(compare(floated(sim), sim), sim, floated(sim)) == "open Statistics"
    assert words(judge(sim, lava=sim), sim) == "good Passed"
    reference = floated(sim)
    assert words(judge(sim, reference=reference), reference) == "open Not judged"
    with pytest.raises(InputError, match="no comparison of sim and lava"):
        words(judge(sim, reference=reference), lava)


def test_it_is_one_file_that_loads_nothing(sim: Trace, lava: Trace, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_report(path, title="t", result=compare(sim, lava), a=sim, b=lava)
    text = path.read_text(encoding="utf-8")
    page, _ = split(text)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href|url|action)\s*[=(]\s*["']?\s*(https?:|//|file:|/)""", page)
    assert not re.search(r"<script[^>]+src|@import|fetch\(|XMLHttpRequest", page)
    assert path.stat().st_size < 200_000
    write_report(tmp_path / "again.html", title="t", result=compare(sim, lava), a=sim, b=lava)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def test_text_does_not_act(sim: Trace, tmp_path: Path) -> None:
    evil_report(sim, tmp_path / "r.html")
    page, data = split((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "<img" not in page and "<script>console" not in page and "&lt;img" in page
    assert data["populations"][1]["name"] == EVIL


def test_a_big_run_gives_a_small_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (1001, 4, 500)
    data = {"spikes": rng.integers(0, 4, shape, dtype=np.int8), "v": rng.integers(-(2**23), 2**23, shape, np.int32)}
    unit = np.asarray(1.0)
    big = Trace({n: Recording((500,), 1, unit, data) for n in ("one", "two")}, 1000, 0.001, "sim", "integer")
    other = changed(big, "two", "v", (900, 3, 77))
    path = tmp_path / "r.html"
    write_report(path, title="big", result=compare(big, other), a=big, b=other)
    _, drawn = split(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 10_000_000
    two = drawn["populations"][1]
    assert two["interest"][0] == 77 and two["first"][0] is None and two["first"][drawn["sample"]] == [899, 77]
    assert two["rows"] == 1001 and not two["cut"] and two["raster"]["neurons"] is None
    start, steps = two["potentials"]["windows"][drawn["sample"]]
    kept = two["potentials"]["neurons"] or list(range(500))
    assert start <= 899 - 16 and start + steps >= 899 + 16 and 77 in kept
    a, b = unpacked(two["potentials"]["variables"]["v"][drawn["sample"]], len(kept))
    assert np.argwhere(a != b).tolist() == [[899 - start, kept.index(77)]]
    small = Recording((5,), 1, unit, {k: v[:, :, :5] for k, v in data.items()})
    many = Trace({f"l{i}": small for i in range(60)}, 1000, 0.001, "sim", "integer")
    drawn = view(Runs(many, many, compare(many, many), None))
    assert len(drawn["populations"]) == 40 and drawn["omitted"] == 20
    spikes = [part for p in drawn["populations"] for part in p["raster"]["samples"]]
    assert sum(len(part["a"]) for part in spikes) <= RASTERS
    potentials = [part for p in drawn["populations"] for part in p["potentials"]["variables"]["v"] if part]
    assert 0 < sum(len(part["a"]) for part in potentials) <= POTENTIALS


def test_samples_that_differ_come_first() -> None:
    differing = np.zeros(100, bool)
    assert choose_samples(differing, None, 8) == list(range(8))
    differing[[50, 60, 70, 71, 72, 73, 74, 75]] = True
    assert choose_samples(differing, 75, 8) == [0, 50, 60, 70, 71, 72, 73, 75]
    assert choose_samples(differing, 60, 1) == [60]
    assert choose_samples(np.ones(3, bool), 2, 8) == [0, 1, 2]


def test_values_that_are_not_finite_and_scalars(tmp_path: Path, sim: Trace) -> None:
    a = changed(floated(sim), "fc1", "v", (3, 0, 2), by=np.nan)
    write_report(tmp_path / "r.html", title="nan", result=compare(a, a), a=a, b=a)
    _, data = split((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert data["names"] == ["reference (a)", "reference (b)"]
    part = data["populations"][1]["potentials"]["variables"]["v"][0]
    assert np.isnan(unpacked(part, 5)[0][3, 2])
    one = Recording((), 0, np.asarray(1.0), {"v": np.zeros((3, 1)), "spikes": np.ones((3, 1))})
    lone = Trace({"x": one}, 3, 1.0, "reference", "float")
    write_report(tmp_path / "s.html", title="scalar", result=compare(lone, lone), a=lone, b=lone)


def test_an_old_report_survives_an_error(sim: Trace, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    with pytest.raises(InputError):
        write_report(path, title="t", result=judge(sim), a=sim, b=sim)
    assert path.read_text() == "old"
    with pytest.raises(FileError):
        write_report(tmp_path, title="t", result=compare(sim, sim), a=sim, b=sim)


def test_a_population_that_does_not_fit_is_cut_to_what_matters(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = {"v": rng.integers(-(2**23), 2**23, (1300, 2, 2000), np.int32)}
    data["spikes"] = (data["v"] > 2**22).astype(np.int8) * 3
    wide = Trace({"wide": Recording((2000,), 1, np.asarray(1.0), data)}, 1299, 0.001, "sim", "integer")
    other = changed(wide, "wide", "spikes", (1200, 1, 1500))
    drawn = view(Runs(wide, other, compare(wide, other), None))
    only = drawn["populations"][0]
    assert only["cut"] and only["rows"] == 1100 and only["start"] == 199
    stored = [part for parts in only["potentials"]["variables"].values() for part in parts if part]
    assert sum(len(part["a"]) + len(part["b"]) for part in stored) <= POTENTIALS + 8
    start, steps = only["potentials"]["windows"][drawn["sample"]]
    assert start <= 1199 < start + steps and only["potentials"]["neurons"] is None


def test_histograms_of_h_show_the_threshold(sim: Trace, tmp_path: Path) -> None:
    h, theta = sim.aligned("fc1", "h"), np.arange(20, 25) * 64
    found = {h.population: h for h in histograms(Runs(sim, sim, compare(sim, sim), program()))}
    fc1 = found["fc1"]
    assert fc1.unit == "h / θ" and [text for _, text in fc1.levels] == ["θ", "2θ", "3θ"]
    for _, counts in fc1.counts:
        edge = round((1 - fc1.low) / fc1.width)
        assert counts.sum() == h.size and counts[edge:].sum() == (h > theta).sum() > 0
    assert fc1.above == (h > theta).mean() and sorted(found) == ["fc1", "out"]
    assert 'aria-label="Histogram of h of fc1' in svg(fc1)
    plain = next(histograms(Runs(sim, sim, compare(sim, sim), None)))
    assert plain.unit != "h / θ" and plain.levels == () and plain.above is None and plain.counts[0][1].sum() == h.size
    float_run = floated(sim)
    both = next(histograms(Runs(float_run, sim, compare(float_run, sim), program())))
    assert both.unit == "h / θ" and abs(int(both.counts[0][1].sum()) - int(both.counts[1][1].sum())) == 0


def test_a_tie_does_not_count_as_fired() -> None:
    tied = Recording((1,), 1, np.asarray(1.0), {"h": np.full((11, 1, 1), 23 * 64)})
    run_ = Trace({"fc1": tied}, 10, 0.001, "sim", "integer")
    one = replace(program().populations[0], shape=(1,), params={"vth": 23, "vth_neg": 1, "rounds": 1, "rounds_neg": 0})
    known = replace(program(), populations=(one, *program().populations[1:]), synapses=(), proven=False)
    found = next(histograms(Runs(run_, run_, compare(run_, run_), known)))
    edge = round((1 - found.low) / found.width)
    assert found.above == 0 and found.counts[0][1][edge:].sum() == 0 and found.counts[0][1][edge - 1] == 10


def test_graph_fit_and_provenance_are_in_it(sim: Trace, tmp_path: Path) -> None:
    given = tmp_path / "given.npz"
    given.write_bytes(b"abc")
    told = provenance("neuro_deploy compare a b --program p", [given, "loihi2"])
    fitted = replace(program(), report={**program().report, "fit": fit(program(), load_target("loihi2")).to_dict()})
    path = tmp_path / "r.html"
    write_report(path, title="t", result=compare(sim, sim), a=sim, b=sim, program=fitted, provenance=told)
    page = path.read_text(encoding="utf-8")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    x = hashlib.sha256(sim.aligned("input", "spikes").astype("<i4").tobytes()).hexdigest()
    for part in (
        abc,
        x,
        "given.npz",
        "neuro_deploy compare a b --program p",
        program().digest,
        version_of("torch"),
        "loihi2",
    ):
        assert part in page
    assert 'class="graph"' in page and ">15 weights<" in page.replace("synapses: ", "")
    section = page[page.index('<section id="fit">') :]
    assert "The fullest core of each" in section and section.count('data-population="fc1"') == 2
    pages = nir.NIRGraph(
        {"in": nir.Input(np.array([3])), "w": nir.Linear(np.ones((2, 3))), "out": nir.Output(np.array([2]))},
        [("in", "w"), ("w", "out")],
    )
    write_report(path, title="t", result=compare(sim, sim), a=sim, b=sim, program=fitted, graph=pages)
    assert ">Linear<" in path.read_text(encoding="utf-8")
