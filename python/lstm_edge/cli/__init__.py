"""The command line: parsing and printing, nothing else."""

from lstm_edge.cli import reports, studies, sweeps, training
from lstm_edge.cli.group import main

__all__ = ["main", "reports", "studies", "sweeps", "training"]
