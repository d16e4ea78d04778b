"""Optimizers of Optax: what a transformation does at one step, found by asking it.

A transformation is a function; its numbers cannot be read off it. So it is called, at the state of the step, with
gradients, means and weights that are small and known. At fixed second moments its answer is linear in them:
m' = a·m + b·g + c·w and −Δw = p·m + q·g + r·w for each weight. These six numbers are its rule. Small stand-ins of one
number for each array are asked in float64, since within an array weights differ by their preconditioner only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.optimizers.adam import Adam
from selfstab.optimizers.base import Optimizer
from selfstab.optimizers.heavy_ball import HeavyBall
from selfstab.optimizers.rms_prop import RMSProp
from selfstab.records.recording.training_optimizers.base import (
    OptimizerReading,
    flip_gains,
    heavy_ball_of,
    per_weight,
    several_momenta,
)
from selfstab.records.recording.training_optimizers.optax_states import (
    UNKNOWN,
    Place,
    check_state,
    places_of,
    with_leaves,
    without_variables,
)
from selfstab.validation import Array

NOT_LINEAR: Final = (
    "optimizer must answer gradients linearly where its mean squares stand still, apart from clipping, and this one "
    "does not: its threshold is not known"
)

_CORRECTED: Final = ("ScaleByAdamState", "ScaleByAmsgradState")
"""Classes that divide mean and mean square by the sum of the weights that they gave to gradients."""

_COUNTED: Final = (*_CORRECTED, "ScaleByRmsWithCountState", "ScaleByRStdDevWithCountState")
"""Classes that divide the mean square so."""

_SMALL: Final = 1e-20
_SMALL_SINGLE: Final = 1e-12
_LARGE: Final = 1e20
"""A mean square beside which eps is nothing."""

_EXACT: Final = {"float64": 1e-9, "float32": 1e-4}
"""Of the update: how far it may be from linear."""


@dataclass(frozen=True)
class _Rule:
    """The rule of one array of weights, as heavy ball: its lr at a preconditioner of 1, or at a mean square of 1."""

    rate: float
    momentum: float
    lookahead: float
    decay: float
    shrinkage: float
    kind: str = ""
    lr: float = 0.0
    """As the library names it, of an optimizer with a preconditioner."""
    beta2: float = 0.0
    eps: float = 0.0


def of_transformation(transformation: Any) -> Callable[..., OptimizerReading]:
    """Return what reads a transformation of Optax at a step: (parameters, state, gradient) → its reading.

    Parameters
    ----------
    transformation
        An ``optax.GradientTransformation``.

    Raises
    ------
    TypeError
        If it is none.
    """
    import jax

    if not (
        callable(getattr(transformation, "init", None)) and callable(getattr(transformation, "update", None))
    ):
        raise TypeError(
            "optimizer must be a transformation of Optax, such as optax.adam(lr), or a selfstab Optimizer, got "
            + validation.shown(transformation)
        )
    update = jax.jit(transformation.update)
    checked: list[Any] = []

    def read(parameters: Any, state: Any, gradient: Callable[[], Any]) -> OptimizerReading:
        own, state = without_variables(parameters), without_variables(state)
        leaves, structure = jax.tree_util.tree_flatten((own, state))
        kind = structure, [np.shape(leaf) for leaf in leaves]
        if kind not in checked:
            check_state(transformation, own, state)
            checked[:] = [kind]
        return _read(update, own, state, without_variables(gradient()))

    return read


def _read(update: Any, parameters: Any, state: Any, gradient: Any) -> OptimizerReading:
    import jax
    from jax.flatten_util import ravel_pytree

    places = places_of(state, parameters)
    leaves = jax.tree_util.tree_leaves(parameters)
    sizes = [leaf.size for leaf in leaves]
    rules = _rules(update, parameters, state, places)
    momenta, aheads, rates = (
        [_rounded(value) for value in values]
        for values in zip(*((rule.momentum, rule.lookahead, rule.rate) for rule in rules), strict=True)
    )
    moving = [k for k, size in enumerate(sizes) if size and rates[k] > 0] or [*range(len(rules))]
    adaptive = [k for k in moving if rules[k].kind]
    dtype = np.asarray(leaves[0]).dtype
    factors, clipping = _full(update, parameters, state, gradient, places)
    if adaptive:
        first = max(adaptive, key=lambda k: rules[k].lr)
        optimizer, gain = _adaptive(rules[first], momenta[first], aheads[first])
        lr = _rounded(rules[first].lr)
        # A flip's gain by that of a gradient alone, relative to the first array's: flip_gains, weight by weight.
        pairs = zip(aheads, momenta, strict=True)
        shares = [(1.0 + 2.0 * ahead) / ((1.0 + ahead) * (1.0 + beta)) for ahead, beta in pairs]
        others = per_weight([share / shares[first] for share in shares], sizes)
        scale: Any = factors * others / ((1.0 + aheads[first]) * lr * gain) if lr > 0 else factors
    else:
        place, relative = flip_gains(*([values[k] for k in moving] for values in (rates, momenta, aheads)))
        first = moving[place]
        optimizer, lr = HeavyBall(1.0, momenta[first], aheads[first]), rates[first]
        of = dict(zip(moving, relative, strict=True))
        scale = per_weight([of.get(k, 0.0 if lr > 0 else 1.0) for k in range(len(rules))], sizes, dtype)
    ratio = 1.0 / lr if lr > 0 else 0.0
    flat = ravel_pytree(parameters)[0]
    return OptimizerReading(
        optimizer,
        lr,
        momenta[first],
        scale if isinstance(scale, float) else np.asarray(scale, dtype=flat.dtype),
        per_weight([_rounded(rule.decay) for rule in rules], sizes, dtype),
        per_weight([_rounded(rule.shrinkage * ratio) for rule in rules], sizes, dtype),
        {
            "optimizer": "optax",
            "states": sorted({place.kind for place in places.values()}),
            **several_momenta([momenta[k] for k in moving]),
        },
        clipping,
    )


def _rounded(value: float) -> float:
    """Return a number of float64 without the last digits, in which equal ones of two arrays may differ."""
    return float(f"{value:.12g}")


def _adaptive(rule: _Rule, momentum: float, lookahead: float) -> tuple[Optimizer, float]:
    """Return the optimizer, and the heavy ball's lr divided by its own, at a preconditioner of 1."""
    if rule.kind in _CORRECTED:
        if lookahead:  # of Nadam: Adam's mean, seen from where the next step begins
            return HeavyBall(1.0, momentum, lookahead), 1.0
        return Adam(1.0, momentum, rule.beta2, rule.eps), 1.0 - momentum
    if rule.kind == "ScaleByRssState" or lookahead:
        return HeavyBall(1.0, momentum, lookahead), 1.0
    counted = rule.kind in _COUNTED
    return RMSProp(1.0, rule.beta2, rule.eps, momentum, counted), 1.0


# -- the rule of each array of weights ---------------------------------------------------------------------------------


def _rules(update: Any, parameters: Any, state: Any, places: Mapping[str, Place]) -> list[_Rule]:
    """Return the rule of each array of the parameters, from stand-ins of one number each, in float64."""
    import jax
    import jax.numpy as jnp

    leaves, structure = jax.tree_util.tree_flatten(parameters)
    count = len(leaves)
    squares = {place.parameter: place for place in places.values() if place.role == "square"}
    for place in places.values():
        same = [p for p in places.values() if (p.role, p.parameter) == (place.role, place.parameter)]
        if len(same) > 1 and place.role in ("mean", "square"):
            raise ValueError(
                "optimizer must keep one mean of gradients and one of squares for each weight, got several: "
                f"{', '.join(sorted(p.kind for p in same))}"
            )
    double = jax.enable_x64 if hasattr(jax, "enable_x64") else import_module("jax.experimental").enable_x64
    with double(True):

        def stand_in(k: int, value: float) -> Any:
            return jnp.full((1,) * leaves[k].ndim, value, dtype=jnp.float64)

        def tree(value: float) -> Any:
            return jax.tree_util.tree_unflatten(structure, [stand_in(k, value) for k in range(count)])

        def asked(gradient: float, mean: float, weight: float, square: float) -> tuple[Array, Array, Array]:
            """Return −Δw, m' and the mean square of each array."""
            values = {"mean": mean, "square": square, "largest": 0.0, "centre": 0.0}

            def leaf_of(leaf: Any, place: Place | None, path: str) -> Any:
                if place is not None:
                    return stand_in(place.parameter, values[place.role])
                array = jnp.asarray(leaf)
                return array.astype(jnp.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array

            moved, after = update(tree(gradient), with_leaves(state, places, leaf_of), tree(weight))
            push = [-float(np.asarray(leaf).reshape(-1)[0]) for leaf in jax.tree_util.tree_leaves(moved)]
            remembered, squared = np.zeros(count), np.full(count, np.nan)
            for path, leaf in jax.tree_util.tree_flatten_with_path(after)[0]:
                place = places.get(jax.tree_util.keystr(path))
                if place is not None and place.role in ("mean", "square"):
                    values_of = remembered if place.role == "mean" else squared
                    values_of[place.parameter] = float(np.asarray(leaf).reshape(-1)[0])
            return np.array(push), remembered, squared

        with np.errstate(all="ignore"):
            h = _SMALL
            q, b, beta2 = asked(h, 0.0, 0.0, 1.0)
            half_q = asked(0.5 * h, 0.0, 0.0, 1.0)[0]
            p, a, _ = asked(0.0, h, 0.0, 1.0)
            r, c, _ = asked(0.0, 0.0, h, 1.0)
            far_q, far_b, _ = asked(h, 0.0, 0.0, _LARGE)
            far_p, _, _ = asked(0.0, h, 0.0, _LARGE)
            far_r, _, _ = asked(0.0, 0.0, h, _LARGE)
            none_q, none_b, _ = asked(h, 0.0, 0.0, 0.0)
            none_p, _, _ = asked(0.0, h, 0.0, 0.0)
            q, b, p, a, r, c, far_q, far_b, far_p, far_r, none_q, none_b, none_p = (
                values / h
                for values in (q, b, p, a, r, c, far_q, far_b, far_p, far_r, none_q, none_b, none_p)
            )
    if not np.allclose(half_q, 0.5 * h * q, rtol=1e-9, atol=0.0):
        raise ValueError(NOT_LINEAR)
    rules = []
    for k in range(count):
        rate, lookahead = heavy_ball_of(q[k], p[k], a[k], b[k])
        decay, shrinkage = _decay(q[k], b[k], r[k], c[k], far_q[k], far_r[k], k in squares)
        if k not in squares:
            rules.append(_Rule(rate, float(a[k]), lookahead, decay, shrinkage))
            continue
        place, own = squares[k], float(beta2[k])
        steps = 0.0 if place.count is None else float(place.count) + 1.0
        sum_of_squares = place.kind == "ScaleByRssState"
        if own < 1e-6:
            raise ValueError(
                f"optimizer's decay of squares must be above 0, got {own:g}: a step is a sign then"
            )
        if own >= 1.0 and place.kind in _COUNTED:  # Yogi moves squares by their signs
            raise ValueError(f"{UNKNOWN}mean squares that do not decay, such as those of yogi")
        correction = 1.0 - own**steps if place.kind in _COUNTED else 1.0
        far = np.sqrt(_LARGE * (1.0 if sum_of_squares else own) / correction)
        mean_correction = 1.0 - float(a[k]) ** steps if place.kind in _CORRECTED else 1.0
        gain = (1.0 - float(a[k])) / mean_correction if place.kind in _CORRECTED and not lookahead else 1.0
        far_rate = heavy_ball_of(far_q[k], far_p[k], a[k], far_b[k])[0]
        none_rate = heavy_ball_of(none_q[k], none_p[k], a[k], none_b[k])[0]
        lr = far_rate * far / gain
        eps = max(lr * gain / none_rate, 1e-300) if none_rate > 0 else 1e-300
        rules.append(
            _Rule(
                rate,
                float(a[k]),
                lookahead,
                decay,
                shrinkage,
                place.kind,
                float(lr),
                min(_rounded(own), 1.0 - 1e-16),
                _rounded(eps),
            )
        )
    return rules


def _decay(
    q: float, b: float, r: float, c: float, far_q: float, far_r: float, adaptive: bool
) -> tuple[float, float]:
    """Return λ of what is added to the gradient, and what the weights are shrunk by beside it, a step."""
    if c and b:
        coupled = c / b
    elif adaptive and q != far_q:
        coupled = (r - far_r) / (q - far_q)
    elif q and not b:
        coupled = r / q
    else:
        coupled = 0.0
    coupled = coupled if abs(coupled * q) > 1e-10 * abs(r) else 0.0
    rest = r - coupled * q
    return float(coupled), float(rest) if abs(rest) > 1e-10 * abs(r) else 0.0


# -- all weights -------------------------------------------------------------------------------------------------------


def _full(
    update: Any, parameters: Any, state: Any, gradient: Any, places: Mapping[str, Place]
) -> tuple[Array, float]:
    """Return −dΔw/dg of each weight at the mean squares after this step, and by which factor gradients are clipped."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    def by_path(tree: Any) -> dict[str, Any]:
        return {
            jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
        }

    moved, behind = update(gradient, state, parameters)
    zero = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    # A step without a gradient from ones has the decay of each mean square.
    ones = with_leaves(state, places, lambda leaf, place, _: leaf if place is None else jnp.ones_like(leaf))
    after, decays = by_path(behind), by_path(update(zero, ones, zero)[1])

    def frozen(share: float) -> Any:
        """Return the state from which a step without a gradient has the mean squares of this one."""

        def leaf_of(leaf: Any, place: Place | None, path: str) -> Any:
            if place is None:
                return leaf
            if place.role == "mean":
                return share * leaf
            return after[path] if place.role == "largest" else after[path] / decays[path]

        return with_leaves(state, places, leaf_of)

    def response(share: float, force: Any) -> Any:
        """Return the step of weights and means that are this share of the actual ones, in one array."""
        weights = jax.tree_util.tree_map(lambda leaf: share * leaf, parameters)
        return ravel_pytree(update(force, frozen(share), weights)[0])[0]

    h = _SMALL_SINGLE
    small = jax.tree_util.tree_map(lambda leaf: jnp.full_like(leaf, h), parameters)
    factors = -response(0.0, small) / h
    flat = ravel_pytree(moved)[0]
    # So small that what weight decay adds to the squares is nothing.
    actual = response(h, zero) / h - flat
    force = np.asarray(ravel_pytree(gradient)[0], np.float64)
    clipping = _clipping(np.asarray(factors, np.float64), force, np.asarray(actual, np.float64), flat)
    return np.asarray(factors, np.float64), clipping


def _clipping(factors: Array, gradient: Array, actual: Array, update: Any) -> float:
    """Return what gradients are multiplied by before the rule gets them: 1, or less where they are clipped.

    Where single numbers are clipped, which end at one size, it is their share on the whole.
    """
    linear = factors * gradient
    if not np.isfinite(linear).all() or not np.isfinite(actual).all():
        return 1.0  # a divergence, which is a result
    size = float(np.linalg.norm(np.asarray(update, np.float64))) + float(np.linalg.norm(actual))
    exact = _EXACT.get(str(update.dtype), 2e-2)
    if float(np.linalg.norm(actual - linear)) <= exact * size:
        return 1.0
    share = float(actual @ linear) / float(linear @ linear) if linear.any() else 1.0
    if 0.0 < share < 1.0:
        if float(np.linalg.norm(actual - share * linear)) <= exact * size:
            return share
        cut = np.abs(actual - linear) > exact * np.abs(linear)
        sizes = actual[cut] / (factors[cut] * np.sign(gradient[cut]))
        if bool((sizes > 0).all()) and float(np.ptp(sizes)) <= 10.0 * exact * float(sizes.max()):
            return share
    raise ValueError(NOT_LINEAR)
