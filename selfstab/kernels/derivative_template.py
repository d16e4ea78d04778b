"""Source template of derivatives at many points: gradients, and Hessians by their lower triangles."""

from __future__ import annotations

from collections.abc import Sequence

from selfstab.kernels import elementary
from selfstab.kernels.writer import indented

Printed = tuple[Sequence[str], Sequence[str]]
"""Lines, and the texts of the results after them."""


def derivatives_source(
    weights: Sequence[str], parameters: Sequence[str], gradient: Printed, hessian: Printed, title: str
) -> str:
    """Return the module whose entries are ``gradients`` and ``hessians``.

    Parameters
    ----------
    weights, parameters
        Their names in the formulas.
    gradient
        Its components.
    hessian
        The lower triangle's entries, row after row.
    title
        First line of the module.
    """
    triangle = [(i, j) for i in range(len(weights)) for j in range(i + 1)]
    entries = [
        _entry("gradients", weights, parameters, gradient[0], [
            f"out[k, {j}] = {text}" for j, text in enumerate(gradient[1])
        ]),
        _entry("hessians", weights, parameters, hessian[0], [
            line
            for (i, j), text in zip(triangle, hessian[1], strict=True)
            for line in (f"out[k, {i}, {j}] = {text}", *([f"out[k, {j}, {i}] = out[k, {i}, {j}]"] if i > j else []))
        ]),
    ]  # fmt: skip
    return f'"""{title}"""\n\n{elementary.definitions("".join(entries))}' + "\n\n".join(entries)


def _entry(
    name: str, weights: Sequence[str], parameters: Sequence[str], lines: Sequence[str], ends: Sequence[str]
) -> str:
    return f'''\
@entry
def {name}(points, parameters, out):
    """Put the {name} at rows of `points` into rows of `out`."""
{indented([f"{p} = parameters[{k}]" for k, p in enumerate(parameters)], 1)}\
    for k in range(points.shape[0]):
{indented([f"{w} = points[k, {j}]" for j, w in enumerate(weights)], 2)}\
{indented([*lines, *ends], 2)}\
'''
