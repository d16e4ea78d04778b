"""The sharpness along a PyTorch loop, warm, against eigsh, LOBPCG and curvlinops from the same eigenvector."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

import selfstab as ss

from .harness import Case, Disagreement, Row, Target, cpu_seconds, interleaved, judged
from .job import BaselineMissing

PAIRS = 5
ACCURACY = 1e-4
"""Relative error of the sharpness that everyone's must have."""

WIDTHS = {"113,000": (64, 300, 300, 10), "1,010,000": (64, 967, 967, 10)}
RESIDUALS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Residuals at which a LOBPCG that knows may end, relative to the sharpness: at the largest that is exact enough."""

KNOWING = "warm LOBPCG that knows when to end"
"""It ends by what no program knows beforehand, and is not judged."""

STRIDE = 5
"""Steps from the record whose eigenvector is known to the one that is measured."""


def cases(quick: bool) -> list[Case]:
    """Return the lines on records of a loop; quick ones take few samples and are not judged."""

    def line(size: str, peer: str, bound: float) -> Case:
        return Case(
            f"record of a PyTorch loop, {size} weights / {peer}",
            "s of processor time",
            Target(bound, at_least=False),
            lambda case: _row(case, WIDTHS[size], peer, quick),
        )

    return [
        line(size, peer, bound)
        for size in (list(WIDTHS)[:1] if quick else WIDTHS)
        for peer, bound in (("warm eigsh", 1.0), ("warm LOBPCG", 1.0), (KNOWING, 1.0), ("curvlinops", 0.5))
    ]


@dataclass(frozen=True)
class _Loop:
    """A network in float32 some way into its training, the state of its recorder, and its sharpness."""

    model: Any
    inputs: Any
    targets: Any
    optimizer: Any
    state: dict[str, Any]
    sharpness: float

    def loss(self) -> Any:
        """Return the loss of all data."""
        return ((self.model(self.inputs) - self.targets) ** 2).mean()

    def recorder(self, **settings: Any) -> Any:
        """Return a recorder of this loop."""
        return ss.Recorder.for_torch(self.model.parameters(), self.loss, self.optimizer, **settings)

    def products(self) -> Any:
        """Return v → Hessian·v in NumPy, from one graph for all, and how often it is called."""
        import torch

        weights = list(self.model.parameters())
        slopes = torch.autograd.grad(self.loss(), weights, create_graph=True)
        flat = torch.cat([slope.reshape(-1) for slope in slopes])

        def along(v: Any) -> Any:
            direction = torch.as_tensor(v.reshape(-1), dtype=flat.dtype)
            images = torch.autograd.grad(flat @ direction, weights, retain_graph=True)
            return torch.cat([image.reshape(-1) for image in images]).numpy()

        return along


@cache
def _loop(widths: tuple[int, ...], samples: int) -> _Loop:
    """Return a loop `STRIDE` steps after its last record."""
    if find_spec("torch") is None:
        raise BaselineMissing("PyTorch is not installed")
    if find_spec("sklearn") is None:
        raise BaselineMissing("scikit-learn, whose digits are the data, is not installed")
    import torch

    torch.manual_seed(0)
    layers: list[Any] = []
    for before, after in pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    inputs, targets = (
        torch.tensor(a, dtype=torch.float32) for a in ss.datasets.digits(samples, target="onehot")
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    loop = _Loop(model, inputs, targets, optimizer, {}, 0.0)
    recorder = loop.recorder(every=STRIDE)
    for step in range(12 * STRIDE):
        recorder.log(step)
        optimizer.zero_grad()
        loop.loss().backward()
        optimizer.step()
    exact = loop.recorder(tolerance=1e-5)
    exact.log(0)
    sharpness = float(exact.dataset().sharpness[0])
    return _Loop(model, inputs, targets, optimizer, recorder.state_dict(), sharpness)


def _row(case: Case, widths: tuple[int, ...], peer: str, quick: bool) -> Row:
    """Compare a record of the recorder's with the largest eigenvalue by a peer, both from the last eigenvector."""
    loop = _loop(widths, 50 if quick else 500)
    recorder = loop.recorder()
    recorder.log(0)

    def ours() -> float:
        recorder.load_state_dict(loop.state)
        recorder.log(12 * STRIDE)
        return float(recorder.dataset().sharpness[-1])

    peers = {
        "warm eigsh": _eigsh,
        "warm LOBPCG": _lobpcg,
        KNOWING: _knowing_lobpcg,
        "curvlinops": _curvlinops,
    }
    theirs = peers[peer](loop)
    errors = {}
    for name, program in (("ours", ours), (peer, theirs)):
        errors[name] = abs(program() / loop.sharpness - 1.0)
        if not errors[name] <= ACCURACY:
            raise Disagreement(f"the sharpness by {name} is off by {errors[name]:.1e}")
    pairs = interleaved(lambda: cpu_seconds(ours), lambda: cpu_seconds(theirs), PAIRS)
    products = int(recorder.dataset().products[-1])
    note = (
        f"float32; error {errors['ours']:.0e} of the sharpness in {products} products, {errors[peer]:.0e} by {peer} in "
        f"{theirs.products}"
    )
    return judged(case.name, case.unit, pairs, case.target, judge=not quick and peer != KNOWING, note=note)


class _Peer:
    """SciPy's Lanczos from the last eigenvector, on products that `operator` makes anew at each call.

    With a residual it is SciPy's LOBPCG, which ends there.
    """

    def __init__(self, loop: _Loop, operator: Any, residual: float | None = None) -> None:
        self._operator, self.products, self._residual = operator, 0, residual
        self._guess = np.asarray(loop.state["vectors.sharpness"][0])

    def __call__(self) -> float:
        """Return the largest eigenvalue to the accuracy."""
        from scipy.sparse.linalg import LinearOperator, eigsh, lobpcg

        multiply, size, count = self._operator(), self._guess.size, 0

        def counted(v: Any) -> Any:
            nonlocal count
            count += 1
            return multiply(v)

        operator = LinearOperator((size, size), matvec=counted, dtype=np.float32)
        if self._residual is None:
            value = eigsh(operator, k=1, which="LA", v0=self._guess, tol=ACCURACY, return_eigenvectors=False)[
                0
            ]
        else:
            value = lobpcg(operator, self._guess[:, None], tol=self._residual, maxiter=100)[0][0]
        self.products = count
        return float(value)


def _eigsh(loop: _Loop) -> _Peer:
    return _Peer(loop, loop.products)


def _lobpcg(loop: _Loop) -> _Peer:
    return _Peer(loop, loop.products, ACCURACY * loop.sharpness)


def _knowing_lobpcg(loop: _Loop) -> _Peer:
    for share in RESIDUALS:
        peer = _Peer(loop, loop.products, share * loop.sharpness)
        if abs(peer() / loop.sharpness - 1.0) <= ACCURACY:
            return peer
    raise Disagreement(f"LOBPCG must have an error of at most {ACCURACY:g} at one of the residuals")


def _curvlinops(loop: _Loop) -> _Peer:
    if find_spec("curvlinops") is None:
        raise BaselineMissing("curvlinops-for-pytorch is not installed")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, at the import
        from curvlinops import HessianLinearOperator

    hessian = HessianLinearOperator(
        loop.model,
        torch.nn.MSELoss(),
        [p for p in loop.model.parameters() if p.requires_grad],
        [(loop.inputs, loop.targets)],
        check_deterministic=False,
    ).to_scipy(dtype=np.float32)
    return _Peer(loop, lambda: lambda v: hessian @ v)
