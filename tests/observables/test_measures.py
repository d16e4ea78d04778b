"""A sweep's measures, read off one run: recorded, or as it goes on."""

from __future__ import annotations

import pytest
import xarray as xr

import selfstab as ss
from selfstab.kernels import modules
from selfstab.kernels.measures import MEASURES
from selfstab.observables import measures as module
from selfstab.observables.measures import _PLAIN_STEPS, Observer

KEEP = ("loss", "sharpness", "weights", "velocity")


def test_measure_of_a_run_that_diverged_and_of_the_shortest():
    """Protects the ends: labels and codes, and no warning."""
    diverged = ss.simulate(ss.DoubleWell(), ss.HeavyBall(1.0), [3.0], 50, keep=KEEP)
    got = ss.observables.measure(diverged, tuple(MEASURES))
    assert (got["phase"], got["diverged_at"]) == (-1, int(diverged.diverged_at))
    assert got["final_loss"] == float(diverged.loss[-1])
    nothing = ss.simulate(ss.DoubleWell(), ss.HeavyBall(1.0), [3.0], 0, keep=KEEP)
    got = ss.observables.measure(nothing, tuple(MEASURES))
    assert (got["diverged_at"], got["final_loss"], got["min_sharpness"]) == (-1, 16.0, 26.0)


def test_measure_from_a_file(tmp_path):
    """Protects stored runs: read back, they measure the same."""
    run = ss.simulate(ss.Product(), ss.HeavyBall(0.55), [2.0, 0.6], 300, keep=KEEP)
    run.to_netcdf(tmp_path / "run.nc")
    back = xr.load_dataset(tmp_path / "run.nc")
    assert repr(ss.observables.measure(back, tuple(MEASURES))) == repr(
        ss.observables.measure(run, tuple(MEASURES))
    )


RUN = ss.simulate(ss.Product(), ss.HeavyBall(0.1), [1.0, 2.0], 6, keep=KEEP)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ss.observables.measure(None), "run must be a dataset"),
        (lambda: ss.observables.measure(RUN, "nope"), "measures must be one of final_loss"),
        *(
            (lambda name=name: ss.observables.measure(RUN.drop_vars(name)), f"run must hold .* got no {name}")
            for name in (
                "step",
                "loss",
                "sharpness",
                "weights",
                "velocity",
                "max_stable_sharpness",
                "diverged_at",
            )
        ),
        (lambda: ss.observables.measure(RUN.isel(step=[0, 2, 4])), "run must hold every step"),
    ],
)
def test_bad_input_is_named(call, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [2, 7, 300])
def test_an_observer_in_parts_is_the_measure_of_the_whole(part, same_bits, monkeypatch):
    """Protects runs longer than an observer holds: what it carries from part to part loses nothing."""
    monkeypatch.setattr(module, "_PART", part)
    loss, lr = ss.CubicTaylor(1.0), 2.06
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-3)
    run = ss.simulate(loss, ss.HeavyBall(lr), start, 250, previous=previous, keep=KEEP)
    observer = Observer(tuple(MEASURES), 250, ss.HeavyBall(lr).thresholds)
    velocity = run["velocity"].values
    for t, (sharpness, value) in enumerate(zip(run["sharpness"].values, run["loss"].values, strict=True)):
        observer.state(sharpness, value)
        following = velocity[t + 1 : t + 2]
        for v in following:  # none after the last state
            flip = v - velocity[t]
            observer.update(
                v[0] ** 2 + v[1] ** 2,
                (flip[0] ** 2 + flip[1] ** 2) / 16,
                v[0] * velocity[t, 0] + v[1] * velocity[t, 1],
            )
    values, whole = observer.values(-1), ss.observables.measure(run, tuple(MEASURES))
    assert whole["overshoot"] > 0.9
    assert [*values] == [*MEASURES]
    assert all(same_bits(values[name], whole[name]) for name in MEASURES)


def test_measures_of_long_runs_are_those_of_plain_cpython(plain_engine, same_bits, monkeypatch):
    """Protects the switch from plain CPython to the compiled reader: the longest plain run, and one step more."""
    sources, compiled = [], modules.compiled

    def watched(source):
        sources.append(source)
        return compiled(source)

    loss = ss.CubicTaylor(1.0)
    start, previous = ss.flip_start(loss, loss.minimum(), size=1e-3)
    optimizer, measures = ss.HeavyBall(2.01, 0.0), tuple(MEASURES)
    for steps, is_compiled in ((_PLAIN_STEPS, False), (_PLAIN_STEPS + 1, True)):
        keep = ("loss", "sharpness", "weights", "velocity")
        run = ss.simulate(loss, optimizer, start, steps, previous=previous, keep=keep)
        plain = plain_engine(ss.observables.measure, run, measures)
        assert plain["overshoot"] > 0.9
        with monkeypatch.context() as patch:
            patch.setattr(modules, "compiled", watched)
            measured = ss.observables.measure(run, measures)
        assert bool(sources) is is_compiled
        assert all(same_bits(measured[name], plain[name]) for name in measures)
