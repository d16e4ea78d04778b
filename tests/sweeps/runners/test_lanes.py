"""Sweeps' cells: the same bits as the generated source in plain CPython, in any company; the same numbers as a twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels import repetition, sweep_template, writer
from selfstab.kernels.arithmetic import plain_namespace
from selfstab.kernels.measures import MEASURES
from selfstab.kernels.variants import Variant
from selfstab.optimizers.text import rule_text
from selfstab.runs.noise import normal
from selfstab.sweeps.plan.blocks import cut
from selfstab.sweeps.storage import memory
from tests import twin

ALL = tuple(MEASURES)
KEEP = ("loss", "sharpness", "weights", "velocity")


@dataclass(frozen=True)
class Sawtooth:
    """A schedule of one's own: kernels read it from a table."""

    lr: float

    def values(self, first, last):
        return self.lr * (1.0 + 0.5 * (np.arange(first, last) % 7) / 7.0)


# Sublinear at infinity, so that a run can leave the escape radius and return; every kind of function in one loss.
WAVY = ss.SymbolicLoss(
    "sqrt(1 + x**2) + tanh(x*y)/2 + exp(-y**2/2)/3 + log(1 + exp(c*y)) + (1 + y**2)**0.7 - x*sin(y)/5",
    ["x", "y"],
    {"c": -1.0},
)


def cases():
    cubic = ss.CubicTaylor(1.0, progressive_sharpening=0.01)
    product, minimalist, chain = ss.Product(), ss.Minimalist(), ss.Chain(3)
    return {
        # Momentum and rates on both sides of the threshold; an odd count of steps.
        "constant": (cubic, ss.HeavyBall(1.0), {
            "momentum": [0.0, 0.5, 0.9], "lr": np.linspace(1.0, 4.5, 9), "stabilization": [0.5, 1.0, 2.0]},
            {"start": [1e-3, 0.0], "previous": [-1e-3, 0.0], "steps": 131}),
        "excess": (product, ss.HeavyBall(1.0), {
            "lookahead": [0.0, 0.3, 0.9], "momentum": [0.0, 0.9], "excess": [-0.9, -0.2, 0.05, 0.8],
            "start.u": [1.9, 2.2]},
            {"start": product.minimum(), "steps": 130, "noise": 1e-4, "seed": 3}),
        "ramp": (minimalist, ss.HeavyBall(ss.LinearWarmup(0.0, 0.2, 50)), {
            "lr.end": [0.1, 0.2, 0.3], "lr.steps": [1, 50.5, 400], "momentum": [0.0, 0.7], "start.x": [1.5, 2.5]},
            {"start": [2.0, 0.6], "steps": 129}),
        "table": (ss.Coupled(0.4, 0.01), ss.HeavyBall(Sawtooth(0.3)), {
            "momentum": [0.0, 0.6], "zeta": [0.0, 0.5, 1.0], "start.x": [0.1, 1.0, 3.0], "previous.y": [1.0, 2.0, 6.0]},
            {"start": [0.1, 5.0], "steps": 128, "noise": 1e-3, "escape": 50.0}),
        "jacobi": (chain, ss.HeavyBall(0.1), {
            "lr": [0.05, 0.3, 0.6, 1.1], "momentum": [0.0, 0.8], "start.u0": [0.7, 1.4, 2.4]},
            {"start": [1.0, 1.1, 0.6], "steps": 67}),
        "wavy": (WAVY, ss.HeavyBall(0.3, lookahead=0.5), {
            "lr": [0.2, 1.0, 3.0], "momentum": [0.0, 0.8], "previous.x": [-3.0, 4.0, 8.0], "start.y": [-9.0, 0.5, 7.0],
            "c": [-1.0, 1.0]},
            {"start": [8.0, 0.5], "steps": 99, "escape": 12.0}),
    }  # fmt: skip


CASES = cases()
every_case = pytest.mark.parametrize("name", CASES)


def swept(name, **changes):
    loss, optimizer, axes, settings = CASES[name]
    return ss.sweep(loss, optimizer, axes, **({"measure": ALL, "progress": False} | settings | changes))


@pytest.fixture(scope="module")
def results():
    return {name: swept(name, threads=1) for name in CASES}


@every_case
def test_equals_plain_cpython(name, results, plain_engine, same_cells):
    """Protects the meaning of a kernel: compiled and interpreted, a source gives the same bits, divergence too."""
    same_cells(results[name], plain_engine(swept, name, threads=1))


def test_the_cases_meet_every_end(results):
    """Protects the case above from being empty: runs end in every way, at odd and at even steps, in every chunk."""
    phases = np.unique(np.concatenate([r.phase.values.ravel() for r in results.values()]))
    assert set(phases) >= {-1, 0, 1, 2, 3, 4}
    ended = np.concatenate([r.diverged_at.values.ravel() for r in results.values()])
    assert {*(ended[ended >= 0] % 2)} == {0, 1}
    assert (ended == -1).any()
    assert (ended > 64).any()


@every_case
def test_threads_blocks_and_order_change_no_bit(name, results, monkeypatch, same_cells):
    """Protects a cell from its neighbours: threads, block sizes that are no whole lanes, and the order of blocks."""
    for threads, size in ((2, 64), (4, 1), (1, 37)):

        def backwards(cells, repeats, _, size=size):
            return reversed([*cut(cells, repeats, size)])

        monkeypatch.setattr(memory, "cut", backwards)
        same_cells(results[name], swept(name, threads=threads))


def test_other_axes_and_measures_change_no_bit(results, same_cells):
    """Protects a cell from the grid around it: axes in another order, a part of them, other measures asked for."""
    loss, optimizer, axes, settings = CASES["constant"]
    whole = results["constant"]
    turned = ss.sweep(loss, optimizer, dict(reversed(axes.items())), measure=ALL, progress=False, **settings)
    assert tuple(turned.sizes) == ("stabilization", "lr", "momentum")
    same_cells(turned.transpose(*axes), whole)
    part = ss.sweep(loss, optimizer, axes | {"lr": axes["lr"][3:5]}, measure=ALL, progress=False, **settings)
    same_cells(part, whole.isel(lr=slice(3, 5)))
    fewer = ss.sweep(loss, optimizer, axes, measure=("diverged_at", "final_loss"), progress=False, **settings)
    same_cells(fewer, whole[["diverged_at", "final_loss"]])


def cells(name, count=8):
    """Yield a few cells of a case: index and arguments of `simulate`, built by hand from the axes' values."""
    loss, optimizer, axes, settings = CASES[name]
    shape = [len(v) for v in axes.values()]
    for flat in np.random.default_rng(0).choice(np.prod(shape), min(count, np.prod(shape)), replace=False):
        index = np.unravel_index(flat, shape)
        at = {key: float(values[k]) for (key, values), k in zip(axes.items(), index, strict=True)}
        here = loss.replace(**{k: v for k, v in at.items() if k in loss.parameters})
        start = np.array(
            [at.get(f"start.{n}", w) for n, w in zip(loss.weight_names, settings["start"], strict=True)]
        )
        before = settings.get("previous", start)
        before = np.array(
            [at.get(f"previous.{n}", w) for n, w in zip(loss.weight_names, before, strict=True)]
        )
        momentum, ahead = at.get("momentum", optimizer.momentum), at.get("lookahead", optimizer.lookahead)
        lr = at.get("lr", optimizer.lr)
        if "excess" in at:
            lr = (1 + at["excess"]) * (2 * (1 + momentum)) / (here.sharpness(start)[0] * (1 + 2 * ahead))
        if "lr.end" in at:
            lr = ss.LinearWarmup(lr.start, at["lr.end"], at["lr.steps"])
        rest = {k: v for k, v in settings.items() if k in ("noise", "seed", "escape")}
        yield (
            index,
            (here, ss.HeavyBall(lr, momentum, ahead), start, settings["steps"]),
            {"previous": before} | rest,
        )


@every_case
def test_equals_simulate_and_measure(name, results, same_bits):
    """Protects one meaning of a word: a cell equals `simulate` followed by `observables.measure`, bit for bit."""
    for index, arguments, settings in cells(name):
        run = ss.simulate(*arguments, keep=KEEP, **settings)
        for measure, value in ss.observables.measure(run, ALL).items():
            cell = float(results[name][measure].values[index])
            assert same_bits(cell, value), (measure, index, cell, value)


def wavy_gradient(w, c):
    x, y = w
    common = (1 - np.tanh(x * y) ** 2) / 2
    return np.array([
        x / np.sqrt(1 + x**2) + common * y - np.sin(y) / 5,
        common * x - y * np.exp(-(y**2) / 2) / 3 + c / (1 + np.exp(-c * y))
        + 1.4 * y * (1 + y**2) ** -0.3 - x * np.cos(y) / 5,
    ])  # fmt: skip


def by_hand(loss):
    """Value, gradient and Hessian of a case's loss, written out; the wavy one's Hessian by central differences."""
    p = dict(loss.parameters)
    if isinstance(loss, ss.CubicTaylor):
        a, b = p["progressive_sharpening"], np.sqrt(p["stabilization"])
        return (
            lambda w: 0.5 * (1 + b * w[1]) * w[0] ** 2 - a / b * w[1],
            lambda w: np.array([(1 + b * w[1]) * w[0], b * w[0] ** 2 / 2 - a / b]),
            lambda w: np.array([[1 + b * w[1], b * w[0]], [b * w[0], 0.0]]),
        )
    if isinstance(loss, ss.Coupled):
        z, e = p["zeta"], p["eps"]
        return (
            lambda w: 0.5 * (w[1] + z * w[0]) * w[0] ** 2 - e * (w[0] + w[1]),
            lambda w: np.array([w[1] * w[0] + 1.5 * z * w[0] ** 2 - e, w[0] ** 2 / 2 - e]),
            lambda w: np.array([[w[1] + 3 * z * w[0], w[0]], [w[0], 0.0]]),
        )
    if isinstance(loss, (ss.Product, ss.Minimalist, ss.Chain)):
        k = 2 if isinstance(loss, ss.Minimalist) else 1

        # ½(P − 1)² with P = Πw^k: ∂P = kP/w, ∂²P = k(k − δ)P/(w w)
        def hessian(w):
            top, slope = np.prod(w**k), k * np.prod(w**k) / w
            second = top * (k * k - k * np.eye(w.size)) / np.outer(w, w)
            return np.outer(slope, slope) + (top - 1) * second

        return (
            lambda w: 0.5 * (np.prod(w**k) - 1) ** 2,
            lambda w: (np.prod(w**k) - 1) * k * np.prod(w**k) / w,
            hessian,
        )
    c = p["c"]

    def differences(w, h=1e-5):
        rows = [(wavy_gradient(w + h * e, c) - wavy_gradient(w - h * e, c)) / (2 * h) for e in np.eye(2)]
        return 0.5 * (np.array(rows) + np.array(rows).T)

    return (
        lambda w: np.sqrt(1 + w[0] ** 2) + np.tanh(w[0] * w[1]) / 2 + np.exp(-(w[1] ** 2) / 2) / 3
        + np.log1p(np.exp(c * w[1])) + (1 + w[1] ** 2) ** 0.7 - w[0] * np.sin(w[1]) / 5,
        lambda w: wavy_gradient(w, c),
        differences,
    )  # fmt: skip


def rates(lr, steps):
    """Return a case's learning rates of steps 0, ..., steps, from the definitions."""
    if isinstance(lr, ss.LinearWarmup):
        return np.array([lr.start + (lr.end - lr.start) * min(t / lr.steps, 1) for t in range(steps + 1)])
    if isinstance(lr, Sawtooth):
        return np.array([lr.lr * (1 + (t % 7) / 14) for t in range(steps + 1)])
    return np.full(steps + 1, lr)


def by_the_twin(arguments, settings, scale=1.0):
    """Return the twin's numbers, step of divergence and phase; `scale` multiplies where it starts."""
    loss, optimizer, start, steps = arguments
    value, gradient, hessian = by_hand(loss)
    lr = rates(optimizer.lr, steps)
    noise = settings.get("noise", 0.0) * normal(settings.get("seed", 0), 0, 0, steps, len(start))
    run = twin.run(
        gradient, scale * start, scale * settings["previous"], lr[:steps], optimizer.momentum,
        optimizer.lookahead, noise, settings.get("escape", 1e6),
    )  # fmt: skip
    top = twin.sharpness(hessian, run.weights)
    losses = np.array([value(w) for w in run.weights])
    with np.errstate(divide="ignore"):
        threshold = 2 * (1 + optimizer.momentum) / (lr[: len(top)] * (1 + 2 * optimizer.lookahead))
    numbers = np.array([losses[-1], losses.max(), top[-1], top.max(), top.min()])
    return numbers, (run.diverged_at, twin.phase(run, top, threshold))


@every_case
def test_equals_a_twin_written_by_hand(name, results):
    """Protects the update, its order, start and end, and the measures: another program, from the definitions."""
    reproducible = 0
    for index, arguments, settings in cells(name, count=20):
        cell = {k: v.values[index] for k, v in results[name].data_vars.items()}
        expected, ends = by_the_twin(arguments, settings)
        # What rounding can do to this run, seen by the twin itself; a chaotic run says nothing.
        nudged, nudged_ends = by_the_twin(arguments, settings, scale=1 + 3e-15)
        spread = np.abs(nudged - expected)
        if nudged_ends != ends or (spread > 1e-5 * (1 + np.abs(expected))).any():
            continue
        reproducible += 1
        got = [
            cell[k] for k in ("final_loss", "max_loss", "final_sharpness", "max_sharpness", "min_sharpness")
        ]
        # 1e-9 is what differences of gradients, the wavy loss's Hessian here, are good for.
        assert (np.abs(got - expected) <= 30 * spread + 1e-9 * (1 + np.abs(expected))).all(), index
        assert (cell["diverged_at"], cell["phase"]) == ends, index
    assert reproducible >= 14


def test_an_excursion_that_returns_is_a_divergence(results):
    """Protects the exact step where a run leaves the radius and comes back, also within one look at the lanes."""
    ends = results["wavy"].diverged_at.values
    compared = returned = 0
    for index, (loss, optimizer, start, steps), settings in cells("wavy", count=ends.size):
        _, gradient, _ = by_hand(loss)
        one, two = (
            twin.run(
                gradient, scale * start, scale * settings["previous"], rates(optimizer.lr, steps)[:steps],
                optimizer.momentum, optimizer.lookahead, escape=np.inf,
            ).weights
            for scale in (1.0, 1 + 3e-15)
        )  # fmt: skip
        # A chaotic run says nothing.
        if np.abs(one - two).max() > 1e-3:
            continue
        compared += 1
        far = np.abs(one).max(axis=1)
        out = np.flatnonzero(far > settings["escape"])
        assert ends[index] == (out[0] if out.size else -1), index
        returned += bool(out.size and (far[out[0] : out[0] + 30] < settings["escape"]).any())
    assert compared >= ends.size / 2
    assert returned >= 10


def chunks_and_measures(text, lr, steps, measures):
    """Run a source by plain CPython; return the steps at which its chunks begin, and the measures' bits."""
    names = plain_namespace()
    exec(compile(text, "<kernel>", "exec"), names)
    advance, begins = names["advance"], []

    def counted(rows, first, *rest):
        begins.append(first)
        advance(rows, first, *rest)

    names["advance"] = counted
    inputs = np.array([[rate, 0.0, 0.5, 0.5] for rate in lr])
    out, ends = np.empty((len(measures), len(lr))), np.empty((len(lr), 2))
    with np.errstate(all="ignore"):
        names["run"](inputs, np.zeros(1), np.zeros((1, 1)), steps, 1e6, out, ends)
    return begins, [*map(bytes, out), bytes(ends)]


@pytest.mark.parametrize("measures", [("min_sharpness", "max_sharpness"), ALL])
@pytest.mark.parametrize("lr", [[0.3, 0.45, 0.6, 2.9], [1.05, 1.1, 1.2, 0.5]])
def test_steps_left_out_change_no_bit(measures, lr, monkeypatch):
    """Protects blocks at rest (the first, with a lane that diverges) and in cycles: all steps give the same bits."""
    for module in (writer, sweep_template):
        monkeypatch.setattr(module, "LANES", 4)
    monkeypatch.setattr(sweep_template, "CHUNK", 16)
    formulas, variant, steps = (
        ss.DoubleWell().formulas,
        Variant(measures, rule_text(ss.HeavyBall(1.0), ())),
        333,
    )
    begins, found = chunks_and_measures(
        sweep_template.sweep_source(formulas, variant, ""), lr, steps, measures
    )
    monkeypatch.setattr(repetition, "onwards", lambda _: ["t = last"])
    all_begins, expected = chunks_and_measures(
        sweep_template.sweep_source(formulas, variant, ""), lr, steps, measures
    )
    assert found == expected
    assert all_begins == [*range(0, steps, 16)]
    assert set(begins) < set(all_begins)
    # Nothing is left out across the beginnings of the third and fourth quarter, of the last eighth and the last step.
    edges = [167, 250, 292, 332] if len(measures) > 2 else [332]
    assert all(any(first <= edge < first + 16 for first in begins) for edge in edges)
