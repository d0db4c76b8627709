"""Checkpoints of PyTorch Lightning: the weights inside, and the time of training.

A ``.ckpt`` is a file of torch.save. Its ``state_dict`` holds the weights, ``epoch`` and
``global_step`` the time, ``hyper_parameters`` what the module was made with; optimiser,
loops and callbacks are passed over.
"""

from __future__ import annotations

from typing import Any

_MARK = "pytorch-lightning_version"


def unwrap(saved: dict[Any, Any]) -> tuple[dict[Any, Any], dict[str, str]]:
    """Part what torch.save was given into the weights and what is said of them.

    Parameters
    ----------
    saved : dict
        Of Lightning, or any other, which is left as it is.

    Returns
    -------
    weights : dict
        A state_dict, or dictionaries of them.
    said : dict of str to str
        Numbers and texts; of Lightning also ``update``, which it calls global_step,
        and the hyper-parameters.
    """
    state, own = saved.get("state_dict"), _plain(saved)
    if _MARK not in saved or not isinstance(state, dict):
        return saved, own
    parameters = saved.get("hyper_parameters")
    said = _plain(parameters) if isinstance(parameters, dict) else {}
    said |= own
    if "global_step" in own:
        said["update"] = own["global_step"]
    return state, said


def _plain(values: dict[Any, Any]) -> dict[str, str]:
    return {
        str(name): str(value)
        for name, value in values.items()
        if isinstance(value, float | str)
        or (isinstance(value, int) and abs(value) < 2**63)  # others may be of any size
    }
