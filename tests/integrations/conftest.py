"""Keras runs on JAX in this process: its own default is TensorFlow."""

import os

os.environ["KERAS_BACKEND"] = "jax"
