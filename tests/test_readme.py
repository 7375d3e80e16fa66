"""What the README says works as it is written (with a shorter training run)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from neuro_deploy.cli import run

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.lava
def test_the_road_in_single_commands_and_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("neuro_deploy ")]
    assert len(commands) >= 9
    for line in commands:
        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] == "train":
            arguments += ["--set", "chip.epochs=2" if "--chip" in arguments else "training.epochs=4"]
        assert run(arguments) == 0, (line, capsys.readouterr().err)
    capsys.readouterr()
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("equal: ") and float(said[1]) > 0.9


@pytest.mark.lava
def test_your_own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = blocks("python")[1]
    names = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    exec(compile(blocks("python")[2], "README.md", "exec"), names)
    command = re.search(r"# then: neuro_deploy (.*)", block)
    assert command is not None
    assert run([*command.group(1).split(), "--lava-samples", "10"]) == 0
