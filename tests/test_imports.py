"""What each module may import: the flow of data has one direction."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lstm_edge

PACKAGE = Path(lstm_edge.__file__).parent

# The modules of this package and the packages of others that each may import, beside
# the standard library. A folder is one place; its files may import one another.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"_core", "advice", "checkpoints", "claims", "errors", "history"}
    | {"inspection", "measures", "merging", "monitor", "results", "stopping", "sweep"}
    | {"tanh_map", "transitions", "watching"},
    "errors": set(),
    "display": {"numpy"},
    "terms": set(),
    # checkpoint files
    "weights": {"numpy"},
    "modules": {"errors", "weights"},
    "shapes": {"errors"},
    "finding": {"errors", "modules", "numpy", "shapes", "weights"},
    "places": {"errors", "upath"},
    "foreign_formats": {"errors", "extras", "numpy", "shapes"},
    "formats": {"errors", "foreign_formats", "numpy", "places", "safetensors"},
    "folders": {"errors", "formats", "places"},
    "checkpoints": {"errors", "finding", "folders", "foreign_formats", "formats"}
    | {"places", "weights"},
    "inspection": {"checkpoints", "errors", "finding", "modules", "places", "weights"},
    "metrics": {"checkpoints", "errors", "formats", "numpy", "places"},
    # training writes them
    "tasks": {"errors", "formats", "numpy", "pandas", "scipy", "sklearn", "torch"},
    "schedules": {"errors"},
    "runs": {"checkpoints", "errors", "locking", "metrics", "numpy", "places", "torch"},
    "trainer": {"numpy", "runs", "tasks", "torch"},
    "recording": {"checkpoints", "errors", "runs", "schedules", "torch", "trainer"},
    "space": {"display", "errors", "recording", "schedules", "trainer"},
    "training": {"errors", "numpy", "recording", "runs", "schedules", "space", "tasks"}
    | {"torch", "trainer"},
    "zoom": {"checkpoints", "errors", "numpy", "recording", "runs", "safetensors"}
    | {"space", "tasks", "trainer", "training"},
    # measures know weights, not files
    "measures": {"_core", "checkpoints", "display", "errors", "numpy", "scipy"}
    | {"terms", "weights"},
    # the sweep reads checkpoints and writes the store
    "store": {"errors", "locking", "numpy", "safetensors", "terms"},
    "locking": {"errors"},
    "discovery": {"checkpoints", "errors", "metrics", "places"},
    "plan": {"discovery", "errors", "measures", "metrics", "numpy"},
    "destination": {"_core", "discovery", "errors", "numpy", "places", "plan", "store"},
    "evaluation": {"_core", "checkpoints", "errors", "measures", "numpy", "plan"}
    | {"store", "weights"},
    "pool": {"checkpoints", "evaluation", "store"},
    "sweep": {"checkpoints", "destination", "discovery", "errors", "evaluation"}
    | {"measures", "numpy", "places", "plan", "pool", "results", "visiting"},
    "visiting": {"numpy", "refinement"},
    "watching": {"checkpoints", "destination", "discovery", "errors", "evaluation"}
    | {"advice", "measures", "numpy", "places", "plan", "pool", "refinement", "store"}
    | {"transitions", "visiting"},
    # everything after the store only reads rows
    "bifurcations": {"numpy"},
    "transitions": {"numpy", "terms"},
    "advice": {"display", "numpy", "terms", "transitions"},
    "refinement": {"numpy", "terms", "transitions"},
    "descents": {"numpy", "scipy"},
    "association": {"numpy", "scipy"},
    "claims": {"advice", "association", "descents", "display", "numpy", "transitions"},
    "zoom_intervals": {"descents", "numpy", "transitions"},
    "padding": {"errors", "numpy"},
    "results": {"advice", "bifurcations", "claims", "display", "export", "metrics"}
    | {"numpy", "padding", "pandas", "places", "refinement", "report", "store"}
    | {"terms", "transitions", "xarray", "zoom_intervals"},
    "merging": {"errors", "places", "results", "store"},
    "export": {"errors", "numpy", "padding", "pandas", "results", "store", "xarray"},
    "report": {"display", "errors", "matplotlib", "numpy", "places", "plotly"}
    | {"results", "studies", "tanh_map", "transitions"},
    # a net in training, measured beside it
    "background": set(),
    "history": {"advice", "pandas", "transitions"},
    "monitor": {"_core", "background", "checkpoints", "errors", "history", "measures"}
    | {"numpy", "pandas", "transitions", "weights"},
    "stopping": {"errors", "history", "measures", "transitions"},
    "extras": {"errors"},
    "integrations": {"errors", "extras", "monitor", "places", "stopping"},
    # many runs
    "studies": {"claims", "display", "errors", "formats", "history", "measures"}
    | {"metrics"}
    | {"numpy", "pandas", "plan", "report", "results", "runs", "scipy", "space"}
    | {"stopping", "sweep", "tasks", "torch", "trainer", "training", "transitions"},
    # a map to compare training with
    "tanh_map": {"_core", "display", "errors", "measures", "numpy", "report"}
    | {"transitions"},
    # the command line
    "cluster": {"distributed", "errors"},
    # the command line
    "console": {"click", "display", "results", "rich", "studies", "tanh_map"}
    | {"terms", "watching"},
    "bench": {"_core", "checkpoints", "errors", "jax", "measures", "metrics", "numpy"}
    | {"places", "sweep", "torch", "weights"},
    "demo": {"results", "sweep", "training"},
    "cli": {"__version__", "bench", "click", "cluster", "console", "demo"}
    | {
        "display",
        "errors",
        "export",
        "inspection",
        "measures",
        "merging",
        "report",
        "results",
        "rich",
        "space",
        "studies",
        "sweep",
    }
    | {"tanh_map", "training", "watching", "zoom"},
}
HEAVY = ("torch", "matplotlib", "plotly", "pandas", "scipy", "sklearn", "xarray")


def modules() -> list[str]:
    """Dotted names below the package, such as ``measures.distance``."""
    files = (file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))
    return sorted(".".join(file.with_suffix("").parts) for file in files)


def imported(module: str) -> Iterator[str]:
    """First names that a module imports anywhere, also inside its functions."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where from"
            assert node.module is not None
            own = node.module == "lstm_edge"
            names = (
                [f"lstm_edge.{alias.name}" for alias in node.names]
                if own
                else [node.module]
            )
        for name in names:
            first, _, rest = name.partition(".")
            yield rest.partition(".")[0] if first == "lstm_edge" else first


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_what_its_place_allows(module: str) -> None:
    place = module if module in MAY_IMPORT else module.partition(".")[0]
    assert place in MAY_IMPORT, f"{module}: give it a row in MAY_IMPORT"
    found = {name for name in imported(module) if name not in sys.stdlib_module_names}
    assert found - MAY_IMPORT[place] - {place} == set()


def test_the_table_has_no_row_without_a_module() -> None:
    places = {module.partition(".")[0] for module in modules()} | set(modules())
    assert set(MAY_IMPORT) <= places


LIGHT = {
    "import": "",
    "measure": "lstm_edge.lyapunov(find_checkpoints(folder)[0].path, steps=9)",
    "monitor": (
        "with lstm_edge.EdgeMonitor(steps=9) as monitor:\n"
        "    monitor.update(lstm_edge.as_weights(find_checkpoints(folder)[0].path))"
    ),
    "analyze": "lstm_edge.analyze(folder, settings={'distance': {'steps': 50}})",
}


@pytest.mark.parametrize("work", LIGHT)
def test_light_work_loads_nothing_heavy(
    work: str, make_run: Callable[..., Path]
) -> None:
    lines = [
        "import sys, lstm_edge",
        "from lstm_edge.checkpoints import find_checkpoints",
        f"folder = {str(make_run(2))!r}",
        LIGHT[work],
        f"print(*[name for name in {HEAVY} if name in sys.modules])",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == ""
