"""The store: results in one SQLite file."""
