"""Pages that need no network and no other file: Plotly, style and data are inlined."""

from __future__ import annotations

import html
from importlib.resources import files
from os import PathLike
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from lstm_edge.files.places import not_written, replace_file


def write_page(path: str | PathLike[str], template: str, **parts: str) -> Path:
    """Fill a template in and write it, beside and renamed into place.

    Parameters
    ----------
    path : path
    template : str
        The page, with ``$name`` for what is filled in.
    **parts : str
        What it leaves open, beside the style and the scripts.

    Returns
    -------
    Path

    Raises
    ------
    LstmEdgeError
        If the file cannot be written: a UsageError, unless the disk is full.
    """
    page = Template(template).substitute(
        plotly=get_plotlyjs(),
        style=resource("lstm_edge.report", "style.css"),
        draw=resource("lstm_edge.report", "draw.js"),
        **parts,
    )
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, page.encode())
    except OSError as error:
        raise not_written(target, error) from error
    return target


def resource(package: str, name: str) -> str:
    """Read a file of text that lies beside the modules of a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Make a table of text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
