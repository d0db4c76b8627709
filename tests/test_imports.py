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

# The parts of the package, in the order in which data passes them: what each imports
# of the parts before it, and of other packages, beside the standard library.
IMPORTS = {
    part: set(names.split())
    for part, names in {
        "errors": "",
        "display": "numpy",
        "terms": "",
        "extras": "errors",
        "locks": "errors filelock",
        "shares": "scipy",
        "files": "errors extras numpy safetensors terms upath",
        "net": "display errors files numpy",
        "measures": "_core display errors matplotlib net numpy scipy shares terms",
        "store": "errors locks numpy safetensors",
        "track": "display numpy scipy shares terms",
        "results": "display errors files matplotlib measures numpy pandas store terms "
        "track xarray",
        "sweep": "_core distributed errors files measures net numpy results store "
        "track",
        "report": "display errors files matplotlib numpy plotly results terms track",
        "monitor": "_core errors matplotlib measures net numpy pandas track",
        "integrations": "errors extras files monitor",
        "lab": "",
        "lab.tasks": "errors files numpy pandas scipy sklearn torch",
        "lab.training": "display errors files lab.tasks locks numpy torch",
        "lab.zoom": "errors files lab.tasks lab.training numpy safetensors",
        "lab.falls": "errors lab.zoom numpy results sweep track",
        "lab.studies": "display errors files lab.tasks lab.training measures monitor "
        "numpy pandas plotly report results scipy sweep terms torch track",
        "lab.demo": "lab.training report results sweep",
        "lab.analogy": "_core display errors measures numpy track",
        "lab.analogy_plot": "errors lab.analogy matplotlib numpy report",
        "lab.bench": "_core errors files jax measures net numpy sweep torch",
        "cli": "__version__ click display errors files lab.analogy lab.analogy_plot "
        "lab.bench lab.demo lab.falls lab.studies lab.training lab.zoom measures net "
        "report results rich shares sweep terms track",
        "__main__": "cli",
        "__init__": "_core errors files lab.analogy measures monitor net results sweep "
        "track",
    }.items()
}
HEAVY = ("torch", "matplotlib", "plotly", "pandas", "scipy", "sklearn", "xarray")


def modules() -> list[str]:
    """Dotted names below the package, such as ``measures.distance``."""
    files = (file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))
    return sorted(".".join(file.with_suffix("").parts) for file in files)


def imported(module: str) -> Iterator[str]:
    """Parts and packages that a module imports anywhere, also inside its functions."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where from"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            yield place(rest) if first == "lstm_edge" else first


def place(module: str) -> str:
    """The part that a module belongs to; the laboratory has parts of its own."""
    first, _, rest = module.partition(".")
    if first != "lab" or rest == "__init__":
        return first
    return f"lab.{rest.partition('.')[0]}"


def test_each_part_imports_exactly_what_the_table_says() -> None:
    found: dict[str, set[str]] = {place(module): set() for module in modules()}
    for module in modules():
        found[place(module)] |= set(imported(module))
    for part, names in found.items():
        found[part] = names - {part} - sys.stdlib_module_names
    assert found == IMPORTS


def test_data_flows_one_way() -> None:
    before: set[str] = {"_core", "__version__"}
    for part, names in IMPORTS.items():
        later = {name for name in names if name in IMPORTS} - before
        assert not later, f"{part} imports {later}, which comes after it"
        before.add(part)


def test_no_package_holds_code_in_its_init() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        for node in ast.parse(file.read_text()).body:
            simple = isinstance(node, ast.Expr | ast.ImportFrom) or (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "__all__"
            )
            assert simple, f"{file}: line {node.lineno}"


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
        "from lstm_edge.files.discovery import find_checkpoints",
        f"folder = {str(make_run(2))!r}",
        LIGHT[work],
        f"print(*[name for name in {HEAVY} if name in sys.modules])",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == ""
