"""The slow limit of a catapult: momentum changes its speed and not its size.

Statement. Where A and y change slowly, heavy ball's envelope (a2_envelope) obeys
    (1 − β)Ȧ = ηyA,    (1 − β)ẏ = η(α − b²A²/2),
gradient descent's slow dynamics with time sped up by (1 + β)/(1 − β) at the same threshold. It conserves
    H = y²/2 − α ln A + b²A²/4,
whose orbits turn (y = 0) at A² = −δ² W(−e^{−2H/α}/δ²), δ² = 2α/b², on the branches 0 and −1 of Lambert's
W. An orbit whose largest y is y_max = m√α takes the time, with q = ln(A²/δ²) and V(q) = e^q − 1 − q,
    T = ((1 − β)/(η√α)) ∫dq/√(m² − V(q)) between the zeros of the root
      = (2(1 − β)/(η√α)) ∫_{−π/2}^{π/2} s/(e^q − 1) dφ,  s = m sin φ = ±√V(q) of q's sign,
2π(1 − β)/(η√(2α)) as m → 0 and 2(1 − β)y_max/(ηα) as m → ∞: sharpening from −y_max to y_max. For α = 0 no
orbit returns; y = −y₀ tanh rt, A = (√2y₀/b) sech rt with r = ηy₀/(1 − β): sharpness falls from S* + y₀ to
S* − y₀, the largest swing is A_max = √2y₀/b, the loss spike S*y₀²/b², and from a swing A to A again it takes
2 arcosh(A_max/A)/r.

Assumptions. 0 <= β < 1, y₀ > 0, b > 0; change per step small against 1 − β, so that the operator of one
step e^D − 1 − β(1 − e^{−D}), D = d/dt, is (1 − β)D to leading order.

Steps. Expand the operator; differentiate H along the flow; separate q and t by H; insert the orbits.
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

# -- period -------------------------------------------------------------------------------------------------------
q, s, phi = sp.symbols("q s varphi", real=True)
m = sp.symbols("m", positive=True)
swing = delta * sp.exp(q / 2)  # A by q
potential = sp.exp(q) - 1 - q
PROOF.equal("q̇ = 2Ȧ/A = 2ηy/(1 − β)", 2 * A_dot / A, 2 * lr * y / (1 - beta))
PROOF.equal(
    "H above its least value H(δ, 0) is ½y² + ½αV(q)",
    sp.expand_log(energy.subs(A, swing) - energy.subs({y: 0, A: delta}), force=True),
    y**2 / 2 + alpha * potential / 2,
)
on_level = sp.sqrt(alpha) * sp.sqrt(m**2 - potential)  # y
PROOF.equal(
    "y on the level whose largest y is m√α", on_level**2 / 2 + alpha * potential / 2, alpha * m**2 / 2
)
PROOF.equal(
    "dt = dq/q̇, the same upwards and downwards: T = ((1 − β)/(η√α)) ∫dq/√(m² − V)",
    2 / (2 * lr * on_level / (1 - beta)),
    (1 - beta) / (lr * sp.sqrt(alpha)) / sp.sqrt(m**2 - potential),
)
s_of_q = sp.sqrt(potential)  # for q > 0; with the other sign for q < 0
PROOF.equal("s² = V(q): dq/ds = 2s/(e^q − 1)", sp.diff(s_of_q, q), 1 / (2 * s_of_q / (sp.exp(q) - 1)))
PROOF.equal(
    "s = m sin φ: (ds/dφ)² = m² − s², so that dq/√(m² − V) = (dq/ds)dφ",
    sp.diff(m * sp.sin(phi), phi) ** 2,
    m**2 - (m * sp.sin(phi)) ** 2,
)
up = sp.symbols("q", positive=True)
of_up = (2 * s_of_q / (sp.exp(q) - 1)).subs(q, up)
PROOF.equal(
    "dq/ds → √2 as q → 0",
    sp.limit(sp.series(potential.subs(q, up), up, 0, 5).removeO() / up**2, up, 0),
    sp.Rational(1, 2),
)
small_cycle = 2 * sp.pi * (1 - beta) / (lr * sp.sqrt(2 * alpha))
PROOF.equal(
    "Small cycles, m → 0: the period of a7_edge",
    (1 - beta) / (lr * sp.sqrt(alpha)) * sp.integrate(sp.sqrt(2), (phi, -sp.pi / 2, sp.pi / 2)),
    small_cycle,
)
PROOF.equal(
    "For q < 0, dq/ds = −2s + 2se^q/(e^q − 1)",
    2 * s / (sp.exp(q) - 1),
    -2 * s + 2 * s * sp.exp(q) / (sp.exp(q) - 1),
)
PROOF.equal(
    "whose second term vanishes as q → −∞ (s² < −q)",
    sp.limit(sp.sqrt(up) * sp.exp(-up) / (1 - sp.exp(-up)), up, sp.oo),
    0,
)
PROOF.equal("as dq/ds does as q → ∞ (s² < e^q)", sp.limit(sp.exp(up / 2) / (sp.exp(up) - 1), up, sp.oo), 0)
large_cycle = (1 - beta) / (lr * sp.sqrt(alpha)) * sp.integrate(2 * m * sp.sin(phi), (phi, 0, sp.pi / 2))
y_max = sp.symbols("y_max", positive=True)
PROOF.equal(
    "both are bounded, and −2s leaves the largest cycles, m → ∞: 2y_max at the rate ẏ = ηα/(1 − β)",
    large_cycle.subs(m, y_max / sp.sqrt(alpha)),
    2 * y_max / y_dot.subs(A, 0),
)
period = (
    (1 - beta)
    / (lr * sp.sqrt(alpha))
    * sp.Integral(
        1 / sp.sqrt(m**2 - potential),
        (q, -1 - m**2 - sp.LambertW(-sp.exp(-1 - m**2)), -1 - m**2 - sp.LambertW(-sp.exp(-1 - m**2), -1)),
    )
)
of_end = sp.symbols("v", positive=True)  # −W, with We^W = −e^{−1 − m²}
at_end = -1 - m**2 + of_end
PROOF.equal(
    "At the zeros q = −1 − m² − W, e^q = −W by W's equation We^W = −e^{−1 − m²}",
    sp.exp(at_end) / of_end,
    sp.exp(-1 - m**2) / (of_end * sp.exp(-of_end)),
)
PROOF.equal("so that V(q) = m²", of_end - 1 - at_end, m**2)

# -- without progressive sharpening ------------------------------------------------------------------------------
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

other = sp.symbols("A_0", positive=True)
swing_time = 2 * sp.acosh(largest / other) / rate
PROOF.equal(
    "Time of a swing from A to A again: sech(rT/2) = A/A_max",
    largest * sp.cosh(rate * swing_time / 2) ** -1,
    other,
)

turning = [delta * sp.sqrt(-sp.LambertW(-sp.exp(-2 * H / alpha) / delta**2, branch)) for branch in (0, -1)]
RESULTS = {
    "energy": energy,
    "orbit_y": orbit_y,
    "orbit_amplitude": orbit_A,
    "max_displacement": largest,
    "loss_spike": spike,
    "smallest_turning_amplitude": turning[0],
    "largest_turning_amplitude": turning[1],
    "period": period,
    "smallest_period": small_cycle,
    "largest_period": large_cycle.subs(m, y_max / sp.sqrt(alpha)),
    "swing_time": swing_time.subs(other, A),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
