"""Pictures that commands write, and what a run's summary says."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import selfstab as ss
from selfstab import theory
from tests.cli.commands import PRODUCT, assert_refused, run

PHASES = (
    "sweep", "CubicTaylor", "--start", "minimum", "--flip", "1e-2", "--steps", "200",
    "-a", "momentum=lin:0:0.9:4", "-a", "excess=log:0.01:0.1:3",
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_a_run_is_drawn(tmp_path: Path, suffix: str) -> None:
    """Protects `simulate -o run.png`: one file of that name, which is a picture."""
    result = run("simulate", *PRODUCT, "--lr", "0.97", "-o", str(tmp_path / f"run{suffix}"))
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == [f"run{suffix}"]
    if suffix.lower() == ".png":
        with Image.open(tmp_path / f"run{suffix}") as picture:
            assert picture.size[0] > 1000


@pytest.mark.parametrize("measures", [("phase",), ("phase", "overshoot")])
def test_a_sweep_is_drawn(tmp_path: Path, measures: tuple[str, ...]) -> None:
    """Protects `sweep -o diagram.png`: with phases, and with overshoots beside them."""
    words = [word for name in measures for word in ("-m", name)]
    result = run(*PHASES, *words, "-o", str(tmp_path / "diagram.png"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "diagram.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("simulate", *PRODUCT, "--lr", "1", "--keep", "loss"), "--keep must hold sharpness for a picture, got loss"),
        ((*PHASES, "-m", "final_loss"), "--measure must hold phase for a picture, got final_loss"),
        (PHASES[:-2], "--axis must give two axes of several values for a picture, got momentum with 4"),
    ],
)  # fmt: skip
def test_a_picture_that_cannot_be_is_refused(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Protects an hour's sweep: what cannot be drawn is refused before it runs."""
    assert_refused((*words, "-o", str(tmp_path / "picture.png")), message)
    assert not list(tmp_path.iterdir())


def test_a_run_says_what_happened() -> None:
    """Protects the first minute: the catapult, its numbers and theory's, and a row of the table at each turn."""
    words = ("--start", "minimum:4", "--flip", "1e-3", "--lr", "0.95", "--momentum", "0.5")
    lines = run("simulate", "CubicTaylor", "-p", "curvature=4", *words[2:], "--start", "minimum",
                "--lr", "0.7575", "--steps", "2000").output.splitlines()  # fmt: skip
    at = lines.index("Outcome: 1 catapult.")
    numbers = lines[at + 3].split()
    onset, crossing, died = (int(word) for word in numbers[:3])
    steps = {line.split()[0] for line in lines[2:at]}
    assert {str(onset), str(crossing), str(died)} <= steps
    before, after, overshoot, law = (float(word) for word in numbers[3:])
    threshold = 2.0 * 1.5 / 0.7575
    assert overshoot == pytest.approx((before - after) / (2.0 * (before - threshold)), rel=0.02)
    assert law == pytest.approx(
        theory.overshoot(theory.inertia_number(before / threshold - 1.0, 0.5)), rel=0.05
    )
    assert overshoot == pytest.approx(law, rel=0.1)
    assert all(len(line) <= 80 for line in lines)


def test_runs_without_catapults_say_so() -> None:
    """Protects the summary's other words: no catapult, divergence, and what was not kept."""
    quiet = run(
        "simulate", "Quadratic", "-p", "curvatures=1,2", "--start", "1,1", "--lr", "0.1", "--steps", "9"
    ).output
    assert "Outcome: no catapult; the sharpness stayed below the threshold." in quiet
    wild = run(
        "simulate", "Quadratic", "-p", "curvatures=1,2", "--start", "1,1", "--lr", "3", "--steps", "99"
    ).output
    assert "Outcome: diverged at step " in wild
    blind = run("simulate", "Quadratic", "-p", "curvatures=1,2", "--start", "1,1", "--lr", "0.1", "--steps", "9",
                "--keep", "loss").output  # fmt: skip
    assert "Outcome: ended; --keep loss and sharpness to see catapults." in blind


def test_a_law_that_does_not_apply_is_not_shown() -> None:
    """Protects from a predicted drop larger than the sharpness: the cell is empty, and the reason below."""
    lines = run(
        "simulate", "Product", "--start", "minimum:4", "--flip", "1e-3", "--lr", "0.9", "--steps", "200"
    ).output
    assert "theory: empty where the law of small relative drops does not apply" in lines


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (("simulate", "prodct", "--start", "1,1", "--lr", "1", "--steps", "1"), "did you mean Product?"),
        (("figure", "overshot_law"), "did you mean overshoot_law?"),
        (("derive", "a5_overshot"), "did you mean a5_overshoot?"),
        (("verify", "A5 overshot law"), "A5 overshoot law"),
        (("simulate", *PRODUCT, "--lr", "1", "--keep", "sharpnes"), "did you mean sharpness?"),
        (("sweep", *PRODUCT, "--lr", "1", "--axis", "beta=0,0.5", "-m", "phase"), "did you mean momentum?"),
    ],
)  # fmt: skip
def test_near_misses_are_suggested(words: tuple[str, ...], suggestion: str) -> None:
    """Protects who mistypes a name among thirty: the nearest one is named."""
    assert_refused(words, suggestion)


def test_losses_are_known_in_any_case() -> None:
    """Protects `simulate product`."""
    assert run("simulate", "product", "--start", "1,1", "--lr", "1", "--steps", "1").exit_code == 0


@pytest.mark.parametrize("name", ["Q1", "q1", "q1_modes", "Q1_modes"])
def test_results_have_one_name(name: str) -> None:
    """Protects who goes from `derive q1_modes` to `verify q1_modes`: both take the same names."""
    assert ss.verify([name])["prediction"].values.tolist() == ["Q1 modes", "Q1 regions"]
    assert run("derive", name).exit_code == 0


@pytest.mark.parametrize("words", [("verify", "Q1", "Q2"), ("derive", "q1"), ("derive", "a5_deviation")])
def test_lines_fit_a_terminal(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects 80 columns: no line of a table or of a derivation is longer."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*words).output.splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


def test_derive_prints_the_law_before_what_follows_from_it() -> None:
    """Protects `derive a5`: the overshoot law first, its deviation second."""
    from selfstab.reports.companions import companion

    names = companion("derivations.__main__").scripts()
    assert names.index("a5_overshoot") < names.index("a5_deviation")
    assert names.index("a7_edge") < names.index("a7_drift")
