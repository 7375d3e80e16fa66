"""CF in Lava: a process of ours, written from the equations of docs/semantics.md.

It shares no function with integer.py or the simulator, so that the agreement of the two proves something: here the
potential goes round in a loop over k.  See neurons/lava.py for the interface.

    u = wrap( sgn(u) * ((|u| * (4095 - du)) >> 12) + (a << 6) )           with a current: int32, then into (-2^23, 2^23]
    h = clip( sgn(v) * ((|v| * (4096 - dv)) >> 12) + x + bias )           x = u, or a << 6;  +-(2^23 - 1)
    s = #{k in 1..K : h > k * theta} - #{k in 1..K_neg : h < -k * theta_neg}              theta = vth << 6
    v = h - s * theta_reset   (s >= 0),   h - s * theta_neg   (s < 0)                     theta_reset: theta if absent
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from ..lava import Body, each

WITNESS = "our circulate-firing process in Lava"

V_MAX = 2**23 - 1
U_TOP = 2**23


class CirculateFire(AbstractProcess):  # type: ignore[misc]
    """The circulate-firing neuron.  shape: (N,); the others: one per neuron.

    leak: what v is multiplied with in a step; 4096 - dv in fixed point (over 4096), beta in float.   taken: what one
    positive spike takes from the potential, in its own units.
    """

    def __init__(self, *, shape: tuple[int, ...], **per_neuron: NDArray[Any]) -> None:
        super().__init__(shape=shape)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.h = Var(shape=shape, init=0)
        self.bias_mant = Var(shape=shape, init=0)
        self.bias_exp = Var(shape=shape, init=per_neuron["bias_exp"])
        self.leak = Var(shape=shape, init=per_neuron["leak"])
        self.vth = Var(shape=shape, init=per_neuron["vth"])
        self.vth_neg = Var(shape=shape, init=per_neuron["vth_neg"])
        self.taken = Var(shape=shape, init=per_neuron["taken"])
        self.rounds = Var(shape=shape, init=per_neuron["rounds"])
        self.rounds_neg = Var(shape=shape, init=per_neuron["rounds_neg"])


class CurrentFire(CirculateFire):
    """The circulate-firing neuron with a synaptic current.

    leak_u: what u is multiplied with in a step; 4095 - du in fixed point (over 4096), beta_syn in float.
    """

    def __init__(self, *, shape: tuple[int, ...], leak_u: NDArray[Any], **per_neuron: NDArray[Any]) -> None:
        super().__init__(shape=shape, **per_neuron)
        self.u = Var(shape=shape, init=0)
        self.leak_u = Var(shape=shape, init=leak_u)


class _Firing(PyLoihiProcessModel):  # type: ignore[misc]
    """The part that integers and floats have in common: going round through the threshold."""

    s_out_buff: NDArray[Any]
    rounds: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64)
    rounds_neg: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64)

    def fire(self, theta: NDArray[Any], theta_neg: NDArray[Any]) -> None:
        """Spikes from h, and the potential that is left."""
        spikes = np.zeros(self.h.shape, np.int32)
        for k in range(1, int(self.rounds.max()) + 1):
            spikes[(self.h > k * theta) & (k <= self.rounds)] += 1
        for k in range(1, int(self.rounds_neg.max()) + 1):
            spikes[(self.h < -k * theta_neg) & (k <= self.rounds_neg)] -= 1
        self.v[:] = self.h - spikes * np.where(spikes < 0, theta_neg, self.taken)
        self.s_out_buff = spikes
        self.s_out.send(spikes)


@implements(proc=CirculateFire, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedCirculateFire(_Firing):
    """Integers: registers of 24 bits, a leak of 12 bits rounded toward zero."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    v: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=24)
    h: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=24)
    bias_mant: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=13)
    bias_exp: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=3)
    leak: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64)
    vth: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=17)
    vth_neg: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=17)
    taken: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=24)

    def drive(self) -> NDArray[np.int64]:
        """x of this step: what arrives."""
        arrived: NDArray[np.int64] = self.a_in.recv().astype(np.int64) * 64
        return arrived

    def run_spk(self) -> None:
        """One step."""
        h = _kept(self.v, self.leak) + self.drive() + self.bias_mant * 2**self.bias_exp
        self.h[:] = np.minimum(np.maximum(h, -V_MAX), V_MAX)
        self.fire(self.vth * 64, self.vth_neg * 64)


class FixedCurrentFire(FixedCirculateFire):
    """The same with a current of 24 bits, which wraps as in Lava's LIF."""

    u: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64, precision=24)
    leak_u: NDArray[np.int64] = LavaPyType(np.ndarray, np.int64)

    def drive(self) -> NDArray[np.int64]:
        """x of this step: the current."""
        u = _kept(self.u, self.leak_u) + super().drive()
        u = (u + 2**31) % 2**32 - 2**31
        u = np.where(u > U_TOP, u - 2 * U_TOP, u)
        self.u[:] = np.where(u <= -U_TOP, u + 2 * U_TOP, u)
        return self.u


@implements(proc=CirculateFire, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FloatCirculateFire(_Firing):
    """float64: h = leak * v + a + bias."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    h: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    bias_mant: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    bias_exp: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    leak: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    vth: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    vth_neg: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    taken: NDArray[np.float64] = LavaPyType(np.ndarray, float)

    def drive(self) -> NDArray[np.float64]:
        """x of this step: what arrives."""
        arrived: NDArray[np.float64] = self.a_in.recv()
        return arrived

    def run_spk(self) -> None:
        """One step."""
        self.h[:] = self.leak * self.v + self.drive() + self.bias_mant
        self.fire(self.vth, self.vth_neg)


class FloatCurrentFire(FloatCirculateFire):
    """The same with a current: u = leak_u * u + a."""

    u: NDArray[np.float64] = LavaPyType(np.ndarray, float)
    leak_u: NDArray[np.float64] = LavaPyType(np.ndarray, float)

    def drive(self) -> NDArray[np.float64]:
        """x of this step: the current."""
        self.u[:] = self.leak_u * self.u + super().drive()
        return self.u


def _kept(register: NDArray[np.int64], factor: NDArray[np.int64]) -> NDArray[np.int64]:
    """register * factor / 4096, toward zero."""
    size = np.abs(register) * factor // 4096
    return np.where(register < 0, -size, size)


def fixed(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with integer parameters, each a scalar () or one per neuron (N,)."""
    values = {name: each(params[name], size) for name in ("rounds", "rounds_neg", "vth", "vth_neg", "bias_exp")}
    values["leak"] = each(4096 - params["dv"], size)
    values["taken"] = each(params["theta_reset"], size) if "theta_reset" in params else values["vth"] * 64
    if "du" not in params:
        return Body(CirculateFire(shape=(size,), **values), FixedCirculateFire, ("v",), ("v", "h"), WITNESS)
    process = CurrentFire(shape=(size,), leak_u=each(4095 - params["du"], size), **values)
    return Body(process, FixedCurrentFire, ("u", "v"), ("v", "h", "u"), WITNESS)


def floating(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with float parameters; a drift is part of its bias."""
    values = {
        "rounds": each(params["circulations"], size),
        "rounds_neg": each(params["circulations_neg"], size),
        "leak": each(params["beta"], size),
        "vth": each(params["theta"], size),
        "vth_neg": each(params["theta_neg"], size),
        "taken": each(params["theta_reset" if "theta_reset" in params else "theta"], size),
        "bias_exp": each(0, size),
    }
    if "beta_syn" not in params:
        return Body(CirculateFire(shape=(size,), **values), FloatCirculateFire, ("v",), ("v", "h"), WITNESS)
    process = CurrentFire(shape=(size,), leak_u=each(params["beta_syn"], size), **values)
    return Body(process, FloatCurrentFire, ("u", "v"), ("v", "h", "u"), WITNESS)
