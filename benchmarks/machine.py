"""The machine that measurements are taken on: processor, width of its vectors, versions, and how busy it is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from .c_sweep import compiler_version
from .job import BaselineMissing, cores

BUSY: Final = 0.1
"""The share of the machine's time that other processes may take before it counts as loaded."""

PACKAGES = ("selfstab", "numpy", "scipy", "sympy", "numba", "llvmlite", "xarray", "jax", "jaxlib", "torch")

VECTORS = (("avx512f", 512), ("avx2", 256), ("avx", 256), ("sse2", 128), ("neon", 128), ("vsx", 128))
"""Instruction sets by the names LLVM gives them, widest first, and the bits of their vectors."""


class Load:
    """How busy other processes keep the machine, before the run and during it."""

    def __init__(self, wait: float = 1.0) -> None:
        begin = _busy_seconds()
        time.sleep(wait)
        self._begin, self._own, self._clock = _busy_seconds(), _own_seconds(), time.monotonic()
        self._before = None
        if begin is not None and self._begin is not None:
            self._before = max(0.0, (self._begin - begin) / wait / _machine_cores())
        self._per_core = os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else None

    def report(self) -> dict[str, Any]:
        """Return shares of the machine's time (None where it cannot be told), and whether it was loaded or quiet.

        Without the system's own count of busy time the load average before the run decides.
        """
        during = None
        now = _busy_seconds()
        if now is not None and self._begin is not None:
            others = (now - self._begin) - (_own_seconds() - self._own)
            during = max(0.0, others / (time.monotonic() - self._clock) / _machine_cores())
        known = [share for share in (self._before, during) if share is not None]
        if not known and self._per_core is not None:
            known = [self._per_core]
        return {
            "others_before": self._before,
            "others_during": during,
            "load_average_per_core_before": self._per_core,
            "loaded": max(known, default=0.0) > BUSY,
            "quiet": bool(known) and max(known) <= BUSY,
        }


def _machine_cores() -> int:
    return os.cpu_count() or 1


def _busy_seconds() -> float | None:
    """Return the seconds all cores together have been busy since boot, where /proc/stat tells."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def load_line(load: Mapping[str, Any]) -> str:
    """Return one line on the load for people."""

    def share(value: float | None) -> str:
        return "unknown" if value is None else f"{100 * value:.0f}%"

    before, during = share(load["others_before"]), share(load["others_during"])
    state = "LOADED MACHINE, the ratios are not to be relied on" if load["loaded"] else "quiet machine"
    if not load["loaded"] and not load["quiet"]:
        state = "not known whether the machine was quiet"
    if load["others_before"] is None and load["others_during"] is None:
        return state
    return f"{state} (other processes: {before} of the machine before, {during} during)"


def description() -> dict[str, Any]:
    """Return the processor, its vectors, the system and the versions of what was measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    try:
        compiler = compiler_version()
    except BaselineMissing:
        compiler = "none"
    instructions, bits = widest_vectors(_features())
    return {
        "processor": _processor(),
        "cores": cores(),
        "vector_bits": bits,
        "vector_instructions": instructions,
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiler": compiler,
        "versions": versions,
    }


def widest_vectors(features: Mapping[str, bool]) -> tuple[str, int | None]:
    """Return the widest set of vector instructions among a processor's features, and its bits.

    Parameters
    ----------
    features
        Whether the processor has an instruction set, by the names LLVM gives them.

    Returns
    -------
    name, bits
        "unknown" and None if it has none of VECTORS.
    """
    for name, bits in VECTORS:
        if features.get(name, False):
            return name, bits
    return "unknown", None


def _features() -> Mapping[str, bool]:
    from llvmlite import binding

    features: Mapping[str, bool] = binding.get_host_cpu_features()
    return features


def processor_line(about: Mapping[str, Any]) -> str:
    """Return one line on the processor for people."""
    bits = about["vector_bits"]
    vectors = (
        "vectors of unknown width" if bits is None else f"{bits}-bit vectors ({about['vector_instructions']})"
    )
    return f"{about['processor']}, {about['cores']} {'core' if about['cores'] == 1 else 'cores'}, {vectors}"


def versions_line(about: Mapping[str, Any]) -> str:
    """Return one line on the versions for people."""
    versions = [f"{name} {number}" for name, number in about["versions"].items() if number != "not installed"]
    return ", ".join([f"Python {about['python']}", *versions, f"C compiler {about['compiler']}"])


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if information.exists():
        for line in information.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return f"{name} (family {numbers[0]}, model {numbers[1]})" if len(numbers) == 2 else name
