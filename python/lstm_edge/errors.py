"""Every exception of the package."""

MOST = 2000
"""Characters of a message: names in a file can be as long as the file."""


def one_line(text: str) -> str:
    r"""Escape what a terminal would not print as it is, such as the end of a line."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


class LstmEdgeError(Exception):
    """Base of all errors that lstm-edge raises for its users; each is one line.

    Examples
    --------
    >>> import lstm_edge
    >>> try:
    ...     lstm_edge.open_sweep("nowhere")
    ... except lstm_edge.LstmEdgeError as error:
    ...     print(error)
    nowhere: no such store; expected the SQLite file that 'lstm-edge analyze' writes
    """

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
    """A checkpoint, or weights given in memory, cannot be used.

    Examples
    --------
    >>> import lstm_edge
    >>> try:
    ...     lstm_edge.as_weights({"fc.weight": [[1.0]]})
    ... except lstm_edge.CheckpointError as error:
    ...     print(str(error).partition(";")[0])
    weights: no LSTM, GRU or RNN found
    """


class StoreError(LstmEdgeError):
    """The store of results cannot be opened, read or written.

    Examples
    --------
    >>> import lstm_edge
    >>> try:
    ...     lstm_edge.open_sweep("results.sqlite")
    ... except lstm_edge.StoreError as error:
    ...     print(str(error).partition(";")[0])
    results.sqlite: no such store
    """


class UsageError(LstmEdgeError, ValueError):
    """An argument has a value that cannot work.

    Examples
    --------
    >>> import numpy as np
    >>> import lstm_edge
    >>> weights = {
    ...     "weight_ih_l0": np.zeros((4, 1)),
    ...     "weight_hh_l0": np.zeros((4, 1)),
    ... }
    >>> try:
    ...     lstm_edge.lyapunov(weights, steps=0)
    ... except lstm_edge.UsageError as error:
    ...     print(error)
    steps: expected an integer from 1 to 2^53, found 0
    """


class ConflictError(UsageError):
    """A folder holds a run with other settings."""
