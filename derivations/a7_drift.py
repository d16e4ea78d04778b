"""Cycles at the edge die out only if the sharp direction is coupled strongly enough to itself.

Statement. On f = ½(y + ζx)x² − ε(x + y), S* = 2(1 + β)/η and h = √ε, heavy ball at the edge is
    x_t = h(−1)^t A + h²B,    y_t = S* + hy₁,    B = η(1 − 3ζA²/2)/(2(1 + β)) to leading order,
and with q = A²/2 − 1 its leading slow motion, in time s = ht,
    (1 − β)A' = ηy₁A,    (1 − β)y₁' = −ηq
conserves E = y₁²/2 + A²/4 − ½ ln A². At the next order E drifts, averaged over a cycle of any size, by
    dE/d(εt) = η²⟨y₁²⟩[2(1 + β)/(1 − β)³ − 9ζ²/(1 − β²)]:
cycles die out if ζ² > (2/9)((1 + β)/(1 − β))² and grow if it is less. Without momentum the bracket is 2 − 9ζ²;
for ζ = 0 small cycles grow as in a7_edge.

Assumptions. 0 <= β < 1; h small against (1 − β)²/((1 + β)η), so that a cycle is many steps long; ζ, β, η fixed.

Steps. Insert the form; separate the alternating from the steady part; expand the step in h, replacing second
derivatives by the leading motion; differentiate E; average with ⟨q⟩ = ⟨y₁²q⟩ = 0 and ⟨q²⟩ = 2⟨y₁²⟩, each the mean
of a derivative along the leading motion.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, zeta, h, epsilon, A = sp.symbols("eta beta zeta h epsilon A", positive=True)
y1, B, sign = sp.symbols("y_1 B sigma", real=True)  # σ = (−1)^t
x, y = sp.symbols("x y", real=True)
threshold = 2 * (1 + beta) / lr

# -- the two parts of the update ---------------------------------------------------------------------------------
loss = (y + zeta * x) * x**2 / 2 - epsilon * (x + y)
form = {x: h * sign * A + h**2 * B, y: threshold + h * y1, epsilon: h**2}


def parts(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Return the factor of σ and the rest, with σ² = 1."""
    reduced = sp.rem(sp.expand(expression), sign**2 - 1, sign)
    return sp.expand(reduced).coeff(sign, 1), sp.expand(reduced).coeff(sign, 0)


alternating, steady = parts(sp.diff(loss, x).subs(form))
# x_{t+1} − x_t − β(x_t − x_{t−1}) of hσA_t is −hσ(A_{t+1} + A_t + β(A_t + A_{t−1})).
A_next, A_previous = sp.symbols("A_next A_previous")
flipped = -h * (A_next + A + beta * (A + A_previous)) + lr * alternating
envelope = A_next - A - beta * (A - A_previous) - lr * h * y1 * A - 3 * lr * zeta * h**2 * A * B
PROOF.equal(
    "Alternating part: A_{t+1} − A_t − β(A_t − A_{t−1}) = ηhy₁A + 3ηζh²AB + O(h³)",
    sp.expand(flipped + h * envelope).coeff(h, 1)
    + h * sp.expand(flipped + h * envelope).coeff(h, 2)
    + h**2 * sp.expand(flipped + h * envelope).coeff(h, 3),
    0,
)
offset = lr * (1 - sp.Rational(3, 2) * zeta * A**2) / (2 * (1 + beta))
PROOF.equal("Steady part at order h²: B is where the force vanishes", steady.coeff(h, 2).subs(B, offset), 0)
_, force = parts(sp.diff(loss, y).subs(form))
q = A**2 / 2 - 1
PROOF.equal("Force on y: h²q + O(h⁴)", force, h**2 * q + h**4 * B**2 / 2)

# -- slow motion to second order ---------------------------------------------------------------------------------
D = sp.symbols("D")  # d/dt = h d/ds
operator = sp.series(sp.exp(D) - 1 - beta * (1 - sp.exp(-D)), D, 0, 3).removeO()
PROOF.equal("Step operator to second order", operator, (1 - beta) * D + (1 + beta) * D**2 / 2)
slow_A, slow_y = lr * y1 * A / (1 - beta), -lr * q / (1 - beta)


def along(expression: sp.Expr) -> sp.Expr:
    """Return the derivative in s along the leading motion."""
    return sp.diff(expression, A) * slow_A + sp.diff(expression, y1) * slow_y


energy = y1**2 / 2 + A**2 / 4 - sp.log(A**2) / 2
PROOF.equal("The leading motion conserves E", along(energy), 0)
next_A = (3 * lr * zeta * A * offset - (1 + beta) / 2 * along(slow_A)) / (1 - beta)
next_y = -(1 + beta) / 2 * along(slow_y) / (1 - beta)
drift = sp.diff(energy, A) * next_A + sp.diff(energy, y1) * next_y

# -- averages over a cycle ---------------------------------------------------------------------------------------
Q, Y2, QQ = sp.symbols("q Y_2 Q_2")  # q, y₁², and ⟨q²⟩
PROOF.equal("⟨q⟩ = 0: q is −(1 − β)/η times the derivative of y₁", along(y1), -lr * q / (1 - beta))
PROOF.equal("⟨y₁²q⟩ = 0: that of y₁³/3", along(y1**3 / 3), -lr * y1**2 * q / (1 - beta))
PROOF.equal(
    "⟨q²⟩ = 2⟨y₁²⟩ + 2⟨y₁²q⟩: that of y₁q",
    along(y1 * q),
    lr / (1 - beta) * (2 * y1**2 + 2 * y1**2 * q - q**2),
)
in_q = sp.expand(sp.expand(drift).subs(A, sp.sqrt(2 * (Q + 1))))
terms = sp.Poly(in_q, Q, y1).as_dict()
PROOF.true(
    "The drift holds only terms in q, q², y₁² and y₁²q", set(terms) <= {(1, 0), (2, 0), (0, 2), (1, 2)}
)
averaged = (2 * terms[2, 0] + terms[0, 2]) * Y2
bracket = 2 * (1 + beta) / (1 - beta) ** 3 - 9 * zeta**2 / (1 - beta**2)
PROOF.equal("Averaged drift, per unit of hs = εt", averaged, lr**2 * Y2 * bracket)

critical = sp.sqrt(2) / 3 * (1 + beta) / (1 - beta)
PROOF.equal("It vanishes at ζ² = (2/9)((1 + β)/(1 − β))²", bracket.subs(zeta, critical), 0)
PROOF.equal("Without momentum", bracket.subs(beta, 0), 2 - 9 * zeta**2)

deviation = sp.symbols("a", real=True)
small = sp.series(energy.subs(A, sp.sqrt(2) + deviation), deviation, 0, 3).removeO()
PROOF.equal(
    "Small cycles: E − E₀ = y₁²/2 + a²/2, of equal means",
    sp.diff(small, deviation, 2),
    sp.diff(energy, y1, 2),
)
rate = sp.sqrt(2) * lr  # √(2a)/h of a7_edge
PROOF.equal(
    "Without coupling E grows at twice the exponent of a7_edge, (1 + β)r²/(2(1 − β)³)",
    (lr**2 * bracket).subs(zeta, 0),
    2 * (1 + beta) * rate**2 / (2 * (1 - beta) ** 3),
)

RESULTS = {
    "drift": lr**2 * bracket,
    "critical_coupling": critical,
    "offset": offset,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
