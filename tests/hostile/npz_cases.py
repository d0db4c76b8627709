"""Hostile ``.npz`` files."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from functools import cache
from typing import Any

import numpy as np

from hostile.sound import (
    TRACE,
    Harm,
    Make,
    arrays,
    cuts,
    npz_bytes,
    zip_boundaries,
    zipped,
)

NAME = "weight_hh_l0.npy"


def npy(header: str | bytes, data: bytes = b"\0" * 64, version: int = 1) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def declared(descr: str, shape: str, fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def one(header: str | bytes, data: bytes = b"\0" * 64, version: int = 1) -> Make:
    """One array, with 64 bytes behind its header."""
    return lambda: zipped({NAME: npy(header, data, version)})


def saved(array: Any, name: str = "weight_hh_l0") -> Make:
    """All sound arrays, and one in the place of another."""

    def make() -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays(), name: array})
        return buffer.getvalue()

    return make


def objects() -> Any:
    held = np.empty(2, object)
    held[:] = [Harm(), {"nested": Harm()}]
    return held


def patched(offset: int, value: bytes, mark: bytes = b"PK\x01\x02") -> Make:
    """Change a field of every entry of the archive's directory, or of its files."""

    def make() -> bytes:
        data = bytearray(npz_bytes())
        at = data.find(mark)
        while at >= 0:
            data[at + offset : at + offset + len(value)] = value
            at = data.find(mark, at + 4)
        return bytes(data)

    return make


@cache
def bomb_bytes(method: int) -> bytes:
    header = npy(declared("'<f4'", f"({2**24},)"), b"")
    return zipped({NAME: header + bytes(2**26)}, method)


def bomb(method: int) -> Make:
    """Declare and hold 64 MB of zeros, in a few kB."""
    return lambda: bomb_bytes(method)


def lying_bomb(method: int) -> Make:
    """Hold 64 MB of zeros, and declare 64 bytes."""

    def make() -> bytes:
        data = bytearray(bomb_bytes(method))
        content = npy(declared("'<f4'", "(16,)"))
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = len(content).to_bytes(4, "little")
        return bytes(data)

    return make


def many(count: int) -> bytes:
    """Let many entries of the directory share one file of the archive."""
    content = zipped({NAME: npy(declared("'<f4'", "(250_000,)"), bytes(10**6))}, 8)
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[at:end]
    size = (count * len(entry)).to_bytes(4, "little")
    tail = content[end : end + 8] + count.to_bytes(2, "little") * 2 + size
    return content[:at] + entry * count + tail + content[end + 16 :]


def with_comment() -> bytes:
    """Hide a second end of the directory in the comment of the first."""
    data = npz_bytes()
    end = data[data.rindex(b"PK\x05\x06") :]
    return data[:-2] + len(end).to_bytes(2, "little") + end


CASES: dict[str, Make] = {
    **cuts(npz_bytes(), zip_boundaries(npz_bytes()), ".npz"),
    "wrong magic.npz": lambda: b"7z" + npz_bytes()[2:],
    "no archive.npz": lambda: b"epoch,loss\n" * 50,
    "a bare array.npz": lambda: npy(declared("'<f4'", "(4, 4)")),
    "an end alone.npz": lambda: b"PK\x05\x06" + bytes(18),
    "two ends.npz": with_comment,
    "no arrays.npz": lambda: zipped({"readme.txt": b"nothing"}),
    "a bomb.npz": bomb(zipfile.ZIP_DEFLATED),
    "a bomb of bzip2.npz": bomb(zipfile.ZIP_BZIP2),
    "a bomb of LZMA.npz": bomb(zipfile.ZIP_LZMA),
    "a bomb that lies.npz": lying_bomb(zipfile.ZIP_DEFLATED),
    "a bomb of bzip2 that lies.npz": lying_bomb(zipfile.ZIP_BZIP2),
    "a bomb of LZMA that lies.npz": lying_bomb(zipfile.ZIP_LZMA),
    "one file a thousand times.npz": lambda: many(1000),
    "sizes of 4 GB.npz": patched(24, b"\xfe\xff\xff\xff"),
    "sizes of nothing.npz": patched(24, bytes(4)),
    "packed sizes of 4 GB.npz": patched(20, b"\xfe\xff\xff\xff"),
    "packed sizes of nothing.npz": patched(20, bytes(4)),
    "files beyond the end.npz": patched(42, b"\xfe\xff\xff\x7f"),
    "files in one place.npz": patched(42, bytes(4)),
    "wrong checksums.npz": patched(16, b"\1\2\3\4"),
    "an unknown compression.npz": patched(10, b"\x63\0"),
    "encrypted.npz": patched(8, b"\1\0"),
    "encrypted strongly.npz": patched(8, b"\x41\0"),
    "patched data.npz": patched(8, b"\x20\0"),
    "names that differ.npz": patched(30, b"W", b"PK\x03\x04"),
    "names as long as can be.npz": patched(26, b"\xff\xff", b"PK\x03\x04"),
    "extra fields that lie.npz": patched(30, b"\xff\xff"),
    "names out of the folder.npz": lambda: zipped(
        {f"../../{TRACE}/{NAME}": npy(declared("'<f4'", "(4, 4)"))}
    ),
    "names from the root.npz": lambda: zipped(
        {f"/tmp/{TRACE}.npy": npy(declared("'<f4'", "(4, 4)"))}
    ),
    "no array in it.npz": lambda: zipped({NAME: b""}),
    "an array of one byte.npz": lambda: zipped({NAME: b"\x93"}),
    "an array of magic alone.npz": lambda: zipped({NAME: b"\x93NUMPY\1\0"}),
    "an unknown version.npz": one(declared("'<f4'", "(16,)"), version=9),
    "a header of 4 GB.npz": lambda: zipped(
        {NAME: b"\x93NUMPY\2\0\xff\xff\xff\xff" + declared("'<f4'", "(16,)").encode()}
    ),
    "a header of 64 kB.npz": one(declared("'<f4'", "(16,)") + " " * 65_000),
    "a header that is code.npz": one("__import__('os').abort()\n"),
    "a header that calls.npz": one(declared("open('code-ran', 'w')", "(16,)")),
    "a header of brackets.npz": one("(" * 9000),
    "a thousand headers of brackets.npz": lambda: zipped(
        {f"{i}.npy": npy("(" * 9000) for i in range(1000)}, zipfile.ZIP_DEFLATED
    ),
    "a header of signs.npz": one("-" * 9000 + "1"),
    "a header of sums.npz": one("1" + "+1" * 4900),
    "a header of powers.npz": one(declared("'<f4'", "(9**9**9**9,)")),
    "a header of zeros.npz": one(b"\0" * 128),
    "a header of a long number.npz": one(declared("'<f4'", f"({'9' * 9000},)")),
    "a header without a shape.npz": one("{'descr': '<f4', 'fortran_order': False}"),
    "a header with more keys.npz": one(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (16,), 'x': 1}"
    ),
    "a header of Python 2.npz": one(declared("'<f4'", "(16L,)")),
    "an order that is none.npz": one(declared("'<f4'", "(16,)", "2")),
    "a shape larger than its bytes.npz": one(declared("'<f4'", "(1099511627776,)")),
    "a shape smaller than its bytes.npz": one(declared("'<f4'", "(15,)")),
    "a shape that overflows.npz": one(declared("'<f4'", "(2**62, 4)")),
    "a shape that wraps around.npz": one(declared("'<f4'", f"({2**62}, 4, 16)")),
    "a shape below zero.npz": one(declared("'<f4'", "(-4, -4)")),
    "a shape of nothing and much.npz": one(declared("'<f4'", f"(0, {2**62})"), b""),
    "a shape of texts.npz": one(declared("'<f4'", "('16',)")),
    "a shape of flags.npz": one(declared("'<f4'", "(True, True)"), bytes(4)),
    "a thousand dimensions.npz": one(declared("'<f4'", f"(16, {'1, ' * 999})")),
    "a type that is none.npz": one(declared("'PICKLE'", "(16,)")),
    "a type of no size.npz": one(declared("'|V0'", f"({2**62},)"), b""),
    "a type of much size.npz": one(declared("'|S2147483647'", f"({2**31},)")),
    "a type within types.npz": one(declared("('<f4', (4, 4))", "(1,)")),
    "a type of fields.npz": one(declared("[('a', '<f4'), ('b', '<i4')]", "(8,)")),
    "a field of objects.npz": one(declared("[('a', '<f4'), ('b', '|O')]", "(8,)")),
    "a type that is deep.npz": one(
        declared("[('a'," * 900 + "'<f4'" + ")]" * 900, "(16,)")
    ),
    "pickled objects.npz": saved(objects()),
    "a pickle of its own.npz": lambda: zipped({NAME: pickle.dumps(Harm())}),
    "NaN weights.npz": saved(np.full((8, 2), np.nan)),
    "infinite weights.npz": saved(np.full((8, 2), np.inf)),
    "integer weights.npz": saved(np.ones((8, 2), np.int64)),
    "complex weights.npz": saved(np.ones((8, 2), complex)),
    "weights that are texts.npz": saved(np.full((8, 2), "1.0")),
    "weights that are dates.npz": saved(np.zeros((8, 2), "M8[s]")),
    "a turned matrix.npz": saved(np.zeros((2, 8), order="F")),
    "a number for a matrix.npz": saved(np.float32(1)),
}
