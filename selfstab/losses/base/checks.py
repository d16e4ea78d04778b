"""The checks of a loss, each of one promise of its contract."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from selfstab import validation
from selfstab.losses.base.check_point import BY_DIFFERENCES, EXACT, Check, CheckPoint, Failure
from selfstab.losses.base.convergence import LEAST_ORDER, convergence
from selfstab.losses.base.loss import Loss

# -- what it is ------------------------------------------------------------------------------------------------------


def _dimension(point: CheckPoint) -> str:
    n = point.loss.dimension
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise Failure(f"dimension is {validation.shown(n)}: return the number of weights, an integer >= 1")
    return str(n)


def _names(point: CheckPoint) -> str:
    loss = point.loss
    names = [*loss.weight_names]
    if (
        len(names) != loss.dimension
        or len({*names}) < len(names)
        or not all(isinstance(n, str) for n in names)
    ):
        raise Failure(
            f"weight_names has {len(names)} names, {len({*names})} of them different, for {loss.dimension} weights: "
            "return one text a weight, none twice"
        )
    for name, value in loss.parameters.items():
        if not isinstance(name, str) or isinstance(value, bool) or not np.isreal(value):
            raise Failure(f"parameters holds {name!r}: {value!r}: map names to numbers")
    if not isinstance(loss.description, str) or "\n" in loss.description:
        raise Failure(f"description is {validation.shown(loss.description)}: return one line of text")
    return f"{len(loss.parameters)} parameters"


def _initial(point: CheckPoint) -> str:
    loss = point.loss
    first = loss.initial_weights(seed=3, scale=0.5)
    if not isinstance(first, np.ndarray) or first.dtype != np.float64 or first.shape != (loss.dimension,):
        raise Failure(f"initial_weights returns {_kind(first)}: return float64 of shape ({loss.dimension},)")
    if not np.isfinite(first).all():
        raise Failure("initial_weights returns NaN or infinity: return finite numbers")
    original = first.copy()
    first[:] = np.nan
    loss.initial_weights(seed=4)
    if not np.array_equal(original, loss.initial_weights(seed=3, scale=0.5)):
        raise Failure(
            "initial_weights(seed=3) twice gives two results: draw from numpy.random.default_rng(seed), and return "
            "an array of its own"
        )
    return "the same for the same seed"


def _shapes(point: CheckPoint) -> str:
    n = point.loss.dimension
    for name in point.names():
        result, shape = point.call(name), {"value": (), "hessian": (n, n)}.get(name, (n,))
        if name == "value":
            if not isinstance(result, float):
                raise Failure(f"value_at returns {_kind(result)}: return a float")
        elif not isinstance(result, np.ndarray) or result.dtype != np.float64 or result.shape != shape:
            raise Failure(f"{name}_at returns {_kind(result)}: return a float64 array of shape {shape}")
    return ", ".join(point.names())


def _finite(point: CheckPoint) -> str:
    for name in point.names():
        if not np.isfinite(point.call(name)).all():
            raise Failure(
                f"{name}_at is NaN or infinite at {validation.shown(point.w)}: mend it, or give `at`, a point where "
                "the loss is smooth"
            )
    return "at the point"


def _overflow(point: CheckPoint) -> str:
    far = 1e200 * (1.0 + np.abs(point.w))
    for name in point.names():
        try:
            point.call(name, far, *point.arguments(name)[1:])
        except (ArithmeticError, ValueError) as error:
            raise Failure(
                f"{name}_at raises {type(error).__name__} at weights of 1e200: return infinity or NaN, so that a run "
                "ends as a divergence"
            ) from None
    return "infinity or NaN, no exception"


# -- derivatives -----------------------------------------------------------------------------------------------------


def _derivative(name: str, below: str) -> Callable[[CheckPoint], str]:
    """Return the check that a derivative is that of the one below it."""

    def check(point: CheckPoint) -> str:
        if name not in point.names():
            return f"none: highest_derivative is {point.loss.highest_derivative}, or it is not defined"
        arguments = point.arguments(name)
        *fixed, along = arguments[1:] or (point.directions[0],)
        claimed = np.asarray(point.call(name) if len(arguments) > 1 else point.call(name) @ along)
        measured = convergence(
            lambda x: np.asarray(point.call(below, x, *fixed)), point.w, along, claimed,
            allowance=BY_DIFFERENCES if {name, below} & {*point.loss.differences} else 0.0,
        )  # fmt: skip
        if not measured.holds:
            raise Failure(
                f"{measured}, of order {LEAST_ORDER} or more where it is right: correct {name}_at (or {below}_at)"
            )
        return str(measured)

    return check


def _hessian_symmetry(point: CheckPoint) -> str:
    if not point.explicit:
        u, v, _ = point.directions
        one, other = (
            v @ point.call("hessian_vector", point.w, u),
            u @ point.call("hessian_vector", point.w, v),
        )
        return point.compare("v·Hu and u·Hv", one, other, point.tolerance("hessian_vector"), "H is symmetric")
    hessian = point.call("hessian")
    worst = float(np.abs(hessian - hessian.T).max())
    if worst != 0.0:
        raise Failure(
            f"hessian_at differs from its transpose by {worst:.1e}: return it symmetric to the last bit, "
            "such as 0.5 * (H + H.T)"
        )
    return "to the last bit"


def _products(point: CheckPoint) -> str:
    w, (u, v, _), loss = point.w, point.directions, point.loss
    remedy = "make hessian_at, hessian_vector_at and hessian_operator_at one matrix"
    with np.errstate(all="ignore"):
        operator = loss.hessian_operator_at(w.copy())
        products = [operator(x.copy()) for x in (u, v)]
    tolerance = point.tolerance("hessian_vector")
    singly = [point.call("hessian_vector", w, x) for x in (u, v)]
    text = point.compare("hessian_operator_at and hessian_vector_at", products, singly, tolerance, remedy)
    if point.explicit:
        text = point.compare(
            "hessian_at and hessian_vector_at", point.call("hessian") @ u, singly[0], tolerance, remedy
        )
    return text


def _third_symmetry(point: CheckPoint) -> str:
    if "third" not in point.names():
        return "no third derivatives"
    w, (u, v, z) = point.w, point.directions
    values = [
        float(c @ point.call("third", w, a, b)) for a, b, c in ((u, v, z), (v, u, z), (u, z, v), (z, v, u))
    ]
    # Beside the sizes of the vectors: the number itself may be small.
    size = max(float(np.linalg.norm(point.call("third", w, a, b))) for a, b in ((u, v), (u, z), (z, v)))
    spread = (max(values) - min(values)) / (size or 1.0)
    if not spread <= (tolerance := point.tolerance("hessian_vector", "third")):
        raise Failure(
            f"∇³L(u, v, z) changes by {spread:.1e} when its arguments change places, allowed {tolerance:.0e}: "
            "third_at is symmetric in all three"
        )
    return f"to {spread:.1e}"


def _together(point: CheckPoint) -> str:
    w, (u, v, _), loss = point.w, point.directions, point.loss
    remedy = "derivatives_at gives what the methods give one by one"
    with np.errstate(all="ignore"):
        local = loss.derivatives_at(w.copy())
        together = {
            "value": local.value,
            "gradient": local.gradient,
            "hessian_vector": local.product(u.copy()),
        }
        if "third" in point.names():
            together["third"] = local.third(u.copy(), v.copy())
    for name, result in together.items():
        point.compare(f"derivatives_at(w) and {name}_at", result, point.call(name), EXACT, remedy)
    points, remedy = np.array([w, w + u]), "the methods of many points give what those of one give"
    with np.errstate(all="ignore"):
        many = {"gradient": loss.gradients_at(points.copy())}
        if "hessian" in point.names():
            many["hessian"] = np.concatenate([*loss.hessian_blocks_at(points.copy())])
    for name, results in many.items():
        singly = [point.call(name, x) for x in points]
        point.compare(f"{name}s at many points and {name}_at", results, singly, EXACT, remedy)
    return ", ".join(together)


def _sharpness(point: CheckPoint) -> str:
    w, loss = point.w, point.loss
    with np.errstate(all="ignore"):
        pairs = [loss.sharpness_at(w.copy(), guess) for guess in (None, point.directions[0].copy())]
        operator = loss.hessian_operator_at(w.copy())
    remedy = "sharpness_at returns the largest eigenvalue with its unit eigenvector"
    if point.explicit:
        values = np.linalg.eigvalsh(point.call("hessian"))
        size, expected = float(np.abs(values).max()), float(values[-1])
    else:
        size = expected = pairs[0].value
    tolerance = 10.0 * point.tolerance("hessian_vector") * (size or 1.0)
    for pair in pairs:
        if not abs(pair.value - expected) <= tolerance:
            raise Failure(f"the sharpness is {pair.value!r}, by numpy.linalg.eigvalsh {expected!r}: {remedy}")
        length = float(np.linalg.norm(pair.vector))
        residual = float(np.linalg.norm(operator(pair.vector.copy()) - pair.value * pair.vector))
        if not (abs(length - 1.0) <= 1e-9 and residual <= max(1e3 * tolerance, 1e-6 * size)):
            raise Failure(f"the eigenvector has norm {length:.9f} and residual {residual:.1e}: {remedy}")
    return f"{pairs[0].value:.6g}, residual {pairs[0].residual:.1e}"


# -- what it does to others, and they to it ----------------------------------------------------------------------------


def _purity(point: CheckPoint) -> str:
    for name in point.names():
        arguments = point.arguments(name)
        originals = [argument.copy() for argument in arguments]
        result = point.call(name, *arguments)
        if any(a.tobytes() != b.tobytes() for a, b in zip(arguments, originals, strict=True)):
            raise Failure(f"{name}_at changes its arguments: work on copies")
        if isinstance(result, np.ndarray):
            if any(np.shares_memory(result, argument) for argument in arguments):
                raise Failure(f"{name}_at returns one of its arguments, or a view of it: return a copy")
            bits = result.tobytes()
            result[...] = np.nan
        else:
            bits = np.float64(result).tobytes()
        point.call(name, point.w + point.directions[2], *point.arguments(name)[1:])
        if np.asarray(point.call(name)).tobytes() != bits:
            raise Failure(
                f"{name}_at gives other bits for the same weights after a change to what it returned, or a call "
                "elsewhere: let it depend on its arguments only, and return arrays of its own"
            )
    return "same weights, same bits"


def _replacing(point: CheckPoint) -> str:
    loss, before = point.loss, dict(point.loss.parameters)
    bits = point.bits()
    for name, value in before.items():
        if _values_of(point, loss.replace(**{name: value})) != _values_of(point, loss):
            raise Failure(
                f"replace({name}={value!r}) is another loss: give it the same values for the same numbers"
            )
        for changed in (1.0625 * value, value + 1, 0.9375 * value):
            try:
                other = loss.replace(**{name: changed})
            except (TypeError, ValueError):
                continue  # beyond its domain
            if other is loss or other.parameters[name] != changed:
                raise Failure(
                    f"replace({name}={changed!r}) has {name}={other.parameters[name]!r}: return a new loss with it"
                )
            if other.dimension == loss.dimension:
                try:
                    _derivative("gradient", "value")(CheckPoint(other, point.w))
                except Failure as failure:
                    raise Failure(
                        f"with {name}={changed!r} the gradient is another loss's: {failure}"
                    ) from None
            break
        else:
            raise Failure(f"replace({name}=...) refuses {1.0625 * value!r} and others: accept other numbers")
    if dict(loss.parameters) != before or point.bits() != bits:
        raise Failure("replace changes the loss that it is called on: return a new loss")
    try:
        loss.replace(no_such_parameter=1.0)
    except (TypeError, ValueError) as error:
        if "no_such_parameter" not in str(error):
            raise Failure(f"replace(no_such_parameter=1.0) raises {error}: name the parameter") from None
    else:
        raise Failure("replace(no_such_parameter=1.0) is accepted: raise ValueError or TypeError")
    return ", ".join(before) or "no parameters"


def _values_of(point: CheckPoint, loss: Loss) -> bytes | None:
    """Return the bits of a loss's value at the point; of one with another number of weights none."""
    if loss.dimension != point.loss.dimension:
        return None
    with np.errstate(all="ignore"):
        return np.float64(loss.value_at(point.w.copy())).tobytes()


def _pickling(point: CheckPoint) -> str:
    import cloudpickle

    try:
        again = pickle.loads(cloudpickle.dumps(point.loss))
    except Exception as error:  # whatever the user's code raises
        raise Failure(
            f"cloudpickle raises {type(error).__name__}: {' '.join(str(error).split())[:120]}: hold nothing that a "
            "sweep's processes cannot be sent"
        ) from None
    if point.bits(again) != point.bits():
        raise Failure("a pickled copy gives other bits: keep all that the loss depends on in the object")
    return "same bits"


def _messages(point: CheckPoint) -> str:
    loss, n = point.loss, point.loss.dimension
    nan = np.full(n, np.nan)
    wrong: list[tuple[str, tuple[Any, ...]]] = [
        (name, (bad,))
        for name in ("value", "gradient", "hessian", "sharpness")
        for bad in (np.zeros(n + 1), nan)
    ]
    wrong += [("hessian_vector", (point.w, np.zeros(n + 1))), ("value", ("text",))]
    for name, arguments in wrong:
        try:
            getattr(loss, name)(*arguments)
        except (TypeError, ValueError) as error:
            if str(error):
                continue
        raise Failure(
            f"{name} accepts {validation.shown(arguments[-1])}: define {name}_at, and leave {name}, which checks its "
            "arguments, as it is"
        )
    for order, name in ((3, "third"), (4, "fourth")):
        if loss.highest_derivative < order:
            try:
                getattr(loss, name)(*point.arguments(name))
            except ValueError:
                continue
            raise Failure(f"{name} is not refused though highest_derivative is {loss.highest_derivative}")
    return "bad weights are refused"


def _kernel(point: CheckPoint) -> str:
    kernel = point.loss.kernel
    if kernel is None:
        return "none: it runs by its methods"
    losses, sharpnesses = kernel.evaluate(point.w[None], loss=True, sharpness=True)
    remedy = "the kernel and the methods are of one formula"
    point.compare("the kernel's value and value_at", losses[0], point.call("value"), EXACT, remedy)
    pair = point.loss.sharpness_at(point.w.copy())
    point.compare("the kernel's sharpness and sharpness_at", sharpnesses[0], pair.value, EXACT, remedy)
    return "value and sharpness agree"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    return f"{type(value).__name__} {validation.shown(value)}"


_BASICS: Final = ("dimension", "shapes and dtypes", "finite")

CHECKS: Final = (
    Check("dimension", _dimension),
    Check("names", _names, ("dimension",)),
    Check("initial weights", _initial, ("dimension",)),
    Check("shapes and dtypes", _shapes, ("dimension",)),
    Check("finite", _finite, ("shapes and dtypes",)),
    Check("overflow", _overflow, ("shapes and dtypes",)),
    Check("purity", _purity, _BASICS),
    Check("gradient is the derivative of value", _derivative("gradient", "value"), _BASICS),
    Check("hessian_vector is the derivative of gradient", _derivative("hessian_vector", "gradient"), _BASICS),
    Check("third is the derivative of hessian_vector", _derivative("third", "hessian_vector"), _BASICS),
    Check("fourth is the derivative of third", _derivative("fourth", "third"), _BASICS),
    Check("hessian is symmetric", _hessian_symmetry, _BASICS),
    Check("third is symmetric", _third_symmetry, _BASICS),
    Check("hessian products agree", _products, _BASICS),
    Check("derivatives together", _together, _BASICS),
    Check("sharpness", _sharpness, (*_BASICS, "hessian is symmetric")),
    Check("kernel", _kernel, _BASICS),
    Check("replace", _replacing, _BASICS),
    Check("pickling", _pickling, _BASICS),
    Check("messages", _messages, ("dimension",)),
)
"""The checks in the order they are tried."""
