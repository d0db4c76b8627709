"""Hostile ``.safetensors`` files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import safetensors.numpy

from hostile.sound import Make, arrays, cuts, safetensors_bytes


def with_header(header: Any, data: bytes = b"\0" * 64) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: str, shape: list[Any], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one(dtype: str, shape: list[Any], begin: int, end: int) -> Make:
    """One tensor, behind which 64 bytes follow."""
    return lambda: with_header({"weight_hh_l0": tensor(dtype, shape, begin, end)})


def two(*pairs: tuple[int, int]) -> Make:
    """Two tensors at these offsets of 64 bytes."""
    names = ("weight_hh_l0", "weight_ih_l0")
    found = {
        name: tensor("F32", [(end - begin) // 4], begin, end)
        for name, (begin, end) in zip(names, pairs, strict=True)
    }
    return lambda: with_header(found)


def changed(
    value: float = 0.0, dtype: Any = np.float32, name: str = "bias_hh_l0"
) -> Make:
    """Give the sound file with one number changed, or all in another type."""

    def make() -> bytes:
        found = {key: array.astype(dtype) for key, array in arrays().items()}
        found[name].flat[0] = value
        return safetensors.numpy.save(found)

    return make


def renamed(prefix: str) -> Make:
    """Give the tensors names that hold no net."""
    return lambda: safetensors.numpy.save(
        {prefix + str(i): array for i, array in enumerate(arrays().values())}
    )


_START = 8 + int.from_bytes(safetensors_bytes()[:8], "little")
_END = len(safetensors_bytes())
_TWICE = b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},' + (
    b'"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'
)

CASES: dict[str, Make] = {
    **cuts(
        safetensors_bytes(),
        [0, 1, 7, 8, 9, _START // 2, _START - 1, _START, _START + 32, _END - 1],
        ".safetensors",
    ),
    "wrong magic.safetensors": lambda: b"GGUF" + safetensors_bytes()[4:],
    "trailing bytes.safetensors": lambda: safetensors_bytes() + b"\0",
    "no header.safetensors": lambda: bytes(8),
    "header of 2^63 bytes.safetensors": lambda: (2**63).to_bytes(8, "little") + b"{}",
    "header of all bits.safetensors": lambda: b"\xff" * 8 + b"{}",
    "header longer than the file.safetensors": lambda: (
        (99).to_bytes(8, "little") + b"{}"
    ),
    "header of 4 MB.safetensors": lambda: with_header(
        {"__metadata__": {str(i): "" for i in range(300_000)}}
    ),
    "header is no JSON.safetensors": lambda: with_header(b"import os; os.abort()"),
    "header is no UTF-8.safetensors": lambda: with_header(b'{"\xff\xfe": 1}'),
    "header is a list.safetensors": lambda: with_header([]),
    "header is a number.safetensors": lambda: with_header(3),
    "header is NaN.safetensors": lambda: with_header(b"NaN"),
    "header of spaces.safetensors": lambda: with_header(b" " * 1000),
    "deep lists.safetensors": lambda: with_header(b"[" * 900_000),
    "deep objects.safetensors": lambda: with_header(b'{"a":' * 180_000),
    "a million lists.safetensors": lambda: with_header(
        b"[" + b"[]," * 340_000 + b"[]]"
    ),
    "a million numbers.safetensors": lambda: with_header(
        b'{"__metadata__":' + b"9" * 1_000_000 + b"}"
    ),
    "metadata is a list.safetensors": lambda: with_header({"__metadata__": [1, 2]}),
    "metadata is nested.safetensors": lambda: with_header({"__metadata__": {"a": {}}}),
    "no tensors.safetensors": lambda: with_header({}, b""),
    "names stand twice.safetensors": lambda: with_header(_TWICE),
    "offsets overlap.safetensors": two((0, 40), (24, 64)),
    "offsets leave a hole.safetensors": two((0, 16), (48, 64)),
    "offsets are reversed.safetensors": one("F32", [16], 64, 0),
    "offsets beyond the file.safetensors": one("F32", [2**40], 0, 2**42),
    "offsets beyond 64 bits.safetensors": one("F32", [16], 0, 2**64),
    "offsets below zero.safetensors": one("F32", [16], -64, 0),
    "a shape larger than its bytes.safetensors": one("F32", [17], 0, 64),
    "a shape smaller than its bytes.safetensors": one("F32", [15], 0, 64),
    "a shape that overflows.safetensors": one("F32", [2**32, 2**32, 4], 0, 64),
    "a shape that wraps around.safetensors": one("F32", [2**62, 4, 16], 0, 64),
    "a shape below zero.safetensors": one("F32", [-4, -4], 0, 64),
    "a shape of fractions.safetensors": one("F32", [1.5], 0, 64),
    "a shape of texts.safetensors": one("F32", ["16"], 0, 64),
    "a thousand dimensions.safetensors": one("F32", [16, *[1] * 999], 0, 64),
    "an unknown type.safetensors": one("PICKLE", [16], 0, 64),
    "a type of half bytes.safetensors": one("F4", [128], 0, 64),
    "a type that numpy lacks.safetensors": one("F8_E4M3", [8, 8], 0, 64),
    "another shape.safetensors": lambda: safetensors.numpy.save(
        {**arrays(), "weight_hh_l0": np.ones((7, 2), np.float32)}
    ),
    "a missing tensor.safetensors": one("F32", [8, 2], 0, 64),
    "NaN weights.safetensors": changed(np.nan),
    "infinite weights.safetensors": changed(-np.inf),
    "NaN in float16.safetensors": changed(np.nan, np.float16),
    "integer weights.safetensors": changed(dtype=np.int32),
    "quantised weights.safetensors": changed(dtype=np.uint8),
    "another net.safetensors": renamed("encoder.layer."),
    "names with line ends.safetensors": renamed("a\nb\r\x1b[31m\0"),
    "names of a megabyte.safetensors": renamed("a" * 100_000),
}
