"""Gradient descent and heavy ball at the same threshold: one setting, its runs over seeds, and how they end.

Four traps are avoided. Each step's gradient carries seeded noise: without any, a run that converges before warmup
brings the threshold down to its sharpness freezes there, with no oscillation left to grow. The runs are chaotic, so
that windows and seeds are compared, not digits. Equal steps are not equal time: at the same threshold heavy ball moves
(1 + β)/(1 − β) times as far in a step, and gradient descent runs as many steps, and as much effective time
Σ η_t/(1 − β), its warmup stretched alike. Sharpness swings: its mean over the last quarter, its least value after it
passed the threshold, and its last are given, from records an odd number of steps apart, so that they see both sides of
an oscillation of period two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from multiprocessing import process
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from selfstab import former_names, theory, validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.experiments.tasks import SCORES, Task, Trial
from selfstab.losses.base.fingerprint import hash_of
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.schedules import LinearWarmup
from selfstab.runs.simulate import simulate
from selfstab.runs.together import simulate_together
from selfstab.runs.variables import KEEP, OF_EVERY_RUN
from selfstab.sweeps.runners import pool
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

METHODS: Final = ("phb", "gd_time", "gd_steps")
"""Heavy ball; gradient descent for as much effective time; gradient descent for as many steps."""


@dataclass(frozen=True)
class Setting:
    """How a task is trained; of both methods, what is not said to be heavy ball's.

    Parameters
    ----------
    threshold
        S* > 0 after the warmup; lr = 2(1 + β)/S*.
    momentum
        β in (0, 1) of heavy ball.
    warmup
        Heavy ball's steps of linear warmup from lr 0, >= 0.
    steps
        Heavy ball's steps, >= 1; rounded up to whole records.
    scale
        Factor of the initial weights, > 0.
    records
        Records of each run after the start, >= 4, if `steps` allow an odd number of steps between them.
    noise
        Standard deviation of the gradient's noise.
    seeds
        Seeds of the trials, and of their noise.
    """

    threshold: float
    momentum: float
    warmup: int
    steps: int
    scale: float = 1.0
    records: int = 100
    noise: float = 1e-7
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        validation.real("threshold", self.threshold, above=0)
        validation.real("momentum", self.momentum, above=0, below=1)
        validation.integer("warmup", self.warmup, at_least=0)
        validation.integer("steps", self.steps, at_least=1)
        validation.real("scale", self.scale, above=0)
        validation.integer("records", self.records, at_least=4)
        validation.real("noise", self.noise, at_least=0)
        if not isinstance(self.seeds, tuple) or not self.seeds:
            raise ValueError(
                f"seeds must be a tuple of at least one integer, got {validation.shown(self.seeds)}"
            )
        for seed in self.seeds:
            validation.integer("seeds", seed, at_least=0)

    @property
    def stretch(self) -> float:
        """(1 + β)/(1 − β), gradient descent's steps in the effective time of one of heavy ball's."""
        return (1.0 + self.momentum) / (1.0 - self.momentum)

    @property
    def every(self) -> int:
        """Heavy ball's steps between records, odd."""
        return max(self.steps // self.records, 1) | 1

    def plan(self, method: str) -> tuple[HeavyBall, int, int]:
        """Return a method's optimizer, its steps, and the steps between its records."""
        momentum = self.momentum if method == "phb" else 0.0
        stretch = self.stretch if method == "gd_time" else 1.0
        # Odd, and nearest to the effective time of heavy ball's.
        every = 2 * round((stretch * self.every - 1.0) / 2.0) + 1
        records = -(-self.steps // self.every)
        lr = HeavyBall(1.0, momentum).at_excess(self.threshold)
        warmup = round(stretch * self.warmup)
        return HeavyBall(LinearWarmup(0.0, lr, warmup) if warmup else lr, momentum), records * every, every


SUMMARIES: Final = {
    "mean_sharpness": ("mean sharpness over the last quarter", "1/lr"),
    "least_sharpness": ("least sharpness after it passed S*", "1/lr"),
    "final_sharpness": ("sharpness at the last record", "1/lr"),
    "final_loss": ("mean loss over the last quarter", "loss"),
    **{
        f"final_{name}": (f"{words}, mean over the last quarter", unit)
        for name, (words, unit) in SCORES.items()
    },
    "crossed_at": ("step of the first record above S* (NaN: none)", "step"),
    "diverged_at": ("first step beyond the escape radius (NaN: none)", "step"),
    "ramp": ("rise of S/S* - 1 per step at the crossing", "1"),
    "peak_relative_excess": ("largest S/S* - 1 before the least sharpness", "1"),
    "predicted_excess": ("S/S* - 1 at which a catapult starts on this ramp, from the noise", "1"),
    "predicted_inertia": ("inertia number of the predicted excess", "1"),
}
"""Numbers of a run: long name and unit. Of a run that diverged all sharpnesses, losses and scores are NaN."""


def _result(trial: Trial, setting: Setting, method: str, run: xarray.Dataset) -> dict[str, Any]:
    """Return the records and the numbers of a method's run on a trial."""
    optimizer, steps, _ = setting.plan(method)
    weights, step = run["weights"].values, run["step"].values
    records = {
        "step": step,
        "effective_time": effective_times(optimizer, steps)[step],
        "lr": run["lr"].values,
    }
    records |= {name: run[name].values for name in ("loss", "sharpness", "max_stable_sharpness")}
    with np.errstate(over="ignore", invalid="ignore"):
        records |= trial.scores(weights)
    numbers = _numbers(records, steps, int(run["diverged_at"]))
    if np.isfinite(numbers["crossed_at"]):
        numbers |= _onset(trial, optimizer, records, weights, setting.noise)
    return {"records": records, "numbers": numbers, "versions": run.attrs["versions"]}


def effective_times(optimizer: HeavyBall, steps: int) -> Array:
    """Return Σ η/(1 − β) over the updates before each step from 0 to `steps`, shape (steps + 1,)."""
    rates = optimizer.schedule.values(0, steps)
    return np.concatenate([[0.0], np.cumsum(rates)]) / (1.0 - optimizer.momentum)


@dataclass(frozen=True)
class Ending:
    """What a run's sharpness comes to; it swings, so that one number does not say.

    Parameters
    ----------
    mean, final
        Mean over the last quarter of the steps, and at the last record.
    crossed
        Index of the first record above S*; None without one.
    least
        Index of the least sharpness from there on; None without.
    window
        Which records are in the last quarter.
    """

    mean: float
    final: float
    crossed: int | None
    least: int | None
    window: NDArray[np.bool_]

    @classmethod
    def of(cls, step: Array, sharpness: Array, threshold: Array, steps: int) -> Ending:
        """Return the ending of a run of so many steps from its records."""
        window = step >= 0.75 * steps
        above = np.flatnonzero(sharpness > threshold)
        crossed = int(above[0]) if above.size else None
        least = None if crossed is None else crossed + int(sharpness[crossed:].argmin())
        mean = float(sharpness[window].mean()) if window.any() else np.nan  # none: it diverged before
        return cls(mean, float(sharpness[-1]), crossed, least, window)


def _numbers(records: dict[str, Array], steps: int, diverged_at: int) -> dict[str, float]:
    numbers = dict.fromkeys(SUMMARIES, np.nan)
    sharpness = records["sharpness"]
    ending = Ending.of(records["step"], sharpness, records["max_stable_sharpness"], steps)
    if ending.crossed is not None:
        numbers["crossed_at"] = float(records["step"][ending.crossed])
    if diverged_at >= 0:
        return numbers | {"diverged_at": float(diverged_at)}
    numbers["mean_sharpness"], numbers["final_sharpness"] = ending.mean, ending.final
    for name in ("loss", *SCORES):
        if name in records:
            numbers[f"final_{name}"] = records[name][ending.window].mean()
    if ending.crossed is not None and ending.least is not None:
        numbers["least_sharpness"] = sharpness[ending.least]
        excess = sharpness / records["max_stable_sharpness"] - 1.0
        numbers["peak_relative_excess"] = excess[ending.crossed : ending.least + 1].max()
    return numbers


def _onset(
    trial: Trial, optimizer: HeavyBall, records: dict[str, Array], weights: Array, noise: float
) -> dict[str, float]:
    """Return the ramp at the first record above S*, and the excess and inertia number at which a catapult starts."""
    step, sharpness, threshold = (records[name] for name in ("step", "sharpness", "max_stable_sharpness"))
    excess = sharpness / threshold - 1.0
    k = int(np.argmax(excess > 0.0))
    if k == 0 or noise == 0.0 or not excess[k] > excess[k - 1] > -1.0:
        return {}
    ramp = float((excess[k] - excess[k - 1]) / (step[k] - step[k - 1]))
    _, top = trial.loss.sharpness(weights[k])
    slope = trial.loss.sharpness_gradient(weights[k])
    slope = slope - (top @ slope) * top
    swing = theory.crossing_amplitude(noise, float(records["lr"][k]), optimizer.momentum, ramp)
    onset = float(
        theory.warmup_onset(float(sharpness[k]), swing, optimizer.momentum, ramp, float(slope @ slope))
    )
    inertia = float(theory.inertia_number(onset, optimizer.momentum)) if np.isfinite(onset) else np.nan
    return {"ramp": ramp, "predicted_excess": onset, "predicted_inertia": inertia}


# -- many runs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One run: a task's trial, trained as `setting` says by one method."""

    task: Task
    setting: Setting
    method: str
    seed: int

    @property
    def work(self) -> float:
        """Steps, about."""
        return self.setting.steps * (self.setting.stretch if self.method == "gd_time" else 1.0)

    def run(self) -> dict[str, Any]:
        """Run it; return its records and numbers."""
        return run_batch([self])[0]


BATCH: Final = 12
"""Most runs that advance together: enough to share what a step costs, few enough to keep two processes at work."""

_KEPT: Final = ("loss", "sharpness", "weights")


def batches(jobs: Sequence[Job]) -> list[list[int]]:
    """Return places of jobs that advance together, the most work first: one task, seed, noise and momentum.

    They depend on the jobs alone, whatever the number of processes.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for k, job in enumerate(jobs):
        momentum = job.setting.plan(job.method)[0].momentum
        # By identity: a task may be of a class whose objects cannot be compared.
        alike.setdefault((id(job.task), job.seed, job.setting.noise, momentum), []).append(k)
    out: list[list[int]] = []
    for places in alike.values():
        batch: list[int] = []
        for k in sorted(places, key=lambda k: -jobs[k].work):
            # Runs of about one length: a step of a few costs nearly what one of all does.
            if not batch or len(batch) == BATCH or jobs[k].work < 0.4 * jobs[batch[0]].work:
                batch = []
                out.append(batch)
            batch.append(k)
    return sorted(out, key=lambda places: -sum(jobs[k].work for k in places))


def run_batch(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Run jobs of one seed, noise and momentum, those of one loss together; return their records and numbers.

    A job's bits are those of its run alone.
    """
    with one_blas_thread():  # the bits of a product depend on their number
        trials = {scale: jobs[0].task.trial(jobs[0].seed, scale) for scale in {j.setting.scale for j in jobs}}
        out: list[dict[str, Any]] = [{}] * len(jobs)
        for places in _of_one_loss([trials[job.setting.scale].loss for job in jobs]):
            members = [jobs[k] for k in places]
            plans = [job.setting.plan(job.method) for job in members]
            optimizers, steps, every = zip(*plans, strict=True)
            loss = trials[members[0].setting.scale].loss
            starts = [trials[job.setting.scale].start for job in members]
            noise, seed = members[0].setting.noise, members[0].seed
            runs = (
                [simulate(loss, optimizers[0], starts[0], steps[0], every=every[0], keep=_KEPT, noise=noise, seed=seed)]
                if len(members) == 1
                else simulate_together(
                    loss, optimizers, starts, steps, every=every, keep=_KEPT, noise=noise, seed=seed)
            )  # fmt: skip
            for k, job, run in zip(places, members, runs, strict=True):
                out[k] = _result(trials[job.setting.scale], job.setting, job.method, run)
    return out


def _of_one_loss(losses: Sequence[Loss]) -> list[list[int]]:
    """Return places of losses that are the same; one that has a kernel, or cannot be told from others, is alone."""
    same: dict[Any, list[int]] = {}
    texts: dict[int, str | None] = {}
    for k, loss in enumerate(losses):
        if id(loss) not in texts:
            try:
                texts[id(loss)] = None if loss.kernel is not None else hash_of(loss)
            except TypeError:
                texts[id(loss)] = None
        text = texts[id(loss)]
        same.setdefault(k if text is None else text, []).append(k)
    return list(same.values())


def run_all(jobs: Sequence[Job], threads: int | None) -> list[dict[str, Any]]:
    """Return the jobs' results in order: of batches one at a time here, or in as many processes, to the same bits.

    A job that occurs twice is run once.
    """
    threads = pool.checked_threads(threads, progress=False)
    # Tasks by identity: one of a class of the user's own may have no hash.
    keys = [(id(job.task), job.setting, job.method, job.seed) for job in jobs]
    different = list(dict(zip(keys, jobs, strict=True)).values())
    together = batches(different)
    members = [[different[k] for k in places] for places in together]
    # A daemonic process, such as a worker of multiprocessing.Pool or of Dask, may start no others.
    if threads == 1 or len(together) == 1 or process.current_process().daemon:
        results = [run_batch(batch) for batch in members]
    else:
        from loky import ProcessPoolExecutor

        with ProcessPoolExecutor(min(threads, len(together))) as workers:
            results = [future.result() for future in [workers.submit(run_batch, batch) for batch in members]]
    by_key = {
        (id(job.task), job.setting, job.method, job.seed): result
        for job, result in zip(chain(*members), chain(*results), strict=True)
    }
    return [by_key[key] for key in keys]


def compare(task: Task, setting: Setting, *, threads: int | None = None) -> xarray.Dataset:
    """Train a task by heavy ball, and by gradient descent at the same threshold for equal time and for equal steps.

    Parameters
    ----------
    task
        A :class:`SparseRegression`, :class:`Digits`, :class:`MNIST`, or a dataclass of yours with a method ``trial``.
    setting
        How it is trained.
    threads
        Number of processes, >= 1; by default one for each CPU. The bits do not depend on it.

    Returns
    -------
    xarray.Dataset
        Dimensions optimizer (phb, gd_time, gd_steps), seed, record. Along record, NaN after a divergence:
        ``sharpness``, ``loss``, ``test_loss``, and ``test_accuracy`` of networks, ``distance`` of the sparse
        regression; without seed ``step``, ``effective_time``, ``max_stable_sharpness``. For each optimizer and seed
        the numbers of `SUMMARIES`: ``mean_sharpness``, ``least_sharpness``, ``final_sharpness``, ``crossed_at``, ...
        Task, setting and versions are in attrs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.
    ImportError
        If the task's data set is missing.

    Examples
    --------
    >>> from selfstab.experiments import Setting, SparseRegression
    >>> task = SparseRegression(samples=6, features=8, nonzeros=2, held_out=20)
    >>> setting = Setting(threshold=3.0, momentum=0.5, warmup=20, steps=40, scale=0.3, records=8, seeds=(0,))
    >>> data = compare(task, setting, threads=1)
    >>> dict(data.sizes)
    {'optimizer': 3, 'seed': 1, 'record': 9}
    """
    checked(task, setting)
    jobs = [Job(task, setting, method, seed) for method in METHODS for seed in setting.seeds]
    results = run_all(jobs, threads)
    return former_names.with_old_names(_dataset(task, setting, results), former_names.COMPARISON)


def checked(task: Any, setting: Any) -> None:
    """Raise unless these are a task and a setting."""
    if not callable(getattr(task, "trial", None)):
        raise TypeError(f"task must have a method trial(seed, scale), got {validation.shown(task)}")
    if not isinstance(setting, Setting):
        raise TypeError(f"setting must be a Setting, got {validation.shown(setting)}")


def _dataset(task: Task, setting: Setting, results: list[dict[str, Any]]) -> xarray.Dataset:
    import xarray

    shape = len(METHODS), len(setting.seeds)
    length = -(-setting.steps // setting.every) + 1
    data = xarray.Dataset(
        coords={
            "optimizer": np.array(METHODS, dtype=object),
            "seed": list(setting.seeds),
            "record": np.arange(length),
        }
    )
    described = {name: KEEP[name][:2] for name in ("loss", "sharpness")} | SCORES
    for name, (long_name, units) in described.items():
        if name in results[0]["records"]:
            values = np.full((*shape, length), np.nan)
            for row, out in zip(values.reshape(-1, length), results, strict=True):
                row[: len(out["records"][name])] = out["records"][name]
            data[name] = (("optimizer", "seed", "record"), values, {"long_name": long_name, "units": units})
    along = {
        "step": ("number of updates", "1"),
        "effective_time": ("sum of lr/(1 - momentum)", "1/sharpness"),
        "max_stable_sharpness": OF_EVERY_RUN["max_stable_sharpness"][:2],
    }
    columns: dict[str, list[Array]] = {name: [] for name in along}
    for method in METHODS:
        optimizer, steps, every = setting.plan(method)
        step = np.arange(0, steps + 1, every)
        columns["step"].append(step.astype(np.float64))
        columns["effective_time"].append(effective_times(optimizer, steps)[step])
        columns["max_stable_sharpness"].append(optimizer.thresholds(0, steps + 1)[step])
    for name, (long_name, units) in along.items():
        data[name] = (
            ("optimizer", "record"),
            np.array(columns[name]),
            {"long_name": long_name, "units": units},
        )
    assign_numbers(data, ("optimizer", "seed"), results, shape)
    data.attrs.update(described_by(task, setting), versions=results[0]["versions"])
    return data


def assign_numbers(
    data: xarray.Dataset, dims: tuple[str, ...], results: Iterable[dict[str, Any]], shape: tuple[int, ...]
) -> None:
    """Add the runs' numbers that any run has."""
    rows = [out["numbers"] for out in results]
    for name, (long_name, units) in SUMMARIES.items():
        values = np.array([row[name] for row in rows], dtype=np.float64).reshape(shape)
        score = name.removeprefix("final_")
        if name == f"final_{score}" and score in SCORES and np.isnan(values).all():
            continue
        data[name] = (dims, values, {"long_name": long_name, "units": units})


def described_by(task: Task, setting: Setting) -> dict[str, str]:
    """Return task and setting as attributes."""
    return {"task": repr(task), "setting": json.dumps(asdict(setting))}
