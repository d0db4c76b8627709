"""Every exception of the package."""

MOST = 2000
"""Characters of a message: names in a file can be as long as the file."""


def one_line(text: str) -> str:
    r"""Escape what a terminal would not print as it is, such as the end of a line."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


class LstmEdgeError(Exception):
    """Base of all errors that lstm-edge raises for its users; each is one line."""

    def __init__(self, message: str) -> None:
        if len(message) > MOST:
            message = f"{message[: MOST // 2]} ... {message[-MOST // 2 :]}"
        super().__init__(one_line(message))


def no_more_threads(error: RuntimeError) -> LstmEdgeError:
    """Say that a thread could not be started."""
    return LstmEdgeError(
        f"{error}: the system allows this process no more; raise its limit (ulimit -u, "
        "or that of the container), or take fewer workers and threads"
    )


class CheckpointError(LstmEdgeError):
    """A checkpoint, or weights given in memory, cannot be used."""


class StoreError(LstmEdgeError):
    """The store of results cannot be opened, read or written."""


class UsageError(LstmEdgeError, ValueError):
    """An argument has a value that cannot work."""


class ConflictError(UsageError):
    """A folder holds a run with other settings."""
