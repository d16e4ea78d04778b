"""Symbolic steps end: with their time, whatever they compute, and leave their thread and SymPy as they were."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import time

import numpy as np
import pytest
import sympy

import selfstab as ss
from selfstab.formulas import deadline
from selfstab.formulas.deadline import DeadlineError, bounded, derive_within

TOO_LONG = "*".join(f"tan(u*v+{k})" for k in range(40))


@bounded("end")
def forever():
    while True:
        pass


def test_a_step_ends_with_its_time_and_the_message_says_what_to_do():
    """Protects users and servers from formulas that SymPy never comes back from."""
    with (
        derive_within(0.2),
        pytest.raises(DeadlineError, match=r"within 0\.2 s, .*EmpiricalRisk.*derive_within"),
    ):
        ss.SymbolicLoss(TOO_LONG, ["u", "v"])
    assert threading.active_count() == len(
        [t for t in threading.enumerate() if t.name != "selfstab-deadline"]
    )


def test_a_step_that_was_stopped_can_be_taken_again():
    """Protects SymPy's caches, and ours, from half results: the loss derived afterwards is that of a new process."""
    text = "log(cosh(u*v + tanh(u)/3))*sin(u)**3"
    for seconds in (0.001, 0.003, 0.01, 0.03):
        with derive_within(seconds), contextlib.suppress(DeadlineError):
            ss.SymbolicLoss(text, ["u", "v"])
    loss = ss.SymbolicLoss(text, ["u", "v"])
    u, v = sympy.symbols("u v")
    exact = sympy.diff(sympy.sympify(text), u, u).evalf(
        30, subs={u: sympy.Rational(3, 10), v: sympy.Rational(7, 10)}
    )
    assert loss.hessian([0.3, 0.7])[0, 0] == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("order", ["third", "fourth"])
def test_derivatives_made_later_have_the_limit_too(order, monkeypatch):
    """Protects a run that asks for higher derivatives of a loss that was quick to make."""
    loss = ss.SymbolicLoss(f"u**4*sin(v)/{7 if order == 'third' else 9}", ["u", "v"])
    for name in ("derivative", "derivatives"):
        monkeypatch.setattr(f"selfstab.losses.symbolic.loss.{name}", lambda *_: forever())
    w = [0.1, 0.2]
    with derive_within(0.1), pytest.raises(DeadlineError, match=f"{order} derivatives within 0.1 s"):
        loss.third(w, w, w) if order == "third" else loss.fourth_at(*np.array([w] * 4))


def test_a_thread_that_is_not_the_main_one_is_stopped_and_others_are_not():
    """Protects servers, whose work is in threads: each has its own limit and its own end."""
    endings = {}

    def run(name, seconds, work):
        def inside():
            try:
                with derive_within(seconds):
                    endings[name] = work()
            except ValueError as error:
                endings[name] = error

        return threading.Thread(target=inside)

    @bounded("end")
    def patient():
        stops.wait(30)
        return "done"

    stops = threading.Event()
    threads = [run("short", 0.1, forever), run("long", 100.0, patient)]
    for thread in threads:
        thread.start()
    threads[0].join(30)
    stops.set()
    threads[1].join(30)
    assert isinstance(endings["short"], DeadlineError)
    assert endings["long"] == "done"


def test_the_step_that_began_first_decides_where_it_ends_first():
    """Protects nested steps: one within another has no more time than is left, and may have less."""

    @bounded("hold another")
    def outer():
        with derive_within(60):
            forever()

    with derive_within(0.2), pytest.raises(DeadlineError, match=r"hold another within 0\.2 s"):
        outer()

    @bounded("hold another")
    def goes_on():
        with derive_within(0.1), pytest.raises(DeadlineError, match=r"end within 0\.1 s"):
            forever()
        return "went on"

    with derive_within(60):
        assert goes_on() == "went on"


def test_an_exception_that_is_swallowed_comes_again():
    """Protects from code that ends an object, where Python drops every exception."""
    swallowed = []

    @bounded("end")
    def stubborn():
        while True:
            try:
                while True:
                    pass
            except BaseException as error:
                swallowed.append(error)
                if len(swallowed) == 2:
                    raise

    with derive_within(0.1), pytest.raises(DeadlineError):
        stubborn()
    assert len(swallowed) == 2


def test_a_keyboard_interrupt_gets_through():
    """Protects Ctrl-C within a symbolic step."""

    @bounded("end")
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert getattr(deadline._thread, "ends", float("inf")) == float("inf")


def test_no_exception_comes_after_the_end():
    """Protects the caller's own code: a step that ends with its time is stopped or done, and nothing comes later."""

    @bounded("end")
    def nearly(until):
        while time.thread_time() < until:
            pass

    for k in range(60):
        with derive_within(0.005), contextlib.suppress(DeadlineError):
            nearly(time.thread_time() + 0.0045 + 1e-5 * k)
        for _ in range(20_000):  # an exception that is still to come would be raised here
            pass


def test_a_step_that_was_stopped_leaves_the_interpreter_as_it_was():
    """Protects programs under a profiler: taking back an exception would stop them at their next call for good."""
    with derive_within(0.05), pytest.raises(DeadlineError):
        forever()
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(event))
    try:
        contextvars.copy_context()
    finally:
        sys.setprofile(None)
    assert calls


def test_what_sympy_itself_fails_at_is_refused():
    """Protects from SymPy's own errors, which are of any kind: here it takes a message for a text."""

    @bounded("be checked")
    def broken():
        raise AttributeError("'LazyExceptionMessage' object has no attribute 'startswith'")

    with pytest.raises(
        ValueError, match="expression must be checked, got one at which SymPy fails: AttributeError"
    ):
        broken()


@pytest.mark.parametrize("seconds", [0, -1, "x", float("nan"), None])
def test_limits_that_are_none_are_refused(seconds):
    """Protects the setting."""
    with pytest.raises((ValueError, TypeError), match="seconds must be"), derive_within(seconds):
        pass


def test_an_object_s_end_is_not_interrupted():
    """Protects from what Python prints of an exception that it drops; JAX has such code run at any time."""
    ended = []

    class Slow:
        def __del__(self):
            until = time.thread_time() + 0.3
            while time.thread_time() < until:
                pass
            ended.append(True)

    @bounded("end")
    def dropping():
        Slow()
        forever()

    with derive_within(0.1), pytest.raises(DeadlineError):
        dropping()
    assert ended


def test_an_empirical_risk_ends():
    """Protects from a formula of one sample that takes SymPy for ever: the risk is bounded as any formula is."""
    columns = {"x": np.ones((2, 32)), "y": np.ones(2)}
    product = "*".join(f"tanh(dot(w, x)*{k} + y)" for k in range(1, 41))
    with derive_within(0.2), pytest.raises(DeadlineError, match=r"differentiated within 0\.2 s"):
        ss.EmpiricalRisk(product, {"w": 32}, columns)
    risk = ss.EmpiricalRisk("tanh(dot(w, x))**2 + y", {"w": 32}, columns)
    w = np.zeros(32)
    with derive_within(0.01), pytest.raises(DeadlineError, match=r"fourth derivatives within 0\.01 s"):
        risk.fourth_at(w, w, w, w)


def test_a_long_text_with_entries_of_long_vectors_is_refused_at_once():
    """Protects from looking up entries before the length of a text is looked at."""
    text = "w*(" + "+".join(f"x[{k}]" for k in range(3000)) + ")"
    with derive_within(0.2), pytest.raises(ValueError, match="at most 2000 characters"):
        ss.EmpiricalRisk(text, ["w"], {"x": np.ones((2, 20000))})
