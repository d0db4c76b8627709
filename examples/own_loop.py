"""A training loop of one's own, watched, and stopped at the edge of chaos.

python examples/own_loop.py
"""

import copy

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import lstm_edge


class Net(nn.Module):
    """Reads an image row by row, and says which digit it is."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, units, batch_first=True)
        self.readout = nn.Linear(units, 10)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(rows)
        return self.readout(hidden[:, -1])


def main(units: int = 60, epochs: int = 200) -> lstm_edge.EdgeMonitor:
    """Train until chaos has set in, and go back to where it did."""
    torch.manual_seed(0)
    bunch = load_digits()
    images = torch.tensor(bunch.images / 16, dtype=torch.float32)
    digits = torch.tensor(bunch.target)
    net = Net(units)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    kept = {}
    with lstm_edge.EdgeMonitor(waiting=None) as monitor:
        stopping = lstm_edge.EdgeStopping(monitor, patience=5)
        for epoch in range(1, epochs + 1):
            for rows in torch.randperm(600).split(64):
                loss = cross_entropy(net(images[rows]), digits[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            with torch.no_grad():
                test_loss = cross_entropy(net(images[600:]), digits[600:])
            kept[epoch] = copy.deepcopy(net.state_dict())
            monitor.update(net, epoch, epoch=epoch, test_loss=test_loss)
            if stopping.should_stop:
                break
    print(monitor)
    advice = stopping.advice
    print(advice.reason)
    if advice.update is not None:  # here an update is an epoch
        net.load_state_dict(kept[advice.update])
        print(f"weights of epoch {advice.update}, test loss {advice.test_loss:.3f}")
    return monitor


if __name__ == "__main__":
    main()
