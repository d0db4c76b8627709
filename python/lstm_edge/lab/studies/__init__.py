"""Studies: one training over seeds and settings, and what the claims come to."""
