"""Measures: each a function of a net and what drives it."""
