"""A rule's text, run by plain CPython, against the rule called with numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfstab as ss
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.optimizers.text import rule_text
from tests.optimizers.own import Aggregated, Mixed, Moments, TwoMomenta

PLAIN = plain_namespace()
OPTIMIZERS = [
    ss.HeavyBall(0.1, 0.9, 0.4), TwoMomenta(0.1, 0.3, 0.8), Moments(0.1), Moments(0.1, corrected=False),
    Aggregated(0.1, momenta=(0.0, 0.5, 0.9)), Mixed(0.1, 0.7),
]  # fmt: skip
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
NUMBERS = st.floats(-3.0, 3.0).map(lambda x: round(x, 6))


def names_of(optimizer, **names):
    """Return a text and the names it reads: the optimizer's numbers by their rows, and others."""
    text = rule_text(optimizer)
    return text, PLAIN | dict(zip(text.setting_rows, optimizer.numbers.values(), strict=True)) | names


@every_optimizer
@given(
    w=NUMBERS, gradient=NUMBERS, noise=NUMBERS, lr=st.floats(0.01, 2.0), t=st.integers(0, 50), data=st.data()
)
def test_lines_of_a_step_compute_the_rule(optimizer, w, gradient, noise, lr, t, data):
    """Protects kernels: the lines give what the rule gives of the same numbers; fused products differ in rounding."""
    carried = tuple(data.draw(NUMBERS.map(abs)) for _ in optimizer.carried)
    text, names = names_of(optimizer, w_x=w, g=gradient, noise=noise, lr=lr, t=t)
    rows = [text.rows(k, ["w_x"])[0] for k in range(len(carried))]
    names |= dict(zip(rows, carried, strict=True))
    for line in text.step("w_x", rows, "g + noise", lr="lr", prefix="part_"):
        exec(line, names)
    after, following = optimizer.advance(w, carried, gradient + noise, lr, t)
    got = [names[f"next_{name}"] for name in ("w_x", *rows)]
    assert got == pytest.approx([float(after), *map(float, following)], rel=1e-11, abs=1e-11)


@every_optimizer
@given(start=NUMBERS, previous=NUMBERS, lr=st.floats(0.01, 2.0), excess=st.floats(-0.5, 0.5))
def test_texts_of_begin_and_thresholds_compute_them(optimizer, start, previous, lr, excess):
    """Protects a run's first states, S* and lr at an excess: the texts' values are those of the optimizer."""
    text, names = names_of(optimizer, start=start, previous=previous, lr=lr, sharpness=2.5, excess=excess)
    texts, reads_lr = text.begin("start", "previous")
    expected = [float(state) for state in optimizer.carried_at_start(start, previous, lr)]
    assert [float(eval(code, names)) for code in texts] == pytest.approx(expected, rel=1e-14, abs=1e-300)
    assert reads_lr == any(re.search(r"\blr\b", code) for code in texts)
    at = optimizer.with_numbers({"lr": lr})
    assert eval(text.threshold("lr"), names) == pytest.approx(at.max_stable_sharpness(), rel=1e-14)
    rate = eval(text.rate_at_excess("sharpness", "excess"), names)
    assert rate == pytest.approx(optimizer.at_excess(2.5, excess), rel=1e-14)


@given(w=NUMBERS, velocity=NUMBERS, lookahead=st.sampled_from([0.0, 1e-9, 0.5, 2.0]))
def test_a_lookahead_of_zero_leaves_the_gradient_at_the_weight(w, velocity, lookahead):
    """Protects one kernel for all lookaheads: where it is 0 the point is the weight to the bit, −0.0 included."""
    text, names = names_of(ss.HeavyBall(0.1, 0.5, lookahead), w_x=w, v_x=velocity)
    point = float(eval(text.conditional_point("w_x", ["v_x"]), names))
    assert point == pytest.approx(w + lookahead * velocity, rel=1e-15, abs=1e-15)
    assert lookahead > 0.0 or np.float64(point).tobytes() == np.float64(w).tobytes()


def test_a_lookahead_that_no_axis_sets_is_left_out():
    """Protects the speed of kernels without lookahead, and lookaheads that an axis sets from being left out."""
    without, ahead = ss.HeavyBall(0.1, 0.5), ss.HeavyBall(0.1, 0.5, 0.3)
    assert rule_text(without, []).settings == ("momentum",)
    assert rule_text(without, []).point("w_x", ["v_x"]) is None
    for text in (rule_text(without), rule_text(without, ["lookahead"]), rule_text(ahead, [])):
        assert text.settings == ("momentum", "lookahead")
        assert text.point("w_x", ["v_x"]) == "fma(lookahead, v_x, w_x)"


def test_flags_and_lengths_decide_the_text_and_numbers_do_not():
    """Protects kernels: one for all numbers, another for another rule."""

    def step(optimizer):
        text = rule_text(optimizer)
        rows = [text.rows(k, ["w_x"])[0] for k in range(len(text.state_names))]
        return text.step("w_x", rows, "g", lr="lr", prefix="part_")

    assert step(Moments(0.1, 0.5)) == step(Moments(0.2, 0.9))
    assert step(Moments(0.1)) != step(Moments(0.1, corrected=False))
    assert rule_text(Moments(0.1)).depends_on_step
    assert not rule_text(Moments(0.1, corrected=False)).depends_on_step
    three = rule_text(Aggregated(0.1, momenta=(0.1, 0.2, 0.3)))
    assert three.settings == ("momenta.0", "momenta.1", "momenta.2")
    assert three.setting_rows == ("o_momenta_0", "o_momenta_1", "o_momenta_2")
    assert three.state_names == ("velocity", "state1", "state2", "state3")
    assert step(ss.HeavyBall(0.1)) == ["next_v_x = fma(-lr, g, momentum * v_x)", "next_w_x = w_x + next_v_x"]
