"""Networks outside the safe subset: one for each rule of docs/semantics.md by which the models of Loihi disagree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cases import Drawn, program_of
from executors import run_sim

from neuro_deploy.program import DenseSynapse, Population

STEPS = 20


@dataclass(frozen=True)
class Outside:
    """A rule's network.  differ: the witnesses whose spikes are not sim's.  equal: those whose every number is."""

    drawn: Drawn
    differ: tuple[str, ...]
    equal: tuple[str, ...]


def _drawn(
    rule: str, weight: list[int], exponent: int, fired: list[list[int]], vth: int, leaks: tuple[int, int], bias: int = 0
) -> Drawn:
    """One neuron.  fired: per input the steps of its spikes.  leaks: du, dv.  bias: mantissa; its exponent is 7."""
    x = np.zeros((STEPS, 1, len(weight)))
    for source, steps in enumerate(fired):
        x[steps, 0, source] = 1
    params = {"du": leaks[0], "dv": leaks[1], "vth": vth, "bias_mant": bias, "bias_exp": 7}
    neuron = Population("p0", "lif", (1,), {k: np.asarray(v) for k, v in params.items()}, 1, np.asarray(1.0))
    synapse = DenseSynapse("in-p0", "in", "p0", np.array([weight], np.int32), exponent)
    program = program_of(len(weight), [neuron], [synapse])
    return Drawn(f"outside-{rule}", program, x, run_sim(program, x))


def outside() -> dict[str, Outside]:
    """Rule -> its network."""
    nengo, brian, lava = "nengo_loihi", "brian2_loihi", "lava"
    early, late = list(range(8)), list(range(8, 16))
    none = (4095, 4095)
    return {
        # 2 * 255 << 7 = 65280 > 2^15: nengo-loihi's accumulator of 21 bits and sign wraps to a negative sum.
        "accumulator": Outside(
            _drawn("accumulator", [255, 255], 7, [[0, 5], [0, 5]], 40000, none), (nengo,), (lava, brian)
        ),
        # u grows by 255 << 13 a step, past 2^23 in step 5: brian2-loihi has no limit, the others wrap.
        "u": Outside(_drawn("u", [255], 7, [early], (1 << 17) - 1, (0, 4095)), (brian,), (lava, nengo)),
        # u + bias passes 2^23 and u does not: nengo-loihi wraps the sum, Lava clips the potential; brian2 has no bias.
        "u + bias": Outside(
            _drawn("u + bias", [255], 7, [early[:4]], (1 << 17) - 1, (0, 4095), 4095), (nengo,), (lava,)
        ),
        # v falls to -8 * 255 << 13 < -2^23 and rises as far again: clipped, it comes up to fire, in brian2-loihi not.
        "v": Outside(_drawn("v", [-254, 254], 7, [early, late], 100, (4095, 0)), (brian,), (lava, nengo)),
        # Four weights of 1 at exponent -1: half their sum is 2, the sum of their halves is 0.
        "negative exponent": Outside(
            _drawn("negative exponent", [1] * 4, -1, [[0, 3]] * 4, 1, none), (nengo, brian), (lava,)
        ),
        # 5 beside a negative weight: nengo-loihi rounds it half to even, brian2-loihi toward zero, both to 4; our
        # Lava backend refuses what Lava would round.
        "odd weight in mixed mode": Outside(
            _drawn("odd weight in mixed mode", [5, -1], 0, [[0, 3], []], 4, none), (nengo, brian), ()
        ),
        # -256 in mixed mode: nengo-loihi's host clips to -254.
        "-256 in mixed mode": Outside(
            _drawn("-256 in mixed mode", [-256, 254, 4], 0, [[0], [1], [2]], 3, (4095, 0)), (nengo,), (lava, brian)
        ),
    }
