"""The sharpness of Hessians whose squares are no numbers: what a loss brings for it, and the lines that use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Careful:
    """What a loss has beside its formula of the sharpness, for Hessians whose squares are no numbers.

    Parameters
    ----------
    in_range
        Text of the test, behind the lines of the sharpness, whether these lose nothing; empty where they never do.
    call
        Text of the call that computes the sharpness of any Hessian.
    smooth
        Whether the Hessian is finite and changes little within CHUNK steps of a run that has not diverged, as of a
        polynomial: the test is then made once in CHUNK steps.
    """

    in_range: str
    call: str
    smooth: bool


def careful_lines(careful: Careful | None, top: str) -> list[str]:
    """Return the lines, behind those of the sharpness, that compute it anew where they have lost digits."""
    if careful is None or not careful.call:
        return []
    return [f"if not ({careful.in_range}):", f"    {top} = {careful.call}"]
