"""Predicted dynamics: definitions, exact cases, orders, invariances, what ends a record."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import selfstab as ss
from selfstab.flows import constrained, predicted
from selfstab.flows.gradient import KINKED_ERROR, TOLERANCE
from selfstab.losses.base.loss import Loss
from selfstab.verification import constrained as slow
from selfstab.verification import predicted as verification
from tests import damian
from tests.flows.test_constrained import CASES, EXACT, SMALL

FORMS = ("basic", "generalized", "projected", "two-scale")


def run(name, momentum=0.0, steps=40, form="basic", **changes):
    loss, start, threshold = CASES[name]
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) / threshold, momentum)
    return ss.predicted_dynamics(loss, optimizer, start, steps, form=form, **changes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["basic", "generalized"])
def test_without_momentum_they_are_those_of_damian_et_al(name, form):
    """Protects both forms' definitions, against an independent implementation."""
    loss, start, threshold = CASES[name]
    data = run(name, form=form)
    centres, offsets = damian.trajectories(
        loss, 2.0 / threshold, start, 40, generalized=form == "generalized"
    )
    sign = np.sign(data.predicted_x.values[0] * (centres[0].u @ offsets[0]))
    # Errors grow along the trajectory with what an eigenpair's residual leaves.
    w, exact = start, max(1e-7, 30 * EXACT[name])
    for t, (centre, v) in enumerate(zip(centres, offsets, strict=True)):
        assert data.predicted_x.values[t] == pytest.approx(sign * centre.u @ v, rel=exact, abs=exact)
        assert data.x.values[t] == pytest.approx(sign * centre.u @ (w - centre.weights), rel=exact, abs=exact)
        top = np.linalg.eigvalsh(loss.hessian(centre.weights + v))[-1]
        assert data.predicted_sharpness.values[t] == pytest.approx(top, rel=exact)
        assert data.predicted_loss.values[t] == pytest.approx(loss.value(centre.weights + v), rel=exact)
        w = w - 2.0 / threshold * loss.gradient(w)


@pytest.mark.parametrize("form", ["basic", "generalized"])
def test_from_below_the_threshold_the_first_step_is_that_of_damian_et_al(form):
    """Protects δ² = 2α/b² where S(w†) < S*: how far below is no part of the published force."""
    loss, start, sharpness = CASES["network"]
    threshold, sharpness = 1.001 * sharpness, loss.sharpness(start)[0]
    data = ss.predicted_dynamics(loss, ss.HeavyBall(2.0 / threshold), start, 1, form=form)
    (centre, after), (v, expected) = damian.trajectories(
        loss, 2.0 / threshold, start, 1, generalized=form == "generalized"
    )
    below = threshold - data.constrained_sharpness.values[0]
    assert below > 1e-4 * threshold
    sign = np.sign(data.predicted_x.values[0] * (centre.u @ v))
    assert data.predicted_x.values[1] == pytest.approx(sign * after.u @ expected, rel=1e-9)
    top = np.linalg.eigvalsh(loss.hessian(after.weights + expected))[-1]
    assert data.predicted_sharpness.values[1] == pytest.approx(top, rel=1e-11)
    other = ss.predicted_dynamics(loss, ss.HeavyBall(2.0 / threshold), start, 1, form="projected")
    assert abs(float(other.predicted_sharpness[1]) - top) > 0.1 * below


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("warmup", [False, True])
def test_they_are_exact_on_the_cubic_taylor_model(form, momentum, warmup):
    """Protects every term, δ² with momentum, and thresholds that move: on this model each form is the run itself."""
    sharpening = 1e-6 if momentum else 2e-4  # κ near 1/2
    loss = ss.CubicTaylor(1.0, sharpening, stabilization=2.0)
    lr = 2.0 * (1.0 + momentum)
    published = form in ("basic", "generalized")
    rate = ss.LinearWarmup(0.999 * lr, 1.001 * lr, 200 if published else 150) if warmup else lr
    # With δ² = 2α/b² they are exact while w† is on the edge, to which a start beyond it is projected up to O(x²).
    start = [3e-6, 1.1e-3 if warmup else 2e-4] if published else [3e-4, -2e-4]
    data = ss.predicted_dynamics(loss, ss.HeavyBall(rate, momentum), start, 200, form=form)
    assert np.abs(data.x).max() > 2 * float(data.delta[0])
    if warmup:
        assert np.ptp(data.constrained_sharpness.values) > 1e-3
    # The run multiplies a rounding error by its own growth, which is some thousands here.
    assert data.predicted_x.values == pytest.approx(data.x.values, abs=1e-9)
    assert data.predicted_sharpness.values == pytest.approx(data.sharpness.values, abs=1e-9)
    assert data.predicted_loss.values == pytest.approx(data.loss.values, abs=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_projected_form_is_the_hand_written_one(momentum):
    """Protects the expansion with momentum against the same written out for one loss, with exact projections.

    Projected, not basic: the start's share of x² in its sharpness leaves w† below the edge at first.
    """
    swing = slow.swing(momentum, 2.0)
    steps = swing.width.size - 1
    _, y, q = slow.slow_start()
    x = float(swing.predicted_displacement[0])
    data = ss.predicted_dynamics(
        slow.slow_loss(2.0),
        ss.HeavyBall(2.0 * (1.0 + momentum), momentum),
        [x, y, q],
        steps,
        previous=[-x, y, q],
        form="projected",
    )
    # The start's share of x² in its sharpness is projected away here, which moves w† by O(x²) for some steps.
    assert data.delta.values == pytest.approx(swing.width, rel=4e-4)
    assert data.delta.values[50:] == pytest.approx(swing.width[50:], rel=1e-6)
    difference = np.abs(data.predicted_x.values) - np.abs(swing.predicted_displacement)
    assert np.abs(difference).max() < 1e-3 * np.abs(swing.predicted_displacement).max()
    difference = np.abs(data.x.values) - np.abs(swing.displacement)
    assert np.abs(difference).max() < 1e-6 * np.abs(swing.displacement).max()


def largest_error(form, scale, momentum):
    loss, lr = slow.slow_loss(scale, 1.0), 2.0 * (1.0 + momentum)
    steps = int(0.8 * (1.0 - momentum) / (lr * slow.CURVATURE * scale))
    start, optimizer = slow.slow_start(), ss.HeavyBall(lr, momentum)
    x = np.array([1.2 * float(ss.constrained_trajectory(loss, optimizer, start, 0).delta[0]), 0.0, 0.0])
    data = ss.predicted_dynamics(loss, optimizer, start + x, steps, previous=start - x, form=form)
    return float(np.abs(data.predicted_sharpness - data.sharpness).max() / np.abs(data.sharpness - 1.0).max())


@pytest.mark.slow
def test_orders_of_the_errors():
    """Protects what each form carries: the bracket errs at first order in the swing, the two-scale form at third.

    Projected, not basic: this start's projection lies below the edge by the order of y itself.
    """
    order = {}
    for form in ("projected", "two-scale"):
        small, large = (largest_error(form, scale, 0.5) for scale in (0.5, 1.0))
        order[form] = np.log2(large / small)
    assert order["projected"] == pytest.approx(1.0, abs=0.3)
    assert order["two-scale"] == pytest.approx(3.0, abs=0.3)


def test_the_run_is_simulates_and_all_forms_see_the_same():
    """Protects the comparison: the run, the constrained trajectory and the flow are the same beside every form."""
    loss, start, threshold = CASES["wide"]
    previous = start - 1e-3
    found = [run("wide", 0.8, 25, form, previous=previous) for form in FORMS]
    plain = ss.simulate(loss, ss.HeavyBall(3.6 / threshold, 0.8), start, 25, previous=previous)
    assert found[0].loss.values == pytest.approx(plain.loss.values, rel=1e-15)
    assert found[0].sharpness.values == pytest.approx(plain.sharpness.values, rel=1e-10)
    alone = ss.constrained_trajectory(loss, ss.HeavyBall(3.6 / threshold, 0.8), start, 25)
    for name in found[0].data_vars:
        if not name.startswith("predicted"):
            for other in found[1:]:
                assert np.array_equal(found[0][name].values, other[name].values), name
    for data in found:
        assert set(alone.data_vars) < set(data.data_vars)
        assert all(np.isfinite(data[name]).all() for name in data.data_vars)
        assert data.attrs["form"] in FORMS
        assert json.loads(data.attrs["optimizer"])["momentum"] == 0.8
        assert all(data[name].attrs.get("long_name") for name in data.variables)


def test_the_same_call_gives_the_same_bits():
    """Protects determinism."""
    first, second = (run("wide", 0.5, 10, "two-scale") for _ in range(2))
    for name in first.data_vars:
        assert np.array_equal(first[name].values, second[name].values), name


def test_forms_beside_one_run_are_those_beside_their_own():
    """Protects the comparison of several forms: none sees another."""
    loss, start, threshold = CASES["wide"]
    optimizer = ss.HeavyBall(3.0 / threshold, 0.5)
    found = predicted.together(constrained.checked(loss, optimizer, start, None, 8), FORMS)
    for form in FORMS:
        alone = run("wide", 0.5, 8, form)
        for name in alone.data_vars:
            assert np.array_equal(found[form][name].values, alone[name].values), (form, name)


class Rotated(Loss):
    """A loss of a user's own: another one in rotated coordinates, with nothing but the contract's methods."""

    explicit_hessian = False

    def __init__(self, loss, rotation):
        self.loss, self.rotation = loss, rotation

    @property
    def dimension(self):
        return self.loss.dimension

    def value_at(self, w):
        return self.loss.value_at(self.rotation @ w)

    def gradient_at(self, w):
        return self.rotation.T @ self.loss.gradient_at(self.rotation @ w)

    def hessian_at(self, w):
        return self.rotation.T @ self.loss.hessian_at(self.rotation @ w) @ self.rotation

    def third_at(self, w, u, v):
        at = self.rotation @ w
        return self.rotation.T @ self.loss.third_at(at, self.rotation @ u, self.rotation @ v)


def compared(first, second, tolerance):
    for name in (
        "loss",
        "sharpness",
        "predicted_loss",
        "predicted_sharpness",
        "constrained_sharpness",
        "delta",
    ):
        assert first[name].values == pytest.approx(second[name].values, rel=tolerance), name
    for name in ("x", "predicted_x"):
        assert np.abs(first[name].values) == pytest.approx(np.abs(second[name].values), abs=tolerance), name


@pytest.mark.parametrize("form", FORMS)
def test_a_rotation_of_the_weights_changes_nothing(form):
    """Protects coordinates being free, the sign of u with them; and losses of a user's own."""
    loss, start, threshold = CASES["network"]
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((loss.dimension, loss.dimension)))[0]
    other = ss.predicted_dynamics(
        Rotated(loss, rotation), ss.HeavyBall(3.0 / threshold, 0.5), rotation.T @ start, 25, form=form
    )
    compared(run("network", 0.5, 25, form), other, 1e-8)


def test_a_permutation_of_hidden_units_changes_nothing():
    """Protects the same on the network's own symmetry."""
    _, start, threshold = CASES["network"]
    order = np.array([2, 0, 3, 1])
    first, bias, second, last = np.split(start, [8, 12, 16])
    moved = np.concatenate([first.reshape(2, 4)[:, order].ravel(), bias[order], second[order], last])
    other = ss.predicted_dynamics(SMALL, ss.HeavyBall(3.0 / threshold, 0.5), moved, 25)
    compared(run("network", 0.5, 25), other, 1e-8)


def test_the_loss_and_the_rate_rescale_together():
    """Protects units: c times the loss at 1/c of the rate is the same motion."""
    text, names = "(1 + y + q**2/2)*x**2/2 - y/5000 + q**2/20", ["x", "y", "q"]
    start = [0.01, -0.02, 0.2]
    one = ss.predicted_dynamics(
        ss.SymbolicLoss(text, names), ss.HeavyBall(3.0, 0.5), start, 40, form="two-scale"
    )
    four = ss.predicted_dynamics(
        ss.SymbolicLoss(f"4*({text})", names), ss.HeavyBall(0.75, 0.5), start, 40, form="two-scale"
    )
    for name in ("x", "predicted_x", "delta"):
        assert four[name].values == pytest.approx(one[name].values, abs=1e-12)
    for name in (
        "loss",
        "sharpness",
        "predicted_sharpness",
        "flow_loss",
        "flow_sharpness",
        "second_eigenvalue",
    ):
        assert four[name].values == pytest.approx(4.0 * one[name].values, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_flow_is_gradient_flow_in_time(momentum):
    """Protects the flow's clock, η/(1 − β) per step, and its accuracy, against another integrator."""
    loss, start, threshold = CASES["network"]
    data = run("network", momentum, 10)
    time = 2.0 * (1.0 + momentum) / threshold / (1.0 - momentum)
    exact = solve_ivp(
        lambda _, w: -loss.gradient(w), (0.0, 10 * time), start, t_eval=np.arange(11) * time, method="DOP853",
        rtol=1e-11, atol=1e-13,
    ).y.T  # fmt: skip
    assert data.flow_loss.values == pytest.approx([loss.value(w) for w in exact], rel=1e-4)
    assert data.flow_sharpness.values == pytest.approx([loss.sharpness(w)[0] for w in exact], rel=1e-5)


@pytest.mark.parametrize("beside", [["run", "flow"], ["run"], ["flow"], []])
def test_what_is_run_beside_is_chosen(beside):
    """Protects against a wait for what nobody asked for: what is left out has no variable, the rest keeps its bits."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-4)
    arguments = loss, ss.HeavyBall(3.0, 0.5), [0.02, 0.0], 12
    whole = ss.predicted_dynamics(*arguments, form="projected")
    data = ss.predicted_dynamics(*arguments, form="projected", beside=beside)
    of_run = {"loss", "sharpness", "x", "sharpness_residual", "diverged_at"}
    of_flow = {name for name in whole if str(name).startswith("flow_")}
    left_out = (set() if "run" in beside else of_run) | (set() if "flow" in beside else of_flow)
    assert set(whole) - set(data) == left_out
    assert all(np.array_equal(data[name], whole[name], equal_nan=True) for name in data)


def test_the_flow_says_where_it_meets_kinks():
    """Protects networks with ReLU: the flow beside them takes bounded work, and its error is told."""
    x, y = ss.datasets.digits(40, target="parity")
    gradients = []

    def gradient(w):
        gradients.append(w)
        hidden = x @ w[:-1]
        through = (np.maximum(hidden, 0.0) * w[-1] - y[:, 0]) / len(x)
        return np.append(x.T @ (through * w[-1] * (hidden > 0)), through @ np.maximum(hidden, 0.0))

    loss = ss.FunctionLoss(
        lambda w: 0.5 * np.mean((np.maximum(x @ w[:-1], 0.0) * w[-1] - y[:, 0]) ** 2), gradient, 65,
        third=lambda w, u, v: np.zeros(65),
    )  # fmt: skip
    start = np.append(np.random.default_rng(0).normal(size=64) / 8.0, 1.0)
    start = ss.simulate(loss, ss.HeavyBall(0.2, 0.9), start, 60, keep=["weights"]).weights.values[-1]
    gradients.clear()
    optimizer = ss.HeavyBall(3.8 / loss.sharpness(start)[0], 0.9)
    before = len(gradients)
    data = ss.predicted_dynamics(loss, optimizer, start, 6)
    assert int(data.flow_diverged_at) == -1
    assert TOLERANCE < float(data.flow_error.max()) <= KINKED_ERROR
    assert (np.diff(data.flow_loss) < 0.0).all()
    assert len(gradients) - before < 6 * 1000


def test_a_prediction_that_runs_off_is_recorded():
    """Protects divergence as a result: the prediction's step, its NaN after it, and nothing else cut off."""
    centre = np.sqrt([2.0 + np.sqrt(3.0), 2.0 - np.sqrt(3.0)])  # uv = 1, S = 4
    start, previous = ss.flip_start(ss.Product(), centre, 0.6)
    data = ss.predicted_dynamics(ss.Product(), ss.HeavyBall(0.5), start, 60, previous=previous)
    ended = int(data.predicted_diverged_at)
    assert 0 < ended < 60
    assert np.isnan(data.predicted_sharpness.values[ended:]).all()
    assert np.isfinite(data.predicted_sharpness.values[:ended]).all()
    assert np.isfinite(data.sharpness).all()
    assert int(data.diverged_at) == int(data.flow_diverged_at) == -1


def test_a_run_that_diverges_ends_the_records():
    """Protects the same of the run itself."""
    loss, optimizer = ss.Quadratic([1.0, 0.5]), ss.HeavyBall(3.0)
    data = ss.predicted_dynamics(loss, optimizer, [1.0, 1.0], 100)
    plain = ss.simulate(loss, optimizer, [1.0, 1.0], 100)
    assert int(data.diverged_at) == int(plain.diverged_at) > 0
    assert data.sizes["step"] == int(data.diverged_at)
    assert data.loss.values == pytest.approx(plain.loss.values, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"form": "exact"},
            ValueError,
            "form must be one of basic, generalized, projected, two-scale, got 'exact'",
        ),
        ({"form": None}, TypeError, "form must be one of"),
        ({"optimizer": ss.HeavyBall(1.0, 0.5, 0.5)}, ValueError, "optimizer must have lookahead 0"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be a HeavyBall"),
        ({"loss": abs}, TypeError, "loss must be a selfstab loss"),
        ({"previous": [1.0]}, ValueError, r"previous must have shape \(2,\)"),
        ({"steps": 1.5}, TypeError, "steps must be an integer"),
    ],
)
def test_bad_input_is_refused(changes, error, message):
    """Protects the door: the argument, its value and what is allowed are named before anything runs."""
    arguments = {
        "loss": ss.Product(),
        "optimizer": ss.HeavyBall(0.1),
        "start": [1.0, 1.0],
        "steps": 1,
    } | changes
    with pytest.raises(error, match=message):
        ss.predicted_dynamics(**arguments)


@pytest.mark.parametrize(
    ("momentum", "inertia", "follows"),
    [(0.7, [1.0, 1.0, 0.8, 0.3], [True] * 4), (0.9, [11, 12, 9, 4], [False, False, False, True])],
)
def test_where_the_two_scale_form_ends(momentum, inertia, follows):
    """Protects the manual's words on its domain: beyond κ = 4 a wide swing is not followed; these errors are printed.

    Rounding decides how far off it is then, not whether.
    """
    loss = ss.MLP([64, 6, 1], *ss.datasets.digits(100, target="parity"))
    run = ss.simulate(
        loss, ss.HeavyBall(1.0, 0.9), loss.initial_weights(seed=0), 25, every=5, keep=["weights"]
    )
    for at, kappa, good in zip(run.weights.values[2:], inertia, follows, strict=True):
        sharpness, u = loss.sharpness(at)
        lr = 2.0 * (1.0 + momentum) / sharpness
        data = ss.predicted_dynamics(loss, ss.HeavyBall(lr, momentum), at + 0.02 * u, 60, form="two-scale")
        found = ss.theory.edge_inertia_number(lr, momentum, float(data.progressive_sharpening[0]))
        assert found == pytest.approx(kappa, rel=0.05, abs=0.05)
        error = verification.error(data)
        print(f"β = {momentum}, κ = {found:.1f}: rms error {error:.2%} of the range")
        assert error < 0.02 if good else error > 0.2


@pytest.mark.parametrize(
    ("lr", "momentum", "start", "form"),
    [
        (2.0, 0.9, [-0.91545, 0.44039], "generalized"),
        (0.5, 0.9, [0.658, -0.517], "two-scale"),
    ],
)
def test_a_hessian_beyond_float64_is_a_result(lr, momentum, start, form):
    """Protects divergence as a result: each trajectory ends or is NaN there, without an error or a warning."""
    loss = ss.SymbolicLoss("x**2*(1+y)/2 - 0.05*y + exp(x*y*40)/1000000", ("x", "y"))
    data = ss.predicted_dynamics(loss, ss.HeavyBall(lr, momentum), start, 150, form=form)
    ends = ("diverged_at", "constrained_diverged_at", "predicted_diverged_at", "flow_diverged_at")
    assert max(int(data[name]) for name in ends) >= 0
    with pytest.raises(
        ValueError, match=r"start must lie where its projection onto sharpness <= 0\.5 is finite"
    ):
        ss.predicted_dynamics(loss, ss.HeavyBall(4.0), [1.8016, 1.3151], 150)
