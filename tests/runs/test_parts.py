"""Runs in parts: the bits of a run in one part, memory that does not grow with steps, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab import machine
from selfstab.runs import states as module
from selfstab.runs.dataset import number_of_records
from selfstab.runs.noise import normal
from selfstab.runs.problem import NOISE_ROWS, StepRates
from tests.optimizers.own import Aggregated, Moments, TwoMomenta

KEEP = ("loss", "sharpness", "weights", "velocity", "gradient_norm", "top_eigenvector")
RATES = {"number": 0.1, "warmup": ss.LinearWarmup(0.0, 0.5, 20)}


class Sawtooth:
    """A schedule of one's own, which is asked for the parts."""

    def values(self, first, last):
        return 0.1 + 0.01 * (np.arange(first, last) % 7)


OPTIMIZERS = [
    lambda lr: ss.HeavyBall(lr, 0.8, 0.3),
    lambda lr: TwoMomenta(lr),
    lambda lr: Moments(lr),
    lambda lr: Aggregated(lr, momenta=(0.5, 0.9)),
]


def in_parts(numbers, optimizer, steps, **arguments):
    """Return a run whose parts have room for so many numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NUMBERS", numbers)
        patch.setattr(module, "_LEAST_UPDATES", 1)
        return ss.simulate(ss.Product(), optimizer, [1.5, 0.6], steps, **arguments)


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.integers(1, 400),
    optimizer=st.sampled_from(OPTIMIZERS),
    lr=st.sampled_from([*RATES.values(), Sawtooth()]),
    steps=st.integers(0, 90),
    every=st.one_of(st.integers(1, 95), st.just(10**30)),
    noise=st.sampled_from([0.0, 0.02]),
    escape=st.sampled_from([1e6, 1.6, 2.5]),
)
def test_parts_of_any_length_are_one_run(numbers, optimizer, lr, steps, every, noise, escape):
    """Protects long runs: states, rates and noise are handed over, records and the divergence are at their steps."""
    arguments = {"every": every, "noise": noise, "escape": escape, "keep": KEEP}
    one = in_parts(10**6, optimizer(lr), steps, **arguments)
    several = in_parts(numbers, optimizer(lr), steps, **arguments)
    assert one.sizes == several.sizes
    for name, variable in one.variables.items():
        if name != "weight":
            assert variable.values.tobytes() == several[name].values.tobytes(), name


@pytest.mark.parametrize("every", [1, 5, 40])
@pytest.mark.parametrize("part", [1, 5, 6, 15])
def test_a_divergence_anywhere_in_a_part(every, part):
    """Protects the step of divergence and the records before it: w grows by -1.5 a step, and escapes at any of them."""
    for at in range(1, 25):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_updates_of_a_part", lambda *_, size=part: size)
            arguments = {"every": every, "escape": 1.5 ** (at - 0.5), "keep": ["weights"]}
            run = ss.simulate(ss.Quadratic([1.0]), ss.HeavyBall(2.5), [1.0], 40, **arguments)
        assert int(run.diverged_at) == at
        steps = [t for t in range(0, 40, every) if t < at]
        assert run.step.values.tolist() == steps
        assert run.weights.values[:, 0].tolist() == [(-1.5) ** t for t in steps]
        assert run.lr.values.tolist() == [2.5] * len(steps)


@settings(max_examples=60)
@given(st.integers(0, 200), st.integers(1, 250), st.integers(1, 60), st.integers(0, 10**12))
def test_parts_follow_each_other(steps, every, size, first):
    """Protects every update: parts cover them once and in order, are no longer than allowed, and begin at records."""
    parts = [*module._parts(first, first + steps, every, size)]
    assert [begin for begin, _ in parts] == [first, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == first + steps
    assert all(0 < end - begin <= size for begin, end in parts) or steps == 0
    # A part has whole strides, or lies within one.
    for begin, end in parts:
        inside = [t for t in range(begin + 1, end) if (t - first) % every == 0]
        assert not inside or (begin - first) % every == 0


@pytest.mark.parametrize(("lr", "noise"), [(0.1, 0.0), (0.1, 1e-3), (Sawtooth(), 0.0)])
def test_memory_does_not_grow_with_steps(lr, noise):
    """Protects long runs: ten times the steps take no more memory, and less than their rates alone would."""
    optimizer = ss.HeavyBall(lr, 0.9)

    def run(steps):
        return ss.simulate(
            ss.Product(), optimizer, [1.2, 0.8], steps, every=steps // 10, noise=noise, keep=["loss"]
        )

    def peak(steps):
        tracemalloc.start()
        records = run(steps).sizes["step"]
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert records == 11
        return size

    run(10**4)  # which compiles
    # A part of 2¹⁷ numbers is 1 MB; some arrays of it are there at a time.
    assert peak(10**6) < 6e6
    assert peak(10**6) < 1.1 * peak(3 * 10**5) + 1e5


def test_noise_is_drawn_in_blocks_of_any_size(monkeypatch, same_bits):
    """Protects memory where noise is drawn: the numbers do not depend on how many are drawn at once."""
    from selfstab.runs import noise

    whole = normal(3, 1, 5, 40, 6)
    monkeypatch.setattr(noise, "DRAWN", 20)
    assert same_bits(normal(3, 1, 5, 40, 6), whole)
    assert normal(3, 1, 5, 5, 6).shape == (0, 6)


def test_a_network_with_noise_draws_a_few_steps_at_a_time(monkeypatch):
    """Protects runs of many weights: the table of noise has a bounded number of numbers."""
    asked = []
    problem = ss.runs.problem.Problem.checked(
        ss.DiagonalNetwork(np.ones((1, 50)), [1.0]),
        ss.HeavyBall(0.01),
        ss.Initialization(0),
        None,
        30,
        1e6,
        0.1,
        0,
    )
    kind, draw = type(problem), type(problem).noise_at
    monkeypatch.setattr(kind, "noise_at", lambda self, a, b, r=0: asked.append(b - a) or draw(self, a, b, r))
    monkeypatch.setattr(module, "NUMBERS", 1000)
    assert len([*module.states(problem)]) == 31
    assert sum(asked) == 30
    assert max(asked) == 10


def test_rates_of_single_steps_in_any_order():
    """Protects flows, which ask for a step's rate and the next one's: each is the schedule's, the last one, too."""
    schedule = ss.LinearWarmup(0.0, 1.0, 9000)
    steps = 2 * NOISE_ROWS + 3
    rates, expected = StepRates(ss.HeavyBall(schedule), steps), schedule.values(0, steps + 1)
    for t in [0, 1, NOISE_ROWS - 1, NOISE_ROWS, NOISE_ROWS - 1, steps - 1, steps, 5]:
        assert rates[t] == expected[t]


CUBIC, NETWORK = ss.CubicTaylor(1.0), ss.MLP((1, 1, 1), [[1.0]], [[1.0]])
LARGE = ss.FunctionLoss(lambda w: 0.0, lambda w: w, 10**6, hessian_vector=lambda w, v: v)
MANY = 10**12


@pytest.mark.parametrize(
    ("call", "words"),
    {
        "simulate": (lambda: ss.simulate(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY), ["every = 1", "raise every"]),
        "weights": (
            lambda: ss.simulate(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY, every=9, keep=["weights"]),
            ["every = 9", "111111111113 records"],
        ),
        "schedule": (
            lambda: ss.simulate(CUBIC, ss.HeavyBall(Sawtooth()), [0.1, 0.0], 2**53), ["9007199254740993 records"]
        ),
        "network": (
            lambda: ss.simulate(NETWORK, ss.HeavyBall(0.1), ss.Initialization(0), MANY), ["take fewer steps"]
        ),
        "averaged": (lambda: ss.averaged_flow(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY), ["raise every"]),
        "rod": (lambda: ss.rod_flow(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY, every=3), ["every = 3"]),
        "edge": (lambda: ss.edge_flow(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY), ["raise every"]),
        "constrained": (
            lambda: ss.constrained_trajectory(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY), ["take fewer steps"]
        ),
        "predicted": (
            lambda: ss.predicted_dynamics(CUBIC, ss.HeavyBall(0.1), [0.1, 0.0], MANY), ["take fewer steps"]
        ),
        "spectrum": (
            lambda: ss.hessian_spectrum(LARGE, np.zeros(10**6), full=True), ["1000000 weights", "ask for the largest"]
        ),
        "data": (lambda: ss.datasets.sparse_regression(10**6, 10**6), ["1000000 samples", "take fewer"]),
        "Hessian": (lambda: LARGE.hessian(np.zeros(10**6)), ["1000000 weights", "use hessian_vector"]),
        "minimum": (lambda: LARGE.minimum(np.zeros(10**6)), ["1000000 weights", "by a run"]),
        "initial weights": (
            lambda: ss.FunctionLoss(lambda w: 0.0, lambda w: w, MANY).initial_weights(), ["1000000000000 weights"]
        ),
        "widths": (lambda: ss.MLP((10**400, 1), [[1.0]], [[1.0]]), ["take smaller widths"]),
    }.values(),
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(call, words):
    """Protects the machine: nothing is allocated or run; the line names what, how much, what there is and a remedy."""
    for kind in (ValueError, MemoryError):
        with pytest.raises(kind) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        assert "GB of free memory" in message
        assert all(word in message for word in words), message


def test_records_fit_up_to_half_of_what_is_free(monkeypatch):
    """Protects the bound itself: 10⁶ records of one number of a network, beside step, lr and threshold."""
    monkeypatch.setattr("selfstab.runs.simulate._general", lambda *_: 1 / 0)
    size = 8 * 4 * (10**6 + 1)
    for free, error in ((2 * size, ZeroDivisionError), (2 * size - 2, MemoryError)):
        monkeypatch.setattr(machine, "free_memory", lambda free=free: free)
        with pytest.raises(error):
            ss.simulate(NETWORK, ss.HeavyBall(0.1), ss.Initialization(0), 10**6, keep=["loss"])


@given(steps=st.integers(0, 300), every=st.integers(1, 320), diverged_at=st.integers(-1, 300))
def test_the_number_of_records(steps, every, diverged_at):
    """Protects what is allocated: the records counted one by one."""
    at = [t for t in range(steps + 1) if t % every == 0 or t == steps]
    before = [t for t in at if diverged_at < 0 or t < diverged_at]
    assert number_of_records(steps, every, diverged_at) == len(before)
