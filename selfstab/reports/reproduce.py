"""The main job: every figure and the table of predictions, in one folder with a page to read."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import selfstab
from selfstab import machine, provenance, validation
from selfstab.files import writing as files
from selfstab.reports import pages
from selfstab.reports import parts as report_parts
from selfstab.reports.companions import companion

if TYPE_CHECKING:
    import xarray

PREDICTIONS: Final = "predictions"
"""What the table of predictions is called among the parts of a report."""

PARTS: Final = "parts"
"""The folder of a report that keeps what is known of each finished part."""

_LIBRARIES: Final = ("numpy", "scipy", "sympy", "llvmlite", "numba", "xarray", "zarr", "matplotlib")


class CheckFailed(Exception):
    """The numbers a figure shows are not what theory says; the figure has been written."""


def titles() -> dict[str, str]:
    """Return the figures' titles by name, in the report's order."""
    return {name: companion(f"figures.{name}").TITLE for name in companion("figures").NAMES}


@dataclass
class FigurePart:
    """A figure of the report: its files, what its check verified, and what failed."""

    name: str
    title: str
    text: str
    lines: list[str] = field(default_factory=list)
    failure: str = ""
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reused: bool = False

    @property
    def picture(self) -> str:
        """The PNG's file name, or nothing if it was not drawn."""
        return next((f for f in self.files if f.endswith(".png")), "")


def _figure(name: str, folder: Path, quick: bool) -> FigurePart:
    """Return one figure, computed, saved, drawn and checked; an error is in its failure and not raised."""
    began = time.perf_counter()
    module = companion(f"figures.{name}")
    part = FigurePart(name, module.TITLE, (module.__doc__ or "").partition("\n")[2].strip())
    try:
        data = module.compute(quick)
        part.files.append(_save_data(data, folder, name))
        part.files += _save_figure(module.draw(data), folder, name)
        part.lines = module.check(data)
    except AssertionError as error:
        part.failure = f"Check failed: {error}"
    except Exception as error:  # one broken figure must not keep the others from the page
        part.failure = f"{type(error).__name__}: {error}"
    part.seconds = time.perf_counter() - began
    return part


def _save_figure(figure: Any, folder: Path, name: str) -> list[str]:
    from selfstab.plotting import style

    return [path.name for path in style.save(figure, folder, name)]


def _save_data(data: Mapping[str, xarray.Dataset], folder: Path, name: str) -> str:
    """Write a figure's datasets as the groups of one Zarr store."""
    import xarray

    path = folder / f"{name}.zarr"
    # Zarr has no specification for fixed-length strings, and warns of them.
    parts = {
        key: part.assign({n: v.astype(object) for n, v in part.variables.items() if v.dtype.kind == "U"})
        for key, part in data.items()
    }
    xarray.DataTree.from_dict(parts).to_zarr(path, mode="w", consolidated=False)
    return path.name


def make_figure(name: str, output: Path | str, quick: bool = False) -> Iterator[str]:
    """Make one figure: NAME.png, NAME.svg, NAME.pdf and its data NAME.zarr.

    Parameters
    ----------
    name
        A figure's name, see :func:`titles`.
    output
        The folder; it is made if missing.
    quick
        Coarser grids and fewer steps.

    Yields
    ------
    str
        The files written, then the numbers verified.

    Raises
    ------
    TypeError, ValueError
        If there is no such figure.
    CheckFailed
        After the files are written, if a number shown is not what theory says, or the figure could not be part.
    """
    name = validation.one_of("name", name, companion("figures").NAMES, listing="selfstab figure")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    part = _figure(name, folder, quick)
    yield from (str(folder / file) for file in part.files)
    yield from part.lines
    if part.failure:
        raise CheckFailed(f"{name}: {part.failure}")


# -- parts --------------------------------------------------------------------------------------------------------


def part_key(name: str, quick: bool) -> str:
    """Return what a part of the report stands on as a hash: the code, the versions of what it uses, and the settings.

    Parameters
    ----------
    name
        A figure, or "predictions".
    quick
        Whether grids are coarse.

    Returns
    -------
    str
        SHA-256 in hexadecimal. Any change of a source file of the package gives another for all parts, one of a
        figure's script for figures.
    """
    sources = sorted(Path(selfstab.__file__).parent.rglob("*.py"))
    if name != PREDICTIONS:
        beside = getattr(companion("figures"), "__file__", None)
        sources += sorted(Path(beside).parent.glob("*.py")) if beside else []
    return report_parts.key([name, str(quick and name != PREDICTIONS), json.dumps(_versions())], sources)


def _figure_part(folder: Path, name: str, quick: bool, make: bool) -> FigurePart | None:
    """Return a figure: the finished one, else a new one, or None if it is not to be part."""
    key = part_key(name, quick)
    saved = report_parts.recall(folder / PARTS, name, key)
    if saved is not None:
        try:
            return FigurePart(**saved | {"reused": True})
        except TypeError:  # saved by a version whose parts have other fields
            pass
    if not make:
        return None
    report_parts.forget(folder / PARTS, name)
    part = _figure(name, folder, quick)
    if not part.failure:
        report_parts.keep(folder / PARTS, name, key, asdict(part), part.files)
    return part


@dataclass
class _PredictionsPart:
    """The table of predictions: its rows, the exit code they ask for, and how long it took."""

    rows: list[dict[str, str]]
    code: int
    summary: str
    seconds: float = 0.0
    reused: bool = False


def _predictions_part(folder: Path, make: bool) -> _PredictionsPart | None:
    """Return the table of predictions, as :func:`_figure_part` does a figure."""
    key = part_key(PREDICTIONS, False)
    saved = report_parts.recall(folder / PARTS, PREDICTIONS, key)
    if saved is not None:
        try:
            return _PredictionsPart(**saved | {"reused": True})
        except TypeError:
            pass
    if not make:
        return None
    report_parts.forget(folder / PARTS, PREDICTIONS)
    began = time.perf_counter()
    part = _PredictionsPart(*_predictions())
    part.seconds = time.perf_counter() - began
    if part.code == 0:
        report_parts.keep(folder / PARTS, PREDICTIONS, key, asdict(part))
    return part


WIDE: Final = ("flatter_networks", "networks", "flatter")
"""Parts that divide their own runs among processes: each is made alone, before the others."""

LONGEST: Final = (
    "predictions",
    "digits",
    "edge_flow",
    "predicted",
    "digits_flows",
    "sharpness_gap",
    "minibatch_gap",
)
"""Parts that begin first where several are made at once: what begins last should be short."""

_MEMORY_OF_A_WORKER: Final = "2e9"
"""Bytes by which a worker may grow before it is replaced: parts keep what they have compiled."""


def _made(folder: Path, name: str, quick: bool) -> FigurePart | _PredictionsPart | None:
    """Return a part, the finished one or a new one."""
    return (
        _predictions_part(folder, make=True)
        if name == PREDICTIONS
        else _figure_part(folder, name, quick, make=True)
    )


def _all_made(
    folder: Path, parts: Sequence[str], quick: bool, processes: int
) -> Iterator[tuple[str, FigurePart | _PredictionsPart]]:
    """Yield each part with its name as it is finished: here in order, or in so many processes."""
    if processes == 1 or len(parts) == 1:
        for name in parts:
            part = _made(folder, name, quick)
            assert part is not None
            yield name, part
        return
    for name in (wide := [name for name in WIDE if name in parts]):
        yield _made_alone(folder, name, quick)
    first = [name for name in LONGEST if name in parts]
    left = [*first, *(name for name in parts if name not in first and name not in wide)]
    # Together they have as many threads as there are processors: more cost time.
    threads = max(machine.available_threads() // processes, 1)
    for name, part in _made_in_processes(folder, left, quick, processes, threads):
        left.remove(name)
        yield name, part
    # A process ended, and took those under way with it: each has one of its own now, and the guilty one is named.
    for name in left:
        yield _made_alone(folder, name, quick)


def _made_alone(folder: Path, name: str, quick: bool) -> tuple[str, FigurePart | _PredictionsPart]:
    """Return a part with its name, of a process that has all processors; of one that ends, what failed."""
    parts = _made_in_processes(folder, [name], quick, 1, machine.available_threads())
    return next(parts, (name, _lost(name)))


def _made_in_processes(
    folder: Path, parts: Sequence[str], quick: bool, processes: int, threads: int
) -> Iterator[tuple[str, FigurePart | _PredictionsPart]]:
    """Yield parts as they are finished, until all are or a process ends before its part is made.

    Each process uses at most so many threads.
    """
    from concurrent.futures import BrokenExecutor, as_completed

    from loky import ProcessPoolExecutor

    if not parts:
        return
    settings = {
        "LOKY_MAX_CPU_COUNT": str(threads),
        "LOKY_MAX_MEMORY_LEAK_SIZE": _MEMORY_OF_A_WORKER,
        # More threads of BLAS than processors wait for each other, and take a processor's time for it.
        "OPENBLAS_NUM_THREADS": str(threads),
    }
    workers = ProcessPoolExecutor(min(processes, len(parts)), env=settings)
    try:
        futures = {workers.submit(_made, folder, name, quick): name for name in parts}
        for future in as_completed(futures):
            try:
                part = future.result()
            except BrokenExecutor:
                continue
            assert part is not None
            yield futures[future], part
    except BaseException:
        workers.shutdown(kill_workers=True)
        raise
    workers.shutdown()


def _lost(name: str) -> FigurePart | _PredictionsPart:
    """Return the part whose process ended, as one that failed."""
    reason = "its process ended before it was made, perhaps for want of memory"
    if name == PREDICTIONS:
        return _PredictionsPart([], 3, f"not made: {reason}")
    module = companion(f"figures.{name}")
    about = (module.__doc__ or "").partition("\n")[2].strip()
    return FigurePart(name, module.TITLE, about, failure=reason)


def reproduce(
    output: Path | str,
    quick: bool = False,
    only: Sequence[str] | None = None,
    say: Callable[[str], Any] = print,
    *,
    fresh: bool = False,
    processes: int = 1,
) -> int:
    """Make every figure and the table of predictions, in a folder with the page index.html.

    Finished parts in the folder are reused, if they are of the same code, versions and settings, and their files are
    unchanged. What failed is made again. Interrupted, the call leaves a page of what is finished.

    Parameters
    ----------
    output
        The folder; it is made if missing, and files of the same names are replaced.
    quick
        Coarser grids and fewer steps.
    only
        Parts by name: figures, and "predictions" for the table. By default all. The page shows what else is finished
        in the folder, too.
    say
        Called with a line of progress for each part.
    fresh
        Whether to make finished parts again.
    processes
        How many parts are made at once, >= 1, each in a process of its own if more than one. The numbers do not
        depend on it; `say` is called in the order in which parts are finished.

    Returns
    -------
    int
        0 if all numbers hold, 1 if a figure or a prediction fails, 3 if none fails but a prediction could not run.
        Everything is written first, and the page shows what failed.

    Raises
    ------
    TypeError, ValueError
        If a part is not known, or processes is not an integer >= 1; nothing has run then.
    """
    processes = validation.integer("processes", processes, at_least=1)
    names = list(companion("figures").NAMES)
    parts = (
        [*names, PREDICTIONS]
        if only is None
        else list(validation.some_of("only", only, [*names, PREDICTIONS]))
    )
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if fresh:
        for name in parts:
            report_parts.forget(folder / PARTS, name)
    figures: dict[str, FigurePart] = {}
    table: _PredictionsPart | None = None
    codes: list[int] = []
    try:
        for name, part in _all_made(
            folder, [n for n in (*names, PREDICTIONS) if n in parts], quick, processes
        ):
            if isinstance(part, FigurePart):
                figures[name] = part
                codes.append(1 if part.failure else 0)
                say(f"{name}: {part.failure or 'done'} ({_time(part)})")
            else:
                table = part
                codes.append(part.code)
                say(f"{PREDICTIONS}: {part.summary} ({_time(part)})")
    finally:
        # After an interrupt, too: the page shows what is finished.
        for name in names:
            if name not in figures and (saved := _figure_part(folder, name, quick, make=False)):
                figures[name] = saved
        table = table or _predictions_part(folder, make=False)
        spent = f"{time.perf_counter() - began:.0f}"
        settings = {"quick": str(quick), "seconds": spent, **_versions()}
        finished = [figures[name] for name in names if name in figures]
        files.write_text(folder / "index.html", page(finished, table.rows if table else [], settings))
    code = 1 if 1 in codes else max(codes, default=0)
    say(f"{folder / 'index.html'}: {'all holds' if code == 0 else 'not all holds'} ({spent} s)")
    return code


def _time(part: FigurePart | _PredictionsPart) -> str:
    return f"finished before, {part.seconds:.1f} s" if part.reused else f"{part.seconds:.1f} s"


def _predictions() -> tuple[list[dict[str, str]], int, str]:
    """Return the table's rows as text, the exit code they ask for, and a line that counts verdicts."""
    from selfstab import verification

    try:
        data = verification.verify()
    except Exception as error:  # the figures' page must be written all the same
        row = dict.fromkeys(("prediction", "statement", "measured", "predicted", "error", "order"), "")
        reason = f"{type(error).__name__}: {error}"
        return [row | {"prediction": "verify", "verdict": "fails", "reason": reason}], 1, reason
    rows = []
    for k in range(data.sizes["prediction"]):
        row = {name: _as_text(data[name].values[k]) for name in ("prediction", *map(str, data.data_vars))}
        rows.append({"reason": "", "order": ""} | row)
    verdicts = [row["verdict"] for row in rows]
    summary = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    return rows, verification.exit_code(data), summary


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    number = float(value)
    return "" if math.isnan(number) else f"{number:.6g}"


def _versions() -> dict[str, str]:
    """Return what the report's numbers and pictures were made with."""
    return provenance.this_code() | provenance.libraries(*_LIBRARIES) | {"machine": platform.machine()}


def page(
    figures: Sequence[FigurePart], predictions: Sequence[Mapping[str, str]], settings: Mapping[str, str]
) -> str:
    """Return the report's HTML; it needs no network, and refers to files beside it.

    Parameters
    ----------
    figures
        The figures, finished or failed.
    predictions
        Rows of text with prediction, statement, measured, predicted, error, order, verdict and reason.
    settings
        What to list below, by name.

    Returns
    -------
    str
        One page.
    """
    failures = [f"{figure.name}: {figure.failure}" for figure in figures if figure.failure]
    failures += [
        f"{row['prediction']}: {row['verdict']}. {row['reason']}"
        for row in predictions
        if row["verdict"] != "holds"
    ]
    whole = [figure for figure in figures if not figure.failure]
    summary = {"figures whose numbers hold": f"{len(whole)} of {len(figures)}"}
    if predictions:
        hold = [row for row in predictions if row["verdict"] == "holds"]
        summary["predictions that hold"] = f"{len(hold)} of {len(predictions)}"
    summary |= {name: settings[name] for name in ("selfstab",) if name in settings}
    if "seconds" in settings:
        summary["time of this run"] = f"{float(settings['seconds']):.0f} s"
    return pages.filled(
        "reproduce.html", figures=figures, predictions=predictions, settings=settings, failures=failures,
        summary=summary,
    )  # fmt: skip
