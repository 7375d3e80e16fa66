"""A made-up neuron kind: s = 1 where x > theta, without memory.  Its whole code is this folder."""
