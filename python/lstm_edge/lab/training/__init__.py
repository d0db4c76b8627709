"""Training with PyTorch: dense checkpoints, and resumption with the same bits."""

from lstm_edge.lab.training.training import train

__all__ = ["train"]
