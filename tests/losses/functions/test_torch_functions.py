"""Losses from PyTorch functions as people write them: derivatives are right, and modules stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss

pytestmark = pytest.mark.integrations


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def cube(torch):
    """Return an operation z³ whose backward pass is no function of z for autograd."""

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(context, z):
            context.save_for_backward(z)
            return z**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, slope):
            (z,) = context.saved_tensors
            return 3 * z * z * slope

    return Cube.apply


@pytest.mark.parametrize("size", [3, 80])
@pytest.mark.parametrize("with_point", [True, False])
def test_second_derivatives_that_autograd_drops(torch, size, with_point):
    """Protects from fused kernels: sharpness 2 was given for 14, and for a cube squared an error."""
    operation, w = cube(torch), np.linspace(1, 2, size)
    for function, sharpness, third in (
        (lambda p: operation(p).sum() + (p**2).sum(), 14.0, 6.0),
        (lambda p: (operation(p) ** 2).sum(), 480.0, 960.0),  # w⁶: 30 w⁴, 120 w³
    ):
        loss = ss.FunctionLoss.from_torch(function, torch.tensor(w) if with_point else size)
        assert loss.differences == ("hessian_vector", "third")
        assert loss.sharpness(w)[0] == pytest.approx(sharpness, rel=1e-8)
        last = np.eye(size)[-1]
        assert loss.third(w, last, last)[-1] == pytest.approx(third, rel=1e-4)
        loss.check(w)
    exact = ss.FunctionLoss.from_torch(lambda p: (p**3).sum(), torch.tensor(w) if with_point else size)
    assert exact.differences == ()


def test_what_is_no_gradient_is_refused(torch):
    """Protects from a Hessian that is not symmetric, and from checkpoints that drop derivatives."""
    from torch.utils.checkpoint import checkpoint

    w = torch.linspace(1, 2, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="function must have a gradient with a symmetric derivative"):
        ss.FunctionLoss.from_torch(lambda p: (p[:3] ** 2 * p[3:].detach()).sum() + (p[3:] ** 2).sum(), w)
    with pytest.raises(ValueError, match="function must checkpoint with use_reentrant=False"):
        ss.FunctionLoss.from_torch(lambda p: (checkpoint(torch.tanh, p, use_reentrant=True) * p).sum(), w)
    # A checkpoint that is not reentrant runs its part again for each derivative.
    plain, checkpointed = (
        ss.FunctionLoss.from_torch(lambda p, how=how: (how(p) * p).sum(), w)
        for how in (torch.tanh, lambda p: checkpoint(torch.tanh, p, use_reentrant=False))
    )
    assert checkpointed.differences == ()
    assert checkpointed.sharpness(w.numpy())[0] == pytest.approx(plain.sharpness(w.numpy())[0], rel=1e-12)


def test_batch_normalization_in_training_mode(torch):
    """Protects a normalization by batches: third derivatives against one written out, and statistics as they were."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh()).double()
    x = torch.randn(12, 3, dtype=torch.float64)
    weights = torch.arange(4.0, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["1.weight"].uniform_(0.5, 1.5)
        parameters["1.bias"].uniform_(-1, 1)

    def native(p):
        return (torch.func.functional_call(model, p, x) * weights).mean()

    def written_out(p):
        z = x @ p["0.weight"].T + p["0.bias"]
        z = z - z.mean(0)
        z = z / torch.sqrt((z**2).mean(0) + 1e-5) * p["1.weight"] + p["1.bias"]
        return (torch.tanh(z) * weights).mean()

    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state = torch.get_rng_state()
    loss, exact = (ss.FunctionLoss.from_torch(function, parameters) for function in (native, written_out))
    assert loss.differences == ("third",)
    assert exact.differences == ()
    w = exact.flatten(parameters)
    u, v = np.random.default_rng(0).standard_normal((2, w.size))
    for name, arguments, tolerance in (
        ("gradient", (), 1e-12),
        ("hessian_vector", (u,), 1e-12),
        ("third", (u, v), 1e-7),
    ):
        one, other = (getattr(each, name)(w, *arguments) for each in (loss, exact))
        assert one == pytest.approx(other, abs=tolerance * np.linalg.norm(other)), name
    ss.simulate(loss, ss.HeavyBall(0.1), w, 5)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert torch.equal(torch.get_rng_state(), state)


def test_buffers_that_a_call_lends_are_left_alone(torch):
    """Protects functional calls with buffers of their own: neither these nor the module's move."""
    norm = torch.nn.BatchNorm1d(3).double()
    x = torch.randn(8, 3, dtype=torch.float64)
    own = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    lent = {name: buffer.clone() for name, buffer in norm.named_buffers()}

    def function(p):
        return (torch.func.functional_call(norm, {**p, **lent}, x) ** 2 * x).mean()

    loss = ss.FunctionLoss.from_torch(function, dict(norm.named_parameters()))
    loss.hessian_vector(np.ones(6), np.ones(6))
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, own[name])
        assert torch.equal(lent[name], own[name])


def test_buffers_that_are_replaced_are_found_again(torch):
    """Protects modules that count by a new tensor each time."""

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, x):
            self.calls = self.calls + 1
            return (x * self.weight) ** 4

    model = Counting()
    calls = model.calls
    loss = ss.FunctionLoss.from_torch(
        lambda p: torch.func.functional_call(model, p, torch.ones(2)).sum(), dict(model.named_parameters())
    )
    assert loss.sharpness([1.0, 2.0])[0] == pytest.approx(48.0)
    assert model.calls is calls
    assert float(calls) == 0.0


def test_attention_has_all_derivatives(torch):
    """Protects transformers: fused attention has no second derivative. Against one written out."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, dtype=torch.float64)

    def native(w):
        z = x * w
        return (torch.nn.functional.scaled_dot_product_attention(z, z, z) ** 3).mean()

    def written_out(w):
        z = x * w
        return ((torch.softmax(z @ z.transpose(1, 2) / 3**0.5, -1) @ z) ** 3).mean()

    w, (u, v) = np.array([0.5, 1.0, 1.5]), np.random.default_rng(0).standard_normal((2, 3))
    loss, exact = (
        ss.FunctionLoss.from_torch(function, torch.tensor(w)) for function in (native, written_out)
    )
    assert loss.differences == ()
    for name, arguments in (("hessian_vector", (u,)), ("third", (u, v)), ("fourth", (u, v, v))):
        one, other = (getattr(each, name)(w, *arguments) for each in (loss, exact))
        assert one == pytest.approx(other, rel=1e-10)
