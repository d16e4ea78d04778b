"""The overshoot law: the drop of sharpness in a catapult is 2y₀G(κ).

Statement. Let the orbit leave (a, y) = (0, 1) on the unstable manifold of
    a' + κa'' = ya,    y' + κy'' = −a²/2,
and end at y = y_f(κ) < 0. With G = (1 − y_f)/2 the cubic model's catapult from y₀ drops sharpness by
2y₀G(κ), κ the inertia number (a4_inertia), as β → 1 with κ fixed, and
    G = 1 + κ + 2κ² + κ³ − 10κ⁴ − 22κ⁵ + 100κ⁶ + (3223/7)κ⁷ − ...    (asymptotic, κ → 0),
    G ~ c κ^{2/3}                                                    (κ → ∞; c = ½(9J/8)^{2/3}Z₁(∞) = 3.327453).
On the map at any β, with ρ = (1 − β)/(1 + β), the coefficients are 1, 1, 2, 1 + (7/3)ρ², ...
The final sharpness is S* − y₀(2G − 1). The loss's spike is S*y₀²/b² times F(κ) = ½ max a²,
    F = 1 + 2κ + O(κ²)  (κ → 0),    F → 5.83143293  (κ → ∞, by computation).

Assumptions. α = 0 (no progressive sharpening), an infinitesimal initial oscillation; formal series in κ.

Steps.
(i)   First order by energy: K = y²/2 + a²/4 changes by −κ(yy'' + ½aa''), integrated over the orbit of
      a3_slow_limit.
(ii)  Second order by reversal: (t, y, κ) → (−t, −y, −κ) maps orbits to orbits, so the map |y₀| → |y_f| at −κ
      inverts the one at κ. With |y_f| = y₀m(κy₀): m(κ)·m(−κm(κ)) = 1, which fixes each even coefficient of m
      by the odd ones.
(iii) All orders: on the slow manifold a' = aF(a², y), y' = g(a², y) with F, g series in κ whose terms are
      polynomials, found by inserting. That flow has a first integral H = y² + a²/2 + κH₁ + ..., because in
      the coordinates h = y² + a²/2 and y the leading flow is −(a²/2)∂_y and every source term carries a
      factor a². H(0, 1) = H(0, y_f) gives y_f. For the map the operator has the further terms of a4_inertia.
(iv)  Large κ: in time √κ·τ the orbit is a fast oscillation of constant action in a slowly deepening y, whose
      averaged equation loses κ when y is scaled by κ^{2/3}. Its one constant, the action J, is left by the orbit
      without friction, a'' = ya, y'' = −a²/2 from (0, 1); a scale of Z takes J out, and Z₁ starts as s^{4/3}. J =
      10.24175 and Z₁(∞) = 1.304540 by integration.
(v)   Peak by energy: the slow flow through κ conserves H = y²/2 + a²/4 + κ(ya²/2 + y³), which is ½ + κ at
      (0, 1) and a²/4 + O(κ²) at the peak, where y = O(κ). In the time rt, κr² + r = 1, along which the orbit
      starts as e^{rt}, both equations are regular from r = 1 (κ = 0) to r = 0 (κ = ∞), so that F is finite there.
"""

import sympy as sp
from sympy.polys.rings import PolyElement, ring

from .proof import Proof

PROOF = Proof(__doc__)

ORDER = 10  # of κ in the series of the differential equations
MAP_ORDER = 5  # of κ in the map's
kappa, rho = sp.symbols("kappa rho", positive=True)
t, threshold, y0 = sp.symbols("t S_star y_0", real=True)

# (i) first order, by energy
a_of, y_of = sp.Function("a")(t), sp.Function("y")(t)
acceleration_a, acceleration_y = sp.diff(a_of, t, 2), sp.diff(y_of, t, 2)
slope_a = y_of * a_of - kappa * acceleration_a
slope_y = -(a_of**2) / 2 - kappa * acceleration_y
PROOF.equal(
    "Change of K = y²/2 + a²/4",
    y_of * slope_y + a_of / 2 * slope_a,
    -kappa * (y_of * acceleration_y + a_of * acceleration_a / 2),
)
T = sp.symbols("T", real=True)
orbit_a, orbit_y = sp.sqrt(2) * sp.sech(t), -sp.tanh(t)
PROOF.equal(
    "−(yy'' + ½aa'') on y = −tanh t, a = √2 sech t",
    -orbit_y * sp.diff(orbit_y, t, 2) - orbit_a * sp.diff(orbit_a, t, 2) / 2,
    1 - sp.tanh(t) ** 2,
)
gained = sp.Integral(1, (T, -1, 1))
PROOF.equal("Its integral over the orbit, T = tanh t, dt = dT/(1 − T²): K grows by 2κ", gained, 2)
first = sp.series(sp.sqrt(1 + 2 * gained.doit() * kappa), kappa, 0, 2).removeO()
PROOF.equal(
    "So |y_f|²/2 = ½ + 2κ + O(κ²), |y_f| = 1 + 2κ and G = (1 + |y_f|)/2 = 1 + κ", first, 1 + 2 * kappa
)

# (ii) even orders, by reversal
s = sp.symbols("s", real=True)
back_a, back_y = a_of.subs(t, -s), -y_of.subs(t, -s)
PROOF.equal(
    "Reversed orbits obey the first equation with −κ: residual = −(residual at −s)",
    (sp.diff(back_a, s) - kappa * sp.diff(back_a, s, 2) - back_y * back_a).doit(),
    (-(sp.diff(a_of, t) + kappa * acceleration_a - y_of * a_of)).subs(t, -s).doit(),
)
PROOF.equal(
    "and the second",
    (sp.diff(back_y, s) - kappa * sp.diff(back_y, s, 2) + back_a**2 / 2).doit(),
    (sp.diff(y_of, t) + kappa * acceleration_y + a_of**2 / 2).subs(t, -s).doit(),
)


def inversion(coefficients: list[sp.Expr]) -> list[sp.Expr]:
    """Return the coefficients of m(κ)·m(−κm(κ)) − 1, given those of m."""
    order = len(coefficients) - 1
    m = sp.Poly(coefficients[::-1], kappa)
    argument = -sp.Poly(kappa, kappa) * m
    total, power = sp.Poly(0, kappa), m
    for c in coefficients:
        total += c * power
        power = sp.Poly((power * argument).all_coeffs()[::-1][: order + 1][::-1], kappa)
    return [total.coeff_monomial(kappa**n) - int(n == 0) for n in range(order + 1)]


m2 = sp.symbols("m_2")
second = sp.solve(inversion([1, 2, m2])[2], m2)[0]
PROOF.equal(
    "m = 1 + 2κ + m₂κ² + ... obeys m(κ)·m(−κm(κ)) = 1 only with m₂ = 4: G has 2κ²", m2.subs(m2, second), 4
)

# (iii) all orders, on the slow manifold
R, A, Y, RHO2 = ring("A, y, rho2", sp.QQ)  # A = a²
LEADING = Y**2 + A / 2  # h


def operator_coefficients(order: int, on_map: bool) -> dict[int, PolyElement]:
    """Return c_n of Σ c_n κ^{n−1}dⁿ: 1, 1 for the differential equations, those of a4_inertia for the map."""
    if not on_map:
        return {1: R(1), 2: R(1)}
    return {
        n: sp.QQ(2 ** (n - 1), int(sp.factorial(n))) * RHO2 ** ((n - 1) // 2) for n in range(1, order + 2)
    }


def slow_flow(order: int, on_map: bool) -> tuple[list[PolyElement], list[PolyElement]]:
    """Return F_j and g_j of a' = a Σ κ^j F_j, y' = Σ κ^j g_j."""
    c = {n: v for n, v in operator_coefficients(order, on_map).items() if n > 1}
    F, g = [Y], [-A / 2]
    # powers[n][j]: the κ^j part of the flow's n-th derivative of a (over a) and of y
    powers = {1: (F, g)} | {n: ([], []) for n in range(2, order + 2)}
    for m in range(1, order + 1):
        for n in range(2, m + 2):
            j = m - n + 1
            below_a, below_y = powers[n - 1]
            powers[n][0].append(
                sum((F[i] * below_a[j - i] + along(F[i], g[i], below_a[j - i]) for i in range(j + 1)), R(0))
            )
            powers[n][1].append(sum((along(F[i], g[i], below_y[j - i]) for i in range(j + 1)), R(0)))
        F.append(-sum((v * powers[n][0][m - n + 1] for n, v in c.items() if n <= m + 1), R(0)))
        g.append(-sum((v * powers[n][1][m - n + 1] for n, v in c.items() if n <= m + 1), R(0)))
    return F, g


def along(F: PolyElement, g: PolyElement, P: PolyElement) -> PolyElement:
    """Return the derivative of P(A, y) along a' = aF, y' = g, where A' = 2AF."""
    return 2 * A * F * P.diff(A) + g * P.diff(Y)


def first_integral(F: list[PolyElement], g: list[PolyElement]) -> list[PolyElement]:
    """Return H_j with Σ κ^j H_j conserved: along −(A/2)∂_y, at fixed h, H_n gains what the others lose."""
    H = [LEADING]
    for n in range(1, len(F)):
        source = -sum((along(F[j], g[j], H[n - j]) for j in range(1, n + 1)), R(0))
        in_h = source.exquo(A).compose(A, 2 * (A - Y**2))  # from here the first variable is h
        integral = R.from_dict({(i, j + 1, k): -2 * c / (j + 1) for (i, j, k), c in in_h.terms()})
        H.append(integral.compose(A, LEADING))
    return H


def end_of_orbit(H: list[PolyElement]) -> list[PolyElement]:
    """Return the coefficients of m(κ) = |y_f| from H(0, 1) = H(0, −m)."""
    on_axis = [
        R.from_dict({(0, 0, k): c for (i, j, k), c in P.terms() if (i, j) == (0, n + 2)})
        for n, P in enumerate(H)
    ]
    m = [R(1)]
    for order in range(1, len(H)):
        trial = [*m, R(0)]
        rest, power = R(0), product(trial, trial)
        for n in range(order + 1):
            rest += on_axis[n] * (int(n == order) - (-1) ** n * power[order - n])
            power = product(power, trial)
        m.append(rest / 2)
    return m


def product(left: list[PolyElement], right: list[PolyElement]) -> list[PolyElement]:
    """Return the product of two series, cut at the order of the first."""
    return [sum((left[i] * right[n - i] for i in range(n + 1)), R(0)) for n in range(len(left))]


def series(order: int, on_map: bool) -> list[sp.Expr]:
    """Return the coefficients of G."""
    F, g = slow_flow(order, on_map)
    if not on_map:
        _check_invariance(F, g)
    H = first_integral(F, g)
    lost = [sum((along(F[j], g[j], H[n - j]) for j in range(n + 1)), R(0)) for n in range(order + 1)]
    kind = "the map" if on_map else "the differential equations"
    PROOF.true(
        f"H is conserved by the slow flow of {kind} through κ^{order}", all(value == 0 for value in lost)
    )
    m = [sp.expand(c.as_expr().subs(sp.Symbol("rho2"), rho**2)) for c in end_of_orbit(H)]
    PROOF.true(f"The end point of {kind} obeys the reversal law (ii)", not any(map(sp.expand, inversion(m))))
    return [sp.Integer(1), *(c / 2 for c in m[1:])]


def _check_invariance(F: list[PolyElement], g: list[PolyElement]) -> None:
    """Assert by plain differentiation that the slow flow solves both equations through κ³."""
    a, y = sp.symbols("a y")
    slow_a = a * sum(kappa**n * p.as_expr(a**2, y, 0) for n, p in enumerate(F[:4]))
    slow_y = sum(kappa**n * p.as_expr(a**2, y, 0) for n, p in enumerate(g[:4]))
    for claim, flow, right in (("a' + κa'' = ya", slow_a, y * a), ("y' + κy'' = −a²/2", slow_y, -(a**2) / 2)):
        second_derivative = sp.diff(flow, a) * slow_a + sp.diff(flow, y) * slow_y
        residual = sp.Poly(sp.expand(flow + kappa * second_derivative - right), kappa)
        PROOF.true(
            f"The slow flow solves {claim} through κ³",
            all(residual.coeff_monomial(kappa**n) == 0 for n in range(4)),
        )


SERIES = series(ORDER, on_map=False)
MAP_SERIES = series(MAP_ORDER, on_map=True)
PROOF.true("G = 1 + κ + 2κ² + κ³ − 10κ⁴ − 22κ⁵ + 100κ⁶ + ...", SERIES[:7] == [1, 1, 2, 1, -10, -22, 100])
PROOF.true(
    "At ρ = 0 the map's series is the same", [c.subs(rho, 0) for c in MAP_SERIES] == SERIES[: MAP_ORDER + 1]
)
PROOF.equal("The map's third coefficient", MAP_SERIES[3], 1 + sp.Rational(7, 3) * rho**2)

# (iv) large κ
tau, J = sp.symbols("tau J", positive=True)
z_of, Z = sp.Function("z")(tau), sp.Function("Z")
eps = 1 / sp.sqrt(kappa)
swing = z_of ** sp.Rational(-1, 4) * sp.exp(-eps * tau / 2)
frequency = sp.sqrt(z_of)
PROOF.equal(
    "a = √(2J)B cos φ, φ' = √z, B = z^{−1/4}e^{−τ/(2√κ)}: in a'' + κ^{−1/2}a' + za the sin φ cancel",
    2 * frequency * sp.diff(swing, tau) + (sp.diff(frequency, tau) + eps * frequency) * swing,
    0,
)
s = sp.symbols("s", positive=True)  # slow time τ/√κ
averaged = sp.diff(z_of, tau, 2) + eps * sp.diff(z_of, tau) - J / 2 * sp.exp(-eps * tau) / sp.sqrt(z_of)
scaled = averaged.subs(z_of, kappa ** sp.Rational(2, 3) * Z(eps * tau)).doit().subs(tau, s / eps).doit()
PROOF.equal(
    "z'' + κ^{−1/2}z' = ½Je^{−τ/√κ}/√z, y = −z on average: with z = κ^{2/3}Z(τ/√κ) no κ is left",
    sp.simplify(scaled * kappa ** sp.Rational(1, 3)),
    sp.diff(Z(s), s, 2) + sp.diff(Z(s), s) - J / 2 * sp.exp(-s) / sp.sqrt(Z(s)),
)

bare_a, bare_y = sp.Function("a")(tau), sp.Function("y")(tau)
energy = (sp.diff(bare_a, tau) ** 2 - sp.diff(bare_y, tau) ** 2 - bare_y * bare_a**2) / 2
without_friction = {sp.diff(bare_a, tau, 2): bare_y * bare_a, sp.diff(bare_y, tau, 2): -(bare_a**2) / 2}
PROOF.equal(
    "Without friction E = ½(a'² − y'² − ya²) is kept; from rest at (0, 1) it is 0",
    sp.diff(energy, tau).subs(without_friction),
    0,
)
speed = sp.sqrt(2 * J) * z_of ** sp.Rational(1, 4)  # E = 0: ½z'² = ½(a'² + za²) = J√z
PROOF.equal(
    "so that z' = √(2J)z^{1/4}, the averaged equation's motion from depth 0",
    (sp.diff(speed, tau)).subs(sp.diff(z_of, tau), speed),
    J / 2 / sp.sqrt(z_of),
)
size = (sp.Rational(9, 8) * J) ** sp.Rational(2, 3)
PROOF.equal(
    "Z = (9J/8)^{2/3}Z₁ leaves Z₁'' + Z₁' = (4/9)e^{−s}/√Z₁",
    J / 2 / size ** sp.Rational(3, 2),
    sp.Rational(4, 9),
)
start = s ** sp.Rational(4, 3)
PROOF.equal(
    "whose motion from depth 0 starts as Z₁ = s^{4/3}",
    sp.diff(start, s, 2),
    sp.Rational(4, 9) / sp.sqrt(start),
)
PROOF.equal("In τ that is z' = √(2J)z^{1/4}", sp.diff(size * start, s) ** 4, (2 * J) ** 2 * size * start)
deepest = sp.symbols("Z_1", positive=True)  # Z₁(∞)

# (v) the largest swing
a, y, slope, r = sp.symbols("a y slope r", positive=True)
flow_a = y * a - kappa * (y**2 * a - a**3 / 2)
flow_y = -(a**2) / 2 + kappa * y * a**2


def _along_flow(f: sp.Expr) -> sp.Expr:
    return sp.diff(f, a) * flow_a + sp.diff(f, y) * flow_y


def _through_first_order(f: sp.Expr) -> sp.Expr:
    return sum(sp.expand(f).coeff(kappa, n) * kappa**n for n in (0, 1))


PROOF.equal("a' + κa'' = ya through κ", _through_first_order(flow_a + kappa * _along_flow(flow_a)), y * a)
PROOF.equal(
    "y' + κy'' = −a²/2 through κ", _through_first_order(flow_y + kappa * _along_flow(flow_y)), -(a**2) / 2
)
slow_energy = y**2 / 2 + a**2 / 4 + kappa * (y * a**2 / 2 + y**3)
PROOF.equal(
    "H = y²/2 + a²/4 + κ(ya²/2 + y³) is kept through κ", _through_first_order(_along_flow(slow_energy)), 0
)
at_peak = _through_first_order(slow_energy.subs(y, slope * kappa))
SPIKE = sp.solve(sp.Eq(at_peak, slow_energy.subs({a: 0, y: 1})), a**2)[0] / 2
PROOF.equal("H is ½ + κ at the start: F = ½a² = 1 + 2κ where y = O(κ)", SPIKE, 1 + 2 * kappa)
PROOF.equal(
    "In the time rt the velocities' factor is r and the accelerations' κr² = 1 − r: r = 1/(½ + √(¼ + κ))",
    (kappa * r**2 + r - 1).subs(r, 1 / (sp.Rational(1, 2) + sp.sqrt(kappa + sp.Rational(1, 4)))),
    0,
)

truncated = sum(c * kappa**n for n, c in enumerate(SERIES))
G = sp.symbols("G", positive=True)
RESULTS = {
    "series": truncated,
    "map_series": sum(c * kappa**n for n, c in enumerate(MAP_SERIES)),
    "far_exponent": sp.Rational(2, 3),
    "far_constant": size * deepest / 2,
    "final_sharpness": threshold - y0 * (2 * G - 1),
    "spike_factor": SPIKE,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
