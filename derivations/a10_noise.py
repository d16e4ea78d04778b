"""Noise of the curvature lowers the edge: heavy ball's mean-square boundary and batch sharpness.

Statement. On a scalar quadratic whose curvature h_t is drawn at each step, independently, with mean μ > 0 and
variance s², the moments (E x_t², E x_t x_{t−1}, E x_{t−1}²) obey a linear recursion with the matrix
    M = [[T² + v, −2βT, β²], [T, −β, 0], [1, 0, 0]],    T = 1 + β − ημ,    v = η²s².
E x_t² dies out if and only if 0 < ημ < 2(1 + β) and
    η²s² < (1 − β)ημ(2(1 + β) − ημ)/(1 + β).
In batch sharpness B = E h²/E h the boundary is a line,
    ηB = 2(1 − β) + (2β/(1 + β))ημ,
from 2(1 − β) (small ημ: noise decides) to 2(1 + β) (no noise: the deterministic threshold).

Assumptions. 0 <= β < 1, η > 0; h_t independent of x_t and x_{t−1}, identically distributed, E h² finite.

Steps. Average products of the update; det(I − M) = 0. That no other multiplier leaves the unit circle first:
at the boundary the two others satisfy the Jury conditions. Beyond it det(I − M) < 0, so a real multiplier exceeds 1;
within, det(I − M) > 0 from v = 0 on, where the multipliers λ₁², λ₁λ₂, λ₂² are inside (q2_threshold), and the
largest multiplier is real (M maps the cone of second moments into itself), so that it never crosses 1.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, mean, deviation = sp.symbols("eta beta mu s", positive=True)
below, room = sp.symbols("d r", positive=True)
T, v, h, x, x_previous, lam, gap = sp.symbols("T v h x x_previous lambda g", real=True)
P, Q, R = sp.symbols("P Q R")


def average(expression: sp.Expr) -> sp.Expr:
    """Return E over h of mean μ and variance s², and over x with the moments P, Q, R."""
    terms = sp.Poly(sp.expand(expression), h, x, x_previous).terms()
    of_h = {0: 1, 1: mean, 2: mean**2 + deviation**2}
    of_x = {(2, 0): P, (1, 1): Q, (0, 2): R}
    return sum(factor * of_h[power] * of_x[i, j] for (power, i, j), factor in terms)


x_next = x - lr * h * x + beta * (x - x_previous)
moments = sp.Matrix([P, Q, R])
matrix = sp.Matrix([[T**2 + v, -2 * beta * T, beta**2], [T, -beta, 0], [1, 0, 0]])
in_units = {T: 1 + beta - lr * mean, v: lr**2 * deviation**2}
recursion = (matrix * moments).subs(in_units)
PROOF.equal("E x_{t+1}²", average(x_next**2), recursion[0])
PROOF.equal("E x_{t+1}x_t", average(x_next * x), recursion[1])
PROOF.equal("E x_t²", average(x**2), recursion[2])

characteristic = (lam * sp.eye(3) - matrix).det()
product = sp.symbols("h_mu", positive=True)  # ημ
boundary = (1 - beta) * product * (2 * (1 + beta) - product) / (1 + beta)
at_one = characteristic.subs(lam, 1)
PROOF.equal(
    "det(I − M) = (1 + β)(boundary − η²s²)", at_one.subs(T, 1 + beta - product), (1 + beta) * (boundary - v)
)

quotient, remainder = sp.div(
    sp.expand(characteristic.subs(v, boundary.subs(product, 1 + beta - T))), lam - 1, lam
)
PROOF.equal("At the boundary λ = 1 is a multiplier", remainder, 0)
PROOF.equal("The product of the two others is β³ < 1", quotient.subs(lam, 0), beta**3)
floor = (1 - beta) ** 2 * (1 + beta)
PROOF.equal(
    "Neither is 1: q(1) = (1 − β)²(1 + β) + (2β/(1 + β))((1 + β)² − T²) > 0",
    quotient.subs(lam, 1),
    floor + 2 * beta / (1 + beta) * ((1 + beta) ** 2 - T**2),
)
PROOF.equal(
    "nor −1: q(−1) = (1 − β)²(1 + β) + 2βT²/(1 + β) > 0",
    quotient.subs(lam, -1),
    floor + 2 * beta * T**2 / (1 + beta),
)
inside = {
    beta: 1 / (1 + below),
    product: 2 * (1 + 1 / (1 + below)) / (1 + room),
}  # 0 < β < 1, 0 < ημ < 2(1 + β)
PROOF.true("The boundary is positive for 0 < ημ < 2(1 + β)", sp.factor(boundary.subs(inside)) > 0)

# -- the spectral radius -----------------------------------------------------------------------------------------
d, r, D = sp.symbols("d r D", real=True)
shifted = d**3 - D * d * (d + beta) - v * (d + beta) * (d + 2 * beta)
PROOF.equal(
    "With λ = β + d and D = T² − 4β the polynomial is d³ − Dd(d + β) − v(d + β)(d + 2β)",
    characteristic.subs(lam, beta + d),
    shifted.subs(D, T**2 - 4 * beta),
)
PROOF.true(
    "Its coefficients are 1, −(D + v), −β(D + 3v), −2β²v: with v > 0 their signs change once, since D + v > 0 makes "
    "D + 3v > 0, so that one root r = β + d lies above β (Descartes)",
    [sp.expand(c) for c in sp.Poly(shifted, d).all_coeffs()]
    == [sp.expand(c) for c in (1, -(D + v), -beta * (D + 3 * v), -2 * beta**2 * v)],
)
b1, c0 = sp.symbols("B C", real=True)  # of the other two roots: λ² + Bλ + C
vanishing = sp.solve(
    sp.Poly(sp.expand((lam - r) * (lam**2 + b1 * lam + c0) - characteristic), lam).coeffs()[::2],
    [b1, c0],
    dict=True,
)[0]
PROOF.equal(
    "The other two roots have the product C = β³/r <= r²: a complex pair is not larger",
    vanishing[c0],
    beta**3 / r,
)
PROOF.equal(
    "Of two real ones, of one sign, none is above β, and none below −r: at −r the polynomial is "
    "−(r + β)((r − β)² + T²r) − vr(r − β) <= 0, so that λ² + Bλ + C is not below 0 there",
    characteristic.subs(lam, -r),
    -(r + beta) * ((r - beta) ** 2 + T**2 * r) - v * r * (r - beta),
)

batch = (product**2 + boundary) / product
line = 2 * (1 - beta) + 2 * beta * product / (1 + beta)
PROOF.equal("ηB = (η²μ² + η²s²)/(ημ) there", batch, line)
PROOF.equal("Small ημ", line.subs(product, 0), 2 * (1 - beta))
PROOF.equal("No noise: ημ = 2(1 + β)", line.subs(product, 2 * (1 + beta)), 2 * (1 + beta))
PROOF.equal("Without momentum ηB = 2 throughout", line.subs(beta, 0), 2)

RESULTS = {
    "boundary": boundary.subs(product, lr * mean),
    "batch_sharpness": sp.expand(line.subs(product, lr * mean) / lr),
    "characteristic_polynomial": characteristic.subs(in_units),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
