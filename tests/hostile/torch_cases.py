"""Hostile ``.pt`` files: of PyTorch 1.6 and later, and of before."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from typing import Any

import torch

from hostile.sound import (
    Harm,
    Make,
    arrays,
    cuts,
    torch_bytes,
    torch_saved,
    zip_boundaries,
    zipped,
)


def with_pickle(body: bytes, storage: bytes = b"\0" * 64, **more: bytes) -> Make:
    """Give an archive as torch.save writes it, around a pickle made by hand."""
    members = {
        "net/data.pkl": b"\x80\x02" + body + b".",
        "net/version": b"3\n",
        "net/data/0": storage,
    }
    return lambda: zipped(members | {f"net/{k}": v for k, v in more.items()})


def number(value: int) -> bytes:
    length = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True)


def text(value: bytes) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value


def many(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    numel: int = 16,
    offset: int = 0,
    size: tuple[int, ...] = (8, 2),
    stride: tuple[int, ...] = (2, 1),
    kind: bytes = b"torch\nFloatStorage\n",
    key: bytes = b"0",
    rebuild: bytes = b"_rebuild_tensor_v2",
) -> bytes:
    """Pickle of a tensor of 16 floats, with lies in any place."""
    storage = b"(" + text(b"storage") + b"c" + kind + text(key) + text(b"cpu")
    return (
        b"ctorch._utils\n" + rebuild + b"\n(" + storage + number(numel) + b"tQ"
        + number(offset) + many(*size) + many(*stride) + b"\x89}tR"
    )  # fmt: skip


def one(**lies: Any) -> Make:
    """Give a state_dict of one tensor."""
    return with_pickle(b"}" + text(b"weight_hh_l0") + tensor(**lies) + b"s")


def keyed(key: bytes) -> Make:
    """Give a dictionary with an odd key."""
    return with_pickle(b"}" + key + b"K\x01s")


def legacy(
    body: bytes, keys: bytes = b"](" + text(b"0") + b"e", data: bytes = b""
) -> Make:
    """Give a file of PyTorch before 1.6."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    head += pickle.dumps({"little_endian": True}, 2)
    return lambda: head + b"\x80\x02" + body + b"." + b"\x80\x02" + keys + b"." + data


_OLD = (16).to_bytes(8, "little") + bytes(64)


def old(numel: int = 16, data: bytes = _OLD, **lies: Any) -> Make:
    body = b"}" + text(b"weight_hh_l0") + tensor(numel=numel, **lies) + b"s"
    return legacy(body, data=data)


def pickle_ends(data: bytes) -> list[int]:
    """Give where the pickles at the beginning of an old file end."""
    file, ends = io.BytesIO(data), []
    for _ in range(5):
        for _ in pickletools.genops(file):
            pass
        ends.append(file.tell())
    return [*ends, ends[-1] + 4, ends[-1] + 8, ends[-1] + 12, len(data) - 1]


def endless() -> dict[str, Any]:
    held: dict[str, Any] = {}
    held["again"] = held
    return held


def with_weights(weights: torch.Tensor) -> Make:
    """Give a sound state_dict but for one tensor."""
    sound = {name: torch.from_numpy(array) for name, array in arrays().items()}
    return lambda: torch_saved({**sound, "weight_hh_l0": weights})


def bomb() -> bytes:
    """Declare and hold 64 MB of zeros, in 64 kB."""
    members = {"net/data.pkl": b"\x80\x02}.", "net/data/0": bytes(2**26)}
    return zipped(members, zipfile.ZIP_DEFLATED)


def two_directories() -> bytes:
    """Show another directory to those who count from the end of the file."""
    data = torch_bytes()
    end = data.rindex(b"PK\x05\x06")
    begin = data.index(b"PK\x01\x02")
    return data[:end] + data[begin:end] + data[end:]


DEEP = 200_000

CASES: dict[str, Make] = {
    **cuts(torch_bytes(), zip_boundaries(torch_bytes()), ".pt"),
    **cuts(torch_bytes(legacy=True), pickle_ends(torch_bytes(legacy=True)), ".pth"),
    "wrong magic.pt": lambda: b"PL" + torch_bytes()[2:],
    "an archive of something else.pt": lambda: zipped({"word/document.xml": b"<w/>"}),
    "two pickles.pt": with_pickle(b"}", **{"inner/data.pkl": b"\x80\x02}."}),
    "two directories.pt": two_directories,
    "code.pt": lambda: torch_saved({"weight_hh_l0": Harm()}),
    "code, before 1.6.pt": lambda: torch_saved({"weight_hh_l0": Harm()}, legacy=True),
    "code, deep inside.pt": lambda: torch_saved({"a": [{"b": ({"c": Harm()},)}]}),
    "code, bare.pt": lambda: pickle.dumps(Harm(), 2),
    "code, by an old instruction.pt": with_pickle(
        b"(S'code-ran'\nS'w'\nibuiltins\nopen\n"
    ),
    "code, by a new instruction.pt": with_pickle(
        text(b"builtins")
        + text(b"open")
        + b"\x93"
        + text(b"code-ran")
        + text(b"w")
        + b"\x86R"
    ),
    "code, by an extension.pt": with_pickle(b"\x82\x01)R"),
    "code, as a state.pt": with_pickle(
        b"cbuiltins\nopen\n}" + text(b"__setstate__") + b"cos\nabort\nsb"
    ),
    "code, in the name of a storage.pt": one(kind=b"os\nabort\n"),
    "code, in the state of a module.pt": with_pickle(
        b"ctorch.nn.modules.rnn\nLSTM\n)\x81}"
        + text(b"_parameters")
        + b"cos\nsystem\n("
        + text(b"touch code-ran")
        + b"tRsb"
    ),
    "a script.pt": with_pickle(
        b"}", **{"constants.pkl": b"\x80\x02).", "code/a.py": b""}
    ),
    "a list.pt": lambda: torch_saved([torch.zeros(2)]),
    "a number.pt": lambda: torch_saved(3),
    "contains itself.pt": lambda: torch_saved(endless()),
    "a list that contains itself.pt": with_pickle(b"]q\0h\0a"),
    "deep tuples.pt": with_pickle(b")" + b"\x85" * DEEP),
    "deep tuples as a key.pt": keyed(b")" + b"\x85" * DEEP),
    "deep lists.pt": with_pickle(b"]" * DEEP + b"a" * (DEEP - 1)),
    "deep dictionaries.pt": with_pickle(
        b"K\0q\0" + b"}h\0" * DEEP + b"}" + b"s" * DEEP
    ),
    "names that grow.pt": with_pickle(
        text(b"a" * 300_000) + b"q\0" + b"}h\0" * 1000 + b"}" + b"s" * 1000
    ),
    "a million lists.pt": with_pickle(b"]" * 1_000_000),
    "a million dictionaries.pt": with_pickle(b"}" * 1_000_000),
    "a pickle of 4 MB.pt": with_pickle(b"N" * 4_000_000),
    "numbers that collide as keys.pt": with_pickle(
        b"}(" + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(60_000)) + b"u"
    ),
    "a number of a million digits.pt": with_pickle(
        b"}" + text(b"epoch") + b"\x8b\x20\xa1\7\0" + b"\x7f" * 500_000 + b"s"
    ),
    "a memo of 2^32.pt": with_pickle(b"}r\xff\xff\xff\xff"),
    "a text of 4 GB.pt": with_pickle(b"X\xff\xff\xff\xff}"),
    "bytes of 2^63.pt": with_pickle(b"\x8e" + b"\xff" * 7 + b"\x7f}"),
    "a frame of 2^63.pt": with_pickle(b"\x95" + b"\xff" * 7 + b"\x7f]"),
    "no mark.pt": with_pickle(b"t"),
    "no operands.pt": with_pickle(b"R"),
    "nothing remembered.pt": with_pickle(b"h\5"),
    "a mark after its end.pt": with_pickle(b"}((00u"),
    "an unknown instruction.pt": with_pickle(b"\xff"),
    "no stop.pt": lambda: zipped({"net/data.pkl": b"\x80\x02}"}),
    "items for a tuple.pt": with_pickle(b")K\1K\2s"),
    "items for a tensor.pt": with_pickle(tensor() + b"K\1K\2s"),
    "state of a tensor.pt": with_pickle(tensor() + b"}b"),
    "a key that is a float.pt": keyed(b"G" + bytes(8)),
    "a key that is a list.pt": keyed(b"]"),
    "names with line ends.pt": with_pickle(
        b"}" + text(b"a\nb\x1b[31m") + tensor() + b"s"
    ),
    "names with half characters.pt": with_pickle(
        b"}" + text(b"\xed\xa0\x80") + tensor() + b"s"
    ),
    "a storage of 4 TB.pt": one(numel=2**40),
    "a storage of 2^70 values.pt": one(numel=2**70),
    "a storage below zero.pt": one(numel=-16),
    "a storage that is missing.pt": one(key=b"7"),
    "a storage out of the folder.pt": one(key=b"../../../etc/passwd"),
    "a storage of an unknown type.pt": one(kind=b"torch\nBlobStorage\n"),
    "a storage smaller than said.pt": with_pickle(
        b"}" + text(b"weight_hh_l0") + tensor() + b"s", b"\0" * 60
    ),
    "a tensor larger than its storage.pt": one(size=(8, 4)),
    "a tensor behind its storage.pt": one(offset=1),
    "a tensor before its storage.pt": one(offset=-1),
    "strides beyond the storage.pt": one(stride=(4, 1)),
    "strides below zero.pt": one(offset=15, stride=(-2, -1)),
    "strides that wrap around.pt": one(size=(5, 2), stride=(2**60, 1)),
    "strides of nothing.pt": one(size=(2**20, 2**18), stride=(0, 0)),
    "a shape that overflows.pt": one(size=(2**40, 2**40), stride=(0, 0)),
    "a shape of nothing and much.pt": one(size=(0, 2**62)),
    "more dimensions than strides.pt": one(size=(8, 2, 1)),
    "a thousand dimensions.pt": one(size=(1,) * 1000, stride=(1,) * 1000),
    "a storage of 4 TB, before 1.6.pt": old(2**40, (2**40).to_bytes(8, "little")),
    "a storage cut short, before 1.6.pt": old(data=_OLD[:-1]),
    "a storage of another length, before 1.6.pt": old(data=b"\x0f" + _OLD[1:]),
    "a part of a storage, before 1.6.pt": legacy(
        b"}" + text(b"weight_hh_l0") + tensor().replace(b"tQ", b"(K\1K\2K\3ttQ") + b"s",
        data=_OLD,
    ),
    "strides that wrap around, before 1.6.pt": old(size=(5, 2), stride=(2**60, 1)),
    "storages that are no list, before 1.6.pt": legacy(b"}", b"K\5"),
    "a storage that nobody named, before 1.6.pt": legacy(b"}", data=bytes(64)),
    "a bomb.pt": bomb,
    "NaN weights.pt": with_weights(torch.full((8, 2), torch.nan)),
    "infinite weights.pt": with_weights(torch.full((8, 2), -torch.inf)),
    "integer weights.pt": with_weights(torch.ones(8, 2, dtype=torch.int8)),
    "a weight for three dimensions.pt": with_weights(torch.ones(8, 2, 1)),
    "quantised weights.pt": one(
        kind=b"torch\nQInt8Storage\n", rebuild=b"_rebuild_qtensor", numel=64
    ),
    "sparse weights.pt": lambda: torch_saved(
        {"weight_hh_l0": torch.eye(8).to_sparse()}
    ),
    "weights without values.pt": lambda: torch_saved(
        {"weight_hh_l0": torch.empty(8, 2, device="meta")}
    ),
}
