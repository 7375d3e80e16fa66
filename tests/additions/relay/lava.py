"""Relay in Lava."""

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

from ..lava import Body, each


class Relay(AbstractProcess):
    def __init__(self, *, shape: tuple[int, ...], vth: Any, bias_exp: Any) -> None:
        super().__init__(shape=shape)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.bias_mant = Var(shape=shape, init=0)
        self.bias_exp = Var(shape=shape, init=bias_exp)
        self.vth = Var(shape=shape, init=vth)


@implements(proc=Relay, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedRelay(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64)
    bias_mant: np.ndarray = LavaPyType(np.ndarray, np.int64)
    bias_exp: np.ndarray = LavaPyType(np.ndarray, np.int64)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        self.v[:] = self.a_in.recv().astype(np.int64) * 64 + self.bias_mant * 2**self.bias_exp
        self.s_out_buff = (self.v > self.vth * 64).astype(np.int32)
        self.s_out.send(self.s_out_buff)


def fixed(size: int, params: Mapping[str, Any]) -> Body:
    process = Relay(shape=(size,), vth=each(params["vth"], size), bias_exp=each(params["bias_exp"], size))
    return Body(process, FixedRelay, ("v",), ("v",), "a relay in Lava")
