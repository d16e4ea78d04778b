"""Memory in the sharpness: the slow flow of any linear optimizer, and a bound on its overshoot.

Statement. Let T have the poles 1 and p_j, all p_j inside the unit circle, and (z − 1)T(z)/c₀ = Σφ_j(1 − p_j)z/(z −
p_j), Σφ_j = 1: paths from the push to the sharpness, each an average with momentum p_j. At the rate r = ε/σ the
catapult follows, up to O(r²) with every κ fixed, the slow flow
    a' + κ_xa'' = ya,    y' = −Σφ_jm_j,    κ_jm_j' = a²/2 − m_j,    κ_j = r(1 + p_j)/(2(1 − p_j)),
with κ_y = Σφ_jκ_j. Heavy ball is one path with κ₁ = κ_x. Where κ_x → 0 and all paths but one are direct (κ_j → 0),
with the share φ, it is the memory flow
    a' = ya,    y' = −φa²/2 − m,    κ_mm' = (1 − φ)a²/2 − m.
If all φ_j >= 0 the memory flow's overshoot, with any number of memories, obeys
    1 <= G <= 1/φ,
and with one memory
    G = 1/φ − (1 − φ)/(φ²κ_m) + o(1/κ_m)                                (κ_m → ∞),
    G = 1 + κ_e + 2κ_e² + g₃κ_m³ + ..., κ_e = 2(1 − φ)κ_m/3              (κ_m → 0),
    g₃ = 8(1 − φ)(4 − 35φ + 22φ²)/135.
Quasi-hyperbolic momentum has φ = 1 − ν as β → 1: it bounds the overshoot by 1/(1 − ν). With an inertia κ_x of
the swing the limit is G_x(κ_x)/φ, where G_x is the overshoot of a' + κ_xa'' = ya, y' = −a²/2.

Assumptions. No progressive sharpening; an infinitesimal initial oscillation.

Steps. Expand a path at fixed κ in r. With I = ∫a²/2 and p = a²/2: dp/dI = 2y, and y lies between 1 − I and 1 − φI.
To first order in 1/κ_m the memory is (1 − φ)I/κ_m along the flow without it. Small κ_m by the third order of
a11_linear.
"""

import sympy as sp

from .a11_linear import (
    D,
    a2,
    beta,
    c0,
    expansions,
    inverse,
    k_x,
    k_y,
    kappa_e,
    lr,
    minus,
    names,
    nu,
    overshoot_third,
    quasi_hyperbolic,
    sigma,
    tau,
    z,
)  # fmt: skip
from .proof import Proof

PROOF = Proof(__doc__)

r, d, kappa, phi = sp.symbols("r d kappa phi", positive=True)

# a path at fixed κ: v = pv + (1 − p)g, w = Σv, time in units of 1/r, D = rd
pole = (2 * kappa - r) / (2 * kappa + r)
PROOF.equal("κ = r(1 + p)/(2(1 − p))", r * (1 + pole) / (2 * (1 - pole)), kappa)
grown = sp.exp(r * d)
path = r * d * (1 - pole) * grown / ((grown - 1) * (grown - pole))
PROOF.equal(
    "D·T(e^D)/c₀ of a path is 1/(1 + κd) + O(r²): κm' = a²/2 − m",
    sp.series(path, r, 0, 2).removeO(),
    1 / (1 + kappa * d),
)
PROOF.equal(
    "Of the direct path, p = 0, it is 1 − rd/2 + O(r²): κ = r/2",
    sp.series(r * d / (grown - 1), r, 0, 2).removeO(),
    sp.series(1 / (1 + r * d / 2), r, 0, 2).removeO(),
)
swing = sp.expand(((inverse(minus) - 1) / sigma).subs(D, r * d) / r)
PROOF.equal(
    "The swing's operator is d + κ_xd² + O(r²), κ_x = r(σ − a₂/σ)",
    swing.coeff(r, 0) + r * swing.coeff(r, 1),
    d + r * (sigma - a2 / sigma) * d**2,
)
PROOF.equal(
    "Quasi-hyperbolic momentum has c₀ = η and the shares 1 − ν of the direct path, ν of β's",
    (z - 1) * quasi_hyperbolic / lr,
    (1 - nu) + nu * (1 - beta) * z / (z - beta),
)
quasi = expansions(quasi_hyperbolic)
PROOF.equal("c₀", quasi[c0], lr)
PROOF.equal("κ_y = rτ = Σφ_jκ_j", quasi[tau], (1 - nu) / 2 + nu * (1 + beta) / (2 * (1 - beta)))

# from heavy ball to the memory flow
g = sp.symbols("g", positive=True)
near = (
    (quasi[sigma] - quasi[a2] / quasi[sigma]).subs(nu, 1 - g * (1 - beta) ** 2),
    quasi[tau].subs(nu, 1 - g * (1 - beta) ** 2),
)
PROOF.equal(
    "At 1 − ν = g(1 − β)², β → 1: κ_x/κ_y → 1/(1 + 4g), while the direct share 1 − ν → 0",
    sp.limit(sp.cancel(near[0] / near[1]), beta, 1),
    1 / (1 + 4 * g),
)

# bounds: I = ∫a²/2, p = a²/2
total = sp.symbols("I", nonnegative=True)  # I = ∫a²/2
a, y, m_1, m_2, kappa_1, kappa_2, phi_1, phi_2 = sp.symbols(
    "a y m_1 m_2 kappa_1 kappa_2 phi_1 phi_2", real=True
)
a_dot = y * a
y_dot = -(1 - phi_1 - phi_2) * a**2 / 2 - m_1 - m_2
released = [(share * a**2 / 2 - m) for share, m in ((phi_1, m_1), (phi_2, m_2))]  # κ_jm_j'
PROOF.equal("p' = 2yp and I' = p: dp/dI = 2y", a * a_dot, 2 * y * a**2 / 2)
PROOF.equal(
    "(y − Σκ_jm_j)' = −a²/2, here m_j with its share: y = 1 − I + Σκ_jm_j >= 1 − I, and y → 1 − I at the end: G = I/2",
    y_dot - sum(released),
    -(a**2) / 2,
)
PROOF.equal("y' <= −φa²/2 as m_j >= 0: y <= 1 − φI", y_dot + m_1 + m_2, -(1 - phi_1 - phi_2) * a**2 / 2)
below, above = (sp.integrate(2 * (1 - share * total), (total, 0, total)) for share in (1, phi))
PROOF.equal("so p lies between 2I − I²", below, total * (2 - total))
PROOF.equal("and 2I − φI²", above, total * (2 - phi * total))
PROOF.true(
    "p > 0 for 0 < I < 2: the end, p = 0, has I >= 2 and G >= 1", sp.solve(below / total, total) == [2]
)
PROOF.equal("and I <= 2/φ: G <= 1/φ", sp.solve(above / total, total)[0] / 2, 1 / phi)

# large κ_m: the memory is a perturbation of the flow without it
u, kappa_m = sp.symbols("u kappa_m", positive=True)
filled = (1 - phi) * total / kappa_m
slope = sp.cancel(filled / above)  # dM/dI of M = ∫m dt, dt = dI/p
lag = -(1 - phi) / (kappa_m * phi) * sp.log(1 - phi * total / 2)
PROOF.equal("M = ∫m dt along y = 1 − φI, m = (1 − φ)I/κ_m", sp.diff(lag, total), slope)
PROOF.equal("M starts at 0", lag.subs(total, 0), 0)
lost = -2 * sp.integrate((lag.subs(total, 2 * (1 - u) / phi) * 2 / phi).simplify(), (u, 0, 1))
PROOF.equal("At I = 2/φ then p = −2∫M dI, u = 1 − φI/2", lost, -4 * (1 - phi) / (phi**2 * kappa_m))
end = 2 / phi + lost / 2  # dp/dI = −2 there
large = 1 / phi - (1 - phi) / (phi**2 * kappa_m)
PROOF.equal("G = I/2 = 1/φ − (1 − φ)/(φ²κ_m)", end / 2, large)
of_a, drop = sp.symbols("a G_x", positive=True)
PROOF.equal(
    "With κ_x: a/√φ takes the share out of y' = −φa²/2; φI = 2G_x and G = I/2",
    (2 * drop / phi) / 2,
    drop / phi,
)

# small κ_m
of_y = sp.series(1 / (phi + (1 - phi) / (1 + kappa_m * d)), d, 0, 4).removeO()
shapes = [0, 0, 0, *(of_y.coeff(d, n) for n in (1, 2, 3))]
third = sp.factor(overshoot_third.subs(dict(zip(names, shapes, strict=True)), simultaneous=True))
first = kappa_e.subs({k_x: 0, k_y: shapes[3]})
PROOF.equal("κ_e = 2(1 − φ)κ_m/3", first, 2 * (1 - phi) * kappa_m / 3)
third_coefficient = 8 * (1 - phi) * (4 - 35 * phi + 22 * phi**2) / 135
PROOF.equal("Third order", third, third_coefficient * kappa_m**3)

RESULTS = {
    "path_inertia": r * (1 + sp.Symbol("p_j")) / (2 * (1 - sp.Symbol("p_j"))),
    "bound": 1 / phi,
    "large": large,
    "small": 1 + first + 2 * first**2 + third,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
