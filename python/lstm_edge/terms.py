"""The words in which results say what a net does."""

from __future__ import annotations

PHASES = ("order", "edge", "chaos")
"""All that a phase can be, where it is known."""

SIGNED = ("order", "chaos")
"""The phases between which there are transitions; the edge lies between them."""

UNKNOWN = "unknown"
"""The phase where an orbit left the finite numbers."""

ATTRACTORS = ("fixed_point", "cycle", "torus", "chaos", "undecided")
"""What a start may end on, from order to chaos."""
