"""Triton's implementation of the fused neuron, in a process of its own (see test_fused_gpu.py).

python fused_gpu.py equal     all cases against the definition; on a GPU, or with TRITON_INTERPRET=1 on the CPU
python fused_gpu.py tuned     calls in which the autotuner tries block sizes, likewise
python fused_gpu.py ahead     compile the kernels for GPUs that need not be there
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch
from fused_cases import CASES, draw, draw_grads
from torch import Tensor

from neuro_deploy.neurons.fused import Inputs, Outputs, fire, plain
from neuro_deploy.neurons.fused.form import LEARNED, Sums

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = ((5, 33, 30), (3, 2, 700), (11, 7, 3, 5))
TARGETS = (80, 90)


def to(device: str, values: Any) -> Any:
    return type(values)(*(v.to(device) if isinstance(v, Tensor) else v for v in values))


def check(i: Inputs, name: str) -> float:
    """Spikes, potentials, gradients of x, v0, u0 in every bit; the rest's largest error, of its largest number."""
    from neuro_deploy.neurons.fused import gpu

    form, there = CASES[name].form, to(DEVICE, i)
    want, got = plain.forward(i, form, True), to("cpu", gpu.forward(there, form, True))
    for key, a, b in zip(Outputs._fields, got, want, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.equal(a, b)), (name, key)
    grads = draw_grads(want, 2)
    need = [getattr(i, n) is not None for n in LEARNED]
    sums = plain.backward(grads, i, form, need)
    found = to("cpu", gpu.backward(to(DEVICE, grads), there, form, need))
    worst = 0.0
    for key, a, b, needed in zip(Sums._fields, found, sums, need, strict=True):
        if needed and key in ("x", "v0", "u0"):
            assert torch.equal(a, b), (name, key)
        elif needed:
            assert b.count_nonzero()
            worst = max(worst, ((a.double() - b).abs().max() / b.abs().max()).item())
    return worst


def half(dtype: torch.dtype, name: str) -> None:
    """Input of half precision, through the operator and back; in chunks, and with a current if there is one."""
    i = to(DEVICE, draw(CASES[name], (11, 3, 40), 3, per_neuron=True))
    given, grads = i.x.to(dtype), []
    for backend, x in (("gpu", given), ("plain", given.float())):
        x.requires_grad_()
        s = fire(i._replace(x=x), CASES[name].form, backend=backend).s
        assert s is not None and s.dtype == torch.float32 and s.any()
        grads.append(torch.autograd.grad(s.sum(), x)[0])
    found, want = grads
    if dtype == torch.bfloat16 and os.environ.get("TRITON_INTERPRET") == "1":
        want = (want.view(torch.int32) & ~0xFFFF).view(torch.float32)  # Triton's interpreter cuts off, a GPU rounds
    assert found.dtype == dtype and torch.equal(found, want.to(dtype))


def equal() -> dict[str, Any]:
    worst, cases = 0.0, 0
    for name in CASES:
        for seed, shape in enumerate(SHAPES):
            for grid in (False, True):
                worst = max(worst, check(draw(CASES[name], shape, seed, per_neuron=seed > 0, grid=grid), name))
                cases += 1
    for name in ("cf", "signed, detached, current"):
        half(torch.bfloat16, name)
        half(torch.float16, name)
    return {"cases": cases, "worst": worst, "device": DEVICE}


def tuned() -> dict[str, Any]:
    """Calls of one size and several T: in the first the autotuner tries block sizes, the larger the better it says."""
    import triton

    from neuro_deploy.neurons.fused import gpu

    tried: list[int] = []

    def bench(call: Any, quantiles: Any) -> list[float]:
        call()
        tried.append(len(tried))
        return [-float(len(tried))] * 3

    kernels = [gpu.tuned(name) for name in ("forward", "backward")]
    for kernel in kernels:
        kernel.configs = [triton.Config({"BLOCK": block}) for block in (128, 256, 1024)]
        kernel.do_bench = bench
    worst = max(check(draw(CASES["signed"], (t, 3, 100), t, per_neuron=True), "signed") for t in (6, 6, 12, 24))
    return {"worst": worst, "tried": len(tried), "best": [k.best_config.kwargs["BLOCK"] for k in kernels]}


def ahead() -> dict[str, Any]:
    """Both kernels, with all that can be watched and wanted, for each target: how many products were contracted.

    contracted: the same if we let Triton do so.  wide: loads and stores of 16 bytes, where memory is aligned.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from neuro_deploy.neurons.fused import gpu, gpu_kernels

    found = {}
    whole = ("steps", "size", "columns", "parts", "magnitude")
    for name in ("forward", "backward"):
        kernel = getattr(gpu_kernels, name)
        constants = {n: True for n in kernel.arg_names if n.isupper()}
        more = {"UP": 2, "DOWN": 1, "HARD": False, "RESETS": False, "SURROGATE": 0, "DETACH": False, "BLOCK": 512}
        more |= {"EACH": 127, "CHUNK": 2, "ROWS": 2}
        constants |= {n: value for n, value in more.items() if n in constants}
        signature = {n: "constexpr" if n in constants else "i32" if n in whole else "*fp32" for n in kernel.arg_names}
        aligned = [k for k, n in enumerate(kernel.arg_names) if signature[n] == "*fp32" or n == "size"]
        attrs = {(k,): [["tt.divisibility", 16]] for k in aligned}
        for target in TARGETS:
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attrs)
            ours, fused = (
                triton.compile(source, target=GPUTarget("cuda", target, 32), options=options).asm["ptx"]
                for options in (dict(gpu.OPTIONS), {"enable_fp_fusion": True})
            )
            found[f"{name} sm_{target}"] = {
                "target": f".target sm_{target}" in ours,
                "fma": ours.count("fma.rn.f32"),
                "contracted": fused.count("fma.rn.f32"),
                "wide": ours.count("ld.global.v4.b32") + ours.count("st.global.v4.b32"),
            }
    return found


if __name__ == "__main__":
    print(json.dumps({"equal": equal, "tuned": tuned, "ahead": ahead}[sys.argv[1]]()))
