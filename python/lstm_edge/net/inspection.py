"""What a checkpoint holds: its nets, their sizes, and how each can be analysed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from lstm_edge.display import counted
from lstm_edge.errors import CheckpointError, one_line
from lstm_edge.files.places import as_place
from lstm_edge.net.assemble import assemble, embedding_name, readout_name
from lstm_edge.net.modules import Module, Tensors, list_modules
from lstm_edge.net.reading import read_named
from lstm_edge.net.weights import Weights

_SHOWN = 20
"""Tensors listed where there is no net among them."""

_MOST_NETS = 200
"""Nets looked at: a file can be made of nothing but names of nets."""


@dataclass(frozen=True)
class FoundNet:
    """A recurrent net in a checkpoint.

    Attributes
    ----------
    name : str
        What chooses it, as ``module=`` and ``--module``.
    cell : str
        "" where it cannot be used, as all that follows.
    input_size : int
    hidden_sizes : tuple of int
        Units of each layer, from the input upwards.
    state_size : int
        Dimension n of the state.
    dtype : str
        Of the weights as they are read.
    readout, embedding : str
        Names of these tensors; "" where none is found.
    analyses : tuple of str
        Input regimes that it can be analysed in: zero, constant, driven, tokens,
        closed loop.
    assumed : str
        What of the cell the files do not say, in a sentence; "" where nothing is.
    unused : tuple of str
        Tensors of its own that are not among what is read: a cell with other formulas?
    problem : str
        Why it cannot be used.
    """

    name: str
    cell: str = ""
    input_size: int = 0
    hidden_sizes: tuple[int, ...] = ()
    state_size: int = 0
    dtype: str = ""
    readout: str = ""
    embedding: str = ""
    analyses: tuple[str, ...] = ()
    assumed: str = ""
    unused: tuple[str, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        """Return some lines for people."""
        if self.problem:
            return f"net {self.name!r}\n  cannot be used: {self.problem}"
        sizes = " -> ".join(map(str, (self.input_size, *self.hidden_sizes)))
        layers = len(self.hidden_sizes)
        return "\n".join(
            [
                f"net {self.name!r}",
                f"  cell       {self.cell}, {counted(layers, 'layer')}",
                f"  sizes      {sizes} (inputs -> hidden units), state n = "
                f"{self.state_size}",
                f"  dtype      {self.dtype}",
                f"  readout    {self.readout or 'none found'}",
                f"  embedding  {self.embedding or 'none found'}",
                f"  analyses   {', '.join(self.analyses)}",
                *([f"  assumed    {self.assumed}"] if self.assumed else []),
                *(f"  not used   {name}" for name in self.unused),
            ]
        )


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint holds.

    Attributes
    ----------
    source : str
    tensors : dict of str to (shape, dtype)
        All of them.
    bytes : int
        Of their values.
    nets : tuple of FoundNet
        At most 200.
    metadata : dict of str to str
        What it says of itself.
    more : int
        Further nets, which are not looked at.
    """

    source: str
    tensors: dict[str, tuple[tuple[int, ...], str]]
    bytes: int
    nets: tuple[FoundNet, ...]
    metadata: dict[str, str]
    more: int = 0

    @property
    def usable(self) -> bool:
        """Whether any of the nets can be analysed."""
        return any(not net.problem for net in self.nets)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain Python numbers and lists."""
        return asdict(self)

    def __repr__(self) -> str:
        """Return some lines for people, which a terminal prints as they are."""
        return "\n".join(map(one_line, self._lines()))

    def _lines(self) -> list[str]:
        count = len(self.tensors)
        lines = [f"{self.source}: {count} tensors, {self.bytes} bytes"]
        lines += [line for net in self.nets for line in str(net).split("\n")]
        if self.more:
            lines.append(f"and {self.more} more nets, which are not looked at")
        if not self.nets:
            lines.append("no LSTM, GRU or RNN among them:")
            shown = list(self.tensors.items())[:_SHOWN]
            lines += [f"  {name} {shape} {dtype}" for name, (shape, dtype) in shown]
        elif len(self.nets) > 1:
            plain = [net.name for net in self.nets if "(" not in net.name][:2]
            together = f"; layers of one net: --module '{', '.join(plain)}'"
            lines.append(
                "choose one by its name: --module, or module= in Python"
                + (together if len(plain) == 2 else "")
            )
        said = [
            f"{name} = {text}"
            for name, text in self.metadata.items()
            if not name.endswith(".assumed")
        ]
        if said:
            lines.append(f"metadata: {', '.join(said)}")
        return lines


def inspect_checkpoint(
    path: str | PathLike[str],
    *,
    readout: str | None = None,
    embedding: str | None = None,
) -> Inspection:
    """Say what a checkpoint holds, and which analyses are possible.

    Parameters
    ----------
    path, readout, embedding
        As in `lstm_edge.read_checkpoint`.

    Returns
    -------
    Inspection

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or unsafe.

    Examples
    --------
    >>> import lstm_edge
    >>> file = "runs/digits/checkpoints/update-00000000.safetensors"
    >>> print(lstm_edge.inspect_checkpoint(file))  # doctest: +ELLIPSIS
    runs/digits/checkpoints/update-00000000.safetensors: ... tensors, ... bytes
    ...
    """
    tensors, metadata = read_named(as_place(path))
    names, found = (readout, embedding), list_modules(tensors)
    nets = [
        _inspect(tensors, metadata, str(path), module, *names)
        for module in found[:_MOST_NETS]
    ]
    about = {n: (tuple(map(int, t.shape)), str(t.dtype)) for n, t in tensors.items()}
    size = sum(int(tensor.nbytes) for tensor in tensors.values())
    more = len(found) - len(nets)
    return Inspection(str(path), about, size, tuple(nets), metadata, more)


def _inspect(
    tensors: Tensors,
    metadata: dict[str, str],
    source: str,
    module: Module,
    readout: str | None,
    embedding: str | None,
) -> FoundNet:
    name = str(module)
    try:
        net = assemble(tensors, metadata, source, name, readout, embedding)
        top, low = net.layers[-1].output_size, net.input_size
        return FoundNet(
            name=name,
            cell=net.formulas,
            input_size=low,
            hidden_sizes=net.hidden_sizes,
            state_size=net.state_size,
            dtype=str(net.dtype),
            readout=readout_name(tensors, module, top, source, readout) or "",
            embedding=embedding_name(tensors, low, source, embedding) or "",
            analyses=_analyses(net),
            assumed=net.assumed,
            unused=net.unused,
        )
    except CheckpointError as error:
        return FoundNet(name, problem=str(error).removeprefix(f"{source}: "))


def _analyses(net: Weights) -> tuple[str, ...]:
    possible = ["zero", "constant", "driven"]
    if net.embedding is not None:
        possible.append("tokens")
    if net.readout is not None and len(net.readout[0]) == net.input_size:
        possible.append("closed loop")
    return tuple(possible)
