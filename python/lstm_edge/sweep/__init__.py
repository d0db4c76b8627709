"""Sweeps: the measures of every checkpoint, into a store."""
