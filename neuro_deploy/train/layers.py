"""torch layers that have no time as NIR nodes: shared by our own export and by the adapters of other frameworks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import numpy as np
from torch import nn

from ..errors import UnsupportedError, Violation
from ..neurons.parameters import Leak, Positive


def affine(module: Any) -> nir.NIRNode:
    """An nn.Linear as an Affine, or as a Linear where there is no bias; float32."""
    weight = module.weight.detach().cpu().numpy().astype(np.float32)
    if module.bias is None:
        return nir.Linear(weight)
    return nir.Affine(weight, module.bias.detach().cpu().numpy().astype(np.float32))


def flatten(module: nn.Flatten, given: tuple[int, ...], leading: int, title: str) -> nir.NIRNode:
    """A Flatten.

    given: shape of its input, without time and batch.   leading: the axes that the framework's tensors have in front of
    it, 1 (batch) or 2 (time and batch); NIR counts without them.
    Raises: UnsupportedError (with this title) if it joins one of them.
    """
    axes = leading + len(given)
    start, end = (n if n >= 0 else axes + n for n in (module.start_dim, module.end_dim))
    if start < leading:
        front = "batch" if leading == 1 else "time or batch"
        violation = Violation("Flatten", f"start_dim {module.start_dim} joins {front}", f"use start_dim={leading}")
        raise UnsupportedError(title, [violation])
    last = end - leading if module.end_dim >= 0 else module.end_dim
    return nir.Flatten(start_dim=start - leading, end_dim=last, input_type={"input": np.array(given)})


def convolution(module: Any, given: tuple[int, ...], title: str) -> nir.NIRNode:
    """A Conv1d or Conv2d of torch (no bias: a bias of zeros); float32.

    given: shape of its input, without time and batch.   Raises: UnsupportedError (with this title).
    """
    if module.padding_mode != "zeros":
        what = f"padding_mode '{module.padding_mode}'; NIR pads with zeros"
        raise UnsupportedError(title, [Violation("", what, "train with padding_mode='zeros'")])
    weight = module.weight.detach().cpu().numpy().astype(np.float32)
    bias = np.zeros(len(weight), np.float32)
    if module.bias is not None:
        bias = module.bias.detach().cpu().numpy().astype(np.float32)
    parameters = {"weight": weight, "bias": bias, "groups": module.groups}
    numbers = {key: getattr(module, key) for key in ("stride", "padding", "dilation")}
    if weight.ndim == 3:
        first = {key: value if isinstance(value, str) else value[0] for key, value in numbers.items()}
        return nir.Conv1d(input_shape=given[-1], **parameters, **first)
    return nir.Conv2d(input_shape=given[-2:], **parameters, **numbers)


def pooling(module: Any, given: tuple[int, ...], title: str) -> nir.NIRNode:
    """An AvgPool2d of torch; with divisor_override=1 a SumPool2d.   Raises: UnsupportedError (with this title)."""
    padding = _pair(module.padding)
    problems = [
        (module.ceil_mode, "ceil_mode=True", "use ceil_mode=False"),
        (not module.count_include_pad and any(padding), "count_include_pad=False", "let the padding count"),
        (module.divisor_override not in (None, 1), "divisor_override", "scale the weights behind it instead"),
    ]
    violations = [
        Violation("", f"{what}, which NIR's pools do not have", remedy) for bad, what, remedy in problems if bad
    ]
    if violations:
        raise UnsupportedError(title, violations)
    pool = nir.AvgPool2d if module.divisor_override is None else nir.SumPool2d
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    return pool(kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


REWEIGHTED = {
    "WeightNorm": "call torch.nn.utils.remove_weight_norm",
    "SpectralNorm": "call torch.nn.utils.remove_spectral_norm",
}
"""Hooks of torch's that compute a weight before each call, by class, and how to make it a parameter again."""


def kind_of(module: nn.Module) -> type[nn.Module]:
    """A module's class, without what torch derives from it for parameters that are learned in a range."""
    kind = type(module)
    return kind.__mro__[1] if hasattr(module, "parametrizations") else kind


def unseen(model: nn.Module) -> Iterator[Violation]:
    """What changes the numbers of a model's modules and stands in no parameter: all of it is refused."""
    for name, module in model.named_modules():
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            kind = type(hook)
            pruned = kind.__module__ == "torch.nn.utils.prune"
            remedy = "call torch.nn.utils.prune.remove" if pruned else REWEIGHTED.get(kind.__name__, "remove it")
            what = f"has a hook around its forward ({getattr(hook, '__name__', kind.__name__)})"
            yield Violation(name, f"{what}, which a file cannot hold", remedy)
        for method in vars(module):
            if callable(getattr(type(module), method, None)):
                what = f"has a {method} that is not that of {type(module).__name__}"
                yield Violation(name, what, "make it a class of its own, so that its name says so")
        computed = getattr(module, "parametrizations", {})
        names = ", ".join(n for n, how in computed.items() if not all(isinstance(p, (Leak, Positive)) for p in how))
        if names:
            remedy = "call torch.nn.utils.parametrize.remove_parametrizations"
            yield Violation(name, f"computes its {names} anew in each call", remedy)
