"""The preconditioned sharpness: of kernels of one, two and more weights, of networks, in runs, sweeps and spectra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import selfstab as ss
from selfstab.explorer.state import PageState

SHARPNESSES = ("sharpness", "preconditioned_sharpness")
LOSSES = {
    "one": (ss.DoubleWell(), [1.3]),
    "two": (ss.Product(), [2.0, 0.6]),
    "diagonal": (ss.Quadratic([1.0, 2.0, 3.0]), [1.0, 1.0, 1.0]),
    "three": (
        ss.SymbolicLoss("exp(-u*v) + log(2 + v**2) + (u - 1)**2/2 + tanh(v)*w**2 + w**4", ["u", "v", "w"]),
        [0.3, 0.2, 0.5],
    ),
    "data": (
        ss.EmpiricalRisk("log(1 + exp(-y*(a*x + b*x**2 + c)))", ["a", "b", "c"],
                         {"x": np.linspace(-1.0, 2.0, 9), "y": (-1.0) ** np.arange(9)}),
        [0.3, 0.2, 0.5],
    ),
    "network": (ss.MLP([2, 3, 1], np.array([[1.0, 0.5], [-0.5, 1.0]]), np.array([[1.0], [-1.0]])), 0.3 * np.ones(13)),
}  # fmt: skip


def by_hand(loss, weights, beta1=0.9, beta2=0.999, eps=1e-8):
    """Return λ_max(P^{-1/2} H P^{-1/2}) along a run of Adam: P from its paper, NumPy's eigenvalues."""
    mean_share = square = 0.0
    out = []
    for t, w in enumerate(weights, start=1):
        square = beta2 * square + (1 - beta2) * loss.gradient(w) ** 2
        mean_share = 1 - beta1**t
        p = mean_share * (np.sqrt(square / (1 - beta2**t)) + eps)
        out.append(np.linalg.eigvalsh(loss.hessian(w) / np.sqrt(np.outer(p, p)))[-1])
    return np.array(out)


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_the_eigenvalue_of_the_scaled_hessian(name):
    """Protects its definition, and the closed forms and iterations that compute it."""
    loss, start = LOSSES[name]
    run = ss.simulate(loss, ss.Adam(0.01), start, 40, keep=("weights", *SHARPNESSES, "preconditioner"))
    expected = by_hand(loss, run.weights.values)
    assert run.preconditioned_sharpness.values == pytest.approx(expected, rel=1e-8, abs=1e-9)
    scaled = loss.hessian(run.weights.values[7]) / np.sqrt(np.outer(*2 * [run.preconditioner.values[7]]))
    assert np.linalg.eigvalsh(scaled)[-1] == pytest.approx(expected[7], rel=1e-9, abs=1e-9)
    assert run.max_stable_sharpness.attrs["sharpness"] == "preconditioned_sharpness"
    spectrum = ss.hessian_spectrum(loss, run, preconditioned=True)
    assert spectrum.eigenvalue.values[:, 0] == pytest.approx(expected, rel=1e-8, abs=1e-9)
    whole = ss.hessian_spectrum(loss, run, preconditioned=True, full=True)
    assert whole.eigenvalue.values[:, 0] == pytest.approx(expected, rel=1e-8, abs=1e-9)


MEASURES = (
    "final_sharpness", "max_sharpness", "final_preconditioned_sharpness", "min_preconditioned_sharpness",
    "max_preconditioned_sharpness", "phase", "overshoot", "diverged_at",
)  # fmt: skip


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_sweep_has_the_bits_of_plain_cpython_and_of_simulate(name, plain_engine, same_cells):
    """Protects lanes: measures of both sharpnesses, to the last bit, with noise and with v frozen."""
    loss, start = LOSSES[name]
    steps = 20 if name == "three" else 150  # plain CPython iterates for an eigenvalue in milliseconds
    cases = [
        (ss.Adam(0.01), {"beta1": [0.0, 0.9], "lr": [0.003, 0.03], "noise": [0.0, 1e-3]}),
        (ss.RMSProp(0.01, frozen_after=10, bias_correction=True), {"momentum": [0.0, 0.9]}),
    ]
    for optimizer, axes in cases[1:] if name == "three" else cases:
        arguments = {"start": start, "steps": steps, "measure": MEASURES, "progress": False}
        data = ss.sweep(loss, optimizer, axes, threads=1, **arguments)
        same_cells(data, plain_engine(ss.sweep, loss, optimizer, axes, threads=1, **arguments))
        for index in itertools.product(*map(range, data.sizes.values())):
            values = {key: float(axes[key][k]) for key, k in zip(axes, index, strict=True)}
            noise = values.pop("noise", 0.0)
            run = ss.simulate(
                loss, optimizer.with_numbers(values), start, steps, keep=SHARPNESSES, noise=noise
            )
            both = [run[key].values for key in SHARPNESSES]
            ends = [both[0][-1], both[0].max(), both[1][-1], both[1].min(), both[1].max()]
            assert [float(data[key][index]) for key in MEASURES[:5]] == ends


def test_phases_and_overshoots_are_of_the_preconditioned_sharpness():
    """Protects the meaning of a threshold: at P = 2 all is that of the loss halved, for lanes, runs and cells alike."""
    loss = ss.CubicTaylor(1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), 1e-4)
    measures = ("phase", "overshoot", "peak_excess_sharpness", "drop")
    arguments = {"start": start, "previous": previous, "steps": 4000, "measure": measures, "progress": False}
    lr = 1.01 * 2.0 * 2.0  # gradient descent on half of it, at an excess of 1%
    optimizer = ss.RMSProp(1.0, eps=1.0, second_moment=1.0, frozen_after=0)
    data = ss.sweep(loss, optimizer, {"lr": [lr]}, **arguments)
    assert data["phase"].attrs["sharpness"] == data["drop"].attrs["sharpness"] == "preconditioned_sharpness"
    halved = ss.sweep(ss.CubicTaylor(0.5, 0.0, 0.25), ss.HeavyBall(1.0), {"lr": [lr]}, **arguments)
    for name in measures:
        assert float(data[name][0]) == pytest.approx(float(halved[name][0]), rel=1e-6)
    run = ss.simulate(
        loss, optimizer.with_numbers({"lr": lr}), start, 4000, previous=previous,
        keep=("loss", "weights", "velocity", *SHARPNESSES),
    )  # fmt: skip
    assert ss.observables.measure(run, measures) == {name: float(data[name][0]) for name in measures}
    with pytest.raises(ValueError, match="got no preconditioned_sharpness"):
        ss.observables.measure(run.drop_vars("preconditioned_sharpness"), measures)


def test_a_loss_without_a_kernel_is_measured_alike():
    """Protects cells of other losses: the same numbers as lanes give."""
    loss = ss.FunctionLoss(
        lambda w: 0.5 * (w[0] * w[1] - 1.0) ** 2, lambda w: (w[0] * w[1] - 1.0) * w[::-1], dimension=2
    )
    arguments = {"start": [2.0, 0.6], "steps": 120, "measure": MEASURES, "progress": False, "threads": 1}
    one, two = (
        ss.sweep(own, ss.Adam(0.01), {"lr": [0.003, 0.03]}, **arguments) for own in (loss, ss.Product())
    )
    for name in MEASURES:
        assert one[name].values == pytest.approx(two[name].values, rel=1e-6, nan_ok=True)


def test_without_a_preconditioner_it_is_the_sharpness():
    """Protects comparisons of optimizers: one name for what the threshold is of."""
    for loss, start in (LOSSES["two"], LOSSES["network"]):
        run = ss.simulate(loss, ss.HeavyBall(0.1), start, 9, keep=(*SHARPNESSES, "preconditioner"))
        assert (run.preconditioner.values == 1.0).all()
        assert run.preconditioned_sharpness.values == pytest.approx(run.sharpness.values, rel=1e-12)
    measure = ("max_sharpness", "max_preconditioned_sharpness")
    data = ss.sweep(
        *LOSSES["two"][:1], ss.HeavyBall(0.1), {"lr": [0.1]}, start=[2.0, 0.6], steps=9, measure=measure
    )
    assert data.max_sharpness.values.tolist() == data.max_preconditioned_sharpness.values.tolist()


def test_an_excess_at_the_start_is_refused():
    """Protects from an lr that means nothing: P at the start is that of one gradient."""
    loss, start = LOSSES["two"]
    with pytest.raises(
        ValueError, match=r"excess must be an axis of an optimizer without a preconditioner, got Adam"
    ):
        ss.sweep(loss, ss.Adam(0.1), {"excess": [0.1]}, start=start, steps=9)
    with pytest.raises(ValueError, match=r"optimizer must have no preconditioner, .* got RMSProp"):
        PageState(method="RMSProp")
    run = ss.simulate(loss, ss.Adam(0.01), start, 3, keep=["weights"])
    with pytest.raises(ValueError, match="preconditioned must be False unless weights are a run that kept"):
        ss.hessian_spectrum(loss, run, preconditioned=True)
