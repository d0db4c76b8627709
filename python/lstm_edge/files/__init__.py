"""Checkpoint files: bytes to tensors by name, and where the files lie. No nets here."""
