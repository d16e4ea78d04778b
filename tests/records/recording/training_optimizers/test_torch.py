"""Optimizers of PyTorch: the threshold is where their own steps begin to grow, the sharpness that of a dense matrix."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import selfstab as ss
from tests.records.recording.training_optimizers import quadratic
from tests.records.small_network import INPUTS, NETWORK, START, TARGETS

pytestmark = pytest.mark.integrations


@pytest.fixture
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def network(torch):
    """Return the parameters of the small network, and its loss as a function of rows."""
    w1, b1, w2, b2 = (torch.tensor(part.copy(), requires_grad=True) for part in np.split(START, [56, 63, 70]))
    inputs, targets = torch.tensor(INPUTS), torch.tensor(TARGETS)

    def loss(rows=slice(None)):
        outputs = torch.tanh(inputs[rows] @ w1.reshape(8, 7) + b1) @ w2[:, None] + b2
        return ((outputs - targets[rows]) ** 2).mean() / 2

    return [w1, b1, w2, b2], loss


def weights_of(parameters):
    return np.concatenate([p.detach().numpy().ravel() for p in parameters])


def matching(data, k=-1):
    return float(data["preconditioned_sharpness" if "preconditioned_sharpness" in data else "sharpness"][k])


# -- the threshold, by PyTorch's own steps -----------------------------------------------------------------------------

KINDS = {
    "descent": ("SGD", {}, {}),
    "momentum": ("SGD", {"momentum": 0.8}, {}),
    "Nesterov": ("SGD", {"momentum": 0.8, "nesterov": True}, {}),
    "averaged": ("SGD", {"momentum": 0.8, "dampening": 0.8}, {}),
    "dampened": ("SGD", {"momentum": 0.8, "dampening": 0.3}, {}),
    "groups": ("SGD", {"momentum": 0.8}, {"lr": 0.3, "weight_decay": 2.0}),
    "groups of one dampening": ("SGD", {"momentum": 0.6}, {"dampening": 0.5}),
    "decayed": ("SGD", {"momentum": 0.5, "weight_decay": 1.5}, {"weight_decay": 0.0}),
    "frozen": ("SGD", {"momentum": 0.5}, {"lr": 0.0}),
    "Adam": ("Adam", {"betas": (0.9, quadratic.STILL)}, {}),
    "Adam's groups": ("Adam", {"betas": (0.7, quadratic.STILL), "weight_decay": 0.5}, {"lr": 0.2, "eps": 0.1}),
    "AdamW": ("AdamW", {"betas": (0.9, quadratic.STILL), "weight_decay": 0.5}, {}),
    "AdamW's groups": ("AdamW", {"betas": (0.9, quadratic.STILL), "weight_decay": 0.05}, {"weight_decay": 0.0}),
    "AMSGrad": ("Adam", {"betas": (0.9, quadratic.STILL), "amsgrad": True}, {}),
    "RMSprop": ("RMSprop", {"alpha": quadratic.STILL}, {"lr": 0.2}),
    "RMSprop with momentum": ("RMSprop", {"alpha": quadratic.STILL, "momentum": 0.8, "weight_decay": 0.3}, {}),
    "Adagrad": ("Adagrad", {"lr_decay": 0.0}, {}),
    "momenta": ("SGD", {"momentum": 0.9}, {"momentum": 0.3, "lr": 0.5}),
    "momenta and Nesterov's": ("SGD", {"momentum": 0.9, "dampening": 0.5},
                               {"momentum": 0.7, "dampening": 0.0, "nesterov": True}),
    "Adam's momenta": ("Adam", {"betas": (0.9, quadratic.STILL)}, {"betas": (0.3, quadratic.STILL), "lr": 0.5}),
    "RMSprop's momenta": ("RMSprop", {"alpha": quadratic.STILL, "momentum": 0.9}, {"momentum": 0.0}),
    "Adam, fused": ("Adam", {"betas": (0.9, quadratic.STILL), "fused": True}, {}),
    "NAdam": ("NAdam", {"betas": (0.8, quadratic.STILL)}, {"betas": (0.9, quadratic.STILL)}),
    "RAdam": ("RAdam", {"betas": (0.8, quadratic.STILL)}, {}),
    "Adamax": ("Adamax", {"betas": (0.8, quadratic.STILL)}, {}),
    "SparseAdam": ("SparseAdam", {"betas": (0.8, quadratic.STILL)}, {}),
}  # fmt: skip


def on_quadratic(torch, kind, factor, scale=1.0):
    """Return an optimizer of the quadratic, its two arrays of weights and its loss; lr is 0.1 times a factor."""
    name, own, other = KINDS[kind]
    w = torch.tensor(scale * quadratic.START)
    arrays = [w[:2].clone().requires_grad_(), w[2:].clone().requires_grad_()]
    hessian = torch.tensor(quadratic.HESSIAN)
    group = {"params": arrays[1:], **other}
    if "lr" in other:
        group["lr"] = factor * 0.1 * other["lr"]
    optimizer = getattr(torch.optim, name)([{"params": arrays[:1]}, group], lr=0.1 * factor, **own)
    squares = np.split(quadratic.SQUARES, [2])
    for p, square in zip(arrays, squares, strict=True):
        if name in ("Adam", "AdamW", "NAdam", "RAdam", "SparseAdam"):
            optimizer.state[p] = {
                # After so many steps v has given 1 - beta2^(10^6) of its weights to gradients.
                "step": torch.tensor(1e6, dtype=torch.float64),
                "mu_product": torch.tensor(0.0, dtype=torch.float64),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.tensor(square) * (1.0 - quadratic.STILL**1e6),
            }
            if own.get("amsgrad"):
                optimizer.state[p]["max_exp_avg_sq"] = 4.0 * optimizer.state[p]["exp_avg_sq"]
        elif name == "Adamax":
            begun = {"exp_avg": torch.zeros_like(p), "exp_inf": torch.tensor(square).sqrt()}
            optimizer.state[p] = {"step": torch.tensor(1e6), **begun}
        elif name == "RMSprop":
            optimizer.state[p] = {"step": torch.tensor(5.0), "square_avg": torch.tensor(square)}
            if "momentum" in own:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
        elif name == "Adagrad":
            optimizer.state[p]["sum"] = torch.tensor(square)

    def closure():
        flat = torch.cat(arrays)
        return 0.5 * flat @ hessian @ flat

    return optimizer, arrays, closure


@pytest.mark.parametrize("kind", KINDS)
def test_the_threshold_is_where_steps_begin_to_grow(torch, kind):
    """Protects sharpness and threshold of every option at once: PyTorch's own steps, 2% below and above, decide."""
    small = 1e-9 if KINDS[kind][0] != "SGD" else 1.0  # so that squares stand still

    def read(factor):
        optimizer, arrays, closure = on_quadratic(torch, kind, factor, small)
        recorder = ss.Recorder.for_torch(arrays, closure, optimizer)
        recorder.log(0)
        data = recorder.dataset()
        return matching(data), float(data.max_stable_sharpness[0])

    critical = quadratic.critical_factor(read)
    for factor, stable in ((1 - quadratic.NEAR, True), (1 + quadratic.NEAR, False)):
        optimizer, arrays, closure = on_quadratic(torch, kind, critical * factor, small)
        sizes = []
        for _ in range(600):
            optimizer.zero_grad()
            closure().backward()
            if kind == "SparseAdam":
                for p in arrays:
                    p.grad = p.grad.to_sparse()
            before = weights_of(arrays)
            optimizer.step()
            sizes.append(np.linalg.norm(weights_of(arrays) - before))
            if sizes[-1] > 1e3 * small:
                sizes = np.array(sizes)[np.arange(len(sizes)) % 3 == 0]
                break
        assert quadratic.dies_out(np.maximum(sizes, 1e-300)) == stable


# -- the sharpness, by dense matrices -------------------------------------------------------------------------------


def roots_of_squares(name, states, gradient, t, beta1, beta2, eps):
    """Return P by hand; `states` holds what is remembered, and is stepped."""
    if name == "Adagrad":
        states["v"] = states["v"] + gradient**2
        return np.sqrt(states["v"]) + eps
    states["v"] = beta2 * states["v"] + (1 - beta2) * gradient**2
    if name == "RMSprop":
        return np.sqrt(states["v"]) + eps
    if name == "centered":
        states["m"] = beta2 * states["m"] + (1 - beta2) * gradient
        return np.sqrt(states["v"] - states["m"] ** 2) + eps
    root = np.sqrt(states["v"])
    if name == "RAdam":  # its authors' algorithm 2
        t += 1
        most = 2 / (1 - beta2) - 1
        length = most - 2 * t * beta2**t / (1 - beta2**t)
        if length <= 5:
            return (1 - beta1**t) * np.ones_like(gradient)
        r = np.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
        return (1 - beta1**t) * (root + eps) / np.sqrt(1 - beta2**t) / r
    if name == "amsgrad":
        states["largest"] = np.maximum(states["largest"], states["v"])
        root = np.sqrt(states["largest"])
    return (1 - beta1 ** (t + 1)) * (root / np.sqrt(1 - beta2 ** (t + 1)) + eps)


@pytest.mark.parametrize(
    ("name", "kind", "settings", "above"),
    [
        ("Adam", "Adam", {"lr": 0.01, "betas": (0.9, 0.95)}, 38 / 0.01),
        ("Adam", "Adam", {"lr": 0.02, "betas": (0.5, 0.95), "weight_decay": 0.3}, 6 / 0.02),
        ("AdamW", "AdamW", {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.3}, 38 / 0.01 - 19 * 0.3),
        ("amsgrad", "Adam", {"lr": 0.01, "betas": (0.9, 0.95), "amsgrad": True}, 38 / 0.01),
        ("RMSprop", "RMSprop", {"lr": 0.01, "alpha": 0.95}, 2 / 0.01),
        ("centered", "RMSprop", {"lr": 0.001, "alpha": 0.95, "centered": True, "momentum": 0.8}, 3.6 / 0.001),
        ("Adagrad", "Adagrad", {"lr": 0.05}, 2 / 0.05),
        ("RAdam", "RAdam", {"lr": 0.01, "betas": (0.9, 0.8)}, 38 / 0.01),
    ],
)
def test_the_preconditioned_sharpness_is_that_of_a_dense_matrix(torch, name, kind, settings, above):
    """Protects P: each optimizer's own formula, in NumPy, on the network's explicit Hessian along the run."""
    parameters, loss = network(torch)
    optimizer = getattr(torch.optim, kind)(parameters, **settings)
    recorder = ss.Recorder.for_torch(parameters, loss, optimizer, second=True)
    beta1, beta2 = settings.get("betas", (0.0, settings.get("alpha", 0.0)))
    eps = 1e-10 if kind == "Adagrad" else 1e-8
    decay = 0.0 if kind == "AdamW" else settings.get("weight_decay", 0.0)
    states = dict.fromkeys(("v", "m", "largest"), np.zeros(START.size))
    expected = []
    for t in range(12):
        recorder.log(t)
        w = weights_of(parameters)
        p = roots_of_squares(name, states, NETWORK.gradient(w) + decay * w, t, beta1, beta2, eps)
        hessian = NETWORK.hessian(w) + decay * np.eye(w.size)
        values = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(p, p)))
        expected.append([values[-1], values[-2], np.linalg.eigvalsh(hessian)[-1]])
        assert recorder._rows[-1]["loss"] == pytest.approx(NETWORK.value(w) + decay * w @ w / 2, rel=1e-10)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    data = recorder.dataset()
    names = ("preconditioned_sharpness", "second_preconditioned_sharpness", "sharpness")
    np.testing.assert_allclose(np.array([data[n] for n in names]).T, expected, rtol=1e-7)
    np.testing.assert_allclose(data.max_stable_sharpness, above, rtol=1e-12)
    assert data.max_stable_sharpness.attrs["sharpness"] == "preconditioned_sharpness"
    assert json.loads(data.attrs["training_optimizer"])["optimizer"] == f"torch.optim.{kind}"


def test_a_loop_of_adam_equals_the_simulated_run(torch):
    """Protects the convention: the preconditioner is that of the update that follows, as in simulate."""
    parameters, loss = network(torch)
    optimizer = torch.optim.Adam(parameters, lr=0.02, betas=(0.9, 0.97))
    recorder = ss.Recorder.for_torch(parameters, loss, optimizer, every=5)
    for t in range(61):
        recorder.log(t)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    data, keep = recorder.dataset(), ("loss", "sharpness", "preconditioned_sharpness")
    run = ss.simulate(NETWORK, ss.Adam(0.02, 0.9, 0.97), START, 60, every=5, keep=keep)
    for name in (*keep, "lr", "max_stable_sharpness"):
        np.testing.assert_allclose(data[name], run[name], rtol=1e-7)
    assert {key: json.loads(data.attrs["optimizer"])[key] for key in ("name", "beta1", "beta2", "eps")} == {
        "name": "Adam", "beta1": 0.9, "beta2": 0.97, "eps": 1e-8,
    }  # fmt: skip
    one, other = ss.analyze(data), ss.analyze(run)
    np.testing.assert_allclose(one.excess_sharpness, other.excess_sharpness, rtol=1e-6)


def test_groups_have_their_own_decay_and_rate(torch):
    """Protects groups: H + diag(λ), and D^½(H + diag(λ))D^½ at the largest lr, of dense matrices."""
    parameters, loss = network(torch)
    groups = [
        {"params": [parameters[0], parameters[2]], "weight_decay": 0.5},
        {"params": [parameters[1], parameters[3]], "lr": 0.05},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9, nesterov=True)
    recorder = ss.Recorder.for_torch(parameters, loss, optimizer)
    recorder.log(0)
    optimizer.param_groups[1]["lr"] = 0.2
    recorder.log(1)
    data = recorder.dataset()
    decay = np.repeat([0.5, 0.0, 0.5, 0.0], [56, 7, 7, 1])
    root = np.repeat([1.0, 0.5, 1.0, 0.5], [56, 7, 7, 1])
    hessian = NETWORK.hessian(START) + np.diag(decay)
    assert matching(data, 0) == pytest.approx(
        np.linalg.eigvalsh(root[:, None] * hessian * root)[-1], rel=1e-9
    )
    assert float(data.sharpness[0]) == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-9)
    assert matching(data, 1) == pytest.approx(float(data.sharpness[1]), rel=1e-9)
    assert data.lr.values.tolist() == [0.2, 0.2]
    np.testing.assert_allclose(data.max_stable_sharpness, ss.HeavyBall(0.2, 0.9, 0.9).max_stable_sharpness())
    assert float(data.loss[0]) == pytest.approx(NETWORK.value(START) + decay @ START**2 / 2, rel=1e-12)


def test_momentum_and_rate_of_a_schedule_are_those_of_the_step(torch):
    """Protects OneCycleLR, which moves Adam's lr and its beta1."""
    parameters, loss = network(torch)
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=20)
    recorder = ss.Recorder.for_torch(parameters, loss, scheduler)  # which holds its optimizer
    for t in range(10):
        recorder.log(t)
        group = optimizer.param_groups[0]
        lr, beta = group["lr"], group["betas"][0]
        row = recorder._rows[-1]
        assert (row["lr"], row["momentum"]) == (lr, beta)
        assert row["max_stable_sharpness"] == pytest.approx(2 * (1 + beta) / ((1 - beta) * lr), rel=1e-12)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        scheduler.step()
    assert recorder._rows[0]["momentum"] != recorder._rows[5]["momentum"]


def test_wrappers_are_looked_into(torch):
    """Protects accelerate's optimizer and wrappers of its kind; those that step otherwise are refused."""
    from accelerate import Accelerator

    class Sharded:
        def __init__(self, optimizer):
            self.optimizer, self.step = optimizer, optimizer.step

    class Lookahead(Sharded):
        pass

    parameters, loss = network(torch)
    plain = torch.optim.AdamW(parameters, lr=0.01)
    for optimizer in (Accelerator(cpu=True).prepare(plain), Sharded(plain), Sharded(Sharded(plain))):
        recorder = ss.Recorder.for_torch(parameters, loss, optimizer)
        recorder.log(0)
        assert float(recorder.dataset().lr[0]) == 0.01
    with pytest.raises(
        TypeError, match=r"optimizer must be one of torch\.optim's Adagrad, Adam, .*got Lookahead"
    ):
        ss.Recorder.for_torch(parameters, loss, Lookahead(plain))


def test_what_is_not_understood_is_refused_in_one_line(torch):
    """Protects records from a threshold that is another optimizer's."""
    parameters, loss = network(torch)

    class Own(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    class Named(torch.optim.SGD):
        pass

    def refused(optimizer, error, message):
        with pytest.raises(error, match=message) as raised:
            ss.Recorder.for_torch(parameters, loss, optimizer).log(0)
        assert "\n" not in str(raised.value)

    optim = torch.optim
    names = "Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, SGD, SparseAdam"
    for other, why in (
        (optim.LBFGS(parameters), "got LBFGS: it has a Hessian of its own"),
        (optim.Rprop(parameters), "got Rprop: its step is a sign"),
        (optim.Adadelta(parameters), "got Adadelta: its step is as long as its last ones"),
        (type("Lion", (optim.Optimizer,), {})(parameters, {}), "got Lion: its step is the sign"),
        (Own(parameters, lr=0.1), "got Own$"),
        (3, "got 3$"),
        (None, "got None$"),
    ):
        refused(other, TypeError, f"optimizer must be one of torch.optim's {names}, or wrap one, {why}")
    ss.Recorder.for_torch(parameters, loss, Named(parameters, lr=0.1)).log(0)
    refused(
        optim.SGD(parameters, lr=0.1, maximize=True), ValueError, "optimizer must minimize, got maximize=True"
    )
    refused(
        optim.SGD(parameters[:2], lr=0.1),
        ValueError,
        r"parameters must be what the optimizer trains, got 2 tensors that it does not",
    )
    refused(
        optim.SGD(parameters, lr=0.1, momentum=0.9, dampening=1.0), ValueError,
        re.escape("optimizer's dampening must be below 1, got 1"),
    )  # fmt: skip


def test_clipping_is_recorded_and_told(torch):
    """Protects a record of clipped steps: by which factor, and a sentence where it is analyzed."""
    parameters, loss = network(torch)
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    recorder = ss.Recorder.for_torch(parameters, loss, optimizer, clipping=0.4)
    factors = []
    for t in range(12):
        recorder.log(t)
        optimizer.zero_grad()
        loss().backward()
        before = torch.nn.utils.clip_grad_norm_(parameters, 0.4)
        after = torch.cat([p.grad.reshape(-1) for p in parameters]).norm()
        factors.append(float(after / before))
        optimizer.step()
    data = recorder.dataset()
    np.testing.assert_allclose(data.clipping_factor, factors, rtol=1e-12)
    clipped = int((data.clipping_factor < 1).sum())
    assert 0 < clipped < 12
    notes = json.loads(ss.analyze(data).attrs["notes"])
    assert any(f"Gradients are clipped at {clipped} of 12 records" in note for note in notes)


def test_batch_sharpness_is_that_of_the_batches(torch):
    """Protects E gᵀHg/E gᵀg: of each batch's own gradient and Hessian, weight decay in both."""
    parameters, loss = network(torch)
    optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.25)
    rows = [[0, 3, 4], [7, 1, 19], [5, 6, 8]]
    loader = torch.utils.data.DataLoader(torch.tensor(rows), batch_size=1, shuffle=True)
    state = torch.random.get_rng_state()
    recorder = ss.Recorder.for_torch(
        parameters, loss, optimizer, batch_loss=lambda batch: loss(batch[0]), batches=loader
    )
    recorder.log(0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in parameters)
    curvatures, squares = [], []
    for batch in rows:
        part = NETWORK.of_rows(np.array(batch))
        g = part.gradient_at(START) + 0.25 * START
        curvatures.append(g @ (part.hessian_at(START) @ g + 0.25 * g))
        squares.append(g @ g)
    row = recorder.dataset().isel(step=0)
    assert float(row.batch_sharpness) == pytest.approx(sum(curvatures) / sum(squares), rel=1e-10)
    rest = np.array(curvatures) - float(row.batch_sharpness) * np.array(squares)
    error = np.sqrt(rest @ rest / 6) / np.mean(squares)
    assert float(row.batch_sharpness_error) == pytest.approx(error, rel=1e-8)


@pytest.mark.parametrize(("kind", "column"), [("SGD", "weight_decay"), ("AdamW", "decoupled_weight_decay")])
def test_weight_decay_and_groups_are_recorded_and_told(torch, kind, column, tmp_path):
    """Protects a record's reader: what enters loss and threshold is in the record, its attributes and the notes."""
    parameters, loss = network(torch)
    groups = [
        {"params": parameters[:1], "weight_decay": 0.05},
        {"params": parameters[1:], "weight_decay": 0.0},
    ]
    optimizer = getattr(torch.optim, kind)(groups, lr=1e-3)
    recorder = ss.Recorder.for_torch(None, loss, optimizer)
    for step in range(3):
        row = recorder.log(step)
        assert (row[column], row[f"least_{column}"]) == (0.05, 0.0)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    sizes = [parameters[0].numel(), sum(tensor.numel() for tensor in parameters[1:])]
    described = json.loads(recorder.dataset().attrs["training_optimizer"])["groups"]
    pairs = list(zip(sizes, (0.05, 0.0), strict=True))
    assert described == [{"weights": size, "lr": 1e-3, "weight_decay": decay} for size, decay in pairs]
    effect = "it is part of loss and sharpness" if kind == "SGD" else "it lowers the threshold"
    told = f"Weight decay is 0.05, of some weights less: {effect}."
    notes = json.loads(ss.analyze(recorder).attrs["notes"])
    assert told in notes
    each = "; ".join(f"{size} weights, lr 0.001, weight decay {decay:g}" for size, decay in pairs)
    assert f"The optimizer has 2 groups: {each}." in notes
    recorder.save(tmp_path / "run.csv")  # which has no attributes
    assert told in json.loads(ss.analyze(tmp_path / "run.csv").attrs["notes"])
