"""Vectors of numbers in LLVM's instructions, for the intrinsics of kernels.py (whose cache does not see this file)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir


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
