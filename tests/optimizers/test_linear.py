"""Any linear optimizer: equal to those that have a class, at every door, and refused where T is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import selfstab as ss
from tests.cli.commands import run as command
from tests.optimizers.threshold import bisected_threshold, largest_root, step_matrix

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
WITH_CLASS = [
    ss.HeavyBall(0.48),
    ss.HeavyBall(0.4, 0.7),
    ss.QuasiHyperbolic(0.5, 0.9, 0.7),
    ss.AggregatedMomentum(0.3, (0.0, 0.5, 0.9)),
]
PID = ss.LinearOptimizer(0.4, [1.3, -0.3], [1.0, -1.9, 0.9])


def named(value):
    return type(value).__name__


def weights_of(optimizer, previous=PREVIOUS, steps=300):
    return ss.simulate(LOSS, optimizer, START, steps, previous=previous, keep=["weights"]).weights.values


@pytest.mark.parametrize("optimizer", WITH_CLASS, ids=named)
def test_optimizers_by_their_transfer_function(optimizer):
    """Protects T's realization and its start: the runs, flipped or at rest, of the optimizers that have this T."""
    by_ratio = ss.LinearOptimizer(optimizer.lr, *optimizer.transfer_function())
    assert by_ratio.max_stable_sharpness() == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-12)
    for previous in (START, PREVIOUS):
        assert weights_of(by_ratio, previous) == pytest.approx(weights_of(optimizer, previous), rel=1e-8)
    assert by_ratio.inertia(0.01) == pytest.approx(optimizer.inertia(0.01), rel=1e-9)


@pytest.mark.parametrize("optimizer", WITH_CLASS[1:], ids=named)
def test_optimizers_by_their_matrices(optimizer):
    """Protects from_matrices: the step of weights and states on a flat loss, with its gradient as the input."""
    matrix = step_matrix(optimizer, 1.0, 0.0)
    inputs = step_matrix(optimizer, 1.0, 1.0)[:, 0] - matrix[:, 0]
    by_matrices = ss.LinearOptimizer.from_matrices(optimizer.lr, matrix, inputs, -np.eye(len(matrix))[0])
    by_ratio = optimizer.transfer_function()
    for one, two in zip((by_matrices.numerator, by_matrices.denominator), by_ratio, strict=True):
        assert one == pytest.approx(two, rel=1e-12, abs=1e-14)


def test_the_optimizer_of_a_controller():
    """Protects T of the docstring: momentum and a derivative of gradients, written out, along a warmup."""
    schedule, beta, k = ss.LinearWarmup(0.0, 0.1, 20), 0.9, 3.0
    optimizer = ss.LinearOptimizer(schedule, [1 + k * (1 - beta), -k * (1 - beta)], [1, -1 - beta, beta])
    run = ss.simulate(LOSS, optimizer, START, 100, keep=["weights"])
    w, v, d, before = START, 0.0, 0.0, 0.0
    for t, lr in enumerate(schedule.values(0, 100)):
        g = LOSS.gradient(w)
        v, d, before = beta * v + g, beta * d + (1 - beta) * (g - before), g
        w = w - lr * (v + k * d)
        assert run.weights.values[t + 1] == pytest.approx(w, rel=1e-9)


def test_a_flip_goes_on_at_the_threshold():
    """Protects flip_start: states that the filter begins with are those of a flip of constant size."""
    for optimizer in (PID, ss.LinearOptimizer(0.3, *WITH_CLASS[3].transfer_function())):
        loss = ss.Quadratic([optimizer.max_stable_sharpness()])
        run = ss.simulate(loss, optimizer, [0.5], 60, previous=[-0.5], keep=["weights"])
        assert run.weights.values[:, 0] == pytest.approx(0.5 * (-1.0) ** np.arange(61), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    numerator=st.lists(st.integers(-20, 20), min_size=1, max_size=4),
    poles=st.lists(st.integers(-9, 9), max_size=3),
    lr=st.sampled_from([0.01, 1.0, 7.0]),
)
def test_thresholds_are_those_of_a_bisection(numerator, poles, lr):
    """Protects S* of any T: where it is accepted, the largest root of a step passes 1 there, whichever it is."""
    denominator = np.poly([1.0, *(0.1 * p for p in poles)])
    assume(len(numerator) < len(denominator))
    try:
        optimizer = ss.LinearOptimizer(lr, numerator, denominator)
    except ValueError as error:
        message = str(error)
        assert (
            "none is" in message
            or "all are" in message
            or "must be 0 at z = 1" in message
            or "not 0" in message
        )
        return
    sharpness = optimizer.max_stable_sharpness()
    assert largest_root(optimizer, lr, 1e-4 * sharpness) <= 1.0 + 1e-12
    for share in (0.25, 0.5, 0.75, 0.99):
        assert largest_root(optimizer, lr, share * sharpness) <= 1.0 + 1e-9
    assert bisected_threshold(optimizer, lr) >= sharpness * (1 - 1e-5)
    assert largest_root(optimizer, lr, sharpness) == pytest.approx(1.0, abs=1e-5)


def test_another_root_may_leave_first():
    """Protects S* where a pair of complex roots leaves before z = −1, and laws that then do not hold."""
    optimizer = ss.LinearOptimizer(1.0, [1.0], [1.0, -1.0, 0.0])
    assert optimizer.max_stable_sharpness() == pytest.approx(1.0, rel=1e-12)  # z² − z + S: |z|² = S
    with pytest.raises(NotImplementedError, match="the first mode to leave the unit circle"):
        optimizer.inertia(0.1)


def test_sweeps_stores_and_the_command_line(tmp_path, plain_engine, same_cells):
    """Protects the doors: lanes with the bits of plain CPython, a store that goes on, options of coefficients."""
    arguments = {"start": START, "previous": PREVIOUS, "steps": 300, "progress": False,
                 "measure": ("final_loss", "max_sharpness", "phase", "overshoot")}  # fmt: skip
    axes = {"excess": [-0.05, 0.02, 0.05], "noise": [0.0, 1e-4]}
    data = ss.sweep(LOSS, PID, axes, threads=2, **arguments)
    same_cells(data, plain_engine(ss.sweep, LOSS, PID, axes, threads=1, **arguments))
    folder = str(tmp_path / "own.zarr")
    stored = ss.sweep(LOSS, PID, axes, store=folder, **arguments).load()
    assert ss.resume(folder, progress=False).load().equals(stored)
    words = ("Product", "--start", "minimum:4", "--flip", "0.01", "--steps", "40", "--lr", "0.4")
    own = ("--optimizer", "LinearOptimizer", "--numerator", "1.3,-0.3", "--denominator", "1,-1.9,0.9")
    result = command("simulate", *words, *own, "-o", str(tmp_path / "run.csv"))
    assert result.exit_code == 0, result.output
    table = np.genfromtxt(tmp_path / "run.csv", delimiter=",", names=True, comments="#")
    assert table["loss"] == pytest.approx(
        ss.simulate(LOSS, PID, START, 40, previous=PREVIOUS).loss.values, rel=1e-12
    )
    refused = command("simulate", *words, *own[:4], "--denominator", "1,x")
    assert refused.exit_code == 2
    assert "--denominator must be a number, got 'x'" in refused.output


@pytest.mark.parametrize(
    ("numerator", "denominator", "message"),
    [
        ([1, 0, 0], [1, -1.9, 0.9], "numerator must be of a lower degree than the denominator"),
        ([1], [1, -0.5], "denominator must be 0 at z = 1, and the numerator not"),
        ([1, -1], [1, -1.5, 0.5], "denominator must be 0 at z = 1, and the numerator not"),
        ([1], [1, -2, 1], "denominator must have its roots within the unit circle"),
        ([1], [1, -3, 2], "denominator must have its roots within the unit circle"),
        ([1, 0], [1, 0, -1], "denominator must have its roots within the unit circle"),
        ([-1], [1, -1], "must have a threshold.*: none is"),
        ([0.0], [1, -1], "numerator must have a coefficient that is not 0"),
        ([1], [0.0, 0.0], "denominator must have a coefficient that is not 0"),
        ([], [1, -1], "numerator must hold 1 to 33 coefficients, got 0"),
        ([1], [1.0] * 34, "denominator must hold 1 to 33 coefficients, got 34"),
        ([np.nan], [1, -1], "numerator must be finite"),
        ("1", [1, -1], "numerator must be coefficients such as"),
        (1.0, [1, -1], "numerator must be coefficients such as"),
    ],
)
def test_what_is_no_optimizer_is_refused(numerator, denominator, message):
    """Protects the door: improper, unstable, without an integrator, without a threshold; one line each."""
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        ss.LinearOptimizer(0.1, numerator, denominator)
    assert "\n" not in str(raised.value)


def test_matrices_that_do_not_fit_are_refused():
    """Protects from_matrices: shapes are checked, and T as everywhere."""
    for matrix, inputs, outputs, message in (
        ([[1.0, 0.0]], [1.0], [1.0], r"matrix must be square"),
        ([[1.0]], [1.0, 2.0], [1.0], "inputs must have shape"),
        ([[1.0]], [1.0], [[1.0]], "outputs must have shape"),
        ([[0.5]], [1.0], [1.0], "denominator must be 0 at z = 1"),
        ([[1.0]], [0.0], [1.0], "numerator must have a coefficient that is not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ss.LinearOptimizer.from_matrices(0.1, matrix, inputs, outputs)
