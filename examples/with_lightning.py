"""A Lightning module, watched by a callback: pip install 'lstm-edge[lightning]'.

python examples/with_lightning.py
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import lstm_edge
from lstm_edge.integrations.lightning import EdgeCallback


class Digits(lightning.LightningModule):
    """Reads an image row by row, and says which digit it is."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, units, batch_first=True)
        self.readout = nn.Linear(units, 10)

    def loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        images, digits = batch
        hidden, _ = self.lstm(images)
        return cross_entropy(self.readout(hidden[:, -1]), digits)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def main(units: int = 60, epochs: int = 60) -> lstm_edge.EdgeMonitor:
    """Train, and print what the monitor saw."""
    lightning.seed_everything(0)
    bunch = load_digits()
    images = torch.tensor(bunch.images / 16, dtype=torch.float32)
    data = TensorDataset(images, torch.tensor(bunch.target))
    train, test = torch.utils.data.random_split(data, [600, len(data) - 600])
    monitor = lstm_edge.EdgeMonitor(waiting=None)
    stopping = lstm_edge.EdgeStopping(monitor)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[EdgeCallback(monitor, stopping=stopping)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(
        Digits(units),
        DataLoader(train, 64, shuffle=True),
        DataLoader(test, 1024),
    )
    print(monitor.to_pandas()[["update", "exponent", "stderr", "phase", "test_loss"]])
    print(stopping.advice.reason)
    return monitor


if __name__ == "__main__":
    main()
