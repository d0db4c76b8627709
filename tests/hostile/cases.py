"""The content of every hostile file by its name."""

from __future__ import annotations

from hostile import npz_cases, safetensors_cases, torch_cases
from hostile.sound import Make

CASES: dict[str, Make] = {
    **safetensors_cases.CASES,
    **npz_cases.CASES,
    **torch_cases.CASES,
}
