"""The figures' own checks: they pass on what is computed, and fail when a number shown is not theory's."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from selfstab import report
from selfstab.plotting.style import DOUBLE_COLUMN, SINGLE_COLUMN

NAMES = report.companion("figures").NAMES


def module(name):
    return report.companion(f"figures.{name}")


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


def on_the_law(slope):
    """Return the overshoot law's data as it would be with overshoot = G·(1 + slope·2εG)."""
    import xarray

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


def runs_of(end):
    """Return a comparison's data on a small loss, its heavy ball made to end at `end` of the threshold."""
    import selfstab as ss

    comparison = module("comparison")
    loss = ss.DiagonalNetwork(*ss.datasets.sparse_regression(samples=6, features=5, nonzeros=2))
    setting = comparison.Setting(
        loss,
        loss.initial_weights(scale=0.3),
        steps=30,
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
