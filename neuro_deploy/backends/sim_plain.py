"""The simulator's definition, in numpy: what "sim" must equal, slower."""

from __future__ import annotations

from ..engine import simulate_plainly
from .sim import Sim

BACKEND = Sim("sim-plain", simulate_plainly)
