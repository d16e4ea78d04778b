"""Optimizers of Optax: the threshold is where their own steps begin to grow, the sharpness that of a dense matrix."""

from __future__ import annotations

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import selfstab as ss
from tests.records.recording.training_optimizers import quadratic
from tests.records.small_network import INPUTS, NETWORK, START, TARGETS

jax.config.update("jax_enable_x64", True)
pytestmark = pytest.mark.integrations


@pytest.fixture
def optax():
    import optax

    return optax


def parameters_of(w):
    """Return the network's parameters; JAX orders them as their names."""
    w1, b1, w2, b2 = np.split(w, [56, 63, 70])
    return {
        "1": {"b": jnp.array(b1), "a": jnp.array(w1.reshape(8, 7))},
        "2": (jnp.array(w2), jnp.array(b2)),
    }


def weights_of(parameters):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree_util.tree_leaves(parameters)])


def loss(p, rows=slice(None)):
    outputs = jnp.tanh(INPUTS[rows] @ p["1"]["a"] + p["1"]["b"]) @ p["2"][0][:, None] + p["2"][1]
    return jnp.mean((outputs - TARGETS[rows]) ** 2) / 2


def matching(data, k=-1):
    return float(data["preconditioned_sharpness" if "preconditioned_sharpness" in data else "sharpness"][k])


# -- the threshold, by Optax's own steps -------------------------------------------------------------------------------

MASK = (True, False)
ADAM = {"b2": quadratic.STILL}
DECAYED = {"decay": quadratic.STILL}
KINDS = {
    "descent": lambda o, lr: o.sgd(lr),
    "momentum": lambda o, lr: o.sgd(lr, momentum=0.8),
    "Nesterov": lambda o, lr: o.sgd(lr, momentum=0.8, nesterov=True),
    "averaged": lambda o, lr: o.chain(o.ema(0.8, debias=False), o.scale(-lr)),
    "decayed": lambda o, lr: o.chain(o.add_decayed_weights(1.5, MASK), o.sgd(lr, momentum=0.5)),
    "decayed beside": lambda o, lr: o.chain(
        o.trace(0.5), o.add_decayed_weights(1.5, MASK), o.scale_by_learning_rate(lr)
    ),
    "decayed descent": lambda o, lr: o.chain(o.add_decayed_weights(0.7), o.sgd(lr)),
    "injected": lambda o, lr: o.inject_hyperparams(o.sgd)(learning_rate=lr, momentum=0.7),
    "groups": lambda o, lr: o.multi_transform({"a": o.sgd(lr, 0.5), "b": o.sgd(lr / 9, 0.5)}, ("a", "b")),
    "frozen": lambda o, lr: o.multi_transform({"a": o.sgd(lr, 0.5), "b": o.set_to_zero()}, ("a", "b")),
    "momenta": lambda o, lr: o.multi_transform(
        {"a": o.sgd(lr, 0.9, nesterov=True), "b": o.sgd(lr / 3)}, ("a", "b")
    ),
    "masked": lambda o, lr: o.chain(
        o.masked(o.add_decayed_weights(1.5), MASK), o.trace(0.5), o.scale_by_schedule(lambda _: -lr)
    ),
    "Adam": lambda o, lr: o.adam(lr, **ADAM),
    "Adam beside descent": lambda o, lr: o.multi_transform(
        {"a": o.adam(lr, **ADAM), "b": o.sgd(lr / 9)}, ("a", "b")
    ),
    "Adam of Nesterov's": lambda o, lr: o.adam(lr, nesterov=True, **ADAM),
    "AdamW": lambda o, lr: o.adamw(lr, weight_decay=0.1, mask=MASK, **ADAM),
    "Adam of a decayed loss": lambda o, lr: o.chain(o.add_decayed_weights(0.5), o.adam(lr, **ADAM)),
    "Nadam": lambda o, lr: o.nadam(lr, **ADAM),
    "Adam's groups": lambda o, lr: o.multi_transform(
        {"a": o.adam(lr, **ADAM), "b": o.sgd(lr / 9, 0.9)}, ("a", "b")
    ),
    "RMSProp": lambda o, lr: o.rmsprop(lr, **DECAYED),
    "RMSProp with momentum": lambda o, lr: o.rmsprop(lr, momentum=0.8, nesterov=True, **DECAYED),
    "RMSProp decayed beside": lambda o, lr: o.chain(
        o.scale_by_rms(**DECAYED), o.add_decayed_weights(0.3), o.scale(-lr)
    ),
    "Adagrad": lambda o, lr: o.adagrad(lr),
}


def on_quadratic(optax, kind, lr):
    """Return a transformation, its weights and its state, whose mean squares stand still."""
    transformation = KINDS[kind](optax, lr)
    parameters = tuple(jnp.array(part) for part in np.split(1e-9 * quadratic.START, [2]))
    state = transformation.init(parameters)

    def begun(path, leaf):
        names = [key.name for key in path if hasattr(key, "name")]
        if names and names[-1] in ("nu", "sum_of_squares"):
            part = np.split(quadratic.SQUARES, [2])[path[-1].idx]
            # Adam divides by 1 - b2^(10^6 + 1).
            corrected = names[-1] == "nu" and "dam" in kind
            return jnp.array(part) * ((1 - quadratic.STILL ** (1e6 + 1)) if corrected else 1.0)
        if names and names[-1] == "count":
            return jnp.asarray(10**6, leaf.dtype)
        return leaf

    return transformation, parameters, jax.tree_util.tree_map_with_path(begun, state)


def quadratic_loss(parameters):
    flat = jnp.concatenate(parameters)
    return 0.5 * flat @ quadratic.HESSIAN @ flat


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_is_where_steps_begin_to_grow(optax, kind):
    """Protects what asking a transformation says: Optax's own steps, 2% below and above the threshold, decide."""

    def read(factor):
        transformation, parameters, state = on_quadratic(optax, kind, 0.1 * factor)
        recorder = ss.Recorder.for_jax(quadratic_loss, optimizer=transformation)
        recorder.log(0, parameters, state=state)
        data = recorder.dataset()
        return matching(data), float(data.max_stable_sharpness[0])

    critical = quadratic.critical_factor(read)
    for factor, stable in ((1 - quadratic.NEAR, True), (1 + quadratic.NEAR, False)):
        transformation, parameters, state = on_quadratic(optax, kind, 0.1 * critical * factor)

        @functools.partial(jax.jit, static_argnums=2)
        def sizes_of(parameters, state, steps, transformation=transformation):
            def step(carried, _):
                parameters, state = carried
                gradient = jax.grad(quadratic_loss)(parameters)
                updates, state = transformation.update(gradient, state, parameters)
                after = jax.tree_util.tree_map(jnp.add, parameters, updates)
                return (after, state), jnp.linalg.norm(jnp.concatenate(updates))

            return jax.lax.scan(step, (parameters, state), None, length=steps)[1]

        sizes = np.asarray(sizes_of(parameters, state, 600))
        sizes = sizes[: np.argmax(sizes > 1e-6)] if (sizes > 1e-6).any() else sizes
        assert quadratic.dies_out(np.maximum(sizes, 1e-300)) == stable


# -- the sharpness, by dense matrices -------------------------------------------------------------------------------


def trained(optax, transformation, steps, record):
    """Run a transformation on the network, and call `record` before each step."""
    parameters = parameters_of(START)
    state, update, slope = (
        transformation.init(parameters),
        jax.jit(transformation.update),
        jax.jit(jax.grad(loss)),
    )
    for t in range(steps):
        record(t, parameters, state)
        updates, state = update(slope(parameters), state, parameters)
        parameters = optax.apply_updates(parameters, updates)


def test_adam_with_a_schedule_and_clipping_is_that_of_a_dense_matrix(optax):
    """Protects P, lr, decay and clipping along a run: by Adam's formula in NumPy, on the explicit Hessian."""
    schedule = optax.linear_schedule(1e-3, 2e-2, 8)
    transformation = optax.chain(
        optax.clip_by_global_norm(0.4), optax.adamw(schedule, b1=0.8, b2=0.95, weight_decay=0.2)
    )
    recorder = ss.Recorder.for_jax(loss, optimizer=transformation)
    square, expected, factors = 0.0, [], []
    _, unravel = jax.flatten_util.ravel_pytree(parameters_of(START))
    slope, hessian_at = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(lambda w: loss(unravel(w))))

    def record(t, parameters, state):
        nonlocal square
        recorder.log(t, parameters, state=state)
        g = weights_of(slope(parameters))
        factors.append(min(1.0, 0.4 / np.linalg.norm(g)))
        square = 0.95 * square + 0.05 * (factors[-1] * g) ** 2
        p = (1 - 0.8 ** (t + 1)) * (np.sqrt(square / (1 - 0.95 ** (t + 1))) + 1e-8)
        hessian = np.asarray(hessian_at(weights_of(parameters)))
        lr = float(schedule(t))
        expected.append([np.linalg.eigvalsh(hessian / np.sqrt(np.outer(p, p)))[-1], lr, 18 / lr - 9 * 0.2])

    trained(optax, transformation, 10, record)
    data = recorder.dataset()
    names = ("preconditioned_sharpness", "lr", "max_stable_sharpness")
    np.testing.assert_allclose(np.array([data[n] for n in names]).T, expected, rtol=1e-6)
    np.testing.assert_allclose(data.clipping_factor, factors, rtol=1e-6)
    assert 0 < (np.array(factors) == 1).sum() < 10
    settings = json.loads(data.attrs["optimizer"])
    assert (settings["name"], settings["beta1"], settings["beta2"], settings["eps"]) == (
        "Adam",
        0.8,
        0.95,
        1e-8,
    )


def test_weight_decay_of_groups_is_in_loss_and_sharpness(optax):
    """Protects decay that a chain adds to the gradient, of some weights only."""
    mask = jax.tree_util.tree_map(lambda leaf: leaf.ndim > 1, parameters_of(START))
    transformation = optax.chain(optax.add_decayed_weights(0.5, mask), optax.sgd(0.1, momentum=0.9))
    recorder = ss.Recorder.for_jax(loss, optimizer=transformation)
    parameters = parameters_of(START)
    recorder.log(0, parameters, state=transformation.init(parameters))
    decay = np.repeat([0.5, 0.0], [56, 15])
    row = recorder.dataset().isel(step=0)
    assert float(row.sharpness) == pytest.approx(
        np.linalg.eigvalsh(NETWORK.hessian(START) + np.diag(decay))[-1], rel=1e-9
    )
    assert float(row.loss) == pytest.approx(NETWORK.value(START) + decay @ START**2 / 2, rel=1e-12)
    assert float(row.max_stable_sharpness) == ss.HeavyBall(0.1, 0.9).max_stable_sharpness()


def test_a_loop_of_adam_equals_the_simulated_run(optax):
    """Protects the convention of P, and single precision, in which most loops of JAX run."""
    run = ss.simulate(
        NETWORK, ss.Adam(0.02, 0.9, 0.97), START, 20, keep=("sharpness", "preconditioned_sharpness")
    )
    for dtype, rtol in ((jnp.float64, 1e-7), (jnp.float32, 2e-3)):
        transformation = optax.adam(0.02, 0.9, 0.97)
        recorder = ss.Recorder.for_jax(
            loss, optimizer=transformation, tolerance=1e-5 if rtol > 1e-6 else None
        )
        cast = functools.partial(jax.tree_util.tree_map, lambda leaf, dtype=dtype: leaf.astype(dtype))
        parameters = cast(parameters_of(START))
        state = transformation.init(parameters)
        update, slope = jax.jit(transformation.update), jax.jit(jax.grad(loss))
        for t in range(21):
            recorder.log(t, parameters, state=state)
            updates, state = update(cast(slope(parameters)), state, parameters)
            parameters = cast(optax.apply_updates(parameters, updates))
        data = recorder.dataset()
        for name in ("sharpness", "preconditioned_sharpness"):
            np.testing.assert_allclose(data[name], run[name], rtol=rtol)
        np.testing.assert_allclose(data.max_stable_sharpness, run.max_stable_sharpness, rtol=1e-12)


def test_what_is_not_understood_is_refused_in_one_line(optax):
    """Protects records from a threshold that is another optimizer's."""
    parameters = parameters_of(START)
    unlike = "optimizer must answer gradients linearly"
    unknown = "optimizer must be made of Optax's sgd, adam, .* got a state "
    for transformation, message in (
        (optax.lion(1e-3), unknown + "ScaleByLionState.mu"),
        (optax.adabelief(1e-3), unknown + "ScaleByBeliefState.mu"),
        (optax.yogi(1e-3), "optimizer must be made of .* got mean squares that do not decay"),
        (optax.polyak_sgd(), "optimizer must take gradients, state and parameters alone, got .*'value'"),
        (optax.chain(optax.trace(0.9), optax.adam(1e-3)), "optimizer must keep one mean of gradients"),
        (optax.sign_sgd(1e-3), unlike),
        (optax.lamb(1e-2), unlike),
        (optax.chain(optax.centralize(), optax.sgd(1e-2)), unlike),
        (optax.MultiSteps(optax.sgd(0.1), 4), "optimizer must be the one within MultiSteps, .*=state.inner_opt_state"),
    ):  # fmt: skip
        recorder = ss.Recorder.for_jax(loss, optimizer=transformation)
        with pytest.raises(ValueError, match=message) as raised:
            recorder.log(0, parameters, state=transformation.init(parameters))
        assert "\n" not in str(raised.value)
    with pytest.raises(
        ValueError, match="state must be given to log, the optimizer's before the update, got None"
    ):
        ss.Recorder.for_jax(loss, optimizer=optax.sgd(0.1)).log(0, parameters)
    with pytest.raises(ValueError, match="lr, momentum and lookahead must be left out beside optimizer"):
        ss.Recorder.for_jax(loss, optimizer=optax.sgd(0.1), lr=0.1)


def test_a_state_of_another_optimizer_is_refused_in_one_line(optax):
    """Protects loops from errors of Optax's own, and from the threshold of a state that is not the optimizer's."""
    parameters = parameters_of(START)
    others = jnp.ones(3)
    foreign = "state must be that of optimizer.init"
    adam, sgd = optax.adam(0.1), optax.sgd(0.1)
    for transformation, state, message in (
        (adam, sgd.init(parameters), foreign),
        (adam, optax.sgd(0.1, momentum=0.9).init(parameters), foreign),
        (sgd, adam.init(parameters), foreign),
        (adam, adam.init(others), foreign),
        (adam, 3, foreign),
        (
            optax.lookahead(sgd, 5, 0.5),
            optax.lookahead(sgd, 5, 0.5).init(optax.LookaheadParams.init_synced(parameters)),
            "optimizer must be made of .* got lookahead",
        ),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            ss.Recorder.for_jax(loss, optimizer=transformation).log(0, parameters, state=state)
        assert "\n" not in str(raised.value)


def test_states_of_flax_are_read(optax):
    """Protects loops of nnx, whose variables of parameters and of states are of other classes."""
    from flax import nnx

    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    graph, weights = nnx.split(model)
    x = jnp.arange(15.0).reshape(5, 3)

    def mean(state):
        return jnp.mean((nnx.merge(graph, state)(x) - 1.0) ** 2)

    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    rows = [
        ss.Recorder.for_jax(mean, optimizer=optax.adam(0.1)).log(0, weights, state=state)
        for state in (optimizer.opt_state, optax.adam(0.1).init(weights))
    ]
    assert rows[0] == rows[1]
    np.testing.assert_allclose(rows[0]["max_stable_sharpness"], 38.0 / 0.1, rtol=1e-5)
