"""Fuzzing of all that reads files."""
