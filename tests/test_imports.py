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
    "__init__": {"_core", "checkpoints", "claims", "errors", "measures", "results"}
    | {"sweep", "tanh_map", "transitions", "watching"},
    "errors": set(),
    "display": {"numpy"},
    # checkpoint files
    "weights": {"numpy", "errors"},
    "places": {"upath", "errors"},
    "torch_files": {"numpy"},
    "formats": {"numpy", "safetensors", "torch_files", "places", "errors"},
    "checkpoints": {"formats", "weights", "places", "errors"},
    "metrics": {"numpy", "checkpoints", "formats", "places", "errors"},
    # training writes them
    "tasks": {"numpy", "torch", "sklearn", "errors"},
    "runs": {"numpy", "torch", "checkpoints", "errors", "metrics"},
    "training": {"numpy", "torch", "checkpoints", "errors", "runs", "tasks"},
    # measures know weights, not files
    "measures": {
        "numpy",
        "scipy",
        "_core",
        "checkpoints",
        "weights",
        "display",
        "errors",
    },
    # the sweep reads checkpoints and writes the store
    "store": {"numpy", "safetensors", "errors"},
    "plan": {"numpy", "measures", "metrics", "errors"},
    "evaluation": {"numpy", "_core", "checkpoints", "weights", "measures", "errors"}
    | {"plan", "store"},
    "sweep": {"numpy", "_core", "checkpoints", "measures", "metrics", "errors"}
    | {"places", "plan", "evaluation", "store", "results", "visiting"},
    "visiting": {"refinement"},
    "watching": {"numpy", "checkpoints", "errors", "evaluation", "measures", "places"}
    | {"plan", "refinement", "results", "store", "sweep", "transitions", "visiting"},
    # everything after the store only reads rows
    "bifurcations": {"numpy"},
    "transitions": {"numpy"},
    "refinement": {"numpy", "transitions"},
    "claims": {"numpy", "scipy", "transitions"},
    "results": {"numpy", "pandas", "display", "metrics", "store", "transitions"}
    | {"bifurcations", "claims", "export", "refinement", "report", "xarray"},
    "export": {"numpy", "pandas", "xarray", "errors", "results"},
    "report": {"numpy", "plotly", "matplotlib", "results", "formats", "errors"}
    | {"transitions", "tanh_map"},
    # a map to compare training with
    "tanh_map": {"numpy", "_core", "display", "errors", "measures", "report"}
    | {"transitions"},
    # the command line
    "cluster": {"distributed", "errors"},
    "console": {"click", "rich", "display", "results", "tanh_map", "watching"},
    "bench": {"numpy", "_core", "errors", "weights", "checkpoints", "results"}
    | {"measures", "metrics", "sweep", "torch", "jax"},
    "demo": {"results", "sweep", "training"},
    "cli": {"click", "rich", "__version__", "bench", "cluster", "console", "demo"}
    | {"errors"}
    | {"export", "report"}
    | {"results", "sweep", "tanh_map", "training", "watching"},
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
