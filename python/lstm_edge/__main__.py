"""`python -m lstm_edge` is the same as `lstm-edge`."""

from lstm_edge.cli import main

main(prog_name="lstm-edge")
