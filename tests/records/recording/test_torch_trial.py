"""What is tried of a PyTorch closure: faults that single precision, later steps or the closure itself would hide."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.recording import torch_trial
from tests.records.recording.test_torch_loops import cube, record, sgd, top_eigenvalue

pytestmark = pytest.mark.integrations


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def network(torch, dtype=None):
    """Return a network with kinks, and data: float32 unless another precision is named."""
    dtype = dtype or torch.float32
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1))
    return model.to(dtype), torch.randn(40, 4).to(dtype), torch.randn(40, 1).to(dtype)


def mse(model, x, y):
    return ((model(x) - y) ** 2).mean()


# -- second derivatives, in float32 beside kinks ----------------------------------------------------------------------


def test_a_kernel_that_the_closure_chooses_is_not_taken(torch):
    """Protects attention in a block of its own sdpa_kernel, whose fused kernel has no second derivative."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
    double, x = copy.deepcopy(layer).double(), torch.randn(3, 6, 4)

    def closure():
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return layer(x).pow(3).mean()

    row = record(torch, layer.parameters(), closure, tolerance=1e-4)
    assert "hessian_vector" not in row.attrs
    expected = top_eigenvalue(torch, double.parameters(), lambda: double(x.double()).pow(3).mean())
    assert float(row.sharpness) == pytest.approx(expected, rel=1e-4)
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_block_without_second_derivatives_is_seen_beside_kinks(torch):
    """Protects one small block among ReLU: in float32 differences of gradients are too noisy to tell of it."""
    model, x, y = network(torch)
    double = copy.deepcopy(model).double()
    operation = cube(torch, marked=False)

    def loss(net, power, inputs, targets):
        hidden = net[0](inputs)
        return ((net[2](torch.relu(hidden) + 0.05 * power(hidden)) - targets) ** 2).mean()

    row = record(torch, model.parameters(), lambda: loss(model, operation, x, y), tolerance=1e-4)
    assert row.attrs["hessian_vector"].startswith("differences of gradients")
    expected = top_eigenvalue(
        torch, double.parameters(), lambda: loss(double, lambda z: z**3, x.double(), y.double())
    )
    assert float(row.sharpness) == pytest.approx(expected, rel=1e-4)
    assert all(w.dtype == torch.float32 for w in model.parameters())


@pytest.mark.parametrize("large", [False, True])
def test_a_gradient_of_no_loss_is_refused_beside_kinks(torch, monkeypatch, large):
    """Protects from targets that are computed with the weights and detached: their gradient is that of no loss.

    Large models are tried in float64 only where products are far off.
    """
    if large:
        monkeypatch.setattr(torch_trial, "_LARGE", 10)
    model, x, _ = network(torch)
    with pytest.raises(ValueError, match="closure must be differentiable twice by autograd"):
        record(torch, model.parameters(), lambda: mse(model, x, 0.9 * model(x + 1).detach()))


def test_models_of_many_kinds_are_the_same_in_float64(torch):
    """Protects the trial in float64 from models that insist on a precision: what is recorded is autograd's product."""
    torch.manual_seed(0)
    x, series = torch.randn(8, 3, 6, 6), torch.randn(3, 5, 4)
    image = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(32, 2),
    )  # fmt: skip
    lstm = torch.nn.LSTM(4, 3)
    words = torch.nn.Embedding(5, 3, sparse=True)
    buffer = torch.zeros(2, 3)

    def written():
        out = buffer.clone()
        out[0] = words(torch.tensor([1, 2])).sum(0)
        return torch.tanh(out).pow(2).sum()

    for module, closure in (
        (image, lambda: image(x).pow(2).mean()),
        (lstm, lambda: lstm(series)[0].pow(2).mean()),
        (words, written),
    ):
        kept = copy.deepcopy(module.state_dict())
        row = record(torch, module.parameters(), closure, tolerance=1e-4)
        assert "hessian_vector" not in row.attrs
        assert float(row.sharpness) > 0
        assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


def test_hooks_of_weights_act_on_gradients_alone(torch):
    """Protects gradients that a hook scales: autograd calls it for products, too, and halves them twice."""
    model, x, y = network(torch, torch.float64)
    plain = float(record(torch, model.parameters(), lambda: mse(model, x, y)).sharpness)
    for w in model.parameters():
        w.register_hook(lambda slope: 0.5 * slope)
    hooked = record(torch, model.parameters(), lambda: mse(model, x, y))
    assert float(hooked.sharpness) == pytest.approx(0.5 * plain, rel=1e-6)


# -- what changes after the first record ------------------------------------------------------------------------------


def test_draws_that_begin_later_are_seen(torch):
    """Protects loops that switch the model to training after the first record: dropout is refused then, too."""
    model, x, y = network(torch, torch.float64)
    drop = torch.nn.Dropout(0.3)
    drop.eval()
    recorder = ss.Recorder.for_torch(
        closure=lambda: mse(model, drop(x), y), optimizer=sgd(torch, model.parameters())
    )
    recorder.log(0)
    drop.train()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="closure must give one value at one point"):
        recorder.log(1)
    assert torch.equal(state, torch.get_rng_state())
    drop.eval()
    recorder.log(2)
    assert recorder.dataset().sizes["step"] == 2


def test_operations_that_come_later_are_tried(torch):
    """Protects blocks that are switched on after the first record, such as a fused kernel of the user's."""
    model, x, y = network(torch, torch.float64)
    current = {"power": lambda z: z**3}

    def closure():
        return ((model[2](current["power"](model[0](x))) - y) ** 2).mean()

    recorder = ss.Recorder.for_torch(closure=closure, optimizer=sgd(torch, model.parameters()))
    recorder.log(0)
    current["power"] = cube(torch, marked=False)
    recorder.log(1)
    first, second = recorder.dataset().sharpness.values
    assert second == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize("later", [False, True])
def test_weights_that_a_closure_changes_are_given_back(torch, later):
    """Protects weights from a closure that moves them behind autograd's back, at the first record or at a later one."""
    model, x, y = network(torch, torch.float64)
    changes = {"in place": lambda w: w.data.mul_(0.5), "replaced": lambda w: setattr(w, "data", 0.5 * w.data)}
    for change in changes.values():
        active = [not later]

        def closure(change=change, active=active):
            if active[0]:
                for w in model.parameters():
                    change(w)
            return mse(model, x, y)

        recorder = ss.Recorder.for_torch(closure=closure, optimizer=sgd(torch, model.parameters()))
        if later:
            recorder.log(0)
            active[0] = True
        before = [(w.detach().clone(), w.data_ptr()) for w in model.parameters()]
        with pytest.raises(ValueError, match="closure must not change the parameters"):
            recorder.log(1)
        for w, (value, place) in zip(model.parameters(), before, strict=True):
            assert torch.equal(w, value)
            assert w.data_ptr() == place


def test_averaged_weights_in_place_of_the_trained_ones_are_told(torch):
    """Protects from a closure that swaps averages in and back: its gradient mixes two points."""
    model, x, y = network(torch, torch.float64)
    averages = [0.9 * w.detach() for w in model.parameters()]

    def closure():
        own = [w.data.clone() for w in model.parameters()]
        for w, average in zip(model.parameters(), averages, strict=True):
            w.data.copy_(average)
        loss = mse(model, x, y)
        for w, value in zip(model.parameters(), own, strict=True):
            w.data.copy_(value)
        return loss

    with pytest.raises(ValueError, match="closure must compute the loss from the parameters as they are"):
        record(torch, model.parameters(), closure)


# -- random generators of the user's own ------------------------------------------------------------------------------


def test_generators_of_ones_own_stay_as_they_are(torch):
    """Protects the order of batches: a loader's own generator is the loop's, and a record must not move it."""
    model, x, y = network(torch, torch.float64)
    whole = record(torch, model.parameters(), lambda: mse(model, x, y))
    generator = torch.Generator().manual_seed(3)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True, generator=generator
    )
    state = generator.get_state()
    parts = record(torch, model.parameters(), lambda batch: (mse(model, *batch), len(batch[0])), parts=loader)
    assert torch.equal(generator.get_state(), state)
    assert float(parts.sharpness) == pytest.approx(float(whole.sharpness), rel=1e-10)

    numbers, python = np.random.default_rng(0), random.Random(0)
    states = numbers.bit_generator.state, python.getstate()
    for noise in (
        lambda: torch.rand(x.shape, generator=generator, dtype=x.dtype),
        lambda: torch.as_tensor(numbers.random(x.shape)),
        python.random,
    ):
        with pytest.raises(ValueError, match="closure must give one value at one point"):
            record(torch, model.parameters(), lambda noise=noise: mse(model, x + noise(), y))
    assert (numbers.bit_generator.state, python.getstate()) == states
    assert torch.equal(generator.get_state(), state)


def test_a_closure_that_seeds_itself_is_one_loss(torch):
    """Protects closures that draw the same each time: they are recorded, and the loop's own state stays."""
    model, x, y = network(torch, torch.float64)

    def closure():
        torch.manual_seed(3)
        return mse(model, torch.nn.functional.dropout(x, 0.3), y)

    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = record(torch, model.parameters(), closure)
    assert torch.equal(torch.get_rng_state(), state)
    expected = top_eigenvalue(torch, model.parameters(), closure)
    assert float(row.sharpness) == pytest.approx(expected, rel=1e-6)


# -- batch sharpness --------------------------------------------------------------------------------------------------


def test_batches_are_tried_as_the_loss_is(torch):
    """Protects the batch sharpness: dropped derivatives, running statistics, and the argument that a message names."""
    model, x, y = network(torch, torch.float64)
    norm = torch.nn.BatchNorm1d(6).double()
    batches = [(x[k::2], y[k::2]) for k in range(2)]
    optimizer = sgd(torch, model.parameters())

    def loss(power):
        return lambda batch: ((model[2](power(norm(model[0](batch[0])))) - batch[1]) ** 2).mean()

    def batch_sharpness(batch_loss):
        recorder = ss.Recorder.for_torch(
            closure=lambda: mse(model, x, y), optimizer=optimizer, batch_loss=batch_loss, batches=batches
        )
        return recorder.log(0)["batch_sharpness"]

    mean = norm.running_mean.clone()
    exact = batch_sharpness(loss(lambda z: z**3))
    assert batch_sharpness(loss(cube(torch, marked=True))) == pytest.approx(exact, rel=1e-6)
    assert torch.equal(norm.running_mean, mean)
    with pytest.raises(TypeError, match=r"batch_loss must return a scalar tensor.* take its mean or sum"):
        batch_sharpness(lambda batch: model(batch[0]))


def test_autocast_about_a_record_is_no_other_loss(torch):
    """Protects records within autocast, whose cache of cast weights hid that they move."""
    model, x, y = network(torch)

    def within():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return mse(model, x, y)

    def record(closure):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return ss.Recorder.for_torch(closure=closure, optimizer=optimizer).log(0)

    alone = record(within)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = model(x)
        assert record(lambda: mse(model, x, y)) == alone
        assert torch.is_autocast_cache_enabled()
        assert torch.equal(model(x), before)


def test_a_module_that_changes_in_training_mode_is_named(torch):
    """Protects the remedy where what is detached is in PyTorch's own code, as in spectral_norm."""
    torch.manual_seed(0)
    norm = torch.nn.utils.spectral_norm
    model = torch.nn.Sequential(norm(torch.nn.Linear(5, 8)), torch.nn.Tanh(), norm(torch.nn.Linear(8, 4)))
    x, y = torch.randn(20, 5), torch.randn(20, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = ss.Recorder.for_torch(closure=lambda: mse(model, x, y), optimizer=optimizer)
    with pytest.raises(
        ValueError, match=r"call \.eval\(\) on the model, whose Linear is in training mode, or leave"
    ):
        recorder.log(0)
    model.eval()
    assert recorder.log(0)["sharpness"] > 0.0
