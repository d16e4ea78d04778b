"""Malformed training loops: each record is refused in one clean line, or is none after all.

    python -m tests.fuzz_loops COUNT SEED [jax] [torch]

Prints as JSON what became of the records, as ``tests.fuzz`` does, which makes calls of JAX's kind among others.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import random
import sys

import numpy as np

import selfstab as ss

PARTS = [
    None,
    None,
    None,
    [1.0, 2.0],
    [],
    iter([1.0]),
    "ab",
    3,
    [None],
    range(2),
    {"a": 1.0},
    [[1.0], [2.0]],
    object(),
]


def _fuzz():
    # As a script, this file's folder is where modules are found.
    return importlib.import_module(f"{__package__}.fuzz" if __package__ else "fuzz")


def mostly(rng, good, bad):
    """Return one of the good ones, in three of four cases."""
    return rng.choice(good if rng.random() < 0.75 else bad)


# -- JAX --------------------------------------------------------------------------------------------------------------


@functools.cache
def jax_pieces():
    """Return functions and parameters, good and bad."""
    import jax
    import jax.numpy as jnp

    def leaves(p):
        floats = (
            leaf for leaf in jax.tree_util.tree_leaves(p) if jnp.issubdtype(jnp.asarray(leaf).dtype, float)
        )
        return jnp.concatenate([jnp.ravel(leaf) for leaf in floats])

    functions = [
        lambda p, *data: jnp.sum(leaves(p) ** 2),
        lambda p, *data: (jnp.sum(leaves(p) ** 4), 2.0),
        lambda p, *data: (jnp.sum(leaves(p) ** 4), "2"),
        lambda p, *data: (jnp.sum(leaves(p) ** 4), -1.0),
        lambda p, *data: leaves(p),
        lambda p, *data: jnp.sum(leaves(p)) > 0,
        lambda p, *data: jnp.sum(leaves(p) * 1j),
        lambda p, *data: 1.0,
        lambda p, *data: None,
        lambda p, *data: "loss",
        lambda p, *data: float(leaves(p)[0]),
        lambda p, *data: np.sum(leaves(p)),
        lambda p, *data: jnp.nan * jnp.sum(leaves(p)),
        lambda p, *data: jnp.sum(jnp.log(leaves(p) - 10.0)),
        lambda p, *data: jnp.sum(leaves(p) * jax.lax.stop_gradient(jnp.roll(leaves(p), 1)) ** 2),
        lambda p, *data: jnp.sum(leaves(p) ** 2).astype("bfloat16"),
        lambda p, *data: p["a"] ** 2,
        lambda p, *data: jnp.sum(leaves(p) ** 2) * data[0],
        lambda: 1.0,
        lambda p, x, y: 1.0,
    ]
    parameters = [
        jnp.ones(2), {"a": 1.0}, {"a": jnp.ones(2), "n": 3, "f": abs, "s": "text", "b": True, "z": None}, [],
        jnp.ones(2, dtype="float16"), jnp.ones(2, dtype="int32"), jnp.ones(0), jnp.ones((2, 2), dtype="float32"),
        [jnp.ones(1, dtype="float32"), jnp.ones(1)], jax.random.key(0), np.array(["a"]), np.array([1.0, np.nan]),
        jnp.ones(2, dtype="complex64"), np.float32(1.0), np.zeros(3), np.array([object()]), {1: 1.0, "a": 2.0},
    ]  # fmt: skip
    return functions, parameters


def malformed_jax_loop(rng):
    """Return a record of a JAX loop, or a loss of a JAX function, of which some argument is junk."""
    junk = _fuzz().JUNK
    functions, parameters = jax_pieces()
    function = mostly(rng, functions[:2], [*functions, rng.choice(junk)])
    tree = mostly(rng, parameters[:3], [*parameters, rng.choice(junk)])
    parts = mostly(rng, PARTS[:4], PARTS)
    data = mostly(rng, [None], [1.0, "x", rng.choice(junk)])
    if rng.random() < 0.3:
        return (
            "from_jax",
            lambda: ss.FunctionLoss.from_jax(function, tree),
            (functions.index(function) if function in functions else function, tree),
        )
    step = mostly(rng, [0], junk)

    def call():
        recorder = ss.Recorder.for_jax(function, parts=parts, lr=0.1)
        recorder.log(step, tree, data)

    return "for_jax", call, (tree, parts, data, step)


# -- PyTorch ----------------------------------------------------------------------------------------------------------


def malformed_torch_loop(rng):
    """Return a record of a PyTorch loop, or a loss of a PyTorch function, of which some argument is junk."""
    import torch

    junk = _fuzz().JUNK
    dtype = rng.choice(
        [torch.float64, torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64]
    )
    w = torch.ones(rng.choice([1, 3, 0]), dtype=dtype, requires_grad=rng.random() < 0.9)
    other = torch.ones(2, dtype=torch.float64, requires_grad=True)
    group = rng.choice(
        [[w], [w], [w], [w, other], [other], [{"params": [w]}, {"params": [other], "lr": 0.3}]]
    )
    momentum = rng.choice([0.0, 0.9, 0.0])
    optimizer = torch.optim.SGD(
        group, lr=0.1, momentum=momentum, nesterov=momentum > 0 and rng.random() < 0.5
    )
    optimizer = rng.choice([optimizer] * 8 + [rng.choice(junk), torch.optim.LBFGS([w])])
    frozen = rng.random() < 0.1

    def backward(*part):
        loss = (w**2).sum()
        if loss.requires_grad and not w.is_complex():
            loss.backward()
        return loss

    def without_graph(*part):
        with torch.no_grad():
            return (w**2).sum()

    def changing(*part):
        with torch.no_grad():
            w.mul_(1.0)
        return (w**2).sum()

    good = [
        lambda *part: (w**2).sum(), lambda *part: [((w**2).sum(), 2), ((w**3).sum(), 3)], lambda *part: (w**4).mean(),
        lambda *part: (torch.tanh(w).sum() for _ in range(2)),
    ]  # fmt: skip
    closure = mostly(rng, good, [
        lambda *part: (w**2).sum(), lambda *part: (w**4).sum() + (other**2).sum(), lambda *part: w**2,
        lambda *part: (w**2).sum().item() if w.numel() == 1 else None, lambda *part: [(w**2).sum(), (w**3).sum()],
        lambda *part: [((w**2).sum(), 2), ((w**3).sum(), 3)], lambda *part: [], lambda *part: (x for x in [None]),
        lambda *part: [((w**2).sum(), math.nan)], lambda *part: [((w**2).sum(), "a")], lambda *part: {"loss": w},
        lambda *part: (w**2).sum() * torch.rand(()), lambda *part: math.nan * (w**2).sum(),
        lambda *part: math.inf * (w**2).sum(), lambda *part: w.sum() * 0.0, lambda *part: torch.ones(()),
        lambda *part: (w.detach().roll(1) ** 2 * w).sum(), backward, without_graph, changing, lambda: (w**2).sum(),
        lambda part: (w**2).sum(), rng.choice(junk),
    ])  # fmt: skip
    parameters = mostly(
        rng,
        [None, [w], [w, w], {"w": w}],
        [None, [w], [w, w], [other], [("w", w)], {"w": w}, w, [w, other], iter([w]), [], [None],
         torch.nn.Linear(1, 1), rng.choice(junk)]
    )  # fmt: skip
    parts = mostly(rng, PARTS[:1], PARTS)
    if rng.random() < 0.2:
        return "from_torch", lambda: ss.FunctionLoss.from_torch(closure, parameters), (dtype, parameters)

    def call():
        recorder = ss.Recorder.for_torch(parameters, closure, optimizer, parts=parts)
        if frozen and w.is_leaf:
            w.requires_grad_(False)
        recorder.log(0)
        recorder.log(1)

    return "for_torch", call, (dtype, group, parameters, parts, optimizer)


def main(count, seed, *libraries):
    """Make `count` records and print what became of them."""
    kinds = {"jax": malformed_jax_loop, "torch": malformed_torch_loop}
    if "torch" not in libraries or "jax" in libraries:
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    makers = [kinds[library] for library in libraries or ("jax",)]
    ending, rng = _fuzz().ending, random.Random(seed)
    counts, wrong = {"refused": 0, "accepted": 0}, []
    for _ in range(count):
        name, call, shown = rng.choice(makers)(rng)
        how = ending(call)
        if how in counts:
            counts[how] += 1
        else:
            wrong.append(f"{name} {ascii(shown)[:300]}: {how[:300]}")
    print(json.dumps({**counts, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
