"""What our adapter makes of the networks of sinabs_models.py: `python sinabs_adapt.py FOLDER`.

It runs with Sinabs beside our package and the nir that our package needs; Sinabs' pin of nir concerns only its export.
"""

from __future__ import annotations

import sys
from pathlib import Path

from exchange import note
from sinabs_models import CASES, REFUSED, build

import neuro_deploy as nd
from neuro_deploy.adapters.sinabs import NEURONS
from neuro_deploy.errors import UnsupportedError


def main(folder: Path) -> None:
    """All of them."""
    import sinabs.layers as layers
    from sinabs.layers import StatefulLayer

    kinds = [name for name, kind in vars(layers).items() if isinstance(kind, type) and issubclass(kind, StatefulLayer)]
    note(folder, "registry", classes=sorted(kinds), known=sorted(NEURONS))
    for name in CASES:
        case = build(name)
        graph = nd.from_sinabs(case.network, dt=0.002, input_shape=case.shape, circulations=case.circulations)
        nd.write_nir(graph, folder / f"{name}.ours.nir")
    for name, builder in REFUSED.items():
        try:
            nd.from_sinabs(builder(), dt=0.002, input_shape=(5,))
        except UnsupportedError as error:
            note(folder, name, refused=[[v.node, v.what] for v in error.violations])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
