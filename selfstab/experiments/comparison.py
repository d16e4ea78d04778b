"""Gradient descent and heavy ball at the same threshold: one setting, its runs over seeds, and how they end.

Four traps are avoided. Each step's gradient carries seeded noise. Without noise, a run can converge before the warmup
brings the threshold down to its sharpness. It then stays where it is, since no oscillation is left that could grow.
The runs are chaotic, so that windows and seeds are compared, not digits. Equal steps are not equal time. At the same
threshold heavy ball moves (1 + β)/(1 − β) times as far in a step. So gradient descent runs twice: for as many steps,
and for as much effective time Σ η_t/(1 − β), with its warmup longer by the same factor. The sharpness oscillates. So
three numbers are given: its mean in the last quarter, its least value after it passed the threshold, and its last.
Records are an odd number of steps apart, so that they see both sides of an oscillation of period two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from multiprocessing import process
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from selfstab import former_names, theory, validation
from selfstab.eigen.blas import one_blas_thread
from selfstab.experiments.setting import METHODS, Setting, at_rest, effective_times
from selfstab.experiments.tasks import SCORES, Task, Trial, as_task
from selfstab.losses.base.fingerprint import hash_of
from selfstab.losses.base.loss import Loss
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.runs.simulate import simulate
from selfstab.runs.together import simulate_together
from selfstab.runs.variables import KEEP, OF_EVERY_RUN
from selfstab.sweeps.runners import pool
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray

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


def _result(trial: Trial, job: Job, run: xarray.Dataset) -> dict[str, Any]:
    """Return the records and the numbers of a job's run on its trial."""
    optimizer, steps, _ = job.plan
    weights, step = run["weights"].values, run["step"].values
    records = {
        "step": step,
        "effective_time": effective_times(optimizer, steps)[step],
        "lr": run["lr"].values,
    }
    records |= {name: run[name].values for name in ("loss", "sharpness", "max_stable_sharpness")}
    if optimizer.preconditions:
        # The one that its threshold is of.
        records |= {
            "sharpness": run["preconditioned_sharpness"].values,
            "hessian_sharpness": run["sharpness"].values,
        }
    with np.errstate(over="ignore", invalid="ignore"):
        records |= trial.scores(weights)
    numbers = _numbers(records, steps, int(run["diverged_at"]))
    # Theory predicts the onset of Polyak's heavy ball only.
    if np.isfinite(numbers["crossed_at"]) and isinstance(optimizer, HeavyBall) and not optimizer.lookahead:
        numbers |= _onset(trial, optimizer, records, weights, job.setting.noise)
    return {"records": records, "numbers": numbers, "versions": run.attrs["versions"]}


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
    """One run: a task's trial, trained as `setting` says by one of `METHODS`, or by an optimizer of this name."""

    task: Task
    setting: Setting
    method: str
    seed: int
    optimizer: Optimizer | None = None

    @property
    def plan(self) -> tuple[Optimizer, int, int]:
        """The optimizer with its schedule, its steps, and the steps between its records."""
        return self.setting.plan(self.method if self.optimizer is None else self.optimizer)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells a job from others; tasks and optimizers by identity, since one of the user's may have no hash."""
        return id(self.task), self.setting, self.method, self.seed, id(self.optimizer)

    @property
    def work(self) -> float:
        """Steps, about."""
        if self.optimizer is not None:
            return float(self.plan[1])
        return self.setting.steps * (self.setting.stretch if self.method == "gd_time" else 1.0)

    def run(self) -> dict[str, Any]:
        """Run it; return its records and numbers."""
        return run_batch([self])[0]


BATCH: Final = 12
"""Most runs that advance together: enough to share what a step costs, few enough to keep two processes at work."""

_KEPT: Final = ("loss", "sharpness", "weights")


def batches(jobs: Sequence[Job]) -> list[list[int]]:
    """Return places of jobs that advance together, the most work first: one task, seed, noise and optimizer but for lr.

    They depend on the jobs alone, whatever the number of processes.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for k, job in enumerate(jobs):
        optimizer = job.plan[0]
        rule = type(optimizer), tuple(optimizer.numbers.items()), repr(optimizer.flags)
        # By identity: a task may be of a class whose objects cannot be compared.
        alike.setdefault((id(job.task), job.seed, job.setting.noise, rule), []).append(k)
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
    """Run jobs of one seed, noise and optimizer, those of one loss together; return their records and numbers.

    A job's bits are those of its run alone.
    """
    with one_blas_thread():  # the bits of a product depend on their number
        trials = {scale: jobs[0].task.trial(jobs[0].seed, scale) for scale in {j.setting.scale for j in jobs}}
        out: list[dict[str, Any]] = [{}] * len(jobs)
        for places in _of_one_loss([trials[job.setting.scale].loss for job in jobs]):
            members = [jobs[k] for k in places]
            optimizers, steps, every = zip(*(job.plan for job in members), strict=True)
            loss = trials[members[0].setting.scale].loss
            starts = [trials[job.setting.scale].start for job in members]
            noise, seed = members[0].setting.noise, members[0].seed
            keep = _KEPT + (("preconditioned_sharpness",) if optimizers[0].preconditions else ())
            runs = (
                [simulate(loss, optimizers[0], starts[0], steps[0], every=every[0], keep=keep, noise=noise, seed=seed)]
                if len(members) == 1
                else simulate_together(
                    loss, optimizers, starts, steps, every=every, keep=keep, noise=noise, seed=seed)
            )  # fmt: skip
            for k, job, run in zip(places, members, runs, strict=True):
                out[k] = _result(trials[job.setting.scale], job, run)
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
    keys = [job.key for job in jobs]
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
    by_key = {job.key: result for job, result in zip(chain(*members), chain(*results), strict=True)}
    return [by_key[key] for key in keys]


def compare(
    task: Task | Loss,
    setting: Setting,
    *,
    optimizers: Mapping[str, Optimizer] | None = None,
    threads: int | None = None,
) -> xarray.Dataset:
    """Train a task by heavy ball, and by gradient descent at the same threshold for equal time and for equal steps.

    Or by several optimizers, each at the setting's threshold and for its heavy ball's effective time.

    Parameters
    ----------
    task
        A loss of yours, or a :class:`LossTask` of it and a loss of held-out data. Or a :class:`SparseRegression`,
        :class:`Digits` or :class:`MNIST`. Or a dataclass of yours with a method ``trial``.
    setting
        How it is trained.
    optimizers
        Linear optimizers, Adam or RMSProp by name, whose lr does not matter; by default the three of `METHODS`. Where
        an optimizer has a preconditioner, threshold and ``sharpness`` are of the preconditioned one, and
        ``hessian_sharpness`` is that of the Hessian.
    threads
        Number of processes, >= 1; by default one for each CPU. The bits do not depend on it.

    Returns
    -------
    xarray.Dataset
        Dimensions optimizer (phb, gd_time, gd_steps, or the names), seed, record. Along record, NaN after the last:
        ``sharpness``, ``loss``, ``test_loss``, and ``test_accuracy`` of networks, ``distance`` of the sparse
        regression; without seed ``step``, ``effective_time``, ``max_stable_sharpness``. For each optimizer and seed
        the numbers of `SUMMARIES`: ``mean_sharpness``, ``least_sharpness``, ``final_sharpness``, ``crossed_at``, ...
        Task, setting, optimizers and versions are in attrs. Theory's ``predicted_excess`` is of heavy ball only.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range; nothing has run then.
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
    >>> import selfstab as ss
    >>> several = {"gd": ss.HeavyBall(1.0), "qhm": ss.QuasiHyperbolic(1.0, momentum=0.9, nu=0.7)}
    >>> compare(task, setting, optimizers=several, threads=1).optimizer.values.tolist()
    ['gd', 'qhm']
    """
    task = as_task(task)
    methods = checked(task, setting, optimizers)
    jobs = [
        Job(task, setting, name, seed, optimizer)
        for name, optimizer in methods.items()
        for seed in setting.seeds
    ]
    results = run_all(jobs, threads)
    return former_names.with_old_names(_dataset(jobs, results), former_names.COMPARISON)


def checked(task: Any, setting: Any, optimizers: Any = None) -> dict[str, Optimizer | None]:
    """Return the optimizers by name, None for each of `METHODS`; raise unless these are what a comparison takes."""
    if not callable(getattr(task, "trial", None)):
        raise TypeError(
            f"task must be a loss or have a method trial(seed, scale), got {validation.shown(task)}"
        )
    if not isinstance(setting, Setting):
        raise TypeError(f"setting must be a Setting, got {validation.shown(setting)}")
    if optimizers is None:
        return dict.fromkeys(METHODS)
    if not isinstance(optimizers, Mapping) or not optimizers:
        raise TypeError(
            f"optimizers must map at least one name to an optimizer, got {validation.shown(optimizers)}"
        )
    for name, optimizer in optimizers.items():
        if not isinstance(name, str) or not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"optimizers must map names to optimizers such as HeavyBall(1.0), got {validation.shown(name)}: "
                f"{validation.shown(optimizer)}"
            )
        try:
            at_rest(optimizer).amplification()
        except NotImplementedError as error:
            raise ValueError(
                f"optimizers[{name!r}] must be linear, or Adam or RMSProp, which fixes its effective time, got "
                f"{validation.shown(optimizer)}"
            ) from error
    return dict(optimizers)


def _dataset(jobs: Sequence[Job], results: list[dict[str, Any]]) -> xarray.Dataset:
    """Return the dataset of jobs of one task and setting, seeds within methods."""
    import xarray

    task, setting = jobs[0].task, jobs[0].setting
    methods = jobs[:: len(setting.seeds)]
    shape = len(methods), len(setting.seeds)
    length = max(steps // every for _, steps, every in (job.plan for job in methods)) + 1
    data = xarray.Dataset(
        coords={
            "optimizer": np.array([job.method for job in methods], dtype=object),
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
        "effective_time": (
            "sum of lr/(1 - momentum)" if methods[0].optimizer is None else "sum of c0 lr",
            "1/sharpness",
        ),
        "max_stable_sharpness": OF_EVERY_RUN["max_stable_sharpness"][:2],
    }
    columns: dict[str, list[Array]] = {name: [] for name in along}
    for method in methods:
        optimizer, steps, every = method.plan
        step = np.arange(0, steps + 1, every)
        absent = np.full(length - step.size, np.nan)
        along_step = step, effective_times(optimizer, steps)[step], optimizer.thresholds(0, steps + 1)[step]
        for name, column in zip(columns, along_step, strict=True):
            columns[name].append(np.concatenate([column, absent]))
    for name, (long_name, units) in along.items():
        data[name] = (
            ("optimizer", "record"),
            np.array(columns[name]),
            {"long_name": long_name, "units": units},
        )
    assign_numbers(data, ("optimizer", "seed"), results, shape)
    data.attrs.update(described_by(task, setting, methods), versions=results[0]["versions"])
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


def described_by(task: Task, setting: Setting, methods: Iterable[Job] = ()) -> dict[str, str]:
    """Return task, setting and optimizers as attributes."""
    own = {job.method: repr(job.optimizer) for job in methods if job.optimizer is not None}
    out = {"task": repr(task), "setting": json.dumps(asdict(setting))}
    return out | ({"optimizers": json.dumps(own)} if own else {})
