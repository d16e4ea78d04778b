"""Training loops of JAX as people write them: what is recorded is right, or refused in one line."""

from __future__ import annotations

from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import selfstab as ss

jax.config.update("jax_enable_x64", True)
x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else import_module("jax.experimental").enable_x64


def record(function, *arguments, **settings):
    recorder = ss.Recorder.for_jax(function, lr=0.1, **settings)
    recorder.log(0, *arguments)
    return recorder.dataset().isel(step=0)


def test_data_that_a_function_closes_over_may_change():
    """Protects loops over batches: 1.5, 1.5, 1.5 was recorded for 1.5, 6 and 13.5."""
    batch = np.array([1.0])
    closing = ss.Recorder.for_jax(lambda p: 0.75 * jnp.sum((batch * p) ** 2), lr=0.1)
    taking = ss.Recorder.for_jax(lambda p, x: 0.75 * jnp.sum((x * p) ** 2), lr=0.1)
    for step in range(3):
        batch = np.array([1.0 + step])
        # A minimum: neither the loss nor its gradient says that data have changed.
        closing.log(step, jnp.zeros(1))
        taking.log(step, jnp.ones(1), batch)
    for recorder in (closing, taking):
        assert recorder.dataset().sharpness.values == pytest.approx([1.5, 6.0, 13.5], rel=1e-12)
    assert taking.dataset().loss.values == pytest.approx([0.75, 3.0, 6.75], rel=1e-12)


def test_a_function_is_compiled_once():
    """Protects the cost of a record: one whose data stay is traced once, to see that they do, and not compiled."""
    traces = []

    def function(p):
        if isinstance(p, jax.core.Tracer):
            traces.append(1)
        return jnp.sum(jnp.tanh(p) ** 4)

    recorder = ss.Recorder.for_jax(function, lr=0.1)
    recorder.log(0, jnp.linspace(0.1, 1, 70, dtype=jnp.float32))
    first = len(traces)
    for step in range(1, 4):
        recorder.log(step, jnp.linspace(0.2, 1, 70, dtype=jnp.float32))
    assert len(traces) == first + 3


def test_leaves_that_are_no_weights_stay_as_they_are():
    """Protects pytrees that hold counters, flags, keys and functions beside the weights."""
    parameters = {
        "w": jnp.array([1.0, 2.0]),
        "count": 3,
        "places": jnp.array([1, 0]),
        "mask": np.array([True, False]),
        "key": jax.random.key(0),
        "activation": jnp.square,
        "flag": True,
        "nothing": None,
        "bias": 1.0,
    }

    def loss(p):
        sign = 1.0 if p["flag"] else -1.0
        w = jnp.where(p["mask"], p["w"][p["places"]], 1.0 * p["w"])
        return sign * p["count"] * (p["activation"](w).sum() + 2.0 * p["bias"] ** 2)

    recorder = ss.Recorder.for_jax(loss, lr=0.1)
    recorder.log(0, parameters)
    recorder.log(1, parameters | {"count": 4, "places": jnp.array([0, 0])})
    recorder.log(2, parameters | {"flag": False})
    # w = (w₁, w₁), (w₀, w₁), (w₁, w₁), and 2·bias² in all
    assert recorder.dataset().sharpness.values == pytest.approx([12.0, 16.0, 0.0], abs=1e-12)
    with pytest.raises(TypeError, match="parameters must hold arrays of float64 or float32"):
        recorder.log(3, {"count": 3})


def test_a_loss_in_parts_is_the_loss():
    """Protects losses that do not fit into memory: sums and weighted means, of parts of several sizes."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)), rng.standard_normal(50)
    parameters = {"w": jnp.array(rng.standard_normal((4, 5))), "a": jnp.array(rng.standard_normal(5))}
    batches = [(x[k : k + 16], y[k : k + 16]) for k in range(0, 50, 16)]

    def mean(p, batch):
        return jnp.mean((jnp.tanh(batch[0] @ p["w"]) @ p["a"] - batch[1]) ** 2)

    whole = record(lambda p: mean(p, (x, y)), parameters)
    for function, parts in (
        (lambda p, b: (mean(p, b), len(b[1])), batches),
        (lambda p, b: mean(p, b) * len(b[1]) / 50, batches),
    ):
        row = record(function, parameters, parts=parts)
        for name in ("loss", "sharpness"):
            assert float(row[name]) == pytest.approx(float(whole[name]), rel=1e-10)


@jax.custom_vjp
def cube(z):
    return z**3


def opaque(z):
    """Return 3z² from NumPy, as a kernel outside of JAX does."""
    return jax.pure_callback(
        lambda z: np.asarray(3 * z * z, z.dtype), jax.ShapeDtypeStruct(z.shape, z.dtype), z
    )


cube.defvjp(lambda z: (z**3, z), lambda z, slope: (slope * opaque(z),))


@jax.custom_vjp
def silent_cube(z):
    return z**3


silent_cube.defvjp(lambda z: (z**3, z), lambda z, slope: (3 * jax.lax.stop_gradient(z) ** 2 * slope,))


@pytest.mark.parametrize("power", ["float64", "float32"])
@pytest.mark.parametrize("operation", [cube, silent_cube])
def test_second_derivatives_that_jax_drops(power, operation):
    """Protects from derivatives of the user's own that have none: products are differences of gradients."""
    w = jnp.linspace(1, 2, 80, dtype=power)
    row = record(lambda p: operation(p).sum() + (p**2).sum(), w)
    assert float(row.sharpness) == pytest.approx(14.0, rel=1e-7 if power == "float64" else 5e-3)
    assert row.attrs["hessian_vector"].startswith("differences of gradients")


def test_functions_that_are_no_loss_of_the_parameters_are_told():
    """Protects from Hessians of zeros, and from errors of JAX's own."""
    for function, error, message in (
        (lambda p: jnp.ones(()), ValueError, "function must depend on the parameters that log is given"),
        (
            lambda p: (p[0] * jax.lax.stop_gradient(p[1])) ** 2,
            ValueError,
            "gradient with a symmetric derivative",
        ),
        (
            lambda p: p**2,
            TypeError,
            "function must be traceable and differentiable by JAX and return one number, got TypeE",
        ),
        (lambda p: np.sin(p).sum(), TypeError, "got TracerArrayConversionError"),
        (lambda p: opaque(p).sum(), TypeError, "got ValueError: Pure callbacks do not support JVP"),
        (
            lambda p: "3",
            TypeError,
            "function must be traceable and differentiable by JAX and return one number",
        ),
        (lambda p: (p.sum(), p), TypeError, "a weight of shape"),
    ):
        with pytest.raises(error, match=message):
            record(function, jnp.array([1.0, 2.0]))
    with pytest.raises(TypeError, match="parts must be a list, a data loader"):
        ss.Recorder.for_jax(lambda p, part: p.sum(), parts=iter([1]))
    with pytest.raises(ValueError, match="parts must hold at least one, got none"):
        record(lambda p, part: p.sum(), jnp.ones(2), parts=[])
    with pytest.raises(ValueError, match="data must be left out, for the recorder has parts"):
        record(lambda p, part: p.sum(), jnp.ones(2), 1.0, parts=[1.0])
    with pytest.raises(ValueError, match="data must be left out, for only a function of JAX takes any"):
        ss.Recorder(lr=0.1).log(0, None, 3, loss=1.0, hessian_vector=lambda v: v, dimension=2)


def test_kinks_are_no_reason_to_take_differences():
    """Protects networks of ReLU in float32: their gradients jump, JAX's products are right."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape).astype(np.float32) for shape in ((2000, 8), 2000))
    p = {"w": jnp.array(x[:8, :8]), "a": jnp.array(y[:8])}
    row = record(lambda p: jnp.mean((jax.nn.relu(x @ p["w"]) @ p["a"] - y) ** 2), p)
    assert "hessian_vector" not in row.attrs


def test_a_step_that_is_not_finite_is_recorded_as_such():
    """Protects runs in which one step overflows and is skipped."""
    recorder = ss.Recorder.for_jax(lambda p, factor: factor * jnp.sum(p**2), lr=0.1)
    factors = np.array([np.inf, 1.0, np.nan, 2.0])
    for step, factor in enumerate(factors):
        recorder.log(step, jnp.ones(80), factor)
    recorded = recorder.dataset()
    np.testing.assert_array_equal(recorded.loss, 80.0 * factors)
    finite = np.isfinite(factors)
    np.testing.assert_array_equal(np.isnan(recorded.sharpness), ~finite)
    assert recorded.sharpness.values[finite] == pytest.approx(2.0 * factors[finite], rel=1e-12)


def test_losses_of_any_precision_are_numbers():
    """Protects losses in half precision that the loop hands over."""
    recorder = ss.Recorder(lr=0.1)
    for step, kind in enumerate(("bfloat16", "float16", "float32")):
        recorder.log(step, loss=jnp.array(18.0, dtype=kind), hessian_vector=lambda v: v, dimension=2)
    assert recorder.dataset().loss.values.tolist() == [18.0] * 3


def test_loss_that_becomes_infinite_is_recorded():
    """An infinite factor that the function closes over is not answered with the value compiled before."""
    factor = [1.0]
    recorder = ss.Recorder.for_jax(lambda w: factor[0] * (w**2).sum(), lr=0.1)
    assert recorder.log(0, jnp.ones(3))["loss"] == 3.0
    factor[0] = float("inf")
    assert recorder.log(1, jnp.ones(3))["loss"] == float("inf")
    factor[0] = 2.0
    assert recorder.log(2, jnp.ones(3))["sharpness"] == pytest.approx(4.0)


def test_data_of_a_later_part_that_change_are_seen():
    """What the function closes over is compared for all parts, not for the first one alone."""
    factors = [1.0, 1.0]
    parts = [jnp.ones(1), jnp.ones(2)]
    recorder = ss.Recorder.for_jax(
        lambda w, x: factors[len(x) - 1] * 0.5 * jnp.sum((x * w) ** 2), parts=parts, lr=0.1
    )
    assert recorder.log(0, jnp.asarray(1.0))["sharpness"] == pytest.approx(3.0)  # 1 + 2
    factors[1] = 5.0
    assert recorder.log(1, jnp.asarray(1.0))["sharpness"] == pytest.approx(11.0)  # 1 + 5·2


def single_precision(function, *steps, **settings):
    """Return the sharpness of records at float32 parameters, each after a change of the user's."""
    with x64(False):
        p = {"w": jnp.linspace(-1, 1, 20, dtype=jnp.float32).reshape(4, 5), "a": jnp.ones(5, jnp.float32)}
        recorder = ss.Recorder.for_jax(function, lr=0.1, tolerance=1e-4, **settings)
        for k, change in enumerate(steps or (lambda: None,)):
            change()
            recorder.log(k, p)
        return recorder.dataset()


RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.standard_normal((30, 4)).astype(np.float32), RNG.standard_normal(30).astype(np.float32)


def squares(p, inputs=INPUTS, power=jnp.tanh):
    return jnp.mean((power(inputs @ p["w"]) @ p["a"] - TARGETS) ** 2)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_constant_does_not_hide_changed_data(in_place):
    """Protects losses with a large constant, beside which a change of data is rounding in float32."""
    batch = np.ones(3, dtype=np.float32)

    def change(factor):
        nonlocal batch
        if in_place:
            batch *= factor
        else:
            batch = factor * batch

    recorded = single_precision(
        lambda p: 1e6 + 0.75 * jnp.sum((batch * p["a"][:3]) ** 2),
        lambda: None,
        lambda: change(np.float32(1.01)),
    )
    assert recorded.sharpness.values == pytest.approx([1.5, 1.5 * 1.01**2], rel=1e-5)


@pytest.mark.parametrize("inner", [False, True])
def test_functions_compiled_with_earlier_data_are_refused(inner):
    """Protects closures that the user has compiled: JAX goes on with the data that they closed over first."""
    batch = [INPUTS]
    if inner:
        output = jax.jit(lambda p: jnp.tanh(batch[0] @ p["w"]) @ p["a"])

        def function(p):
            return jnp.mean((output(p) - TARGETS) ** 2)

    else:
        function = jax.jit(lambda p: squares(p, batch[0]))
    same = single_precision(function, lambda: None, lambda: None).sharpness.values
    expected = float(single_precision(squares).sharpness[0])
    assert same == pytest.approx([expected] * 2, rel=1e-4)
    with pytest.raises(ValueError, match="function must take data that change as an argument"):
        single_precision(function, lambda: batch.__setitem__(0, 2 * INPUTS))


def test_draws_within_a_function_are_refused():
    """Protects from noise that each trace draws anew, and the states it is drawn from."""
    generator = np.random.default_rng(0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (the global state is what is watched)
    own = generator.bit_generator.state
    for draw in (np.random.standard_normal, generator.standard_normal):
        with pytest.raises(ValueError, match="function must compute one loss, got another each time"):
            single_precision(lambda p, draw=draw: squares(p, INPUTS + draw(INPUTS.shape).astype("f4")))
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert generator.bit_generator.state == own


def test_a_block_without_second_derivatives_is_seen_beside_kinks():
    """Protects one small block among ReLU: in float32 differences of gradients are too noisy to tell of it."""

    def loss(p, power):
        hidden = INPUTS @ p["w"]
        return jnp.mean(((jax.nn.relu(hidden) + 0.05 * power(hidden)) @ p["a"] - TARGETS) ** 2)

    dropped = single_precision(lambda p: loss(p, silent_cube))
    exact = single_precision(lambda p: loss(p, lambda z: z**3))
    assert dropped.attrs["hessian_vector"].startswith("differences of gradients")
    assert "hessian_vector" not in exact.attrs
    assert float(dropped.sharpness[0]) == pytest.approx(float(exact.sharpness[0]), rel=1e-4)
    with pytest.raises(ValueError, match="gradient with a symmetric derivative"):
        single_precision(lambda p: squares(p, power=jax.nn.relu) * jax.lax.stop_gradient(p["a"].sum() + 1))


def test_a_trial_in_float64_leaves_float32_alone():
    """Protects the user's own compilation: JAX keeps one copy of NumPy's data, in the precision it was seen in."""
    with x64(False):
        x = np.random.default_rng(1).standard_normal((20, 3))  # float64, which JAX makes float32 here
        p = jnp.ones(3, jnp.float32)

        def loss(p):
            return jnp.mean((silent_cube(x @ p) - 1.0) ** 2)

        # Releases differ in when they make NumPy's data float32: in a trace, or when it runs. Of x itself JAX keeps
        # the precision in which the recorder sees it first.
        other = x.copy()
        usual = {str(constant.dtype) for constant in jax.make_jaxpr(lambda p: other @ p)(p).consts}
        recorder = ss.Recorder.for_jax(loss, lr=0.1, tolerance=1e-4)
        for step in range(2):
            recorder.log(step, p)
            assert jax.jit(jax.grad(lambda p: loss(p)))(p).dtype == jnp.float32
            constants = jax.make_jaxpr(lambda p: loss(p))(p).consts
            assert {str(constant.dtype) for constant in constants} == usual
        assert not jax.config.jax_enable_x64
