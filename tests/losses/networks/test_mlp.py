"""Networks against JAX, finite differences and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from selfstab import MLP, datasets
from selfstab.losses.base import newton
from selfstab.losses.networks.activations import ACTIVATIONS
from tests.losses.jax_networks import derivatives, fitted_order, mlp, ours, relative_error

SMOOTH = ["tanh", "gelu"]
EVERY = tuple(sorted(ACTIVATIONS))


def random_network(widths, activation, samples=6, seed=0, criterion="mse", weight_decay=0.0):
    """Return a network on random data, and three random weight vectors."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((samples, widths[0]))
    targets = random.standard_normal((samples, widths[-1]))
    if criterion == "cross-entropy":
        targets = np.exp(targets) / np.exp(targets).sum(axis=1, keepdims=True)
    loss = MLP(widths, inputs, targets, activation, criterion=criterion, weight_decay=weight_decay)
    return loss, random.standard_normal((3, loss.dimension))


@st.composite
def drawn_networks(draw, activations=EVERY):
    """Draw a network of any shape, activation and criterion."""
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple))
    criterion = draw(st.sampled_from(["mse", "cross-entropy"])) if widths[-1] > 1 else "mse"
    return random_network(
        widths,
        draw(st.sampled_from(activations)),
        draw(st.integers(1, 7)),
        draw(st.integers(0, 100)),
        criterion,
        draw(st.sampled_from([0.0, 0.3])),
    )


networks = drawn_networks()
smooth_networks = drawn_networks(tuple(name for name in EVERY if name != "relu"))


@pytest.fixture(scope="module")
def parity():
    """Return a small digits network: real data, more weights than the dense solver takes."""
    return MLP((64, 8, 1), *datasets.digits(100, target="parity"))


@pytest.mark.parametrize(
    ("widths", "activation", "criterion", "weight_decay"),
    [
        ((2, 3, 4, 2), "tanh", "cross-entropy", 0.2),
        ((3, 4, 1), "tanh", "mse", 0.0),
        ((2, 3, 1, 4, 3), "gelu", "mse", 0.1),
        ((2, 3, 1, 3, 4), "softplus", "cross-entropy", 0.0),
        ((2, 3, 4, 2), "linear", "mse", 0.0),
        ((2, 3), "linear", "cross-entropy", 0.5),
        ((2, 3, 4, 3), "relu", "cross-entropy", 0.1),
    ],
    ids=str,
)
def test_all_derivatives_against_jax(widths, activation, criterion, weight_decay):
    """Protects every closed form at every depth, single outputs and bottlenecks included."""
    compiled = derivatives(mlp(widths, activation, criterion, weight_decay))
    for seed in range(3):
        loss, (w, u, v) = random_network(
            widths, activation, seed=seed, criterion=criterion, weight_decay=weight_decay
        )
        z = np.random.default_rng(seed + 50).standard_normal(w.size)
        for directions in [(u, v, z), (u, u, u), (u, v, u)]:
            reference = compiled(w, *directions, loss.inputs, loss.targets)
            for part, expected in zip(ours(loss, w, *directions), reference, strict=activation != "relu"):
                assert relative_error(part, expected) < 1e-11


@settings(max_examples=60, deadline=None)
@given(network=networks)
def test_symmetry_and_products(network):
    """Protects, at any shape, the Hessian's last bit and Hv = hessian_vector."""
    loss, (w, _, v) = network
    hessian = loss.hessian(w)
    assert np.array_equal(hessian, hessian.T)
    size = np.linalg.norm(hessian) * np.linalg.norm(v)
    assert np.allclose(loss.hessian_vector(w, v), hessian @ v, rtol=0, atol=1e-12 * size)


@settings(max_examples=40, deadline=None)
@given(network=smooth_networks)
def test_tensors_are_symmetric_and_homogeneous(network):
    """Protects third and fourth derivatives at any shape: no direction is special, and each counts linearly."""
    loss, (w, u, v) = network
    third, fourth = loss.third(w, u, v), loss.fourth(w, u, v, w)
    norms = [np.linalg.norm(d) for d in (w, u, v)]
    scale = np.linalg.norm(loss.hessian(w)) + np.linalg.norm(third) + np.linalg.norm(loss.third(w, w, v))
    assert np.allclose(third, loss.third(w, v, u), rtol=0, atol=1e-11 * scale)
    assert third @ w == pytest.approx(loss.third(w, w, v) @ u, abs=1e-10 * scale * max(norms))
    scale += np.linalg.norm(fourth) + np.linalg.norm(loss.fourth(w, w, w, v))
    for order in [(u, w, v), (v, u, w), (w, v, u)]:
        assert np.allclose(fourth, loss.fourth(w, *order), rtol=0, atol=1e-11 * scale)
    assert fourth @ u == pytest.approx(loss.fourth(w, u, u, w) @ v, abs=1e-10 * scale * max(norms))
    assert np.allclose(loss.third(w, 2 * u, -v), -2 * third, rtol=0, atol=1e-11 * scale)
    assert np.allclose(loss.fourth(w, 3 * u, v, 0.5 * w), 1.5 * fourth, rtol=0, atol=1e-11 * scale)
    # Equal directions take a shortcut, which their halves do not.
    assert np.allclose(loss.fourth(w, u, u, u), 2 * loss.fourth(w, u, 0.5 * u, u), rtol=0, atol=1e-10 * scale)
    assert np.array_equal(loss.third_at(w, u, u), loss.third_at(w, u, u.copy()))


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("widths", [(2, 3, 1), (3, 4, 2, 2)], ids=str)
def test_finite_differences_have_order_two(widths, activation):
    """Protects the chain value → gradient → product → third: central differences err by h², no less."""
    loss, (w, u, v) = random_network(widths, activation)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    steps = np.array([0.02, 0.01, 0.005])
    for function, exact in [
        (loss.value, loss.gradient(w) @ u),
        (loss.gradient, loss.hessian_vector(w, u)),
        (lambda at: loss.hessian_vector(at, v), loss.third(w, u, v)),
        (loss.hessian, np.column_stack([loss.third(w, u, basis) for basis in np.eye(loss.dimension)])),
    ]:

        def error(h, function=function, exact=exact):
            return np.linalg.norm((function(w + h * u) - function(w - h * u)) / (2 * h) - exact)

        assert fitted_order(error, steps) == pytest.approx(2, abs=0.02)


def test_value_and_weights_by_hand():
    """Protects the weights' order (W1 by rows, b1, W2, b2) and the factor 1/(2n)."""
    loss = MLP((2, 2, 1), [[1.0, 2.0], [0.0, 1.0]], [[1.0], [0.0]])
    first, bias, second, last = [[0.1, 0.2], [0.3, 0.4]], [0.5, 0.6], [0.7, 0.8], 0.9
    w = [*first[0], *first[1], *bias, *second, last]
    outputs = []
    for x in loss.inputs:
        hidden = [np.tanh(x[0] * first[0][j] + x[1] * first[1][j] + bias[j]) for j in range(2)]
        outputs.append(hidden[0] * second[0] + hidden[1] * second[1] + last)
    assert loss.value(w) == pytest.approx(((outputs[0] - 1) ** 2 + outputs[1] ** 2) / 4, rel=1e-15)
    assert loss.dimension == 9


def test_one_layer_is_linear_regression():
    """Protects the Gauss-Newton part: without hidden layers it is the inputs' Gram matrix per output."""
    loss, (w, u, v) = random_network((3, 2), "tanh")
    features = np.hstack([loss.inputs, np.ones((6, 1))])
    assert np.allclose(loss.hessian(w), np.kron(features.T @ features / 6, np.eye(2)), rtol=0, atol=1e-14)
    assert not loss.third(w, u, v).any()


def test_scalar_chain_at_its_minimum():
    """Protects depth in closed form: f = uvw + ... has six derivatives, each 1, so that S = 6."""
    loss = MLP((1, 1, 1, 1), [[1.0]], [1.0], activation="linear")
    w = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    assert np.array_equal(loss.hessian(w), np.ones((6, 6)))
    value, vector = loss.sharpness(w)
    assert value == pytest.approx(6.0, rel=1e-14)
    assert np.allclose(vector, 1 / np.sqrt(6))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_deep_linear_network_is_the_product_of_its_matrices(depth):
    """Protects depth: with zero biases L depends on the product of the layers only."""
    loss, (w, _, _) = random_network((3, *([4] * depth), 2), "linear")
    layers = loss._layers(w)
    for layer in layers:
        layer[-1] = 0
    product = np.linalg.multi_dot([layer[:-1] for layer in layers])
    residuals = loss.inputs @ product - loss.targets
    assert loss.value(w) == pytest.approx(np.sum(residuals**2) / 12, rel=1e-13)
    before = np.linalg.multi_dot([np.eye(3), *(layer[:-1] for layer in layers[:-1])])
    last = before.T @ loss.inputs.T @ residuals / 6
    assert np.allclose(loss._layers(loss.gradient(w))[-1][:-1], last, rtol=1e-12, atol=1e-13)


def test_relu_with_all_units_on_is_linear():
    """Protects relu's derivatives where there is no kink: all of them are the linear network's."""
    relu, (w, _, v) = random_network((2, 3, 3, 1), "relu")
    linear, _ = random_network((2, 3, 3, 1), "linear")
    w = np.abs(w)
    for layer in relu._layers(w)[:-1]:
        layer[-1] += 100
    assert np.array_equal(relu.hessian(w), linear.hessian(w))
    assert relative_error(relu.hessian_vector(w, v), linear.hessian_vector(w, v)) == 0


@settings(max_examples=30, deadline=None)
@given(network=networks, seed=st.integers(0, 20))
def test_permuting_units_changes_nothing(network, seed):
    """Protects the layers' bookkeeping: a network does not know the order of its hidden units."""
    loss, (w, _, _) = network
    assume(len(loss.widths) > 2)
    order = np.random.default_rng(seed).permutation(loss.widths[1])
    permuted = w.copy()
    first, second = loss._layers(permuted)[:2]
    first[:] = first[:, order]
    second[:-1] = second[:-1][order]
    index = np.arange(loss.dimension)
    first, second = loss._layers(index)[:2]
    first[:] = first[:, order]
    second[:-1] = second[:-1][order]
    hessian = loss.hessian(w)
    assert loss.value(permuted) == pytest.approx(loss.value(w), rel=1e-12)
    assert relative_error(loss.hessian(permuted), hessian[np.ix_(index, index)]) < 1e-11


@settings(max_examples=20, deadline=None)
@given(
    activation=st.sampled_from(["relu", "linear"]),
    criterion=st.sampled_from(["mse", "cross-entropy"]),
    layer=st.integers(0, 1),
    seed=st.integers(0, 20),
)
def test_rescaling_layers_is_a_symmetry(activation, criterion, layer, seed):
    """Protects gradient and Hessian by what follows from it.

    Where the activation is homogeneous, W_k → cW_k, W_{k+1} → W_{k+1}/c changes nothing if the biases between go along.
    With the generator D, L(e^{tD}w) = L(w) gives ∇L·Dw = 0 and ∇²L Dw = −D∇L.
    """
    loss, (w, _, _) = random_network((2, 3, 4, 3), activation, seed=seed, criterion=criterion)
    generator = np.zeros(loss.dimension)
    rates = loss._layers(generator)
    for k in range(
        layer, 2
    ):  # later biases move as the outputs of the layer do: only W_{layer} scales, and W_2 undoes it
        rates[k][-1] = 1.0
    rates[layer][:-1] = 1.0
    rates[2][:-1] = -1.0
    gradient, hessian = loss.gradient(w), loss.hessian(w)
    scale = np.linalg.norm(gradient) * np.linalg.norm(w)
    assert gradient @ (generator * w) == pytest.approx(0, abs=1e-13 * scale)
    assert np.allclose(
        hessian @ (generator * w), -generator * gradient, rtol=0, atol=1e-12 * np.linalg.norm(hessian)
    )


def test_weight_decay_adds_its_own_derivatives():
    """Protects ½λ‖w‖²: on all weights, and gone from the third derivative on."""
    plain, (w, u, v) = random_network((2, 3, 2), "softplus")
    decayed, _ = random_network((2, 3, 2), "softplus", weight_decay=0.25)
    assert decayed.value(w) - plain.value(w) == pytest.approx(w @ w / 8, rel=1e-13)
    assert np.allclose(decayed.gradient(w) - plain.gradient(w), w / 4, rtol=1e-13)
    assert np.allclose(decayed.hessian(w) - plain.hessian(w), np.eye(w.size) / 4, rtol=0, atol=1e-15)
    assert np.allclose(decayed.hessian_vector(w, v) - plain.hessian_vector(w, v), v / 4, rtol=1e-12)
    assert np.array_equal(decayed.third(w, u, v), plain.third(w, u, v))
    assert decayed.sharpness(w)[0] == pytest.approx(plain.sharpness(w)[0] + 0.25, rel=1e-13)


def test_cross_entropy_by_hand():
    """Protects the mean over samples, and labels as probabilities: one layer at zero weights says 1/K of all."""
    labels = MLP((1, 3), [[1.0], [2.0]], [2, 0], criterion="cross-entropy")
    given = MLP((1, 3), [[1.0], [2.0]], [[0, 0, 1], [1, 0, 0]], criterion="cross-entropy")
    assert labels.description == given.description
    assert labels.value(np.zeros(6)) == pytest.approx(np.log(3), rel=1e-15)
    assert np.allclose(labels._layers(labels.gradient(np.zeros(6)))[0][1], [-1 / 6, 1 / 3, -1 / 6])
    curvature = labels.hessian(np.zeros(6))[3:, 3:]
    assert np.allclose(curvature, np.eye(3) / 3 - 1 / 9)


def test_probabilities_given_back_are_the_same():
    """Protects stored sweeps, which make a loss anew from its targets: other bits would be another loss."""
    raw = np.random.default_rng(0).random((40, 7))
    loss = MLP(
        (1, 7), np.ones((40, 1)), raw / raw.sum(axis=1, keepdims=True) * (1 + 1e-8), criterion="cross-entropy"
    )
    again = MLP((1, 7), loss.inputs, loss.targets, criterion="cross-entropy")
    assert np.allclose(loss.targets.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert np.array_equal(again.targets, loss.targets)


def test_cross_entropy_does_not_know_a_common_shift():
    """Protects softmax: what is added to all outputs alike moves no derivative, and the Hessian is 0 along it."""
    loss, (w, u, v) = random_network((2, 3, 3), "tanh", criterion="cross-entropy")
    shift = np.zeros(loss.dimension)
    loss._layers(shift)[-1][-1] = 1.0
    assert loss.value(w + 5 * shift) == pytest.approx(loss.value(w), rel=1e-14)
    assert np.linalg.norm(loss.hessian(w) @ shift) < 1e-15
    assert np.linalg.norm(loss.fourth(w, u, shift, v)) < 1e-12 * np.linalg.norm(loss.fourth(w, u, v, v))


def test_cross_entropy_far_out():
    """Protects log-sum-exp: no overflow at large outputs, and a loss far below rounding of 1 keeps its digits."""
    loss = MLP((1, 2), [[1.0]], [0], criterion="cross-entropy")
    w, u = np.array([2000.0, 0.0, 0.0, 0.0]), np.ones(4)
    with np.errstate(all="raise", under="ignore"):
        assert loss.value(w) == 0
        assert loss.value(-w) == 2000
        assert loss.value(w / 40) == pytest.approx(np.exp(-50.0), rel=1e-15)
        for part in (loss.gradient(w), loss.hessian(w), loss.third(w, u, u), loss.fourth(w, u, u, u)):
            assert not part.any()


def test_relu_has_no_third_derivative(monkeypatch):
    """Protects against a silent 0 in place of the kinks' share: refused before anything runs."""
    loss, (w, u, v) = random_network((2, 3, 1), "relu")
    assert loss.highest_derivative == 2
    monkeypatch.setattr(type(loss), "sharpness_at", None)
    for order, call in [
        (3, lambda: loss.third(w, u, v)),
        (3, lambda: loss.third_at(w, u, v)),
        (3, lambda: loss.sharpness_gradient(w)),
        (4, lambda: loss.fourth(w, u, v, v)),
    ]:
        with pytest.raises(
            ValueError, match=f"activation must have derivatives of order {order}.* got 'relu'"
        ):
            call()
    # Without hidden layers nothing is activated.
    assert not random_network((2, 1), "relu")[0].third(np.zeros(3), np.ones(3), np.ones(3)).any()


def test_results_are_not_overwritten_by_the_next_call():
    """Protects callers who keep results: passes share memory, but not with what they return."""
    loss, (w, u, v) = random_network((2, 3, 3, 1), "tanh")
    first = loss.third(w, u, v)
    kept = first.copy()
    other, (x, y, z) = random_network((2, 5, 2, 1), "gelu", samples=9)
    other.fourth(x, y, z, y)
    loss.third(-w, u, u)
    assert np.array_equal(first, kept)
    assert np.array_equal(loss.third(w, u, v), kept)


def test_a_class_made_from_it_keeps_its_own_derivatives():
    """Protects subclasses: what a trajectory takes is theirs, not the network's that they stand on."""

    class Decayed(MLP):
        def value_at(self, w):
            return super().value_at(w) + 2.0 * w @ w

        def gradient_at(self, w):
            return super().gradient_at(w) + 4.0 * w

        def hessian_at(self, w):
            return super().hessian_at(w) + 4.0 * np.eye(w.size)

        def hessian_vector_at(self, w, v):
            return super().hessian_vector_at(w, v) + 4.0 * v

        def hessian_operator_at(self, w):
            return lambda v: self.hessian_vector_at(w, v)

    plain, (w, u, v) = random_network((2, 3, 1), "tanh")
    mine, known = (
        Decayed((2, 3, 1), plain.inputs, plain.targets),
        MLP((2, 3, 1), plain.inputs, plain.targets, weight_decay=4.0),
    )
    for local in (mine.derivatives_at(w), known.derivatives_at(w)):
        assert local.value == pytest.approx(known.value(w), rel=1e-14)
        assert np.allclose(local.gradient, known.gradient(w), rtol=1e-13)
        assert np.allclose(local.product(v), known.hessian_vector(w, v), rtol=1e-12)
        assert np.allclose(local.third(u, v), known.third(w, u, v), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(network=networks, decay=st.sampled_from([0.0, 0.3]))
def test_derivatives_of_one_pass(network, decay):
    """Protects what trajectories use: derivatives that share a pass are those asked for one by one, to the bit."""
    given_, (w, u, v) = network
    loss = MLP(
        given_.widths, given_.inputs, given_.targets, given_.activation,
        criterion=given_.criterion, weight_decay=decay,
    )  # fmt: skip
    local = loss.derivatives_at(w)
    for _ in range(2):  # nothing is overwritten by what is asked for next
        assert local.value == loss.value(w)
        assert np.array_equal(local.gradient, loss.gradient(w))
        assert np.array_equal(local.hessian, loss.hessian(w))
        assert np.array_equal(local.product(v), loss.hessian_vector(w, v))
        if loss.highest_derivative >= 3:
            assert np.array_equal(local.third(u, v), loss.third(w, u, v))
        else:
            with pytest.raises(ValueError, match="derivatives of order 3"):
                local.third(u, v)


def test_sharpness_by_lanczos_equals_the_explicit_hessian(parity):
    """Protects the default for real networks along gradient descent, warm starts included."""
    assert not parity.explicit_hessian
    w, guess = parity.initial_weights(0), None
    for _ in range(2):
        pair = parity.sharpness_at(w, guess)
        assert pair.value == pytest.approx(np.linalg.eigvalsh(parity.hessian(w))[-1], rel=1e-12)
        assert pair.residual <= 1e-10 * pair.value
        for _ in range(5):
            w = w - 0.5 * parity.gradient(w)
        guess = pair.vector


def test_explicit_hessian_can_be_asked_for(parity):
    """Protects the switch: both ways give one sharpness."""
    explicit = MLP(parity.widths, parity.inputs, parity.targets)
    explicit.explicit_hessian = True
    w = parity.initial_weights(1)
    (value, vector), (other_value, other_vector) = parity.sharpness(w), explicit.sharpness(w)
    assert value == pytest.approx(other_value, rel=1e-13)
    # The eigenvectors are known to residual/gap, here about 1e-10.
    assert np.allclose(vector, other_vector, rtol=0, atol=1e-9)


def test_sharpness_gradient_is_the_sharpness_differentiated(parity):
    """Protects ∇S = ∇³L(u, u, ·), by a central difference of order two."""
    w = parity.initial_weights(0)
    gradient = parity.sharpness_gradient(w)
    direction = gradient / np.linalg.norm(gradient)

    def error(h):
        ahead, behind = parity.sharpness(w + h * direction)[0], parity.sharpness(w - h * direction)[0]
        return abs((ahead - behind) / (2 * h) - gradient @ direction)

    assert fitted_order(error, np.array([0.04, 0.02, 0.01])) == pytest.approx(2, abs=0.05)


def test_same_call_same_bits(parity):
    """Protects runs that must repeat, on one BLAS thread."""
    w = parity.initial_weights(0)
    with threadpool_limits(1):
        assert np.array_equal(parity.gradient(w), parity.gradient(w))
        assert np.array_equal(parity.hessian(w), parity.hessian(w))
        assert np.array_equal(parity.sharpness(w)[1], parity.sharpness(w)[1])


def test_initial_weights():
    """Protects the start of every run: normal/√fan-in in the layers' order, zero biases."""
    loss, _ = random_network((4, 3, 2), "tanh")
    generator = np.random.default_rng(7)
    first, second = generator.standard_normal((4, 3)) / 2, generator.standard_normal((3, 2)) / np.sqrt(3)
    expected = [*first.ravel(), 0, 0, 0, *second.ravel(), 0, 0]
    assert np.allclose(loss.initial_weights(7, scale=0.5), 0.5 * np.array(expected), rtol=1e-15, atol=0)


def test_minimum_of_an_overparametrized_network(parity):
    """Protects the search where the Hessian is singular: the network interpolates."""
    loss = MLP((64, 3, 1), parity.inputs[:30], parity.targets[:30])
    w = loss.minimum(loss.initial_weights(0))
    assert np.linalg.norm(loss.gradient(w)) < 1e-11
    assert loss.value(w) < 1e-20
    assert np.linalg.eigvalsh(loss.hessian(w))[0] > -1e-9


def test_minimum_with_residuals_is_the_least_squares_solution():
    """Protects the search where no fit is exact: a linear network reaches the linear regression's loss."""
    loss, _ = random_network((2, 3, 1), "linear", samples=20)
    w = loss.minimum(loss.initial_weights(1))
    features = np.hstack([loss.inputs, np.ones((20, 1))])
    (squares,) = np.linalg.lstsq(features, loss.targets)[1]
    assert np.linalg.norm(loss.gradient(w)) < 1e-12
    assert loss.value(w) == pytest.approx(squares / 40, rel=1e-12)


def test_start_at_a_saddle_is_refused():
    """Protects against calling a stationary point a minimum: zero weights on data of mean zero."""
    loss = MLP((1, 1, 1), [[1.0], [-1.0]], [1.0, -1.0], activation="linear")
    with pytest.raises(ValueError, match=r"start must lie near a minimum.* at a saddle"):
        loss.minimum(np.zeros(4))


def test_unfinished_search_says_so(parity, monkeypatch):
    """Protects against taking the last weights of a search for a minimum."""
    monkeypatch.setattr(newton, "_ITERATIONS", 2)
    with pytest.raises(ValueError, match=r"start must lie near a minimum.* after 2 steps"):
        parity.minimum(parity.initial_weights(0))


def test_single_output_takes_flat_targets():
    """Protects the convenience, and that it means the same."""
    inputs = np.arange(6.0).reshape(3, 2)
    flat, column = MLP((2, 1), inputs, [1, 2, 3]), MLP((2, 1), inputs, [[1], [2], [3]])
    assert flat.value([1, 2, 3]) == column.value([1, 2, 3])
    assert flat.description == column.description


def test_data_are_copied():
    """Protects the loss from a caller who reuses the arrays."""
    inputs, targets = np.ones((2, 2)), np.ones((2, 1))
    loss = MLP((2, 1), inputs, targets)
    before = loss.value([1, 2, 3])
    inputs[:], targets[:] = 9, 9
    assert loss.value([1, 2, 3]) == before


def test_description_identifies_network_and_data():
    """Protects stored runs: another network or other data must not look alike."""
    variants = [
        random_network((2, 3, 1), "tanh"),
        random_network((2, 3, 1), "tanh", seed=1),
        random_network((2, 3, 1), "relu"),
        random_network((2, 4, 1), "tanh"),
        random_network((2, 3, 1), "tanh", weight_decay=0.1),
        random_network((2, 3, 2), "tanh"),
        random_network((2, 3, 2), "tanh", criterion="cross-entropy"),
    ]
    descriptions = [loss.description for loss, _ in variants]
    assert len(set(descriptions)) == 7
    assert descriptions[0] == random_network((2, 3, 1), "tanh")[0].description
    assert "widths=(2, 3, 1), activation=tanh, inputs 6x2, targets 6x1" in descriptions[0]


@pytest.mark.parametrize("activation", ["linear", "relu", "gelu", "softplus"])
def test_overflow_is_a_result(activation):
    """Protects diverging runs: infinity or NaN, and no warning."""
    loss, (_, u, v) = random_network((2, 3, 3, 1), activation)
    w = np.full(loss.dimension, 1e200)
    assert not np.isfinite(loss.value(w))
    parts = [loss.gradient(w), loss.hessian(w), loss.hessian_vector(w, v)]
    if activation != "relu":
        parts += [loss.third(w, u, v), loss.fourth(w, u, v, v)]
    for part in parts:
        assert not np.isfinite(part).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((2,), [[1, 2]], [1]), ValueError, "widths must be two or more integers >= 1"),
        (((2, 0, 1), [[1, 2]], [1]), ValueError, "widths must be an integer >= 1, got 0"),
        (((2, 1.5, 1), [[1, 2]], [1]), TypeError, "widths must be an integer >= 1, got 1.5"),
        (("21", [[1, 2]], [1]), TypeError, "widths must be two or more integers"),
        ((3, [[1, 2]], [1]), TypeError, "widths must be two or more integers"),
        (((3, 1), [[1, 2]], [1]), ValueError, r"inputs must have shape \(any, 3\), got shape \(1, 2\)"),
        (
            ((2, 1), np.ones((3, 2)), np.ones(2)),
            ValueError,
            r"targets must have shape \(3, 1\), got shape \(2, 1\)",
        ),
        (
            ((2, 2), np.ones((3, 2)), np.ones(3)),
            ValueError,
            r"targets must have shape \(3, 2\), got shape \(3,\)",
        ),
        (((2, 1), np.ones((0, 2)), np.ones(0)), ValueError, "inputs must hold at least one sample"),
        (((2, 1), [[1, np.nan]], [1]), ValueError, "inputs must be finite"),
        (((2, 1), [[1, 2]], [np.inf]), ValueError, "targets must be finite"),
        (((2, 1), [[1, 2j]], [1]), TypeError, "inputs must be real numbers"),
        (((2, 1), [[1, 2]], [None]), TypeError, "targets must be real numbers"),
        (((2, 1), np.ones((2, 2)), [[1], [1, 2]]), ValueError, "targets must be an array of numbers"),
        (
            ((2, 1), [[1, 2]], [1], "elu"),
            ValueError,
            "activation must be one of tanh, relu, gelu, softplus, linear",
        ),
        (((2, 1), [[1, 2]], [1], None), TypeError, "activation must be one of"),
        (((2, 1), [[1, 2]], [1], "tanh", "l1"), ValueError, "criterion must be one of mse, cross-entropy"),
        (
            ((2, 1), [[1, 2]], [1], "tanh", "mse", -1),
            ValueError,
            r"weight_decay must be in \[0, inf\), got -1",
        ),
        (((2, 1), [[1, 2]], [1], "tanh", "mse", np.nan), ValueError, "weight_decay must be"),
        (
            ((2, 1), [[1, 2]], [0], "tanh", "cross-entropy"),
            ValueError,
            "widths must end in two or more outputs",
        ),
        (
            ((2, 2), [[1, 2]], [2], "tanh", "cross-entropy"),
            ValueError,
            "labels, integers from 0 to 1.* got 2.0",
        ),
        (
            ((2, 2), [[1, 2]], [0.5], "tanh", "cross-entropy"),
            ValueError,
            "labels, integers from 0 to 1.* got 0.5",
        ),
        (((2, 2), [[1, 2]], [-1], "tanh", "cross-entropy"), ValueError, "labels, integers from 0 to 1"),
        (((2, 2), [[1, 2]], [0, 1], "tanh", "cross-entropy"), ValueError, r"targets must have shape \(1,\)"),
        (
            ((2, 2), [[1, 2]], [[1, 0, 0]], "tanh", "cross-entropy"),
            ValueError,
            r"targets must have shape \(1, 2\)",
        ),
        (
            ((2, 2), [[1, 2]], [[1.5, -0.5]], "tanh", "cross-entropy"),
            ValueError,
            "probabilities >= 0.* got -0.5",
        ),
        (((2, 2), [[1, 2]], [[0.5, 0.4]], "tanh", "cross-entropy"), ValueError, "sum to 1.* got the sum 0.9"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    """Protects the door."""
    settings = dict(zip(("criterion", "weight_decay"), arguments[4:], strict=False))
    with pytest.raises(error, match=message) as caught:
        MLP(*arguments[:4], **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda loss: loss.value([1.0]), r"w must have shape \(9,\)"),
        (lambda loss: loss.third([0.0] * 9, [0.0] * 9, [0.0] * 8), r"v must have shape \(9,\)"),
        (lambda loss: loss.fourth([0.0] * 9, [0.0] * 9, [0.0] * 9, [0.0] * 8), r"z must have shape \(9,\)"),
        (lambda loss: loss.fourth([0.0] * 9, [0.0] * 9, [np.inf] * 9, [0.0] * 9), "v must be finite"),
        (lambda loss: loss.gradient([np.nan] * 9), "w must be finite"),
        (lambda loss: loss.initial_weights(-1), "seed must be"),
        (lambda loss: loss.initial_weights(scale=-1), "scale must be"),
    ],
)
def test_bad_weights_are_named(call, message):
    """Protects the methods' doors."""
    loss, _ = random_network((2, 2, 1), "tanh")
    with pytest.raises(ValueError, match=message):
        call(loss)


def test_its_repr_is_one_line_that_tells_it():
    """Protects notebooks and error messages from an address in memory."""
    loss = MLP((2, 1), [[1.0, 2.0]], [1.0])
    assert repr(loss) == loss.description
    assert repr(loss).startswith("MLP(")
    assert "\n" not in repr(loss)
