"""Where a recurrent net in training crosses between order and chaos.

`lyapunov`, `attractors`, `asymptotic_distance` and `orbit` measure one net; `analyze`
sweeps over the checkpoints of a training run, finds the order-chaos transitions and
advises one. `EdgeMonitor` measures a net while it trains.
"""

from lstm_edge._core import __version__
from lstm_edge.errors import CheckpointError, LstmEdgeError, StoreError, UsageError
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.lab.analogy import analogy
from lstm_edge.measures.attractor import attractors
from lstm_edge.measures.covariant import covariant_vectors
from lstm_edge.measures.distance import asymptotic_distance
from lstm_edge.measures.exponents import lyapunov
from lstm_edge.measures.newton import fixed_points
from lstm_edge.measures.orbits import orbit
from lstm_edge.measures.silence import silence
from lstm_edge.monitor.averaging import EdgeAveraging
from lstm_edge.monitor.history import MonitorResult
from lstm_edge.monitor.monitor import EdgeMonitor
from lstm_edge.monitor.stopping import EdgeStopping
from lstm_edge.net.inspection import inspect_checkpoint
from lstm_edge.net.reading import as_weights, read_checkpoint
from lstm_edge.results.averaging import average_checkpoints
from lstm_edge.results.merging import merge_stores
from lstm_edge.results.sweep import Sweep, open_sweep
from lstm_edge.sweep.analysis import analyze
from lstm_edge.sweep.watching import watch
from lstm_edge.track.advice import advise
from lstm_edge.track.claims import check_claims
from lstm_edge.track.transitions import (
    find_stability_transitions,
    find_transitions,
)

__all__ = [
    "CheckpointError",
    "EdgeAveraging",
    "EdgeMonitor",
    "EdgeStopping",
    "LstmEdgeError",
    "MonitorResult",
    "StoreError",
    "Sweep",
    "UsageError",
    "__version__",
    "advise",
    "analogy",
    "analyze",
    "as_weights",
    "asymptotic_distance",
    "attractors",
    "average_checkpoints",
    "check_claims",
    "covariant_vectors",
    "find_checkpoints",
    "find_stability_transitions",
    "find_transitions",
    "fixed_points",
    "inspect_checkpoint",
    "lyapunov",
    "merge_stores",
    "open_sweep",
    "orbit",
    "read_checkpoint",
    "silence",
    "watch",
]
