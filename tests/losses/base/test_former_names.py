"""The names that derivatives had in version 0.1: classes and calls that use them go on, and say the new name."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import selfstab as ss
from selfstab.losses.base.fingerprint import hash_of
from selfstab.losses.base.former_names import FORMER_NAMES
from selfstab.losses.base.loss import Loss

W, U, V = np.array([1.7, 0.8]), np.array([0.3, -0.4]), np.array([1.0, 0.2])


def former_class():
    """Return ¼Σw⁴ as version 0.1 asked for it."""

    class Former(Loss):
        dimension = 2

        def _value(self, w):
            return float((w**4).sum() / 4)

        def _gradient(self, w):
            return w**3

        def _hessian(self, w):
            return np.diag(3 * w**2)

        def _third(self, w, u, v):
            return 6 * w * u * v

    return Former


def silently(function, *arguments):
    """Return what a function returns, warnings of former names aside."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* now .*_at", DeprecationWarning)
        return function(*arguments)


def test_a_class_of_0_1_goes_on():
    """Protects users' classes: every public function works on them, and the warning says what to rename."""
    with pytest.warns(
        DeprecationWarning,
        match="Former defines _value, _gradient, _hessian, _third, now .*value_at, .*third_at",
    ) as caught:
        kind = former_class()
    assert [warning.filename for warning in caught] == [__file__]
    loss = kind()
    known = ss.SymbolicLoss("(a**4 + b**4)/4", ["a", "b"])
    assert loss.value(W) == pytest.approx(known.value(W), rel=1e-14)
    assert loss.gradient(W) == pytest.approx(known.gradient(W), rel=1e-14)
    assert loss.hessian(W) == pytest.approx(known.hessian(W), rel=1e-14)
    assert loss.third(W, U, V) == pytest.approx(known.third(W, U, V), rel=1e-14)
    optimizer = ss.HeavyBall(0.05, 0.5)
    runs = [ss.simulate(which, optimizer, W, 50) for which in (loss, known)]
    assert runs[0]["loss"].values == pytest.approx(runs[1]["loss"].values, rel=1e-12)


def test_a_call_by_a_former_name_warns():
    """Protects scripts: each former name calls what it was, and names what it is now."""
    loss = ss.MLP((1, 2, 1), [[0.5], [-0.5]], [1.0, -1.0])
    w, v = np.linspace(-1.0, 1.0, 7), np.ones(7)
    arguments = {"_hessian_vector": (w, v), "_third": (w, v, v), "_fourth": (w, v, v, v)}
    for former, name in FORMER_NAMES.items():
        with pytest.warns(DeprecationWarning, match=f"^{former} of a loss is now {name};"):
            result = getattr(loss, former)(*arguments.get(former, (w,)))
        expected = getattr(loss, name)(*arguments.get(former, (w,)))
        if isinstance(expected, np.ndarray | float):
            assert np.array_equal(result, expected)
        else:
            assert type(result) is type(expected)


def test_super_reaches_the_class_that_is_next_by_either_name():
    """Protects classes made from ours: a former name and a new one mix, and nothing calls itself."""

    def make():
        class Shifted(ss.MLP):
            def _value(self, w):
                return super()._value(w) + 1.0

        class Twice(Shifted):
            def value_at(self, w):
                return 2.0 * super().value_at(w)

        class Again(Twice):
            def _value(self, w):
                return super()._value(w) + 0.5

        return Again

    data = ((1, 2, 1), [[0.5], [-0.5]], [1.0, -1.0])
    loss = silently(make)(*data)
    w = np.linspace(-1.0, 1.0, 7)
    assert silently(loss.value, w) == 2.0 * (ss.MLP(*data).value(w) + 1.0) + 0.5


def test_a_method_left_out_is_named():
    """Protects the message of an incomplete class: it says the name of today."""

    def make():
        class Half(Loss):
            dimension = 1

            def _value(self, w):
                return 0.0

        return Half()

    with pytest.raises(TypeError, match=r"gradient_at.*hessian_at.*third_at"):
        silently(make)


def test_a_store_knows_a_former_class_by_the_hash_it_had():
    """Protects stores of version 0.1: a second name of a method is no other code."""
    kind = silently(former_class)
    with_names = hash_of(kind)
    for name in ("value_at", "gradient_at", "hessian_at", "third_at"):
        type.__delattr__(kind, name)
    assert hash_of(kind) == with_names
    kind._value = lambda self, w: 0.0
    assert hash_of(kind) != with_names


def test_a_class_of_a_script_travels_by_value():
    """Protects sweeps in processes: cloudpickle takes a former class apart and builds it again."""
    import cloudpickle

    kind = silently(former_class)
    module = sys.modules[kind.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        packed = cloudpickle.dumps(kind())
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    # In a process of its own: here cloudpickle would find the class that it took apart.
    code = (
        "import pickle, sys; loss = pickle.load(sys.stdin.buffer); "
        "print(loss.value([1.7, 0.8]).hex(), loss.third([1.7, 0.8], [0.3, -0.4], [1.0, 0.2]).tobytes().hex())"
    )
    process = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=True)
    assert process.stdout.decode().split() == [kind().value(W).hex(), kind().third(W, U, V).tobytes().hex()]
