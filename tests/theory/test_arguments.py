"""What every closed form does with its arguments: broadcasting, floats, refusals, a light import."""

import contextlib
import inspect
import itertools
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from selfstab import theory
from selfstab.theory.arguments import MOMENTUM, REAL, Range, closed_form

CALLS = {
    "max_stable_sharpness": {"lr": 0.1, "momentum": 0.9, "lookahead": 0.1},
    "spectral_radius": {"lr_times_sharpness": 1.0, "momentum": 0.9, "lookahead": 0.1},
    "modes": {"lr_times_sharpness": 1.0, "momentum": 0.9, "lookahead": 0.1},
    "region": {"lr_times_sharpness": 1.0, "momentum": 0.9},
    "region_boundaries": {"momentum": 0.9},
    "growth_factor": {"excess": 0.1, "momentum": 0.9},
    "stabilization_weight": {"steps": 3, "momentum": 0.9},
    "inertia_number": {"excess": 0.1, "momentum": 0.9},
    "slow_energy": {"y": 0.1, "amplitude": 0.2, "progressive_sharpening": 0.1, "stabilization": 2.0},
    "max_displacement": {"y0": 0.1, "stabilization": 2.0},
    "loss_spike": {"threshold": 4.0, "y0": 0.1, "stabilization": 2.0},
    "slow_orbit": {"time": 1.0, "lr": 0.1, "momentum": 0.9, "y0": 0.1, "stabilization": 2.0},
    "overshoot": {"kappa": 1.0},
    "spike_factor": {"kappa": 1.0},
    "final_sharpness": {"threshold": 4.0, "y0": 0.1, "kappa": 1.0},
    "overshoot_deviation": {"kappa": 1.0, "sharpness_curvature": 0.8, "quartic": -0.3},
    "overshoot_on_loss": {"excess": 0.01, "momentum": 0.9, "sharpness_curvature": 0.8, "quartic": -0.3},
    "envelope_momentum": {"lookahead": 0.1, "momentum": 0.9},
    "lookahead_rate": {"excess": 0.1, "lookahead": 0.1, "momentum": 0.9},
    "lookahead_inertia_number": {"excess": 0.1, "lookahead": 0.1, "momentum": 0.9},
    "lookahead_displacement": {"y0": 0.1, "stabilization": 2.0, "momentum": 0.9, "lookahead": 0.1},
    "lookahead_overshoot": {"excess": 0.001, "lookahead": 0.1, "momentum": 0.9},
    "oscillation_lifetime": {"depth": 0.1, "momentum": 0.9},
    "prolonged_depths": {"momentum": 0.9},
    "prolonging_factor": {"depth": 0.1, "momentum": 0.9},
    "remaining_drop": {
        "x": 0.1,
        "previous": -0.2,
        "change": -0.01,
        "threshold": 4.0,
        "momentum": 0.9,
        "depth": 0.1,
        "stabilization": 2.0,
    },
    "ramp_rate": {"sharpness": 4.0, "momentum": 0.9, "start": 0.1, "end": 0.5, "steps": 1000},
    "crossing_amplitude": {"noise": 1e-6, "lr": 0.1, "momentum": 0.9, "ramp": 1e-4},
    "accumulated_growth": {"excess": 0.1, "momentum": 0.9},
    "ramp_amplitude": {"excess": 0.1, "amplitude": 1e-3, "momentum": 0.9, "ramp": 1e-2},
    "onset_excess": {"gain": 10.0, "momentum": 0.9, "ramp": 1e-4},
    "warmup_onset": {
        "sharpness": 4.0,
        "amplitude": 1e-6,
        "momentum": 0.9,
        "ramp": 1e-4,
        "stabilization": 2.0,
    },
    "warmup_drop": {
        "sharpness": 4.0,
        "amplitude": 1e-6,
        "momentum": 0.9,
        "ramp": 1e-4,
        "stabilization": 2.0,
    },
    "cycle_period": {"lr": 0.1, "momentum": 0.9, "progressive_sharpening": 0.1},
    "slow_period": {"lr": 0.1, "momentum": 0.9, "progressive_sharpening": 0.1, "largest_excess": 0.5},
    "cycle_growth": {"lr": 0.1, "momentum": 0.9, "progressive_sharpening": 0.1},
    "edge_inertia_number": {"lr": 0.1, "momentum": 0.9, "progressive_sharpening": 0.1},
    "edge_displacement": {"progressive_sharpening": 0.1, "stabilization": 2.0},
    "cycle_drift": {"lr": 0.1, "momentum": 0.9, "zeta": 0.5},
    "critical_coupling": {"momentum": 0.9},
    "flip_coefficient": {"lr": 0.1, "momentum": 0.9, "second": 2.0, "third": 1.0, "fourth": 0.1},
    "two_cycle_half_amplitude": {"excess": 0.1, "second": 2.0, "third": 1.0, "fourth": 0.1},
    "two_cycle_growth": {"lr_times_first": 2.0, "lr_times_second": 3.0, "momentum": 0.9},
    "max_stable_noise": {"lr_times_mean": 1.0, "momentum": 0.9},
    "max_stable_batch_sharpness": {"lr": 0.1, "momentum": 0.9, "mean_sharpness": 1.0},
    "mean_square_growth": {"lr_times_mean": 1.0, "lr_times_deviation": 0.5, "momentum": 0.9},
    "sharpness_gap": {
        "lr": 0.1,
        "momentum": 0.9,
        "progressive_sharpening": 0.1,
        "noise": 0.01,
        "stabilization": 2.0,
        "transverse_noise": 0.02,
    },
    "linear_sharpness_gap": {
        "threshold": 38.0,
        "sigma": 0.1,
        "c0": 1.0,
        "progressive_sharpening": 0.1,
        "noise": 0.01,
        "stabilization": 2.0,
        "transverse_noise": 0.02,
    },
    "cycle_gap": {"sigma": 0.1, "c0": 1.0, "inertia": 361.0, "progressive_sharpening": 0.1, "spread": 2.0},
    "memory_overshoot": {"memory": 1.0, "direct": 0.1, "swing": 0.2},
    "fading_rate": {"beta2": 0.999, "steps": 30.0},
    "preconditioner_share": {
        "beta2": 0.999,
        "momentum": 0.9,
        "threshold": 38.0,
        "stabilization": 2.0,
        "second_moment": 0.5,
    },
    "adaptive_inertia_number": {"excess": 0.1, "momentum": 0.9, "share": 0.2},
}
# These do not broadcast; their arguments are tested with their values.
OF_TENSORS = {"deviation_coefficients", "stationary_variance"}
# These take an optimizer; tests/theory/test_linear.py and its neighbours test their other arguments.
OF_OPTIMIZERS = {
    "threshold", "growth", "amplification", "inertia", "linear_displacement", "linear_overshoot", "linear_domain",
    "slow_overshoot", "linear_cycle_period", "linear_cycle_growth", "linear_crossing_amplitude",
    "linear_batch_sharpness",
}  # fmt: skip
POSITIVE = {"lr", "threshold", "stabilization", "second"}
NOT_NEGATIVE = {"amplitude", "y0", "kappa", "momentum", "steps"}
PAIRS = [(name, argument) for name, arguments in CALLS.items() for argument in arguments]


def outputs(result):
    return result if isinstance(result, tuple) else (result,)


def test_every_function_is_covered():
    """Protects this file: a new closed form must be added here."""
    assert {name for name in theory.__all__ if callable(getattr(theory, name))} == (
        set(CALLS) | OF_TENSORS | OF_OPTIMIZERS
    )


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_broadcasting(name, argument):
    """Protects shapes and values: an array argument gives what scalars give one by one."""
    function, arguments = getattr(theory, name), CALLS[name]
    values = (
        np.array([[1.0], [2.0], [3.0]])
        if argument == "steps"
        else arguments[argument] * np.array([[1.0], [0.5]])
    )
    together = outputs(function(**{**arguments, argument: values}))
    for i, value in enumerate(values.ravel()):
        for whole, single in zip(together, outputs(function(**{**arguments, argument: value})), strict=True):
            assert whole.shape[: values.ndim] == values.shape
            np.testing.assert_array_equal(whole[i, 0], single)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("modes", "region")])
def test_scalars_give_floats(name):
    """Protects that scalar arguments give Python floats."""
    assert all(type(value) is float for value in outputs(getattr(theory, name)(**CALLS[name])))


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_refusals(name, argument):
    """Protects the door of each argument: NaN, wrong kinds and wrong ranges name it."""
    function, arguments = getattr(theory, name), CALLS[name]
    bad = [np.nan] + [-np.inf] + [0.0, -1.0] * (argument in POSITIVE) + [-1.0] * (argument in NOT_NEGATIVE)
    for value in bad + [1.0] * (argument == "momentum"):
        with pytest.raises(ValueError, match=rf"^{argument} must be .*, got .*$"):
            function(**{**arguments, argument: value})
    for value in ("fast", 1j, None):
        with pytest.raises(TypeError, match=rf"^{argument} must be real numbers, got .*$"):
            function(**{**arguments, argument: value})


EXTREMES = {"momentum": [1e-300, 1.0 - 1e-12, 1.0 - 2.0**-53]}
UNDEFINED = {
    "max_stable_noise", "max_stable_batch_sharpness", "two_cycle_half_amplitude", "warmup_onset", "warmup_drop",
    "sharpness_gap", "lookahead_overshoot", "modes", "onset_excess", "ramp_amplitude", "remaining_drop", "slow_orbit",
}  # fmt: skip
"""NaN at an extreme: the first six say where, the others overflow on both sides of a difference or a product."""


@pytest.mark.parametrize("name", CALLS)
def test_extremes(name):
    """Protects both ends of the ranges, two arguments at a time: no error but a refusal, no NaN but where said."""
    function, arguments = getattr(theory, name), CALLS[name]
    values = {k: EXTREMES.get(k, [0.0, 1e-300, 1e300]) for k in arguments}
    results = []
    for one, other in itertools.product(arguments, repeat=2):
        for pair in itertools.product(values[one], values[other]):
            with contextlib.suppress(ValueError):
                results += outputs(function(**{**arguments, one: pair[0], other: pair[1]}))
    assert results
    assert any(np.isnan(result).any() for result in results) == (name in UNDEFINED)


def test_a_ramp_of_no_gain():
    """Protects the onset where its square underflows: √((1 − β)/(1 + β)·ramp·gain)."""
    assert theory.onset_excess(1e-300, 0.5, 1e-4) == pytest.approx(np.sqrt(1e-304 / 3.0), rel=1e-12)


DEFAULTS = {
    "lookahead": 0.0, "stabilization": 1.0, "progressive_sharpening": 0.0, "sharpness_curvature": 0.0, "quartic": 0.0,
    "transverse_noise": 0.0, "spread": 2.0, "direct": 0.0, "swing": 0.0, "share": 0.0, "second_moment": 1.0,
    "steps": math.inf,
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_defaults(name):
    """Protects the defaults: Polyak's method, b² = 1, no sharpening, no correction, a normal swing, and no end."""
    signature = inspect.signature(getattr(theory, name))
    found = {
        k: p.default for k, p in signature.parameters.items() if p.default is not inspect.Parameter.empty
    }
    assert found == {k: DEFAULTS[k] for k in found}
    assert all(type(value) is float for value in found.values())


LIMITS = [
    ("modes", "lookahead", -1.0, "-1"),
    ("max_stable_sharpness", "lookahead", -1.5, "-1"),
    ("lookahead_rate", "lookahead", -0.25, r"-0\.25"),
    ("lookahead_rate", "lookahead", -0.3, r"-0\.25"),
    ("prolonging_factor", "depth", 1.5, "1"),
    ("oscillation_lifetime", "depth", 1.5, "1"),
    ("remaining_drop", "depth", 1.0, "1"),
    ("prolonging_factor", "depth", 1.0 + 1e-9, "1"),
    ("overshoot_on_loss", "momentum", 1.0, "1"),
    ("overshoot_on_loss", "momentum", 1.5, "1"),
]


@pytest.mark.parametrize(("name", "argument", "value", "limit"), LIMITS)
def test_limits(name, argument, value, limit):
    """Protects the ends of the ranges and that the message names them."""
    with pytest.raises(ValueError, match=rf"^{argument} must be .*{limit}.*, got {value}"):
        getattr(theory, name)(**{**CALLS[name], argument: value})


@pytest.mark.parametrize("name", [name for name, arguments in CALLS.items() if len(arguments) > 1])
def test_shapes_that_do_not_broadcast(name):
    """Protects the message: one line with the arguments' shapes."""
    arguments = dict(CALLS[name])
    first, second = list(arguments)[:2]
    arguments |= {first: np.full(2, arguments[first]), second: np.full(3, 0.5)}
    with pytest.raises(ValueError, match=rf"broadcast together, got {first} \(2,\), {second} \(3,\)"):
        getattr(theory, name)(**arguments)


@pytest.mark.parametrize("name", CALLS)
def test_help(name):
    """Protects what help() shows: the declaration hides no signature, and says the errors once, before the notes."""
    function = getattr(theory, name)
    assert {*inspect.signature(function).parameters} == {*CALLS[name]}
    sections = re.findall(r"^ *(\w+)\n *-+$", function.__doc__, re.MULTILINE)
    assert sections == ["Parameters", "Returns", "Raises", "Notes", "Examples"]
    assert ("broadcast." in function.__doc__) == (len(CALLS[name]) > 1)


def test_a_declaration_names_each_parameter():
    """Protects against an argument that nothing checks: a formula is refused when it is defined."""
    with pytest.raises(TypeError, match=r"^half must declare a range for each of x, y, got x$"):

        @closed_form(x=REAL)
        def half(x, y):
            return 0.5 * x * y


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"^inertia_number\(\) missing 2 required positional arguments: 'excess' and 'momentum'$"),
        (
            {"excess": 0.1, "momentum": 0.5, "lr": 0.1},
            r"^inertia_number\(\) got an unexpected keyword argument 'lr'$",
        ),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    """Protects Python's own words for an argument too few or too many."""
    with pytest.raises(TypeError, match=message):
        theory.inertia_number(**arguments)


def test_a_formula_gets_arrays_of_one_shape():
    """Protects formulas from scalars, lists and integers, and from the order of the declaration."""

    @closed_form(momentum=MOMENTUM, steps=Range(at_least=1, whole=True))
    def shapes(steps, momentum=0):
        assert steps.dtype == momentum.dtype == np.float64
        return steps.shape, momentum.shape

    assert [shape.tolist() for shape in shapes([1, 2, 3], [[0], [0.5]])] == [[2, 3], [2, 3]]
    assert [shape.tolist() for shape in shapes([1, 2, 3])] == [[3], [3]]
    with pytest.raises(ValueError, match=r"^steps must be whole numbers >= 1, got 1\.5$"):
        shapes([1, 1.5, np.nan][:2])
    with pytest.raises(ValueError, match=r"^momentum must be in \[0, 1\), got 1\.0$"):
        shapes(0, 1)


def test_import_is_light():
    """Protects the import: neither SciPy nor SymPy is loaded."""
    code = "import sys, selfstab.theory; sys.exit(bool({'scipy', 'sympy', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
