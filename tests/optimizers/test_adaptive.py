"""Adam and RMSProp: PyTorch's and Optax's to rounding, their preconditioner, and what a frozen one is."""

from __future__ import annotations

import numpy as np
import pytest
import sympy

import selfstab as ss

LOSS = ss.Product()
START = np.array([2.0, 0.6])

CASES = {
    "adam": ss.Adam(0.002),
    "adam quick": ss.Adam(5e-4, beta1=0.5, beta2=0.9, eps=1e-3),
    "rms": ss.RMSProp(5e-4),
    "rms momentum": ss.RMSProp(5e-5, beta2=0.9, eps=1e-4, momentum=0.9),
    "rms corrected": ss.RMSProp(5e-4, bias_correction=True),
}
"""Runs of 1,000 steps that stay off the edge, where a rounding would grow."""


def weights(optimizer, steps=1000, **settings):
    run = ss.simulate(LOSS, optimizer, START, steps, keep=["weights"], **settings)
    assert run.diverged_at == -1
    return run.weights.values


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_optaxs(name):
    """Protects the definition of Adam and RMSProp: Optax's weights to rounding over 1,000 steps."""
    jax = pytest.importorskip("jax", reason="JAX (extra 'test') is not installed: not run")
    optax = pytest.importorskip("optax", reason="Optax (extra 'test') is not installed: not run")
    ours = CASES[name]
    if isinstance(ours, ss.Adam):
        theirs = optax.adam(ours.lr, ours.beta1, ours.beta2, ours.eps)
    else:
        theirs = optax.rmsprop(
            ours.lr, ours.beta2, ours.eps, eps_in_sqrt=False,
            momentum=ours.momentum, bias_correction=ours.bias_correction,
        )  # fmt: skip
    jax.config.update("jax_enable_x64", True)
    w = jax.numpy.asarray(START)
    state, path = theirs.init(w), [START]
    gradient = jax.grad(lambda w: 0.5 * (w[0] * w[1] - 1.0) ** 2)

    @jax.jit
    def step(w, state):
        change, state = theirs.update(gradient(w), state)
        return optax.apply_updates(w, change), state

    for _ in range(1000):
        w, state = step(w, state)
        path.append(np.asarray(w))
    assert weights(ours) == pytest.approx(np.array(path), rel=1e-13, abs=0.0)


@pytest.mark.integrations
@pytest.mark.parametrize("name", [name for name in CASES if name != "rms corrected"])
def test_a_run_is_pytorchs(name):
    """Protects the same against PyTorch, which corrects no bias of RMSProp."""
    import torch

    ours = CASES[name]
    w = torch.tensor(START, requires_grad=True)
    if isinstance(ours, ss.Adam):
        theirs = torch.optim.Adam([w], ours.lr, (ours.beta1, ours.beta2), ours.eps)
    else:
        theirs = torch.optim.RMSprop([w], ours.lr, ours.beta2, ours.eps, momentum=ours.momentum)
    path = [START]
    for _ in range(1000):
        theirs.zero_grad()
        (0.5 * (w[0] * w[1] - 1.0) ** 2).backward()
        theirs.step()
        path.append(w.detach().numpy().copy())
    assert weights(ours) == pytest.approx(np.array(path), rel=1e-13, abs=0.0)


def test_rms_prop_is_adam_without_a_mean():
    """Protects the two from drifting apart: at β₁ = 0 and equal correction they are one optimizer."""
    for corrected in (False, True):
        adam = ss.Adam(5e-4, beta1=0.0, beta2=0.99, bias_correction=corrected)
        assert weights(ss.RMSProp(5e-4, bias_correction=corrected)) == pytest.approx(
            weights(adam), rel=1e-13, abs=0.0
        )


@pytest.mark.parametrize("optimizer", [ss.Adam(0.01), ss.RMSProp(0.01, momentum=0.5, bias_correction=True)])
def test_the_preconditioner_is_what_the_update_divides_by(optimizer):
    """Protects P of the contract: from one state, a doubled push moves by the push over P more."""
    rng = np.random.default_rng(3)
    mean, square, share, *rest = [*rng.uniform(0.1, 1.0, (len(optimizer.states), 5))]
    gradient = rng.normal(size=5)
    w = np.zeros(5)
    one, _ = optimizer.rule(w, (mean, square, share, *rest), gradient, 0.01, 3)
    two, _ = optimizer.rule(w, (2.0 * mean, square, share, *rest), gradient, 0.01, 3)
    divided_by = optimizer.preconditioner((mean, square, share, *rest), gradient, 3)
    if isinstance(optimizer, ss.Adam):
        assert one - two == pytest.approx(0.01 * 0.9 * mean / divided_by)
    else:  # its push has been divided already: the gradient's share is what P is seen in
        other, _ = optimizer.rule(w, (mean, square, share), -gradient, 0.01, 3)
        assert other - one == pytest.approx(0.01 * 2.0 * gradient / divided_by)


@pytest.mark.parametrize(
    ("optimizer", "stable_at"),
    [
        (ss.Adam(0.01, second_moment=4.0, frozen_after=0), 38.0),
        (ss.Adam(0.01, beta1=0.5, second_moment=4.0, frozen_after=0, bias_correction=False), 6.0),
        (ss.RMSProp(0.01, momentum=0.9, second_moment=4.0, frozen_after=0), 3.8),
    ],
)
def test_the_threshold_is_that_of_the_preconditioned_sharpness(optimizer, stable_at):
    """Protects 2(1 + β₁)/((1 − β₁)η), 38/η at 0.9: at a frozen P a quadratic's swing keeps its size at S = P·S*."""
    assert optimizer.max_stable_sharpness() == pytest.approx(stable_at / 0.01)
    for factor, sign in ((0.999, -1.0), (1.0, 0.0), (1.001, 1.0)):
        loss = ss.Quadratic([factor * (2.0 + 1e-8) * stable_at / 0.01])
        run = ss.simulate(loss, optimizer, [0.5], 400, previous=[-0.5], keep=["weights"])
        growth = np.log(abs(run.weights.values[-1, 0]) / 0.5)
        assert abs(growth) < 1e-7 if sign == 0.0 else growth * sign > 0.01


def test_thresholds_follow_from_the_rules():
    """Protects the same by algebra: at a frozen P the step's matrix has the eigenvalue −1 at the threshold."""
    h, lr, beta, size = sympy.symbols("h eta beta P", positive=True)
    w, m = sympy.symbols("w m")
    for kind, number in ((ss.Adam, "beta1"), (ss.RMSProp, "momentum")):
        optimizer = kind.formal(**{number: beta}, eps=0, bias_correction=False, frozen_after=0)
        after, (push, square) = optimizer.rule(w, (m, size**2), h * w, lr, 5)
        assert square == size**2
        matrix = sympy.Matrix([after, push]).jacobian([w, m])
        (at,) = sympy.solve(sympy.expand((matrix + sympy.eye(2)).det()), h)
        above, below = optimizer.threshold_fraction()
        assert sympy.simplify(sympy.nsimplify(above / (lr * below)) - at / size) == 0


def test_a_frozen_preconditioner_stands_still_from_its_step_on():
    """Protects frozen_after: the same run up to it; then the mean squares are those of that step."""
    moving, frozen = weights(ss.Adam(0.01), 60), weights(ss.Adam(0.01, frozen_after=30), 60)
    assert frozen[:31].tolist() == moving[:31].tolist()
    assert abs(frozen[31:] - moving[31:]).max() > 1e-4
    mean, square = np.zeros(2), np.zeros(2)
    w = START
    for t in range(60):
        g = LOSS.gradient(w)
        mean = 0.9 * mean + 0.1 * g
        square = 0.999 * square + 0.001 * g**2 if t < 30 else square
        size = np.sqrt(square / (1.0 - 0.999 ** min(t + 1, 30))) + 1e-8
        w = w - 0.01 * mean / (1.0 - 0.9 ** (t + 1)) / size
    assert frozen[-1] == pytest.approx(w, rel=1e-12)


def test_a_start_at_rest_has_no_moments_and_one_with_v0_no_correction():
    """Protects the first steps: PyTorch's zeros; with v₀, the preconditioner √v₀ + ϵ, and a flip's mean."""
    at = ss.Adam(0.01).begin(START, START - 0.1, 0.01)
    assert [float(np.max(np.abs(state))) for state in at] == [0.0, 0.0, 0.0, 0.0]
    mean, square, *corrections = ss.Adam(0.01, second_moment=4.0).begin(START, START - 0.1, 0.01)
    assert mean == pytest.approx(-2.0 * 0.1 / 0.01, rel=1e-7)
    assert (square, [float(c) for c in corrections]) == (4.0, [1.0, 1.0])
    warmup = ss.LinearWarmup(0.0, 0.01, 5)
    run = ss.simulate(LOSS, ss.Adam(warmup, second_moment=4.0), START, 9, previous=START - 0.1)
    assert np.isfinite(run.loss.values).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ss.Adam(0.1, beta1=1.0), r"beta1 must be in \[0, 1\), got 1.0"),
        (lambda: ss.Adam(0.1, eps=0.0), r"eps must be in \(0, inf\), got 0.0"),
        (lambda: ss.Adam(0.1, frozen_after=-1), r"frozen_after must be .* got -1"),
        (lambda: ss.Adam(0.1, frozen_after=0), r"frozen_after must be >= 1 where second_moment is 0, got 0"),
        (lambda: ss.RMSProp(0.1, second_moment=-1.0), r"second_moment must be .* got -1"),
        (lambda: ss.Adam(0.1, bias_correction="yes"), r"bias_correction must be True or False, got 'yes'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    """Protects from runs of another optimizer than was meant: one line that says what is allowed."""
    with pytest.raises((TypeError, ValueError), match=message):
        make()
