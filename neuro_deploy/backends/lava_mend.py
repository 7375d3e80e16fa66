"""Importing Lava on today's Python.

lava-nc 0.10.0 is the newest release and was written for Python 3.10 and numpy 1.  `import_lava` mends, and only this:

* **Unhashable defaults of dataclasses.**  Fields of `lava.magma.compiler.var_model` have a `ByteEncoder` as default,
  which is unhashable; Python 3.11 began to refuse that.  While Lava's modules are imported, `dataclasses.dataclass`
  accepts such a default of a class of Lava's; then it is put back, after an error too.
* **The start method of processes.**  Lava's `multiprocessing` module sets it at import, which fails if it was set
  before.  That call is made void during the import; who runs Lava sets "fork" (backends/lava_worker.py).
* **`np.reshape(newshape=)`**, gone in numpy 2.4: `ReshapePort` (so `port.reshape()`, `port.flatten()`) gets
  transformations that pass the shape by position.
* **Small integers in `lava.proc.conv`**: geometry comes as int8, with which numpy 2 computes in int8, so that more than
  127 channels or a side beyond 127 fail; `conv` gets Python's integers.
* **Arrays of one element as scalars**, gone in numpy 2.4: `lava.proc.graded.models.inv_sqrt` gets a scalar, and
  `PyAllocatorModel` of `lava.proc.clp.nsm.models` runs with its counter as an array without axes.

Nothing of Lava's arithmetic is touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import LavaMissingError

INSTALL = "neuro_deploy install-lava"
"""The command that installs Lava."""

MODULES = (
    "lava.magma.compiler.var_model",
    "lava.magma.compiler.compiler",
    "lava.magma.core.run_conditions",
    "lava.magma.core.run_configs",
    "lava.magma.runtime.runtime",
    "lava.proc.lif.models",
    "lava.proc.dense.models",
    "lava.proc.sparse.models",
    "lava.proc.io.source",
    "lava.proc.graded.models",
    "lava.proc.clp.nsm.models",
)


@functools.cache
def import_lava() -> None:
    """Import what we use of Lava, mended; a second call does nothing.

    Raises: LavaMissingError, in one line, if Lava is missing or cannot be imported.
    """
    try:
        with _tolerant_dataclasses(), _no_start_method(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in MODULES:
                importlib.import_module(name)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "lava"
        why = "is not installed" if absent else f"cannot be imported ({type(error).__name__}: {error})"
        raise LavaMissingError(f"Lava {why}; run '{INSTALL}'") from error
    _mend_numpy()


@functools.cache
def import_conv() -> None:
    """Import lava.proc.conv, mended; apart, because scipy.signal takes as long as all the rest."""
    import_lava()
    importlib.import_module("lava.proc.conv.models")
    utils = sys.modules["lava.proc.conv.utils"]
    conv = utils.conv

    @functools.wraps(conv)
    def of_integers(input_: Any, weight: Any, *geometry: Any) -> Any:
        return conv(input_, weight, *(np.asarray(part).tolist() for part in geometry))

    setattr(utils, "conv", of_integers)  # noqa: B010


@contextlib.contextmanager
def _tolerant_dataclasses() -> Iterator[None]:
    """Let `dataclasses.dataclass` accept unhashable defaults of Lava's classes."""
    original: Callable[..., Any] = dataclasses.dataclass

    def tolerant(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return functools.partial(tolerant, **options)
        defaults = dict.fromkeys(type(value) for value in vars(cls).values() if type(value).__hash__ is None)
        lavas = [kind for kind in defaults if kind.__module__.startswith("lava.")]
        for kind in lavas:
            type.__setattr__(kind, "__hash__", object.__hash__)
        try:
            return original(cls, **options)
        finally:
            for kind in lavas:
                type.__setattr__(kind, "__hash__", None)

    setattr(dataclasses, "dataclass", tolerant)  # noqa: B010 (mypy knows dataclass by its name)
    try:
        yield
    finally:
        setattr(dataclasses, "dataclass", original)  # noqa: B010


@contextlib.contextmanager
def _no_start_method() -> Iterator[None]:
    """Make `multiprocessing.set_start_method` void."""
    original = multiprocessing.set_start_method

    def void(method: str | None, force: bool = False) -> None:
        pass

    setattr(multiprocessing, "set_start_method", void)  # noqa: B010
    try:
        yield
    finally:
        setattr(multiprocessing, "set_start_method", original)  # noqa: B010


def _reshaped(data: Any, to: tuple[int, ...]) -> Any:
    return np.reshape(data, to)


def _mend_numpy() -> None:
    port = sys.modules["lava.magma.core.process.ports.ports"].ReshapePort
    port.get_transform_func_fwd = lambda self: functools.partial(_reshaped, to=self.shape)
    port.get_transform_func_bwd = lambda self: functools.partial(_reshaped, to=self.old_shape)

    graded = sys.modules["lava.proc.graded.models"]
    inv_sqrt = graded.inv_sqrt

    @functools.wraps(inv_sqrt)
    def of_scalar(s_fp: Any, *args: Any, **kwargs: Any) -> Any:
        return inv_sqrt(np.asarray(s_fp).item(), *args, **kwargs)

    setattr(graded, "inv_sqrt", of_scalar)  # noqa: B010

    allocator = sys.modules["lava.proc.clp.nsm.models"].PyAllocatorModel
    run_spk = allocator.run_spk

    @functools.wraps(run_spk)
    def of_axisless(self: Any) -> None:
        self.next_alloc_id = np.reshape(self.next_alloc_id, ())
        run_spk(self)
        self.next_alloc_id = np.reshape(self.next_alloc_id, (1,))

    allocator.run_spk = of_axisless
