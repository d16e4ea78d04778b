"""Two-cycles of heavy ball are gradient descent's; momentum changes the way there and their stability.

Statement. (i) w₊, w₋ is a two-cycle of heavy ball at (η, β) if and only if it is one of gradient descent at
η/(1 + β), in any dimension. (ii) At the threshold ηL₂ = 2(1 + β) of a scalar loss with derivatives L₂ > 0,
L₃, L₄ at its minimum, the flip's normal form on the centre manifold is z' = −z + cz³ + O(z⁴) with
    c = η(3L₃²/L₂ − L₄)/(6(1 − β)):
super- or subcritical alike at every β. (iii) At relative excess e = L₂/S* − 1 the cycle is w± = m ± A with
    A² = 6L₂e/(3L₃²/L₂ − L₄) + O(e²),    m = −L₃A²/(2L₂) + O(A⁴) from the minimum.
(iv) With h± = ηL''(w±) the cycle's multipliers, over its two steps, solve
    λ² − (p − 2β)λ + β² = 0,    p = (1 + β − h₊)(1 + β − h₋),
so that the cycle is stable for −(1 − β)² < p < (1 + β)². At p = −(1 − β)² its own period doubles: at matched
threshold, where p/(1 + β)² is the same at every β, momentum brings that forward from −1 to −((1−β)/(1+β))².

Assumptions. 0 <= β < 1. In (ii) and (iii) the loss has five continuous derivatives and 3L₃²/L₂ ≠ L₄; terms of
fifth order change neither c nor the leading A.

Steps. Insert a two-cycle into the update; solve for an invariant curve x = z + h₂z² order by order; expand the
cycle's equations in A; multiply the two steps' matrices.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, L2, e = sp.symbols("eta beta L2 e", positive=True)
L3, L4, z, m, A = sp.symbols("L3 L4 z m A", real=True)

# -- (i) the cycles themselves ----------------------------------------------------------------------------------
first, second, slope_first, slope_second = sp.symbols("w_+ w_- g_+ g_-")
heavy_ball_first = first - lr * slope_first + beta * (first - second) - second
heavy_ball_second = second - lr * slope_second + beta * (second - first) - first
descent_first = first - lr / (1 + beta) * slope_first - second
descent_second = second - lr / (1 + beta) * slope_second - first
PROOF.equal(
    "Heavy ball's step from w₊ to w₋ is (1 + β) times gradient descent's at η/(1 + β)",
    heavy_ball_first,
    (1 + beta) * descent_first,
)
PROOF.equal("and likewise back, in each component", heavy_ball_second, (1 + beta) * descent_second)

# -- (ii) the flip's normal form --------------------------------------------------------------------------------
c, h2, h3 = sp.symbols("c h_2 h_3")


def slope(x: sp.Expr) -> sp.Expr:
    """Return L' to third order."""
    return L2 * x + L3 * x**2 / 2 + L4 * x**3 / 6


def curve(x: sp.Expr) -> sp.Expr:
    """Return the invariant curve; its slope 1 fixes the scale of z."""
    return x + h2 * x**2 + h3 * x**3


def reduced(x: sp.Expr) -> sp.Expr:
    """Return the map on the curve."""
    return -x + c * x**3


residual = (
    curve(reduced(reduced(z)))
    - (1 + beta) * curve(reduced(z))
    + beta * curve(z)
    + lr * slope(curve(reduced(z)))
)
orders = sp.Poly(sp.expand(residual.subs(L2, 2 * (1 + beta) / lr)), z)
PROOF.equal("Order z at the threshold ηL₂ = 2(1 + β)", orders.coeff_monomial(z), 0)
bend = sp.solve(orders.coeff_monomial(z**2), h2)[0]
PROOF.equal("Order z² gives the curve's bend", bend, -lr * L3 / (4 * (1 + beta)))
third = orders.coeff_monomial(z**3).subs(h2, bend)
PROOF.equal("Order z³ leaves h₃ free", sp.diff(third, h3), 0)
criticality = 3 * L3**2 / L2 - L4
coefficient = lr * criticality / (6 * (1 - beta))
PROOF.equal("and gives c", sp.solve(third, c)[0], coefficient.subs(L2, 2 * (1 + beta) / lr))
matched = coefficient.subs(lr, (1 + beta) * lr)
PROOF.equal(
    "At matched threshold c is (1 + β)/(1 − β) times gradient descent's",
    matched / coefficient.subs(beta, 0),
    (1 + beta) / (1 - beta),
)

# -- (iii) size and place of the cycle --------------------------------------------------------------------------
threshold = L2 / (1 + e)
PROOF.equal("S* = 2(1 + β)/η at lr = 2(1 + β)(1 + e)/L₂", threshold, (2 * (1 + beta) / lr).subs(
    lr, 2 * (1 + beta) * (1 + e) / L2))  # fmt: skip
sum_of_slopes = sp.expand(slope(m + A) + slope(m - A))
difference = sp.expand((slope(m + A) - slope(m - A)) / (2 * A))
PROOF.equal(
    "Mean: L'(w₊) + L'(w₋) = 0",
    sum_of_slopes,
    2 * L2 * m + L3 * (m**2 + A**2) + L4 * m * (m**2 + 3 * A**2) / 3,
)
place = sp.symbols("m_2")
PROOF.equal(
    "Order A² of it: m = −L₃A²/(2L₂)",
    sp.solve(sum_of_slopes.subs(m, place * A**2).coeff(A, 2), place)[0],
    -L3 / (2 * L2),
)
PROOF.equal(
    "(L'(w₊) − L'(w₋))/(2A) = S*: L₂ − S* = A²(3L₃²/L₂ − L₄)/6 to order A²",
    L2 - difference.subs(m, -L3 * A**2 / (2 * L2)).expand().coeff(A, 0)
    - difference.subs(m, -L3 * A**2 / (2 * L2)).expand().coeff(A, 2) * A**2,
    criticality * A**2 / 6,
)  # fmt: skip
squared = 6 * L2 * e / criticality
PROOF.equal("L₂ − S* = L₂e to first order in e", sp.diff(L2 - threshold, e).subs(e, 0), L2)
rate = 2 * e * (1 + beta) / (1 - beta)
PROOF.equal(
    "The normal form gives the same: |λ| − 1 = 2e(1 + β)/(1 − β) balances cz²",
    rate / coefficient.subs(lr, 2 * (1 + beta) / L2),
    squared,
)

# -- (iv) its stability -----------------------------------------------------------------------------------------
h_first, h_second, lam, p = sp.symbols("h_+ h_- lambda p", real=True)


def step(h: sp.Expr) -> sp.Matrix:
    """Return the matrix of a step on (w_t, w_{t−1}) at ηL'' = h."""
    return sp.Matrix([[1 + beta - h, -beta], [1, 0]])


both = step(h_second) * step(h_first)
product = (1 + beta - h_first) * (1 + beta - h_second)
characteristic = lam**2 - (p - 2 * beta) * lam + beta**2
PROOF.equal(
    "Characteristic polynomial of two steps", (lam * sp.eye(2) - both).det(), characteristic.subs(p, product)
)
PROOF.equal("λ = 1 where p = (1 + β)²", characteristic.subs(lam, 1), (1 + beta) ** 2 - p)
PROOF.equal("λ = −1 where p = −(1 − β)²", characteristic.subs(lam, -1), p + (1 - beta) ** 2)
PROOF.equal(
    "Complex multipliers have modulus β: 0 < p < 4β", sp.discriminant(characteristic, lam), p * (p - 4 * beta)
)
share = product.subs({h_first: (1 + beta) * h_first, h_second: (1 + beta) * h_second}) / (1 + beta) ** 2
PROOF.equal("p/(1 + β)² at matched threshold", share, (1 - h_first) * (1 - h_second))

RESULTS = {
    "flip_coefficient": coefficient,
    "half_amplitude": sp.sqrt(squared),
    "mean": -L3 * squared / (2 * L2),
    "trace": product - 2 * beta,
    "determinant": beta**2,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
