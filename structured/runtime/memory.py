"""Reading and writing arrays by address, for kernels that need many of them.

Numba takes 30-50 ns to unpack each array argument, and the kernels here work on two dozen arrays a call, most of which
are a few bytes long. So the arrays stay with their Python owners, whose addresses go into one record
(:mod:`.layout`), and kernels index them from there. An owner keeps its arrays alive, and writes the new address when it
replaces one; both happen under the lock under which kernels are called.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic


def _load(element: types.Number) -> Any:
    @intrinsic
    def load(typing_context: Any, address: Any, index: Any) -> Any:
        """Element ``index`` of the array at ``address``; the index is not checked."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_place(context, builder, element, *arguments))

        return element(types.int64, types.int64), generate

    return load


def _store(element: types.Number) -> Any:
    @intrinsic
    def store(typing_context: Any, address: Any, index: Any, value: Any) -> Any:
        """Write element ``index`` of the array at ``address``; the index is not checked."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, index, value = arguments
            builder.store(value, _place(context, builder, element, address, index))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, element), generate

    return store


def _place(context: Any, builder: Any, element: types.Number, address: Any, index: Any) -> Any:
    pointer = cgutils.ir.PointerType(context.get_value_type(element))
    return builder.gep(builder.inttoptr(address, pointer), [index])


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address as the pointer that ``numba.carray`` wants."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@njit(cache=True)
def row_at(address: Any, words: Any) -> Any:
    """The mask of so many words at an address, as an array."""
    return carray(pointer(address), words, np.int32)


load_u8: Any = _load(types.uint8)
load_i32: Any = _load(types.int32)
load_u32: Any = _load(types.uint32)
load_i64: Any = _load(types.int64)
load_u64: Any = _load(types.uint64)
load_f32: Any = _load(types.float32)
load_f64: Any = _load(types.float64)
store_u8: Any = _store(types.uint8)
store_i32: Any = _store(types.int32)
store_u32: Any = _store(types.uint32)
store_i64: Any = _store(types.int64)
store_u64: Any = _store(types.uint64)
store_f32: Any = _store(types.float32)
store_f64: Any = _store(types.float64)
