"""The fused neuron: CF and LIF over all time steps in one operator, with a backward pass through time written by hand.

form.py says the equations; plain.py computes them in torch and is the definition, cpu.py the same in Numba, gpu.py in
Triton.  Spikes and potentials agree bit for bit in float32, on the CPU gradients of x and alpha too (alpha: of positive
polarity).
"""

from .form import LEARNED, PARAMETERS, Form, Inputs, Outputs
from .op import afresh, choose, fire

__all__ = ["LEARNED", "PARAMETERS", "Form", "Inputs", "Outputs", "afresh", "choose", "fire"]
