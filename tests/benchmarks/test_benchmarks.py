"""The benchmarks' arithmetic, on made-up measurements, and that their baselines compute the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import (
    c_sweep,
    comparisons,
    harness,
    jax_sweep,
    machine,
    numba_sweep,
    numpy_sweep,
    product_sweep,
)
from benchmarks.harness import Case, Row, Target
from benchmarks.job import BaselineMissing, Extremes, Runner, SweepJob, agreement, sweep_job
from benchmarks.product_sweep import ProductJob
from selfstab.cli.program import main
from selfstab.reports.companions import companion


def row(verdict: harness.Verdict) -> Row:
    return Row("a line", "s", ">= 1", verdict)


def case(measure: object) -> Case:
    return Case("a line", "s", Target(1.0), measure)


def test_pairs_alternate_and_keep_their_sides() -> None:
    """Protects against a drifting machine favouring whoever always runs second, and against swapped sides."""
    calls: list[str] = []

    def ours() -> float:
        calls.append("ours")
        return float(len(calls))

    def baseline() -> float:
        calls.append("baseline")
        return -float(len(calls))

    samples = harness.interleaved(ours, baseline, 3)
    assert calls == ["ours", "baseline", "baseline", "ours", "ours", "baseline"]
    assert samples == [(1.0, -2.0), (4.0, -3.0), (5.0, -6.0)]


def test_ratio_is_the_median_of_the_pairs_ratios() -> None:
    """Protects against the ratio of medians, or a mean that one disturbed pair moves."""
    samples = [(1.0, 1.0), (2.0, 1.0), (9.0, 3.0), (1.0, 100.0), (8.0, 2.0)]  # ratios 1, 2, 3, 0.01, 4
    found = harness.judged("a line", "s", samples, Target(2.0))
    assert (found.ratio, found.ours, found.baseline) == (2.0, 2.0, 2.0)
    assert found.samples == samples


@pytest.mark.parametrize(
    ("target", "ratio", "verdict"),
    [
        (Target(0.8), 0.8, "met"),
        (Target(0.8), 0.79, "MISSED"),
        (Target(1.5, at_least=False), 1.5, "met"),
        (Target(1.5, at_least=False), 1.51, "MISSED"),
        (Target(0.0, at_least=False), 0.0, "met"),
        (Target(0.8), float("nan"), "MISSED"),
        (Target(1.5, at_least=False), float("nan"), "MISSED"),
    ],
)
def test_verdict(target: Target, ratio: float, verdict: str) -> None:
    """Protects the side of the bound that counts, for rates and for times, and that NaN meets nothing."""
    assert harness.judged("a line", "s", [(ratio, 1.0)], target).verdict == verdict


def test_quick_runs_are_not_judged() -> None:
    """Protects against a verdict from sizes too small to carry one."""
    assert harness.judged("a line", "s", [(0.1, 1.0)], Target(0.8), judge=False).verdict == "not judged"


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["met", "met"], 0),
        (["met", "not judged"], 0),
        (["met", "MISSED"], 1),
        (["met", "FAILED"], 1),
        (["met", "not measured"], 3),
        (["MISSED", "not measured"], 1),
        ([], 3),
    ],
)
def test_exit_code(verdicts: list[harness.Verdict], code: int) -> None:
    """Protects what a script concludes: a missing baseline is no success and hides no missed target."""
    assert harness.exit_code([row(verdict) for verdict in verdicts]) == code


def test_a_missing_baseline_and_a_failure_leave_the_other_lines_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the run from ending at the first line that cannot be measured, and the JSON's content."""

    def missing(_: Case) -> Row:
        raise BaselineMissing("no such compiler")

    def failing(_: Case) -> Row:
        raise ZeroDivisionError("two\nlines")

    def fine(one: Case) -> Row:
        return harness.judged(one.name, one.unit, [(3.0, 2.0), (2.0, 2.0)], one.target)

    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    path = tmp_path / "new" / "bench.json"
    lines = [case(missing), case(fine)]
    assert comparisons.run(False, path, lines) == 3
    printed = capsys.readouterr().out
    assert "not measured" in printed
    assert "no such compiler" in printed
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [one["verdict"] for one in found["rows"]] == ["not measured", "met"]
    assert found["rows"][1]["samples"] == [[3.0, 2.0], [2.0, 2.0]]
    assert {"date", "machine", "load"} <= set(found)
    assert found["machine"]["versions"]["numpy"] == np.__version__

    assert comparisons.run(False, None, [*lines, case(failing)]) == 1
    assert "ZeroDivisionError: two lines" in capsys.readouterr().out


def test_words_choose_lines() -> None:
    """Protects `selfstab bench WORDS`: any word, any case; a word in no name is refused, not run as nothing."""
    everything = comparisons.cases_named([], quick=True)
    chosen = comparisons.cases_named(["EXPLORER", "import selfstab"], quick=True)
    assert [one.name for one in chosen] == [
        one.name for one in everything if "explorer" in one.name or "import selfstab" in one.name
    ]
    assert len(chosen) == 2
    result = CliRunner().invoke(main, ["bench", "--list", "lobpcg"])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        one.name for one in comparisons.cases_named(["LOBPCG"], quick=False)
    ]
    result = CliRunner().invoke(main, ["bench", "nothing of this name"])
    assert result.exit_code == 2
    assert "WORDS must be in a line's name, got 'nothing of this name'" in result.output


def test_an_interrupted_run_shows_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a long run's finished lines from Ctrl-C: printed as they come, in the table and in the JSON."""

    def fine(one: Case) -> Row:
        return harness.judged(one.name, one.unit, [(3.0, 2.0)], one.target)

    def interrupted(_: Case) -> Row:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    path = tmp_path / "bench.json"
    assert comparisons.run(False, path, [case(fine), case(interrupted), case(fine)]) == 130
    told = capsys.readouterr()
    assert "[1/3] a line: 1.5 (target >= 1: met), 3 against 2 s" in told.err
    assert "interrupted" in told.err
    assert [one["verdict"] for one in json.loads(path.read_text(encoding="utf-8"))["rows"]] == ["met"]


def test_a_line_on_one_core_is_measured_from_a_clone() -> None:
    """Protects lines that run in a process of their own: it must find this package by the name of its import."""
    pytest.importorskip("jax")
    pytest.importorskip("sklearn")
    (one,) = companion("benchmarks.comparisons").cases_named(["training step"], quick=True)
    found = one.row()
    assert found.verdict == "not judged", found.note
    assert found.ratio > 0.0


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the baselines' own are theirs
def test_no_line_fails() -> None:
    """Protects the lines from what changes beneath them: at their quick sizes each is measured, or has no baseline."""
    for one in comparisons.cases_named([], quick=True):
        found = one.row()
        assert found.verdict in ("not judged", "not measured", "met"), (found.name, found.verdict, found.note)


def one_cell(job: SweepJob, momentum: float, lr: float) -> tuple[float, float, int]:
    """Run one cell in plain Python, with the Hessian's top eigenvalue from NumPy's eigensolver."""
    b, c = job.b, job.curvature

    def sharpness(x: float, z: float) -> float:
        return float(np.linalg.eigvalsh([[c + b * z, b * x], [b * x, 0.0]])[-1])

    x, z, u, v = job.x0, 0.0, 2.0 * job.x0, 0.0
    seen = [sharpness(x, z)]
    for t in range(1, job.steps + 1):
        gx, gz = (c + b * z) * x, 0.5 * b * x * x - job.progressive_sharpening / b
        u, v = momentum * u - lr * gx, momentum * v - lr * gz
        x, z = x + u, z + v
        if not max(abs(x), abs(z)) <= 1e6:
            return min(seen), max(seen), t
        seen.append(sharpness(x, z))
    return min(seen), max(seen), -1


def test_the_numpy_program_runs_the_job_as_defined() -> None:
    """Protects the job's definition: update, start, measures, step of escape; no parameter is 1."""
    job = replace(
        sweep_job(5, 300), curvature=2.0, stabilization=1.7, progressive_sharpening=1e-4, x0=2e-3,
    )  # fmt: skip
    found, lr = numpy_sweep.run(job), job.lr()
    expected = [one_cell(job, job.momentum[i], lr[i, j]) for i, j in np.ndindex(job.shape)]
    low, high, diverged_at = (np.array(part) for part in zip(*expected, strict=True))
    assert (diverged_at >= 0).any()
    assert (diverged_at < 0).any()
    np.testing.assert_array_equal(found.diverged_at.ravel(), diverged_at)
    # a run that escapes passes far through where S = ½(h + √(h² + ...)) cancels to 1e-7 of h
    np.testing.assert_allclose(found.min_sharpness.ravel(), low, rtol=1e-7)
    np.testing.assert_allclose(found.max_sharpness.ravel(), high, rtol=1e-12)


BASELINES: dict[str, Runner] = {
    "C": lambda job: c_sweep.build().run(job),
    "Numba": numba_sweep.run,
    "JAX": jax_sweep.run,
}


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_agree(baseline: str) -> None:
    """Protects the comparison: all programs run the same job, escapes and an incomplete block included."""
    job = sweep_job(19, 333)
    reference, nudged = numpy_sweep.run(job), numpy_sweep.run(job.nudged())
    try:
        found = BASELINES[baseline](job)
    except BaselineMissing as missing:
        pytest.skip(f"baseline missing: {missing}")
    assert (reference.diverged_at >= 0).any()
    agrees = agreement(found, reference, nudged)
    assert agrees.agreeing == 1.0
    assert agrees.chaotic < 0.05


def test_c_baseline_refuses_a_drift_its_escape_test_does_not_cover() -> None:
    """Protects against a wrong step of escape: z can rise again when progressive_sharpening is above 0."""
    job = replace(sweep_job(2, 10), progressive_sharpening=0.1)
    with pytest.raises(ValueError, match="progressive_sharpening = 0 only"):
        c_sweep.Build((), None).run(job)


def test_c_baseline_is_missing_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects 'not measured': without a compiler the line is missing, and no error."""
    monkeypatch.setattr(c_sweep.shutil, "which", lambda name: None)
    with pytest.raises(BaselineMissing, match="no C compiler"):
        c_sweep.build()


def test_jax_baseline_is_missing_without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects 'not measured' for JAX."""
    monkeypatch.setattr(jax_sweep, "find_spec", lambda name: None)
    with pytest.raises(BaselineMissing, match="JAX is not installed"):
        jax_sweep.run(sweep_job(2, 2))


def test_hand_written_product_kernel() -> None:
    """Protects the kernel that generated ones are measured by: it equals NumPy with its eigensolver."""
    job = ProductJob(np.linspace(0.0, 0.99, 5), np.geomspace(1e-3, 0.3, 7), 203)
    found, lr = product_sweep.run(job), job.lr()
    low, high, diverged_at = np.empty(job.shape), np.empty(job.shape), np.full(job.shape, -1)
    for i, j in np.ndindex(job.shape):
        w, before = job.start()
        step = w - before
        seen = []
        for t in range(job.steps + 1):
            u, v = w
            seen.append(np.linalg.eigvalsh([[v * v, 2 * u * v - 1], [2 * u * v - 1, u * u]])[-1])
            if t == job.steps:
                break
            step = job.momentum[i] * step - lr[i, j] * (u * v - 1) * w[::-1]
            w = w + step
            if not np.abs(w).max() <= 1e6:
                diverged_at[i, j] = t + 1
                break
        low[i, j], high[i, j] = min(seen), max(seen)
    assert (diverged_at >= 0).any()
    np.testing.assert_array_equal(found.diverged_at, diverged_at)
    np.testing.assert_allclose(found.min_sharpness, low, rtol=1e-9)
    np.testing.assert_allclose(found.max_sharpness, high, rtol=1e-9)


def test_agreement_leaves_out_chaotic_cells_and_counts_the_others() -> None:
    """Protects the check before timing: a wrong regular cell counts, a chaotic one does not."""
    ones = np.ones((2, 10))
    never = np.full((2, 10), -1)
    reference = Extremes(ones, ones, never)
    moved = ones.copy()
    moved[0, 0] = 2.0
    wrong = Extremes(moved, ones, never)
    assert agreement(reference, reference, reference).holds
    assert agreement(wrong, reference, reference).agreeing == pytest.approx(0.95)
    assert agreement(wrong, reference, wrong).agreeing == 1.0
    assert agreement(wrong, reference, wrong).chaotic == pytest.approx(0.05)
    escaped = never.copy()
    escaped[0, 0] = 7
    assert not agreement(Extremes(ones, ones, escaped), reference, reference).holds
    everywhere = Extremes(ones + 1.0, ones, never)
    assert not agreement(reference, reference, everywhere).holds
