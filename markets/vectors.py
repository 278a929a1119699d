"""In compiled code: vectors of values, where LLVM does not find them by itself."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from foretrade.markets.arrays import LINE


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Address of an entry of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index], inbounds=True)


@intrinsic  # type: ignore[untyped-decorator]
def flat(_context: Any, array: Any) -> Any:
    """In compiled code: a C-contiguous array as one of one dimension; ``reshape`` looks at it first."""
    if array.layout != "C":
        return None
    line = array.copy(ndim=1)

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        given, made = (context.make_array(kind) for kind in (array, line))
        old, new = given(context, builder, arguments[0]), made(context, builder)
        size = old.nitems
        populate_array(new, old.data, [size], [old.itemsize], old.itemsize, old.meminfo, old.parent)
        return new._getvalue()

    return line(array), build


def _copier(number: Any, count: int, item_bytes: int, whole_line: bool = False) -> Any:
    pointer = ir.VectorType(number, count).as_pointer()

    @intrinsic  # type: ignore[untyped-decorator]
    def copier(_context: Any, target: Any, to: Any, source: Any, start: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            places = [
                builder.bitcast(_place(context, builder, *one), pointer)
                for one in zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True)
            ]
            value = builder.load(places[1], align=item_bytes)
            stored = builder.store(value, places[0], align=LINE if whole_line else item_bytes)
            if whole_line:
                once = builder.module.add_metadata([ir.IntType(32)(1)])
                stored.set_metadata("nontemporal", once)
            return context.get_dummy_value()

        return numba.void(target, numba.uint64, source, numba.uint64), build

    return copier


copy_four, copy_eight, copy_sixteen = (_copier(ir.FloatType(), count, 4) for count in (4, 8, 16))
"""In compiled code: copy so many float32 of a flat array from ``start`` on into another, at once.

Nothing is checked. LLVM would not join single copies: for all it knows the arrays overlap.
"""

stream_eight = _copier(ir.DoubleType(), 8, 8, whole_line=True)
"""In compiled code: copy eight float64 likewise, past the caches: they keep what they hold, and what is
overwritten is not read first.

The target has to be a line of the cache: its :func:`address` is divisible by 64. Nothing is checked.
"""


@intrinsic  # type: ignore[untyped-decorator]
def address(_context: Any, array: Any, index: Any) -> Any:
    """In compiled code: where an entry of a flat array stands in memory, in bytes."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(_place(context, builder, signature.args[0], *arguments), ir.IntType(64))

    return numba.uint64(array, numba.uint64), build


@intrinsic  # type: ignore[untyped-decorator]
def fetch(_context: Any, array: Any, index: Any) -> Any:
    """In compiled code: have an entry of a flat array brought to the first cache."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        place = builder.bitcast(_place(context, builder, signature.args[0], *arguments), byte)
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(prefetch, [place, *map(number, (0, 3, 1))])  # to read; stay near; data
        return context.get_dummy_value()

    return numba.void(array, numba.uint64), build


def _collector(count: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def collector(
        _context: Any, source: Any, clock: Any, first: Any, scale: Any, offset: Any, target: Any,
        to: Any, pitch: Any,
    ) -> Any:  # fmt: skip
        word = numba.uint64

        def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            values, rows, start, factor, shift, into, at, distance = arguments
            number, part = start.type, ir.VectorType(ir.DoubleType(), count).as_pointer()
            doubles = ir.VectorType(ir.DoubleType(), 8).as_pointer()
            lanes = []
            for k in range(8):
                row = builder.load(_place(context, builder, clock, rows, builder.add(start, number(k))))
                begin = builder.add(builder.mul(row, factor), shift)
                place = builder.bitcast(_place(context, builder, source, values, begin), part)
                lanes.append(builder.load(place, align=8))
            fields = [_joined(builder, lanes[k::count]) for k in range(count)]
            _transpose(builder, fields)
            for f, field in enumerate(fields):
                begin = builder.add(at, builder.mul(distance, number(f)))
                place = builder.bitcast(_place(context, builder, target, into, begin), doubles)
                builder.store(field, place, align=8)
            return context.get_dummy_value()

        return numba.void(source, clock, word, word, word, target, word, word), build

    return collector


collect_two, collect_eight = _collector(2), _collector(8)
"""In compiled code: lay out two, or eight, values of each of eight lanes, field by field.

Those of lane ``k`` stand in ``source`` from ``clock[first + k] * scale + offset`` on; its value ``f``
goes to ``target[to + f * pitch + k]``. Flat arrays of float64, the clock of uint64. Nothing is checked.
"""


def _spreader(count: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def spreader(
        _context: Any, source: Any, start: Any, pitch: Any, target: Any, to: Any, distance: Any
    ) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, begin, between, into, at, apart = arguments
            word, single = begin.type, ir.VectorType(ir.FloatType(), 8)
            doubles = ir.VectorType(ir.DoubleType(), 8).as_pointer()
            part = ir.VectorType(ir.FloatType(), count).as_pointer()
            fields = []
            for f in range(count):
                index = builder.add(begin, builder.mul(between, word(f)))
                place = builder.bitcast(_place(context, builder, source, values, index), doubles)
                fields.append(builder.fptrunc(builder.load(place, align=8), single))
            _transpose(builder, fields)
            for lane in range(8):
                which, behind = lane % count, lane - lane % count
                mask = ir.VectorType(ir.IntType(32), count)([behind + f for f in range(count)])
                row = builder.shuffle_vector(fields[which], fields[which], mask)
                index = builder.add(at, builder.mul(apart, word(lane)))
                place = builder.bitcast(_place(context, builder, target, into, index), part)
                builder.store(row, place, align=4)
            return context.get_dummy_value()

        return numba.void(source, numba.uint64, numba.uint64, target, numba.uint64, numba.uint64), build

    return spreader


spread_two, spread_four = _spreader(2), _spreader(4)
"""In compiled code: write two, or four, fields of eight lanes lane by lane, as float32.

Those of a lane stand in a flat array of float64 from ``start`` on at distances of ``pitch``, and go into
one of float32 from ``to`` on; those of the next lane, which stand beside them, ``distance`` further on.
"""


def _joined(builder: Any, parts: list[Any]) -> Any:
    """One vector of several."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    low, high = _joined(builder, parts[:half]), _joined(builder, parts[half:])
    size = 2 * low.type.count
    return builder.shuffle_vector(low, high, ir.VectorType(ir.IntType(32), size)(list(range(size))))


def _transpose(builder: Any, rows: list[Any]) -> None:
    """Of vectors of eight entries, each block as wide as they are many."""
    step = 1
    while step < len(rows):
        kind = ir.VectorType(ir.IntType(32), 8)
        low = kind([p if p & step == 0 else 8 + (p ^ step) for p in range(8)])
        high = kind([p | step if p & step == 0 else 8 + p for p in range(8)])
        for k in range(len(rows)):
            if k & step == 0:
                pair = rows[k], rows[k + step]
                rows[k] = builder.shuffle_vector(*pair, low)
                rows[k + step] = builder.shuffle_vector(*pair, high)
        step *= 2
