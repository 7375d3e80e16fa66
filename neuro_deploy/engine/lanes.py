"""Vectors of numbers in LLVM's instructions: sums of rows of weights that stay in registers, for kernels.py.

Numba's cache of kernels.py does not see this file: after a change here, change that one too, or empty the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .jit import intrinsic

TILE = 32
"""How many targets are summed together; a dense synapse's are filled up to a multiple of it."""


def vector_at(builder: Any, pointer: Any, offset: Any, lanes: int) -> Any:
    """LLVM: pointer + offset as a pointer to a vector."""
    vector = ir.VectorType(pointer.type.pointee, lanes)
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def load(builder: Any, pointer: Any) -> Any:
    """LLVM: load a vector from an address that need not be aligned."""
    value = builder.load(pointer)
    value.align = 1
    return value


def store(builder: Any, value: Any, pointer: Any) -> None:
    """LLVM: store a vector to an address that need not be aligned."""
    builder.store(value, pointer).align = 1


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """LLVM: a vector of equal numbers."""
    vector = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def resized(builder: Any, value: Any, bits: int) -> Any:
    """LLVM: a signed number, or a vector of them, in another width."""
    kind: Any = ir.IntType(bits)
    own = value.type
    if isinstance(own, ir.VectorType):
        kind, own = ir.VectorType(kind, own.count), own.element
    if own.width == bits:
        return value
    return builder.sext(value, kind) if own.width < bits else builder.trunc(value, kind)


def data_of(context: Any, builder: Any, signature: Any, arguments: Any, i: int) -> Any:
    """LLVM: where the numbers of the i-th argument, an array, begin."""
    return context.make_array(signature.args[i])(context, builder, arguments[i]).data


class Loop:
    """LLVM: a loop over events start .. stop - 1 that carries vectors, `sums`, from 0."""

    def __init__(self, builder: Any, start: Any, stop: Any, count: int, bits: int) -> None:
        self.builder, self.stop, self.kind = builder, stop, ir.VectorType(ir.IntType(bits), TILE)
        self.before, self.body, self.after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed("<", start, stop), self.body, self.after)
        builder.position_at_end(self.body)
        self.e = builder.phi(ir.IntType(64))
        self.e.add_incoming(start, self.before)
        self.sums = [builder.phi(self.kind) for _ in range(count)]

    def end(self, sums: list[Any]) -> list[Any]:
        """Close the body, which gave these sums; gives the last ones."""
        builder, following = self.builder, self.builder.add(self.e, ir.Constant(self.e.type, 1))
        self.e.add_incoming(following, self.body)
        builder.cbranch(builder.icmp_signed("<", following, self.stop), self.body, self.after)
        builder.position_at_end(self.after)
        ends = [builder.phi(self.kind) for _ in sums]
        for before, new, last in zip(self.sums, sums, ends, strict=True):
            before.add_incoming(ir.Constant(self.kind, None), self.before)
            before.add_incoming(new, self.body)
            last.add_incoming(ir.Constant(self.kind, None), self.before)
            last.add_incoming(new, self.body)
        return ends


def add_scaled(builder: Any, sums: list[Any], scale: Any, out: Any, o: Any) -> None:
    """LLVM: out[o : ...] += scale * sums, int32."""
    factor = splat(builder, resized(builder, scale, 32), TILE)
    for t, total in enumerate(sums):
        there = vector_at(builder, out, builder.add(o, ir.Constant(o.type, t * TILE)), TILE)
        store(builder, builder.add(load(builder, there), builder.mul(resized(builder, total, 32), factor)), there)


def tile(count: int, bits: int, graded: bool) -> Any:
    """An intrinsic that adds weights, for `count` * TILE targets, in accumulators of `bits` bits in registers.

    (weight, column, stride, events, start, stop, flat, at, scale, out, o): out[o + j] += scale * the sum over the
    sources i = events[start : stop] of weight[i * stride + column + j] (times the spike flat[at + i], if graded).
    All arrays are flat; out: int32.
    """

    @intrinsic
    def add(
        typing: Any, weight: Any, column: Any, stride: Any, events: Any, start: Any, stop: Any,
        flat: Any, at: Any, scale: Any, out: Any, o: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weight, events, flat, out = (data_of(context, builder, signature, arguments, i) for i in (0, 3, 6, 9))
            _, column, stride, _, start, stop, _, at, scale, _, o = arguments
            loop = Loop(builder, start, stop, count, bits)
            i = resized(builder, builder.load(builder.gep(events, [loop.e])), 64)
            source = builder.gep(weight, [builder.add(builder.mul(i, stride), column)])
            spike = resized(builder, builder.load(builder.gep(flat, [builder.add(at, i)])), bits)
            sums = []
            for t, total in enumerate(loop.sums):
                w = load(builder, vector_at(builder, source, ir.Constant(i.type, t * TILE), TILE))
                w = resized(builder, w, bits)
                w = builder.mul(w, splat(builder, spike, TILE)) if graded else w
                sums.append(builder.add(total, w))
            add_scaled(builder, loop.end(sums), scale, out, o)
            return context.get_dummy_value()

        i = types.int64
        return types.void(weight, i, i, events, i, i, flat, i, i, out, i), generate

    return add
