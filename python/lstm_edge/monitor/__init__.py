"""A net in training, measured beside it."""
