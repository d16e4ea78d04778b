"""Types of parameters in the reference: from the annotations, in the words of numpydoc.

A docstring names a parameter and says what it means; its annotation says its type. Here both meet before numpydoc
reads the docstring: ``lr`` becomes ``lr : float or Schedule``. Annotations of arrays and of objects of other libraries
are ``Any``, because functions check and convert what they get. `PLAIN` and `WORDS` have the words for these.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLAIN: Mapping[str, str] = {
    "Array": "array",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "Client": "dask.distributed.Client",
    "Path": "pathlib.Path",
    "Form": "str",
    "Target": "str",
    "npt.NDArray[np.complex128]": "complex array",
}
"""Names of types that the reference writes otherwise."""
WORDS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "at",
            "curvatures",
            "data",
            "inputs",
            "matrix",
            "minimum",
            "outputs",
            "preconditioner",
            "previous",
            "start",
            "targets",
            "weights",
        ),
        "array_like",
    ),
    **dict.fromkeys(
        (
            "simulate.start",
            "sweep.start",
            "constrained_trajectory.start",
            "averaged_flow.start",
            "edge_flow.start",
            "rod_flow.start",
            "orbits.start",
            "continuation.start",
            "refine.start",
        ),
        "array_like or Initialization",
    ),
    **dict.fromkeys(
        (
            "rule.weights",
            "rule.states",
            "rule.gradient",
            "rule.lr",
            "rule.step",
            "begin.start",
            "begin.previous",
            "begin.lr",
            "preconditioner.states",
            "preconditioner.gradient",
            "preconditioner.step",
        ),
        "array, term or symbol",
    ),
    "EmpiricalRisk.parameters": "float or array_like",
    "FunctionLoss.from_jax.template": "int or pytree of arrays",
    "FunctionLoss.from_torch.template": "int, or tensor, list, tuple or dict of tensors",
    "FunctionLoss.from_jax.at": "array_like or pytree of arrays",
    "FunctionLoss.from_torch.at": "array_like, or tensor, list, tuple or dict of tensors",
    "Optimizer.formal.values": "float",
    "Optimizer.at_excess.sharpness": "array_like",
    "Optimizer.at_excess.excess": "array_like",
    "Optimizer.matched.args": "float",
    "Optimizer.matched.numbers": "float",
    "Optimizer.update.states": "state or tuple of states",
    "axes": "array_like",
    "optimizer": "Optimizer, or pair of sequences of float",
    "phase_names.phase": "xarray.Dataset, xarray.DataArray or array_like",
    "catapults.sharpness": "xarray.Dataset or array_like",
    "catapults.threshold": "float or array_like",
    "catapults.loss": "array_like",
    "catapults.step": "array_like of int",
    "hessian_spectrum.weights": "array_like or xarray.Dataset",
    "batch_sharpness.weights": "array_like or xarray.Dataset",
    "Recorder.writer": "SummaryWriter, wandb run or callable",
    "Recorder.log.parameters": "pytree of arrays",
    "Recorder.log.data": "pytree of arrays",
    "Recorder.log.loss": "float or scalar tensor",
    "Recorder.log.lr": "float",
    "Recorder.log.momentum": "float",
    "Recorder.log.lookahead": "float",
    "Recorder.log.state": "state of an Optax optimizer",
    "Recorder.load_state_dict.state": "number, list or array",
    "Recorder.for_jax.parts": "batches",
    "Recorder.for_jax.optimizer": "optax.GradientTransformation",
    "Recorder.for_torch.parameters": "tensors",
    "Recorder.for_torch.parts": "batches",
    "Recorder.for_torch.optimizer": "torch.optim.Optimizer",
    "batches": "iterable or callable",
    "settings": "arguments of Recorder",
    "analyze.run": "path, pandas.DataFrame, xarray.Dataset, mapping of str to array_like, or Table",
    "line": "properties of matplotlib.lines.Line2D",
    "looks": "property",
    "legend.options": "arguments of matplotlib's legend",
    "source": "pathlib.Path or object",
    "formats.read.source": "path, object or Table",
    "formats.format_of.source": "path or object",
    "formats.members.source": "path or object",
    "Table.columns": "array_like or Column",
    "Table.attributes": "plain value",
    "setting.default": "value of the field",
    "setting.known": "arguments of Setting",
}
"""What ``Any`` is, by parameter, or by function and parameter."""


MOST = 2
"""Most types for one line of names. A line of more names refers to another function, which has the types."""


def parameters(value: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function or a class; none if it has no signature."""
    try:
        return inspect.signature(value).parameters
    except (TypeError, ValueError):
        return {}


def written(annotation: str, of_any: str) -> str:
    """Return an annotation in words: ``Mapping[str, float] | None`` is "mapping of str to float"."""
    alternatives = dict.fromkeys(_one(one.strip(), of_any) for one in _split(annotation, "|"))
    words = [one for one in alternatives if one != "None"]
    last = ", or " if any(" of " in word for word in words) else " or "
    return last.join(filter(None, (", ".join(words[:-1]), words[-1])))


def _one(annotation: str, of_any: str) -> str:
    name, _, inner = annotation.partition("[")
    parts = [part.strip() for part in _split(inner.removesuffix("]"), ",")] if inner else []
    if annotation == "Any":
        return of_any
    if name == "Callable":
        return "callable"
    if name in ("Sequence", "Iterable", "Collection"):
        return f"{name.lower()} of {written(parts[0], of_any)}"
    if name == "Mapping":
        return f"mapping of {written(parts[0], of_any)} to {written(parts[1], of_any)}"
    if name == "tuple":
        if parts[1:] == ["..."]:
            return f"tuple of {written(parts[0], of_any)}"
        return f"tuple ({', '.join(written(part, of_any) for part in parts)})"
    return PLAIN.get(annotation, annotation)


def _split(text: str, sign: str) -> Iterator[str]:
    """Yield the pieces of an annotation between signs that are outside brackets."""
    depth, start = 0, 0
    for k, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == sign and depth == 0:
            yield text[start:k]
            start = k + 1
    yield text[start:]


def type_of(name: str, value: Any, parameter: str) -> str:
    """Return the type of a parameter in words; empty if it has no annotation.

    Parameters
    ----------
    name
        Of the function or class, such as ``selfstab.sweep``.
    value
        The function or class itself.
    parameter
        The parameter's name.
    """
    known = parameters(value).get(parameter.lstrip("*"))
    if known is None or known.annotation is inspect.Parameter.empty:
        return ""
    annotation = known.annotation if isinstance(known.annotation, str) else known.annotation.__name__
    short = name.removeprefix("selfstab.")
    bare, last = parameter.lstrip("*"), short.rpartition(".")[2]
    of_any = next(
        (
            WORDS[key]
            for key in (
                f"{short}.{bare}",
                f"{'.'.join(short.split('.')[-2:])}.{bare}",
                f"{last}.{bare}",
                bare,
            )
            if key in WORDS
        ),
        "array_like" if short.startswith("theory.") else "",
    )
    if re.search(r"\bAny\b", re.sub(r"Callable\[.*\]", "", annotation)) and not of_any:
        return ""
    return written(annotation, of_any) + (", optional" if known.default is None else "")


def typed(name: str, value: Any, lines: list[str]) -> list[str]:
    """Return a docstring's lines with the types of its parameters behind their names."""
    out: list[str] = []
    section = ""
    for k, line in enumerate(lines):
        following = lines[k + 1] if k + 1 < len(lines) else ""
        if line and re.fullmatch(r"-{3,}", following.strip()):
            section = line.strip()
        is_name = re.fullmatch(r"\*{0,2}\w+(?:, \*{0,2}\w+)*", line) and following.startswith("    ")
        if section in ("Parameters", "Other Parameters") and is_name:
            types = dict.fromkeys(type_of(name, value, one) for one in line.split(", "))
            if all(types) and len(types) <= MOST:
                line = f"{line} : {'; '.join(types)}"
        out.append(line)
    return out


def add_types(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Add the types to a docstring before numpydoc reads it."""
    lines[:] = typed(name, value, lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what is above, to be called before numpydoc's own."""
    app.connect("autodoc-process-docstring", add_types, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
