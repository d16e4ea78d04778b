"""Commands of figures, derivations and benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selfstab.reports import figures, reproduce
from selfstab.reports.companions import companion
from tests.cli.commands import assert_refused, run


def test_figure_whose_check_fails_exits_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects: wrong numbers in a figure are not a success, nor a traceback."""

    def failing(*_: Any, **__: Any) -> Any:
        raise figures.CheckFailed("0.5 is not 0.6")
        yield ""

    monkeypatch.setattr(figures, "make_figure", failing)
    result = run("figure", "modes", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert "0.5 is not 0.6" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("figure", "envelop"), "got 'envelop'; did you mean envelope? Known: modes, "),
        (("figure", "nothing"), "selfstab figure lists all"),
        (("derive", "z9"), "derivations, got 'z9'; known: q1, q2, q3, a1, "),
        (("derive", "a10_nose"), "did you mean a10_noise? Known: q1, "),
        (("derive", "a55"), "got 'a55'; did you mean a5_overshoot or a5_deviation? Known: q1, "),
    ],
)
def test_a_name_that_is_none_is_refused(arguments, message):
    """Protects a misspelt figure or derivation: the names are listed."""
    assert_refused(arguments, message)


def test_figures_are_listed_by_their_titles() -> None:
    """Protects the way to a name: one line for each figure's module, with the title written in its text."""
    lines = run("figure").output.splitlines()
    folder = Path(__file__).parents[2] / "figures"
    assert len(lines) > 20
    for line in lines:
        name, title = line.split(maxsplit=1)
        assert title in (folder / f"{name}.py").read_text(encoding="utf-8")


def test_the_report_goes_on_after_an_interrupt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects hours of work: the words of the command reach the report, its exit code comes back, Ctrl-C is told."""
    calls = []

    def report(output: Path, **settings: Any) -> int:
        calls.append((output, settings["quick"], settings["only"], settings["fresh"]))
        return 3

    monkeypatch.setattr(reproduce, "reproduce", report)
    assert run("reproduce", "-o", str(tmp_path), "--only", "modes", "--only", "predictions").exit_code == 3
    assert run("reproduce", "--quick", "--fresh").exit_code == 3
    assert calls == [(tmp_path, False, ("modes", "predictions"), False), (Path("report"), True, None, True)]

    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce, "reproduce", interrupted)
    result = run("reproduce", "-o", str(tmp_path))
    assert result.exit_code == 130
    assert str(tmp_path / "index.html") in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--latex", "--html", "pages"), "latex and html must not be given both"),
        (("--html", "none/pages"), "html must be in a folder that exists, got 'none/pages'"),
    ],
)
def test_a_derivation_is_printed_in_one_form(words: tuple[str, ...], message: str) -> None:
    """Protects a long run of all derivations from words that cannot be met."""
    assert_refused(("derive", *words), message)


def test_benchmarks_are_chosen_by_a_word_and_listed_without_being_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects --list: names that hold the word, all of them, and no clock is started."""
    benchmarks = companion("benchmarks")
    monkeypatch.setattr(benchmarks, "run", lambda **_: pytest.fail("it ran"))
    every = run("bench", "--list").output.splitlines()
    chosen = run("bench", "--list", "hessian").output.splitlines()
    assert chosen == [name for name in every if "hessian" in name.lower()]
    assert 0 < len(chosen) < len(every)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_missed_target_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int) -> None:
    """Protects scripts that read the exit code of a measurement, and the words that reach it."""
    calls = []
    monkeypatch.setattr(companion("benchmarks"), "run", lambda **settings: calls.append(settings) or code)
    path = tmp_path / "samples.json"
    assert run("bench", "sweep / C", "--quick", "--json", str(path)).exit_code == code
    assert calls == [{"quick": True, "json_path": path, "words": ("sweep / C",)}]
