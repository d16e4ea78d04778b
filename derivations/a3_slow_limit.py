"""The slow limit of a catapult: momentum changes its speed and not its size.

Statement. Where A and y change slowly, heavy ball's envelope (a2_envelope) obeys
    (1 − β)Ȧ = ηyA,    (1 − β)ẏ = η(α − b²A²/2),
gradient descent's slow dynamics with time sped up by (1 + β)/(1 − β) at the same threshold. It conserves
    H = y²/2 − α ln A + b²A²/4,
whose orbits turn (y = 0) at A² = −δ² W(−e^{−2H/α}/δ²), δ² = 2α/b², on the branches 0 and −1 of Lambert's
W. For α = 0 the orbit is y = −y₀ tanh rt, A = (√2y₀/b) sech rt with r = ηy₀/(1 − β): sharpness falls from
S* + y₀ to S* − y₀, the largest swing is √2y₀/b and the loss spike S*y₀²/b².

Assumptions. 0 <= β < 1, y₀ > 0, b > 0; change per step small against 1 − β, so that the operator of one
step e^D − 1 − β(1 − e^{−D}), D = d/dt, is (1 − β)D to leading order.

Steps. Expand the operator; differentiate H along the flow; insert the orbits.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, alpha, b, y0, A = sp.symbols("eta beta alpha b y_0 A", positive=True)
t, y, D, H, threshold = sp.symbols("t y D H S_star", real=True)

operator = sp.exp(D) - 1 - beta * (1 - sp.exp(-D))
PROOF.equal(
    "One step of heavy ball as an operator",
    sp.series(operator, D, 0, 3).removeO(),
    (1 - beta) * D + (1 + beta) * D**2 / 2,
)

A_dot = lr * y * A / (1 - beta)
y_dot = lr * (alpha - b**2 * A**2 / 2) / (1 - beta)
PROOF.equal(
    "Speed relative to gradient descent with η/(1 + β)",
    A_dot / (lr / (1 + beta) * y * A),
    (1 + beta) / (1 - beta),
)
energy = y**2 / 2 - alpha * sp.log(A) + b**2 * A**2 / 4
PROOF.equal("dH/dt = 0", sp.diff(energy, y) * y_dot + sp.diff(energy, A) * A_dot, 0)

u = sp.symbols("u", positive=True)  # u = A²/δ²
delta = sp.sqrt(2 * alpha) / b
PROOF.equal(
    "At a turning point u = A²/δ² solves u e^{−u} = e^{−2H/α}/δ²: the logarithms, with H = H(A, 0)",
    sp.expand_log(
        sp.log(u) - u - (-2 * energy.subs({y: 0, A: delta * sp.sqrt(u)}) / alpha - sp.log(delta**2)),
        force=True,
    ),
    0,
)
PROOF.equal("The smallest H, at A = δ and y = 0", sp.diff(energy.subs(y, 0), A).subs(A, delta), 0)

rate = lr * y0 / (1 - beta)
orbit_y = -y0 * sp.tanh(rate * t)
orbit_A = sp.sqrt(2) * y0 / b * sp.sech(rate * t)
on_orbit = {y: orbit_y, A: orbit_A, alpha: 0}


def in_exponentials(expression: sp.Expr) -> sp.Expr:
    return sp.simplify(expression.rewrite(sp.exp))


PROOF.equal(
    "The sech orbit solves the first equation", in_exponentials(sp.diff(orbit_A, t) - A_dot.subs(on_orbit)), 0
)
PROOF.equal(
    "The tanh orbit solves the second", in_exponentials(sp.diff(orbit_y, t) - y_dot.subs(on_orbit)), 0
)
PROOF.equal("Before the swing", sp.limit(-sp.tanh(t), t, -sp.oo) * y0, y0)
PROOF.equal("After the swing", sp.limit(-sp.tanh(t), t, sp.oo) * y0, -y0)
largest = orbit_A.subs(t, 0)
PROOF.equal("Largest swing", largest, sp.sqrt(2) * y0 / b)
PROOF.equal("It agrees with H", energy.subs({alpha: 0, y: 0, A: largest}), y0**2 / 2)
spike = threshold * largest**2 / 2
PROOF.equal("Loss spike ½S*A²", spike, threshold * y0**2 / b**2)

turning = [delta * sp.sqrt(-sp.LambertW(-sp.exp(-2 * H / alpha) / delta**2, branch)) for branch in (0, -1)]
RESULTS = {
    "energy": energy,
    "orbit_y": orbit_y,
    "orbit_amplitude": orbit_A,
    "max_displacement": largest,
    "loss_spike": spike,
    "smallest_turning_amplitude": turning[0],
    "largest_turning_amplitude": turning[1],
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
