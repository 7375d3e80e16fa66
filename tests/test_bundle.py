"""verify --bundle: what one person verified, another can run again; JUnit XML."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import nir
import numpy as np
import pytest
from networks import chain, pixels

from neuro_deploy import bundle
from neuro_deploy.backends import simulate
from neuro_deploy.cli import run
from neuro_deploy.errors import LavaMissingError
from neuro_deploy.files import read_input, write_npz
from neuro_deploy.graph import write_nir
from neuro_deploy.program import load_program, save_program
from neuro_deploy.trace import load_trace, save_trace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle by the command line, with labels and Lava."""
    folder = tmp_path_factory.mktemp("bundle")
    write_nir(chain(), folder / "net.nir")
    write_npz(folder / "x.npz", input=pixels(6, 4, 12), label=np.array([0, 1, 2, 3]))
    command = ["verify", str(folder / "net.nir"), "--input", str(folder / "x.npz"), "--lava-samples", "2"]
    assert run([*command, "--bundle", str(folder / "b"), "--junit", str(folder / "b.xml")]) == 0
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "b", tmp_path / "copy")
    return tmp_path / "copy"


def test_a_bundle_runs_again_elsewhere(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert {"bundle.json", "network.nir", "target.toml", "program.h5", "input.npz", "report.html"} <= before.keys()
    assert {"reference.trace.h5", "sim.trace.h5", "lava.trace.h5"} <= before.keys()
    assert run(["verify", str(copy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and {c["name"]: c["passed"] for c in told["checks"]} == dict.fromkeys(
        ["files", "compile", "sim", "lava", "float"], True
    )
    assert told["then"]["versions"]["torch"] and told["then"]["program"]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def relist(folder: Path) -> None:
    """Make the manifest right again after a file has changed: only what is computed can show it now."""
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    manifest["files"] = {name: bundle.digest_of(folder / name) for name in manifest["files"]}
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))


def one_spike_more(path: Path) -> None:
    trace = load_trace(path)
    name, recording = list(trace.populations.items())[-1]
    spikes = recording.data["spikes"].copy()
    spikes[3, 0, 0] += 1
    changed = replace(recording, data={**recording.data, "spikes": spikes})
    save_trace(replace(trace, populations={**trace.populations, name: changed}), path)


def another_network(folder: Path) -> None:
    graph = chain()
    affine = next(node for node in graph.nodes.values() if isinstance(node, nir.Affine))
    affine.weight[0, 0] += 1.0
    write_nir(graph, folder / "network.nir")


def another_program(folder: Path) -> None:
    """And what sim gives for it, so that only the network can tell."""
    program = load_program(folder / "program.h5")
    first = program.synapses[0]
    changed = replace(first, wiring=first.wiring.with_weight(-first.weight))
    other = replace(program, synapses=(changed, *program.synapses[1:]))
    save_program(other, folder / "program.h5")
    x, _ = read_input(folder / "input.npz")
    save_trace(simulate(other, x, "sim", ("spikes", "v", "h", "u")), folder / "sim.trace.h5")
    (folder / "lava.trace.h5").unlink()
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    del manifest["files"]["lava.trace.h5"]
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))


FAULTS: dict[str, Callable[[Path], None]] = {
    "program": another_program,
    "sim": lambda folder: one_spike_more(folder / "sim.trace.h5"),
    "lava": lambda folder: one_spike_more(folder / "lava.trace.h5"),
    "compile": another_network,
}


@pytest.mark.parametrize("which", FAULTS)
def test_what_is_not_so_any_more_is_named(copy: Path, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    FAULTS[which](copy)
    assert run(["verify", str(copy)]) == 1
    assert "changed, missing or not listed" in capsys.readouterr().out
    relist(copy)
    assert run(["verify", str(copy), "--json", "--junit", str(copy / "again.xml")]) == 1
    failed = [c["name"] for c in json.loads(capsys.readouterr().out)["checks"] if c["passed"] is False]
    assert failed == [which]
    cases = ElementTree.parse(copy / "again.xml").getroot()[0]
    assert [case.get("name") for case in cases if case.find("failure") is not None] == [which]


def test_what_was_not_judged_is_no_fault(made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["verify", str(made / "net.nir"), "--input", str(made / "x.npz"), "--lava-samples", "0"]
    assert run([*command, "--bundle", str(tmp_path / "b")]) == 0
    assert run(["verify", str(tmp_path / "b"), "--junit", str(tmp_path / "b.xml")]) == 0
    assert "NOT JUDGED" in capsys.readouterr().out
    suite = ElementTree.parse(tmp_path / "b.xml").getroot()[0]
    assert (suite.get("failures"), suite[0].get("name")) == ("0", "then") and suite[0].find("skipped") is not None


def test_a_bundle_says_itself_what_is_run(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--report", str(tmp_path / "r.html"), "--lava-samples", "3", "--target", "loihi1"]
    assert run(["verify", str(copy), *more]) == 2
    assert "leave out --target, --lava-samples, --report" in capsys.readouterr().err


def test_without_lava_its_recorded_run_counts(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bundle.simulate

    def without(source: object, x: object, backend: str, *more: object, **options: object) -> object:
        if backend == "lava":
            raise LavaMissingError("not here")
        return real(source, x, backend, *more, **options)

    monkeypatch.setattr(bundle, "simulate", without)
    found = {check.name: check for check in bundle.check_bundle(copy).checks}
    assert found["lava"].passed and "not installed" in found["lava"].text
    one_spike_more(copy / "lava.trace.h5")
    relist(copy)
    assert not bundle.check_bundle(copy).passed


def test_nothing_is_overwritten_and_damage_is_told(made: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["verify", str(made / "net.nir"), "--input", str(made / "x.npz"), "--lava-samples", "0"]
    assert run([*command, "--bundle", str(copy)]) == 2
    assert "empty folder" in capsys.readouterr().err
    for text in ("{", '{"format": "another"}', "\xff"):
        (copy / bundle.MANIFEST).write_text(text, encoding="latin-1")
        assert run(["verify", str(copy)]) == 2
        assert "damaged" in capsys.readouterr().err
    assert run(["verify", str(made)]) == 2  # a folder that is none


def test_junit_of_a_verification_and_of_a_comparison(made: Path, copy: Path, tmp_path: Path) -> None:
    suite = ElementTree.parse(made / "b.xml").getroot()[0]
    names = [case.get("name") or "" for case in suite]
    assert names[0] == "verdict" and any(name.endswith(".spikes") for name in names)
    assert suite.get("failures") == "0" and int(suite.get("tests") or 0) == len(names) > 4
    one_spike_more(copy / "sim.trace.h5")
    traces = [str(made / "b" / "sim.trace.h5"), str(copy / "sim.trace.h5")]
    assert run(["compare", *traces, "--junit", str(tmp_path / "c.xml")]) == 1
    failed = [case for case in ElementTree.parse(tmp_path / "c.xml").getroot()[0] if case.find("failure") is not None]
    assert len(failed) == 1 and "first of all" in (failed[0].find("failure").get("message") or "")  # type: ignore[union-attr]
