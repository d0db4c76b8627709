"""What lies where in an HDF5 file: headers, groups, arrays, attributes.

Source: HDF5 File Format Specification Version 3.0, sections II to IV.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from lstm_edge.errors import CheckpointError
from lstm_edge.files.layers import Array, widen

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SOFT_LINK = 2
_UNDEFINED = 2**64 - 1
_CONTIGUOUS = 1

# types of messages in the header of an object
_SPACE, _TYPE, LAYOUT, ATTRIBUTE, _CONTINUED, TABLE = (
    0x01,
    0x03,
    0x08,
    0x0C,
    0x10,
    0x11,
)
LONGEST = 1000
"""Characters of a path."""

_MOST_READS = 10**6
"""Places looked at: some hundred an array; parts of a file can point to one another."""

_FLOATS = {(2, 5): "f2", (2, 8): "bfloat16", (4, 8): "f4", (8, 11): "f8"}
"""Bytes of a number and bits of its exponent, to the type."""


@dataclass(frozen=True)
class _Type:
    """Type of a value: numpy's word, "bfloat16", "text", "long text"; "" of another."""

    word: str
    size: int


class File:
    """The content of a file, and what lies where in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reads = 0
        self._heap_objects = cache(self._read_heap)

    def _numbers(self, form: str, start: int) -> tuple[Any, ...]:
        """Read little-endian numbers; beyond the end is an error."""
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ValueError("parts that point to one another without end")
        return struct.unpack_from(f"<{form}", self._data, start)

    def _bytes(self, start: int, size: int) -> bytes:
        if not 0 <= start <= start + size <= len(self._data):
            raise ValueError("a place behind the end")
        return self._data[start : start + size]

    def _expect(self, start: int, word: bytes) -> None:
        if self._bytes(start, len(word)) != word:
            raise ValueError(f"no {word.decode('latin1')!r} where one is said to be")

    def root(self) -> int:
        """Address of the root's header."""
        self._expect(0, _SIGNATURE)
        version, _, _, _, _, offsets, lengths = self._numbers("7B", 8)
        if (version, offsets, lengths) != (0, 8, 8):
            raise ValueError("a newer layout than h5py writes by default")
        return int(self._numbers("Q", 64)[0])

    def messages(self, address: int) -> Iterator[tuple[int, int]]:
        """Type and place of each message in an object's header."""
        version, _, count, _, size = self._numbers("BBHII", address)
        if version != 1:
            raise ValueError("a newer layout than h5py writes by default")
        blocks, seen = [(address + 16, size)], set()
        while blocks and count > 0:
            start, size = blocks.pop(0)
            if start in seen:
                raise ValueError("a header that continues in itself")
            seen.add(start)
            end = start + size
            while start + 8 <= end and count > 0:
                kind, length, _ = self._numbers("HHB", start)
                if kind == _CONTINUED:
                    blocks.append(self._numbers("QQ", start + 8))
                else:
                    yield kind, start + 8
                start, count = start + 8 + length, count - 1

    def members(self, table: int) -> Iterator[tuple[str, int, bool]]:
        """Name and address of what a group holds, and whether it is a link."""
        tree, heap = self._numbers("QQ", table)
        self._expect(heap, b"HEAP")
        (names,) = self._numbers("Q", heap + 24)
        pending, seen = [tree], set()
        while pending:
            node = pending.pop()
            if node in seen:
                raise ValueError("a table that contains itself")
            seen.add(node)
            if self._bytes(node, 4) == b"TREE":
                (used,) = self._numbers("H", node + 6)
                places = range(node + 32, node + 32 + 16 * used, 16)
                pending += [self._numbers("Q", place)[0] for place in places]
                continue
            self._expect(node, b"SNOD")
            (used,) = self._numbers("H", node + 6)
            for place in range(node + 8, node + 8 + 40 * used, 40):
                offset, address, kind = self._numbers("QQI", place)
                yield self._text(names + offset), address, kind == _SOFT_LINK

    def _text(self, start: int) -> str:
        end = self._data.index(b"\0", start, start + LONGEST)
        return self._data[start:end].decode()

    def array(
        self, found: dict[int, int], source: str, path: str, most: int
    ) -> Array | None:
        """Read an array of numbers; None of other values."""
        kind, shape = self._type(found[_TYPE]), self._shape(found[_SPACE])
        if kind.word in ("", "text", "long text"):
            return None
        version, layout, start, size = self._numbers("BBQQ", found[LAYOUT])
        if version not in (3, 4) or layout != _CONTIGUOUS or start == _UNDEFINED:
            raise CheckpointError(
                f"{source}: array '{path}' is compressed, or outside of the file; "
                "expected arrays in one piece, as Keras writes them"
            )
        needed = math.prod(shape) * kind.size
        if needed != size or needed > most:
            raise CheckpointError(
                f"{source}: array '{path}' declares shape {shape}, {needed} bytes, "
                f"and {size} are said to be kept in a file of {len(self._data)}"
            )
        values = self._bytes(start, size)
        if kind.word == "bfloat16":
            return widen(values, shape)
        return np.frombuffer(values, f"<{kind.word}").reshape(shape)

    def _type(self, start: int) -> _Type:
        first, bits, _, _, size = self._numbers("BBBBI", start)
        kind, order = first & 15, bits & 1
        word = ""
        if kind == 0 and not order and size in (1, 2, 4, 8):
            word = f"{'i' if bits & 8 else 'u'}{size}"
        elif kind == 1 and not order:
            (exponent,) = self._numbers("B", start + 13)
            word = _FLOATS.get((size, exponent), "")
        elif kind == 3:
            word = "text"
        elif kind == 5 and size == 2:
            word = "bfloat16"  # as Keras keeps it: two bytes without a meaning
        elif kind == 9 and bits & 15 == 1:
            word = "long text"
        return _Type(word, size)

    def _shape(self, start: int) -> tuple[int, ...]:
        version, rank = self._numbers("BB", start)
        return self._numbers(f"{rank}Q", start + (8 if version == 1 else 4))

    def attribute(self, start: int) -> tuple[str, str]:
        """Name and text of an attribute; "" of other values."""
        version, _, *sizes = self._numbers("BBHHH", start)
        begin = start + (9 if version == 3 else 8)
        if version == 1:  # padded to multiples of 8
            sizes = [size + -size % 8 for size in sizes]
        places = [begin, begin + sizes[0], begin + sizes[0] + sizes[1]]
        name, value = self._text(places[0]), begin + sum(sizes)
        kind = self._type(places[1])
        if math.prod(self._shape(places[2])) != 1:
            return name, ""
        if kind.word == "text":
            return name, self._bytes(value, kind.size).split(b"\0")[0].decode()
        if kind.word == "long text":
            length, heap, index = self._numbers("IQI", value)
            objects = self._heap_objects(heap) if length else {}
            return name, objects.get(index, b"")[:length].decode()
        return name, ""

    def _read_heap(self, start: int) -> dict[int, bytes]:
        """Objects of a collection in the global heap, by their index."""
        self._expect(start, b"GCOL")
        (size,) = self._numbers("Q", start + 8)
        end, objects = start + size, {}
        start += 16
        while start + 16 <= end:
            index, _, _, length = self._numbers("HHIQ", start)
            if index == 0:
                break  # free from here on
            objects[index] = self._bytes(start + 16, length)
            start += 16 + length + -length % 8
        return objects
