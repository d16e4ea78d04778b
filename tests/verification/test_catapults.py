"""Predictions on a single catapult hold; wrong closed forms and a wrong series fail them."""

import pytest

from selfstab.verification import catapults
from tests.verification.judging import assert_fail, assert_holds, entries, other_arguments, scaled, verdicts


@pytest.mark.parametrize("name", entries(catapults))
def test_holds(name):
    """Protects theory and simulation at once: they agree as the entry says."""
    assert_holds(name)


WRONG = {
    "slow_energy": (
        lambda: other_arguments("slow_energy", lambda y, a, alpha, b2: (y, a, alpha, 1.1 * b2)),
        ["A3 conserved energy"],
    ),
    "slow_orbit": (
        lambda: other_arguments("slow_orbit", lambda t, lr, m, y0, b2: (1.05 * t, lr, m, y0, b2)), ["A3 orbit"]),
    "max_displacement": (lambda: scaled("max_displacement", 1.01), ["A3 largest swing"]),
    "loss_spike": (lambda: scaled("loss_spike", 1.01), ["A3 loss spike"]),
    "final_sharpness": (lambda: scaled("final_sharpness", 1.0 + 1e-5), ["A3 drop", "A5 final sharpness"]),
    "inertia_number": (
        lambda: lambda excess, momentum: excess * (1.0 + momentum) / (1.0 - momentum),  # the square forgotten
        ["A4 inertia number", "A5 overshoot series"],
    ),
    "overshoot": (lambda: scaled("overshoot", 1.001), ["A5 overshoot law cubic", "A5 overshoot law product"]),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_a_wrong_closed_form_fails(monkeypatch, form):
    """Protects the entries' power: a wrong factor or argument in a closed form turns their verdicts to "fails"."""
    make, names = WRONG[form]
    assert_fail(monkeypatch, form, make(), names)


def test_a_wrong_series_fails(monkeypatch):
    """Protects the coefficient 2 of κ² in the overshoot series."""
    monkeypatch.setattr(catapults, "SERIES", (1.0, 1.0, 2.1))
    assert verdicts(["A5 overshoot series"]) == {"A5 overshoot series": "fails"}


@pytest.mark.parametrize(
    ("momentum", "kappa", "expected"),
    [(0.99, 0.1, 1.1199), (0.99, 1.0, 2.6532), (0.99, 10.0, 13.271), (0.9, 1.0, 2.6317), (0.0, 0.1, 0.9834)],
)
def test_known_overshoots_of_the_product(momentum, kappa, expected):
    """Protects the numbers measured on Product from S = 4; without momentum the cubic model's is 1.1237."""
    loss = catapults._product()
    catapult = catapults._catapult(
        loss, loss.minimum(sharpness=4.0), momentum, catapults._excess(kappa, momentum), 1e-6
    )
    assert catapult.overshoot == pytest.approx(expected, rel=5e-5)
