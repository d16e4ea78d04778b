"""Cycles at the edge of stability grow with the inertia number.

Statement. In the nondimensional cubic model (a2_envelope), a = η²α > 0, the balance of progressive
sharpening and self-stabilization, A² = δ² = 2α/b² and y = 0, is a fixed point of the envelope at every β.
Small deviations from it cycle: with r = √(2a) the modes λ solve (λ − 1)(λ − β) = ±irλ, and those near 1
are e^σ with
    σ = ±ir/(1 − β) + (1 + β)r²/(2(1 − β)³) + O(r³).
So the period is 2π(1 − β)/√(2a), and from one cycle to the next the deviation grows by exp(2πκ), κ = (1 +
β)√(2a)/(2(1 − β)²).

Assumptions. 0 <= β < 1; √(2a) small against (1 − β)² for the leading orders; α, b constant.

Steps. Insert the fixed point; linearize; eliminate; solve for σ order by order.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, alpha, b, a, r = sp.symbols("eta beta alpha b a r", positive=True)
A, Y, u, v, lam, D = sp.symbols("A Y u v lambda D")

balance = sp.sqrt(2 * a)  # A in the nondimensional form X = ηbx
PROOF.equal("At the fixed point the envelope rests", (Y * A).subs({A: balance, Y: 0}), 0)
PROOF.equal("and so does the sharpness", (a - A**2 / 2).subs(A, balance), 0)
PROOF.equal(
    "In the user's units δ = √(2α)/b", balance.subs(a, lr**2 * alpha) / (lr * b), sp.sqrt(2 * alpha) / b
)

step = lam - 1 - beta * (1 - 1 / lam)  # of heavy ball on λ^t
right = sp.Matrix([Y * A, a - A**2 / 2])
jacobian = right.jacobian([A, Y]).subs({A: balance, Y: 0})
PROOF.equal("Operator of a step on λ^t", step, (lam - 1) * (lam - beta) / lam)
PROOF.equal(
    "Linearized: step² = −2a, so that step = ±i√(2a)", (step * sp.eye(2) - jacobian).det(), step**2 + 2 * a
)

sigma_1 = sp.I / (1 - beta)
sigma_2 = (1 + beta) / (2 * (1 - beta) ** 3)
sigma_3 = sp.symbols("sigma_3")
sigma = sigma_1 * r + sigma_2 * r**2
residual = (
    (sp.exp(D) - 1 - beta * (1 - sp.exp(-D)) - sp.I * r)
    .series(D, 0, 4)
    .removeO()
    .subs(D, sigma + sigma_3 * r**3)
)
residual = sp.expand(residual)
PROOF.equal("Order r", residual.coeff(r, 1), 0)
PROOF.equal("Order r²", residual.coeff(r, 2), 0)
third = sp.solve(residual.coeff(r, 3), sigma_3)[0]
PROOF.equal("The next term is imaginary: it shifts the period, not the growth", sp.re(third), 0)

frequency = r / (1 - beta)
period = 2 * sp.pi / frequency
kappa = (1 + beta) * r / (2 * (1 - beta) ** 2)
PROOF.equal("Growth's exponent per cycle is 2πκ", sigma_2 * r**2 * period, 2 * sp.pi * kappa)
in_units = {r: lr * sp.sqrt(2 * alpha)}

RESULTS = {
    "displacement": sp.sqrt(2 * alpha) / b,
    "period": period.subs(in_units),
    "inertia_number": kappa.subs(in_units),
    "growth": sp.exp(2 * sp.pi * kappa).subs(in_units),
    "next_exponent": sp.simplify(third),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
