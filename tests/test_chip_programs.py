"""Any drawn program in torch is the chip: every number of every step, whatever is connected with whom, and how."""

from __future__ import annotations

from collections import Counter
from typing import Any

import fast_programs
import lava_programs
import numpy as np
import pytest
import torch
from lava_drafts import random_draft

from neuro_deploy.engine import Request, plain
from neuro_deploy.program import ChipProgram
from neuro_deploy.target import load_target
from neuro_deploy.train.chip import Chip

LOIHI2 = load_target("loihi2")
VARIABLES = ("spikes", "v", "h", "u")


def run(chip: Chip, x: np.ndarray) -> tuple[ChipProgram, dict[str, dict[str, np.ndarray]], plain.Execution]:
    """The trained program, what the forward pass gives for x (T, B, *shape), and what the definition does."""
    program = chip.program()
    q, _ = program.encode(x)
    done = plain.run(program, q, Request(len(x), VARIABLES))
    return program, chip.record(x), done


def differing(program: ChipProgram, found: Any, done: Any, steps: int) -> list[str]:
    """Populations and variables that differ in a logical step."""
    wrong = []
    for p in program.populations:
        rows = slice(p.latency, p.latency + steps)
        for variable, got in found[p.name].items():
            want = done.data[p.name][variable][rows]
            if not np.array_equal(got.reshape(want.shape), want):
                wrong.append(f"{p.name}.{variable}")
        assert found[p.name].keys() == done.data[p.name].keys()
    return wrong


def shaken(chip: Chip, seed: int, steps: float = 20.0) -> Chip:
    """Other weights and biases, some of them beyond their clips.  steps: of a weight, the standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in chip.weights.items():
            weight += torch.randn(weight.shape, generator=generator) * chip.synapse(name).size.float().mean() * steps
        for bias in chip.biases.values():
            bias += torch.randn(bias.shape, generator=generator) * (steps * 0.15)
    return chip


def drawn(kind: str, seed: int) -> tuple[ChipProgram, np.ndarray]:
    """A random program and input for it, (T, B, *shape)."""
    if kind == "fast":
        rng = np.random.default_rng(seed)
        case = fast_programs.program(rng, fast_programs.some_registers(rng) if seed % 4 == 3 else fast_programs.LOIHI)
        encoder = case.encoders[0]
        q = fast_programs.spikes_in(rng, encoder, 7, 3)
        return case, q.reshape(7, 3, *encoder.shape).astype(np.float64)
    draft = random_draft(seed)
    return lava_programs.program(draft), lava_programs.spikes_in(draft, 8, 3)


@pytest.mark.parametrize("kind", ["fast", "lava"])
def test_the_forward_pass_of_any_program_is_the_chip(kind: str) -> None:
    met: Counter[str] = Counter()
    for seed in range(60):
        case, x = drawn(kind, seed)
        chip = Chip(case, LOIHI2)
        chip = shaken(chip, seed) if seed % 2 else chip
        program, found, done = run(chip, x)
        assert differing(program, found, done, len(x)) == [], seed
        met += fast_programs.features(program)
        met["logical"] += not chip.schedule.more
        met["every row"] += chip.schedule.more > 0
        for p in program.populations:
            met.update({event: n > 0 for event, n in done.counters[p.name].items()})
            values = found[p.name]["spikes"]
            met[f"{p.kind} is read"] += 1
            met[f"{p.kind} fires"] += bool(values.any())
            met.update({f"spike {k}": bool((values == k).any()) for k in (-1, 1, 2, 3)})
            if "vth" in p.params:
                theta = p.params["vth"] << program.registers.threshold_shift
                met["h == theta"] += bool((done.data[p.name]["h"] == theta).any())
        for group in chip.schedule.groups:
            met["loop of several"] += len(group.names) > 1
    wanted = ("dense", "sparse", "conv", "feedback", "delay", "exponent < 0", "exponent > 0", "grouped", "strided")
    wanted += ("dilated", "padded", "several synapses", "cf", "lif", "li", "cf with u", "v_reset", "theta_reset")
    wanted += ("a_wraps", "u_wraps", "v_clips", "cf fires", "lif fires", "spike -1", "spike 1", "spike 2", "spike 3")
    wanted += ("h == theta", "every row", *(("loop of several", "logical") if kind == "fast" else ()))
    assert not [name for name in wanted if not met[name]], met
