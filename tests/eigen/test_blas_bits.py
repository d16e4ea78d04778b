"""The same call gives the same bits whatever the number of BLAS threads: each loop holds it at one."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import selfstab as ss
from selfstab import experiments
from selfstab.losses.networks.passes import Network

NETWORK = ss.MLP((64, 16, 1), *ss.datasets.digits(100, target="parity"))
START = NETWORK.initial_weights(seed=0)
OPTIMIZER = ss.HeavyBall(0.3, 0.5)


def _flipped():
    first, second = ss.flip_start(NETWORK, START, 0.01)
    return {"first": first, "second": second}


CALLS = {
    "simulate": partial(
        ss.simulate, NETWORK, OPTIMIZER, START, 4, keep=("loss", "sharpness", "weights"), noise=1e-7
    ),
    "constrained_trajectory": partial(
        ss.constrained_trajectory, NETWORK, OPTIMIZER, START, 3, keep=["weights"]
    ),
    "predicted_dynamics": partial(ss.predicted_dynamics, NETWORK, OPTIMIZER, START, 3, form="two-scale"),
    "averaged_flow": partial(ss.averaged_flow, NETWORK, OPTIMIZER, START, 3, keep=["weights"]),
    "edge_flow": partial(ss.edge_flow, NETWORK, OPTIMIZER, START, 3, keep=["weights"]),
    "rod_flow": partial(ss.rod_flow, NETWORK, OPTIMIZER, START, 2, keep=["weights"]),
    "hessian_spectrum": partial(ss.hessian_spectrum, NETWORK, np.array([START, 1.1 * START]), largest=2),
    "compare": partial(
        experiments.compare,
        experiments.Digits((4,), samples=40, held_out=20),
        experiments.Setting(threshold=5.0, momentum=0.5, warmup=4, steps=8, records=4, seeds=(0,)),
        threads=1,
    ),
    "flip_start": _flipped,
}
WATCHED = ("value", "at", "gradient", "product", "along")


def _threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("name", CALLS)
def test_blas_has_one_thread(name, monkeypatch, same_bits):
    """Protects the bits: no derivative is taken beside two threads, and the numbers are those of one."""
    seen = {}

    def watched(method):
        right = getattr(Network, method)

        def watching(*arguments, **options):
            seen.setdefault(method, set()).update(_threads())
            return right(*arguments, **options)

        return watching

    with threadpool_limits(1, user_api="blas"):
        one = CALLS[name]()
    with threadpool_limits(2, user_api="blas"), monkeypatch.context() as patch:
        assert 2 in _threads()  # else nothing is tested
        for method in WATCHED:
            patch.setattr(Network, method, watched(method))
        two = CALLS[name]()
    assert set().union(*seen.values()) == {1}, seen
    for variable in getattr(one, "data_vars", one):
        if one[variable].dtype != object:
            assert same_bits(one[variable], two[variable]), variable
