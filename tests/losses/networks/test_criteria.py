"""What outputs are measured by: values and slopes against mpmath, curvatures and series against differences of them."""

import mpmath
import numpy as np
import pytest

from selfstab.losses.networks.criteria import CRITERIA, checked_targets
from selfstab.losses.networks.series import truncation

GENERATOR = np.random.default_rng(0)
OUTPUTS = 2.0 * GENERATOR.standard_normal((5, 3))
ALONG = GENERATOR.standard_normal((5, 3))
TARGETS = {
    "mse": GENERATOR.standard_normal((5, 3)),
    "cross-entropy": checked_targets("cross-entropy", np.array([0, 2, 1, 1, 0]), 5, 3),
}


def exactly(name, outputs, targets):
    """Return the criterion by mpmath, from its formula, of outputs that are numbers or mpmath's."""
    if name == "mse":
        terms = [
            (z - y) ** 2 / 2
            for row, goal in zip(outputs, targets, strict=True)
            for z, y in zip(row, goal, strict=True)
        ]
    else:
        terms = []
        for row, goal in zip(outputs, targets, strict=True):
            total = mpmath.log(mpmath.fsum(mpmath.exp(z) for z in row))
            terms += [-y * (z - total) for z, y in zip(row, goal, strict=True)]
    return mpmath.fsum(terms) / len(outputs)


def exact_slope(name, sample, output):
    """Return ∂L/∂z of one output of one sample by mpmath's differentiation."""
    rows = [[mpmath.mpf(float(z)) for z in row] for row in OUTPUTS]

    def shifted(z):
        moved = [list(row) for row in rows]
        moved[sample][output] = z
        return exactly(name, moved, TARGETS[name].tolist())

    return float(mpmath.diff(shifted, rows[sample][output]))


@pytest.mark.parametrize("name", CRITERIA)
def test_value_and_slope_against_mpmath(name):
    """Protects the formulas with their means: 50 digits of the sum and of its derivative."""
    criterion = CRITERIA[name](TARGETS[name])
    with mpmath.workdps(50):
        value = float(exactly(name, OUTPUTS.tolist(), TARGETS[name].tolist()))
        slopes = [[exact_slope(name, i, q) for q in range(3)] for i in range(5)]
    assert criterion.value(OUTPUTS) == pytest.approx(value, rel=1e-14)
    assert criterion.slope(criterion.state(OUTPUTS)) == pytest.approx(np.array(slopes), rel=1e-12)


def test_cross_entropy_keeps_its_digits_where_one_output_has_it_all():
    """Protects the loss of a network that fits: a loss of 1e-20 is not the difference of numbers of size 1."""
    outputs = np.array([[46.0, 0.0, -3.0]])
    criterion = CRITERIA["cross-entropy"](np.array([[1.0, 0.0, 0.0]]))
    with mpmath.workdps(50):
        value = float(exactly("cross-entropy", outputs.tolist(), [[1, 0, 0]]))
    assert criterion.value(outputs) == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("name", CRITERIA)
def test_bend_and_curvature_are_derivatives_of_the_slope(name):
    """Protects Hessians of networks: both forms against complex-free central differences of the slope."""
    criterion = CRITERIA[name](TARGETS[name])
    step = 1e-5
    difference = (
        criterion.slope(criterion.state(OUTPUTS + step * ALONG))
        - criterion.slope(criterion.state(OUTPUTS - step * ALONG))
    ) / (2 * step)
    state = criterion.state(OUTPUTS)
    assert criterion.bend(state, ALONG) == pytest.approx(difference, abs=1e-10)
    curvature = criterion.curvature(state)
    product = curvature * ALONG if curvature.ndim == 2 else np.einsum("nqr,nr->nq", curvature, ALONG)
    assert product == pytest.approx(difference, abs=1e-10)


@pytest.mark.parametrize("name", CRITERIA)
def test_the_series_of_the_slope_is_taylors(name):
    """Protects third and fourth derivatives: the slope at z + εd is its series summed, to the power left out."""
    criterion, algebra = CRITERIA[name](TARGETS[name]), truncation((3,))
    outputs = np.zeros((4, 5, 3))
    outputs[0], outputs[1], outputs[2] = OUTPUTS, ALONG, 0.5 * ALONG[::-1]
    series = criterion.series(algebra, outputs.copy())
    for step in (1e-2, 1e-3):
        moved = OUTPUTS + step * ALONG + step**2 * 0.5 * ALONG[::-1]
        summed = sum(series[k] * step**k for k in range(4))
        assert np.abs(criterion.slope(criterion.state(moved)) - summed).max() < 50 * step**4 + 1e-15


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        ([0.0, 1.5, 0.0], "labels, integers from 0 to 1"),
        ([0.0, 2.0, 0.0], "got 2.0"),
        ([[0.5, 0.5], [1.0, 0.0], [-0.1, 1.1]], "probabilities >= 0"),
        ([[0.5, 0.5], [1.0, 0.0], [0.3, 0.3]], "sum to 1"),
        ([[0.5, 0.5]], "targets must have shape"),
    ],
)
def test_bad_targets(targets, match):
    """Protects against a loss of what is no distribution."""
    with pytest.raises(ValueError, match=match):
        checked_targets("cross-entropy", targets, 3, 2)


def test_targets_of_several_forms():
    """Protects labels, probabilities up to rounding, and single outputs: each becomes rows of numbers."""
    assert np.array_equal(checked_targets("cross-entropy", [1, 0], 2, 2), [[0.0, 1.0], [1.0, 0.0]])
    assert checked_targets("mse", [1.0, 2.0], 2, 1).shape == (2, 1)
    rounded = checked_targets("cross-entropy", [[1 / 3, 2 / 3 + 1e-9]], 1, 2)
    assert rounded.sum() == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(ValueError, match="two or more outputs"):
        checked_targets("cross-entropy", [0], 1, 1)
