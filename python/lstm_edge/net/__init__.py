"""Recurrent nets: from tensors by name to weights."""
