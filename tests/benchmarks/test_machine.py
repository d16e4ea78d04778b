"""What a run says of its machine: the width of its vectors, and whether others kept it busy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from llvmlite import binding

from benchmarks import comparisons, harness, machine
from benchmarks.harness import Case, Row, Target
from benchmarks.job import BaselineMissing


@pytest.mark.parametrize(
    ("features", "vectors"),
    [
        ({"sse2": True, "avx": True, "avx2": True, "avx512f": True}, ("avx512f", 512)),
        ({"sse2": True, "avx": True, "avx2": True, "avx512f": False}, ("avx2", 256)),
        ({"sse2": True, "avx": False}, ("sse2", 128)),
        ({"neon": True, "crc": True}, ("neon", 128)),
        ({"avx512fp16": False}, ("unknown", None)),
        ({}, ("unknown", None)),
    ],
)
def test_the_widest_vectors_count(
    features: dict[str, bool], vectors: tuple[str, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the width: an instruction set that LLVM names and the processor lacks does not count."""
    assert machine.widest_vectors(features) == vectors
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    about = machine.description()
    assert (about["vector_instructions"], about["vector_bits"]) == vectors
    width = "unknown width" if vectors[1] is None else f"{vectors[1]}-bit vectors"
    assert width in machine.processor_line(about)


def test_a_processor_is_told_by_family_and_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects what tells two processors of one name apart: the first core's family and model, on Linux."""
    information = tmp_path / "cpuinfo"
    information.write_text(
        "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t: a\n\nmodel\t\t: 9\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(machine, "Path", lambda _: information)
    assert machine.description()["processor"] == "AMD EPYC (family 26, model 2)"
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "none")
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    assert machine.description()["processor"] == "arm"


def test_every_run_says_what_it_ran_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a reader of numbers: processor, vectors and quiet or not are printed and are in the JSON."""

    def fine(one: Case) -> Row:
        return harness.judged(one.name, one.unit, [(3.0, 2.0)], one.target)

    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    path = tmp_path / "bench.json"
    comparisons.run(False, path, [Case("a line", "s", Target(1.0), fine)])
    printed = capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    assert machine.processor_line(document["machine"]) in printed
    assert machine.load_line(document["load"]) in printed
    assert document["machine"]["vector_bits"] == machine.widest_vectors(binding.get_host_cpu_features())[1]
    assert document["load"]["quiet"] is not document["load"]["loaded"]


def test_without_a_compiler_the_machine_is_still_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a run without C: its other lines need their versions."""

    def none() -> str:
        raise BaselineMissing("no C compiler")

    monkeypatch.setattr(machine, "compiler_version", none)
    assert machine.versions_line(machine.description()).endswith("C compiler none")


def test_a_load_that_nothing_tells_is_not_called_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects systems without /proc/stat and load average: unknown is neither quiet nor loaded."""
    monkeypatch.setattr(machine, "_busy_seconds", lambda: None)
    monkeypatch.delattr(machine.os, "getloadavg", raising=False)
    report = machine.Load(wait=0.0).report()
    assert (report["quiet"], report["loaded"]) == (False, False)
    assert machine.load_line(report) == "not known whether the machine was quiet"


def test_load_says_when_others_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the warning: others' time is the machine's busy time less our own."""

    def report(others: float, own: float) -> dict[str, object]:
        clock, busy = iter([10.0, 20.0]), iter([100.0, 100.0, 100.0 + others + own])
        ours = iter([5.0, 5.0 + own])
        monkeypatch.setattr(machine, "_busy_seconds", lambda: next(busy))
        monkeypatch.setattr(machine, "_own_seconds", lambda: next(ours))
        monkeypatch.setattr(machine, "_machine_cores", lambda: 2)
        monkeypatch.setattr(machine.time, "monotonic", lambda: next(clock))
        return machine.Load(wait=0.01).report()

    quiet, loaded = report(others=0.2, own=18.0), report(others=4.0, own=16.0)
    assert quiet["others_during"] == pytest.approx(0.01)
    assert (quiet["loaded"], quiet["quiet"]) == (False, True)
    assert loaded["others_during"] == pytest.approx(0.2)
    assert (loaded["loaded"], loaded["quiet"]) == (True, False)
    assert machine.load_line(quiet).startswith("quiet machine")
    assert machine.load_line(loaded).startswith("LOADED MACHINE")
