"""Checkpoints that PyTorch Lightning wrote."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import refusal
from lstm_edge.files.discovery import find_checkpoints
from lstm_edge.net.reading import as_weights, read_checkpoint

pytestmark = pytest.mark.integration


def fit(folder: Path, name: str | None = None, **parameters: Any) -> Any:
    """Train for three epochs of two updates, a checkpoint every two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies
        lightning = pytest.importorskip("lightning")
        from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

        class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
            def __init__(self, hidden: int = 6, **_: Any) -> None:
                super().__init__()
                self.save_hyperparameters()
                self.lstm = nn.LSTM(3, hidden, 2)
                self.head = nn.Linear(hidden, 4)

            def training_step(self, batch: Any, _: int) -> Any:
                loss = self.head(self.lstm(batch[0])[0]).square().mean()
                self.log("loss", loss)
                return loss

            def configure_optimizers(self) -> Any:
                optimizer = torch.optim.Adam(self.parameters())
                scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
                return {
                    "optimizer": optimizer,
                    "lr_scheduler": {"scheduler": scheduler, "monitor": "loss"},
                }

        keep = ModelCheckpoint(
            folder,
            name,
            monitor="loss",
            save_top_k=-1,
            every_n_train_steps=2,
        )
        trainer = lightning.Trainer(
            max_epochs=3,
            callbacks=[keep, EarlyStopping("loss")],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        net = Net(**parameters)
        data = torch.utils.data.TensorDataset(torch.randn(8, 5, 3))
        trainer.fit(net, torch.utils.data.DataLoader(data, batch_size=4))
    return net


def test_the_weights_and_the_time_are_found(tmp_path: Path) -> None:
    net = fit(tmp_path, hidden=5, task="digits", rate=0.5)
    found = find_checkpoints(tmp_path)
    assert [file.update for file in found] == [2, 4, 6]
    assert [file.metadata["epoch"] for file in found] == ["0", "1", "2"]
    weights = read_checkpoint(found[-1].path)
    assert weights.digest == as_weights(net).digest
    assert weights.readout is not None
    expected = {"update": "6", "epoch": "2", "hidden": "5", "task": "digits"}
    assert expected.items() <= weights.metadata.items()
    assert as_weights(found[-1].path, module="lstm").digest == weights.digest


def test_the_time_is_read_where_the_name_has_none(tmp_path: Path) -> None:
    fit(tmp_path, "net-{loss:.9f}")
    found = find_checkpoints(tmp_path)
    assert [file.update for file in found] == [2, 4, 6]


def test_other_objects_are_not_opened(tmp_path: Path) -> None:
    fit(tmp_path, where=Path("data"))
    weights = as_weights(tmp_path / "epoch=0-step=2.ckpt")
    assert "pathlib." in weights.metadata["not opened"]


def test_a_wrong_tensor_is_named(tmp_path: Path) -> None:
    saved = {"pytorch-lightning_version": "2", "global_step": 7}
    state = nn.LSTM(2, 3).state_dict(prefix="net.")
    state["net.bias_hh_l0"] = torch.zeros(13)
    torch.save({**saved, "state_dict": state}, tmp_path / "a.ckpt")
    assert refusal(tmp_path / "a.ckpt").endswith(
        "tensor 'net.bias_hh_l0' has shape (13,), expected (12,)"
    )
