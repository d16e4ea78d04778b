"""Batch sharpness against explicit gradients and Hessians of samples, and a closed form."""

import itertools

import numpy as np
import pytest

import selfstab as ss
from selfstab.observables import batch_sharpness

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.standard_normal((6, 3)), RNG.standard_normal(6)
LOSSES = {
    "mlp": ss.MLP((3, 2, 1), INPUTS, TARGETS, weight_decay=0.1),
    "cross-entropy": ss.MLP((3, 2), INPUTS, np.array([0, 1, 0, 0, 1, 1]), criterion="cross-entropy"),
    "diagonal": ss.DiagonalNetwork(INPUTS, TARGETS, depth=3),
    "risk": ss.EmpiricalRisk(
        "(tanh(dot(w, x)) - y)**2/2 + c*dot(w, w)", {"w": 3}, {"x": INPUTS, "y": TARGETS}, {"c": 0.1}
    ),
}  # fmt: skip


def single_samples(loss, w):
    """Return gradients and Hessians of the six samples, each from a loss made of it alone."""
    losses = [loss.of_samples([k]) for k in range(6)]
    return np.array([one.gradient(w) for one in losses]), np.array([one.hessian(w) for one in losses])


@pytest.mark.parametrize("name", LOSSES)
def test_all_batches_against_explicit_hessians(name):
    """Protects the definition: gᵀHg and gᵀg summed by hand over all batches, g and H means over single samples."""
    loss = LOSSES[name]
    points = RNG.standard_normal((2, loss.dimension))
    for size in (1, 2, 5, 6):
        data = batch_sharpness(loss, points, size, batches=20)
        for k, w in enumerate(points):
            gradients, hessians = single_samples(loss, w)
            curvatures, squares = 0.0, 0.0
            for rows in map(list, itertools.combinations(range(6), size)):
                g, h = gradients[rows].mean(axis=0), hessians[rows].mean(axis=0)
                curvatures, squares = curvatures + g @ h @ g, squares + g @ g
            assert data.batch_sharpness.values[k] == pytest.approx(curvatures / squares, rel=1e-10)
        assert (data.standard_error == 0.0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_single_samples_make_the_loss(name):
    """Protects `of_samples`: the mean over samples is the loss, and rows keep their order and count."""
    loss = LOSSES[name]
    w = RNG.standard_normal(loss.dimension)
    values = np.array([loss.of_samples([k]).value(w) for k in range(6)])
    assert loss.value(w) == pytest.approx(values.mean(), rel=1e-12)
    assert loss.of_samples([4, 1, 4]).value(w) == pytest.approx(
        (2.0 * values[4] + values[1]) / 3.0, rel=1e-12
    )
    assert loss.of_samples(range(6)).description == loss.description
    assert loss.of_samples([0]).explicit_hessian == loss.explicit_hessian


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_of_samples_are_their_gradients_along_a_direction(name):
    """Protects the noise of batches: each sample's gradient, of a loss made of it alone, along two directions."""
    loss = LOSSES[name]
    w, *directions = RNG.standard_normal((3, loss.dimension))
    gradients, _ = single_samples(loss, w)
    for direction in directions:
        assert loss.slopes_at(w, direction) == pytest.approx(gradients @ direction, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", ["mlp", "cross-entropy"])
def test_a_network_of_some_rows_is_the_constructors(name):
    """Protects minibatches, which skip the constructor: the same bits, state and Hessian's form as a new network."""
    loss, rows = LOSSES[name], [4, 1, 4]
    new = ss.MLP(
        loss.widths,
        INPUTS[rows],
        loss.targets[rows],
        criterion=loss.criterion,
        weight_decay=loss.weight_decay,
    )
    part = loss.of_samples(rows)
    w = RNG.standard_normal(loss.dimension)
    assert part.description == new.description
    assert part.sample_count == 3
    assert np.array_equal(part.gradient(w), new.gradient(w))
    assert np.array_equal(part.hessian(w), new.hessian(w))
    assert vars(part).keys() == vars(new).keys()
    assert loss.sample_count == 6


def test_one_weight_in_closed_form():
    """Protects the meaning: on Σ h_i w²/2 at any w it is E h³/E h², for batches of one."""
    h = np.array([0.5, 1.0, 4.0])
    risk = ss.EmpiricalRisk("h*w**2/2", ["w"], {"h": h})
    data = batch_sharpness(risk, [[0.3], [-2.0]], 1)
    np.testing.assert_allclose(data.batch_sharpness, (h**3).mean() / (h**2).mean(), rtol=1e-14)
    np.testing.assert_allclose(data.batch_gradient, np.sqrt((h**2).mean()) * np.array([0.3, 2.0]), rtol=1e-14)


def test_drawn_batches():
    """Protects the estimate: within four of its standard errors of all batches, and the same for the same seed."""
    loss, w = LOSSES["mlp"], RNG.standard_normal(LOSSES["mlp"].dimension)
    exact = float(batch_sharpness(loss, w, 3, batches=20).batch_sharpness[0])
    drawn = batch_sharpness(loss, w, 3, batches=19, seed=1)
    assert 0.0 < float(drawn.standard_error[0]) < 0.5 * exact
    assert float(drawn.batch_sharpness[0]) == pytest.approx(exact, abs=4.0 * float(drawn.standard_error[0]))
    assert drawn.identical(batch_sharpness(loss, w, 3, batches=19, seed=1))
    assert not drawn.identical(batch_sharpness(loss, w, 3, batches=19, seed=2))


def test_along_a_run():
    """Protects runs: steps and settings are the run's, values those at its weights, whatever points stand before."""
    loss = LOSSES["mlp"]
    run = ss.simulate(loss, ss.HeavyBall(0.1, 0.5), loss.initial_weights(), 30, every=10, keep=["weights"])
    data = batch_sharpness(loss, run, 3, batches=5)
    assert data.step.values.tolist() == [0, 10, 20, 30]
    assert data.attrs["batch_size"] == 3
    assert data.attrs["steps"] == 30
    later = batch_sharpness(loss, run.isel(step=slice(2, None)), 3, batches=5)
    assert (later.batch_sharpness == data.batch_sharpness[2:]).all()


def test_no_gradient_has_no_batch_sharpness():
    """Protects the end of a run: NaN without a warning where every gradient vanishes."""
    risk = ss.EmpiricalRisk("h*w**2/2", ["w"], {"h": [1.0, 2.0]})
    assert np.isnan(batch_sharpness(risk, [0.0], 1).batch_sharpness).all()


RISK = LOSSES["risk"]
POINT = np.zeros(3)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((ss.Quadratic([1.0]), [1.0], 1), {}, TypeError, r"^loss must be a mean over samples"),
        ((RISK, POINT, 0), {}, ValueError, r"^size must be .*, got 0$"),
        ((RISK, POINT, 7), {}, ValueError, r"^size must be at most the number of samples, 6, got 7$"),
        ((RISK, POINT, 1.5), {}, TypeError, r"^size must be "),
        ((RISK, POINT, 1), {"batches": 1}, ValueError, r"^batches must be .*, got 1$"),
        ((RISK, POINT, 1), {"seed": -1}, ValueError, r"^seed must be .*, got -1$"),
        ((RISK, [0.0, 1.0], 1), {}, ValueError, r"^weights must "),
        ((RISK, np.zeros((0, 3)), 1), {}, ValueError, r"^weights must hold at least one point, got none$"),
        ((RISK, ss.simulate(RISK, ss.HeavyBall(0.1), POINT, 1), 1), {}, ValueError, r"^weights must be kept by"),
        (
            (RISK, ss.simulate(ss.Quadratic([1.0] * 3), ss.HeavyBall(0.1), POINT, 1, keep=["weights"]), 1),
            {}, ValueError, r"^loss must be the run's",
        ),
    ],
)  # fmt: skip
def test_refusals(arguments, settings, error, message):
    """Protects the door: one line that names the argument."""
    with pytest.raises(error, match=message):
        batch_sharpness(*arguments, **settings)


def test_a_perfect_fit_has_no_batch_sharpness():
    """Protects weights at which every sample's gradient is 0, of some batches and of all: NaN and no error."""
    x = np.arange(1.0, 13.0)
    risk = ss.EmpiricalRisk("(w*x - y)**2/2", ["w"], {"x": x, "y": x})
    for settings in ({"size": 3, "batches": 5}, {"size": 12}):
        found = batch_sharpness(risk, [1.0], **settings)
        assert np.isnan(found.batch_sharpness.item())
        assert np.isnan(found.standard_error.item())
        assert found.batch_gradient.item() == 0.0


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], ValueError),
        ([6], ValueError),
        ([-1], ValueError),
        ([0.5], TypeError),
        (1, ValueError),
        ("a", ValueError),
    ],
)
def test_rows_refused(rows, error):
    """Protects `of_samples` from rows that are none, not integers or not there."""
    with pytest.raises(error, match=r"^rows must "):
        RISK.of_samples(rows)
