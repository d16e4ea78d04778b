"""The explicit Hessian of networks on real data against JAX and PyTorch, a training step, and warm Lanczos."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

import selfstab as ss

from .harness import Case, Disagreement, Row, Target, interleaved, judged, seconds
from .job import BaselineMissing
from .network_peers import jax_hessian, torch_hessian
from .start_up import output

PAIRS = 5
WIDTHS = (64, 32, 1)
NETWORKS = (WIDTHS, (64, 28, 10), (64, 76, 1), (64, 67, 10))
"""Of about 2,000 and, with three pairs only since the baselines take many seconds, about 5,000 weights."""

_GIBIBYTE = 2**30 / 1e6

# A process on one core: what starts threads sees one core only.
_ONE_CORE = """
import json, os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
from selfstab.reports.companions import companion
print(json.dumps(companion("benchmarks.hessian").{call}))
"""


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Return this file's lines, measured, as records: name, unit, ours, baseline, ratio, note and more."""
    return [asdict(case.row()) for case in cases(quick)]


def cases(quick: bool) -> list[Case]:
    """Return the lines on networks; quick ones take few samples of the data and are not judged."""
    samples = 50 if quick else 500
    networks = NETWORKS[:2] if quick else NETWORKS

    def explicit(
        name: str, widths: tuple[int, ...], peer: str, *, judge: bool = True, alone: bool = False
    ) -> Case:
        def line(case: Case) -> Row:
            pairs, note = (
                _alone(f"hessian_pairs({samples}, {widths}, {peer!r}, {PAIRS})")
                if alone
                else hessian_pairs(samples, widths, peer, PAIRS if widths in NETWORKS[:2] else 3)
            )
            return judged(case.name, case.unit, pairs, case.target, judge=judge and not quick, note=note)

        return Case(f"explicit Hessian {_shape(widths)} / {name}", "1/s", Target(10), line)

    def warm(case: Case) -> Row:
        return _warm(case, samples, not quick)

    def step(case: Case) -> Row:
        pairs, note = _alone(f"step_pairs({samples}, {PAIRS + 4})")
        return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)

    def memory(case: Case) -> Row:
        growth = json.loads(output(sys.executable, "-c", _MEMORY, str(samples), str(networks[-1])))
        note = f"{_shape(networks[-1])}, the Hessian's own {growth['own'] / 1e6:.0f} MB included"
        pairs = [(growth["peak"] / 1e6, _GIBIBYTE)]
        return judged(case.name, case.unit, pairs, case.target, judge=not quick, note=note)

    return [
        *(explicit("jax.hessian, jitted", widths, "hessian") for widths in networks),
        *(explicit("torch.func.hessian", widths, "torch") for widths in networks),
        # jax.hessian is forward over reverse.
        explicit("JAX reverse over reverse", WIDTHS, "reverse", judge=False),
        explicit("jax.hessian, jitted, one thread", WIDTHS, "hessian", alone=True),
        Case("training step / jitted JAX, one thread", "1/s", Target(1 / 1.5), step),
        Case("memory of the explicit Hessian / 1 GiB", "MB", Target(1, at_least=False), memory),
        Case("sharpness: warm Lanczos / explicit Hessian", "1/s", Target(1), warm),
    ]


_MEMORY = """
import json, resource, sys
from ast import literal_eval
from pathlib import Path
import selfstab as ss
widths = literal_eval(sys.argv[2])
target = "parity" if widths[-1] == 1 else "onehot"
loss = ss.MLP(widths, *ss.datasets.digits(int(sys.argv[1]), target=target))
w = loss.initial_weights(0)
loss.gradient(w)

def kib(key):
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split(key)[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)

before = kib("VmRSS:")
own = loss.hessian(w).nbytes
print(json.dumps({"peak": 1024 * (kib("VmHWM:") - before), "own": own}))
"""


def _shape(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def _alone(call: str) -> tuple[list[tuple[float, float]], str]:
    """Run a function of this module in a process on one core."""
    if find_spec("jax") is None:
        raise BaselineMissing("JAX is not installed")
    pairs, note = json.loads(output(sys.executable, "-c", _ONE_CORE.format(call=call)).splitlines()[-1])
    return [(one, other) for one, other in pairs], note


@cache
def _network(samples: int, widths: tuple[int, ...] = WIDTHS) -> tuple[Any, Any]:
    """Return the loss and weights some way into its training by gradient descent."""
    if find_spec("sklearn") is None:
        raise BaselineMissing("scikit-learn, whose digits are the data, is not installed")
    target = "parity" if widths[-1] == 1 else "onehot"
    loss = ss.MLP(widths, *ss.datasets.digits(samples, target=target))
    w = loss.initial_weights(seed=0)
    for _ in range(50):
        w = w - 0.2 * loss.gradient(w)
    return loss, w


def hessian_pairs(samples: int, widths: tuple[int, ...], peer: str, pairs: int) -> tuple[Any, str]:
    """Return pairs of Hessians a second, ours and a peer's, and the note."""
    loss, w = _network(samples, widths)
    program = torch_hessian(loss) if peer == "torch" else jax_hessian(loss, peer)
    expected = np.asarray(program(w))
    difference = float(np.linalg.norm(loss.hessian(w) - expected) / np.linalg.norm(expected))
    if not difference <= 1e-10:
        raise Disagreement(f"the Hessians differ by {difference:.1e} of their norm")
    taken = interleaved(
        lambda: 1 / seconds(lambda: loss.hessian(w)), lambda: 1 / seconds(lambda: program(w)), pairs
    )
    return taken, f"{loss.dimension} weights, {samples} samples; relative difference {difference:.1e}"


def step_pairs(samples: int, pairs: int, steps: int = 200) -> tuple[Any, str]:
    """Return pairs of heavy-ball steps a second, ours and jitted JAX's, and the note."""
    from .network_peers import jax_loss

    loss, start = _network(samples)
    value = jax_loss(loss)
    import jax

    gradient = jax.grad(value)

    @jax.jit
    def jax_step(w: Any, velocity: Any) -> Any:
        velocity = 0.9 * velocity - 0.01 * gradient(w)
        return w + velocity, velocity

    def theirs() -> Any:
        w, velocity = jax.numpy.asarray(start), jax.numpy.zeros_like(start)
        for _ in range(steps):
            w, velocity = jax_step(w, velocity)
        return w.block_until_ready()

    def ours() -> Any:
        w, velocity = start, np.zeros_like(start)
        for _ in range(steps):
            velocity = 0.9 * velocity - 0.01 * loss.gradient_at(w)
            w = w + velocity
        return w

    difference = float(np.linalg.norm(ours() - np.asarray(theirs())) / np.linalg.norm(ours() - start))
    if not difference <= 1e-10:
        raise Disagreement(f"the weights after {steps} steps differ by {difference:.1e} of their way")
    taken = interleaved(lambda: steps / seconds(ours), lambda: steps / seconds(theirs), pairs)
    return (
        taken,
        f"{_shape(WIDTHS)}, {samples} samples, gradient and update; weights differ by {difference:.1e}",
    )


def _warm(case: Case, samples: int, judge: bool) -> Row:
    """Compare the sharpness one step of gradient descent on, warm, with the one from the explicit Hessian."""
    loss, before = _network(samples)
    guess = loss.sharpness_at(before).vector
    w = before - 0.2 * loss.gradient(before)
    explicit = ss.MLP(WIDTHS, loss.inputs, loss.targets)
    explicit.explicit_hessian = True

    pair, expected = loss.sharpness_at(w, guess), explicit.sharpness_at(w, guess)
    difference = abs(pair.value / expected.value - 1)
    if not difference <= 1e-10:
        raise Disagreement(f"the sharpnesses differ by {difference:.1e}, relative")
    pairs = interleaved(
        lambda: 1 / seconds(lambda: loss.sharpness_at(w, guess)),
        lambda: 1 / seconds(lambda: explicit.sharpness_at(w, guess)),
        PAIRS,
    )
    note = (
        f"{pair.products} products, residual {pair.residual / pair.value:.1e} of the sharpness, "
        f"which differs by {difference:.1e}"
    )
    return judged(case.name, case.unit, pairs, case.target, judge=judge, note=note)
