"""Measures: each a function of a net and what drives it."""

from lstm_edge.measures.attractor import Attractor, Attractors
from lstm_edge.measures.covariant import CovariantVectors
from lstm_edge.measures.distance import AsymptoticDistance
from lstm_edge.measures.exponents import LyapunovSpectrum
from lstm_edge.measures.near_edge import at_edge
from lstm_edge.measures.newton import FixedPoints
from lstm_edge.measures.orbits import Orbit
from lstm_edge.measures.table import MEASURES

__all__ = [
    "MEASURES",
    "AsymptoticDistance",
    "Attractor",
    "Attractors",
    "CovariantVectors",
    "FixedPoints",
    "LyapunovSpectrum",
    "Orbit",
    "at_edge",
]
