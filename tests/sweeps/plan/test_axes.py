"""Axes: each sets what it names, bit for bit as a run made by hand; names and ranges; random sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import selfstab as ss
from selfstab.cli.program import main
from selfstab.kernels.measures import MEASURES

CUBIC = ss.CubicTaylor(1.0, 0.01)
DIAGONAL = ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=4, features=6, nonzeros=2))
KEEP = ("loss", "sharpness", "weights", "velocity")
STEPS = 40


@dataclass(frozen=True)
class Sawtooth:
    """A schedule of one's own, of a real and a whole number."""

    lr: float = 0.3
    period: int = 7
    label: str = "not a number"

    def values(self, first, last):
        return self.lr * (1.0 + 0.5 * (np.arange(first, last) % self.period) / self.period)


def network(seed, width):
    """Return a small network on data of this seed."""
    rng = np.random.default_rng(seed)
    return ss.MLP((2, width, 1), rng.standard_normal((5, 2)), rng.standard_normal(5))


FAMILY = ss.LossFamily(network, seed=0, width=3)


def check_cells(data, run, same_bits):
    """Assert that each cell holds the bits of the run that `run` makes of its values: the arguments of simulate."""
    names = [n for n in data.dims if n != "repeat"]
    first = data.isel(repeat=0) if "repeat" in data.dims else data
    for index in np.ndindex(*(first.sizes[n] for n in names)):
        at = {n: float(first[n].values[k]) for n, k in zip(names, index, strict=True)}
        arguments, options = run(at)
        made = ss.simulate(*arguments, keep=KEEP, **options)
        for measure, value in ss.observables.measure(made, tuple(first.data_vars)).items():
            assert same_bits(float(first[measure].values[index]), value), (measure, at)


def test_initial_weights_of_a_network(same_bits):
    """Protects start.scale and start.seed beside other axes: each cell starts where its loss puts it, at rest."""
    axes = {"momentum": [0.0, 0.5], "start.scale": [0.2, 0.7], "start.seed": [0, 3]}
    for loss in (DIAGONAL, network(1, 3)):
        data = ss.sweep(loss, ss.HeavyBall(0.05), axes, start=ss.Initialization(5, 0.1), steps=STEPS,
                        measure=("final_loss", "phase"), progress=False)  # fmt: skip

        def run(at, loss=loss):
            start = loss.initial_weights(seed=int(at["start.seed"]), scale=at["start.scale"])
            return (loss, ss.HeavyBall(0.05, at["momentum"]), start, STEPS), {}

        check_cells(data, run, same_bits)
        assert data.attrs["initialization"] == '{"seed": 5, "scale": 0.1}'


def test_initial_weights_of_a_formula(plain_engine, same_bits):
    """Protects the same axes in lanes, where one start is drawn for many cells and axes of weights come on top."""
    axes = {"start.seed": [4, 0], "lr": [0.3, 1.4], "start.scale": [0.1, 0.4, 0.0], "previous.z": [0.1, 0.2]}
    for more in ({}, {"start.x": [0.3]}):
        data = plain_engine(ss.sweep, CUBIC, ss.HeavyBall(1.0, 0.5), axes | more, start=ss.Initialization(),
                            steps=STEPS, measure=tuple(MEASURES), progress=False)  # fmt: skip

        def run(at):
            start = CUBIC.initial_weights(int(at["start.seed"]), at["start.scale"])
            start[0] = at.get("start.x", start[0])
            previous = [start[0], at["previous.z"]]
            return (CUBIC, ss.HeavyBall(at["lr"], 0.5), start, STEPS), {"previous": previous}

        check_cells(data, run, same_bits)


def test_excess_at_drawn_starts(plain_engine, same_bits):
    """Protects ε on the sharpness of each drawn start, in lanes and cell by cell."""
    axes = {"excess": [-0.5, 0.1], "start.seed": [0, 1], "start.scale": [0.1, 0.2]}
    for loss in (ss.Quadratic([2.0, 1.0]), DIAGONAL):
        data = plain_engine(ss.sweep, loss, ss.HeavyBall(1.0), axes, start=ss.Initialization(), steps=STEPS,
                            measure=("final_loss",), progress=False)  # fmt: skip

        def run(at, loss=loss):
            start = ss.Initialization(int(at["start.seed"]), at["start.scale"])
            lr = (1.0 + at["excess"]) * 2.0 / loss.sharpness(start.weights(loss))[0]
            return (loss, ss.HeavyBall(lr), start, STEPS), {}

        check_cells(data, run, same_bits)


def test_what_a_loss_is_made_from(same_bits):
    """Protects the data's seed and a width as axes: losses of several dimensions, each from its own start."""
    axes = {"seed": [2, 0], "width": [3, 1, 4], "start.seed": [0, 1], "lr": [0.1, 0.2]}
    data = ss.sweep(FAMILY, ss.HeavyBall(0.1), axes, start=ss.Initialization(), steps=STEPS,
                    measure=tuple(MEASURES), noise=1e-3, repeats=2, progress=False)  # fmt: skip

    def run(at):
        start = ss.Initialization(int(at["start.seed"]))
        return (network(int(at["seed"]), int(at["width"])), ss.HeavyBall(at["lr"]), start, STEPS), {
            "noise": 1e-3
        }

    check_cells(data, run, same_bits)


def test_a_family_is_its_loss(same_bits):
    """Protects every method of a family against the loss made."""
    family, loss = FAMILY.replace(seed=4.0, width=2), network(4, 2)
    w = loss.initial_weights(3)
    u = np.linspace(-1.0, 1.0, loss.dimension)
    assert (family.dimension, family.weight_names) == (loss.dimension, loss.weight_names)
    assert dict(family.parameters) == {"seed": 4, "width": 2}
    assert loss.description in family.description
    for a, b in [
        (family.value(w), loss.value(w)),
        (family.gradient(w), loss.gradient(w)),
        (family.hessian(w), loss.hessian(w)),
        (family.hessian_vector(w, u), loss.hessian_vector(w, u)),
        (family.third(w, u, u), loss.third(w, u, u)),
        (family.sharpness(w)[1], loss.sharpness(w)[1]),
        (family.initial_weights(3), w),
    ]:
        assert same_bits(a, b)
    product = ss.LossFamily(lambda c: ss.SymbolicLoss("(u*v - c)**2/2", ["u", "v"], {"c": c}), c=1.0)
    assert product.minimum([1.5, 1.0]) == pytest.approx(product.made.minimum([1.5, 1.0]))


def test_a_family_tells_its_makers_apart():
    """Protects stores: the description changes with the function's code, and not with where it stands."""
    one, two, other = (eval(f"{' ' * k}lambda seed: network(seed, {w})", {"network": network})
                       for k, w in ((0, 2), (4, 2), (0, 3)))  # fmt: skip
    made = [ss.LossFamily(make, seed=1).maker for make in (one, two, other)]
    assert made[0] == made[1] != made[2]


_MAKER = """
import selfstab as ss
def make(seed, kinds=frozenset({"a", "b", "c"})):
    return ss.Quadratic([1.0]) if "x" in {"a", "b", "c", "d"} else ss.Quadratic([2.0])
print(ss.LossFamily(make, seed=1).maker)
"""


def test_a_maker_is_the_same_in_every_process():
    """Protects resuming: the order of sets, which changes from process to process, is not in the hash."""
    told = {
        subprocess.run(
            [sys.executable, "-c", _MAKER], env=os.environ | {"PYTHONHASHSEED": str(seed)}, check=True,
            capture_output=True, text=True,
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(told) == 1


def test_what_a_maker_takes_along_tells_it():
    """Protects stores: numbers in a closure and defaults count, and a memo that the maker fills does not."""

    def maker(width, scale):
        memo = {}

        def make(seed, factor=scale):
            return memo.setdefault(seed, network(seed, width))

        return make

    def told(*numbers):
        return ss.LossFamily(maker(*numbers), seed=1).maker

    assert told(2, 1.0) == told(2, 1.0)
    assert len({told(2, 1.0), told(3, 1.0), told(2, 2.0)}) == 3


def test_losses_are_made_once():
    """Protects slow makers: values that come again are not made again."""
    made = []

    def make(seed):
        made.append(seed)
        return network(seed, 1)

    ss.sweep(ss.LossFamily(make, seed=0), ss.HeavyBall(0.1), {"lr": [0.1, 0.2, 0.3], "seed": [0, 1, 2]},
             start=ss.Initialization(), steps=1, measure=("final_loss",), progress=False)  # fmt: skip
    assert sorted(made) == [0, 1, 2]


def test_numbers_of_ones_own_schedule(plain_engine, same_bits):
    """Protects lr.NAME where lr is a table: each cell runs with its own, in company of all others."""
    axes = {"lr.lr": [0.1, 0.3], "lr.period": [7, 2, 3], "momentum": [0.0, 0.6], "noise": [0.0, 0.01]}
    for loss, start in ((CUBIC, [0.1, 0.0]), (DIAGONAL, DIAGONAL.initial_weights(scale=0.3))):
        data = plain_engine(ss.sweep, loss, ss.HeavyBall(Sawtooth()), axes, start=start, steps=STEPS, seed=3,
                            measure=tuple(MEASURES), repeats=2, progress=False)  # fmt: skip

        def run(at, loss=loss, start=start):
            optimizer = ss.HeavyBall(Sawtooth(at["lr.lr"], int(at["lr.period"])), at["momentum"])
            return (loss, optimizer, start, STEPS), {"noise": at["noise"], "seed": 3}

        check_cells(data, run, same_bits)


def test_levels_of_noise_in_lanes(plain_engine, same_bits):
    """Protects the axis of noise: each level as a sweep of its own, no noise included, in every repeat."""
    axes = {"lr": [0.3, 2.5], "start.x": [0.1, -0.0]}
    common = {
        "start": [0.1, 0.0],
        "steps": STEPS,
        "measure": tuple(MEASURES),
        "repeats": 3,
        "progress": False,
    }
    levels = [0.0, 1e-3, 0.1]
    data = plain_engine(ss.sweep, CUBIC, ss.HeavyBall(1.0), axes | {"noise": levels}, **common)
    for k, level in enumerate(levels):
        alone = plain_engine(ss.sweep, CUBIC, ss.HeavyBall(1.0), axes, noise=level, **common)
        for name in MEASURES:
            assert same_bits(data[name].isel(noise=k).values.copy(), alone[name].values), (name, level)


BAD = {
    "lr.lr": (ss.HeavyBall(0.1), {"lr.lr": [1.0]}, {}, "axes must be named among momentum"),
    "unknown field": (ss.HeavyBall(Sawtooth()), {"lr.label": [1.0]}, {}, "lr.lr, lr.period.*got 'lr.label'"),
    "half a period": (ss.HeavyBall(Sawtooth()), {"lr.period": [1.5]}, {}, "period must be a whole number, got 1.5"),
    "negative rates": (ss.HeavyBall(Sawtooth()), {"lr.lr": [-1.0]}, {}, r"axes\['lr.lr'\]: .*must be in \[0, inf\)"),
    "lr beside": (ss.HeavyBall(Sawtooth()), {"lr": [1.0]}, {}, "lr must not be an axis.*use lr.lr, lr.period"),
    "noise": (ss.HeavyBall(0.1), {"noise": [-1.0]}, {}, r"axes\['noise'\] must be in \[0, inf\), got -1.0"),
    "no draw": (ss.HeavyBall(0.1), {"start.scale": [1.0]}, {}, "start.scale needs a start that is an Initialization"),
    "half a seed": (ss.HeavyBall(0.1), {"start.seed": [0.5]}, {"start": ss.Initialization()}, "whole number, got 0.5"),
    "seed": (ss.HeavyBall(0.1), {"start.seed": [-1]}, {"start": ss.Initialization()}, r"must be in \[0, 9.*got -1.0"),
    "scale": (ss.HeavyBall(0.1), {"start.scale": [-1]}, {"start": ss.Initialization()}, r"\[0, inf\), got -1.0"),
    "far": (ss.HeavyBall(0.1), {"start.scale": [1, 1e9]}, {"start": ss.Initialization()}, "must lie within escape"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_axes_are_named(name):
    """Protects the door of the axes above."""
    optimizer, axes, changes, match = BAD[name]
    with pytest.raises(ValueError, match=match) as caught:
        ss.sweep(CUBIC, optimizer, axes, **({"start": [0.1, 0.0], "steps": 3} | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "changes", "match"),
    [
        ({"seed": [0.5]}, {}, r"axes\['seed'\]: seed must be a whole number, got 0.5"),
        ({"width": [0]}, {}, r"axes\['width'\]: widths must be an integer >= 1"),
        ({"width": [3, 2]}, {"start": [0.0] * 13}, "start must be an Initialization.*13 with.*and 9 with"),
        ({"width": [2], "start.w0": [0.0]}, {}, "start must be an Initialization.*without previous and axes"),
        ({"width": [2]}, {"previous": [0.0] * 13}, "start must be an Initialization, without previous"),
        ({"depth": [2]}, {}, "axes must be named among .*noise, seed, width, start.seed, start.scale"),
    ],
)
def test_bad_families_are_named(axes, changes, match):
    """Protects the door of families: no cell runs with a start of another loss."""
    with pytest.raises(ValueError, match=match):
        ss.sweep(FAMILY, ss.HeavyBall(0.1), axes, **({"start": ss.Initialization(), "steps": 3} | changes))


@pytest.mark.parametrize(
    ("make", "parameters", "error", "match"),
    [
        (3, {"seed": 0}, TypeError, "make must be a function"),
        (lambda seed: seed, {"seed": 0}, TypeError, "make must return a selfstab loss, got 0"),
        (network, {}, ValueError, "parameters must name at least one"),
        (network, {"seed": "a", "width": 1}, TypeError, "seed must be a single number"),
        (network, {"seed": True, "width": 1}, TypeError, "seed must be a single number"),
        (
            network,
            {"noise": 0.1},
            ValueError,
            "must not be named like a sweep's axes and measures, got 'noise'",
        ),
        (network, {"width": 2.5, "seed": 0}, TypeError, "widths must be an integer"),
    ],
)
def test_bad_makers_are_named(make, parameters, error, match):
    """Protects the making of a family."""
    with pytest.raises(error, match=match):
        ss.LossFamily(make, **parameters)


def test_a_weight_called_scale_is_not_the_scale():
    """Protects against two meanings of one name."""
    loss = ss.SymbolicLoss("scale**2", ["scale"])
    with pytest.raises(ValueError, match="start must be weights where one of them is called scale"):
        ss.sweep(loss, ss.HeavyBall(0.1), {"start.scale": [1.0]}, start=ss.Initialization(), steps=3)
    data = ss.sweep(loss, ss.HeavyBall(0.25), {"start.scale": [1.0, 2.0]}, start=[0.0], steps=0,
                    measure=("final_loss",), progress=False)  # fmt: skip
    assert data.final_loss.values.tolist() == [1.0, 4.0]


def test_axes_of_the_command_line(tmp_path):
    """Protects start.scale and the data's seed as axes of a loss that a command names."""
    axes = ["-a", "start.scale=0.1,0.3", "-a", "seed=0,2", "-a", "features=8,9"]
    fixed = ["-p", "samples=5", "-p", "nonzeros=2", "--lr", "0.05", "--steps", "9", "-m", "final_loss"]
    output = tmp_path / "sweep.zarr"
    done = CliRunner().invoke(main, ["sweep", "DiagonalNetwork", *fixed, *axes, "-o", str(output)])
    assert done.exit_code == 0, done.output
    found = xr.load_dataset(output, engine="zarr", consolidated=False)

    def run(at):
        data = ss.datasets.sparse_regression(5, int(at["features"]), 2, int(at["seed"]))
        return (
            ss.DiagonalNetwork(*data),
            ss.HeavyBall(0.05),
            ss.Initialization(scale=at["start.scale"]),
            9,
        ), {}

    check_cells(found, run, lambda a, b: a == b)


OPTIMIZERS = {
    "constant": ss.HeavyBall(0.4, 0.3),
    "ramp": ss.HeavyBall(ss.LinearWarmup(0.1, 0.6, 9.0), 0.3, 0.2),
    "table": ss.HeavyBall(Sawtooth(), 0.3),
}
VALUES = {
    "momentum": st.floats(0.0, 0.95),
    "lookahead": st.floats(0.0, 1.0),
    "lr": st.floats(0.01, 3.0),
    "excess": st.floats(-0.9, 0.5),
    "noise": st.sampled_from([0.0, 1e-3, 0.1]),
    "lr.start": st.floats(0.0, 1.0),
    "lr.end": st.floats(0.01, 2.0),
    "lr.steps": st.floats(1.0, 60.0),
    "lr.lr": st.floats(0.01, 2.0),
    "lr.period": st.integers(1, 9),
    "curvature": st.floats(0.5, 2.0),
    "stabilization": st.floats(0.5, 2.0),
    "start.x": st.floats(-1.0, 1.0),
    "previous.z": st.floats(-0.3, 0.3),
    "start.seed": st.integers(0, 5),
    "start.scale": st.floats(0.0, 0.2),
}


@st.composite
def sweeps(draw):
    """Draw an optimizer, axes that go with it, and settings."""
    kind = draw(st.sampled_from(sorted(OPTIMIZERS)))
    drawn = draw(st.booleans())
    names = ["momentum", "lookahead", "noise", "curvature", "stabilization", "start.x", "previous.z"]
    names += {"constant": [draw(st.sampled_from(["lr", "excess"]))], "ramp": ["lr.start", "lr.end", "lr.steps"],
              "table": ["lr.lr", "lr.period"]}[kind]  # fmt: skip
    names += ["start.seed", "start.scale"] if drawn else []
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    axes = {name: draw(st.lists(VALUES[name], min_size=1, max_size=2)) for name in chosen}
    start = ss.Initialization(1, 0.1) if drawn else [0.2, 0.05]
    return OPTIMIZERS[kind], axes, {
        "start": start, "steps": draw(st.integers(0, 70)), "noise": draw(st.sampled_from([0.0, 0.01])),
        "seed": draw(st.integers(0, 3)), "escape": draw(st.sampled_from([2.0, 1e6])),
        "previous": draw(st.sampled_from([None, [0.1, 0.0]])),
    }  # fmt: skip


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sweeps(),
    st.integers(1, 3),
    st.lists(st.sampled_from(sorted(MEASURES)), min_size=1, max_size=3, unique=True),
)
def test_any_sweep_is_its_runs(plain_engine, same_bits, drawn, threads, measures):
    """Protects all axes at once: a cell of any sweep holds the bits of `simulate` with its values, by hand."""
    optimizer, axes, common = drawn
    data = plain_engine(
        ss.sweep, CUBIC, optimizer, axes, measure=measures, threads=threads, progress=False, **common
    )

    def run(at):
        loss = CUBIC.replace(**{n: at[n] for n in ("curvature", "stabilization") if n in at})
        start = common["start"]
        if isinstance(start, ss.Initialization):
            start = CUBIC.initial_weights(int(at.get("start.seed", 1)), at.get("start.scale", 0.1))
        start = np.array([at.get("start.x", start[0]), start[1]])
        previous = np.array(start if common["previous"] is None else common["previous"])
        previous[1] = at.get("previous.z", previous[1])
        here = replace(optimizer, **{n: at[n] for n in ("momentum", "lookahead", "lr") if n in at})
        own = {n[3:]: int(v) if n == "lr.period" else v for n, v in at.items() if n.startswith("lr.")}
        here = replace(here, lr=replace(here.lr, **own)) if own else here
        if "excess" in at:
            sharpness = loss.sharpness(start)[0] * (1.0 + 2.0 * here.lookahead)
            here = replace(here, lr=(1.0 + at["excess"]) * (2.0 * (1.0 + here.momentum)) / sharpness)
        rest = {"noise": at.get("noise", common["noise"]), "seed": common["seed"], "escape": common["escape"]}
        return (loss, here, start, common["steps"]), {"previous": previous} | rest

    check_cells(data, run, same_bits)
