"""The report: one HTML page that opens offline, and the same figures as files."""

from lstm_edge.report.figures import plot_figure, save_figures
from lstm_edge.report.page import write_report

__all__ = ["plot_figure", "save_figures", "write_report"]
