"""The figures' own checks: they pass on what is computed, and fail when a number shown is not theory's."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from selfstab.plotting.style import DOUBLE_COLUMN, SINGLE_COLUMN
from selfstab.reports.companions import companion

NAMES = companion("figures").NAMES


def module(name):
    return companion(f"figures.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_exports_what_the_report_needs(name):
    figure = module(name)
    assert "\n" not in figure.TITLE
    assert figure.TITLE
    assert figure.__doc__.count("\n\n") >= 1, "the caption is the docstring's text below its title"
    for function in ("compute", "draw", "check"):
        assert callable(getattr(figure, function))


@pytest.fixture(scope="module")
def computed():
    # Figures that take no time.
    return {name: module(name).compute(quick=True) for name in ("modes", "catapult")}


@pytest.mark.parametrize("name", ["modes", "catapult"])
def test_a_figure_passes_its_check_and_fits_the_page(computed, name):
    assert module(name).check(computed[name])
    figure = module(name).draw(computed[name])
    assert isinstance(figure, Figure)
    assert figure.get_size_inches()[0] in (SINGLE_COLUMN, DOUBLE_COLUMN)


def test_a_wrong_modulus_fails_the_modes_check(computed):
    data = {"modes": computed["modes"]["modes"].copy(deep=True)}
    data["modes"]["spectral_radius"] *= 1.0 + 1e-6
    with pytest.raises(AssertionError, match="companion"):
        module("modes").check(data)


def test_a_wrong_overshoot_fails_the_catapults_check(computed):
    data = {name: run.copy(deep=True) for name, run in computed["catapult"].items()}
    data["gd"]["overshoot"] *= 1.001
    with pytest.raises(AssertionError, match="overshoot"):
        module("catapult").check(data)


@pytest.mark.parametrize(
    ("name", "key", "variable"),
    [
        ("modes", "modes", "spectral_radius"),
        ("catapult", "gd", "overshoot"),
        ("catapult", "phb", "overshoot"),
    ],
)
def test_an_absent_number_fails_the_check(computed, name, key, variable):
    # A comparison with NaN is false: a check that lists the cells that are wrong would find none.
    data = {part: run.copy(deep=True) for part, run in computed[name].items()}
    data[key][variable] = data[key][variable] * np.nan
    with pytest.raises(AssertionError):
        module(name).check(data)


@pytest.mark.slow
def test_the_checks_hold_under_python_o():
    # python -O drops assert statements; the checks must not be such.
    code = """
from selfstab.reports.companions import companion
figure = companion("figures.modes")
data = figure.compute(quick=True)
figure.check(data)
data["modes"]["spectral_radius"] *= 1.0 + 1e-6
try:
    figure.check(data)
except AssertionError as error:
    print("optimized" if not __debug__ else "not optimized", error)
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", code],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.startswith("optimized |λ| differs"), done.stdout + done.stderr


def test_no_check_is_an_assert_statement():
    for path in Path(companion("figures").__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], path.name


def on_the_law(slope):
    """Return the overshoot law's data as it would be with overshoot = G·(1 + slope·2εG)."""
    from selfstab import theory

    momenta = np.array(module("overshoot_law").MOMENTA)
    kappa = np.broadcast_to(np.geomspace(0.003, 10.0, 8), (momenta.size, 8))
    excess = kappa / theory.inertia_number(1.0, momenta)[:, None]
    law = theory.overshoot(kappa)
    data = xarray.Dataset(coords={"momentum": momenta})
    for name, values in {"kappa": kappa, "excess": excess, **dict.fromkeys(
        ("CubicTaylor", "Product"), law * (1.0 + slope * 2.0 * excess * law))}.items():  # fmt: skip
        data[name] = (("momentum", "point"), values)
    return {"overshoot_law": data}


def test_the_laws_check_accepts_a_deviation_in_proportion_to_the_drop_and_no_more():
    assert module("overshoot_law").check(on_the_law(0.5))
    with pytest.raises(AssertionError, match="off G"):
        module("overshoot_law").check(on_the_law(1.5))


def test_the_laws_check_refuses_a_deviation_that_does_not_vanish_with_the_excess():
    data = on_the_law(0.5)
    data["overshoot_law"]["Product"] = on_the_law(0.0)["overshoot_law"]["Product"] * 1.0001
    with pytest.raises(AssertionError, match="at fixed κ"):
        module("overshoot_law").check(data)


@pytest.mark.parametrize("cells", [(slice(None), slice(None)), (0, 0), (2, 3), (4, 4)])
def test_the_laws_check_refuses_absent_overshoots(cells):
    # One absent overshoot at an excess the law is judged at, or all of them.
    data = on_the_law(0.5)
    values = data["overshoot_law"]["Product"].values.copy()
    values[cells] = np.nan
    data["overshoot_law"]["Product"] = (("momentum", "point"), values)
    with pytest.raises(AssertionError, match="no overshoot"):
        module("overshoot_law").check(data)


def test_the_laws_check_refuses_a_momentum_without_small_excesses():
    data = on_the_law(0.5)
    data["overshoot_law"]["excess"][0] = 0.5
    with pytest.raises(AssertionError, match="to be judged"):
        module("overshoot_law").check(data)


def test_the_laws_check_counts_what_it_judged():
    law = module("overshoot_law")
    data = on_the_law(0.5)
    excess = data["overshoot_law"]["excess"].values
    judged = (excess >= 1e-6) & (excess <= 0.03)
    assert f"all {judged.sum()} within" in law.check(data)[0]


def plane(change=lambda measured, phase: None):
    """Return the phase diagrams' data as it would be with the law exact, then changed."""
    from selfstab import phases, theory

    momentum, excess = 1.0 - np.geomspace(1.0, 0.01, 12), np.geomspace(1e-3, 1.0, 12)
    law = theory.overshoot(theory.inertia_number(excess, momentum[:, None]))
    drop = 2.0 * excess * law
    phase = np.where(drop <= 0.5, phases.CATAPULT, phases.DIVERGED)
    measured = np.where(drop <= 0.5, law, np.nan)
    change(measured, phase)
    dims = ("momentum", "excess")
    sweep = xarray.Dataset(
        {"overshoot": (dims, measured), "phase": (dims, phase)}, {"momentum": momentum, "excess": excess}
    )
    return dict.fromkeys(module("phase_diagrams").LOSSES, sweep)


def test_the_phase_diagrams_check_accepts_the_law():
    assert module("phase_diagrams").check(plane())


def test_the_networks_diagram_is_held_against_the_corrected_law():
    """Protects the correction: with coefficients of which the measured overshoot shows nothing the check fails."""
    data = plane()
    data["diagonal_network"] = data["diagonal_network"].assign_attrs(sharpness_curvature=3.0, quartic=0.0)
    with pytest.raises(AssertionError, match="DiagonalNetwork: the overshoot is off the law"):
        module("phase_diagrams").check(data)


def absent(measured, phase):
    measured[:] = np.nan


def one_absent(measured, phase):
    measured[0, 0] = np.nan


def one_wrong(measured, phase):
    measured[0, 0] *= 1.06


def one_diverged(measured, phase):
    from selfstab import phases

    phase[0, 0] = phases.DIVERGED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (absent, "no catapults"),
        (one_absent, "1 of"),
        (one_diverged, "1 of"),
        (one_wrong, "off the law"),
    ],
)
def test_the_phase_diagrams_check_refuses_what_is_absent_or_wrong_where_the_drop_is_small(change, message):
    with pytest.raises(AssertionError, match=message):
        module("phase_diagrams").check(plane(change))


def runs_of(end):
    """Return a comparison's data on a small loss, its heavy ball made to end at `end` of the threshold."""
    import selfstab as ss

    comparison = module("comparison")
    loss = ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=6, features=5, nonzeros=2))
    setting = comparison.ComparedRuns(
        loss,
        loss.initial_weights(scale=0.3),
        steps=40,
        warmup=10,
        threshold=2.0,
        scan=(2.0, 3.0),
        records=10,
        explicit=3,
    )
    data = comparison.compute(setting)
    for name, run in data.items():
        if name != "scan":
            limit = run["max_stable_sharpness"].values[-1]
            run["diverged_at"] = ((), -1)
            run["window_mean"] = ((), limit * (end if name.endswith("phb") else 1.0))
    data["warmup_phb"]["sharpness"][-1] = 1.01 * limit
    return comparison, data


def test_a_comparison_says_where_heavy_ball_ends_flatter(tmp_path):
    comparison, data = runs_of(0.5)
    del data["warmup_phb"]["explicit_sharpness"]
    lines = comparison.check(data)
    assert any("Warmup, PHB: sharpness 1.000" in line for line in lines)
    comparison, data = runs_of(1.5)
    with pytest.raises(AssertionError, match=r"flatter|differ"):
        comparison.check(data)


@pytest.mark.parametrize(
    ("key", "variable", "value", "message"),
    [
        ("constant_gd", "window_mean", np.nan, "stays at nan"),
        ("warmup_gd", "window_mean", 1.9, "stays at 1.900"),
        ("warmup_gd", "diverged_at", 7, "diverges"),
        ("warmup_phb", "window_mean", np.nan, "flatter"),
        ("warmup_phb", "sharpness", 1.0, "does not cross"),
        ("constant_phb", "explicit_sharpness", np.nan, "differ by nan"),
    ],
)
def test_a_comparison_refuses_absent_and_wrong_numbers(key, variable, value, message):
    comparison, data = runs_of(0.5)
    del data["warmup_phb"]["explicit_sharpness"]
    data[key][variable] = xarray.full_like(data[key][variable], value)
    with pytest.raises(AssertionError, match=message):
        comparison.check(data)


def test_a_comparison_records_both_sides_of_a_flip():
    # At an even distance every record may lie on the same side of an oscillation of period two.
    _, data = runs_of(0.5)
    for name, run in data.items():
        if name != "scan":
            assert run.attrs["every"] % 2 == 1, name
