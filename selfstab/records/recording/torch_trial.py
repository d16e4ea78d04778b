"""What is tried of a PyTorch closure before it is recorded: that it is one loss, and that its products are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.functions import differences, random_states
from selfstab.losses.functions.torch_double import in_float64
from selfstab.records.recording.torch_derivatives import Evaluation, LossDerivatives, check_dependence
from selfstab.records.recording.torch_vectors import WeightVectors

_SAME_GRADIENT: Final = 1e-2
"""Relative difference of two gradients beyond which a closure does not compute the same twice."""

_SAME_FUNCTION: Final = 0.5
"""Relative difference of gradients beyond which a closure in float64 is another function."""

_FAR: Final = 0.1
"""A displacement, relative to the weights, that a loss of theirs must feel."""

_LARGE: Final = 1_000_000
"""Weights beyond which float64 is left to losses that need it."""

_STEPS: Final = (1e-4, 1e-3)
_CLOSE: Final = 0.3
"""Relative difference of a product and a difference of gradients that kinks may make, at one of these steps."""


def try_closure(loss: LossDerivatives, vectors: WeightVectors) -> frozenset[str] | None:
    """Raise unless a closure computes one loss of the weights; see whether autograd's products are right.

    Parameters
    ----------
    loss
        The closure's. Where products are wrong, it takes differences of gradients from now on.
    vectors
        The weights.

    Returns
    -------
    frozenset or None
        Names of the operations that were tried; None where nothing is finite, so that nothing could be.

    Raises
    ------
    ValueError
        If it computes another value each time, changes the weights, does not depend on them, or its gradient is none.
    """
    loss.by_differences = loss.in_double = False
    loss.find_generators()
    first = _twice(loss, vectors)
    check_dependence(first.slopes)
    gradient = vectors.joined(first.slopes).cpu().numpy()
    value, names = first.loss, first.operations
    del first
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        return None
    direction = differences.generic_direction(gradient)
    _check_response(loss, vectors, value, direction, float(direction @ gradient))
    try_products(loss, vectors, gradient, direction)
    return names


def try_products(loss: LossDerivatives, vectors: WeightVectors, gradient: Any, direction: Any) -> None:
    """See whether autograd's products are right at weights with a finite gradient; take differences if they are not.

    Raises
    ------
    ValueError
        If the gradient is that of no loss.
    """
    wrong, obstacle = _are_wrong(loss, vectors, gradient, direction)
    if not wrong:
        return
    if not differences.symmetric(lambda v: loss.by_difference(vectors, v), direction):
        raise ValueError(
            "closure must be differentiable twice by autograd, got products that are no derivatives of a gradient"
            + (f" ({obstacle})" if obstacle else f": {_remedy(loss)}")
        )
    loss.by_differences = True


def _remedy(loss: LossDerivatives) -> str:
    """Return what gives a closure's gradient derivatives; a module in training mode may detach what it changes."""
    remedy = "leave out detach, no_grad and stop-gradients"
    modules = loss.modules_that_change()
    return (
        f"call .eval() on the model, whose {modules[0]} is in training mode, or {remedy}"
        if modules
        else remedy
    )


def check_draws(loss: LossDerivatives, vectors: WeightVectors, first: Evaluation) -> None:
    """Raise ValueError if a closure that draws gives another value with other draws, as in training mode."""
    with random_states.random_states(loss.generators):
        random_states.draw(loss.generators)
        again = loss.value()
        size = max(abs(first.loss), abs(again))
        if not np.isfinite(size) or abs(first.loss - again) <= first.rounding * size:
            return
        _check_same(vectors, first, loss.first_order(vectors))


@contextmanager
def weights_as_found(vectors: WeightVectors) -> Iterator[None]:
    """Give weights that are changed within their values back, and raise ValueError then."""
    versions = [w._version for w in vectors.weights]
    with vectors.restored() as changed:
        yield
        if changed() or [w._version for w in vectors.weights] != versions:
            raise ValueError("closure must not change the parameters, but return the loss alone")


def _twice(loss: LossDerivatives, vectors: WeightVectors) -> Evaluation:
    """Return the first of two evaluations; raise unless the second gives the same, and the weights are as before."""
    with weights_as_found(vectors), random_states.random_states(loss.generators):
        first, again = loss.first_order(vectors), loss.first_order(vectors)
    _check_same(vectors, first, again)
    return first


def _check_same(vectors: WeightVectors, first: Evaluation, again: Evaluation) -> None:
    """Raise unless two evaluations at one point are the same but for the order of reductions."""
    size = max(abs(first.loss), abs(again.loss))
    if not np.isfinite(size):
        return
    difference = abs(first.loss - again.loss)
    same = difference <= 1e-3 * size or difference <= first.rounding * size
    if same:  # draws may hardly move a mean, but they move its gradient
        a, b = vectors.joined(first.slopes), vectors.joined(again.slopes)
        scale = float(a.norm())
        least = first.rounding * (
            float(np.sqrt(vectors.size)) * size
        )  # a gradient that is nothing but rounding
        same = not np.isfinite(scale) or float((a - b).norm()) <= max(_SAME_GRADIENT * scale, least)
    if not same:
        raise ValueError(
            "closure must give one value at one point, as a module does after .eval() on data that do not "
            f"change, got {first.loss:.6g} and {again.loss:.6g}"
        )


def _check_response(
    loss: LossDerivatives, vectors: WeightVectors, value: float, direction: Any, slope: float
) -> None:
    """Raise if a loss has a gradient but does not move with the weights, as where averaged ones take their place."""
    length = _FAR * vectors.scale
    if abs(slope) * length <= 1e-3 * abs(value):
        return
    with vectors.displaced(direction, length), random_states.random_states(loss.generators):
        far = loss.value()
    if far == value:
        raise ValueError(
            "closure must compute the loss from the parameters as they are, got one that does not move with them: "
            "leave out what puts others in their place, such as averages"
        )


def _are_wrong(
    loss: LossDerivatives, vectors: WeightVectors, gradient: Any, direction: Any
) -> tuple[bool, str]:
    """Return whether autograd's products are wrong or missing, and what it says then."""
    obstacle = ""
    try:
        image = loss.evaluated(vectors)[1](direction)
    except RuntimeError as error:  # an operation whose backward pass has no derivative
        obstacle = validation.one_line(str(error))[:120]
    else:
        del image
    hooked = any(getattr(w, "_backward_hooks", None) for w in vectors.weights)
    kinks, custom = loss.kinds()
    # Float64 needs twice the memory. PyTorch's own operations have derivatives: what is left is a gradient of which a
    # part is detached, and that is far off.
    large = vectors.size > _LARGE and vectors.precision != "float64"
    if large and not (custom or obstacle or hooked) and _is_close(loss, vectors, direction):
        return False, ""
    double = vectors.precision != "float64" and _is_same_in_double(loss, vectors, gradient)
    loss.in_double = double
    if obstacle or hooked:  # hooks are called for products, too, as if they were gradients
        return True, obstacle
    if vectors.precision == "float64" or double:
        with in_float64(vectors.weights) if double else nullcontext():
            inner = WeightVectors(vectors.weights)
            along = direction.astype(np.float64)
            return _contradicts(loss, inner, loss.evaluated(inner)[1], along), ""
    if kinks and not custom:  # of a gradient in float32, met at every step that is longer than rounding
        return False, ""
    return _contradicts(loss, vectors, loss.evaluated(vectors)[1], direction), ""


def _is_close(loss: LossDerivatives, vectors: WeightVectors, direction: Any) -> bool:
    """Return whether a product is about a difference of gradients, but for kinks and rounding."""
    product = loss.evaluated(vectors)[1]
    for step in _STEPS:
        difference, displacement = loss.displaced(vectors, direction, step * vectors.scale)
        image = product(displacement)
        size = float(max(np.linalg.norm(image), np.linalg.norm(difference)))
        image -= difference
        if float(np.linalg.norm(image)) <= _CLOSE * size:
            return True
    return False


def _contradicts(
    loss: LossDerivatives, vectors: WeightVectors, product: Callable[[Any], Any], direction: Any
) -> bool:
    return differences.contradicts(
        lambda v, length: loss.displaced(vectors, v, length), product, direction, vectors.scale
    )


def _is_same_in_double(loss: LossDerivatives, vectors: WeightVectors, gradient: Any) -> bool:
    """Return whether the closure can be evaluated in float64, with products, and is the same function then."""
    try:
        with in_float64(vectors.weights):
            inner = WeightVectors(vectors.weights)
            slope = loss.gradient(inner)[1].cpu().numpy()
    except Exception:  # whatever a function raises that insists on a precision
        return False
    error = float(np.linalg.norm(slope - gradient))
    return slope.dtype == np.float64 and error <= _SAME_FUNCTION * float(np.linalg.norm(slope))
