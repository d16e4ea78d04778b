"""averaged_flow: closed forms, the conditions on Σ, order, invariances, and how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import selfstab as ss
from selfstab.flows import averaged
from selfstab.losses.base.loss import Loss
from selfstab.verification.constrained import CURVATURE, slow_loss, slow_start

NETWORK = ss.MLP(
    (2, 3, 1), [[1.0, 0.2], [-0.3, 1.0], [1.0, 1.0], [-1.0, 0.6]], [[1.0], [-1.0], [0.5], [0.2]]
)  # fmt: skip


class Turned(Loss):
    """A loss in coordinates turned by an orthogonal matrix."""

    def __init__(self, loss, matrix):
        self.loss, self.matrix = loss, matrix

    @property
    def dimension(self):
        return self.loss.dimension

    def value_at(self, w):
        return self.loss.value_at(self.matrix.T @ w)

    def gradient_at(self, w):
        return self.matrix @ self.loss.gradient_at(self.matrix.T @ w)

    def hessian_at(self, w):
        hessian = self.matrix @ self.loss.hessian_at(self.matrix.T @ w) @ self.matrix.T
        return 0.5 * (hessian + hessian.T)

    def third_at(self, w, u, v):
        return self.matrix @ self.loss.third_at(*(self.matrix.T @ x for x in (w, u, v)))


def orthogonal(size):
    return np.linalg.qr(np.random.default_rng(3).standard_normal((size, size)))[0]


def edge_of(loss, share=0.97, seed=1):
    """Return weights, and the threshold that their sharpness is a share of."""
    w = loss.initial_weights(seed)
    return w, loss.sharpness(w)[0] / share


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_cubic_model(momentum):
    """Protects the closed form: S rises by cα per step to S* and stays there, with σ² = 2α/b²."""
    alpha, squared, threshold = 1e-3, 4.0, 1.0
    loss = ss.CubicTaylor(threshold, alpha, squared)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum), momentum)
    speed = optimizer.lr / (1.0 - momentum)
    flow = ss.averaged_flow(loss, optimizer, [0.0, -0.1], 130, keep=["weights"])
    rising = 1.0 - 0.2 + speed * alpha * flow.step.values
    before, after = rising + speed * alpha < 1.0, rising > 1.0 + speed * alpha
    assert before.any()
    assert after.any()
    assert flow.sharpness.values == pytest.approx(np.minimum(rising, 1.0), rel=1e-12)
    assert (flow.variance.values[before] == 0.0).all()
    assert (flow.active.values[before] == 0).all()
    assert flow.variance.values[after] == pytest.approx(2.0 * alpha / squared, rel=1e-9)
    assert flow.covariance_eigenvalues.values[after, 0] == pytest.approx(2.0 * alpha / squared, rel=1e-9)
    assert (flow.active.values[after] == 1).all()
    swing = 0.5 * threshold * flow.variance.values
    assert flow.averaged_loss.values == pytest.approx(flow.loss.values + swing, rel=1e-12)
    assert (flow.invalid == 0).all()
    assert (flow.weights.values[:, 0] == 0.0).all()


def test_a_swing_that_is_not_needed_is_none():
    """Protects σ² >= 0: where the gradient lowers the sharpness at the edge, the flow leaves it."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=-0.01)
    flow = ss.averaged_flow(loss, ss.HeavyBall(2.0), [0.0, 0.0], 10)
    assert (flow.variance == 0.0).all()
    assert flow.sharpness.values == pytest.approx(1.0 - 0.02 * np.arange(11), rel=1e-12)


def reference(momentum, scale, steps):
    """Return y and q of the slow loss' reduced flow at the last step, by another integrator."""
    a, k = 1e-5 * scale**2, CURVATURE * scale**2

    def velocity(_, slow):
        q = slow[1]
        push = max(a - k * q**2, 0.0) / (1.0 + q**2)  # ½σ²
        return [a - push, -k * q - push * q]

    time = 2.0 * (1.0 + momentum) / (1.0 - momentum) * steps
    return solve_ivp(velocity, (0.0, time), slow_start()[1:], "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_order_in_the_substep(momentum, monkeypatch):
    """Protects the method's order, two, on the slow loss along the edge, against the reduced flow."""
    monkeypatch.setattr(averaged, "TOLERANCE", 1e-9)
    loss, optimizer, steps = slow_loss(30.0), ss.HeavyBall(2.0 * (1.0 + momentum), momentum), 3
    expected = reference(momentum, 30.0, steps)
    pieces = np.array([2, 4, 8])
    errors = []
    for substeps in pieces:
        flow = ss.averaged_flow(
            loss, optimizer, slow_start(), steps, substeps=int(substeps), keep=["weights"]
        )
        errors.append(np.abs(flow.weights.values[-1, 1:] - expected).max())
    order = -np.polyfit(np.log(pieces), np.log(errors), 1)[0]
    assert order == pytest.approx(2.0, abs=0.3)
    assert errors[-1] < 2e-4


def block(a):
    """Return a loss whose two top eigenvalues are those of 1 + Z at x = y = 0, Z's drift being the matrix A.

    Z's coordinates are such that distances are those of matrices.
    """
    terms = "((1 + p)*x**2 + (1 + q)*y**2 + r*sqrt(2)*x*y)/2 - a*p - b*q - c*r"
    return ss.SymbolicLoss(
        terms, ["x", "y", "p", "q", "r"], {"a": a[0, 0], "b": a[1, 1], "c": np.sqrt(2.0) * a[0, 1]}
    )


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(
    "drift", [[[1e-3, 0.0], [0.0, 2e-3]], [[1e-3, 1e-3], [1e-3, 2e-3]], [[1e-3, 2e-3], [2e-3, 1e-3]]]
)
def test_two_directions(drift, momentum):
    """Protects the matrix form: where both eigenvalues are at S*, Σ = 2A₊, of rank two or one, and Z moves by −cA₋."""
    a = np.array(drift)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum), momentum)
    flow = ss.averaged_flow(block(a), optimizer, np.zeros(5), 5, keep=["weights"])
    values, vectors = np.linalg.eigh(a)
    up = np.maximum(values, 0.0)
    assert flow.covariance_eigenvalues.values[0, :2] == pytest.approx(2.0 * up[::-1], abs=1e-10)
    assert int(flow.active[0]) == int((up > 0.0).sum())
    down = (vectors * np.minimum(values, 0.0)) @ vectors.T
    p, q, r = flow.weights.values[1, 2:]
    speed = optimizer.lr / (1.0 - momentum)
    assert np.array([p, q, r / np.sqrt(2.0)]) == pytest.approx(speed * down[[0, 1, 0], [0, 1, 1]], abs=1e-9)
    assert (flow.sharpness <= 1.0 + 1e-9).all()
    assert (flow.complementarity <= 1e-8).all()


def test_equal_eigenvalues_that_move_together():
    """Protects a degenerate top eigenvalue: only tr Σ is determined, by rotational symmetry, and is 2a."""
    loss = ss.SymbolicLoss("(1 + z)*(x**2 + y**2)/2 - a*z", ["x", "y", "z"], {"a": 1e-3})
    flow = ss.averaged_flow(loss, ss.HeavyBall(2.0), [0.0, 0.0, -0.01], 20)
    assert flow.variance.values[-1] == pytest.approx(2e-3, rel=1e-9)
    assert flow.sharpness.values[-1] == pytest.approx(1.0, rel=1e-9)
    assert (flow.invalid == 0).all()


def test_more_unstable_directions_than_carried_are_told():
    """Protects the validity flag: with one direction carried the second passes the threshold, and the bit is set."""
    drift = np.diag([2e-3, 1e-3])
    both = ss.averaged_flow(block(drift), ss.HeavyBall(2.0), np.zeros(5), 20)
    one = ss.averaged_flow(block(drift), ss.HeavyBall(2.0), np.zeros(5), 20, directions=1)
    assert (both.invalid == 0).all()
    assert (one.invalid.values & 1).all()
    assert one.attrs["directions"] == 1


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_conditions_along_a_network(momentum):
    """Protects the flow on a loss it was not made for: no eigenvalue above S*, Σ ⪰ 0, and Σ only where S = S*."""
    w, threshold = edge_of(NETWORK)
    flow = ss.averaged_flow(
        NETWORK, ss.HeavyBall(2.0 * (1.0 + momentum) / threshold, momentum), w, 25, substeps=4
    )
    # What a substep leaves is of second order in it: 5e-3, 1.5e-3 and 4e-4 at 2, 4 and 8 of them.
    assert (flow.sharpness <= threshold * (1.0 + 2e-3)).all()
    assert (flow.covariance_eigenvalues >= 0.0).all()
    swings = flow.variance.values > 0.0
    assert swings.any()
    assert flow.sharpness.values[swings] == pytest.approx(threshold, rel=2e-2)  # the first on the way
    assert (flow.complementarity <= 1e-7).all()
    assert (np.diff(flow.loss) < 0.0).all()  # the projected gradient still descends


def test_momentum_changes_the_speed_alone():
    """Protects c and S*: at matched threshold momentum 0.5 is gradient descent three times as fast."""
    w, threshold = edge_of(NETWORK)
    plain = ss.HeavyBall(2.0 / threshold)
    slow = ss.averaged_flow(NETWORK, plain, w, 12, substeps=4, keep=["weights"])
    fast = ss.averaged_flow(NETWORK, plain.matched(0.5), w, 4, substeps=12, keep=["weights"])
    assert fast.weights.values == pytest.approx(slow.weights.values[::3], abs=1e-6)


def test_below_the_edge_it_is_gradient_flow():
    """Protects the flow far below the threshold against another integrator."""
    loss, momentum = ss.Product(), 0.8
    flow = ss.averaged_flow(
        loss, ss.HeavyBall(0.01, momentum), [2.0, 0.1], 50, keep=["weights", "gradient_norm"]
    )
    exact = solve_ivp(
        lambda _, w: -0.05 * loss.gradient_at(w), (0.0, 50.0), [2.0, 0.1], "DOP853", t_eval=np.arange(51.0), rtol=1e-12
    )  # fmt: skip
    assert flow.weights.values == pytest.approx(
        exact.y.T, abs=1e-5
    )  # TOLERANCE in each of 50 steps, of weights of norm 2
    norms = [np.linalg.norm(loss.gradient(at)) for at in flow.weights.values]
    assert flow.gradient_norm.values == pytest.approx(norms, rel=1e-12)


def test_other_coordinates():
    """Protects from the choice of coordinates: turned weights give the same flow."""
    w, threshold = edge_of(NETWORK)
    optimizer, q = ss.HeavyBall(2.0 / threshold), orthogonal(NETWORK.dimension)
    flow = ss.averaged_flow(NETWORK, optimizer, w, 15, keep=["weights"])
    turned = ss.averaged_flow(Turned(NETWORK, q), optimizer, q @ w, 15, keep=["weights"])
    assert turned.weights.values == pytest.approx(flow.weights.values @ q.T, abs=1e-7)
    assert turned.variance.values == pytest.approx(flow.variance.values, rel=1e-4, abs=1e-9)


def test_a_falling_threshold_is_followed():
    """Protects schedules: under warmup the sharpness never exceeds its step's threshold, then falls with it."""
    loss = ss.CubicTaylor(1.0, 1e-3, 1.0)
    schedule = ss.LinearWarmup(0.0, 2.5, 50)
    flow = ss.averaged_flow(loss, ss.HeavyBall(schedule), [0.0, -0.05], 80)
    assert (flow.sharpness <= flow.max_stable_sharpness * (1.0 + 1e-9)).all()
    held = flow.step.values >= 45
    assert flow.sharpness.values[held] == pytest.approx(flow.max_stable_sharpness.values[held], rel=1e-9)
    assert flow.max_stable_sharpness.values[0] == np.inf
    free = np.cumsum(np.append(0.0, flow.lr.values[:20]))  # the iterates' own speed in each step
    assert flow.sharpness.values[:21] == pytest.approx(0.95 + 1e-3 * free, rel=1e-12)


def test_a_start_beyond_the_edge():
    """Protects its documented answer: back on the edge at once, which the flag tells of the start."""
    flow = ss.averaged_flow(ss.CubicTaylor(1.0, 1e-3), ss.HeavyBall(2.0), [0.0, 0.05], 3)
    assert flow.sharpness.values[1:] == pytest.approx(1.0, rel=1e-9)
    assert flow.invalid.values.tolist() == [2, 0, 0, 0]


def test_records(same_bits):
    """Protects determinism and strides: same call, same bits; fewer records are the same records."""
    w, threshold = edge_of(NETWORK)
    call = (NETWORK, ss.HeavyBall(2.0 / threshold), w, 10)
    whole = ss.averaged_flow(*call, keep=["weights"])
    again = ss.averaged_flow(*call, keep=["weights"])
    part = ss.averaged_flow(*call, keep=["weights"], every=4)
    assert part.step.values.tolist() == [0, 4, 8, 10]
    for name in whole.data_vars:
        assert same_bits(again[name].values, whole[name].values)
        if "step" in whole[name].dims:
            assert same_bits(part[name].values, whole[name].sel(step=part.step).values)
            assert whole[name].attrs["long_name"]
    assert "weights" not in ss.averaged_flow(*call)
    assert {"loss", "optimizer", "start", "versions", "seconds", "substeps"} <= set(whole.attrs)
    assert whole.attrs["flow"] == "averaged flow"


@pytest.mark.parametrize("settings", [{"escape": 2.0}, {}])
def test_divergence_is_a_result(settings):
    """Protects the end of a flow that runs away in finite time: its step, and the records before it."""
    loss = ss.SymbolicLoss("-w**4/4", ["w"])
    flow = ss.averaged_flow(loss, ss.HeavyBall(0.01), [1.0], 100, **settings)
    at = int(flow.diverged_at)
    assert 30 <= at <= 52  # w = (1 − 2t/100)^{−1/2}
    assert flow.step.values.tolist() == [*range(at)]
    assert np.isfinite(flow.loss).all()


def test_a_large_network_by_products_alone():
    """Protects Hessian-vector products: the same flow as with the explicit Hessian."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((20, 6)), rng.standard_normal(20)
    losses = [ss.MLP((6, 9, 1), inputs, targets) for _ in range(2)]  # 73 weights
    losses[1].explicit_hessian = True
    w, threshold = edge_of(losses[1])
    found = [ss.averaged_flow(loss, ss.HeavyBall(2.0 / threshold), w, 15) for loss in losses]
    assert found[0].variance.values[-1] > 0.0
    for name in ("sharpness", "loss", "variance"):
        assert found[0][name].values == pytest.approx(found[1][name].values, rel=1e-5)
    assert (found[0].sharpness_residual <= 1e-7 * threshold).all()


RELU = ss.MLP((2, 3, 1), [[1.0, 0.0]], [[1.0]], "relu")
BAD = {
    "loss": ({"loss": 3}, TypeError, "loss must be a selfstab loss"),
    "relu": ({"loss": RELU, "start": [0.1] * 13}, ValueError, "derivatives of order 3"),
    "family": (
        {"loss": ss.LossFamily(lambda seed: RELU, seed=0), "start": [0.1] * 13},
        ValueError,
        "derivatives of order 3",
    ),
    "optimizer": ({"optimizer": 0.1}, TypeError, "optimizer must be a HeavyBall"),
    "lookahead": ({"optimizer": ss.HeavyBall(0.1, 0.5, 0.5)}, ValueError, "lookahead"),
    "start shape": ({"start": [1.0]}, ValueError, "start must have shape"),
    "start nan": ({"start": [1.0, np.nan]}, ValueError, "start must be finite"),
    "steps": ({"steps": -1}, ValueError, "steps must be"),
    "directions": ({"directions": 0}, ValueError, "directions must be"),
    "substeps": ({"substeps": 0}, ValueError, "substeps must be"),
    "substeps kind": ({"substeps": 1.5}, TypeError, "substeps must be"),
    "every": ({"every": 0}, ValueError, "every must be"),
    "keep": ({"keep": ["velocity"]}, ValueError, "keep must be one of weights, gradient_norm"),
    "escape": ({"escape": 0.0}, ValueError, "escape must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_runs(name, monkeypatch):
    """Protects the door: one line that names the argument, the value and what is allowed."""
    change, kind, message = BAD[name]
    monkeypatch.setattr(averaged, "stages", None)
    good = {"loss": ss.Product(), "optimizer": ss.HeavyBall(0.1), "start": [1.0, 1.0], "steps": 3}
    with pytest.raises(kind, match=message):
        ss.averaged_flow(**(good | change))


def test_no_step():
    """Protects the shortest flow: the start alone."""
    flow = ss.averaged_flow(ss.Product(), ss.HeavyBall(0.1), [1.0, 1.0], 0)
    assert flow.sizes["step"] == 1
    assert float(flow.variance[0]) == 0.0
