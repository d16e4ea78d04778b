"""Optimizers written as equations: those with a class again, at every door, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import selfstab as ss
from tests.cli.commands import run as command
from tests.optimizers.threshold import bisected_threshold

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
QUASI = "v = beta*v + (1 - beta)*g; w = w - lr*((1 - nu)*g + nu*v)"
BALL = "v = beta*v - lr*g; w = w + v"


def weights_of(optimizer, previous=PREVIOUS):
    return ss.simulate(LOSS, optimizer, START, 300, previous=previous, keep=["weights"]).weights.values


TWINS = {
    "heavy ball": (ss.SymbolicOptimizer(0.1, BALL, "v", {"beta": 0.9}), ss.HeavyBall(0.1, 0.9)),
    "Nesterov": (
        ss.SymbolicOptimizer(0.1, BALL, "v", {"beta": 0.9}, "w + beta*v"),
        ss.HeavyBall(0.1, 0.9, 0.9),
    ),
    "weights before": (
        ss.SymbolicOptimizer(0.1, "u = w; w = w + beta*(w - p) - lr*g; p = u", "p", {"beta": 0.9}),
        ss.HeavyBall(0.1, 0.9),
    ),
    "quasi-hyperbolic": (
        ss.SymbolicOptimizer(0.3, QUASI, "v", {"beta": 0.9, "nu": 0.7}),
        ss.QuasiHyperbolic(0.3, 0.9, 0.7),
    ),
    "aggregated": (
        ss.SymbolicOptimizer(0.3, "a = c*a + g; b = d*b + g\nw = w - lr*(a + b)/2", ["a", "b"], {"c": 0.5, "d": 0.9}),
        ss.AggregatedMomentum(0.3, (0.5, 0.9)),
    ),
    "descent": (ss.SymbolicOptimizer(0.3, "w = w - lr*g"), ss.HeavyBall(0.3)),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_equations_of_optimizers_that_have_a_class(name):
    """Protects what is derived: threshold, start, T and the numbers of catapults are those of the class."""
    written, twin = TWINS[name]
    assert written.max_stable_sharpness() == pytest.approx(twin.max_stable_sharpness(), rel=1e-14)
    for previous in (START, PREVIOUS):
        assert weights_of(written, previous) == pytest.approx(weights_of(twin, previous), rel=1e-9)
    assert written.inertia(0.01) == pytest.approx(twin.inertia(0.01), rel=1e-12)
    assert written.amplification() == pytest.approx(twin.amplification(), rel=1e-12)
    assert (written.displacement is not None) == (name in ("heavy ball", "Nesterov"))


def test_sympy_and_text_write_one_optimizer():
    """Protects equations in SymPy: symbols of any assumptions, in the mapping's order."""
    w, v, g, lr, beta = sympy.symbols("w v g lr beta", positive=True)
    one = ss.SymbolicOptimizer(0.1, {v: beta * v - lr * g, w: w + v}, v, {beta: 0.9}, w + beta * v)
    two = ss.SymbolicOptimizer(0.1, "v = beta*v - g*lr; w = v + w", "v", {"beta": 0.9}, "beta*v + w")
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one


@settings(max_examples=25, deadline=None)
@given(beta=st.floats(0.0, 0.98), nu=st.floats(0.0, 1.0), lr=st.floats(1e-2, 10.0))
@example(beta=0.25, nu=2.225073858507203e-309, lr=1.0)
def test_thresholds_are_those_of_a_bisection(beta, nu, lr):
    """Protects the derived S*: the largest root of a step passes 1 there, at any parameters."""
    optimizer = ss.SymbolicOptimizer(lr, QUASI, "v", {"beta": beta, "nu": nu})
    assert bisected_threshold(optimizer, lr) == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-6)


def test_a_rule_that_is_not_linear_has_the_threshold_of_rest():
    """Protects the linearization: small swings die below S* and grow above; there is no transfer function."""
    bounded = "v = beta*v + g/sqrt(1 + (g/c)**2); w = w - lr*v"
    optimizer = ss.SymbolicOptimizer(1.0, bounded, "v", {"beta": 0.5, "c": 2.0})
    assert optimizer.max_stable_sharpness() == pytest.approx(3.0, rel=1e-12)
    for factor, dies in ((0.98, True), (1.02, False)):
        run = ss.simulate(
            ss.Quadratic([3.0 * factor]), optimizer, [1e-6], 400, previous=[-1e-6], keep=["weights"]
        )
        assert bool(abs(run.weights.values[-1, 0]) < 1e-6) is dies
    with pytest.raises(NotImplementedError, match="the rule of SymbolicOptimizer is not linear"):
        optimizer.inertia(0.01)


def test_parameters_are_numbers_of_the_optimizer():
    """Protects axes: names and values of parameters, others at the same threshold, and no longer one of the start."""
    optimizer = TWINS["quasi-hyperbolic"][0]
    assert optimizer.numbers == {"beta": 0.9, "nu": 0.7}
    assert optimizer.with_numbers({"nu": 0.0, "lr": 0.1}).max_stable_sharpness() == pytest.approx(20.0)
    matched = optimizer.matched(beta=0.5)
    assert matched.max_stable_sharpness() == pytest.approx(optimizer.max_stable_sharpness(), rel=1e-12)
    with pytest.raises(TypeError):
        optimizer.parameters["nu"] = 0.1


def test_every_door(tmp_path, plain_engine, same_cells):
    """Protects sweeps, their stores, orbits, branches and the command line: parameters as axes, bits of CPython."""
    optimizer = TWINS["quasi-hyperbolic"][0]
    arguments = {"start": START, "previous": PREVIOUS, "steps": 200, "progress": False,
                 "measure": ("final_loss", "max_sharpness", "phase", "overshoot")}  # fmt: skip
    axes = {"nu": [0.0, 0.5, 1.0], "excess": [-0.05, 0.05]}
    data = ss.sweep(LOSS, optimizer, axes, threads=2, **arguments)
    same_cells(data, plain_engine(ss.sweep, LOSS, optimizer, axes, threads=1, **arguments))
    twin = ss.sweep(LOSS, ss.QuasiHyperbolic(0.3, 0.9, 0.7), axes, **arguments)
    assert data.max_sharpness.values == pytest.approx(twin.max_sharpness.values, rel=1e-7)
    folder = str(tmp_path / "own.zarr")
    stored = ss.sweep(LOSS, optimizer, axes, store=folder, **arguments).load()
    assert ss.resume(folder, progress=False).load().equals(stored)
    other = ss.SymbolicOptimizer(0.3, QUASI.replace("nu*v", "nu*v*1.5"), "v", {"beta": 0.9, "nu": 0.7})
    with pytest.raises(ValueError, match="equations is"):
        ss.sweep(LOSS, other, axes, store=folder, **arguments)
    few = {"start": START, "previous": PREVIOUS, "progress": False}
    orbits = ss.orbits(LOSS, optimizer, {"nu": [0.5]}, steps=50, last=5, **few)
    run = ss.simulate(
        LOSS, optimizer.with_numbers({"nu": 0.5}), START, 50, previous=PREVIOUS, keep=["weights"]
    )
    assert orbits.weights.values[0] == pytest.approx(run.weights.values[-5:], rel=1e-12)
    branch = ss.continuation(
        LOSS, optimizer, {"nu": [0.5, 0.6]}, along="nu", steps=20, measure=["final_loss"], **few
    )
    assert np.isfinite(branch.final_loss).all()
    words = ("Product", "--start", "minimum:4", "--flip", "0.01", "--steps", "40", "--lr", "0.3")
    own = ("--optimizer", "SymbolicOptimizer", "--equations", QUASI, "--state-names", "v")
    result = command(
        "simulate", *words, *own, "--optimizer-parameters", "beta=0.9,nu=0.7", "-o", str(tmp_path / "run.csv")
    )
    assert result.exit_code == 0, result.output
    table = np.genfromtxt(tmp_path / "run.csv", delimiter=",", names=True, comments="#")
    expected = ss.simulate(LOSS, optimizer, START, 40, previous=PREVIOUS)
    assert table["loss"] == pytest.approx(expected.loss.values, rel=1e-12)
    refused = command("simulate", *words, *own, "--optimizer-parameters", "beta")
    assert refused.exit_code == 2
    assert "--optimizer-parameters must be NAME=VALUE, separated by commas, got 'beta'" in refused.output


def test_an_axis_that_leaves_no_threshold_is_refused():
    """Protects sweeps from S* of equations that have none: each value of a parameter's axis is tried before."""
    with pytest.raises(
        ValueError, match=r"axes\['beta'\]: parameters must be such that .* got beta=1, nu=0.7"
    ):
        ss.sweep(LOSS, TWINS["quasi-hyperbolic"][0], {"beta": [0.5, 1.0]}, start=START, steps=5)


@pytest.mark.parametrize(
    ("equations", "names", "parameters", "message"),
    [
        ("v = beta*v + g; w = w - lr*v", "v", {}, "unknown name 'beta'; known are w, g, lr, v, .*state_names"),
        ("w = w - lr*v", "v", {}, "must assign v, which is a state"),
        ("v = g", "v", {}, "must assign w, which is the weight"),
        ("v = v + g; w = w - lr*v", "v", {}, "steps add up and all else dies away"),
        ("v = b*v + g; w = w - lr*v", "v", {"b": 1.2}, "steps add up and all else dies away .* got b=1.2"),
        ("w = 0.9*w - lr*g", "", {}, "must leave a weight at rest where it is"),
        ("w = w - lr*(g + 1)", "", {}, "moves without a gradient"),
        ("w = w - lr*g**2", "", {}, "must have a threshold"),
        ("w = w + lr*g", "", {}, "some sharpness is stable, and not all"),
        ("w = w - sqrt(lr)*g", "", {}, "steps proportional to lr"),
        ("w = w - lr*q; q = g", "q", {}, "z = −1 is the first root to leave"),
        ("w = w - lr*abs(g)", "", {}, r"must be built of \+ - \* / \*\*, sqrt, exp and log, got Abs"),
        ("w = w - lr*g/sqrt(g)", "", {}, "must be linear, or smooth where"),
        ("w = w - lr*g/(1 + w**2)", "", {}, "that are not linear must be w"),
        ("g = 1; w = w - lr*g", "", {}, "must not assign g, which is given"),
        ("w = w; w = w - lr*g", "", {}, "must assign each name once, got w twice"),
        ("hello", "", {}, "must be of the form NAME = EXPRESSION"),
        ("w = w - lr*(g", "", {}, "w must be a formula"),
        ("w = w - lr*__import__('os').system('x')", "", {}, "only numbers, names"),
        ("w = w - lr*g", "w", {}, "state_names must not be called w, g or lr"),
        ("w = w - lr*g", "1x", {}, "state_names must have names that are Python identifiers"),
        ("w = w - lr*g", "", {"noise": 1.0}, "parameters must not be called noise"),
        ("v = g; w = w - lr*v", "v", {"v": 1.0}, "parameters must not be called like a state, got v"),
        ("w = w - lr*g*k", "", {"k": np.nan}, "parameters: k must be"),
        ("w = w - lr*g/k", "", {"k": 0.0}, "finite coefficients, got k=0"),
        (3, "", {}, "equations must be text such as"),
        ("w = w - lr*g", 3, {}, "state_names must be names"),
        ("w = w - lr*g", "", 3, "parameters must map names to values"),
        ("w = w - lr*g;" * 200, "", {}, "at most 2000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused(equations, names, parameters, message):
    """Protects the door: undeclared symbols, missing states, no threshold; one line each, before anything runs."""
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        ss.SymbolicOptimizer(0.1, equations, names, parameters)
    assert "\n" not in str(raised.value)


def test_a_point_that_is_no_weight_is_refused():
    """Protects the message: it names `point`, not the equations."""
    with pytest.raises(ValueError, match=r"^point must be 0 where weight and states are 0, .*, got 3$"):
        ss.SymbolicOptimizer(0.1, "w = w - lr*g", point=3)


def test_a_start_from_lr_0():
    """Protects warmups: the states that lr 0 does not decide begin at 0; a displacement begins as itself."""
    warmup = ss.LinearWarmup(0.0, 0.1, 10)
    for name, state in (("quasi-hyperbolic", np.zeros(2)), ("heavy ball", START - PREVIOUS)):
        optimizer = TWINS[name][0].with_numbers({"lr": warmup})
        assert optimizer.begin(START, PREVIOUS, 0.0)[0] == pytest.approx(state)
        run = ss.simulate(LOSS, optimizer, START, 30, previous=PREVIOUS, keep=["weights"])
        assert np.isfinite(run.weights.values).all()
