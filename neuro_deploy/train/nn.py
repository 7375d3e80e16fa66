"""nd.nn: neurons, layers, losses and networks for training in PyTorch.  Axes are always (T, B, *shape).

model = nd.nn.mlp(64, [128, 64], 10, steps=8)
with nd.nn.observe(model) as states:
    spikes = model(x)
loss = nd.nn.rate_cross_entropy(spikes, label) + 0.1 * nd.nn.balance_loss(states)
"""

from ..neurons.cf.torch import CirculateFire
from ..neurons.li.torch import Integrator
from ..neurons.lif.torch import LIF
from ..neurons.observing import States, observe
from ..neurons.torch import SURROGATES, SpikingNeuron
from .losses import balance_loss, decide, rate_cross_entropy, spike_count
from .nets import mlp, recurrent_mlp, sew_resnet, spiking_transformer, vgg
from .nets.convolutional import Residual
from .nets.transformer import Gate, TokenAttention
from .timed import AvgPool2d, BatchNorm, Conv1d, Conv2d, Delay, Recurrent, SumPool2d

__all__ = [
    "LIF",
    "SURROGATES",
    "AvgPool2d",
    "BatchNorm",
    "CirculateFire",
    "Conv1d",
    "Conv2d",
    "Delay",
    "Gate",
    "Integrator",
    "Recurrent",
    "Residual",
    "SpikingNeuron",
    "States",
    "SumPool2d",
    "TokenAttention",
    "balance_loss",
    "decide",
    "mlp",
    "observe",
    "rate_cross_entropy",
    "recurrent_mlp",
    "sew_resnet",
    "spike_count",
    "spiking_transformer",
    "vgg",
]
