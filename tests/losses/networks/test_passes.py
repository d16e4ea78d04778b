"""Passes through a network: shapes by hand, derivatives along directions by polarization, scratch arrays by thread."""

import threading

import numpy as np
import pytest

from selfstab.losses.networks import passes
from selfstab.losses.networks.activations import ACTIVATIONS
from selfstab.losses.networks.criteria import MeanSquaredError
from selfstab.losses.networks.passes import Network, flat, with_ones

GENERATOR = np.random.default_rng(0)


def network(widths=(2, 3, 4, 1), activation="tanh", samples=5):
    data, targets = (GENERATOR.standard_normal((samples, size)) for size in (widths[0], widths[-1]))
    return Network(widths, data, ACTIVATIONS[activation], MeanSquaredError(targets))


def test_weights_are_laid_out_by_layers_and_rows():
    """Protects every saved weight vector: W1 by rows, b1, W2, b2, ..., as views of one vector."""
    net = network((2, 3, 1))
    w = np.arange(13.0)
    first, second = net.layers(w)
    assert net.dimension == 13
    assert np.array_equal(first, [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    assert np.array_equal(second.ravel(), [9, 10, 11, 12])
    assert np.shares_memory(first, w)
    assert np.shares_memory(second, w)


def test_a_network_of_one_sample_by_hand():
    """Protects the forward pass: f = W2ᵀ tanh(W1ᵀx + b1) + b2, written out in numbers."""
    net = Network((1, 2, 1), np.array([[0.5]]), ACTIVATIONS["tanh"], MeanSquaredError(np.array([[0.2]])))
    w = np.array([1.0, -2.0, 0.1, 0.3, 0.7, -0.4, 0.25])
    output = 0.7 * np.tanh(0.5 * 1.0 + 0.1) - 0.4 * np.tanh(0.5 * -2.0 + 0.3) + 0.25
    assert net.at(w, 1).outputs[0, 0] == pytest.approx(output, rel=1e-15)
    assert net.value(w) == pytest.approx(0.5 * (output - 0.2) ** 2, rel=1e-14)


def test_a_pass_of_higher_order_has_the_same_bits():
    """Protects trajectories that share one pass: what the gradient reads does not depend on the order asked for."""
    net = network()
    w = GENERATOR.standard_normal(net.dimension)
    first, third = net.at(w, 1), net.at(w, 3)
    assert np.array_equal(net.gradient(first), net.gradient(third))
    assert len(third.slopes[0]) == 3
    assert np.array_equal(first.slopes[0][0], third.slopes[0][0])


def test_equal_directions_are_those_that_are_polarized():
    """Protects the shortcut for equal directions: ∇³L(u + v, u + v) − ∇³L(u − v, u − v) = 4∇³L(u, v)."""
    net = network(activation="gelu")
    w, u, v = GENERATOR.standard_normal((3, net.dimension))
    at = net.at(w, 3)
    both = net.along(at, (u + v, u + v)) - net.along(at, (u - v, u - v))
    assert both == pytest.approx(4 * net.along(at, (u, v)), rel=1e-10, abs=1e-12)
    at = net.at(w, 4)
    cube = net.along(at, (u + v, u + v, u + v)) - net.along(at, (u - v, u - v, u - v))
    parts = 6 * net.along(at, (u, u, v)) + 2 * net.along(at, (v, v, v))
    assert cube == pytest.approx(parts, rel=1e-9, abs=1e-11)


def test_the_second_derivative_along_one_direction_is_a_product():
    """Protects two ways to one number: the series' first order and the product of the Hessian."""
    net = network(activation="softplus")
    w, v = GENERATOR.standard_normal((2, net.dimension))
    at = net.at(w, 2)
    assert net.along(at, (v,)) == pytest.approx(net.product(at, v), rel=1e-12, abs=1e-14)


def test_threads_do_not_share_scratch_arrays():
    """Protects runs side by side: two threads in the midst of products get what each gets alone."""
    nets = [network(samples=40) for _ in range(2)]
    points = [GENERATOR.standard_normal((2, net.dimension)) for net in nets]
    alone = [net.product(net.at(w, 2), v) for net, (w, v) in zip(nets, points, strict=True)]
    barrier = threading.Barrier(2)
    wrong = []

    def work(k):
        net, (w, v) = nets[k], points[k]
        at = net.at(w, 2)
        barrier.wait()
        wrong.extend(k for _ in range(300) if not np.array_equal(net.product(at, v), alone[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("widths", [(3, 1), (3, 4, 1), (3, 4, 5, 2)])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "linear"])
def test_memory_used_again_changes_no_bit(widths, activation):
    """Protects runs: a gradient whose arrays another pass had before is that of a pass with arrays of its own."""
    rng = np.random.default_rng(0)
    net = Network(
        widths,
        rng.standard_normal((7, 3)),
        ACTIVATIONS[activation],
        MeanSquaredError(rng.standard_normal((7, widths[-1]))),
    )
    for _ in range(3):
        w = rng.standard_normal(net.dimension)
        alone = net.gradient(net.at(w, 1))
        with passes.SCRATCH:
            shared = net.at(w, 2, passes.SCRATCH.array)
            assert np.array_equal(net.gradient_at(w), alone)
            assert np.array_equal(net.product(shared, w), net.product(net.at(w, 2), w))
            assert np.array_equal(net.gradient(shared), alone)


def test_the_two_views_of_samples():
    """Protects the ones that carry the biases, and coefficients one below the other."""
    values = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(with_ones(values, np.empty((3, 3))), np.column_stack([values, np.ones(3)]))
    series = np.arange(12.0).reshape(2, 3, 2)
    assert np.array_equal(flat(series)[3:], series[1])


def test_arrays_of_one_pass_are_apart():
    """Protects derivatives from overwriting: arrays of one context share no memory, a nested context's neither."""
    scratch = passes._Scratch()
    for _ in range(2):  # the second time the memory is there already
        with scratch:
            arrays = [scratch.array((3, 2)), scratch.array((3, 2)), scratch.array((5,))]
            with scratch:
                arrays += [scratch.array((4, 4)), scratch.array((2**11, 2**10))]
            for k, array in enumerate(arrays):
                array[...] = k
            assert [set(array.ravel().tolist()) for array in arrays] == [{k} for k in range(len(arrays))]


def test_the_next_pass_uses_the_memory_again():
    """Protects the speed of small passes: no new memory once the arrays are as large as they get."""
    scratch = passes._Scratch()
    with scratch:
        first = scratch.array((6, 2))
    with scratch:
        second = scratch.array((3, 4))
        assert np.shares_memory(first, second)
        assert not np.shares_memory(second, scratch.array((3, 4)))
