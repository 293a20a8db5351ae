"""Triton's interpreter (3.9), right for bfloat16 and several times faster; what kernels compute stays as it is.

Right: it multiplies the bit patterns of bfloat16 as whole numbers, and cuts off where a GPU rounds to nearest even.
Faster: reductions by exclusive or, which sorting is made of, go element by element; and each call of a function looks
through all of Triton's language anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, ReduceOps, TensorHandle

_patched: set[tuple[int, ...]] = set()
_mended = False


def mend_interpreter() -> None:
    """Once a process; before kernels run, at any time after they were imported."""
    global _mended
    if _mended:
        return
    _mended = True
    _multiply_bfloat16_as_numbers()
    _round_bfloat16_to_nearest()
    _reduce_exclusive_or_by_numpy()
    _patch_language_once_a_launch()


def _multiply_bfloat16_as_numbers() -> None:
    dot = InterpreterBuilder.create_dot

    def create_dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        return dot(self, _float32(a), _float32(b), *others)

    InterpreterBuilder.create_dot = create_dot


@contextmanager
def rows_multiplied_alike() -> Iterator[None]:
    """Products whose rows have the same bits wherever they stand in a tile, as the matrix units give them.

    numpy's have not, which sums in another order in the corners of a matrix.
    """
    dot = InterpreterBuilder.create_dot

    def create_dot(self: Any, a: Any, b: Any, total: Any, *others: Any) -> Any:
        product = (_float32(a).data[:, :, None] * _float32(b).data[None]).sum(axis=1, dtype=np.float32)
        return TensorHandle(product + total.data, total.dtype.scalar)

    InterpreterBuilder.create_dot = create_dot
    try:
        yield
    finally:
        InterpreterBuilder.create_dot = dot


def _float32(handle: Any) -> Any:
    if handle.dtype != tl.bfloat16:
        return handle
    bits = handle.data.view(np.uint16).astype(np.uint32) << 16
    return TensorHandle(bits.view(np.float32), tl.float32)


def _round_bfloat16_to_nearest() -> None:
    cast = InterpreterBuilder.cast_impl

    def cast_impl(self: Any, number: Any, kind: Any) -> Any:
        if number.dtype.scalar != tl.float32 or kind.scalar != tl.bfloat16:
            return cast(self, number, kind)
        bits = np.ascontiguousarray(number.data).view(np.uint32)
        short = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return TensorHandle(np.where(np.isnan(number.data), np.uint16(0x7FC0), short), tl.bfloat16)

    InterpreterBuilder.cast_impl = cast_impl


def _reduce_exclusive_or_by_numpy() -> None:
    apply = ReduceOps.apply_impl

    def apply_impl(self: Any, inputs: Any) -> Any:
        if self.combine_fn is not tl.standard._xor_combine or self.axis is None:
            return apply(self, inputs)
        data = np.bitwise_xor.reduce(inputs[0].handle.data, axis=self.axis, keepdims=self.keep_dims)
        return self.to_tensor(data, inputs[0].dtype)

    ReduceOps.apply_impl = apply_impl


def _patch_language_once_a_launch() -> None:
    patch, call = interpreter._patch_lang, GridExecutor.__call__

    def patch_lang(function: Any) -> Any:
        languages = [value for value in function.__globals__.values() if value is tl or value is tl.core]
        key = tuple(sorted({id(language) for language in languages}))
        if key in _patched:
            return interpreter._LangPatchScope()  # there is nothing to restore
        _patched.add(key)
        return patch(function)

    def launch(self: Any, *arguments: Any, **constants: Any) -> None:
        _patched.clear()
        call(self, *arguments, **constants)

    interpreter._patch_lang = patch_lang
    GridExecutor.__call__ = launch
