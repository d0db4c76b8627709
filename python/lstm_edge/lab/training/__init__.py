"""Training with PyTorch: dense checkpoints, and resumption with the same bits."""
