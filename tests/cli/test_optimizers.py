"""Options of optimizers and schedules: one for each number declared, and none of another optimizer."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss
from selfstab.cli.optimizers import final_rates, optimizer_of
from tests.cli.commands import PRODUCT, assert_refused, run
from tests.optimizers.own import TwoMomenta  # its module defines the other optimizers of these tests, too

LOSS = ss.Product()
START, PREVIOUS = ss.flip_start(LOSS, LOSS.minimum(sharpness=4.0), size=1e-2)
PLAIN = ("Product", "--start", "minimum:4", "--flip", "0.01", "--steps", "40")


def test_the_command_line_has_its_options(tmp_path):
    """Protects the command line: an optimizer's numbers are options of it, without a line of code for them."""
    output = str(tmp_path / "run.csv")
    own = ("--optimizer", "TwoMomenta", "--fast", "0.1", "--slow", "0.8", "--lr", "0.3")
    assert run("simulate", *PLAIN, *own, "-o", output).exit_code == 0
    expected = ss.simulate(LOSS, TwoMomenta(0.3, 0.1, 0.8), START, 40, previous=PREVIOUS)
    table = np.genfromtxt(output, delimiter=",", names=True, comments="#")
    assert table["loss"] == pytest.approx(expected.loss.values, rel=1e-12)
    swept = run("sweep", *PLAIN, *own[:4], "-a", "slow=0,0.9", "-a", "excess=0.01", "-m", "final_loss")
    assert swept.exit_code == 0, swept.output
    several = ("--optimizer", "Aggregated", "--momenta", "0,0.9", "--lr", "0.1")
    assert run("simulate", *PLAIN, *several).exit_code == 0
    flags = ("--optimizer", "Moments", "--corrected", "false", "--lr", "0.01")
    assert run("simulate", *PLAIN, *flags).exit_code == 0
    frozen = (
        "--optimizer",
        "Adam",
        "--frozen-after",
        "5",
        "--lr",
        "0.01",
        "--keep",
        "preconditioned_sharpness",
    )
    assert run("simulate", *PLAIN, *frozen, "-o", output).exit_code == 0
    note = "max_stable_sharpness is that of preconditioned_sharpness"
    assert note in run("simulate", *PLAIN, "--optimizer", "Adam", "--lr", "0.01").output
    assert note not in run("simulate", *PLAIN, "--lr", "0.01").output
    keep = ["preconditioned_sharpness"]
    expected = ss.simulate(LOSS, ss.Adam(0.01, frozen_after=5), START, 40, previous=PREVIOUS, keep=keep)
    table = np.genfromtxt(output, delimiter=",", names=True, comments="#")
    assert table[keep[0]] == pytest.approx(expected[keep[0]].values, rel=1e-12)
    shown = run("simulate", "--help").output
    for option in ("--slow", "--momenta", "--momentum", "--warmup", "preconditioned_sharpness"):
        assert option in shown


def test_the_help_has_each_optimizers_options_under_its_name():
    """Protects the reader of --help from eight optimizers at once: the default's come first, and none of another's."""
    text = run("simulate", "--help").output
    shared, *sections = text.split("\nOptions of ")
    assert "--lr" in shared
    assert "--help" in shared
    assert "--momentum VALUE" not in shared
    assert "  LOSS\n" not in shared
    assert sections[0].startswith("HeavyBall, the default:\n  --momentum VALUE   β in [0, 1).")
    adam = next(section for section in sections if section.startswith("Adam (--optimizer Adam):"))
    assert "--beta2 VALUE" in adam
    assert "0.999" in adam
    assert "--momentum" not in adam


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--optimizer", "Adagrad", "--lr", "1"), "optimizer must be one of "),
        (
            ("--optimizer", "TwoMomenta", "--momentum", "0.9", "--lr", "1"),
            "--momentum must be left out: it is no setting of TwoMomenta, which has",
        ),
        (("--optimizer", "TwoMomenta", "--slow", "1", "--lr", "1"), "slow must be in [0, 1), got 1.0"),
        (("--optimizer", "TwoMomenta", "--slow", "x", "--lr", "1"), "slow must be a number"),
        (("--optimizer", "Aggregated", "--lr", "1"), "--momenta must be given for Aggregated"),
        (("--optimizer", "Moments", "--corrected", "yes", "--lr", "1"), "--corrected must be true or false"),
        (
            ("--optimizer", "Adam", "--frozen-after", "5.5", "--lr", "1"),
            "--frozen-after must be a whole number",
        ),
        (
            ("--fast", "0.5", "--lr", "1"),
            "--fast must be left out: it is no setting of HeavyBall, which has --momentum, --lookahead",
        ),
    ],
)
def test_the_command_line_refuses_what_is_anothers(words, message):
    """Protects the command line's door: an option of another optimizer is not ignored."""
    result = run("simulate", *PLAIN, *words)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", *PRODUCT, "--lr", "-1"), "lr must be in (0, inf), got -1.0"),
        (("simulate", *PRODUCT), "lr must be given"),
        (("simulate", *PRODUCT, "--lr", "nan"), "lr must be in (0, inf), got nan"),
        (("simulate", *PRODUCT, "--lr", "1", "--momentum", "1"), "momentum must be in [0, 1), got 1.0"),
        (("simulate", *PRODUCT, "--lr", "1", "--warmup-start", "0"), "warmup-start must come with warmup"),
    ],
)
def test_numbers_of_an_optimizer_are_refused(arguments, message):
    """Protects the ranges of an optimizer's numbers, and words of a schedule that come together."""
    assert_refused(arguments, message)


def test_options_make_the_optimizer_that_python_makes():
    """Protects each word's way to its number: a schedule takes --lr as its end, text becomes numbers and flags."""
    options = {"optimizer": "HeavyBall", "momentum": "0.9", "lookahead": "0.3"}
    assert optimizer_of(options, 0.5) == ss.HeavyBall(0.5, 0.9, 0.3)
    warmup = {"warmup": 50.0, "warmup_start": 0.01}
    assert optimizer_of(options | warmup, 0.5) == ss.HeavyBall(ss.LinearWarmup(0.01, 0.5, 50.0), 0.9, 0.3)
    assert optimizer_of({"optimizer": "HeavyBall", "warmup": 7.0}, 2.0).lr == ss.LinearWarmup(0.0, 2.0, 7.0)
    assert optimizer_of({"optimizer": "Aggregated", "momenta": "0,0.9"}, 0.1).momenta == (0.0, 0.9)
    assert not optimizer_of({"optimizer": "Moments", "corrected": "false"}, 0.1).corrected
    assert "lr.end" in final_rates()
