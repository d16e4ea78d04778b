"""The mode without subnormal numbers: kernels are in it, their twins too, and nothing after them is."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels import modules, subnormals
from selfstab.kernels.machine_code import heard
from selfstab.kernels.subnormals import with_subnormals, without_subnormals

SUBNORMAL = np.full(9, 1e-200) * 1e-120
"""The product of two normal numbers, as float64 has it."""

DIES = {"start": [1e-3, 0.0], "previous": [-1e-3, 0.0], "steps": 3000, "progress": False}
"""Runs that oscillate about the minimum, and die."""


def in_float64():
    """Whether NumPy, and Python, compute with subnormal numbers in this thread."""
    small, other = np.full(9, 1e-200), float("1e-120")
    # By bits: in the mode subnormal numbers are equal to 0.
    alone = np.array([float(small[0]) * other])
    return bool((np.append(small * other, alone).view(np.int64) == SUBNORMAL.view(np.int64)[0]).all())


def test_the_mode_is_there_and_is_put_back():
    """Protects the cost of runs that die: on the processors that tests run on, a product below 2^-1022 is 0."""

    def products():
        numbers = np.full(9, 1e-200) * float("1e-120")
        assert not in_float64()
        return numbers, SUBNORMAL * 2.0**600, float(SUBNORMAL[0]) * 2.0**600, subnormals.LEAST * 1.0

    written, read, read_alone, least = without_subnormals(products)()
    assert not np.append(written, [*read, read_alone]).any()
    assert least == 2.0**-1022
    assert in_float64()


def test_an_error_puts_the_mode_back():
    """Protects whoever catches an error of a kernel, of one inside another as well."""

    @without_subnormals
    def inner():
        assert not in_float64()
        raise ZeroDivisionError

    @without_subnormals
    def outer():
        with pytest.raises(ZeroDivisionError):
            inner()
        return in_float64()

    assert outer() is False
    with pytest.raises(ZeroDivisionError):
        inner()
    assert in_float64()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="not run: this system has no timer of signals")
def test_an_interrupt_puts_the_mode_back_whenever_it_comes():
    """Protects a notebook after Ctrl-C: interrupts at 10,000 moments of a call, before, in and after its kernel."""
    called = without_subnormals(sum)

    def until_interrupted(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            called([1.0])

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for seconds in np.random.default_rng(0).uniform(2e-6, 3e-5, 10_000).tolist():
            with pytest.raises(KeyboardInterrupt):
                until_interrupted(seconds)
            assert in_float64()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_first_call_compiles_outside_the_mode(cold_cache):
    """Protects threads and libraries that a first call starts: a thread has the mode of the one that starts it."""
    seen = []

    def begun():
        thread = threading.Thread(target=lambda: seen.append(in_float64()))
        thread.start()
        thread.join()

    text = "@entry\ndef run(x, y, out):\n    out[0] = x * y\n"
    out = np.ones(1)
    with heard(begun):
        without_subnormals(modules.compiled(text).run)(1e-200, float("1e-120"), out)
    assert seen == [True]
    assert out[0] == 0.0
    assert in_float64()


def test_the_other_mode_is_put_back():
    """Protects a kernel whose code is compiled amid its call: it goes on without subnormal numbers."""

    @without_subnormals
    def inside():
        return with_subnormals(in_float64)(), in_float64()

    assert inside() == (True, False)
    assert with_subnormals(in_float64)()
    assert in_float64()


def test_a_dying_oscillation_comes_to_rest(plain_engine, same_cells):
    """Protects the end of runs: no step is left where they die, in a sweep, a run and an orbit, compiled or not."""
    measures = [
        "final_loss",
        "max_loss",
        "min_sharpness",
        "final_sharpness",
        "diverged_at",
        "phase",
        "overshoot",
    ]
    loss, optimizer, axes = ss.CubicTaylor(1.0, 0.0), ss.HeavyBall(1.0), {"momentum": [0.0], "excess": [0.3]}
    arguments = DIES | {"measure": measures, "steps": 750, "threads": 1}
    compiled = ss.sweep(loss, optimizer, axes, **arguments)
    same_cells(compiled, plain_engine(ss.sweep, loss, optimizer, axes, **arguments))
    ends = ss.orbits(loss, optimizer, axes, keep=["weights", "velocity"], last=20, **DIES)
    assert (ends.velocity.values == 0.0).all()
    assert np.abs(ends.weights.sel(weight="x").values).max() < 1e-307
    start, keep = loss.sharpness(DIES["start"])[0], ["loss", "sharpness", "weights", "velocity"]
    for momentum in (0.3, 0.5):
        lr = 1.1 * 2.0 * (1.0 + momentum) / start
        of_run = [loss, ss.HeavyBall(lr, momentum), DIES["start"], DIES["steps"]]
        run = ss.simulate(*of_run, previous=DIES["previous"], keep=keep)
        same_cells(run, plain_engine(ss.simulate, *of_run, previous=DIES["previous"], keep=keep))
        x, v = run.weights.values[:, 0], run.velocity.values[:, 0]
        assert v[-1] == 0.0
        assert abs(x[-1]) < 1e-307
        # Each number was normal while it lived.
        assert min(np.abs(x[x != 0.0]).min(), np.abs(v[v != 0.0]).min()) >= subnormals.LEAST


def test_a_cell_and_its_run_agree_below_the_least_square(same_bits):
    """Protects measures of runs that end between 1e-160 and 1e-310: losses and squares there are 0 to both."""
    loss, optimizer = ss.Quadratic([1.0, 1.5]), ss.HeavyBall(1.0, 0.1)
    measures = ["final_loss", "min_sharpness", "phase", "overshoot", "drop", "diverged_at"]
    for start in (1e-153, 1e-156, 1e-161, 1e-300, 3e-308, 1e-310):
        for steps in (3, 40, 400):
            keep = ["loss", "sharpness", "weights", "velocity"]
            run = ss.simulate(loss, optimizer, [start, -start], steps, keep=keep)
            read = ss.observables.measure(run, measures)
            data = ss.sweep(loss, optimizer, {"lr": [1.0]}, start=[start, -start], steps=steps, measure=measures,
                            threads=1, progress=False)  # fmt: skip
            for name in measures:
                assert same_bits(np.array([read[name]]), data[name].values.astype(float)), (
                    start,
                    steps,
                    name,
                )


@pytest.mark.parametrize("weights", ["x", "xy", "xyz"])
def test_parameters_below_the_least_number_are_0(weights, plain_engine, same_cells):
    """Protects equal bits of compiled code and plain CPython: a compiler may keep such a number, or make it 0."""
    loss = ss.SymbolicLoss(" + ".join(f"c*{w}**2/2" for w in weights), [*weights], {"c": 1e-310})
    arguments = {"start": np.ones(len(weights)), "steps": 5, "progress": False, "threads": 1}
    arguments["measure"] = ["min_sharpness", "max_sharpness", "final_sharpness", "max_loss"]
    sweep = [loss, ss.HeavyBall(1.0), {"lr": [0.5, 1.0]}]
    data = ss.sweep(*sweep, **arguments)
    same_cells(data, plain_engine(ss.sweep, *sweep, **arguments))
    runs = [ss.simulate(loss, ss.HeavyBall(1.0), arguments["start"], steps) for steps in (5, 20_000)]
    for values in [data[name].values for name in arguments["measure"]] + [
        run.sharpness.values for run in runs
    ]:
        assert not values.view(np.int64).any()


BELOW = {"start": [1e-161], "steps": 40, "measure": ["max_loss", "final_loss", "phase", "diverged_at"]}
"""Runs of w²/2 whose losses are below the least normal number from the start: 0 in the mode, and not outside it."""

SQUARE = ss.SymbolicLoss("w**2/2", "w")
SAMPLED = ss.EmpiricalRisk("(w*x)**2/2", "w", {"x": np.ones(2)})
CALLS = {
    "sweep": lambda loss: ss.sweep(loss, ss.HeavyBall(1.9), {"lr": [0.5, 1.9]}, progress=False, **BELOW),
    "continuation": lambda loss: ss.continuation(
        loss, ss.HeavyBall(1.9), {"lr": [0.5, 1.9]}, along="lr", progress=False, **BELOW
    ),
    "refine": lambda loss: ss.refine(
        loss, ss.HeavyBall(1.9), {"momentum": (0.0, 0.5, 2), "lr": (0.5, 1.9, 2)}, levels=1, progress=False, **BELOW
    ),
    "orbits": lambda loss: ss.orbits(
        loss, ss.HeavyBall(1.9), {"lr": [0.5, 1.9]}, start=BELOW["start"], steps=40, last=41, keep=["loss"],
        progress=False,
    ),
    "simulate": lambda loss: ss.simulate(loss, ss.HeavyBall(1.9), BELOW["start"], 40),
}  # fmt: skip


@pytest.mark.parametrize("loss", [SQUARE, SAMPLED], ids=["formula", "samples"])
@pytest.mark.parametrize("route", CALLS)
def test_each_route_is_in_the_mode(route, loss, plain_engine, same_cells):
    """Protects each way to run a kernel, with data and without: losses of 1e-322 are 0, in plain CPython as well."""
    data = CALLS[route](loss)
    same_cells(data, plain_engine(CALLS[route], loss))
    losses = [data[name].values for name in ("max_loss", "final_loss", "loss") if name in data]
    assert losses
    assert all((values == 0.0).all() for values in losses)
    assert loss.value(BELOW["start"]) > 0.0
    assert in_float64()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("route", CALLS)
def test_an_error_in_a_kernel_puts_the_mode_back(route, error, monkeypatch):
    """Protects the caller's thread after a kernel that fails or is interrupted, on each way to run one."""
    seen = []

    def failing(*arguments):
        # With no cells it compiles; anything else is a run.
        if np.size(arguments[0]):
            seen.append(in_float64())
            raise error

    names = ("run", "trace", "evaluate")
    monkeypatch.setattr(modules, "plain", lambda source: dict.fromkeys(names, failing))
    monkeypatch.setattr(modules, "compiled", lambda source: SimpleNamespace(**dict.fromkeys(names, failing)))
    with pytest.raises(error):
        CALLS[route](SQUARE)
    assert in_float64()
    assert False in seen


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_have_the_mode_each_for_itself(threads, same_cells, monkeypatch):
    """Protects the same bits on any number of threads, and the threads themselves after a block."""
    after = []
    wrapped = modules.compiled

    def compiled(source):
        module = wrapped(source)

        class Watched:
            @staticmethod
            def run(*arguments):
                after.append((threading.get_ident(), in_float64()))
                module.run(*arguments)

        return Watched

    settings = DIES | {"steps": 1500, "measure": ["final_loss", "min_sharpness"]}
    axes = {"momentum": np.linspace(0.0, 0.95, 40), "excess": np.geomspace(0.01, 0.3, 60)}
    one = ss.sweep(ss.CubicTaylor(1.0, 0.0), ss.HeavyBall(1.0), axes, threads=1, **settings)
    monkeypatch.setattr(modules, "compiled", compiled)
    same_cells(ss.sweep(ss.CubicTaylor(1.0, 0.0), ss.HeavyBall(1.0), axes, threads=threads, **settings), one)
    assert in_float64()
    # The first call compiles, outside the mode; the others are inside it.
    assert [plain for _, plain in after] == [True] + [False] * (len(after) - 1)
    assert len(after) > 1


def test_a_thread_that_ran_a_kernel_computes_as_before():
    """Protects threads of the caller's own: each ran a sweep, and then NumPy."""

    def work(_):
        ss.sweep(
            ss.CubicTaylor(1.0, 0.0), ss.HeavyBall(1.0), {"excess": [0.1]}, threads=1, **DIES | {"steps": 300}
        )
        return in_float64()

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(6)))


def test_derivatives_at_a_point_keep_subnormal_numbers():
    """Protects values, gradients and sharpness of any magnitude outside runs: they are float64's."""
    loss = ss.SymbolicLoss("c*x**2/2", "x", {"c": 1.0})
    assert loss.value([1e-160]) == 0.5 * (1e-160 * float("1e-160")) > 0.0
    assert loss.replace(c=1e-310).sharpness([1.0])[0] == 1e-310
    assert ss.simulate(loss, ss.HeavyBall(0.1), [1e-160], 0).loss[0] == 0.0


def test_a_processor_without_the_mode_runs_all_the_same(monkeypatch):
    """Protects other processors: there a kernel is called as it is."""
    monkeypatch.setattr(subnormals, "control", lambda: None)
    assert without_subnormals(sum) is sum


@pytest.mark.parametrize("known", [True, False])
def test_a_mode_that_has_no_effect_is_not_used(known, monkeypatch):
    """Protects from an unknown system: what does not make products 0 is left alone, and the state is as before."""
    places = dict.fromkeys(subnormals._PLACES, (15, 0)) if known else {}
    monkeypatch.setattr(subnormals, "_PLACES", places)
    subnormals.control.cache_clear()
    try:
        assert subnormals.control() is None
    finally:
        monkeypatch.undo()
        subnormals.control.cache_clear()
    assert in_float64()
