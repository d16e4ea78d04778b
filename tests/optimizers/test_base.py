"""The contract of optimizers: one rule read as numbers, as text and as algebra; numbers, registration, thresholds."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass

import cloudpickle
import numpy as np
import pytest
import sympy

import selfstab as ss
from selfstab.optimizers import setting
from selfstab.optimizers.text import rule_text
from tests.optimizers.own import Aggregated, Mixed, TwoMomenta


def step_matrix(optimizer, lr, curvature):
    """Return the matrix of one step of weight and carried states on a quadratic, from the optimizer's rule."""
    names = sympy.symbols(f"w0:{1 + len(optimizer.carried)}")
    weight, carried = names[0], names[1:]
    point = optimizer.gradient_point(weight, optimizer.of_carried(carried))
    after, following = optimizer.advance(weight, carried, curvature * point, lr, 0)
    return sympy.Matrix([sympy.expand(value) for value in (after, *following)]).jacobian(sympy.Matrix(names))


def flip_sharpness(optimizer, lr):
    """Return the curvature at which the step has the eigenvalue −1."""
    curvature = sympy.Symbol("h")
    matrix = step_matrix(optimizer, lr, curvature)
    (at,) = sympy.solve((matrix + sympy.eye(matrix.rows)).det(), curvature)
    return sympy.simplify(at)


def test_threshold_of_the_heavy_ball_follows_from_its_rule():
    """Protects S* = 2(1 + β)/(η(1 + 2γ)): SymPy finds where the rule's step has the eigenvalue −1."""
    lr, beta, gamma = sympy.symbols("eta beta gamma", positive=True)
    optimizer = ss.HeavyBall.formal(momentum=beta, lookahead=gamma)
    closed_form = 2 * (1 + beta) / (lr * (1 + 2 * gamma))
    assert sympy.simplify(flip_sharpness(optimizer, lr) - closed_form) == 0
    above, below = optimizer.threshold_fraction()
    assert sympy.simplify(sympy.nsimplify(above / (lr * below)) - closed_form) == 0


def test_thresholds_of_optimizers_of_ones_own_follow_from_their_rules():
    """Protects the contract's algebraic reading for several states, with and without a displacement among them."""
    lr, *momenta = sympy.symbols("eta b1 b2 b3", positive=True)
    for optimizer in (
        TwoMomenta.formal(fast=momenta[0], slow=momenta[1]),
        Aggregated.formal(momenta=tuple(momenta)),
        Mixed.formal(momentum=momenta[0]),
    ):
        above, below = optimizer.threshold_fraction()
        assert sympy.simplify(sympy.nsimplify(above / (lr * below)) - flip_sharpness(optimizer, lr)) == 0


@pytest.mark.parametrize(
    "optimizer",
    [ss.HeavyBall(0.3, 0.8, 0.4), TwoMomenta(0.3, 0.2, 0.9), Aggregated(0.3, momenta=(0.0, 0.9, 0.95))],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_a_quadratic_is_stable_up_to_the_threshold(optimizer):
    """Protects thresholds from a rule whose other roots leave the unit circle first."""
    for factor, stable in ((0.999, True), (1.001, False)):
        matrix = step_matrix(optimizer, 0.3, factor * optimizer.max_stable_sharpness())
        roots = np.linalg.eigvals(np.array(matrix, dtype=float))
        assert bool(np.abs(roots).max() < 1.0) is stable


@pytest.mark.parametrize(
    "optimizer", [TwoMomenta(0.3, 0.2, 0.9), Aggregated(0.3, momenta=(0.1, 0.9)), Mixed(0.3, 0.6)]
)
def test_states_begin_as_a_flip_of_constant_size_leaves_them(optimizer):
    """Protects flip_start: at the threshold the swing goes on with its size, for every optimizer."""
    loss = ss.Quadratic([optimizer.max_stable_sharpness()])
    run = ss.simulate(loss, optimizer, [0.5], 60, previous=[-0.5], keep=["weights", "velocity"])
    assert run.weights.values[:, 0] == pytest.approx(0.5 * (-1.0) ** np.arange(61), rel=1e-9)
    assert run.velocity.values[:, 0] == pytest.approx((-1.0) ** np.arange(61), rel=1e-9)


def test_at_excess_is_the_lr_of_an_excess():
    """Protects the one home of lr = (1 + ε) a/(S b): the threshold is then S/(1 + ε); broadcasts, and is checked."""
    for optimizer in (ss.HeavyBall(7.0, 0.9, 0.5), TwoMomenta(7.0, 0.2, 0.9)):
        lr = optimizer.at_excess(sharpness=3.0, excess=0.02)
        at = optimizer.with_numbers({"lr": lr})
        assert at.max_stable_sharpness() == pytest.approx(3.0 / 1.02, rel=1e-14)
        grid = optimizer.at_excess(np.array([3.0, 4.0])[:, None], [0.0, 0.02, 0.1])
        assert grid.shape == (2, 3)
        assert grid[0, 1] == lr
    with pytest.raises(ValueError, match=r"sharpness must be in \(0, inf\), got 0.0"):
        ss.HeavyBall(1.0).at_excess(0.0, 0.1)
    with pytest.raises(ValueError, match=r"excess must be in \(-1, inf\), got -1.0"):
        ss.HeavyBall(1.0).at_excess(1.0, -1)


def test_matched_of_an_optimizer_of_ones_own():
    """Protects comparisons at matched thresholds, along a warmup; what is not named stays."""
    one = TwoMomenta(ss.LinearWarmup(0.0, 0.4, 10), 0.1, 0.9)
    two = one.matched(slow=0.5)
    assert (two.fast, two.slow) == (0.1, 0.5)
    assert two.thresholds(0, 20) == pytest.approx(one.thresholds(0, 20), rel=1e-14)
    with pytest.raises(TypeError, match="by name"):
        one.matched(0.5)


def test_update_of_several_states_is_the_rule():
    """Protects Optimizer.update: a tuple of states in and out, one gradient a step, noise added."""
    w, states = np.array([1.0, -2.0]), (np.array([0.5, 0.0]), np.array([0.1, 0.2]))
    after, following = TwoMomenta(0.1, 0.2, 0.9).update(w, states, lambda w: 2.0 * w, 0.1, noise=1.0)
    quick, heavy = 0.2 * states[0] + 2.0 * w + 1.0, 0.9 * states[1] + 2.0 * w + 1.0
    assert np.array(following) == pytest.approx(np.array([quick, heavy]))
    assert after == pytest.approx(w - 0.05 * (quick + heavy))
    one = ss.HeavyBall(0.1, 0.5)
    assert len(one.update(w, (states[0],), lambda w: w, 0.1)[1]) == 1


@pytest.mark.parametrize(
    "optimizer", [ss.HeavyBall(0.1, 0.5), TwoMomenta(0.1), Aggregated(0.1, momenta=(0.5,))]
)
def test_optimizers_pickle_and_compare(optimizer):
    """Protects processes of a sweep: an optimizer is what it was, and equal ones have one text."""
    again = pickle.loads(pickle.dumps(optimizer))
    assert again == optimizer
    assert hash(rule_text(again)) == hash(rule_text(optimizer))
    assert rule_text(again) == rule_text(optimizer.with_numbers({"lr": 3.0}))


def test_a_class_of_a_script_reaches_another_process(tmp_path):
    """Protects processes and clusters: a class that is sent along keeps its numbers, their ranges and its rule."""

    class Sent(ss.Optimizer):
        slow: float = setting(default=0.5, at_least=0, below=1)
        states = ("push",)

        def rule(self, weights, states, gradient, lr, step):
            push = self.slow * states[0] + gradient
            return weights - lr * push, (push,)

        def begin(self, start, previous, lr):
            return (0.0 * start,)

        def threshold_fraction(self):
            return 2.0 * (1.0 + self.slow), 1.0

    optimizer = Sent(0.1, 0.7)
    (tmp_path / "sent").write_bytes(cloudpickle.dumps(optimizer))
    code = f"""if True:
        import pickle, selfstab as ss
        optimizer = pickle.loads(open({str(tmp_path / "sent")!r}, "rb").read())
        try:
            optimizer.with_numbers({{"slow": 1.0}})
        except ValueError as error:
            print(error)
        print(ss.simulate(ss.Quadratic([1.0]), optimizer, [1.0], 9, keep=["loss"]).loss.values.tolist())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = ss.simulate(ss.Quadratic([1.0]), optimizer, [1.0], 9, keep=["loss"]).loss.values.tolist()
    assert done.stdout.splitlines() == ["slow must be in [0, 1), got 1.0", str(here)]


def test_states_that_are_not_finite_at_the_start_are_refused():
    """Protects a run from 0/0 at the lr 0 of a warmup: the run would end at step 1 as if it had diverged."""

    class Careless(ss.Optimizer):
        momentum: float = setting(default=0.9, at_least=0, below=1)
        states = ("average",)

        def rule(self, weights, states, gradient, lr, step):
            average = self.momentum * states[0] + (1.0 - self.momentum) * gradient
            return weights - lr * average, (average,)

        def begin(self, start, previous, lr):
            return ((previous - start) / lr,)

        def threshold_fraction(self):
            return 2.0 * (1.0 + self.momentum), 1.0 - self.momentum

    warmup = ss.LinearWarmup(0.0, 1.0, 20)
    with pytest.raises(
        ValueError, match=r"optimizer must begin with finite states, got .* for average of Careless"
    ):
        ss.simulate(ss.Quadratic([1.0]), Careless(warmup), [1.0], 50)
    run = ss.simulate(ss.Quadratic([1.0]), Careless(0.1), [1.0], 50)
    assert run.sizes["step"] == 51


def test_a_subclass_may_be_decorated_as_version_0_1_asked():
    """Protects scripts of 0.1: a dataclass adds a field; the object stays frozen, its rule is the heavy ball's."""

    @dataclass(frozen=True)
    class Labelled(ss.HeavyBall):
        label: str = ""

    @dataclass(frozen=True)
    class Noted(ss.LinearWarmup):
        note: str = ""

    optimizer = Labelled(Noted(0.0, 1.0, 10, "slow"), 0.9, label="mine")
    assert (optimizer.label, optimizer.momentum, optimizer.known_as) == ("mine", 0.9, "HeavyBall")
    for name in ("label", "momentum"):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(optimizer, name, 0.0)


def test_an_update_of_ones_own_is_refused():
    """Protects from a step that kernels would not take: the rule is the one place of it."""
    with pytest.raises(TypeError, match=r"Stepping must define rule, .* got update"):
        type("Stepping", (ss.HeavyBall,), {"update": lambda *_: None})


@pytest.mark.parametrize("name", ["noise", "excess", "matched"])
def test_a_number_of_a_name_in_use_is_refused(name):
    """Protects axes from two meanings: noise as an axis would set the optimizer's number and the gradient's noise."""
    with pytest.raises(ValueError, match=f"must not call a number {name}"):
        type("Taken", (ss.Optimizer,), {"__annotations__": {name: float}, name: setting(default=0.1)})


def test_a_rule_returns_as_many_states_as_there_are():
    """Protects from states that a rule forgets, with a kernel and without."""

    class Forgetful(TwoMomenta):
        def rule(self, weights, states, gradient, lr, step):
            return weights - lr * gradient, states[:1]

    for loss in (ss.Product(), ss.DiagonalNetwork([[1.0]], [1.0])):
        with pytest.raises(ValueError, match="rule of Forgetful must return the states quick, heavy, got 1"):
            ss.simulate(loss, Forgetful(0.1, 0.1, 0.5), [0.5, 0.5], 3)


def test_the_former_argument_of_update_warns():
    """Protects scripts of 0.1 that name the velocity of one step."""
    w, v = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    optimizer = ss.HeavyBall(0.1, 0.9)
    with pytest.warns(DeprecationWarning, match="argument 'velocity' is now called 'states'"):
        after, velocity = optimizer.update(w, velocity=v, gradient=lambda w: w, lr=0.1)
    assert velocity == pytest.approx(0.9 * v - 0.1 * w, rel=1e-15)
    assert after == pytest.approx(w + velocity, rel=1e-15)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("beta", "momentum"), ("learning_rate", "lr"), ("nesterov", "lookahead"), ("momentun", "momentum")],
)
def test_words_of_other_libraries_are_answered_with_ours(word, meant):
    """Protects who comes from PyTorch or from a paper: the message has the known words and the one that is meant."""
    with pytest.raises(
        TypeError, match=f"HeavyBall takes lr, momentum, lookahead, got {word}; did you mean {meant}"
    ):
        ss.HeavyBall(**{"lr": 1.0, word: 0.9})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("SGD", r"use HeavyBall\(lr, momentum\)"),
        ("Nesterov", "lookahead=momentum"),
        ("simulat", "mean simulate"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(name, advice):
    """Protects who looks for a familiar class."""
    with pytest.raises(AttributeError, match=advice):
        getattr(ss, name)
