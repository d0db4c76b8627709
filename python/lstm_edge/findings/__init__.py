"""What the rows of a run say: transitions, descents, and the claims about both."""
