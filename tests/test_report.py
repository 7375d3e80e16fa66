"""The HTML report: the verdict on top, one file, nothing from outside, no text that acts, a bounded size."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import changed, floated, program, run, with_data

from neuro_deploy.comparison import compare, judge
from neuro_deploy.errors import FileError, InputError
from neuro_deploy.report import write_report
from neuro_deploy.report.views import SAMPLES, Runs, choose_samples, view
from neuro_deploy.trace import Recording, Trace

EVIL = "</script><script>console.error('evil')</script><img src=x onerror=alert(1)>"


def split(text: str) -> tuple[str, Any]:
    """The page without plotly's own text, and the data it draws."""
    own = re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", text, flags=re.DOTALL)
    assert len(own) < len(text) - 3_000_000
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return own, json.loads(found[1])


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
    provenance = {"command": "neuro_deploy verify x.nir", "versions": {"numpy": "9.9.9"}}
    options = {"program": program(), "stages": [("compile", 0.25)], "provenance": provenance}
    write_report(path, title="x on loihi2", result=verdict, a=sim, b=lava, **options)
    page, data = split(path.read_text(encoding="utf-8"))
    for part in ("Failed", "✗", "x on loihi2", "First difference", "our CF in Lava", "9.9.9", "0.25", program().digest):
        assert part in page
    assert "neuron <b>3</b>, at step <b>4</b> of sample" in page
    assert data["samples"][data["sample"]] == {"index": 9, "differs": True}
    assert len(data["samples"]) == SAMPLES and {2, 9, 10, 11} <= {s["index"] for s in data["samples"]}
    fc1, out = data["populations"][1:]
    assert fc1["membrane"]["neurons"][0]["label"] == "3" and fc1["membrane"]["neurons"][0]["differs"]
    assert fc1["membrane"]["neurons"][0]["threshold"] == [k * 23 * 64 for k in (1, 2, 3)]
    line = fc1["membrane"]["neurons"][0]["lines"][data["sample"]]["v"]
    assert line[1][5] == line[0][5] + 1 == int(sim.populations["fc1"].data["v"][5, 9, 3]) + 1
    assert line[0] == sim.populations["fc1"].data["v"][:, 9, 3].tolist() and fc1["start"] == -1
    events = out["raster"]["events"][data["sample"]]
    odd = [e for e in zip(events["t"], events["n"], events["a"], events["b"], strict=True) if e[2] != e[3]]
    before = int(sim.populations["out"].data["spikes"][8, 9, 1, 0])
    assert odd == [(6, 2, before, before + 2)] and out["raster"]["labels"][2] == "1, 0"


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
    assert "default-src 'none'" in page and text.count("* plotly.js v") == 1
    assert not re.search(r"""(src|href|url|action)\s*[=(]\s*["']?\s*(https?:|//|file:|/)""", page)
    assert not re.search(r"<script[^>]+src|@import|fetch\(|XMLHttpRequest", page)
    assert path.stat().st_size < 6_000_000
    write_report(tmp_path / "again.html", title="t", result=compare(sim, lava), a=sim, b=lava)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


def evil_report(sim: Trace, path: Path) -> None:
    p = sim.populations
    a = replace(sim, populations={f"in{EVIL}": p["input"], EVIL: p["fc1"]}, backend=EVIL, provenance={EVIL: EVIL})
    b = changed(replace(a, backend=f"b{EVIL}"), EVIL, "v", (5, 0, 1))
    options = {"stages": [(EVIL, 1.0)], "provenance": {EVIL: {EVIL: EVIL}}}
    write_report(path, title=EVIL, result=compare(a, b), a=a, b=b, **options)


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
    assert drawn["populations"][1]["membrane"]["neurons"][0]["label"] == "77"
    assert drawn["populations"][0]["rows"] == 1000 and drawn["populations"][0]["cut"]
    small = Recording((5,), 1, unit, {k: v[:, :, :5] for k, v in data.items()})
    many = Trace({f"l{i}": small for i in range(60)}, 1000, 0.001, "sim", "integer")
    drawn = view(Runs(many, many, compare(many, many), None))
    assert len(drawn["populations"]) == 40 and drawn["omitted"] == 20
    assert sum(len(e["t"]) for p in drawn["populations"] for e in p["raster"]["events"]) <= 160_000
    lines = [line["v"] for p in drawn["populations"] for n in p["membrane"]["neurons"] for line in n["lines"]]
    assert 0 < sum(len(run) for line in lines for run in line) <= 320_000


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
    assert data["populations"][1]["membrane"]["neurons"][0]["lines"][0]["v"][0][3] is None
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


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH: the report was not opened in a browser")
def test_it_draws_in_a_browser(sim: Trace, tmp_path: Path) -> None:
    assert BROWSER
    evil_report(sim, tmp_path / "r.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=8000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, *flags, profile, "--dump-dom", (tmp_path / "r.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("main-svg") >= 6 and 'class="point"' in done.stdout and "<img" not in done.stdout
