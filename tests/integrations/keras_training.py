"""Training runs of Keras with the callback, as a program: a process has one backend.

usage: KERAS_BACKEND=jax python -m tests.integrations.keras_training FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

from selfstab.records.callbacks import KerasCallback
from tests.records.small_network import INPUTS, LR, MOMENTUM, START, TARGETS

TENSOR = keras.ops.convert_to_tensor(TARGETS, "float32")


def network(optimizer=None, **settings):
    """Return the small network at its start, compiled."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(1)])
    w1, b1, w2, b2 = np.split(START, [56, 63, 70])
    model.set_weights([w1.reshape(8, 7), b1, w2[:, None], b2])
    optimizer = keras.optimizers.SGD(LR, MOMENTUM, **settings) if optimizer is None else optimizer
    model.compile(optimizer, loss=half_the_mean_square)
    return model


def half_the_mean_square(targets, outputs):
    return keras.ops.mean(keras.ops.square(targets - outputs)) / 2


def closure(model):
    return half_the_mean_square(TENSOR, model(INPUTS))


def trained(*callbacks, batch_size=20, epochs=61, **settings):
    """Train the small network in the order of the data."""
    model = network(**settings)
    model.fit(INPUTS, TARGETS, batch_size, epochs, verbose=0, shuffle=False, callbacks=[*callbacks])
    return model


ADAPTIVE = {
    "Adam": lambda o: o.Adam(0.02, 0.9, 0.95),
    "AMSGrad": lambda o: o.Adam(0.02, 0.8, 0.9, amsgrad=True),
    "AdamW": lambda o: o.AdamW(0.02, 0.1, 0.9, 0.95),
    "RMSprop": lambda o: o.RMSprop(0.005, 0.9, momentum=0.5, epsilon=1e-3),
}


class Weights(keras.callbacks.Callback):
    """All weights before each update."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_begin(self, batch, logs=None):
        self.values.append(np.concatenate([w.ravel() for w in self.model.get_weights()]))


class Moments(keras.callbacks.Callback):
    """What a batch normalization holds before each update."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_begin(self, batch, logs=None):
        layer = self.model.layers[0]
        self.values.append([float(moment[0]) for moment in layer.get_weights()])


def normalized(folder):
    """Record a model of one weight behind a batch normalization, whose moving statistics change."""
    x = 1.0 + INPUTS[:, :1]
    layers = [keras.layers.BatchNormalization(center=False, scale=False, momentum=0.5, epsilon=1e-3)]
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), loss=half_the_mean_square)
    callback = KerasCallback(lambda model: half_the_mean_square(TENSOR, model(x, training=False)))
    moments = Moments()
    model.fit(x, TARGETS, 20, 6, verbose=0, callbacks=[callback, moments])
    run = callback.recorder.dataset()
    np.savez(folder / "normalized.npz", sharpness=run.sharpness, moments=moments.values, x=x)


def main(folder):
    """Write the records of several runs into a folder."""
    plain = KerasCallback(closure, every=3)
    watched = trained(plain)
    plain.recorder.save(folder / "plain.npz")
    alone = trained()
    np.savez(
        folder / "weights.npz", watched=watched.trainable_variables[0], alone=alone.trainable_variables[0]
    )

    for name, optimizer in ADAPTIVE.items():
        callback, weights = KerasCallback(closure), Weights()
        trained(callback, weights, epochs=5, optimizer=optimizer(keras.optimizers))
        run = callback.recorder.dataset()
        names = ("preconditioned_sharpness", "max_stable_sharpness")
        np.savez(folder / f"{name}.npz", weights=weights.values, **{n: run[n].values for n in names})

    gathered = KerasCallback(closure, every=4)
    trained(gathered, batch_size=10, gradient_accumulation_steps=2)
    gathered.recorder.save(folder / "gathered.npz")

    scheduled = KerasCallback(closure, every=2)
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.5, 0.25])
    model = network(nesterov=True)
    model.optimizer.learning_rate = rates
    model.fit(INPUTS, TARGETS, 20, 9, verbose=0, callbacks=[scheduled])
    scheduled.recorder.save(folder / "scheduled.npz")
    normalized(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
