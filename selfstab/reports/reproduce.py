"""The main job: every figure and the table of predictions, in one folder with a page to read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfstab import machine, validation
from selfstab.files import writing as files
from selfstab.reports import pages
from selfstab.reports import parts as report_parts
from selfstab.reports.companions import companion
from selfstab.reports.figures import (
    PARTS,
    PREDICTIONS,
    FigurePart,
    figure_part,
    part_key,
    report_versions,
)

if TYPE_CHECKING:
    pass


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
        else figure_part(folder, name, quick, make=True)
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
            if name not in figures and (saved := figure_part(folder, name, quick, make=False)):
                figures[name] = saved
        table = table or _predictions_part(folder, make=False)
        spent = f"{time.perf_counter() - began:.0f}"
        settings = {"quick": str(quick), "seconds": spent, **report_versions()}
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
