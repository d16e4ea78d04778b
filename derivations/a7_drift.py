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
rest = sp.expand(flipped + h * envelope)
R = sp.symbols("R")
PROOF.equal(
    "Alternating part: A_{t+1} − A_t − β(A_t − A_{t−1}) = ηhy₁A + 3ηζh²AB + R has R = 0 through h²",
    R,
    0,
    where={R: rest.coeff(h, 1) + h * rest.coeff(h, 2) + h**2 * rest.coeff(h, 3)},
)
offset = lr * (1 - sp.Rational(3, 2) * zeta * A**2) / (2 * (1 + beta))
PROOF.equal(
    "Steady part at order h²: the force vanishes at B = η(1 − 3ζA²/2)/(2(1 + β))",
    sp.collect(steady.coeff(h, 2), B),
    0,
    where={B: offset},
)
_, force = parts(sp.diff(loss, y).subs(form))
q = A**2 / 2 - 1
Q, F_y = sp.symbols("q F_y")
PROOF.equal("Force on y: h²q + O(h⁴)", F_y, h**2 * Q + h**4 * B**2 / 2, where={F_y: force, Q: q})

# -- slow motion to second order ---------------------------------------------------------------------------------
D = sp.symbols("D")  # d/dt = h d/ds
operator = sp.series(sp.exp(D) - 1 - beta * (1 - sp.exp(-D)), D, 0, 3).removeO()
PROOF.equal("Step operator to second order", operator, (1 - beta) * D + (1 + beta) * D**2 / 2)
slow_A, slow_y = lr * y1 * A / (1 - beta), -lr * q / (1 - beta)


def along(expression: sp.Expr) -> sp.Expr:
    """Return the derivative in s along the leading motion."""
    return sp.diff(expression, A) * slow_A + sp.diff(expression, y1) * slow_y


energy = y1**2 / 2 + A**2 / 4 - sp.log(A**2) / 2
s = sp.symbols("s")
E = sp.Function("E")(s)
PROOF.equal(
    "The leading motion conserves E", sp.Derivative(E, s), 0, where={sp.Derivative(E, s): along(energy)}
)
next_A = (3 * lr * zeta * A * offset - (1 + beta) / 2 * along(slow_A)) / (1 - beta)
next_y = -(1 + beta) / 2 * along(slow_y) / (1 - beta)
drift = sp.diff(energy, A) * next_A + sp.diff(energy, y1) * next_y

# -- averages over a cycle ---------------------------------------------------------------------------------------
Y2 = sp.symbols("Y_2")  # ⟨y₁²⟩
of_s = sp.Function("y_1")(s), sp.Function("q")(s)
for claim, averaged_, slope in (
    ("⟨q⟩ = 0, as q is a derivative in s along the leading motion", of_s[0], -Q),
    ("⟨y₁²q⟩ = 0, as y₁²q is one", of_s[0] ** 3 / 3, -(y1**2) * Q),
    (
        "⟨q²⟩ = 2⟨y₁²⟩ + 2⟨y₁²q⟩, as the difference is one",
        of_s[0] * of_s[1],
        2 * y1**2 + 2 * y1**2 * Q - Q**2,
    ),
):
    motion = along(averaged_.subs({of_s[0]: y1, of_s[1]: q}))
    derivative = sp.Derivative(averaged_, s)
    PROOF.equal(claim, derivative, lr / (1 - beta) * slope, where={derivative: motion, Q: q})
in_q = sp.expand(sp.expand(drift).subs(A, sp.sqrt(2 * (Q + 1))))
terms = sp.Poly(in_q, Q, y1).as_dict()
PROOF.true(
    "The drift holds only terms in q, q², y₁² and y₁²q", set(terms) <= {(1, 0), (2, 0), (0, 2), (1, 2)}
)
averaged = (2 * terms[2, 0] + terms[0, 2]) * Y2
bracket = 2 * (1 + beta) / (1 - beta) ** 3 - 9 * zeta**2 / (1 - beta**2)
drift_name = sp.symbols("V")
PROOF.equal(
    "The averaged drift V = dE/d(εt), with Y₂ = ⟨y₁²⟩ and hs = εt",
    drift_name,
    lr**2 * Y2 * bracket,
    where={drift_name: averaged},
)

critical = sp.sqrt(2) / 3 * (1 + beta) / (1 - beta)
PROOF.equal("It vanishes at ζ = (√2/3)(1 + β)/(1 − β)", bracket, 0, where={zeta: critical})
bracket_of = sp.Function("K")(0)
PROOF.equal(
    "Without momentum the bracket K(β) is",
    bracket_of,
    2 - 9 * zeta**2,
    where={bracket_of: bracket.subs(beta, 0)},
)

deviation = sp.symbols("a", real=True)
small = sp.series(energy.subs(A, sp.sqrt(2) + deviation), deviation, 0, 3).removeO()
of_a, of_y = sp.Function("E")(deviation), sp.Function("E")(y1)
PROOF.equal(
    "Small cycles: E − E₀ = y₁²/2 + a²/2, A = √2 + a, is as curved in a as in y₁. So both parts have equal means",
    sp.Derivative(of_a, deviation, 2),
    sp.Derivative(of_y, y1, 2),
    where={of_a: small, of_y: energy},
)
rate, r = sp.sqrt(2) * lr, sp.symbols("r", positive=True)  # √(2a)/h of a7_edge
PROOF.equal(
    "Without coupling E grows at twice the exponent of a7_edge, (1 + β)r²/(2(1 − β)³), where r = √2η in units of h",
    lr**2 * bracket.subs(zeta, 0),
    2 * (1 + beta) * r**2 / (2 * (1 - beta) ** 3),
    where={r: rate},
)

RESULTS = {
    "drift": lr**2 * bracket,
    "critical_coupling": critical,
    "offset": offset,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
