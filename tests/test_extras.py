"""What is said where the library of an extra is missing."""

from __future__ import annotations

import importlib
import sys

import pytest

from lstm_edge import LstmEdgeError
from lstm_edge.extras import MissingExtra, load


def test_the_first_module_that_is_there_is_loaded() -> None:
    assert load("none", "no_such_module", "json", "math").__name__ == "json"


@pytest.mark.parametrize(
    ("module", "libraries"),
    [
        ("keras", ["keras"]),
        (
            "lightning",
            ["lightning.pytorch.callbacks", "pytorch_lightning.callbacks"],
        ),
    ],
)
def test_a_callback_without_its_library_names_the_extra(
    module: str, libraries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)  # as if not installed
    for name in [n for n in sys.modules if n.startswith("lstm_edge.integrations.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        MissingExtra, match=rf"pip install 'lstm-edge\[{module}\]'"
    ) as e:
        importlib.import_module(f"lstm_edge.integrations.{module}")
    assert "\n" not in str(e.value)
    assert isinstance(e.value, LstmEdgeError)
