"""Keras runs on JAX in this process, since its own default is TensorFlow; programs of absent libraries are no tests."""

import os
from importlib.util import find_spec

os.environ["KERAS_BACKEND"] = "jax"

# Doctests are looked for in every module, by importing it.
collect_ignore = [
    f"{library}_training.py" for library in ("keras", "lightning") if find_spec(library) is None
]
