"""Studies: one training over seeds and settings, and what the claims come to."""

from lstm_edge.lab.studies.page import write_study
from lstm_edge.lab.studies.results import Study, open_study
from lstm_edge.lab.studies.studying import study

__all__ = ["Study", "open_study", "study", "write_study"]
