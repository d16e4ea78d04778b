"""The sharpness from record to record: how exact it is, what it costs, and that it ends."""

from __future__ import annotations

import numpy as np
import pytest

from selfstab.records.recording.tracker import CHECKED_EVERY, EXACT_UP_TO, SharpnessTracker

SIZE = EXACT_UP_TO + 200
BULK = np.random.default_rng(0).exponential(0.1, SIZE)
VECTORS = np.linalg.qr(np.random.default_rng(1).standard_normal((SIZE, 9))).Q


OTHERS = np.eye(SIZE) - VECTORS @ VECTORS.T
BASE = OTHERS @ (BULK[:, None] * OTHERS)
"""The bulk, of eigenvalues below 1, across nine directions."""


class Hessian:
    """A bulk and six larger eigenvalues, whose vectors turn among nine directions with the step."""

    def __init__(self, step, tops=(3.0, 2.7, 2.4, 2.2, 1.5, 1.2), turn=0.03, dtype=np.float64):
        angle = turn * step
        turned = np.vstack([np.cos(angle) * np.eye(6), np.sin(angle) * np.tile(np.eye(3), 2)])
        self.vectors = (VECTORS @ np.linalg.qr(turned).Q).astype(dtype)
        self.base, self.tops = BASE.astype(dtype), np.array(tops, dtype)
        self.calls, self.precisions = 0, set()

    def __call__(self, v):
        self.calls += 1
        self.precisions.add(str(v.dtype))
        return self.base @ v + self.vectors @ (self.tops * (v @ self.vectors))

    @property
    def exact(self):
        return np.sort(self.tops.astype(np.float64))[::-1]


def test_records_are_as_exact_as_asked_for_and_cheap():
    """Protects the default: 1e-4 of the sharpness in a dozen products, warm; an estimate is within a factor of two."""
    tracker = SharpnessTracker()
    for step in range(6):
        hessian = Hessian(step)
        measured = tracker.measure(hessian, SIZE)
        error = hessian.exact[0] - measured.sharpness
        assert 0.0 <= error <= 1e-4 * measured.sharpness
        assert 0.5 * error <= measured.error <= 1e-4 * measured.sharpness
        assert np.isnan(measured.second)
        assert measured.products == hessian.calls
        assert step == 0 or measured.products <= 12
        assert abs(tracker.top_vector() @ hessian.vectors[:, 0]) > 0.999


def test_the_second_eigenvalue_is_as_exact():
    """Protects second=True, through a crossing of both."""
    tracker = SharpnessTracker(second=True)
    for step in range(6):
        hessian = Hessian(step, (3.0 - 0.1 * step, 2.6 + 0.1 * step, 2.4, 2.2, 1.5, 1.2))
        measured = tracker.measure(hessian, SIZE)
        np.testing.assert_allclose([measured.sharpness, measured.second], hessian.exact[:2], rtol=1e-4)


@pytest.mark.parametrize("second", [False, True])
def test_products_in_float32_end(second):
    """Protects a loop from a record that never returns: a dense spectrum, products of seven digits."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    matrix = (matrix + matrix.T) / 70
    exact = np.linalg.eigvalsh(matrix)[-1]
    for settings in ({}, {"accuracy": 1e-9}, {"tolerance": 1e-10}):
        measured = SharpnessTracker(second=second, **settings).measure(lambda v: matrix @ v, SIZE)
        assert measured.products < 500
        assert measured.sharpness == pytest.approx(exact, rel=1e-4)


def test_the_basis_is_in_the_precision_of_the_products():
    """Protects memory: where products have seven digits, so have all vectors."""
    tracker, hessian = SharpnessTracker(), Hessian(0, dtype=np.float32)
    tracker.measure(lambda v: hessian(v).astype(np.float32), SIZE)
    assert hessian.precisions == {"float32"}
    again = Hessian(1, dtype=np.float32)
    tracker.measure(again, SIZE)
    assert again.precisions == {"float32"}
    assert {str(row.dtype) for row in tracker.vectors} == {"float32"}


def test_an_eigenvalue_that_passes_the_first_is_found():
    """Protects the start: the third vector becomes the largest from one record to the next."""
    tracker = SharpnessTracker()
    tracker.measure(Hessian(0), SIZE)
    hessian = Hessian(0, (3.0, 2.7, 3.3, 2.2, 1.5, 1.2))
    assert tracker.measure(hessian, SIZE).sharpness == pytest.approx(hessian.exact[0], rel=1e-4)


def test_a_limited_number_of_products_has_its_error_measured():
    """Protects the cheap mode: no record but the measured ones takes more products, and their error is the true one."""
    tracker, plain = SharpnessTracker(most_products=5), SharpnessTracker(most_products=5)
    before = []
    for step in range(CHECKED_EVERY + 3):
        hessian = Hessian(step, turn=0.1)
        measured = tracker.measure(hessian, SIZE)
        checked = step in (1, CHECKED_EVERY + 1)
        assert np.isnan(measured.measured_error) != checked
        if checked:
            plain.vectors, plain.unchecked = before, 1
            limited = plain.measure(hessian, SIZE)
            assert limited.products == 5
            assert measured.measured_error == pytest.approx(measured.sharpness - limited.sharpness, abs=1e-14)
            assert limited.sharpness + measured.measured_error == pytest.approx(hessian.exact[0], rel=1e-5)
        elif step:
            assert measured.products <= 5
            assert 0.5 * (hessian.exact[0] - measured.sharpness) <= measured.error
        before = tracker.vectors


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [3, SIZE])
@pytest.mark.parametrize("power", [-30, 30])
def test_numbers_whose_squares_are_none_do_no_harm(dtype, size, power):
    """Protects runs about to diverge, and tiny losses: in float32 squares end at 1e38."""
    scale = dtype(10.0**power)
    curvatures = (np.arange(size) / size).astype(dtype) * scale
    curvatures[1] = 2 * scale
    measured = SharpnessTracker(second=True).measure(lambda v: curvatures * v.astype(dtype), size)
    assert measured.sharpness == pytest.approx(2.0 * float(scale), rel=1e-4)
    assert measured.second == pytest.approx(float(np.sort(curvatures)[-2]), rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_hessian_that_is_not_finite_has_no_sharpness(bad):
    """Protects loops that blow up, and the record after it: the vectors of the last finite one are kept."""
    tracker = SharpnessTracker()
    tracker.measure(Hessian(0), SIZE)
    assert np.isnan(tracker.measure(lambda v: bad * v, SIZE).sharpness)
    hessian = Hessian(0)
    assert tracker.measure(hessian, SIZE).sharpness == pytest.approx(hessian.exact[0], rel=1e-4)
    assert hessian.calls <= 12


def test_another_number_of_weights_starts_anew():
    """Protects loops whose model grows."""
    tracker = SharpnessTracker()
    tracker.measure(Hessian(0), SIZE)
    curvatures = np.linspace(0.0, 1.0, SIZE + 1)
    assert tracker.measure(lambda v: curvatures * v, SIZE + 1).sharpness == pytest.approx(1.0, rel=1e-4)
