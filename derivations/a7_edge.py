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
PROOF.equal("At the fixed point, A = √(2a) and Y = 0, the envelope rests", Y * A, 0, where={A: balance, Y: 0})
PROOF.equal("and so does the sharpness", a - A**2 / 2, 0, where={A: balance})
delta = sp.symbols("delta", positive=True)
PROOF.equal(
    "In the user's units, a = η²α and A = ηbδ, it is",
    delta,
    sp.sqrt(2 * alpha) / b,
    where={delta: balance.subs(a, lr**2 * alpha) / (lr * b)},
)

step = lam - 1 - beta * (1 - 1 / lam)  # of heavy ball on λ^t
right = sp.Matrix([Y * A, a - A**2 / 2])
jacobian = right.jacobian([A, Y]).subs({A: balance, Y: 0})
p = sp.symbols("p")  # the operator's value on λ^t
PROOF.equal("Operator of a step on λ^t", step, (lam - 1) * (lam - beta) / lam)
determinant = sp.Function("Delta")(p)
PROOF.equal(
    "The determinant Δ of the linearized equations, p being the step's operator. Modes have Δ = 0, so that p = ±i√(2a)",
    determinant,
    p**2 + 2 * a,
    where={determinant: (step * sp.eye(2) - jacobian).det(), p: step},
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
R_1, R_2 = sp.symbols("R_1 R_2")
PROOF.equal(
    "Insert λ = e^σ, σ = ir/(1 − β) + (1 + β)r²/(2(1 − β)³) + σ₃r³, into p − ir = R₁r + R₂r² + .... Order r vanishes",
    R_1,
    0,
    where={R_1: residual.coeff(r, 1)},
)
PROOF.equal("and so does order r²", R_2, 0, where={R_2: residual.coeff(r, 2)})
third = sp.solve(residual.coeff(r, 3), sigma_3)[0]
PROOF.equal(
    "Order r³ gives σ₃. It is imaginary: it shifts the period, not the growth",
    sp.Function("Re")(sigma_3),
    0,
    where={sp.Function("Re")(sigma_3): sp.re(third)},
)

frequency = r / (1 - beta)
period = 2 * sp.pi / frequency
kappa = (1 + beta) * r / (2 * (1 - beta) ** 2)
kappa_name, cycle = sp.symbols("kappa T", positive=True)
PROOF.equal(
    "The growth's exponent per cycle of T = 2π(1 − β)/r steps is 2πκ, κ = (1 + β)r/(2(1 − β)²)",
    sigma_2 * r**2 * cycle,
    2 * sp.pi * kappa_name,
    where={cycle: period, kappa_name: kappa},
)
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
