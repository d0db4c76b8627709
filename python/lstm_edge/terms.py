"""The words in which results say what a net does."""

from __future__ import annotations

PHASES = ("order", "edge", "chaos")
"""All that a phase can be, where it is known."""

SIGNED = ("order", "chaos")
"""The phases between which there are transitions; the edge lies between them."""

UNDECIDED = "undecided"
"""The phase where the longest run cannot tell; it counts as none of these."""

UNKNOWN = "unknown"
"""The phase where an orbit left the finite numbers, or grows for ever."""

ATTRACTORS = ("fixed_point", "cycle", "torus", "chaos", "unbounded", "undecided")
"""What a start may end on, from order to chaos."""
