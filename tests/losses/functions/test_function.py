"""Losses of the user's own functions: derivatives against closed forms, by whichever way they are taken."""

from __future__ import annotations

import re
import threading

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import selfstab as ss
from selfstab.eigen.pairs import DENSE_UP_TO
from selfstab.sweeps.runners import cells
from tests.losses.jax_networks import fitted_order, relative_error
from tests.losses.jax_networks import mlp as jax_mlp

RNG = np.random.default_rng(0)
WIDTHS = (4, 5, 2)
NETWORK = ss.MLP(WIDTHS, RNG.standard_normal((9, 4)), RNG.standard_normal((9, 2)))
LARGE = ss.MLP((8, 7, 1), RNG.standard_normal((20, 8)), RNG.standard_normal(20))  # 71 weights
POINT, U, V = RNG.standard_normal((3, NETWORK.dimension))


def plain(network=NETWORK, **given):
    """Return a network's loss as a user's functions."""
    return ss.FunctionLoss(network.value, network.gradient, network.dimension, **given)


def in_jax(network=NETWORK):
    program = jax_mlp(network.widths, "tanh")
    inputs, targets = network.inputs, network.targets
    return ss.FunctionLoss.from_jax(lambda w: program(w, inputs, targets), network.dimension)


def in_torch(network=NETWORK):
    import torch

    inputs, targets = torch.from_numpy(network.inputs), torch.from_numpy(network.targets)
    return ss.FunctionLoss.from_torch(
        lambda p: torch_mlp(torch, p, inputs, targets), torch_template(torch, network)
    )


def torch_template(torch, network):
    shapes = [
        shape for a, b in zip(network.widths, network.widths[1:], strict=False) for shape in ((a, b), (b,))
    ]
    return [torch.zeros(shape) for shape in shapes]


def torch_mlp(torch, parameters, inputs, targets):
    values = inputs
    for k in range(0, len(parameters), 2):
        values = (torch.tanh(values) if k else values) @ parameters[k] + parameters[k + 1]
    return ((values - targets) ** 2).sum() / (2 * len(inputs))


WAYS = {"JAX": in_jax, "PyTorch": in_torch}
INSTALLED = ["JAX", pytest.param("PyTorch", marks=pytest.mark.integrations)]


@pytest.mark.parametrize("way", INSTALLED)
def test_automatic_derivatives_equal_the_closed_forms(way):
    """Protects all derivatives of a model in JAX or PyTorch, the fourth by a difference of the exact third."""
    loss = WAYS[way]()
    assert loss.value(POINT) == pytest.approx(NETWORK.value(POINT), rel=1e-13)
    for ours, exact in (
        (loss.gradient(POINT), NETWORK.gradient(POINT)),
        (loss.hessian_vector(POINT, V), NETWORK.hessian_vector(POINT, V)),
        (loss.hessian(POINT), NETWORK.hessian(POINT)),
        (loss.third(POINT, U, V), NETWORK.third(POINT, U, V)),
        (loss.sharpness_gradient(POINT), NETWORK.sharpness_gradient(POINT)),
    ):
        assert relative_error(ours, exact) < 1e-11
    h = 1e-4
    difference = (NETWORK.third(POINT + h * V, U, V) - NETWORK.third(POINT - h * V, U, V)) / (2 * h)
    assert relative_error(loss.fourth_at(POINT, U, V, V), difference) < 1e-6
    assert np.array_equal(loss.hessian(POINT), loss.hessian(POINT).T)
    assert loss.differences == ()


@pytest.mark.parametrize("way", INSTALLED)
def test_a_run_of_an_automatic_loss_is_that_of_the_network(way):
    """Protects the use in simulate: loss, sharpness and its residual along a run, by products beyond the dense size."""
    assert LARGE.dimension > DENSE_UP_TO
    start, kept = LARGE.initial_weights(), ["loss", "sharpness", "weights"]
    settings = {"optimizer": ss.HeavyBall(0.2, 0.9), "start": start, "steps": 40, "keep": kept}
    ours, exact = (ss.simulate(loss, **settings) for loss in (WAYS[way](LARGE), LARGE))
    for name in kept:
        assert relative_error(ours[name].values, exact[name].values) < 1e-9
    assert (ours.sharpness_residual <= 1e-10 * ours.sharpness).all()


def test_differences_are_as_exact_as_said():
    """Protects what stands in for derivatives that are not given."""
    gradients_only, products = plain(), plain(hessian_vector=NETWORK.hessian_vector)
    thirds = plain(hessian_vector=NETWORK.hessian_vector, third=NETWORK.third)
    exact = NETWORK.hessian_vector(POINT, V), NETWORK.third(POINT, U, V)
    assert relative_error(gradients_only.hessian_vector(POINT, V), exact[0]) < 1e-9
    assert np.array_equal(products.hessian_vector(POINT, V), exact[0])
    assert relative_error(gradients_only.third(POINT, U, V), exact[1]) < 1e-6
    assert relative_error(products.third(POINT, U, V), exact[1]) < 1e-9
    # Truncated at h² = 10⁻⁹ here, and the fifth and sixth derivatives are the larger ones.
    assert relative_error(thirds.fourth_at(POINT, U, V, V), in_jax().fourth_at(POINT, U, V, V)) < 1e-8
    assert gradients_only.sharpness(POINT)[0] == pytest.approx(NETWORK.sharpness(POINT)[0], rel=1e-9)
    zero = np.zeros(NETWORK.dimension)
    assert not gradients_only.hessian_vector(POINT, zero).any()
    assert gradients_only.differences == ("hessian_vector", "third")
    assert thirds.differences == ("fourth",)
    assert "by differences: hessian_vector, third" in gradients_only.description
    assert "difference" not in in_jax().description


def test_differences_are_of_second_order_in_the_step():
    """Protects the central difference: the error falls with the square of the step."""
    steps = np.array([1e-2, 1e-3])
    exact = NETWORK.hessian_vector(POINT, V)

    def error(step):
        return relative_error(plain(difference_step=step).hessian_vector(POINT, V), exact)

    assert fitted_order(error, steps) == pytest.approx(2.0, abs=0.02)


def test_differences_do_not_depend_on_the_directions_length():
    """Protects against a step that a long direction would stretch."""
    loss = plain()
    np.testing.assert_allclose(
        loss.hessian_vector(POINT, 1e6 * V), 1e6 * loss.hessian_vector(POINT, V), rtol=1e-6
    )


def test_a_run_with_differences_finds_the_catapults():
    """Protects the whole way of a loss of NumPy functions: run, sharpness, catapults."""
    product = ss.Product()
    loss = ss.FunctionLoss(product.value, product.gradient, 2, name="uv")
    start, previous = ss.flip_start(loss, product.minimum(sharpness=4.0), size=1e-3)
    run, exact = (
        ss.simulate(k, ss.HeavyBall(0.97, 0.9), start, 2000, previous=previous) for k in (loss, product)
    )
    found, expected = (ss.catapults(r.sharpness, r.max_stable_sharpness, r.loss) for r in (run, exact))
    np.testing.assert_allclose(found.overshoot, expected.overshoot, rtol=1e-6)
    assert run.attrs["loss"] == "FunctionLoss(uv, dimension=2, by differences: hessian_vector, third)"


def test_parameters_of_any_form_become_one_vector():
    """Protects flatten and unflatten: JAX's pytrees, PyTorch's dicts, and vectors as they are."""
    tree = {"b": jnp.arange(3.0), "a": [jnp.ones((2, 2)), 5.0]}
    loss = ss.FunctionLoss.from_jax(lambda p: (p["b"] ** 2).sum() + p["a"][0].sum() * p["a"][1], tree)
    w = loss.flatten(tree)
    assert w.shape == (8,) == (loss.dimension,)
    assert w.dtype == np.float64
    back = loss.unflatten(w)
    assert jax.tree_util.tree_structure(back) == jax.tree_util.tree_structure(tree)
    assert np.array_equal(back["b"], tree["b"])
    assert np.array_equal(plain().unflatten(plain().flatten(POINT)), POINT)


@pytest.mark.integrations
def test_parameters_of_torch_modules():
    """Protects the way in for a torch.nn.Module."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
    parameters = dict(model.named_parameters())
    inputs = torch.ones(4, 3, dtype=torch.float64)
    loss = ss.FunctionLoss.from_torch(
        lambda p: torch.func.functional_call(model, p, inputs).square().mean(), parameters
    )
    w = loss.flatten(parameters)
    assert loss.value(w) == model(inputs).square().mean().item()
    assert list(loss.unflatten(w)) == list(parameters)
    with pytest.raises(ValueError, match="parameters must have the shapes"):
        loss.flatten({name: torch.zeros(1) for name in parameters})
    single = ss.FunctionLoss.from_torch(lambda p: p.float().sum(), 2)
    with pytest.raises(
        TypeError, match=r"function must return a scalar tensor of torch.float64, got torch.float32"
    ):
        single.value([1.0, 2.0])
    for template in ({}, "x", [1.0], None):
        with pytest.raises(TypeError, match="template must be a number of weights or a tensor"):
            ss.FunctionLoss.from_torch(lambda p: p, template)
    constant = ss.FunctionLoss.from_torch(lambda p: p @ torch.ones(2, dtype=torch.float64), 2)
    assert not constant.hessian([1.0, 2.0]).any()


@pytest.mark.integrations
def test_torch_functions_are_tried_where_their_template_is():
    """Protects against what would fail later, or never: float32, another signature, parameters that are not used."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
    parameters, inputs = dict(model.named_parameters()), torch.ones(4, 3, dtype=torch.float64)
    call = torch.func.functional_call
    for function, error, message in (
        (lambda p: call(model, p, inputs).float().mean(), TypeError, "got torch.float32, shape"),
        (
            lambda p: call(model, p, inputs),
            TypeError,
            r"scalar tensor of torch.float64, got torch.float64, shape \(4",
        ),
        (
            lambda p: call(model, p, inputs.float()).mean(),
            TypeError,
            r"call .double\(\).*got RuntimeError: mat1",
        ),
        (model, TypeError, "tensors of the template's form .* got TypeError: linear"),
        (lambda p: model(inputs).mean(), ValueError, "function must depend on the parameters it is given"),
        (lambda p: torch.ones((), dtype=torch.float64), ValueError, "function must depend on the parameters"),
        (
            lambda p: (call(model, p, inputs) * torch.rand(4, 1)).mean(),
            ValueError,
            "one value at one point, as a module",
        ),
    ):
        with pytest.raises(error, match=message):
            ss.FunctionLoss.from_torch(function, parameters)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            lambda p: jnp.ones(3).sum(),
            ValueError,
            "function must depend on the parameters it is given, got a gradient of",
        ),
        (
            lambda p: 3.0,
            ValueError,
            "function must depend on the parameters it is given, got a gradient of zero",
        ),
        (
            lambda p: p["a"] ** 2,
            TypeError,
            r"return one float64 number, got TypeError: a result of shape \(3,\)",
        ),
        (lambda p: np.sin(p["a"]).sum(), TypeError, "got TracerArrayConversionError: "),
        (lambda p: jnp.sum(p["a"] > 0), TypeError, "a result of shape .* int"),
        (lambda p: p["b"].sum(), TypeError, "got KeyError: 'b'"),
    ],
)
def test_jax_functions_are_tried_where_their_template_is(function, error, message):
    """Protects against what would fail later, or never: no trace, no scalar, parameters that are not used."""
    with pytest.raises(error, match=message):
        ss.FunctionLoss.from_jax(function, {"a": jnp.ones(3)})


@pytest.mark.integrations
def test_derivatives_that_torch_gets_wrong_are_not_used():
    """Protects third derivatives: of normalizations PyTorch's are wrong by their own size, without a word."""
    import torch

    inputs = torch.tensor(np.random.default_rng(0).standard_normal((5, 3)))

    def normalized(x, by_hand):
        z = inputs @ x["a"]
        if not by_hand:
            return torch.nn.functional.layer_norm(z, (4,))
        z = z - z.mean(1, keepdim=True)
        return z / torch.sqrt((z**2).mean(1, keepdim=True) + 1e-5)

    template = {"a": torch.tensor(np.random.default_rng(1).standard_normal((3, 4)))}
    weights = torch.arange(4.0, dtype=torch.float64)
    native, right = (
        ss.FunctionLoss.from_torch(
            lambda p, by=by: (torch.tanh(normalized(p, by)) * weights).mean(), template
        )
        for by in (False, True)
    )
    assert right.differences == ()
    assert native.differences == ("third",)
    w = right.flatten(template)
    u, v = np.random.default_rng(2).standard_normal((2, 12))
    assert native.third(w, u, v) == pytest.approx(
        right.third(w, u, v), abs=1e-7 * np.linalg.norm(right.third(w, u, v))
    )
    with pytest.raises(ValueError, match="must have derivatives of order 4 for this"):
        native.fourth(w, u, u, v)
    again = cloudpickle.loads(cloudpickle.dumps(native))
    assert again.description == native.description


def test_jax_in_float32_is_refused():
    """Protects against derivatives of half the digits."""
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match=r"JAX must compute in float64, call jax\.config\.update"):
            ss.FunctionLoss.from_jax(jnp.sum, 2)
    finally:
        jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("make", [plain, in_jax], ids=["NumPy", "JAX"])
def test_a_loss_goes_to_another_process(make):
    """Protects sweeps in processes: what comes out of a pickle is the same function."""
    loss = make()
    again = cloudpickle.loads(cloudpickle.dumps(loss))
    assert again.description == loss.description
    assert np.array_equal(again.hessian_vector(POINT, V), loss.hessian_vector(POINT, V))


@pytest.mark.slow
@pytest.mark.parametrize("make", [plain, in_jax], ids=["NumPy", "JAX"])
def test_a_sweep_in_processes_is_the_sweep(make, monkeypatch, same_cells):
    """Protects the bits of a sweep of one's own functions from where its cells run."""
    monkeypatch.setattr(cells, "WORTH_SECONDS", 0.0)
    given = {"axes": {"lr": [0.1, 0.2]}, "start": ss.Initialization(), "steps": 20, "progress": False}
    here, there = (ss.sweep(make(), ss.HeavyBall(0.1), **given, threads=n) for n in (1, 2))
    same_cells(here, there)


def test_a_sweep_of_what_does_not_pickle_says_so(monkeypatch):
    """Protects the message of a function that holds a lock, an open file, or the like."""
    monkeypatch.setattr(cells, "WORTH_SECONDS", 0.0)
    lock = threading.Lock()

    def value(w):
        with lock:
            return float(w @ w) / 2

    loss = ss.FunctionLoss(value, lambda w: w, 2)
    given = {"axes": {"lr": [0.1, 0.2]}, "start": [1.0, 1.0], "steps": 5, "progress": False}
    with pytest.raises(
        TypeError, match=r"loss must be picklable to run in processes, or threads 1: cannot pickle"
    ):
        ss.sweep(loss, ss.HeavyBall(0.1), **given, threads=2)
    assert ss.sweep(loss, ss.HeavyBall(0.1), **given, threads=1).final_loss.shape == (2,)


def test_functions_cannot_change_a_run():
    """Protects the trajectory from a function that works in place, or returns its own buffer again and again."""
    buffer = np.empty(2)

    def gradient(w):
        np.copyto(buffer, w)
        w[:] = np.nan
        return buffer

    loss = ss.FunctionLoss(lambda w: 0.5 * w @ w, gradient, 2)
    run = ss.simulate(loss, ss.HeavyBall(0.5), [1.0, 2.0], 3, keep=["weights"])
    assert run.weights.values.tolist() == [[1.0, 2.0], [0.5, 1.0], [0.25, 0.5], [0.125, 0.25]]


def test_divergence_is_a_result():
    """Protects runs that leave the range of a function: the step is recorded, nothing warns."""
    loss = ss.FunctionLoss(lambda w: np.exp(w).sum(), np.exp, 2, hessian_vector=lambda w, v: np.exp(w) * v)
    run = ss.simulate(loss, ss.HeavyBall(0.5), [800.0, 1.0], 10)
    assert int(run.diverged_at) == 1
    assert not np.isfinite(run.loss[0])


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({"value": lambda w: w}, "value must return one number, got shape (2,)"),
        ({"value": lambda w: "x"}, "value must return float64 numbers, got"),
        ({"value": lambda w: None}, "value must return float64 numbers, got"),
        ({"gradient": lambda w: w[:1]}, "gradient must return an array of shape (2,), got shape (1,)"),
        ({"gradient": lambda w: w.astype(np.float32)}, "gradient must return float64 numbers, got dtype float32"),
        ({"gradient": lambda w: w + 0j}, "gradient must return float64 numbers, got dtype complex128"),
        ({"gradient": lambda w: 2 * w}, "gradient must be the derivative of value"),
        ({"gradient": lambda w: w * np.nan}, "value and gradient must be finite at"),
        ({"hessian_vector": lambda w, v: -v}, "hessian_vector must be the derivative of gradient"),
        ({"hessian_vector": lambda w, v: v * np.inf}, "hessian_vector must be finite at"),
        ({"third": lambda w, u, v: v}, "third must be the derivative of hessian_vector"),
        ({"third": lambda w, u, v: 0 * v, "fourth": lambda w, u, v, z: z}, "fourth must be the derivative of third"),
    ],
)  # fmt: skip
def test_wrong_functions_are_named(functions, message):
    """Protects users from their own mistakes before anything runs."""
    right = {"value": lambda w: 0.5 * float(w @ w), "gradient": lambda w: w, "dimension": 2}
    assert ss.FunctionLoss(**right, at=[1.0, 2.0]).dimension == 2
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        ss.FunctionLoss(**(right | functions), at=[1.0, 2.0])
    assert "\n" not in str(caught.value)


def test_right_functions_pass_the_check():
    """Protects the check from false alarms: on networks at several scales, and where the gradient is zero."""
    for loss in (plain(), in_jax(), plain(hessian_vector=NETWORK.hessian_vector, third=NETWORK.third)):
        for scale in (1e-3, 1.0, 3.0):
            loss.check(scale * POINT)
    ss.FunctionLoss(lambda w: 0.5 * float(w @ w), lambda w: w, 2).check([0.0, 0.0])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1.0, np.sin, 2), {}, TypeError, "value must be a function, got 1.0"),
        ((np.sin, None, 2), {}, TypeError, "gradient must be a function, got None"),
        ((np.sin, np.sin, 0), {}, ValueError, "dimension must be an integer >= 1"),
        ((np.sin, np.sin, 2), {"third": 3}, TypeError, "third must be a function, got 3"),
        ((np.sin, np.sin, 2), {"difference_step": 0}, ValueError, "difference_step must be in (0, inf)"),
        ((np.sin, np.sin, 2), {"name": 3}, TypeError, "name must be a text, got 3"),
        ((np.sin, np.sin, 2), {"at": [1.0]}, ValueError, "at must have shape (2,)"),
    ],
)
def test_bad_input_is_named(arguments, options, error, message):
    """Protects the door."""
    with pytest.raises(error, match=re.escape(message)):
        ss.FunctionLoss(*arguments, **options)


@pytest.mark.parametrize("template", [{}, "x", None, {"a": "b"}, [object()], True])
def test_bad_templates_are_named(template):
    """Protects the door of from_jax."""
    with pytest.raises(TypeError, match="template must be"):
        ss.FunctionLoss.from_jax(jnp.sum, template)
    with pytest.raises(TypeError, match="function must be a function"):
        ss.FunctionLoss.from_jax(3, 2)


def test_there_is_no_fourth_without_a_third():
    """Protects against a fourth derivative made of noise."""
    assert plain().highest_derivative == 3
    with pytest.raises(NotImplementedError, match="fourth needs the function fourth"):
        plain().fourth_at(POINT, U, V, V)


MISTAKEN = {
    "simulate": lambda loss: ss.simulate(loss, ss.HeavyBall(0.1), [1.0, 1.0, 1.0], 3),
    "constrained_trajectory": lambda loss: ss.constrained_trajectory(
        loss, ss.HeavyBall(0.1), [1.0, 1.0, 1.0], 3
    ),
    "averaged_flow": lambda loss: ss.averaged_flow(loss, ss.HeavyBall(0.1), [1.0, 1.0, 1.0], 3),
    "edge_flow": lambda loss: ss.edge_flow(loss, ss.HeavyBall(0.1), [1.0, 1.0, 1.0], 3),
    "rod_flow": lambda loss: ss.rod_flow(loss, ss.HeavyBall(0.1), [1.0, 1.0, 1.0], 3),
    "hessian_spectrum": lambda loss: ss.hessian_spectrum(loss, [[1.0, 1.0, 1.0], [0.5, 1.0, 1.0]]),
    "sharpness": lambda loss: loss.sharpness([0.5, 1.0, 1.0]),
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_a_mistake_in_a_users_function_is_no_divergence(name):
    """Protects users from a NaN sharpness in place of their own function's error."""
    curvatures = np.array([3.0, 1.0, 0.5])

    def product(w, v):
        if w[0] < 0.9:
            raise ValueError("operands could not be broadcast")
        return curvatures * v

    loss = ss.FunctionLoss(
        lambda w: 0.5 * float(w @ (curvatures * w)), lambda w: curvatures * w, 3, hessian_vector=product
    )
    with pytest.raises(ValueError, match="operands could not be broadcast"):
        MISTAKEN[name](loss)


def test_second_derivatives_that_jax_drops_are_differences():
    """Protects from derivatives of the user's own that have none: a product by JAX is compared where it is tried."""

    @jax.custom_vjp
    def cube(z):
        return z**3

    cube.defvjp(lambda z: (z**3, z), lambda z, slope: (3 * jax.lax.stop_gradient(z) ** 2 * slope,))
    for template in ({"w": jnp.linspace(1.0, 2.0, 3)}, 3):
        loss = ss.FunctionLoss.from_jax(
            lambda p: cube(p["w"] if isinstance(p, dict) else p).sum() + 1.0, template
        )
        assert loss.differences == ("hessian_vector", "third")
        assert loss.sharpness([1.0, 1.5, 2.0])[0] == pytest.approx(12.0, rel=1e-8)
    with pytest.raises(ValueError, match="function must have a gradient with a symmetric derivative"):
        ss.FunctionLoss.from_jax(lambda p: (p[0] * jax.lax.stop_gradient(p[1])) ** 2, jnp.array([1.0, 2.0]))
