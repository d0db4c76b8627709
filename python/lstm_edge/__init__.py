"""Where a recurrent net in training crosses between order and chaos.

`lyapunov`, `attractors`, `asymptotic_distance` and `orbit` measure one net; `analyze`
sweeps over the checkpoints of a training run, finds the order-chaos transitions and
advises one. `EdgeMonitor` measures a net while it trains.
"""

from lstm_edge._core import __version__
from lstm_edge.checkpoints import as_weights, find_checkpoints, read_checkpoint
from lstm_edge.checkpoints.inspection import inspect_checkpoint
from lstm_edge.errors import CheckpointError, LstmEdgeError, StoreError, UsageError
from lstm_edge.findings.advice import advise
from lstm_edge.findings.claims import check_claims
from lstm_edge.findings.transitions import find_transitions
from lstm_edge.measures import (
    asymptotic_distance,
    attractors,
    covariant_vectors,
    fixed_points,
    lyapunov,
    orbit,
)
from lstm_edge.monitoring.history import MonitorResult
from lstm_edge.monitoring.monitor import EdgeMonitor
from lstm_edge.monitoring.stopping import EdgeStopping
from lstm_edge.results import Sweep, open_sweep
from lstm_edge.results.merging import merge_stores
from lstm_edge.sweep import analyze
from lstm_edge.sweep.watching import watch
from lstm_edge.tanh_map import analogy

__all__ = [
    "CheckpointError",
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
    "check_claims",
    "covariant_vectors",
    "find_checkpoints",
    "find_transitions",
    "fixed_points",
    "inspect_checkpoint",
    "lyapunov",
    "merge_stores",
    "open_sweep",
    "orbit",
    "read_checkpoint",
    "watch",
]
