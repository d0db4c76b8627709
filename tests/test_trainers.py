"""Folders as real trainers leave them, each analysed by one command.

Nothing is renamed, and every loss is compared with what training reported.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from lstm_edge.cli import main
from lstm_edge.files.headers import said_by
from lstm_edge.files.safetensors import write_checkpoint
from lstm_edge.results.sweep import open_sweep
from lstm_edge.sweep.found import look

pytestmark = [
    pytest.mark.integration,
    # of the libraries, on small machines and small sets
    pytest.mark.filterwarnings("ignore::Warning:lightning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]

EPOCHS = 6
QUICK = ("--steps", "200", "--transient", "50", "--starts", "4", "--samples", "8")

X = np.random.default_rng(0).normal(size=(64, 7, 3)).astype("float32")
Y = X.sum(axis=(1, 2))[:, None].astype("float32")


class Net(nn.Module):
    """An LSTM whose last state is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 8, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


def own_loop(folder: Path) -> dict[int, float]:
    """Train as the tutorials of PyTorch do; give the loss that was printed."""
    net = Net()
    adam = torch.optim.Adam(net.parameters(), 0.01)
    printed = {}
    for epoch in range(EPOCHS):
        loss = nn.functional.mse_loss(net(torch.tensor(X)), torch.tensor(Y))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            val = nn.functional.mse_loss(net(torch.tensor(X)), torch.tensor(Y))
        printed[epoch] = float(val)
        held = {
            "epoch": epoch,
            "model_state_dict": net.state_dict(),
            "optimizer_state_dict": adam.state_dict(),
            "loss": loss,
            "val_loss": val.item(),
        }
        torch.save(held, folder / f"checkpoint_{epoch}.pth")
    torch.save(held, folder / "last.pth")
    return printed


def lightning_run(folder: Path) -> dict[int, float]:
    """Train with ModelCheckpoint (save_last) and CSVLogger."""
    library = pytest.importorskip("lightning")
    callbacks = pytest.importorskip("lightning.pytorch.callbacks")
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    printed: dict[int, float] = {}

    class Model(library.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: Any, _: int) -> Any:
            loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                now = self.trainer.callback_metrics["val_loss"]
                printed[self.trainer.global_step] = float(now)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 0.01)

    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    batches = torch.utils.data.DataLoader(data, batch_size=16)
    every = callbacks.ModelCheckpoint(save_top_k=-1, save_last=True)
    library.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        default_root_dir=folder,
        logger=loggers.CSVLogger(folder),
        callbacks=[every],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    ).fit(Model(), batches, batches)
    return printed


def keras_run(folder: Path) -> dict[int, float]:
    """Train with ModelCheckpoint and CSVLogger."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((7, 3)), keras.layers.LSTM(8), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    history = model.fit(
        X,
        Y,
        batch_size=16,
        epochs=EPOCHS,
        validation_data=(X, Y),
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(str(folder / "weights.{epoch:02d}.keras")),
            keras.callbacks.CSVLogger(str(folder / "training.log")),
        ],
    )
    return {i + 1: float(loss) for i, loss in enumerate(history.history["val_loss"])}


def test_a_copy_of_the_last_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for update, name in ((1, "net-1"), (2, "net-2"), (2, "last"), (2, "other")):
        torch.manual_seed(7 if name == "other" else update)
        arrays = {k: v.detach().numpy() for k, v in nn.LSTM(2, 4).state_dict().items()}
        path = tmp_path / f"{name}.safetensors"
        write_checkpoint(path, arrays, {"update": str(update)})
    found = look(tmp_path, None)
    assert [f.path.stem for f in found.files] == ["net-1", "net-2", "other"]
    told = "passed over last.safetensors, which holds the same weights as net-2.saf"
    assert told in found.times
    assert "2 files have the time 2" in found.doubts[0]


def test_a_torch_file_tells_its_numbers_without_its_tensors(tmp_path: Path) -> None:
    saved = {"epoch": 3, "loss": torch.tensor(0.5), "lr": 1e-3}
    torch.save({**saved, "net": Net().state_dict()}, tmp_path / "a.pt")
    said = {"epoch": "3", "loss": "0.5", "lr": "0.001"}
    assert said_by(tmp_path / "a.pt") == said
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "b.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.pt").write_bytes(b"")
    torch.save([1, 2], tmp_path / "d.pt")
    assert [dict(said_by(tmp_path / f"{name}.pt")) for name in "bcde"] == [{}] * 4
    (tmp_path / "b.pt").write_bytes(whole)
    assert said_by(tmp_path / "b.pt") == said


@pytest.mark.parametrize("trainer", [own_loop, lightning_run, keras_run])
def test_one_command_finds_checkpoints_times_and_losses(
    tmp_path: Path, trainer: Any
) -> None:
    printed = trainer(tmp_path)
    found = CliRunner().invoke(main, ["analyze", str(tmp_path), *QUICK, "--json"])
    assert found.exit_code == 0, found.output
    summary = json.loads(found.output.splitlines()[-1])
    sweep = open_sweep(tmp_path)
    assert summary["store"] == str(sweep.path)
    assert len(sweep.names) == EPOCHS
    assert list(sweep.track.update) == list(printed)
    np.testing.assert_allclose(sweep.track.test_loss, list(printed.values()), 1e-5)
    assert summary["checkpoints"] == EPOCHS
