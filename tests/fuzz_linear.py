"""Random and malformed transfer functions for the theory of linear optimizers; prints what fell, as JSON.

``python tests/fuzz_linear.py COUNT SEED``
"""

from __future__ import annotations

import json
import signal
import sys
import warnings

import numpy as np

from selfstab import theory

FORMS = {
    "threshold": (), "amplification": (), "growth": (0.1,), "inertia": (0.1,), "linear_displacement": (0.1,),
    "linear_overshoot": (0.1,), "linear_domain": (0.1,), "slow_overshoot": (0.01,), "linear_cycle_period": (0.1,),
    "linear_cycle_growth": (0.1,), "linear_crossing_amplitude": (0.1, 1e-3), "linear_batch_sharpness": (0.1,),
}  # fmt: skip
ODD = (0.0, -1.0, 1.0, 1e-300, 1e300, 1e49, np.nan, np.inf, "1", None, 10**400, [1.0], True, 1j)


def transfer(rng):
    """Return numerator and denominator: of stable poles, of any, or spoilt in one place."""
    poles = rng.uniform(-1.0, 1.0, rng.integers(0, 5)) * (1.0 if rng.random() < 0.8 else 2.0)
    if rng.random() < 0.3:
        poles = 1.0 - 10.0 ** rng.uniform(-12.0, 0.0, poles.size)
    denominator = np.poly([1.0, *poles]).tolist()
    numerator = (
        rng.normal(size=rng.integers(1, len(denominator) + 1)) * 10.0 ** rng.uniform(-9.0, 9.0)
    ).tolist()
    if rng.random() < 0.5:
        place = (numerator, denominator)[rng.integers(2)]
        if place:
            place[rng.integers(len(place))] = ODD[rng.integers(len(ODD))]
    return numerator, denominator


def argument(rng, usual):
    """Return the usual number, another size of it, or none."""
    if rng.random() < 0.4:
        return usual
    if rng.random() < 0.7:
        return float(10.0 ** rng.uniform(-12.0, 3.0))
    return ODD[rng.integers(len(ODD))]


def ending(form, arguments):
    """Return "accepted" or "refused", or what else came."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 10.0)  # of processor time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            getattr(theory, form)(*arguments)
    except (TypeError, ValueError) as error:
        return "refused" if "\n" not in str(error) and str(error) else f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
    return "accepted"


def late(*_):
    raise TimeoutError("more than 10 s")


def main(count: int, seed: int) -> None:
    signal.signal(signal.SIGVTALRM, late)
    rng = np.random.default_rng(seed)
    tally, wrong = {"accepted": 0, "refused": 0}, []
    for _ in range(count):
        form = list(FORMS)[rng.integers(len(FORMS))]
        arguments = (transfer(rng), *(argument(rng, usual) for usual in FORMS[form]))
        came = ending(form, arguments)
        if came in tally:
            tally[came] += 1
        else:
            wrong.append(f"{form}{arguments!r}: {came}"[:600])
    print(json.dumps({**tally, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
