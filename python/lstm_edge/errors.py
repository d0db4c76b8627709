"""Every exception of the package."""


class LstmEdgeError(Exception):
    """Base of all errors that lstm-edge raises for its users."""


class CheckpointError(LstmEdgeError):
    """A checkpoint, or weights given in memory, cannot be used."""


class StoreError(LstmEdgeError):
    """The store of results cannot be opened, read or written."""


class UsageError(LstmEdgeError, ValueError):
    """An argument has a value that cannot work."""
