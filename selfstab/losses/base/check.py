"""A check of any loss against its contract, that names what fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfstab import validation
from selfstab.losses.base.check_point import CheckPoint, CheckResult
from selfstab.losses.base.checks import CHECKS
from selfstab.losses.base.loss import Loss


@dataclass(frozen=True)
class LossReport:
    """All checks of a loss, as a table when shown.

    Parameters
    ----------
    loss
        The loss's description.
    results
        One for each check, in order.
    """

    loss: str
    results: tuple[CheckResult, ...]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that fail."""
        return tuple(result for result in self.results if result.outcome == "fails")

    def __repr__(self) -> str:
        from tabulate import tabulate

        rows = [(result.name, result.outcome, result.detail) for result in self.results]
        return f"{self.loss}\n" + tabulate(
            rows, headers=["check", "outcome", "measured"], disable_numparse=True
        )


class LossError(ValueError):
    """A loss does not keep its contract; `report` has all checks."""

    def __init__(self, report: LossReport) -> None:
        self.report = report
        lines = [f"  {result.name}: {result.detail}" for result in report.failures]
        count = len(lines)
        super().__init__(
            f"loss must keep the contract of selfstab.Loss, got {report.loss}, which fails {count} of "
            f"{len(report.results)} checks:\n" + "\n".join(lines)
        )

    def __reduce__(self) -> Any:
        return type(self), (self.report,)


def check_loss(loss: Loss, at: Any = None) -> LossReport:
    """Test a loss of your own against the contract of :class:`Loss`, at one point.

    Derivatives are compared with central differences of the one below along random directions, at 23 steps. The error
    must fall with the square of the step, down to rounding. A wrong derivative leaves an error of order 0. Shapes,
    finiteness, symmetry, purity, the sharpness, initial weights, `replace`, pickling and messages are tested, too.

    Parameters
    ----------
    loss
        The loss.
    at
        Where to test it, shape (dimension,); a point of no symmetry says most. By default the initial weights of
        seed 0, each moved by a normal number.

    Returns
    -------
    LossReport
        What each check measured.

    Raises
    ------
    TypeError
        If `loss` is no :class:`Loss`.
    LossError
        If a check fails, a ValueError that lists all that do: name, numbers, and what to do.

    Examples
    --------
    >>> import selfstab as ss
    >>> report = check_loss(ss.Product())
    >>> [result.detail for result in report.results if result.name.startswith("gradient is")]
    ['order 2.00, off by ...']
    >>> class Wrong(ss.Product):
    ...     def gradient_at(self, w):
    ...         return 1.001 * super().gradient_at(w)
    >>> check_loss(Wrong())
    Traceback (most recent call last):
    ...
    selfstab.losses.base.check.LossError: loss must keep the contract of selfstab.Loss, got ..., which fails 2 of ...
      gradient is the derivative of value: order ...
    """
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a selfstab.Loss, got {validation.shown(loss)}")
    if at is not None:
        at = validation.floats("at", at, shape=(loss.dimension if isinstance(loss.dimension, int) else None,))
    point = CheckPoint(loss, at)
    results: dict[str, CheckResult] = {}
    for check in CHECKS:
        missing = [need for need in check.needs if results[need].outcome != "holds"]
        if missing:
            result = CheckResult(check.name, "not tried", f"needs: {', '.join(missing)}")
        else:
            result = check.result(point)
        results[check.name] = result
    report = LossReport(" ".join(str(loss.description).split()), tuple(results.values()))
    if report.failures:
        raise LossError(report)
    return report
