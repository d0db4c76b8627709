"""Training tasks, and the presets of their settings."""

from lstm_edge.lab.tasks.table import PRESETS, TASKS, make_task
from lstm_edge.lab.tasks.task import Task

__all__ = ["PRESETS", "TASKS", "Task", "make_task"]
