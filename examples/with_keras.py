"""A Keras model, watched by a callback: pip install 'lstm-edge[keras]'.

python examples/with_keras.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # any backend will do

import keras
from sklearn.datasets import load_digits

import lstm_edge
from lstm_edge.integrations.keras import EdgeCallback


def main(units: int = 60, epochs: int = 40) -> lstm_edge.EdgeMonitor:
    """Train, and print what the monitor saw."""
    keras.utils.set_random_seed(0)
    bunch = load_digits()
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8)),
            keras.layers.LSTM(units),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    monitor = lstm_edge.EdgeMonitor(waiting=None)
    stopping = lstm_edge.EdgeStopping(monitor)
    model.fit(
        bunch.images / 16,
        bunch.target,
        batch_size=64,
        epochs=epochs,
        validation_split=2 / 3,
        verbose=0,
        callbacks=[EdgeCallback(monitor, stopping=stopping)],
    )
    print(monitor.to_pandas()[["update", "exponent", "stderr", "phase", "test_loss"]])
    print(stopping.advice.reason)
    return monitor


if __name__ == "__main__":
    main()
