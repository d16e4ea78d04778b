"""Catapults in recorded arrays, ours and anyone's."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import selfstab as ss
from selfstab.observables.kinds import smoothed

THRESHOLD = 10.0


def swing(low, high, width, length):
    """Return a sharpness that starts at `low` below the threshold, rises to `high`, falls at `width` and stays low."""
    t = np.arange(length)
    return np.where(t < width, low + (high - low) * t / width, np.maximum(high - 2.0 * (t - width), low))


def two_catapults():
    """Return sharpness and loss of two catapults: excess 2 and 3, each with a spike of the loss on its way down."""
    one, two = swing(8.0, 12.0, 40, 80), swing(8.0, 13.0, 50, 90)
    sharpness = np.concatenate([one, two])
    t = np.arange(sharpness.size)
    loss = 1.0 + 5.0 * np.exp(-(((t - 42) / 0.7) ** 2)) + 9.0 * np.exp(-(((t - 132) / 0.7) ** 2))
    return sharpness, loss


def test_two_catapults_with_known_answers():
    """Protects onsets, crossings, peaks, excess, drop and spike on arrays made by hand."""
    sharpness, loss = two_catapults()
    found = ss.catapults(sharpness, THRESHOLD, loss)
    assert found.sizes == {"catapult": 2}
    # 8 + t/10 passes 10 at t = 20 and at 80 + 20; the fall from 12 by 2 a step ends at 41, from 13 at 131.
    assert found.onset.values.tolist() == [21, 101]
    assert found.crossing.values.tolist() == [41, 132]
    assert found.peak.values.tolist() == [42, 132]
    # y0 is the last smoothed value before the spike has begun: one record before the top, on the straight rise.
    assert found.peak_excess_sharpness.values == pytest.approx([1.9, 2.9], abs=1e-9)
    assert found["drop"].values == pytest.approx(found.peak_excess_sharpness.values + 2.0, abs=1e-9)
    assert found.overshoot.values == pytest.approx(
        found["drop"].values / (2 * found.peak_excess_sharpness.values), rel=1e-12
    )
    assert found.relative_excess.values == pytest.approx(
        found.peak_excess_sharpness.values / THRESHOLD, rel=1e-12
    )
    assert found.loss_spike.values == pytest.approx([5.0, 9.0], rel=1e-6)
    assert (found.died.values > found.peak.values).all()
    assert (found.died.values <= found.peak.values + 3).all()


def test_without_a_loss():
    """Protects records that hold sharpness alone: what needs a loss is −1 or NaN, the rest as before."""
    sharpness, loss = two_catapults()
    found, known = ss.catapults(sharpness, THRESHOLD), ss.catapults(sharpness, THRESHOLD, loss)
    assert found.peak.values.tolist() == [-1, -1]
    assert np.isnan(found.loss_spike).all()
    assert (found.died == found.crossing).all()
    for name in ("onset", "crossing", "peak_excess_sharpness"):
        assert np.array_equal(found[name], known[name])


def test_any_kind_of_array():
    """Protects other people's records: lists, integers, float32 and labelled arrays give the same."""
    sharpness, loss = two_catapults()
    known = ss.catapults(sharpness, THRESHOLD, loss)
    xr.testing.assert_identical(ss.catapults(sharpness.tolist(), [THRESHOLD] * 170, loss.tolist()), known)
    labelled = [xr.DataArray(a, dims="step") for a in (sharpness, np.full(170, THRESHOLD), loss)]
    xr.testing.assert_identical(ss.catapults(*labelled), known)
    rounded = ss.catapults(sharpness.astype(np.float32), 10, loss)
    assert rounded.onset.values.tolist() == known.onset.values.tolist()


def test_steps_of_the_records():
    """Protects records at a stride: events are told in steps, and records far apart are not smoothed."""
    sharpness, loss = two_catapults()
    later = ss.catapults(sharpness, THRESHOLD, loss, step=np.arange(170) + 1000)
    known = ss.catapults(sharpness, THRESHOLD, loss)
    for name in ("onset", "crossing", "peak", "died"):
        assert np.array_equal(later[name], known[name] + 1000)
    apart = ss.catapults(sharpness, THRESHOLD, loss, step=np.arange(170) * 10)
    assert apart.onset.values.tolist() == [210, 1010]
    assert apart.peak.values.tolist() == [420, 1320]
    assert apart.peak_excess_sharpness.values == pytest.approx([2.0, 3.0], abs=1e-9)


@pytest.mark.parametrize(("step", "y0"), [(None, 0.5), ([0, 2, 4, 6, 8], 1.0)])
def test_records_at_the_ends_of_what_is_let_in(step, y0):
    """Protects against a division by zero where the threshold is tiny, and an overflow where values are large."""
    small = ss.catapults([-1.0, 1.0, 1.0, -2.0, -2.0], 1e-300, step=step)
    assert small.relative_excess.values.tolist() == [y0 / 1e-300]
    large = ss.catapults([-2e307, 2e307, 2e307, -2e307, -2e307], 1.0, [2e307, -2e307, 2e307, 0.0, 0.0], step)
    assert large.loss_spike.values.tolist() == [4e307]
    assert np.isfinite(large.to_dataarray()).all()


def test_progressive_sharpening_after_a_catapult():
    """Protects the drop's end: it is the least sharpness before the next onset, though the sharpness rises again."""
    t = np.arange(300.0)
    sharpness = np.where(t < 60, 9 + t / 30, 8 + (t - 60) / 60)
    found = ss.catapults(sharpness, THRESHOLD, step=10 * t)
    assert found.onset.values.tolist() == [310]
    assert found.crossing.values.tolist() == [600]
    assert found["drop"].values == pytest.approx([9 + 59 / 30 - 8])


def test_infinite_thresholds_of_a_warmup():
    """Protects warmups from lr 0, where the threshold is infinite: nothing lies above it, and nothing warns."""
    sharpness, loss = two_catapults()
    lr = np.minimum(np.arange(170) / 10, 1.0)
    with np.errstate(divide="ignore"):
        threshold = THRESHOLD / lr
    found = ss.catapults(sharpness, threshold, loss)
    assert found.onset.values.tolist() == [21, 101]
    assert ss.catapults(sharpness, np.inf, loss).sizes["catapult"] == 0


@pytest.mark.parametrize(
    "sharpness",
    [[], [1.0], [11.0], [9.0, 9.0], [11.0] * 30, np.linspace(11, 12, 50), np.linspace(8, 12, 50)],
)
def test_nothing_found(sharpness):
    """Protects quiet records, and swings that have not ended: an empty dataset with all its variables."""
    known = ss.catapults(*two_catapults()[:1], THRESHOLD)
    found = ss.catapults(sharpness, THRESHOLD, np.ones(len(sharpness)))
    assert found.sizes == {"catapult": 0}
    assert set(found.data_vars) == set(known.data_vars)
    assert {name: v.dtype for name, v in found.data_vars.items()} == {
        n: v.dtype for n, v in known.data_vars.items()
    }


def test_a_swing_that_ends_higher_is_no_catapult():
    """Protects the word: without a drop there is none."""
    # The threshold rises above a sharpness that rises, too.
    sharpness = np.linspace(9, 20, 100)
    threshold = np.where(np.arange(100) < 50, 10.0, 30.0)
    assert ss.catapults(sharpness, threshold).sizes["catapult"] == 0


KEEP = ("loss", "sharpness", "weights", "velocity")


@pytest.mark.parametrize(
    ("momentum", "excess"), [(0.0, 0.02), (0.0, 0.1), (0.5, 0.02), (0.9, 0.002), (0.9, 0.005)]
)
def test_agrees_with_the_measures_and_the_law(momentum, excess):
    """Protects one meaning of y0, drop and overshoot: found in arrays, measured along the run, predicted."""
    loss = ss.CubicTaylor(1.0)
    size = 1e-5 * excess
    kappa = ss.theory.inertia_number(excess, momentum)
    run = ss.simulate(
        loss, ss.HeavyBall((1 + excess) * 2 * (1 + momentum), momentum), [size, 0.0], int(60 / excess * (1 - momentum)),
        previous=[-size, 0.0], keep=KEEP,
    )  # fmt: skip
    found = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    assert found.sizes["catapult"] == 1
    measured = ss.observables.measure(run, ["peak_excess_sharpness", "drop", "overshoot", "phase"])
    assert measured["phase"] == 3
    # "Died" is a loss within 1% of its spike, whose share of the sharpness is within 1% of the drop.
    assert float(found.peak_excess_sharpness[0]) == pytest.approx(measured["peak_excess_sharpness"], rel=1e-3)
    assert float(found["drop"][0]) == pytest.approx(measured["drop"], rel=1e-2)
    assert float(found.overshoot[0]) == pytest.approx(ss.theory.overshoot(kappa), rel=1e-2 + excess)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: ss.catapults([1.0, np.inf], 1.0), "sharpness must be finite"),
        (lambda: ss.catapults([[1.0]], 1.0), "sharpness must have shape"),
        (lambda: ss.catapults("abc", 1.0), "sharpness must be real numbers"),
        (lambda: ss.catapults([1j], 1.0), "sharpness must be real numbers"),
        (lambda: ss.catapults([None], 1.0), "sharpness must be real numbers"),
        (
            lambda: ss.catapults([1.0, 2.0], [1.0]),
            r"threshold must have as many values as sharpness \(2\), got 1",
        ),
        (lambda: ss.catapults([1.0, 2.0], 0.0), "threshold must be"),
        (lambda: ss.catapults([1.0, 2.0], [1.0, np.nan]), "threshold must be"),
        (lambda: ss.catapults([1.0, 2.0], [[1.0, 2.0]]), "threshold must be a number or one-dimensional"),
        (
            lambda: ss.catapults([1.0, 2.0], 1.0, [1.0]),
            r"loss must have as many values as sharpness \(2\), got 1",
        ),
        (lambda: ss.catapults([1.0, 2.0], 1.0, [1.0, np.inf]), "loss must be finite"),
        (lambda: ss.catapults([1.0, 2.0], 1.0, step=[0]), "step must have as many values"),
        (lambda: ss.catapults([1.0, 2.0], 1.0, step=[0, 0]), "step must be increasing whole numbers"),
        (lambda: ss.catapults([1.0, 2.0], 1.0, step=[0, 0.5]), "step must be increasing whole numbers"),
        (lambda: ss.catapults([1.0, 2.0, 3.0], 2.0, step=[0, 1, 1e300]), r"step must be at most 2\*\*53"),
        (lambda: ss.catapults([1.0, 2.0], 1.0, step=[-1e308, 1e308]), r"step must be at most 2\*\*53"),
        (lambda: ss.catapults([1e308, 1.5e308, 1e308], 2.0), r"sharpness must be in .* got 1e\+308"),
        (lambda: ss.catapults([1.0, 2.0], 1.0, [1e308, -1e308]), r"loss must be in .* got 1e\+308"),
        (lambda: ss.catapults([1.0, 2.0], 1e308), r"threshold must be in .* or infinite, got 1e\+308"),
    ],
)
def test_bad_input_is_named(call, match):
    """Protects the door."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "strides", [[1, 2, 1, 1, 3, 2, 2, 1, 1, 1], [2, 1, 1, 4, 1, 1, 1, 1, 2, 1], [3] * 9 + [2]]
)
def test_alternation_is_taken_out_of_records_with_gaps(strides):
    """Protects irregular records: what alternates from step to step goes, a straight line stays to half a stride."""
    step = np.concatenate([[0], np.cumsum(strides)])
    alternation = 0.3 * (-1.0) ** step
    out = smoothed(alternation, np.diff(step))
    first = 1 if strides[0] % 2 == 0 else 0  # before the first odd stride nothing tells the two apart
    assert np.abs(out[first:]).max() < 1e-15
    line = smoothed(step.astype(float), np.diff(step))
    assert np.abs(line - step).max() <= 0.5 * max(strides)


def test_records_at_even_strides_are_taken_as_they_are():
    """Protects records that an alternation cannot be seen in: smoothing leaves their bits."""
    values = np.random.default_rng(0).normal(size=9)
    assert np.array_equal(smoothed(values, np.full(8, 2)), values)


def test_no_catapult_without_a_spike():
    """Protects the word: what swings nowhere is none, in arrays and in measures, though the sharpness drifts."""
    keep = ["loss", "sharpness", "weights", "velocity"]
    # x = 0 exactly: b falls, the sharpness with it, and so does the loss at every step.
    still = ss.SymbolicLoss("(b**2 + 4)*x**2/2 + b**2/2", "x, b")
    run = ss.simulate(still, ss.HeavyBall(0.3), [0.0, 2.0], 100, keep=keep)
    assert ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss).sizes["catapult"] == 0
    # Above the threshold at the first record alone, which nothing smooths.
    two = ss.SymbolicLoss("(a + b/2 + (a**2 - b**2)/20)**2/2", "a, b")
    run = ss.simulate(two, ss.HeavyBall(1.55), [1.0, 0.3], 60, keep=keep)
    assert ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss).sizes["catapult"] == 0
    assert np.isnan(ss.observables.measure(run, ["overshoot"])["overshoot"])
    t = np.arange(400)
    drift = 2.0 + 0.01 * np.sin(t / 60 - 1) - 0.3 * np.clip((t - 250) / 150, 0, 1)
    assert ss.catapults(drift, 2.0).sizes["catapult"] == 1
    assert ss.catapults(drift, 2.0, np.exp(-t / 100)).sizes["catapult"] == 0


def test_a_drift_whose_steps_grow_is_no_swing():
    """Protects phases: a run that goes down ever faster, through sharper places, reverses nowhere."""
    # The slope along b grows, and S = 2 + exp(−(b − 3)²) rises through 2.5 and falls again.
    loss = ss.SymbolicLoss("(2 + exp(-(b - 3)**2))*x**2/2 - b**2/20 + b**4/4000", "x, b")
    run = ss.simulate(
        loss, ss.HeavyBall(0.8), [0.0, 0.5], 400, keep=["loss", "sharpness", "weights", "velocity"]
    )
    assert (np.diff(run.loss) <= 1e-12).all()
    assert float(run.sharpness.max()) > 2.5
    measured = ss.observables.measure(run, ["phase", "overshoot"])
    assert ss.phases.LABELS[int(measured["phase"])] == "monotone"
    assert np.isnan(measured["overshoot"])


def test_records_with_nan_are_left_out():
    """Protects our own runs, whose sharpness is NaN where the Hessian is: the catapults are those of the others."""
    sharpness, loss = two_catapults()
    known = ss.catapults(np.delete(sharpness, [60, 61]), THRESHOLD, np.delete(loss, [60, 61]),
                         step=np.delete(np.arange(170), [60, 61]))  # fmt: skip
    broken, other = sharpness.copy(), loss.copy()
    broken[60], other[61] = np.nan, np.nan
    xr.testing.assert_identical(ss.catapults(broken, THRESHOLD, other), known)
    assert known.onset.values.tolist() == [21, 101]
    assert ss.catapults([np.nan, np.nan], 1.0).sizes["catapult"] == 0


# -- a run's dataset ----------------------------------------------------------------------------------------------


def cubic_run(momentum=0.0, sharpening=0.0, start=(1e-4, 0.02), steps=2000, lr=None):
    """Return a run of the cubic model that flips about x = 0 at y = start[1], with S* = 1."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=sharpening)
    optimizer = ss.HeavyBall(2.0 * (1.0 + momentum) if lr is None else lr, momentum)
    return ss.simulate(loss, optimizer, list(start), steps, previous=[-start[0], start[1]], keep=KEEP)


def test_a_run_is_taken_whole():
    """Protects the short call: a run's dataset gives what its three arrays give, steps included."""
    run = cubic_run()
    known = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    assert known.sizes["catapult"] == 1
    xr.testing.assert_identical(ss.catapults(run), known)
    later = ss.catapults(run.assign_coords(step=run.step + 500))
    assert np.array_equal(later.onset, known.onset + 500)
    xr.testing.assert_allclose(ss.catapults(ss.analyze(run)), known)
    without = ss.catapults(run.drop_vars("loss"))
    assert without.sizes["catapult"] == 1
    assert np.isnan(without.loss_spike).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda run: ss.catapults(run, 1.0),
            "threshold must not be given beside a run, which holds it; got 1",
        ),
        (lambda run: ss.catapults(run, loss=[1.0]), "loss must not be given beside a run"),
        (lambda run: ss.catapults(run, step=[1]), "step must not be given beside a run"),
        (lambda run: ss.catapults(run.sharpness), "threshold must be given beside the sharpness"),
        (lambda run: ss.catapults(run.drop_vars("sharpness")), "run must hold sharpness, .* got "),
        (
            lambda run: ss.catapults(run[["sharpness"]]),
            "run must hold sharpness and max_stable_sharpness, got ",
        ),
        (lambda run: ss.catapults(run.isel(step=0)), "run must hold sharpness along step alone"),
        (lambda run: ss.catapults(xr.Dataset()), "run must hold .* got no variable"),
    ],
)
def test_a_run_that_is_none_is_named(call, match):
    """Protects the door of runs."""
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        call(cubic_run(steps=20))
    assert "\n" not in str(caught.value)


def test_adams_threshold_is_of_the_preconditioned_sharpness():
    """Protects runs of optimizers with a preconditioner: the sharpness that is compared is the threshold's."""
    loss = ss.Quadratic([1.0, 0.1])
    run = ss.simulate(
        loss, ss.Adam(0.1), [1.0, 1.0], 40, keep=["loss", "sharpness", "preconditioned_sharpness"]
    )
    xr.testing.assert_identical(
        ss.catapults(run), ss.catapults(run.preconditioned_sharpness, run.max_stable_sharpness, run.loss)
    )
    with pytest.raises(ValueError, match="run must hold preconditioned_sharpness"):
        ss.catapults(run.drop_vars("preconditioned_sharpness"))


# -- what is no catapult ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("momentum", "sharpening"), [(0.0, 1e-4), (0.5, 1e-6), (0.9, 1e-9)])
@pytest.mark.parametrize(("size", "catapult"), [(0.1, False), (0.5, False), (3.0, True)])
def test_cycles_at_the_edge_are_told_from_catapults(momentum, sharpening, size, catapult):
    """Protects the word: by theory the swing of a cycle of y_max = m√α dies in between where m is above 1.45."""
    delta, y = np.sqrt(2.0 * sharpening), size * np.sqrt(sharpening)
    lr = 2.0 * (1.0 + momentum)
    period = float(ss.theory.slow_period(lr, momentum, sharpening, y))
    run = cubic_run(momentum, sharpening, (delta, y), int(2.4 * period))
    found = ss.catapults(run)
    assert (found.sizes["catapult"] > 0) is catapult
    assert (found.attrs["edge_cycles"] > 0) is not catapult


def test_arrays_alone_tell_cycles_at_the_edge():
    """Protects anyone's arrays, which hold no momentum: the same answer."""
    for size, catapult in ((0.3, False), (3.0, True)):
        run = cubic_run(0.5, 1e-6, (np.sqrt(2e-6), size * 1e-3), 1900)
        found = ss.catapults(run.sharpness.values, 1.0, run.loss.values)
        assert (found.sizes["catapult"] > 0) is catapult


def test_a_swing_that_ends_at_the_threshold_is_a_cycle_at_the_edge():
    """Protects real networks, whose sharpness falls onto the threshold and stays there: overshoot ½ is no catapult."""
    t = np.arange(600)
    sharpness = np.where(t < 300, 0.99 + 0.03 * np.minimum(t, 60) / 60, 0.999 - 1e-5 * (t - 300) / 300)
    loss = 1.0 + 0.2 * np.exp(-np.abs(t - 300) / 20.0)
    found = ss.catapults(sharpness, 1.0, loss)
    assert found.sizes["catapult"] == 0
    assert found.attrs["edge_cycles"] == 1
    # The same fall to as far below the threshold as it was above is one.
    sharpness = np.where(t < 300, sharpness, 0.98)
    assert ss.catapults(sharpness, 1.0, loss).sizes["catapult"] == 1


@pytest.mark.parametrize(
    ("loss", "optimizer", "start"),
    [
        (ss.Product(), ss.HeavyBall(0.9), [2.5, 0.2]),
        (ss.Product(), ss.HeavyBall(1.2, 0.9), [1.932, 0.519]),
        (ss.CubicTaylor(1.0), ss.HeavyBall(4.095, 0.95), [1e-3, 0.0]),
        (ss.Coupled(1.0, 1e-3), ss.HeavyBall(1.5, 0.6), [0.3, 2.0]),
    ],
)
def test_the_prelude_of_a_divergence_is_no_catapult(loss, optimizer, start):
    """Protects reports of runs that diverge: what leads there is an open swing, whatever the sharpness does in it."""
    run = ss.simulate(loss, optimizer, start, 3000, keep=KEEP)
    assert int(run.diverged_at) > 0
    found = ss.catapults(run)
    assert found.sizes["catapult"] == 0
    assert found.attrs["open_since"] > 0


def test_a_catapult_long_before_a_divergence_stays_one():
    """Protects against too much caution: the swings that died are listed, and those that led away are not."""
    loss = ss.CubicTaylor(1.0, progressive_sharpening=1e-3)
    run = ss.simulate(loss, ss.HeavyBall(3.0, 0.5), [0.01, 0.0], 1500, keep=KEEP)
    assert int(run.diverged_at) == 317
    found = ss.catapults(run)
    assert found.onset.values.tolist() == [1, 37]
    assert found.attrs["open_since"] == 226


def test_a_swing_that_is_open_at_the_end_is_told():
    """Protects records that end too early."""
    whole = cubic_run()
    top = int(ss.catapults(whole).crossing[0]) - 5
    found = ss.catapults(whole.isel(step=slice(0, top)))
    assert found.sizes["catapult"] == 0
    assert found.attrs["open_since"] == 1
    assert ss.catapults(whole).attrs["open_since"] == -1


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_a_drift_beside_a_noisy_loss_is_no_catapult(noise):
    """Protects recorded losses, which are noisy: a rise by noise is no spike."""
    t = np.arange(400)
    drift = 2.0 + 0.01 * np.sin(t / 60 - 1) - 0.3 * np.clip((t - 250) / 150, 0, 1)
    for seed in range(5):
        falling = np.exp(-t / 100) + noise * np.random.default_rng(seed).standard_normal(t.size)
        assert ss.catapults(drift, 2.0, falling).sizes["catapult"] == 0


def test_what_settles_has_a_catapult_where_the_kernel_says_so():
    """Protects one meaning of the word: runs that settle have the phase catapult exactly where arrays show one."""
    rng = np.random.default_rng(0)
    seen = set()
    losses = [ss.Product(), ss.CubicTaylor(1.0), ss.Chain(3), ss.Minimalist()]
    for trial in range(24):
        loss = losses[trial % len(losses)]
        momentum = float(rng.choice([0.0, 0.5, 0.9]))
        start = rng.uniform(0.3, 2.0, loss.dimension)
        if trial % len(losses) == 1:
            start = np.array([1e-3 * rng.uniform(0.1, 10.0), rng.uniform(-0.02, 0.02)])
        lr = 2.0 * (1.0 + momentum) * (1.0 + 10.0 ** rng.uniform(-2.5, -0.5)) / loss.sharpness(start)[0]
        run = ss.simulate(loss, ss.HeavyBall(lr, momentum), start, 1200, keep=KEEP)
        phase = ss.phases.LABELS[int(ss.observables.measure(run, ["phase"])["phase"])]
        if phase in ("monotone", "oscillating", "catapult"):
            assert (phase == "catapult") is (ss.catapults(run).sizes["catapult"] > 0), (loss, start, lr)
            seen.add(phase)
    assert {"oscillating", "catapult"} <= seen


def test_an_optimizer_that_is_unknown_and_hostile_settings_give_no_momentum():
    """Protects datasets of others, whose attributes may hold anything."""
    run = cubic_run()
    known = ss.catapults(run.sharpness, run.max_stable_sharpness, run.loss)
    for text in ("{", "[1]", '{"momentum": "x"}', '{"momentum": 2.0, "lookahead": 0.0}', 5):
        found = ss.catapults(run.assign_attrs(optimizer=text))
        assert np.array_equal(found.onset, known.onset)
