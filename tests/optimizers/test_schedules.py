"""Learning rates by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.optimizers.schedules import rates

positive = st.floats(1e-6, 1e3)


@given(
    start=st.floats(0, 10),
    end=positive,
    steps=st.floats(1, 1e6),
    first=st.integers(0, 10**6),
    length=st.integers(0, 50),
)
def test_warmup_is_its_formula_at_any_step(start, end, steps, first, length):
    """Protects the definition: lr_t = start + (end − start)·min(t/steps, 1), however the steps are asked for."""
    values = ss.LinearWarmup(start, end, steps).values(first, first + length)
    expected = [start + (end - start) * min((first + k) / steps, 1.0) for k in range(length)]
    assert values.tolist() == expected
    whole = ss.LinearWarmup(start, end, steps).values(first, first + length + 7)
    assert np.array_equal(whole[:length], values)


@given(lr=positive, first=st.integers(0, 10**9), length=st.integers(0, 50))
def test_constant(lr, first, length):
    """Protects the plain case."""
    assert ss.Constant(lr).values(first, first + length).tolist() == [lr] * length


def test_warmup_ends_exactly():
    """Protects the end of a ramp from rounding: from `steps` on the value is `end` itself."""
    assert (ss.LinearWarmup(0.1, 0.3, 7).values(7, 1000) == 0.1 + (0.3 - 0.1)).all()
    assert ss.LinearWarmup(0.0, 0.3, 7).values(0, 8)[[0, 7]].tolist() == [0.0, 0.3]


class Wrong:
    """A schedule of one's own that answers with `answer`."""

    def __init__(self, answer):
        self.answer = answer

    def values(self, first, last):
        return self.answer(last - first)


BAD = {
    "short": (lambda n: np.ones(max(n - 1, 0)), ValueError, "shape"),
    "nan": (lambda n: np.full(n, np.nan), ValueError, "finite"),
    "infinite": (lambda n: np.full(n, np.inf), ValueError, "finite"),
    "negative": (lambda n: -np.ones(n), ValueError, r"in \[0, inf\)"),
    "none": (lambda n: None, TypeError, "real numbers"),
    "complex": (lambda n: np.ones(n) * 1j, TypeError, "real numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_schedule_of_ones_own_is_checked_before_anything_runs(name):
    """Protects compiled kernels: a table too short would be read beyond its end."""
    answer, error, match = BAD[name]
    optimizer = ss.HeavyBall(Wrong(answer))
    loss = ss.Quadratic([1.0])
    with pytest.raises(error, match=match) as caught:
        ss.simulate(loss, optimizer, [1.0], 5)
    assert "Wrong" in str(caught.value)
    with pytest.raises(error, match=match):
        ss.sweep(loss, optimizer, {"momentum": [0.0]}, start=[1.0], steps=5)
    with pytest.raises(error, match=match):
        optimizer.max_stable_sharpness(3)


def test_a_list_of_rates_is_taken_as_it_is():
    """Protects the contract's other side: whatever NumPy reads as numbers will do."""
    assert rates(Wrong(lambda n: [1] * n), 2, 5).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ss.Constant(0.0), r"lr must be in \(0, inf\), got 0.0"),
        (lambda: ss.Constant(np.nan), "lr must be"),
        (lambda: ss.LinearWarmup(-0.1, 1, 5), "start must be"),
        (lambda: ss.LinearWarmup(0, 0, 5), "end must be"),
        (lambda: ss.LinearWarmup(0, 1, 0.5), "steps must be"),
        (lambda: ss.LinearWarmup(0, 1, np.inf), "steps must be"),
        (lambda: ss.LinearWarmup(0, np.inf, 5), "end must be"),
        (lambda: ss.LinearWarmup(0, "1", 5), "end must be a single number"),
        (lambda: ss.LinearWarmup([0], 1, 5), "start must be a single number"),
        (lambda: ss.LinearWarmup(0, True, 5), "end must be a single number"),
    ],
)
def test_bad_input_is_named(call, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
