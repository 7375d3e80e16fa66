"""Integrators that never fire (LI): their potential is the output."""
