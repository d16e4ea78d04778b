"""Toys: minima, sharpness and parameters in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfstab as ss


@settings(max_examples=40, deadline=None)
@given(s=st.floats(2, 1e6))
def test_minima_of_products_have_the_sharpness_asked_for(s):
    """Protects closed-form minima: zero loss, zero gradient, and the sharpness u² + v², 4(x² + y²), Σ1/uᵢ²."""
    for loss, least in ((ss.Product(), 2.0), (ss.Minimalist(), 8.0), (ss.Chain(3), 3.0), (ss.Chain(2), 2.0)):
        wanted = max(s, least)
        w = loss.minimum(sharpness=wanted)
        top, _ = loss.sharpness(w)
        assert top == pytest.approx(wanted, rel=1e-11)
        assert loss.value(w) < 1e-25 * wanted
        assert np.abs(loss.gradient(w)).max() < 1e-12 * wanted
    u, v = ss.Product().minimum(sharpness=s)
    assert u * u + v * v == pytest.approx(s, rel=1e-13)
    w = ss.Chain(3).minimum(sharpness=max(s, 3.0))
    assert (1 / w**2).sum() == pytest.approx(max(s, 3.0), rel=1e-11)


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        (ss.Product(), [2.0, 1.0]),
        (ss.Minimalist(), [2.0, 0.3]),
        (ss.Chain(4), [2.0, 1.0, 0.4, 1.5]),
        (ss.DoubleWell(), [-0.8]),
        (ss.SymbolicLoss("x**2 + (y - 1)**2 + x*y", ["x", "y"]), [5.0, 5.0]),
    ],
)
def test_the_minimum_near_a_start(loss, start):
    """Protects the search where minima form a manifold or stand alone."""
    w = loss.minimum(start)
    assert np.linalg.norm(loss.gradient(w)) < 1e-12 * max(1, np.linalg.norm(loss.gradient(start)))
    assert np.linalg.eigvalsh(loss.hessian(w))[0] > -1e-7
    assert np.linalg.norm(w - start) < 7


def test_a_minimum_far_below_its_start():
    """Protects the stop: it must not depend on how steep the start is."""
    w = ss.Product().minimum([1000.0, 1000.0])
    assert abs(w[0] * w[1] - 1) < 1e-13


@pytest.mark.parametrize(
    ("loss", "start"),
    [(ss.Product(), [0.0, 0.0]), (ss.DoubleWell(), [0.0]), (ss.Coupled(0.5, 0.1), [2.0, 1.0])],
)
def test_no_minimum_is_said(loss, start):
    """Protects against a saddle, or a point on the way to infinity, called a minimum."""
    with pytest.raises(ValueError, match="start must lie near a minimum"):
        loss.minimum(start)


@given(x=st.floats(-3, 3), z=st.floats(-3, 3), curvature=st.floats(0.1, 5), b2=st.floats(0.01, 10))
def test_sharpness_of_the_cubic_model(x, z, curvature, b2):
    """Protects the exact top eigenvalue ½(h + √(h² + 4b²x²)), h = curvature + bz."""
    h = curvature + np.sqrt(b2) * z
    expected = 0.5 * (h + np.sqrt(h * h + 4 * b2 * x * x))
    got = ss.CubicTaylor(curvature, 0.3, b2).sharpness([x, z])[0]
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_cubic_model_in_damian_et_als_terms():
    """Protects the meaning of its parameters: α = −∇L·∇S and b² = ‖∇S‖² on the axis x = 0."""
    loss = ss.CubicTaylor(2.0, progressive_sharpening=0.3, stabilization=4.0)
    w = [0.0, 0.7]
    slope = loss.sharpness_gradient(w)
    assert slope @ slope == pytest.approx(4.0)
    assert -loss.gradient(w) @ slope == pytest.approx(0.3)
    assert loss.sharpness([0.0, 0.0])[0] == 2.0


def test_double_well_and_minimalist_at_known_points():
    """Protects normalisations by hand."""
    assert ss.DoubleWell().value([0.0]) == 0.25
    assert ss.DoubleWell().minimum().tolist() == [1.0]
    assert ss.Minimalist().value([2.0, 1.0]) == 4.5
    assert ss.Chain(1).minimum().tolist() == [1.0]
    assert ss.Chain(3).minimum().tolist() == [1.0, 1.0, 1.0]
    assert ss.Quadratic([3.0, 1.0]).value([1.0, 2.0]) == 3.5
    assert ss.Quadratic([3.0, 0.0]).minimum([5.0, 5.0]).tolist() == [0.0, 0.0]
    assert ss.CubicTaylor(1.0).minimum([5.0, 5.0]).tolist() == [0.0, 0.0]


def test_replace_checks_the_domain():
    """Protects b² > 0 also when it changes later, and in a sweep's axis."""
    loss = ss.CubicTaylor(1.0)
    assert loss.replace(stabilization=2.0).parameters["stabilization"] == 2.0
    for call in (
        lambda: ss.CubicTaylor(1.0, stabilization=0.0),
        lambda: loss.replace(stabilization=-1.0),
        lambda: ss.sweep(loss, ss.HeavyBall(1.0), {"stabilization": [1.0, 0.0]}, start=[0.0, 0.0], steps=1),
    ):
        with pytest.raises(ValueError, match=r"stabilization must be in \(0, inf\)"):
            call()


def test_flip_start_is_the_mode_at_rest():
    """Protects start and previous: weights ± size·u, with their mean at the centre."""
    loss = ss.Product()
    w = loss.minimum(sharpness=5.0)
    start, previous = ss.flip_start(loss, w, 1e-3)
    assert (start + previous) / 2 == pytest.approx(w, rel=1e-15)
    u = loss.sharpness(w)[1]
    assert (start - previous) / 2e-3 == pytest.approx(u, rel=1e-10)
    assert np.abs(u[np.argmax(np.abs(u))]) == u.max()


def test_descriptions_tell_losses_apart():
    """Protects stored runs: parameters and depth are in the description, on one line, and text rebuilds the loss."""
    texts = [
        loss.description
        for loss in (
            ss.CubicTaylor(1.0),
            ss.CubicTaylor(2.0),
            ss.Chain(2),
            ss.Chain(3),
            ss.Product(),
            ss.Quadratic([1.0]),
        )
    ]
    assert len(set(texts)) == 6
    assert not any("\n" in text for text in texts)
    long = ss.Quadratic(np.arange(1.0, 71.0))
    again = ss.SymbolicLoss(str(long.expression), long.weight_names, dict(long.parameters))
    assert again.value(np.ones(70)) == long.value(np.ones(70)) == 0.5 * 70 * 71 / 2


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ss.Quadratic([]), "curvatures must hold at least one number"),
        (lambda: ss.Quadratic(1.0), "curvatures must have shape"),
        (lambda: ss.Quadratic([1.0, np.nan]), "curvatures must be finite"),
        (lambda: ss.Quadratic([[1.0], [1.0, 2.0]]), "curvatures must be an array"),
        (lambda: ss.Quadratic("12"), "curvatures must be real numbers"),
        (lambda: ss.Quadratic([1j]), "curvatures must be real numbers"),
        (lambda: ss.CubicTaylor(np.inf), "curvature must be"),
        (lambda: ss.CubicTaylor("1"), "curvature must be"),
        (lambda: ss.CubicTaylor(True), "curvature must be"),
        (lambda: ss.CubicTaylor(1.0, [0.1]), "progressive_sharpening must be a single number"),
        (lambda: ss.Chain(0), "depth must be an integer >= 1"),
        (lambda: ss.Chain(2.0), "depth must be an integer >= 1"),
        (lambda: ss.Chain(True), "depth must be an integer >= 1"),
        (lambda: ss.Chain(10**6), "depth must be an integer >= 1 and <= 12"),
        (lambda: ss.Coupled(None, 0.1), "zeta must be"),
        (lambda: ss.Coupled(0.1, np.nan), "eps must be"),
        (lambda: ss.Product().minimum(sharpness=1.9), r"sharpness must be in \[2, inf\)"),
        (lambda: ss.Minimalist().minimum(sharpness=7.9), "sharpness must be in"),
        (lambda: ss.Chain(3).minimum(sharpness=2.9), r"sharpness must be in \[3, inf\)"),
        (lambda: ss.Chain(1).minimum(sharpness=2.0), "sharpness must be 1 at depth 1"),
        (lambda: ss.Product().minimum(sharpness=np.inf), "sharpness must be"),
        (lambda: ss.Quadratic([1.0, 1.0]).minimum([1.0]), r"start must have shape \(2,\)"),
        (lambda: ss.Quadratic([1.0, -1.0]).minimum(), r"curvatures .* must be in \[0, inf\), got -1.0"),
        (lambda: ss.Quadratic([1.0]).replace(c0=-2.0).minimum(), "curvatures .* got -2.0"),
        (lambda: ss.CubicTaylor(1.0).minimum([1.0, np.nan]), "start must be finite"),
        (lambda: ss.CubicTaylor(1.0, 0.1).minimum(), "progressive_sharpening must be 0 .* got 0.1"),
    ],
)
def test_bad_input_is_named(call, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_sharpness_in_the_place_of_a_start_is_answered_with_its_name():
    """Protects who asks for a minimum by its sharpness: the message has the argument, where the loss takes it."""
    with pytest.raises(
        ValueError, match=r"got shape \(\); for a minimum of a given sharpness write sharpness=4\.0$"
    ):
        ss.Product().minimum(4.0)
    with pytest.raises(ValueError, match=r"got shape \(\)$"):
        ss.DoubleWell().minimum(4.0)
