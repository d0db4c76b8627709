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
    "__init__": {"_core", "checkpoints", "errors", "findings", "measures"}
    | {"monitoring", "results", "sweep", "tanh_map"},
    "errors": set(),
    "display": {"numpy"},
    "extras": {"errors"},
    "locking": {"errors"},
    # files of nets
    "checkpoints": {"display", "errors", "extras", "numpy", "safetensors", "upath"},
    "terms": set(),
    "metrics": {"checkpoints", "errors", "numpy"},
    # training writes them
    "tasks": {"checkpoints", "errors", "numpy", "pandas", "scipy", "sklearn", "torch"},
    "training": {"checkpoints", "display", "errors", "locking", "metrics", "numpy"}
    | {"safetensors", "tasks", "torch"},
    # measures know weights, not files
    "measures": {
        "_core",
        "checkpoints",
        "display",
        "errors",
        "numpy",
        "scipy",
        "terms",
    },
    # the sweep reads checkpoints and writes the store
    "store": {"errors", "locking", "numpy", "safetensors", "terms"},
    "sweep": {"_core", "checkpoints", "distributed", "errors", "findings", "measures"}
    | {"metrics", "numpy", "results", "store"},
    # everything after the store only reads rows
    "findings": {"display", "numpy", "scipy", "terms"},
    "results": {"checkpoints", "display", "errors", "findings", "metrics", "numpy"}
    | {"pandas", "report", "store", "terms", "xarray"},
    "report": {"checkpoints", "display", "errors", "findings", "matplotlib", "numpy"}
    | {"plotly", "results", "studies", "tanh_map"},
    # a net in training, measured beside it
    "monitoring": {"_core", "checkpoints", "errors", "findings", "measures", "numpy"}
    | {"pandas"},
    "integrations": {"checkpoints", "errors", "extras", "monitoring"},
    # many runs
    "studies": {"checkpoints", "display", "errors", "findings", "measures", "metrics"}
    | {"monitoring", "numpy", "pandas", "report", "results", "scipy", "sweep"}
    | {"tasks", "torch", "training"},
    # a map to compare training with
    "tanh_map": {"_core", "display", "errors", "findings", "measures", "numpy"}
    | {"report"},
    # the command line
    "bench": {"_core", "checkpoints", "errors", "jax", "measures", "metrics", "numpy"}
    | {"sweep", "torch"},
    "demo": {"results", "sweep", "training"},
    "cli": {"__version__", "bench", "checkpoints", "click", "demo", "display"}
    | {"errors", "measures", "report", "results", "rich", "studies", "sweep"}
    | {"tanh_map", "terms", "training"},
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
