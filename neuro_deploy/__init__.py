"""neuro_deploy: take a spiking network from PyTorch training to Loihi-class hardware, with a proof at every border.

    import neuro_deploy as nd
    graph = nd.export_nir(model, ...)            torch -> NIR
    program = nd.compile(graph, target="loihi2") NIR -> integers for a chip
    trace = nd.simulate(program, x, backend="sim")
    nd.compare(trace, other).equal

Names are resolved when they are first used: importing this package loads neither torch nor Lava.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .shown import teach

__version__ = "0.1.0"

_HOMES = {
    "nn": "neuro_deploy.train.nn",
    "export_nir": "neuro_deploy.proof",
    "to_chip": "neuro_deploy.chip",
    "import_nir": "neuro_deploy.backends.reference",
    "from_sinabs": "neuro_deploy.adapters.sinabs",
    "from_spikingjelly": "neuro_deploy.adapters.spikingjelly",
    "from_norse": "neuro_deploy.adapters.norse",
    "to_norse": "neuro_deploy.adapters.norse",
    "from_snntorch": "neuro_deploy.adapters.snntorch",
    "to_snntorch": "neuro_deploy.adapters.snntorch",
    "import_net": "neuro_deploy.lava_dl",
    "read_nir": "neuro_deploy.graph",
    "assume": "neuro_deploy.graph",
    "read_as": "neuro_deploy.graph.conventions",
    "normalize": "neuro_deploy.graph.normalize",
    "InputRange": "neuro_deploy.graph",
    "write_nir": "neuro_deploy.graph",
    "compile": "neuro_deploy.lower",
    "simulate": "neuro_deploy.backends",
    "compare": "neuro_deploy.comparison",
    "diagnose": "neuro_deploy.explanation",
    "explain": "neuro_deploy.explanation",
    "shrink": "neuro_deploy.shrinking",
    "margins": "neuro_deploy.comparison.margins",
    "estimate": "neuro_deploy.estimates",
    "load_program": "neuro_deploy.program",
    "save_program": "neuro_deploy.program",
    "load_trace": "neuro_deploy.trace",
    "save_trace": "neuro_deploy.trace",
    "load_target": "neuro_deploy.target",
    "NeuroDeployError": "neuro_deploy.errors",
}
_MODULES = ("nn",)

if TYPE_CHECKING:
    from .adapters.norse import from_norse as from_norse
    from .adapters.norse import to_norse as to_norse
    from .adapters.sinabs import from_sinabs as from_sinabs
    from .adapters.snntorch import from_snntorch as from_snntorch
    from .adapters.snntorch import to_snntorch as to_snntorch
    from .adapters.spikingjelly import from_spikingjelly as from_spikingjelly
    from .backends import simulate as simulate
    from .backends.reference import import_nir as import_nir
    from .chip import to_chip as to_chip
    from .comparison import compare as compare
    from .comparison.margins import margins as margins
    from .errors import NeuroDeployError as NeuroDeployError
    from .estimates import estimate as estimate
    from .explanation import diagnose as diagnose
    from .explanation import explain as explain
    from .graph import InputRange as InputRange
    from .graph import assume as assume
    from .graph import read_nir as read_nir
    from .graph import write_nir as write_nir
    from .graph.conventions import read_as as read_as
    from .graph.normalize import normalize as normalize
    from .lava_dl import import_net as import_net
    from .lower import compile as compile
    from .program import load_program as load_program
    from .program import save_program as save_program
    from .proof import export_nir as export_nir
    from .shrinking import shrink as shrink
    from .target import load_target as load_target
    from .trace import load_trace as load_trace
    from .trace import save_trace as save_trace
    from .train import nn as nn


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'neuro_deploy' has no attribute '{name}'")
    module = importlib.import_module(_HOMES[name])
    return module if name in _MODULES else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


teach()
