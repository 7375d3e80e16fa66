"""The circulate-firing neuron (CF): the potential goes round through the threshold, at most K spikes a step."""
