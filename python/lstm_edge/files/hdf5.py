"""HDF5 as Keras writes it, read without the HDF5 library.

Damaged files make that library crash the process, and files can have it open others. Of
the format only what h5py writes by default is followed: groups as symbol tables, arrays
in one piece, attributes that are texts. Links, and arrays outside of the file, are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from lstm_edge.errors import CheckpointError
from lstm_edge.files.hdf5_file import ATTRIBUTE, LAYOUT, LONGEST, TABLE, File
from lstm_edge.files.layers import Array

_OUTSIDE = (0x02, 0x06, 0x07)  # links as newer files keep them, external arrays


def read_hdf5(
    data: bytes, source: str
) -> tuple[dict[str, Array], dict[str, dict[str, str]]]:
    """Read all arrays of numbers, and all attributes that are texts.

    Returns
    -------
    arrays : dict of str to ndarray
        By path, such as ``layers/lstm/cell/vars/0``.
    attributes : dict of str to dict
        By the path of their group or array; the root is "".

    Raises
    ------
    CheckpointError
        If the file reaches outside of itself or is compressed.
    ValueError, struct.error
        If it is damaged, or of a layout that h5py writes only when asked to.
    """
    file = File(data)
    arrays: dict[str, Array] = {}
    attributes: dict[str, dict[str, str]] = {}
    left = len(data)
    pending, seen = [("", file.root())], set()
    while pending:
        path, address = pending.pop()
        if address in seen:
            continue  # a group can contain itself
        seen.add(address)
        messages = list(file.messages(address))
        attributes[path] = dict(
            file.attribute(start) for kind, start in messages if kind == ATTRIBUTE
        )
        found = dict(reversed(messages))
        if any(kind in found for kind in _OUTSIDE):
            raise _reaches_out(source, path, "a group of links, or an external array")
        if TABLE in found:
            pending += _members(file, found[TABLE], source, path)
        elif LAYOUT in found:
            array = file.array(found, source, path, left)
            if array is not None:
                left -= array.nbytes
                arrays[path] = array
    return dict(sorted(arrays.items())), attributes


def _members(
    file: File, table: int, source: str, path: str
) -> Iterator[tuple[str, int]]:
    """Paths and addresses of what a group holds."""
    for name, address, is_link in file.members(table):
        inside = f"{path}/{name}" if path else name
        if len(inside) > LONGEST:
            raise ValueError(f"a path of more than {LONGEST} characters")
        if is_link:
            raise _reaches_out(source, inside, "a link")
        yield inside, address


def _reaches_out(source: str, path: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: '{path}' is {what}, which may reach into other files; expected "
        "arrays in the file itself, as Keras writes them"
    )
