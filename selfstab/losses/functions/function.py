"""Any model: a loss from functions of the user's own, on NumPy vectors, in JAX or in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from selfstab import validation
from selfstab.eigen import pairs
from selfstab.losses.base.loss import Loss
from selfstab.losses.functions import autodiff, differences
from selfstab.losses.functions.recipe import Recipe
from selfstab.validation import Array


class FunctionLoss(Loss):
    r"""A loss given by its value and gradient, functions of a flat float64 vector.

    Everything that takes a loss works on it: runs, sharpness, catapults, spectra, predicted dynamics and flows. The
    third derivatives of the last two are differences of Hessian-vector products unless `third` is given.
    :meth:`from_jax` and :meth:`from_torch` take all derivatives from automatic differentiation.

    A step takes about a millisecond. A formula of a few weights, averaged over data, is an :class:`EmpiricalRisk`: a
    sweep of it runs in compiled code.

    Parameters
    ----------
    value
        w → L(w), one number; w has shape (dimension,).
    gradient
        w → ∇L(w), float64, shape (dimension,).
    dimension
        Number of weights, >= 1.
    hessian_vector
        (w, v) → ∇²L(w) v, shape (dimension,). Without it, central differences of the gradient are taken,
        (∇L(w + hv̂) − ∇L(w − hv̂))·\|v\|/2h with v̂ of norm 1 and h = ``difference_step``. Their error is about
        4·10⁻¹¹ of the size of the gradient and its third derivative, where the weights' natural scale is max(1, ‖w‖).
        So residuals of eigenpairs stop there, too.
    third
        (w, u, v) → ∇³L(w)(u, v, ·), shape (dimension,). Without it, central differences of `hessian_vector`,
        off likewise; without that one either, mixed second differences of the gradient, off by about 10⁻⁸.
    fourth
        (w, u, v, z) → ∇⁴L(w)(u, v, z, ·), shape (dimension,). Without it, central differences of `third`; without
        that one either, there is none.
    difference_step
        h of first differences, > 0, in units of the weights; by default ε^⅓·max(1, ‖w‖) = 6·10⁻⁶·max(1, ‖w‖), where
        the truncation h² equals the rounding ε/h. Second differences take h^¾.
    at
        A point at which the functions are tried now: see :meth:`check`.
    name
        What to call the loss in datasets; by default the name of `value`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or range, or fails at the point. Later, when a function returns anything
        but float64 numbers of the right shape. Infinity and NaN are results: a run ends there.

    Notes
    -----
    The functions get copies, and what they return is copied. ``sweep`` runs in processes where that is worth it;
    functions then go through cloudpickle. Their warnings of floating-point arithmetic are silent.

    Examples
    --------
    >>> import numpy as np
    >>> import selfstab as ss
    >>> loss = FunctionLoss(lambda w: np.cosh(w).sum(), lambda w: np.sinh(w), dimension=2, at=[0.1, 0.2])
    >>> value, vector = loss.sharpness([0.0, 1.0])
    >>> round(value, 6), vector.round(6)  # cosh(1)
    (1.543081, array([0., 1.]))
    >>> run = ss.simulate(loss, ss.HeavyBall(0.1, 0.9), [0.5, 0.5], steps=200)
    >>> round(float(run.sharpness[-1]), 6)
    1.0
    """

    def __init__(
        self,
        value: Callable[[Array], Any],
        gradient: Callable[[Array], Any],
        dimension: int,
        *,
        hessian_vector: Callable[[Array, Array], Any] | None = None,
        third: Callable[[Array, Array, Array], Any] | None = None,
        fourth: Callable[[Array, Array, Array, Array], Any] | None = None,
        difference_step: float | None = None,
        at: Any = None,
        name: str | None = None,
    ) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}
        functions = {"value": value, "gradient": gradient, "hessian_vector": hessian_vector, "third": third,
                     "fourth": fourth}  # fmt: skip
        for word, function in functions.items():
            if function is None and word not in ("value", "gradient"):
                continue
            if not callable(function):
                raise TypeError(f"{word} must be a function, got {validation.shown(function)}")
            self._functions[word] = function
        self._dimension = validation.integer("dimension", dimension, at_least=1)
        if difference_step is not None:
            difference_step = validation.real("difference_step", difference_step, above=0)
        self.difference_step = difference_step
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a text, got {validation.shown(name)}")
        self.name = getattr(value, "__name__", type(value).__name__) if name is None else name
        self.explicit_hessian = self._dimension <= pairs.DENSE_UP_TO
        self.highest_derivative = 4 if {"third", "fourth"} & {*self._functions} else 3
        self._recipe: Recipe | None = None
        self._model: autodiff.Model | None = None
        if at is not None:
            self.check(at)

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return self._dimension

    @property
    def differences(self) -> tuple[str, ...]:
        """Names of the derivatives that are taken by differences."""
        return tuple(
            name
            for name, order in (("hessian_vector", 2), ("third", 3), ("fourth", 4))
            if name not in self._functions and order <= self.highest_derivative
        )

    def state(self) -> dict[str, Any]:
        """Return the functions, what makes them, and the settings, under the names that 0.1 gave them."""
        state = super().state()
        recipe = state.pop("_recipe")
        if recipe is not None and recipe.method == "from_jax":
            # What JAX compiled has no text of its own; it follows from the rest.
            del state["_functions"], state["_model"]
        return state | {"_made": None if recipe is None else tuple(recipe)}

    @property
    def description(self) -> str:
        """The name, the number of weights, and which derivatives are differences."""
        by = f", by differences: {', '.join(self.differences)}" if self.differences else ""
        return f"FunctionLoss({self.name}, dimension={self.dimension}{by})"

    # -- derivatives, trusted -----------------------------------------------------------------------------------------

    def _call(self, name: str, *at: Array) -> Array:
        """Return what one of the functions returns, checked; of any shape for the value."""
        with np.errstate(all="ignore"):
            returned = self._functions[name](*(point.copy() for point in at))
        try:
            array = np.asarray(returned)
        except Exception:  # whatever a foreign array raises
            array = np.empty(0, dtype=object)
        if array.dtype != np.float64 and array.dtype.kind not in "iu":
            of = f"dtype {array.dtype}" if array.dtype.kind in "fcb" else validation.shown(returned)
            raise TypeError(f"{name} must return float64 numbers, got {of}")
        shape = () if name == "value" else (self._dimension,)
        if array.shape != shape:
            what = "one number" if name == "value" else f"an array of shape {shape}"
            raise ValueError(f"{name} must return {what}, got shape {array.shape}")
        return np.array(array, dtype=np.float64)

    def value_at(self, w: Array) -> float:
        """Return L(w)."""
        return float(self._call("value", w))

    def gradient_at(self, w: Array) -> Array:
        """Return ∇L(w)."""
        return self._call("gradient", w)

    def hessian_vector_at(self, w: Array, v: Array) -> Array:
        """Return ∇²L(w) v."""
        if "hessian_vector" in self._functions:
            return self._call("hessian_vector", w, v)
        return differences.central(self.gradient_at, w, v, self._step(w))

    def hessian_at(self, w: Array) -> Array:
        """Return ∇²L(w)."""
        columns = np.array([self.hessian_vector_at(w, row) for row in np.eye(self._dimension)])
        with np.errstate(over="ignore", invalid="ignore"):
            hessian: Array = 0.5 * (columns + columns.T)
        return hessian

    def third_at(self, w: Array, u: Array, v: Array) -> Array:
        """Return ∇³L(w)(u, v, ·)."""
        if "third" in self._functions:
            return self._call("third", w, u, v)
        if "hessian_vector" in self._functions:
            return differences.central(lambda at: self.hessian_vector_at(at, v), w, u, self._step(w))
        step = self._step(w) ** 0.75
        return differences.central(lambda at: differences.central(self.gradient_at, at, v, step), w, u, step)

    def fourth_at(self, w: Array, u: Array, v: Array, z: Array) -> Array:
        """Return ∇⁴L(w)(u, v, z, ·)."""
        if "fourth" in self._functions:
            return self._call("fourth", w, u, v, z)
        if "third" in self._functions:
            return differences.central(lambda at: self.third_at(at, u, v), w, z, self._step(w))
        raise NotImplementedError(
            "fourth needs the function fourth, or third to take differences of, got neither"
        )

    def hessian_operator_at(self, w: Array) -> Callable[[Array], Array]:
        """Return the function v → ∇²L(w) v."""
        if self._model is None or self._model.products is None or "hessian_vector" in self.differences:
            return super().hessian_operator_at(w)
        return self._model.products(w)

    def _step(self, w: Array) -> float:
        return differences.usual_step(w) if self.difference_step is None else self.difference_step

    # -- trying it --------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def check(self, at: Any) -> None:
        """Try all functions at a point: shapes, float64, finite, and each derivative that of the one before it.

        Derivatives are compared with central differences along the gradient (a fixed random direction where it is
        zero). Their own error is far below `differences.WRONG_BEYOND`, except near a kink.

        Parameters
        ----------
        at
            Where to try, shape (dimension,); a point of no symmetry says most.

        Raises
        ------
        TypeError, ValueError
            If anything is wrong; the message names the function.

        Examples
        --------
        >>> FunctionLoss(lambda w: w @ w, lambda w: w, 1, at=[1.0])
        Traceback (most recent call last):
        ...
        ValueError: gradient must be the derivative of value, got a difference of 50% from central differences
        """
        w = self.checked_weights("at", at)
        value, gradient = self.value_at(w), self.gradient_at(w)
        direction = gradient if gradient.any() else np.random.default_rng(0).standard_normal(w.size)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise ValueError(f"value and gradient must be finite at {validation.shown(w)}, got {value} and a gradient"
                             f" of norm {np.linalg.norm(gradient)}")  # fmt: skip
        v = direction / np.linalg.norm(direction)
        for name in ("gradient", *(n for n in ("hessian_vector", "third", "fourth") if n in self._functions)):
            lower, difference = self._off(name, w, v)
            if not np.isfinite(difference):
                raise ValueError(f"{name} must be finite at {validation.shown(w)}, got NaN or infinity")
            if difference > 0.0:
                raise ValueError(
                    f"{name} must be the derivative of {lower}, got a difference of {100 * difference:.2g}% from "
                    "central differences"
                )

    @np.errstate(all="ignore")
    def _off(self, name: str, w: Array, v: Array) -> tuple[str, float]:
        """Return what a derivative is one of, and how far it is off differences of that along v; 0 within their error.

        It is relative, and infinite where the derivative is not finite.
        """
        below: dict[str, tuple[str, Callable[[Array], Array], Callable[[], Array]]] = {
            "gradient": (
                "value",
                lambda x: np.array(self.value_at(x)),
                lambda: np.array(self.gradient_at(w) @ v),
            ),
            "hessian_vector": ("gradient", self.gradient_at, lambda: self.hessian_vector_at(w, v)),
            "third": (
                "hessian_vector",
                lambda x: self.hessian_vector_at(x, v),
                lambda: self.third_at(w, v, v),
            ),
            "fourth": ("third", lambda x: self.third_at(x, v, v), lambda: self.fourth_at(w, v, v, v)),
        }
        lower, function, claimed = below[name]
        allowance = 1e-6 if lower in self.differences else 0.0
        return lower, differences.off(claimed(), function, w, v, self._step(w), allowance)

    @np.errstate(all="ignore")
    def _without_wrong_derivatives(self, w: Array, *, higher: bool) -> None:
        """Take derivatives by differences where automatic differentiation gets them wrong or has none."""

        def product(direction: Array) -> Array:
            return self.hessian_vector_at(w, direction)

        v = np.random.default_rng(0).standard_normal(w.size)
        v /= np.linalg.norm(v)

        if differences.are_wrong(self.gradient_at, product, w):
            for name in ("hessian_vector", "third", "fourth"):
                del self._functions[name]
            self.highest_derivative = 3
            if not differences.symmetric(product, v):
                raise ValueError("function must have a gradient with a symmetric derivative, got products that are no "
                                 "derivatives of one: leave out detach and stop_gradient")  # fmt: skip
            return
        for name in ("third", "fourth") if higher else ():
            with suppress(RuntimeError):  # PyTorch's own, of an operation that has no such derivative
                if name not in self._functions or self._off(name, w, v)[1] == 0.0:
                    continue
            del self._functions[name]
            if name == "third":
                self._functions.pop("fourth")
                self.highest_derivative = 3

    # -- parameters of any form ---------------------------------------------------------------------------------------

    def flatten(self, parameters: Any) -> Array:
        """Return parameters of the template's form as one vector, shape (dimension,)."""
        flat = parameters if self._model is None else self._model.flatten(parameters)
        return self.checked_weights("parameters", flat)

    def unflatten(self, w: Any) -> Any:
        """Return weights in the template's form; the inverse of :meth:`flatten`."""
        at = self.checked_weights("w", w)
        return at if self._model is None else self._model.unflatten(at)

    # -- automatic differentiation ------------------------------------------------------------------------------------

    @classmethod
    def from_jax(
        cls, function: Callable[[Any], Any], template: Any, *, at: Any = None, name: str | None = None
    ) -> FunctionLoss:
        """Return the loss of a JAX function; derivatives up to the fourth are compiled by JAX in float64.

        Hessian-vector products are forward over reverse, as are the third and fourth derivatives. JAX must first be
        set to compute in float64: ``jax.config.update("jax_enable_x64", True)``.

        Parameters
        ----------
        function
            Parameters → L, a scalar; traceable by JAX.
        template
            The number of weights, for a function of a flat vector. Or a pytree of arrays like its argument, whose
            values are a point at which the function is tried now.
        at, name
            As in the class.

        Returns
        -------
        FunctionLoss
            :meth:`flatten` and :meth:`unflatten` go between its vectors and the template's form.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, JAX computes in float32, or the function cannot be traced. If the
            function returns anything but a float64 number, or does not depend on the parameters it gets.

        Notes
        -----
        Where the function is tried, one product is compared with a difference of gradients. If JAX's is wrong, all
        higher derivatives are by differences, as `description` then says. What the function closes over is compiled
        with it: data that change later are not seen.

        Examples
        --------
        >>> import jax
        >>> import jax.numpy as jnp
        >>> jax.config.update("jax_enable_x64", True)
        >>> loss = FunctionLoss.from_jax(lambda p: jnp.cosh(p["a"]).sum() * p["b"] ** 2, {"a": jnp.ones(2), "b": 1.0})
        >>> loss.dimension, loss.value([0.0, 0.0, 1.0]), loss.sharpness([0.0, 0.0, 1.0])[0]
        (3, 2.0, 4.0)
        """
        return cls._from(Recipe("from_jax", function, template, at, name))

    @classmethod
    def from_torch(
        cls, function: Callable[[Any], Any], template: Any, *, at: Any = None, name: str | None = None
    ) -> FunctionLoss:
        """Return the loss of a PyTorch function; derivatives up to the fourth are by repeated backward passes.

        Parameters
        ----------
        function
            Parameters → L, a scalar float64 tensor; differentiable by autograd. For a module, through
            ``torch.func.functional_call``.
        template
            The number of weights, for a function of a flat vector. Or a tensor, a list or tuple of tensors, or a dict
            of tensors such as ``dict(model.named_parameters())``, like the function's argument. Their values are a
            point at which the function is tried now.
        at, name
            As in the class.

        Returns
        -------
        FunctionLoss
            :meth:`flatten` and :meth:`unflatten` go between its vectors and the template's form.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the function fails at the point or does not depend on the
            parameters it gets. If it computes in float32 (call ``.double()`` on the module and its data). If it draws
            random numbers (call ``.eval()`` on a module with dropout).

        Notes
        -----
        PyTorch gets third and fourth derivatives of some operations wrong without an error, or has none.
        ``torch.nn.LayerNorm``, and ``torch.nn.BatchNorm1d`` in training, are among them. All derivatives are therefore
        compared with differences where the function is tried. A wrong third derivative is replaced by differences of
        Hessian-vector products, as `description` then says, and there is no fourth. Wrong Hessian-vector products, as
        of an ``autograd.Function`` whose backward pass cannot be differentiated, are replaced by differences of
        gradients.

        Evaluations leave buffers of modules, such as running statistics, and random states as they are.
        """
        return cls._from(Recipe("from_torch", function, template, at, name))

    @classmethod
    def _from(cls, recipe: Recipe) -> FunctionLoss:
        model, function, at, name = recipe.model(), recipe.function, recipe.at, recipe.name
        loss = cls(
            model.value, model.gradient, model.dimension,
            hessian_vector=model.hessian_vector, third=model.third, fourth=model.fourth,
            name=getattr(function, "__name__", type(function).__name__) if name is None else name,
        )  # fmt: skip
        loss._recipe, loss._model = recipe, model
        point = model.given if at is None else at
        if point is not None:
            w = loss.checked_weights("at", point)
            model.trial(w)
            loss._without_wrong_derivatives(w, higher=recipe.may_be_wrong)
        else:
            with suppress(Exception):  # the function may be defined elsewhere only
                generic = np.random.default_rng(0).standard_normal(model.dimension)
                loss._without_wrong_derivatives(generic, higher=False)
        if at is not None:
            loss.check(at)
        return loss

    def __reduce__(self) -> Any:
        # Compiled functions stay behind; a process of its own makes them anew.
        if self._recipe is not None:
            return _remade, tuple(self._recipe)
        higher = {
            name: function for name, function in self._functions.items() if name not in ("value", "gradient")
        }
        options = higher | {"difference_step": self.difference_step, "name": self.name}
        return _rebuilt, (self._functions["value"], self._functions["gradient"], self._dimension, options)


def _rebuilt(value: Any, gradient: Any, dimension: int, options: dict[str, Any]) -> FunctionLoss:
    return FunctionLoss(value, gradient, dimension, **options)


def _remade(method: str, function: Any, template: Any, at: Any, name: str | None) -> FunctionLoss:
    if method == "from_jax":
        autodiff.enable_float64()  # as it was where the loss was made
    return FunctionLoss._from(Recipe(method, function, template, at, name))
