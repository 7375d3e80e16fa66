"""A plan as a network of Lava processes.  Imports Lava: `lava_mend.import_lava()` first.

Synapses are Lava's own Dense, Sparse and Conv, inputs its RingBuffer, neurons what `neurons/KIND/lava.py` gives.  In a
run every model is stretched by `Watched`, which leaves its step as it is and adds what is no arithmetic: a clean state
at a sample's first row, the bias from row `latency` on, and the record.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.models import (
    PyDelayDenseModelBitAcc,
    PyDelayDenseModelFloat,
    PyDenseModelBitAcc,
    PyDenseModelFloat,
)
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.io.source import PySendModelFixed, PySendModelFloat, RingBuffer
from lava.proc.sparse.models import (
    PyDelaySparseModelBitAcc,
    PyDelaySparseModelFloat,
    PySparseModelBitAcc,
    PySparseModelFloat,
)
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .. import wiring as layouts
from ..neurons import part
from ..neurons.lava import Body
from .lava_mend import import_conv
from .lava_plan import Cell, Plan, Source, Wire, leave_error, record_file

DENSE: dict[tuple[str, bool], type] = {
    ("fixed_pt", False): PyDenseModelBitAcc,
    ("fixed_pt", True): PyDelayDenseModelBitAcc,
    ("floating_pt", False): PyDenseModelFloat,
    ("floating_pt", True): PyDelayDenseModelFloat,
}
"""(arithmetic, delayed) -> Lava's model of a dense synapse."""
SPARSE: dict[tuple[str, bool], type] = {
    ("fixed_pt", False): PySparseModelBitAcc,
    ("fixed_pt", True): PyDelaySparseModelBitAcc,
    ("floating_pt", False): PySparseModelFloat,
    ("floating_pt", True): PyDelaySparseModelFloat,
}
"""The same of a sparse one."""
RING: dict[str, type] = {"fixed_pt": PySendModelFixed, "floating_pt": PySendModelFloat}


class Watch(NamedTuple):
    """What `Watched` does to a model: Vars to clear, a bias Var and its values, files to fill (variable -> path)."""

    rows: int
    folder: Path
    clear: tuple[str, ...] = ()
    bias: tuple[str, int, NDArray[Any]] | None = None
    files: dict[str, Path] = {}  # noqa: RUF012 (never changed)


class Node(NamedTuple):
    """A process and the model that runs it; Vars to clear before a sample.

    axes: shape and axes that a synapse's process sees its input in, and axes of its output; None: flat, as we do.
    """

    process: Any
    model: type
    clear: tuple[str, ...] = ()
    axes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None = None


class Watched:
    """Mixed into a Lava model, before it."""

    time_step: int
    proc_params: Any
    _files: dict[str, NDArray[Any]] | None = None

    def run_spk(self) -> None:
        """The model's own step, between our two."""
        watch: Watch = self.proc_params["watch"]
        try:
            sample, row = divmod(self.time_step - 1, watch.rows)
            self._prepare(watch, row)
            super().run_spk()  # type: ignore[misc]
            self._record(watch, sample, row)
        except BaseException as error:
            leave_error(watch.folder, error, f"{type(self).__name__}, step {self.time_step}")
            raise

    def _prepare(self, watch: Watch, row: int) -> None:
        if row == 0:
            for name in watch.clear:
                getattr(self, name)[...] = 0
        if watch.bias:
            name, latency, values = watch.bias
            getattr(self, name)[...] = values if row >= latency else 0

    def _record(self, watch: Watch, sample: int, row: int) -> None:
        if self._files is None:
            self._files = {name: np.load(path, mmap_mode="r+") for name, path in watch.files.items()}
        for name, file in self._files.items():
            file[row, sample] = getattr(self, "s_out_buff" if name == "spikes" else name)


def source_node(source: Source, plan: Plan) -> Node:
    """All samples, one after the other, each with its zeros."""
    steps, batch, size = source.data.shape
    whole = np.zeros((size, batch, plan.rows), source.data.dtype)
    whole[:, :, :steps] = source.data.transpose(2, 1, 0)
    return Node(RingBuffer(data=whole.reshape(size, -1)), RING[plan.arithmetic])


def cell_body(cell: Cell, plan: Plan) -> Body:
    """A population, its bias 0."""
    kind = part(cell.kind, "lava")
    body: Body = (kind.fixed if plan.arithmetic == "fixed_pt" else kind.floating)(cell.size, cell.params)
    return body


def wire_node(wire: Wire, plan: Plan) -> Node:
    """A synapse."""
    options: dict[str, Any] = {"num_message_bits": 24 if wire.graded else 0}
    if isinstance(wire.wiring, layouts.Conv):
        return _conv_node(wire.wiring, plan, options)
    if plan.arithmetic == "fixed_pt":
        options |= {"weight_exp": wire.exponent, "num_weight_bits": 8, "sign_mode": SignMode[wire.mode]}
    chosen = (plan.arithmetic, wire.delay > 0)
    if isinstance(wire.wiring, layouts.Sparse):
        return Node(_sparse(wire.wiring, wire.delay, options), SPARSE[chosen], ("a_buff",))
    options["weights"] = wire.wiring.weight
    process = DelayDense(delays=wire.delay, **options) if wire.delay else Dense(**options)
    return Node(process, DENSE[chosen], ("a_buff",))


def _sparse(wiring: layouts.Sparse, delay: int, options: dict[str, Any]) -> Any:
    """Lava's Sparse, or DelaySparse with a delay for each weight that there is."""
    layout, shape = (wiring.columns, wiring.starts), (wiring.target_size, wiring.source_size)
    options["weights"] = csr_matrix((wiring.weight, *layout), shape)
    if not delay:
        return Sparse(**options)
    delays = csr_matrix((np.full(wiring.weight.shape, delay, np.int64), *layout), shape)
    return DelaySparse(delays=delays, max_delay=delay, **options)


def _conv_node(wiring: layouts.Conv, plan: Plan, options: dict[str, Any]) -> Node:
    """Lava's Conv: channels last, and a true convolution, so its kernels are ours from the last to the first."""
    import_conv()
    process = importlib.import_module("lava.proc.conv.process")
    models = importlib.import_module("lava.proc.conv.models")
    channels, height, width = wiring.source_shape
    conv = process.Conv(
        weight=np.ascontiguousarray(wiring.weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)),
        input_shape=(height, width, channels),
        padding=wiring.padding,
        stride=wiring.stride,
        dilation=wiring.dilation,
        groups=wiring.groups,
        **options,
    )
    model = models.PyConvModelFixed if plan.arithmetic == "fixed_pt" else models.PyConvModelFloat
    return Node(conv, model, ("a_buf",), ((channels, height, width), (1, 2, 0), (2, 0, 1)))


def connect(source: Any, node: Node, target: Any) -> None:
    """Connect a sender's port, a synapse and a population's port; a convolution by Lava's virtual ports."""
    into, out = node.process.s_in, node.process.a_out
    if node.axes is None:
        source.connect(into)
        out.connect(target)
    else:
        shape, forth, back = node.axes
        source.reshape(shape).transpose(forth).connect(into)
        out.transpose(back).reshape(target.shape).connect(target)


def _watched(process: Any, model: type, watch: Watch) -> dict[Any, type]:
    process.proc_params["watch"] = watch
    return {process: type(model.__name__, (Watched, model), {})}


class Network:
    """The processes of a plan, by name of source, cell and wire (index), connected."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sources = {source.name: source_node(source, plan) for source in plan.sources}
        self.cells = {cell.name: cell_body(cell, plan) for cell in plan.cells}
        self.wires = [wire_node(wire, plan) for wire in plan.wires]
        senders = {name: node.process.s_out for name, node in self.sources.items()}
        senders |= {name: body.process.s_out for name, body in self.cells.items()}
        for wire, node in zip(plan.wires, self.wires, strict=True):
            connect(senders[wire.source], node, self.cells[wire.target].process.a_in)

    def witnesses(self) -> dict[str, str]:
        """Population -> whose model judges it."""
        return {name: body.witness for name, body in self.cells.items()}

    def prepare(self, folder: Path) -> dict[Any, type]:
        """Make the files of the record and give each process its model, watched.

        The result goes into the run configuration by process, so that Lava looks for no model: it would import every
        module beside a process, torch.py among them.
        """
        models: dict[Any, type] = {}
        for cell in self.plan.cells:
            body = self.cells[cell.name]
            files = self._files(cell, body.shows, folder) if cell.kept else {}
            watch = Watch(self.plan.rows, folder, body.states, (body.bias, cell.latency, cell.bias), files)
            models |= _watched(body.process, body.model, watch)
        for node in (*self.sources.values(), *self.wires):
            models |= _watched(node.process, node.model, Watch(self.plan.rows, folder, node.clear))
        return models

    def _files(self, cell: Cell, shows: tuple[str, ...], folder: Path) -> dict[str, Path]:
        fixed = self.plan.arithmetic == "fixed_pt"
        files = {}
        for name in ("spikes", *shows):
            if name in self.plan.record:
                path = files[name] = record_file(folder, self.plan.cells.index(cell), name)
                dtype = np.int32 if fixed or name == "spikes" else np.float64
                shape = (self.plan.rows, self.plan.batch, cell.size)
                np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
        return files

    def runs(self, models: dict[Any, type]) -> Any:
        """Run sample after sample; gives the number done after each."""
        first = next(iter(self.sources.values())).process
        config = Loihi2SimCfg(select_tag=self.plan.arithmetic, exception_proc_model_map=models)
        for sample in range(self.plan.batch):
            first.run(condition=RunSteps(num_steps=self.plan.rows), run_cfg=config)
            yield sample + 1

    def stop(self) -> None:
        """End Lava's processes."""
        next(iter(self.sources.values())).process.stop()
