"""What a store costs: a sweep with one against the same sweep in memory, and how soon a finished one is open again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import selfstab as ss
from selfstab.kernels.measures import MEASURES
from selfstab.sweeps.plan.blocks import LARGEST_BLOCK

from .harness import PAIRS, Case, Row, Target, interleaved, judged, seconds

_TWO = ("min_sharpness", "max_sharpness")
_NINE = tuple(name for name in MEASURES if name != "max_loss" and "preconditioned" not in name)
_SECONDS = 5.0


def cases(quick: bool) -> list[Case]:
    """Return the lines on what writing costs, with few measures and many, and on opening a finished store."""
    steps, blocks = (16, 1) if quick else (2000, 32)
    cells = 10**4 if quick else 10**7
    return [
        *(
            _overhead(measures, bound, steps, blocks, quick)
            for measures, bound in ((_TWO, 1.1), (_NINE, 1.25))
        ),
        _opened(cells, quick),
    ]


def _overhead(measures: tuple[str, ...], bound: float, steps: int, blocks: int, quick: bool) -> Case:
    rows = 512

    def measure(case: Case) -> Row:
        with _folder() as folder:
            numbers = iter(range(10**6))

            def with_store() -> float:
                store = folder / f"{next(numbers)}.zarr"
                try:
                    return seconds(
                        lambda: _sweep(rows, blocks * LARGEST_BLOCK // rows, steps, measures, store)
                    )
                finally:
                    shutil.rmtree(store, ignore_errors=True)

            def in_memory() -> float:
                return seconds(lambda: _sweep(rows, blocks * LARGEST_BLOCK // rows, steps, measures))

            with_store(), in_memory()  # what is loaded and compiled once
            samples = interleaved(with_store, in_memory, 1 if quick else PAIRS)
        note = f"{blocks} blocks of {LARGEST_BLOCK} cells x {steps} steps, making the store and opening it included"
        return judged(case.name, case.unit, samples, case.target, judge=not quick, note=note)

    return Case(
        f"sweep with a store / in memory, {len(measures)} measures",
        "s",
        Target(bound, at_least=False),
        measure,
    )


def _opened(cells: int, quick: bool) -> Case:
    rows = 1000

    def measure(case: Case) -> Row:
        with _folder() as folder:
            store = folder / "a.zarr"
            _sweep(rows, cells // rows, 16, _NINE, store)

            def again() -> float:
                return seconds(lambda: _sweep(rows, cells // rows, 16, _NINE, store))

            samples = [(again(), _SECONDS) for _ in range(1 if quick else PAIRS)]
            size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        note = f"{len(_NINE)} measures, {size / 1e6:.0f} MB, every checksum compared; in the same process, files cached"
        return judged(case.name, case.unit, samples, case.target, judge=not quick, note=note)

    name = f"resume of a finished store of {cells:.0e} cells / {_SECONDS:g} s"
    return Case(name, "s", Target(1.0, at_least=False), measure)


def _sweep(rows: int, columns: int, steps: int, measures: tuple[str, ...], store: Path | None = None) -> Any:
    return ss.sweep(
        ss.CubicTaylor(curvature=1.0), ss.HeavyBall(lr=1.0),
        {"momentum": np.linspace(0.0, 0.99, columns), "excess": np.geomspace(1e-3, 0.3, rows)},
        start=[1e-3, 0.0], previous=[-1e-3, 0.0], steps=steps, measure=measures, store=store, progress=False,
    )  # fmt: skip


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
