"""What the site adds to the pages: tables and help texts that the code has."""

import re

import click

from lstm_edge.cli import main
from lstm_edge.measures.table import MEASURES

REPOSITORY = "https://github.com/lstm-edge/lstm-edge/blob/main/"


def on_page_markdown(markdown, **_):
    """Fill in what a page asks for, and lead out of the docs into the repository."""
    for name, make in {"commands": commands, "columns": columns}.items():
        marker = f"<!-- {name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    return re.sub(r"\]\(\.\./(?!reference/)", f"]({REPOSITORY}", markdown)


def commands():
    """Give the help of every command."""
    parts = []
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=f"lstm-edge {name}")
        context.max_content_width = 88
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def columns():
    """Give the columns of every measure."""
    parts = []
    for measure in MEASURES.values():
        if measure.columns:
            rows = [f"| `{c.name}` | {c.sentence} |" for c in measure.columns]
            head = [
                f"## {measure.name}",
                "",
                "| Column | What it is |",
                "| --- | --- |",
            ]
            parts.append("\n".join([*head, *rows, ""]))
    return "\n".join(parts)
