"""Training loops of PyTorch as people write them: what is recorded is right, or refused in one line."""

from __future__ import annotations

import random
import weakref

import numpy as np
import pytest

import selfstab as ss
from selfstab.records.recording import torch_loops

pytestmark = pytest.mark.integrations


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def sgd(torch, parameters, **settings):
    return torch.optim.SGD(parameters, **{"lr": 0.1} | settings)


def record(torch, parameters, closure, **settings):
    """Return the one record of a closure at the parameters as they are."""
    parameters = list(parameters)
    recorder = ss.Recorder.for_torch(closure=closure, optimizer=sgd(torch, parameters), **settings)
    recorder.log(0)
    return recorder.dataset().isel(step=0)


def top_eigenvalue(torch, parameters, closure, step=1e-5):
    """Return the top Hessian eigenvalue by central differences of first gradients, weight by weight."""
    parameters = list(parameters)

    def gradient():
        slopes = torch.autograd.grad(closure(), parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([slope.to_dense().reshape(-1) for slope in slopes]).double().numpy()

    rows = []
    for parameter in parameters:
        flat = parameter.data.view(-1)
        for k in range(flat.numel()):
            kept, ends = float(flat[k]), []
            for sign in (1, -1):
                flat[k] = kept + sign * step
                ends.append(gradient())
            flat[k] = kept
            rows.append((ends[0] - ends[1]) / (2 * step))
    hessian = np.array(rows)
    return np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]


def cube(torch, *, marked):
    """Return an operation z³ whose backward pass is no function of z for autograd, like many fused kernels."""

    def backward(context, slope):
        (z,) = context.saved_tensors
        return 3 * z * z * slope if marked else 3 * z.detach() ** 2 * slope

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(context, z):
            context.save_for_backward(z)
            return z**3

    Cube.backward = staticmethod(
        torch.autograd.function.once_differentiable(backward) if marked else backward
    )
    return Cube.apply


# -- second derivatives that autograd drops ---------------------------------------------------------------------------


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("power", ["float64", "float32"])
def test_second_derivatives_that_autograd_drops(torch, marked, power):
    """Protects from fused kernels: sharpness 0 was recorded for 12, and an error for 480."""
    operation = cube(torch, marked=marked)
    w = torch.linspace(1, 2, 80, dtype=getattr(torch, power), requires_grad=True)
    tolerance = 1e-7 if power == "float64" else 2e-3
    for closure, expected in (
        (lambda: operation(w).sum(), 12.0),
        (lambda: operation(w).sum() + (w**2).sum(), 14.0),
        (lambda: (operation(w) ** 2).sum(), 480.0),  # 30 w⁴
        (lambda: operation(w).sum() + torch.relu(w).sum(), 12.0),
    ):
        row = record(torch, [w], closure)
        assert float(row.sharpness) == pytest.approx(expected, rel=tolerance)
        assert row.attrs["hessian_vector"].startswith("differences of gradients")
    assert torch.equal(w.detach(), torch.linspace(1, 2, 80, dtype=w.dtype))
    assert "hessian_vector" not in record(torch, [w], lambda: (w**3).sum()).attrs


def test_gradients_of_no_loss_are_refused(torch):
    """Protects from what has no Hessian: half of the gradient is held fixed."""
    w = torch.linspace(1, 2, 80, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"closure must be differentiable twice .*: leave out detach"):
        record(torch, [w], lambda: (w[:40] ** 2 * w[40:].detach()).sum() + (w[40:] ** 2).sum())


def test_checkpoints(torch):
    """Protects activation checkpoints: reentrant ones drop second derivatives (6.4 was recorded for 7.0)."""
    from torch.utils.checkpoint import checkpoint

    torch.manual_seed(0)
    first, second = torch.nn.Linear(4, 5).double(), torch.nn.Linear(5, 1).double()
    norm = torch.nn.BatchNorm1d(5).double()
    x, y = torch.randn(20, 4).double().requires_grad_(), torch.randn(20, 1).double()
    parameters = [*first.parameters(), *norm.parameters(), *second.parameters()]

    def block(z):
        return torch.tanh(norm(first(z)))

    def loss(reentrant):
        hidden = block(x) if reentrant is None else checkpoint(block, x, use_reentrant=reentrant)
        return ((second(hidden) - y) ** 2).mean()

    with pytest.raises(ValueError, match="closure must checkpoint with use_reentrant=False"):
        record(torch, parameters, lambda: loss(True))
    mean = norm.running_mean.clone()
    plain, checkpointed = (
        record(torch, parameters, lambda how=how: loss(how)).sharpness for how in (None, False)
    )
    assert float(checkpointed) == pytest.approx(float(plain), rel=1e-12)
    # A checkpoint runs the module again in each backward pass.
    assert torch.equal(norm.running_mean, mean)


def test_kinks_are_no_reason_to_take_differences(torch):
    """Protects networks of ReLU and max-pooling in float32: their gradients jump, autograd's products are right."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(36, 3),
    )
    x, y = torch.randn(200, 1, 8, 8), torch.randint(3, (200,))
    row = record(
        torch, model.parameters(), lambda: torch.nn.functional.cross_entropy(model(x), y), tolerance=1e-3
    )
    assert "hessian_vector" not in row.attrs


# -- a recorder changes nothing it watches ----------------------------------------------------------------------------


def test_a_recorder_changes_nothing_it_watches(torch):
    """Protects the run: running statistics, power iterations, random states and gradients, to the last bit."""

    def run(recording):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 (the global state is what is watched)
        random.seed(0)
        x = 5 + torch.randn(60, 4, dtype=torch.float64)
        y = x[:, :1]
        model = torch.nn.Sequential(
            torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(4, 6)),
            torch.nn.BatchNorm1d(6),
            torch.nn.Tanh(),
            torch.nn.Linear(6, 1),
        ).double()
        batches = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x, y), batch_size=60, shuffle=True
        )
        drop = torch.nn.Dropout(0.2)

        def closure():
            random.random()
            np.random.rand()  # noqa: NPY002
            return sum(((model(a) - b) ** 2).mean() for a, b in batches)

        optimizer = sgd(torch, model.parameters(), lr=0.05, momentum=0.9)
        recorder = ss.Recorder.for_torch(closure=closure, optimizer=optimizer, every=2, tolerance=1e-4)
        for step in range(6):
            loss = ((drop(model(x)) - y) ** 2).mean() * (1 + random.random() + np.random.rand())  # noqa: NPY002
            if recording:
                recorder.log(step)  # between the passes, forward and backward
            optimizer.zero_grad()
            loss.backward()
            if recording:
                gradients = [p.grad for p in model.parameters()]
                recorder.log(step) if step % 2 else None
                assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
            optimizer.step()
        return {**model.state_dict(), "state": torch.get_rng_state(), "loss": loss.detach()}

    without, with_recorder = run(False), run(True)
    assert without.keys() == with_recorder.keys()
    for name, tensor in without.items():
        assert torch.equal(tensor, with_recorder[name]), name


def test_a_closure_that_changes_the_loop_is_refused(torch):
    """Protects gradients and weights from a closure that takes the loop's own step."""
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.full((3,), 7.0)
    optimizer = sgd(torch, [w])

    def backward():
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    def update():
        with torch.no_grad():
            w.mul_(1.0)
        return (w**2).sum()

    for closure, message in (
        (backward, "must not call backward"),
        (update, "must not change the parameters"),
    ):
        with pytest.raises(ValueError, match=f"closure {message}"):
            ss.Recorder.for_torch(closure=closure, optimizer=optimizer).log(0)
    assert w.grad.tolist() == [7.0] * 3


# -- what is recorded is what is trained ------------------------------------------------------------------------------


def test_what_is_recorded_is_what_is_trained(torch):
    """Protects loops that freeze, unfreeze and add weights: S is that of the block that the optimizer trains."""
    a, b = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    curvatures = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def closure():
        return 0.5 * (curvatures * a**2).sum() + 2.5 * (b**2).sum()

    for parameters in (None, [a, b], [a, b, a], [("a", a), ("b", b)], {"a": a, "b": b}, iter([a, b])):
        optimizer = sgd(torch, [a, b])
        recorder = ss.Recorder.for_torch(parameters, closure, optimizer)
        recorder.log(0)
        b.requires_grad_(False)
        recorder.log(1)
        b.requires_grad_(True)
        recorder.log(2)
        assert recorder.dataset().sharpness.values == pytest.approx([5.0, 3.0, 5.0], rel=1e-12)

    optimizer = sgd(torch, [a])
    automatic = ss.Recorder.for_torch(closure=closure, optimizer=optimizer)
    named = ss.Recorder.for_torch([a], closure, optimizer)
    for recorder in (automatic, named):
        recorder.log(0)
    optimizer.add_param_group({"params": [b]})
    automatic.log(1)
    assert automatic.dataset().sharpness.values == pytest.approx([3.0, 5.0], rel=1e-12)
    with pytest.raises(
        ValueError, match="got 0 tensors that it does not and 1 too few: leave parameters out"
    ):
        named.log(1)


def test_a_module_is_its_parameters(torch):
    """Protects a model in place of its parameters."""
    model = torch.nn.Linear(2, 1).double()
    x = torch.eye(2, dtype=torch.float64)
    recorder = ss.Recorder.for_torch(model, lambda: (model(x) ** 2).sum(), sgd(torch, model.parameters()))
    recorder.log(0)
    # 2·JᵀJ of outputs w₁ + b, w₂ + b: eigenvalues 2·(3, 1, 0)
    assert recorder.dataset().sharpness.values == pytest.approx([6.0], rel=1e-12)


def test_parameters_of_another_model_are_refused(torch):
    """Protects from a Hessian of zeros: the optimizer's, the user's, or a loss without a graph."""
    one, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    x = torch.ones(3, 2)
    own, foreign = sgd(torch, one.parameters()), sgd(torch, other.parameters())

    def closure():
        return (one(x) ** 2).mean()

    def without_graph():
        with torch.no_grad():
            return closure()

    dependence = "closure must depend on the parameters that the optimizer trains"
    twice = sgd(torch, one.parameters())
    twice.param_groups[0]["params"] *= 2
    for parameters, function, optimizer, message in (
        (other.parameters(), closure, own, "got 2 tensors that it does not and 2 too few"),
        (one.parameters(), closure, foreign, "got 2 tensors that it does not and 2 too few"),
        (None, closure, foreign, dependence),
        (None, without_graph, own, dependence),
        (None, closure, twice, "optimizer must list each parameter once"),
    ):
        with pytest.raises(ValueError, match=message):
            ss.Recorder.for_torch(parameters, function, optimizer).log(0)
    with pytest.raises(TypeError, match="parameters must be tensors, as of model"):
        ss.Recorder.for_torch(one.parameters, closure, own)
    with pytest.raises(TypeError, match="parameters must be tensors, as of model"):
        ss.Recorder.for_torch(["weight"], closure, own)


# -- raw errors -------------------------------------------------------------------------------------------------------


def test_attention_has_second_derivatives(torch):
    """Protects transformers: fused attention has none. Against differences of first gradients."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True).double()
    x = torch.randn(3, 6, 4, dtype=torch.float64)

    def closure():
        return (layer(x) ** 3).mean()

    row = record(torch, layer.parameters(), closure)
    assert "hessian_vector" not in row.attrs
    expected = top_eigenvalue(torch, layer.parameters(), closure)
    assert float(row.sharpness) == pytest.approx(expected, rel=1e-7)


def test_compiled_models_run_as_their_original(torch):
    """Protects compiled models, whose backward pass cannot be differentiated."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    compiled = torch.compile(model, backend="aot_eager")
    compiled(x).sum().backward()
    rows = [record(torch, model.parameters(), lambda m=m: (m(x) ** 2).mean()) for m in (model, compiled)]
    assert "hessian_vector" not in rows[1].attrs
    assert float(rows[0].sharpness) == float(rows[1].sharpness)


def test_sparse_embeddings(torch):
    """Protects gradients that are sparse tensors."""
    torch.manual_seed(0)
    sparse, dense = (torch.nn.Embedding(6, 3, sparse=how, dtype=torch.float64) for how in (True, False))
    sparse.load_state_dict(dense.state_dict())
    words = torch.tensor([0, 1, 1, 4])
    rows = [
        record(torch, table.parameters(), lambda table=table: (torch.tanh(table(words)) ** 2).sum())
        for table in (sparse, dense)
    ]
    assert float(rows[0].sharpness) == pytest.approx(float(rows[1].sharpness), rel=1e-12)
    constant = record(torch, sparse.parameters(), lambda: sparse(words).sum())
    assert float(constant.sharpness) == 0.0


def test_closures_that_return_no_loss_are_told_how(torch):
    """Protects users from errors of autograd: each message holds the remedy."""
    w = torch.ones(3, requires_grad=True)
    for closure, message in (
        (lambda: w**2, r"of shape \(3,\): take its mean or sum"),
        (lambda: (w**2).sum().item(), "leave out .item()"),
        (lambda: {"loss": (w**2).sum()}, "return its .loss"),
        (lambda: ((w**2).sum(), w), "closure must return a scalar tensor"),
        (lambda: None, "closure must return a scalar tensor"),
        (lambda: [w], "each part must be a scalar tensor"),
        (lambda: [(w**2).sum(), None], "each part must be a scalar tensor"),
        (lambda: [((w**2).sum(), "3")], "weight must be a single number"),
        (lambda: [((w**2).sum(), 3), (w**2).sum()], "all its parts a weight, or none"),
    ):
        with pytest.raises(TypeError, match=message):
            record(torch, [w], closure)
    for closure, message in (
        (lambda: [], "closure must give at least one part"),
        (lambda: [((w**2).sum(), -1.0)], r"weight must be in \[0, inf\), got -1"),
        (lambda: [((w**2).sum(), 0)], "weight must be positive for one part"),
    ):
        with pytest.raises(ValueError, match=message):
            record(torch, [w], closure)
    with pytest.raises(TypeError, match="closure must be a function, got None"):
        ss.Recorder.for_torch(optimizer=sgd(torch, [w]))
    with pytest.raises(TypeError, match="parts must be a list, a data loader"):
        record(torch, [w], lambda part: (w**2).sum(), parts=iter([1, 2]))


def test_a_loss_tensor_with_its_graph_is_a_number(torch):
    """Protects loops that hand over the loss that they differentiate, of any precision."""
    w = torch.full((2,), 3.0, requires_grad=True)
    recorder = ss.Recorder(lr=0.1)
    for step, kind in enumerate((torch.float32, torch.bfloat16, torch.float64)):
        loss = (w**2).sum().to(kind)
        recorder.log(step, loss=loss, hessian_vector=lambda v: 2 * v, dimension=2)
    assert recorder.dataset().loss.values.tolist() == [18.0] * 3
    with pytest.raises(TypeError, match="loss must be a single number"):
        recorder.log(3, loss=w, hessian_vector=lambda v: 2 * v, dimension=2)


def test_a_step_that_is_not_finite_is_recorded_as_such(torch):
    """Protects runs of mixed precision: one step overflows, is skipped, and the run goes on."""
    w = torch.ones(80, dtype=torch.float64, requires_grad=True)
    for factors in ((np.inf, 1.0, np.inf, 1.0), (1.0, np.nan, np.nan, 2.0)):
        current = {}
        recorder = ss.Recorder.for_torch(
            closure=lambda current=current: current["factor"] * (w**2).sum(), optimizer=sgd(torch, [w])
        )
        for step, factor in enumerate(factors):
            current["factor"] = factor
            recorder.log(step)
        recorded, finite = recorder.dataset(), np.isfinite(factors)
        np.testing.assert_array_equal(recorded.loss, 80.0 * np.array(factors))
        np.testing.assert_array_equal(np.isnan(recorded.sharpness), ~finite)
        assert recorded.sharpness.values[finite] == pytest.approx(2.0 * np.array(factors)[finite], rel=1e-12)


@pytest.mark.parametrize(("power", "size"), [("float64", 1e-14), ("float32", 3e-7), ("float32", 3e-5)])
def test_the_last_bits_of_a_reduction_may_differ(torch, power, size):
    """Protects reductions in another order each time; a network that draws anew is still refused."""
    w = torch.linspace(1, 2, 80, dtype=getattr(torch, power), requires_grad=True)
    calls = [0]

    def closure():
        calls[0] += 1
        return (w**3).sum() * (1.0 + size * (-1) ** calls[0])

    assert float(record(torch, [w], closure, tolerance=1e-4).sharpness) == pytest.approx(12.0, rel=1e-3)
    # The mean hardly moves, its gradient does.
    ones = torch.ones(10**4, dtype=w.dtype)
    with pytest.raises(ValueError, match="closure must give one value at one point"):
        record(torch, [w], lambda: 1e3 + (w**3 * (0.5 + torch.nn.functional.dropout(ones, 0.5)[:80])).sum())


# -- a loss in parts --------------------------------------------------------------------------------------------------


def regression(torch, samples=50):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    x, y = torch.randn(samples, 4, dtype=torch.float64), torch.randn(samples, 1, dtype=torch.float64)
    return model, x, y, torch.nn.functional.mse_loss


def test_a_loss_in_parts_is_the_loss(torch):
    """Protects losses that do not fit into memory: sums, weighted means and data loaders give the same values."""
    model, x, y, mse = regression(torch)
    whole = record(torch, model.parameters(), lambda: mse(model(x), y))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    assert len(x) % 16  # parts of several sizes

    def weighted():
        for a, b in loader:
            yield mse(model(a), b), len(a)

    for closure, parts in (
        (weighted, None),
        (lambda: (mse(model(a), b, reduction="sum") / len(x) for a, b in loader), None),
        (lambda: [mse(model(x), y) / 3 for _ in range(3)], None),
        (lambda batch: (mse(model(batch[0]), batch[1]), len(batch[0])), loader),
        (lambda batch: mse(model(batch[0]), batch[1], reduction="sum") / len(x), loader),
        (lambda batch: (mse(model(batch[0]), batch[1]), torch.tensor(len(batch[0]))), list(loader)),
    ):
        row = record(torch, model.parameters(), closure, parts=parts)
        for name in ("loss", "sharpness"):
            assert float(row[name]) == pytest.approx(float(whole[name]), rel=1e-10)


def test_parts_have_one_graph_at_a_time(torch):
    """Protects memory: the part before is gone when the next one is made."""
    model, x, y, mse = regression(torch)
    alive = []

    def part(k):
        assert all(reference() is None for reference in alive)
        loss = mse(model(x[k::5]), y[k::5]) / 5
        alive.append(weakref.ref(loss))
        return loss

    row = record(torch, model.parameters(), part, parts=range(5))
    assert float(row.loss) == pytest.approx(float(mse(model(x), y).detach()), rel=1e-12)
    assert len(alive) > 5 * 10


def test_faults_of_parts_are_seen(torch):
    """Protects parts as whole losses are: dropped derivatives, other models, draws."""
    operation = cube(torch, marked=True)
    w = torch.linspace(1, 2, 80, dtype=torch.float64, requires_grad=True)
    row = (
        record(torch, [w], lambda half: operation(half).sum(), parts=None)
        if False
        else record(torch, [w], lambda k: operation(w[k::2]).sum(), parts=[0, 1])
    )
    assert float(row.sharpness) == pytest.approx(12.0, rel=1e-7)
    with pytest.raises(ValueError, match="closure must depend on the parameters"):
        record(torch, [w], lambda k: torch.ones(()), parts=[0, 1])
    with pytest.raises(ValueError, match="closure must give one value at one point"):
        record(torch, [w], lambda k: torch.rand(()) * (w**2).sum(), parts=[0, 1])


def test_weights_on_top_of_decay_and_of_several_shapes(torch):
    """Protects the order of numbers: products of all groups' tensors, with weight decay, against the exact Hessian."""
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((7, 7))
    matrix = torch.tensor(matrix + matrix.T)
    a = torch.zeros((2, 3), dtype=torch.float64, requires_grad=True)
    b = torch.ones((), dtype=torch.float64, requires_grad=True)

    def closure():
        w = torch.cat([b.reshape(1), a.reshape(-1)])
        return 0.5 * w @ matrix @ w

    optimizer = sgd(torch, [{"params": [b]}, {"params": [a]}], weight_decay=0.5)
    reading = torch_loops.of_torch(None, closure, optimizer)(None)
    exact, v = matrix.numpy() + 0.5 * np.eye(7), rng.standard_normal(7)
    assert reading.product(v) == pytest.approx(exact @ v, rel=1e-12)
    image = reading.product(reading.vector(v))
    assert isinstance(image, torch.Tensor)
    assert image.numpy() == pytest.approx(exact @ v, rel=1e-12)
    # Without the decay: at w = (1, 0, ...) the first column.
    assert reading.gradient_norm() == pytest.approx(np.linalg.norm(matrix.numpy()[0]), rel=1e-12)
    assert [tuple(array.shape) for array in reading.arrays()] == [(), (2, 3)]
    recorder = ss.Recorder.for_torch(closure=closure, optimizer=optimizer)
    recorder.log(0)
    top = np.linalg.eigvalsh(matrix.numpy())[-1] + 0.5
    assert recorder.dataset().sharpness.values == pytest.approx([top], rel=1e-12)


@pytest.mark.parametrize("size", [3, 200])
def test_a_state_is_kept_by_torch_without_classes(torch, tmp_path, size):
    """Protects ``torch.load``, which refuses arrays of NumPy: those of small models were such."""
    model = torch.nn.Linear(size, 1)
    x = torch.randn(20, size)
    recorder = ss.Recorder.for_torch(
        closure=lambda: model(x).square().mean(), optimizer=sgd(torch, model.parameters())
    )
    recorder.log(0)
    torch.save(recorder.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["vectors.sharpness"].shape[1] == size + 1
    recorder.load_state_dict(state)
    assert recorder.log(1)["sharpness"] == pytest.approx(float(recorder.dataset().sharpness[0]), rel=1e-4)
