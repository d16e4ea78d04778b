"""The sweep jobs in C: `c_sweep.c`, compiled on the spot, the fastest of several builds on this machine."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from .job import ESCAPE, BaselineMissing, Extremes, SweepJob, cores, sweep_job
from .product_sweep import ProductJob

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC")
LANES_AND_UNROLL = ((16, 1), (16, 2), (32, 1), (32, 2), (32, 4), (32, 8))
_COMPILERS = ("cc", "gcc", "clang")

# Idle threads of OpenMP (C, Numba) would spin on for some milliseconds, on a core that the next program needs. OpenMP
# reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@dataclass(frozen=True)
class Build:
    """One build of `c_sweep.c`, loaded; the loss is that of the jobs it can run."""

    flags: tuple[str, ...]
    loaded: ctypes.CDLL

    def run(self, job: SweepJob | ProductJob) -> Extremes:
        """Run the job on all cores."""
        if isinstance(job, ProductJob):
            parameters, (start, previous) = np.empty(0), job.start()
        elif job.progressive_sharpening != 0.0:
            raise ValueError("the C baseline's escape test holds for progressive_sharpening = 0 only")
        else:
            parameters = np.array([job.curvature, job.b, job.progressive_sharpening / job.b])
            start = np.array([job.x0, 0.0])
            previous = -start
        velocity = start - previous
        momentum = np.ascontiguousarray(np.broadcast_to(job.momentum[:, None], job.shape))
        lr = job.lr()
        low, high, diverged_at = np.empty(job.shape), np.empty(job.shape), np.empty(job.shape, np.int64)
        pointer = ctypes.c_void_p
        sweep = self.loaded.sweep
        sweep.restype = None
        sweep.argtypes = [
            ctypes.c_int64,
            ctypes.c_int,
            ctypes.c_int,
            *[pointer] * 5,
            ctypes.c_double,
            *[pointer] * 3,
        ]
        sweep(
            lr.size, job.steps, cores(), momentum.ctypes.data, lr.ctypes.data, parameters.ctypes.data,
            start.ctypes.data, velocity.ctypes.data, ESCAPE,
            low.ctypes.data, high.ctypes.data, diverged_at.ctypes.data,
        )  # fmt: skip
        return Extremes(low, high, diverged_at)


def compiler() -> str:
    """Return the path of the system's C compiler: $CC, else the first of cc, gcc and clang.

    Raises
    ------
    BaselineMissing
        If there is none.
    """
    for name in (os.environ.get("CC", ""), *_COMPILERS):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise BaselineMissing(f"no C compiler: none of $CC, {', '.join(_COMPILERS)} found")


def compiler_version() -> str:
    """Return the first line of the compiler's `--version`."""
    done = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def build(*flags: str, loss: str = "cubic") -> Build:
    """Compile and load `c_sweep.c` with `flags` after the common ones, for the loss of `c_{loss}.h`.

    Raises
    ------
    BaselineMissing
        If there is no C compiler, or it fails (for instance because it has no OpenMP).
    """
    source = Path(__file__).with_name("c_sweep.c")
    with tempfile.TemporaryDirectory() as folder:
        compiled, shared = str(Path(folder) / "c_sweep.o"), str(Path(folder) / "c_sweep.so")
        # Linked without -ffast-math: with it, some compilers make the whole process that loads the library
        # flush subnormal numbers to zero.
        _run(compiler(), *FLAGS, *flags, f'-DLOSS="c_{loss}.h"', "-c", str(source), "-o", compiled)
        _run(compiler(), "-shared", "-fopenmp", compiled, "-o", shared, "-lm")
        return Build((*FLAGS, *flags), ctypes.CDLL(shared))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise BaselineMissing(f"the C compiler failed: {lines[0] if lines else done.returncode}")


@cache
def fastest_build(loss: str = "cubic") -> Build:
    """Return the fastest of the builds with these lanes, unrollings and vector widths on a small job."""
    builds = [
        build(*width, f"-DLANES={lanes}", f"-DUNROLL={unroll}", loss=loss)
        for width, (lanes, unroll) in product(_vector_widths(), LANES_AND_UNROLL)
    ]
    trial: SweepJob | ProductJob = sweep_job(64, 2000)
    if loss == "product":
        trial = ProductJob(trial.momentum, trial.excess, trial.steps)
    seconds = dict.fromkeys(range(len(builds)), float("inf"))
    for _ in range(5):
        for k, one in enumerate(builds):
            begin = time.perf_counter()
            one.run(trial)
            seconds[k] = min(seconds[k], time.perf_counter() - begin)
    return builds[min(seconds, key=seconds.__getitem__)]


def _vector_widths() -> tuple[tuple[str, ...], ...]:
    if platform.machine() not in ("x86_64", "AMD64"):
        return ((),)
    wide = Path("/proc/cpuinfo")
    has_512 = wide.exists() and "avx512f" in wide.read_text()
    return tuple((f"-mprefer-vector-width={width}",) for width in ((256, 512) if has_512 else (256,)))


def run(job: SweepJob | ProductJob) -> Extremes:
    """Run the job with the fastest build.

    Raises
    ------
    BaselineMissing
        If there is no C compiler, or it fails.
    """
    return fastest_build("product" if isinstance(job, ProductJob) else "cubic").run(job)
