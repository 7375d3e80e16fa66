"""explain finds the format that costs, in the layer where it does, and proposes what helps."""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from rich.console import Console

import neuro_deploy as nd
from neuro_deploy.cli import run as cli
from neuro_deploy.errors import BackendError, InputError, UnsupportedError
from neuro_deploy.explanation import FORMATS, Effect, Explanation, Proposal, explain
from neuro_deploy.explanation.advice import choose
from neuro_deploy.files import write_npz
from neuro_deploy.report.explain_table import explanation_table

X = networks.pixels(6, 40, 12)
LABEL = np.arange(40) % 5
READOUT = {"population": "lif", "rule": "spike_count"}


def study(**options: Any) -> Explanation:
    return explain(networks.chain(seed=6, readout=READOUT), "loihi2", X, LABEL, options=options)


@pytest.fixture(scope="module")
def narrow() -> Explanation:
    return study(weight_bits=3)


def costs(found: Explanation) -> dict[str, int]:
    return {f.name: f.alone.differing for f in found.formats}


def test_the_costs_are_those_of_sim_and_the_reference(narrow: Explanation) -> None:
    graph = networks.chain(seed=6, readout=READOUT)
    program = nd.compile(graph, "loihi2", weight_bits=3, max_steps=6)
    sim, exact = nd.simulate(program, X, "sim"), nd.simulate(graph, X, "reference", ("spikes", "v"))
    told = nd.compare(exact, sim, readout=program.readout, labels=LABEL)
    assert narrow.unlike_reference == 0
    assert narrow.chip.differing == told.differing_spikes > 0
    assert dict(narrow.chip.layers) == {
        s.population: s.differing_spikes for s in told.statistics if s.differing_spikes is not None
    }
    assert told.decisions and (narrow.chip.agreeing, narrow.chip.correct) == (
        told.decisions.agreeing,
        told.decisions.correct_b,
    )
    assert narrow.exact == Effect(0, dict.fromkeys(narrow.chip.layers, 0), 40, told.decisions.correct_a)
    assert narrow.fired == sum(int((exact.populations[p].data["spikes"] != 0).sum()) for p in narrow.chip.layers)


def test_narrow_weights_are_to_blame(narrow: Explanation) -> None:
    found = costs(narrow)
    assert set(found) == set(FORMATS) and narrow.formats[0].name == "weights"
    assert found["weights"] > 5 * max(n for name, n in found.items() if name != "weights")
    weights = narrow.formats[0]
    assert weights.without.differing < narrow.chip.differing / 5
    assert set(weights.layers) == {"cf1", "cf2", "lif"} and weights.layers["lif"].layers["cf1"] == 0
    assert weights.layers["cf1"].layers["cf1"] > 0
    chosen = narrow.proposals[narrow.chosen or 0]
    assert "--weight-bits 8" in chosen.command and chosen.removes is not None and chosen.removes > 0.5
    finer = [p for p in narrow.proposals if "more weight bit" in p.what]
    assert len(finer) == 3 and not any(p.possible for p in finer) and finer[-1].removes is not None
    assert "most by weights" in narrow.sentence and "Proposed: 8 bits for all weights" in narrow.sentence


def test_a_narrow_input_is_to_blame() -> None:
    found = study(input_bits=2)
    assert found.formats[0].name == "input" and set(found.formats[0].layers) == {"input"}
    assert found.chosen is not None and "--input-bits 4" in found.proposals[found.chosen].command


def test_a_coarse_leak_is_to_blame() -> None:
    """A target whose leak has 3 bits."""
    target = nd.load_target("loihi2")
    state = target.state.model_copy(update={"decay_bits": target.state.decay_bits.model_copy(update={"value": 3})})
    coarse = target.model_copy(update={"state": state})
    found = explain(networks.chain(seed=6), coarse, X, reference=False)
    assert found.formats[0].name == "leak" and found.unlike_reference is None
    assert found.formats[0].alone.agreeing is not None and found.chip.correct is None
    assert found.chosen == len(found.proposals) - 1 and "--chip" in found.proposals[-1].command
    assert found.proposals[-1].effect is None


def test_the_choice() -> None:
    def made(removes: float | None, possible: bool = True, correct: int = 9) -> Proposal:
        effect = None if removes is None else Effect(1, {}, 10, correct)
        return Proposal("", "", possible, effect, removes)

    runs = Effect(10, {}, 10, 8), Effect(0, {}, 10, 9)
    assert choose([], *runs) is None
    assert choose([made(0.4), made(0.6), made(0.9), made(None)], *runs) == 1
    assert choose([made(0.9, possible=False), made(0.9, correct=7), made(None)], *runs) == 2
    assert choose([made(0.9, correct=8), made(None)], *runs[::-1]) == 0


def test_what_cannot_be_explained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuro_deploy.explanation import mixed

    with pytest.raises(InputError, match="give an input"):
        explain(networks.chain())
    with pytest.raises(InputError, match="labels: at least 40 integers"):
        explain(networks.chain(), "loihi2", X, LABEL[:3])
    with monkeypatch.context() as patch:
        patch.setattr(
            mixed, "part", lambda kind, name: importlib.import_module(f"neuro_deploy.neurons.no_{kind}.{name}")
        )
        with pytest.raises(UnsupportedError, match=r"cf1: kind 'cf' has no mixed\.py(?s:.*)lif: kind 'lif'"):
            explain(networks.chain(), "loihi2", X)
    monkeypatch.setattr(mixed, "SLACK", 0.9)
    with pytest.raises(BackendError, match="all number formats on is not what sim gives"):
        explain(networks.chain(seed=6), "loihi2", X)


def test_the_table_and_the_report(narrow: Explanation, tmp_path: Path) -> None:
    from neuro_deploy.report.explain_html import write_explanation

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(explanation_table(narrow))
    text = console.export_text()
    assert "on alone: spikes" in text and "all but this one" in text and "8 bits for all weights" in text
    assert f"{narrow.chip.differing:,}" in text
    evil = "</script><script>alert(1)</script>"
    named = replace(narrow, formats=(*narrow.formats[:-1], replace(narrow.formats[-1], name=evil)))
    write_explanation(tmp_path / "why.html", named, title=evil, command="x")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert evil not in page and "<script" not in page and "<svg" in page
    drawn = dict(re.findall(r"<title>([^<]*): ([0-9,]+)</title></rect>", page))
    for f in narrow.formats[:-1]:
        assert drawn[f"{f.name}, on alone"] == f"{f.alone.differing:,}"
        assert drawn[f"{f.name}, all on but this one"] == f"{f.without.differing:,}"
    layered = [f for f in narrow.formats[:-1] if f.layers]
    assert layered
    for f in layered:
        for layer, effect in f.layers.items():
            assert drawn[f"{layer}, {f.name}"] == f"{effect.differing:,}"


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH: explain's report was not opened in a browser")
def test_the_chart_is_drawn_in_a_browser(narrow: Explanation, tmp_path: Path) -> None:
    from neuro_deploy.report.explain_html import write_explanation

    assert BROWSER
    write_explanation(tmp_path / "why.html", narrow, title="t", command="x")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, *flags, profile, "--dump-dom", (tmp_path / "why.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert "CONSOLE" not in done.stderr and done.stdout.count("</title></rect>") > 2 * len(FORMATS)
    assert "all on but this one" in done.stdout and "1,124" in done.stdout


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nd.write_nir(networks.chain(seed=6, readout=READOUT), "net.nir")
    write_npz("x.npz", input=X, label=LABEL)
    arguments = ["explain", "net.nir", "--target", "loihi2", "--input", "x.npz", "--samples", "8", "--weight-bits", "4"]
    assert cli([*arguments, "--report", "why.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["samples"] == 8 and told["formats"][0]["name"] == "weights" and "on alone" in Path("why.html").read_text()
    )
    assert cli(arguments) == 0
    assert "What would help, the cheapest first" in capsys.readouterr().out
    verify = ["verify", *arguments[1:6], "--lava-samples", "0", "--explain"]
    assert cli(verify) == 2
    assert "--explain goes into a report" in capsys.readouterr().err
    assert cli([*verify, "--report", "all.html"]) == 0
    page = Path("all.html").read_text()
    assert "Number formats, layer by layer" in page and "weights, on alone: " in page
    assert cli(["explain", "net.nir"]) == 2
    assert cli([*arguments[:-4], "--samples", "0"]) == 2
