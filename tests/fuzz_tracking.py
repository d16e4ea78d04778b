"""Hessians and saved states of any kind: a record ends, and a state is taken over or refused by one line.

    python tests/fuzz_tracking.py COUNT SEED

Hessians have spectra with clusters, gaps and any scale, products in float64 or float32, with noise or not symmetric.
A record of them must end within 10 s of processor time without an error or a warning. Of a symmetric Hessian without
noise, the sharpness must be right to the accuracy. Prints as JSON, in its last line, what was counted, the share of
records beyond the accuracy, and what went wrong.
"""

from __future__ import annotations

import json
import signal
import sys
import warnings

import numpy as np

import selfstab as ss
from selfstab.records.recording.tracker import SharpnessTracker

ODD = (
    None,
    True,
    "a",
    "",
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    [],
    [1.0],
    [[1.0]],
    {},
    10**400,
    b"x",
    np.ones((2, 2)),
)
SIZES = (3, 70, 300, 1100)


def spectrum(rng, size):
    """Return eigenvalues: a bulk, and some others, perhaps close or repeated."""
    bulk = rng.choice([rng.exponential(0.1, size), rng.uniform(-1.0, 1.0, size), np.zeros(size)])
    tops = rng.choice([0.0, 1.0, 2.0, 2.0, 1.999, 5.0, -10.0], rng.integers(1, 4))
    return np.r_[tops, bulk][:size] * 10.0 ** rng.choice([0.0, 0.0, 0.0, -30.0, 25.0])


def record(rng):
    """Return the relative errors of two records, or None where noise leaves none to compare."""
    size = int(rng.choice(SIZES))
    values = spectrum(rng, size)
    dtype = rng.choice(["float64", "float32"])
    kind = rng.choice(["exact", "exact", "noisy", "not symmetric", "not finite"])
    reflector = rng.standard_normal(size)
    reflector /= np.linalg.norm(reflector)

    def turned(v):
        return v - 2.0 * (reflector @ v) * reflector

    def product(v):
        image = turned(values * turned(np.asarray(v, np.float64)))
        if kind == "noisy":
            image = image * (1.0 + 10.0 ** -rng.integers(1, 7) * rng.standard_normal(size))
        elif kind == "not symmetric":
            image = image + 0.3 * np.abs(values).max() * np.roll(v, 1)
        elif kind == "not finite":
            image = np.where(rng.random(size) < 0.01, np.nan, image)
        return image.astype(dtype)

    second = bool(rng.integers(2))
    settings = [{}, {"accuracy": 10.0 ** -rng.integers(1, 7)}, {"tolerance": 10.0 ** -rng.integers(1, 12)}]
    tracker = SharpnessTracker(second=second, **settings[rng.integers(3)])
    measured = [tracker.measure(product, size) for _ in range(2)]
    if kind != "exact":
        return None
    accuracy = max(tracker.accuracy or 1e-4, tracker.tolerance or 0.0)
    scale = np.abs(values).max() or 1.0
    slack = accuracy * abs(values.max()) + 1e-5 * scale
    return [abs(each.sharpness - values.max()) / slack for each in measured]


def state(rng):
    """Take over a state with some entries changed."""
    recorder = ss.Recorder(lr=0.1)
    for step in range(3):
        recorder.log(step, loss=1.0, hessian_vector=lambda v: np.arange(70.0) * v, dimension=70)
    good = recorder.state_dict()
    for _ in range(rng.integers(1, 3)):
        name = list(good)[rng.integers(len(good))]
        if rng.integers(4) == 0:
            del good[name]
        else:
            good[name] = ODD[rng.integers(len(ODD))]
    other = ss.Recorder(lr=0.1)
    other.load_state_dict(good if rng.integers(20) else ODD[rng.integers(len(ODD))])
    other.dataset()
    other.log(10**6, loss=1.0, hessian_vector=lambda v: np.arange(70.0) * v, dimension=70)


def late(*_):
    raise TimeoutError("more than 10 s")


def main(count: int, seed: int) -> None:
    signal.signal(signal.SIGVTALRM, late)
    rng = np.random.default_rng(seed)
    tally, beyond, compared, wrong = {"accepted": 0, "refused": 0}, 0, 0, []
    for k in range(count):
        call = record if k % 2 else state
        signal.setitimer(signal.ITIMER_VIRTUAL, 10.0)  # of processor time
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                errors = call(rng)
        except (TypeError, ValueError) as error:
            if call is state and str(error) and "\n" not in str(error):
                tally["refused"] += 1
            else:
                wrong.append(f"{k} {call.__name__} {type(error).__name__}: {error}"[:400])
            continue
        except BaseException as error:
            wrong.append(f"{k} {call.__name__} {type(error).__name__}: {error}"[:400])
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        tally["accepted"] += 1
        if errors is not None:
            compared += 2
            beyond += sum(bool(error > 1.0) for error in errors)
            if max(errors) > 10.0:
                wrong.append(f"{k} record: error {max(errors):.1e} of what is allowed")
    print(json.dumps({**tally, "compared": compared, "beyond": beyond, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
