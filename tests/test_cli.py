"""The command line on good and bad input: exit codes, one clear error, no traceback, no file destroyed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import networks
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.files import write_npz

COMMANDS = ("demo", "train", "export", "import", "compile", "simulate", "compare", "verify", "inspect")
COMMANDS += ("explain", "shrink", "margins", "datasets", "targets", "models", "doctor", "install-lava")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, its input, and an old output file that must survive."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    nd.write_nir(networks.chain(), "net.nir")
    write_npz("x.npz", input=networks.pixels(6, 8, 12), label=np.arange(8) % 5)
    write_npz("narrow.npz", input=networks.pixels(6, 8, 11))
    Path("old.txt").write_text("precious")
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Run a command that must fail; returns its error text."""
    capsys.readouterr()
    assert run(arguments) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text and text.strip()
    assert "internal error" not in text
    return " ".join(text.split())


def test_compile_simulate_compare_inspect(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile", "net.nir", "--target", "loihi2", "--out", "p.program.h5"]) == 0
    for out in ("a", "b"):
        arguments = [
            "simulate",
            "p.program.h5",
            "--input",
            "x.npz",
            "--out",
            f"{out}.trace.h5",
            "--record",
            "spikes,v,h,u",
        ]
        assert run(arguments) == 0
    assert "accuracy" in capsys.readouterr().out
    assert run(["compare", "a.trace.h5", "b.trace.h5", "--report", "r.html"]) == 0
    assert "<html" in Path("r.html").read_text()[:2000]
    assert Path("a.trace.h5").read_bytes() == Path("b.trace.h5").read_bytes()
    assert run(["simulate", "net.nir", "--input", "x.npz", "--backend", "reference", "--out", "f.trace.h5"]) == 0
    capsys.readouterr()
    assert run(["compare", "a.trace.h5", "f.trace.h5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["equal"] is False
    for name, seen in (("net.nir", "cf2"), ("p.program.h5", "loihi2"), ("a.trace.h5", "lif")):
        assert run(["inspect", name]) == 0
        assert seen in capsys.readouterr().out
        assert run(["inspect", name, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["kind"] in name and seen in json.dumps(told)
    assert told["populations"]["cf1"]["v"]["shape"] == [9, 8, 20] and told["numbers"] == "integer"


def test_verify_without_lava(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", "net.nir", "--input", "x.npz", "--lava-samples", "0", "--report", "v.html", "--json"]
    assert run(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["lava_samples"] == 0 and told["passed"] is False
    assert told["accuracy"].keys() == {"float", "sim"}


def test_help_has_an_example_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        run([command, "--help"])
        assert f"Example: neuro_deploy {command}" in " ".join(capsys.readouterr().out.split()), command


def test_files_that_are_not_what_they_should_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", "old.txt")
    Path("text.nir").write_text("hello")
    whole = Path("net.nir").read_bytes()
    Path("cut.nir").write_bytes(whole[: len(whole) // 2])
    assert "text.nir: not a NIR file" in fails(capsys, "compile", "text.nir", *out)
    assert "cut.nir: not a NIR file" in fails(capsys, "compile", "cut.nir", *out)
    assert "absent.nir: cannot be read" in fails(capsys, "compile", "absent.nir", *out)
    assert "x.npz" in fails(capsys, "inspect", "x.npz")
    assert "net.nir: not a trace" in fails(capsys, "compare", "net.nir", "net.nir")
    assert "runs a ChipProgram" in fails(capsys, "simulate", "net.nir", "--input", "x.npz", *out)
    assert "not an .npz" in fails(capsys, "simulate", "net.nir", "--backend", "reference", "--input", "text.nir", *out)
    assert Path("old.txt").read_text() == "precious"
    assert Path("net.nir").read_bytes() == whole


def test_wrong_values(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", "old.txt")
    assert run(["compile", "net.nir", "--out", "p.program.h5"]) == 0
    text = fails(capsys, "simulate", "p.program.h5", "--input", "narrow.npz", *out)
    assert "expected shape (T, B, 12), got (6, 8, 11)" in text
    text = fails(capsys, "simulate", "net.nir", "--backend", "reference", "--input", "narrow.npz", *out)
    assert "expected shape (T, B, 12), got (6, 8, 11)" in text
    assert "did you mean loihi2" in fails(capsys, "compile", "net.nir", "--target", "lohi2", *out)
    assert "did you mean lava" in fails(
        capsys, "simulate", "p.program.h5", "--backend", "lva", "--input", "x.npz", *out
    )
    assert "samples must be in [1, 8]" in fails(
        capsys, "simulate", "p.program.h5", "--samples", "9", "--input", "x.npz", *out
    )
    assert "cannot record w" in fails(capsys, "simulate", "p.program.h5", "--record", "w", "--input", "x.npz", *out)
    broken = networks.chain()
    broken.nodes["fc2"].weight[0, 0] = np.nan
    nd.write_nir(broken, "nan.nir")
    assert "fc2: weight holds 1 values that are NaN" in fails(capsys, "compile", "nan.nir", *out)
    assert "scale must be one of" in fails(capsys, "compile", "net.nir", "--scale", "big", *out)
    assert "No such option" in fails(capsys, "compile", "net.nir", "--nonsense")
    assert Path("old.txt").read_text() == "precious"


def test_outputs_that_cannot_be_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    assert "is a directory" in fails(capsys, "compile", "net.nir", "--out", "folder")
    assert "cannot be written" in fails(capsys, "compile", "net.nir", "--out", "old.txt/p.h5")
    assert Path("old.txt").read_text() == "precious" and not any(Path("folder").iterdir())


def test_outputs_are_never_inputs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile", "net.nir", "--out", "p.program.h5"]) == 0
    assert run(["simulate", "p.program.h5", "--input", "x.npz", "--out", "t.trace.h5"]) == 0
    before = {p.name: p.read_bytes() for p in here.iterdir()}
    Path("link.h5").symlink_to("p.program.h5")
    for command in (
        "compile net.nir --out net.nir",
        "simulate p.program.h5 --input x.npz --out p.program.h5",
        "simulate p.program.h5 --input x.npz --out x.npz",
        "simulate link.h5 --input x.npz --out p.program.h5",
        "compare t.trace.h5 t.trace.h5 --report t.trace.h5",
        "verify net.nir --input x.npz --lava-samples 0 --report x.npz",
    ):
        assert "is an input of this command" in fails(capsys, *command.split())
    twice = fails(capsys, "inspect", "net.nir", "--svg", "drawn", "--png", str(here / "drawn"))
    assert "two outputs of this command have this path" in twice and not Path("drawn").exists()
    assert {name: Path(name).read_bytes() for name in before} == before
    assert "positive number of seconds" in fails(
        capsys,
        *["simulate", "p.program.h5", "--input", "x.npz", "--backend", "lava", "--timeout", "nan", "--out", "y.h5"],
    )


def test_damaged_archives_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Path("x.npz").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for where in rng.integers(0, len(whole), 3):
            damaged[where] = rng.integers(256)
        Path("damaged.npz").write_bytes(damaged)
        code = run(["verify", "net.nir", "--input", "damaged.npz", "--lava-samples", "0", "--json"])
        err = capsys.readouterr().err
        assert code in (0, 2) and "internal error" not in err and "Traceback" not in err, err


def test_a_full_disk_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The write itself fails: the old file stays, nothing else is left."""
    before = sorted(p.name for p in here.iterdir())

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert "No space left on device" in fails(capsys, "compile", "net.nir", "--out", "old.txt")
    assert Path("old.txt").read_text() == "precious" and sorted(p.name for p in here.iterdir()) == before


def test_unknown_recipes_and_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "digits_mlp" in fails(capsys, "train", "digit_mlp", "--out", "run")
    assert "old.txt" in fails(capsys, "train", "digits_mlp", "--out", "old.txt")
    assert "did you mean" in fails(capsys, "train", "digits_mlp", "--out", "run", "--set", "training.epoch=1")
    assert "folder" in fails(capsys, "export", "folder", "--nir", "n.nir")
    assert "not empty" in fails(capsys, "demo", "--out", str(here))
    assert Path("old.txt").read_text() == "precious"


def test_what_is_no_network_is_told_what_to_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/run.json").write_text("{}")
    Path("b").mkdir()
    Path("b/bundle.json").write_text("{}")
    for command in ("verify", "explain", "inspect", "shrink"):
        more = ["--out", "o.h5"] if command == "shrink" else []
        assert "neuro_deploy export run --nir" in fails(capsys, command, "run", *more)
        assert "cannot be read" in fails(capsys, command, "no/such.nir", *more)
    assert "neuro_deploy verify b" in fails(capsys, "inspect", "b")


def test_an_interrupted_training_run_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the middle: one line with the remedy; export refuses; --resume ends as if nothing had happened."""
    small = ["--set", "training.epochs=6", "--set", "network.args.hidden=[20, 12]"]
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
    code += "from neuro_deploy.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "digits_mlp", *small]
    process = subprocess.Popen([*command, "--out", "run"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    metrics = Path("run/metrics.jsonl")
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= 2:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.005)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume" in err and "Traceback" not in err
    assert "--resume" in fails(capsys, "export", "run", "--nir", "n.nir")
    assert "--resume" in fails(capsys, "train", "digits_mlp", *small, "--out", "run")
    assert run(["train", "digits_mlp", *small, "--out", "run", "--resume"]) == 0
    assert run(["train", "digits_mlp", *small, "--out", "whole"]) == 0
    assert run(["export", "run", "--nir", "a.nir"]) == 0
    assert run(["export", "whole", "--nir", "b.nir"]) == 0
    assert Path("a.nir").read_bytes() == Path("b.nir").read_bytes()


def test_internal_errors_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[str, ...]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("neuro_deploy.cli.machine.target_names", broken)
    assert run(["targets"]) == 2
    err = capsys.readouterr().err
    assert "internal error (ZeroDivisionError: oops)" in err and "Traceback" not in err
    monkeypatch.setitem(os.environ, "NEURO_DEPLOY_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run(["targets"])
