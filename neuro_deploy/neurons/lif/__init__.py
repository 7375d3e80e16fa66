"""The leaky integrate-and-fire neuron (LIF) with a hard reset to zero."""
