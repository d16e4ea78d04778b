"""The overshoot on a general loss: the first correction to drop = 2y₀G(κ), in derivatives of the loss.

Statement. Let L have a manifold of minima, H, L₃, L₄ its derivatives at the start w₀ on it, S = S* + y₀ the largest
eigenvalue of H and u its eigenvector, ∇S = L₃[u, u], b the length of ∇S along the manifold, s the direction there,
S'' the second derivative of sharpness along the manifold's geodesic in the direction s, and H⁺ the pseudo-inverse.
With ε = y₀/S* and κ of a4_inertia a catapult from w₀ drops sharpness by
    drop/(2y₀) = G(κ) + ε[σP(κ) + τQ(κ) + R(κ)] + O(ε²),
    σ = S·S''/b²,    τ = (S/b²)·(L₄[u, u, u, u]/6 − ½∇S·H⁺∇S),
    S'' = L₄[u, u, s, s] − ∇S·H⁺L₃[s, s] + 2Σ_i (L₃[u, s, e_i])²/(S − h_i)    (e_i, h_i the other modes of H),
with universal P, Q (of the loss) and R (of the map, for the cubic model too), asymptotically as κ → 0
    P = −2/3 − (8/3)κ − ..., Q = 4/3 + (16/3)κ + ..., R = (7/3)κ² + ....
The remainder is O(ε²) at fixed β, where κ = O(ε) and the deviation is ε(4τ − 2σ)/3, and at fixed κ as β → 1. For
large κ
    P → −p G², p = 1.23516 (by computation), R = O(G²), Q = O(G):
relative to G the deviation is −pσεG + O(εG) of the map + O(τε). Curved sharpness counts by the relative drop 2εG, and
the quartic part by ε alone.

Assumptions. No progressive sharpening, an infinitesimal initial oscillation along u; S simple; every other positive
eigenvalue h_i of H is below S, with εS ≪ h_i and εS ≪ S − h_i (those modes follow at once); b ≠ 0; 0 <= β < 1.

Steps.
(i)   Reduce. Weights in units h ∝ ε: x = h(−1)^t A + h²B, z = hz + h²(−1)^t C, q = h²(Q + (−1)^t E), with z along the
      manifold and q for each mode across. B, C, Q, E follow A and z at once; through the order that counts the loss
      is a sum over the modes, so that theirs are sums, too; what is left is
          op A = ηA(S(z) − S* + e₁A²),    op z = −½ηA²S'(z),    e₁ = L₄[u,u,u,u]/6 − ½∇S·H⁺∇S.
(ii)  Rescale: in a4_inertia's units, with S(z) = S* + y₀(y + ½σε(y − 1)²),
          a' + κa'' + ... = a(y + ½σε(y − 1)² + τεa²),    y' + κy'' + ... = −½a²(1 + σε(y − 1)),
      where ... are the map's terms, (2/3)ρ²κ²d³ + (1/3)ρ²κ³d⁴ to first order in ρ² = ε/κ.
(iii) Linearize in ε; the first integral of the slow flow (a5_overshoot) to first order in ε gives the series.
(iv)  Large κ: in the averaged equation ε and κ come in as εκ^{2/3} alone, and τ not at all.
"""

import sympy as sp
from sympy.polys.rings import PolyElement, ring

from .a5_overshoot import MAP_SERIES, SERIES
from .proof import Proof

PROOF = Proof(__doc__)

ORDER = 8  # of κ in the series of P and Q

# -- (i) reduction -----------------------------------------------------------------------------------------------
S, h_q, lr, beta, h = sp.symbols("S h_q eta beta h", positive=True)
x, z, q, sign = sp.symbols("x z q sigma_t", real=True)  # sign = (−1)^t
A, zeta, B, C, Q, E = sp.symbols("A zeta B C Q E", real=True)


def derivative(powers: tuple[int, int, int]) -> sp.Symbol:
    """Return the symbol of a derivative, such as L_xxz."""
    return sp.Symbol("L_" + "".join(n * p for n, p in zip("xzq", powers, strict=True)), real=True)


loss = S * x**2 / 2 + h_q * q**2 / 2
for degree in (3, 4):
    for i in range(degree + 1):
        for j in range(degree + 1 - i):
            powers = (i, j, degree - i - j)
            weight = sp.prod([sp.factorial(n) for n in powers])
            loss += derivative(powers) * x**i * z**j * q ** powers[2] / weight
loss = loss.subs(derivative((0, 3, 0)), 0)  # on the manifold, tangent to z, the loss is constant
third = {name: sp.Symbol(f"L_{name}", real=True) for name in ("xxx", "xxz", "xzz", "xxq", "xzq", "zzq")}
b = third["xxz"]
X2, Q2, Z4 = sp.symbols("X_2 Q_2 L_4")

gradient = {v: sp.diff(loss, v) for v in (x, z, q)}
on_manifold = {x: h**2 * X2, z: h * zeta, q: h**2 * Q2}
manifold = {X2: -third["xzz"] * zeta**2 / (2 * S), Q2: -third["zzq"] * zeta**2 / (2 * h_q)}
fourth = sp.Symbol("L_zzzz", real=True)
flat = {fourth: 3 * third["xzz"] ** 2 / S + 3 * third["zzq"] ** 2 / h_q}
for name, v, orders in (("x", x, (1, 2)), ("q", q, (1, 2)), ("z", z, (1, 2, 3))):
    for n in orders:
        PROOF.equal(
            f"The manifold x = −½(L_xzz/S)z², q = −½(L_zzq/h_q)z²: no force along {name} at order h^{n}",
            sp.expand(gradient[v].subs(on_manifold)).coeff(h, n).subs(manifold).subs(flat),
            0,
        )

s1, s2 = b, sp.symbols("S_2", real=True)
hessian = sp.hessian(loss, (x, z, q)).subs(on_manifold).subs(manifold)
characteristic = (hessian - (S + h * s1 * zeta + h**2 * s2 * zeta**2 / 2) * sp.eye(3)).applyfunc(
    lambda entry: sum(sp.expand(entry).coeff(h, n) * h**n for n in range(3))
)
determinant = sp.expand(characteristic.det())
PROOF.equal("Sharpness along the manifold: S' = L_xxz at first order", determinant.coeff(h, 1), 0)
curvature = sp.expand(
    sp.Symbol("L_xxzz", real=True)
    - third["xxx"] * third["xzz"] / S
    - third["xxq"] * third["zzq"] / h_q
    + 2 * third["xzz"] ** 2 / S
    + 2 * third["xzq"] ** 2 / (S - h_q)
)
PROOF.equal(
    "S'' = L₄[u,u,s,s] − ∇S·H⁺L₃[s,s] + 2Σ(L₃[u,s,e_i])²/(S − h_i), the mode z itself among the e_i",
    determinant.coeff(h, 2).subs(s2, curvature),
    0,
)

form = {x: h * sign * A + h**2 * B, z: h * zeta + h**2 * sign * C, q: h**2 * (Q + sign * E)}


def part(v: sp.Symbol, order: int, alternating: bool) -> sp.Expr:
    """Return the force along v at an order of h: the factor of (−1)^t, or the rest."""
    at_order = sp.expand(gradient[v].subs(form)).coeff(h, order)
    return sp.expand(sp.rem(at_order, sign**2 - 1, sign)).coeff(sign, int(alternating))


slaved = {
    B: -(third["xxx"] * A**2 + third["xzz"] * zeta**2) / (2 * S),
    C: third["xzz"] * A * zeta / S,
    Q: -(third["xxq"] * A**2 + third["zzq"] * zeta**2) / (2 * h_q),
    E: third["xzq"] * A * zeta / (S - h_q),
}
PROOF.equal("Steady part along x: the force vanishes", part(x, 2, False).subs(slaved), 0)
PROOF.equal("Steady part along q: the force vanishes", part(q, 2, False).subs(slaved), 0)
# a step of (−1)^t C is −2(1 + β)(−1)^t C to leading order, and η times the force S* times that
for name, v, unknown in (("z", z, C), ("q", q, E)):
    PROOF.equal(
        f"Alternating part along {name}: 2(1 + β) = ηS times it is η times the force",
        (S * unknown - part(v, 2, True)).subs(slaved),
        0,
    )
e1 = sp.Symbol("L_xxxx", real=True) / 6 - third["xxx"] ** 2 / (2 * S) - third["xxq"] ** 2 / (2 * h_q)
PROOF.equal("Alternating force along x at order h²: A S'z", part(x, 2, True).subs(slaved), A * s1 * zeta)
PROOF.equal(
    "and at order h³: A(½S''z² + e₁A²)",
    part(x, 3, True).subs(slaved),
    A * (curvature * zeta**2 / 2 + e1 * A**2),
)
PROOF.equal("Steady force along z at order h²: ½A²S'", part(z, 2, False).subs(slaved), A**2 * s1 / 2)
PROOF.equal(
    "and at order h³: ½A²S''z",
    part(z, 3, False).subs(slaved).subs(flat),
    A**2 * curvature * zeta / 2,
)

# -- (i) any number of modes -------------------------------------------------------------------------------------
# Curved modes p_i and, where the manifold has more dimensions than one, flat ones r_i beside z: all of order h².
across = {name: sp.Symbol(name, real=True) for name in ("p_1", "p_2", "r_1", "r_2")}
curved, flat_names = ("p_1", "p_2"), ("r_1", "r_2")
stiffness = {
    "p_1": sp.Symbol("h_1", positive=True),
    "p_2": sp.Symbol("h_2", positive=True),
    "r_1": 0,
    "r_2": 0,
}
degree_, count = sp.symbols("n k", integer=True, nonnegative=True)
PROOF.true(
    "x and z being O(h), a monomial of degree 3 + n with 2 + k factors of any modes across is O(h^{5 + n + k}): "
    "through h⁴ the loss is a sum over the modes, whatever their number",
    sp.expand((3 + degree_) + (2 + count) - 5) == degree_ + count,
)


def mixed(kind: str, mode: str) -> sp.Symbol:
    """Return a third derivative, of x and z and one of the mode's."""
    return sp.Symbol(f"L_{kind}{mode}", real=True)


own = S * x**2 / 2 + sum(
    derivative((i, j, 0)) * x**i * z**j / (sp.factorial(i) * sp.factorial(j))
    for degree in (3, 4)
    for i in range(degree + 1)
    for j in [degree - i]
)
many = own.subs(derivative((0, 3, 0)), 0) + sum(
    stiffness[m] * w**2 / 2
    + mixed("xx", m) * x**2 * w / 2
    + mixed("xz", m) * x * z * w
    + mixed("zz", m) * z**2 * w / 2
    for m, w in across.items()
)
# ∇S along the minima is along z, and along them the loss is constant to every order
straight = {mixed(kind, m): 0 for m in flat_names for kind in ("xx", "zz")}
many = many.subs(straight)
flat_many = {fourth: 3 * third["xzz"] ** 2 / S + sum(3 * mixed("zz", m) ** 2 / stiffness[m] for m in curved)}
steady = {m: sp.Symbol(f"Q_{m}", real=True) for m in across}
swinging = {m: sp.Symbol(f"E_{m}", real=True) for m in across}
form_many = {x: h * sign * A + h**2 * B, z: h * zeta + h**2 * sign * C}
form_many |= {w: h**2 * (steady[m] + sign * swinging[m]) for m, w in across.items()}
slaved_many = {B: slaved[B], C: slaved[C]}
slaved_many |= {
    steady[m]: -(mixed("xx", m) * A**2 + mixed("zz", m) * zeta**2) / (2 * stiffness[m]) for m in curved
}
slaved_many |= {swinging[m]: mixed("xz", m) * A * zeta / (S - stiffness[m]) for m in across}


def part_of_many(v: sp.Symbol, order: int, alternating: bool) -> sp.Expr:
    """Return `part` of the loss with many modes."""
    at_order = sp.expand(sp.diff(many, v).subs(form_many)).coeff(h, order)
    return sp.expand(sp.rem(at_order, sign**2 - 1, sign)).coeff(sign, int(alternating))


for m, w in across.items():
    kind = "curved" if m in curved else "flat"
    PROOF.equal(
        f"Steady force along the {kind} mode {m} at order h²", part_of_many(w, 2, False).subs(slaved_many), 0
    )
    PROOF.equal(
        f"Alternating part along {m}: S times it is the force",
        (S * swinging[m] - part_of_many(w, 2, True)).subs(slaved_many),
        0,
    )
for m in flat_names:
    PROOF.equal(
        f"Along {m} the force is O(h³), the way O(h²) in the time 1/h: it pulls neither A nor z at order h³",
        sum(sp.diff(part_of_many(v, n, v == x), steady[m]) for v in (x, z) for n in (2, 3)),
        0,
    )
curvature_many = (
    sp.Symbol("L_xxzz", real=True)
    - third["xxx"] * third["xzz"] / S
    - sum(mixed("xx", m) * mixed("zz", m) / stiffness[m] for m in curved)
    + 2 * third["xzz"] ** 2 / S
    + sum(2 * mixed("xz", m) ** 2 / (S - stiffness[m]) for m in across)
)
e1_many = (
    sp.Symbol("L_xxxx", real=True) / 6
    - third["xxx"] ** 2 / (2 * S)
    - sum(mixed("xx", m) ** 2 / (2 * stiffness[m]) for m in curved)
)
PROOF.equal(
    "Alternating force along x at order h³: A(½S''z² + e₁A²), S'' and e₁ with their sums over the modes",
    part_of_many(x, 3, True).subs(slaved_many),
    A * (curvature_many * zeta**2 / 2 + e1_many * A**2),
)
PROOF.equal(
    "Steady force along z at order h³: ½A²S''z with the same sum",
    part_of_many(z, 3, False).subs(slaved_many).subs(flat_many),
    A**2 * curvature_many * zeta / 2,
)
names_many = (x, z, *across.values())
manifold_many = {x: h**2 * manifold[X2], z: h * zeta}
manifold_many |= {
    w: -(h**2) * mixed("zz", m) * zeta**2 / (2 * stiffness[m]) if m in curved else 0
    for m, w in across.items()
}
hessian_many = sp.hessian(many, names_many).subs(manifold_many)
# By perturbation: column x of the Hessian on the manifold, through h²
first_order = {w: sp.expand(hessian_many[0, k]).coeff(h, 1) for k, w in enumerate(names_many)}
second_of_sharpness = sp.expand(hessian_many[0, 0]).coeff(h, 2) + first_order[z] ** 2 / S
second_of_sharpness += sum(first_order[w] ** 2 / (S - stiffness[m]) for m, w in across.items())
PROOF.equal(
    "Sharpness along the manifold, by second-order perturbation: S'' is that sum",
    second_of_sharpness,
    curvature_many * zeta**2 / 2,
)

# -- (ii) units --------------------------------------------------------------------------------------------------
kappa, rho = sp.symbols("kappa rho", positive=True)
y0, epsilon, slope = sp.symbols("y_0 epsilon b", positive=True)
a, y, sigma, tau, bend, hard = sp.symbols("a y sigma tau S_2 e_1", real=True)
units = {A: y0 / slope * a, zeta: y0 / slope * (y - 1)}
by_numbers = {bend: sigma * slope**2 * epsilon / y0, hard: tau * slope**2 * epsilon / y0}  # S* = y₀/ε
PROOF.equal(
    "S(z) − S* + e₁A² over y₀, with z = (y₀/b)(y − 1)",
    ((y0 + slope * zeta + bend * zeta**2 / 2 + hard * A**2) / y0).subs(units).subs(by_numbers),
    y + sigma * epsilon * (y - 1) ** 2 / 2 + tau * epsilon * a**2,
)
PROOF.equal(
    "½A²S'(z) in units of y₀²/b",
    (A**2 / 2 * (slope + bend * zeta) / (y0**2 / slope)).subs(units).subs(by_numbers),
    a**2 / 2 * (1 + sigma * epsilon * (y - 1)),
)
PROOF.equal("ρ² = ε/κ", epsilon / (epsilon / rho**2), rho**2)

# -- (iii) series ------------------------------------------------------------------------------------------------
R, A2, Y, s, t, r = ring("A, y, s, t, r", sp.QQ)  # a², y, σε, τε, ρ²: the last three to first order


def linear(P: PolyElement) -> PolyElement:
    """Return P without products of s, t, r."""
    return R.from_dict({powers: c for powers, c in P.terms() if sum(powers[2:]) <= 1})


def first(P: PolyElement) -> PolyElement:
    """Return the terms of P in s, t or r."""
    return R.from_dict({powers: c for powers, c in P.terms() if sum(powers[2:]) == 1})


def along(F: PolyElement, g: PolyElement, P: PolyElement) -> PolyElement:
    """Return the derivative of P(A, y) along a' = aF, y' = g."""
    return linear(2 * A2 * F * P.diff(A2) + g * P.diff(Y))


def slow_flow(order: int) -> tuple[list[PolyElement], list[PolyElement]]:
    """Return F_j and g_j of a' = a Σ κ^j F_j, y' = Σ κ^j g_j."""
    terms = {2: R(1), 3: sp.QQ(2, 3) * r, 4: sp.QQ(1, 3) * r}
    F = [Y + s * (Y - 1) ** 2 / 2 + t * A2]
    g = [-A2 / 2 * (1 + s * (Y - 1))]
    powers = {1: (F, g)} | {n: ([], []) for n in range(2, 5)}
    for m in range(1, order + 1):
        for n in range(2, min(m + 1, 4) + 1):
            j = m - n + 1
            below_a, below_y = powers[n - 1]
            of_a = [F[i] * below_a[j - i] + along(F[i], g[i], below_a[j - i]) for i in range(j + 1)]
            powers[n][0].append(linear(sum(of_a, R(0))))
            powers[n][1].append(sum((along(F[i], g[i], below_y[j - i]) for i in range(j + 1)), R(0)))
        here = {n: c for n, c in terms.items() if n <= m + 1}
        F.append(linear(-sum((c * powers[n][0][m - n + 1] for n, c in here.items()), R(0))))
        g.append(linear(-sum((c * powers[n][1][m - n + 1] for n, c in here.items()), R(0))))
    return F, g


LEADING = Y**2 + A2 / 2


def integrated(source: PolyElement) -> PolyElement:
    """Return the polynomial whose derivative along a' = ay, y' = −a²/2 is `source`, zero at y = 0 for fixed h."""
    in_h = source.exquo(A2).compose(A2, 2 * (A2 - Y**2))  # from here the first variable is h = y² + a²/2
    integral = R.from_dict({(i, j + 1, *k): -2 * c / (j + 1) for (i, j, *k), c in in_h.terms()})
    return integral.compose(A2, LEADING)


def first_integral(F: list[PolyElement], g: list[PolyElement]) -> list[PolyElement]:
    """Return H_j with Σ κ^j H_j conserved to first order in s, t, r."""
    H: list[PolyElement] = []
    for n in range(len(F)):
        known = LEADING if n == 0 else R(0)
        if n:
            lost = sum((along(F[j], g[j], H[n - j]) for j in range(1, n + 1)), R(0))
            known = integrated(-(lost - first(lost)))
        trial = [*H, known]
        lost = sum((along(F[j], g[j], trial[n - j]) for j in range(n + 1)), R(0))
        H.append(known + integrated(-lost))
    return H


F, g = slow_flow(ORDER)
H = first_integral(F, g)
PROOF.true(
    f"H is conserved by the slow flow to first order in σε, τε, ρ², through κ^{ORDER}",
    all(sum((along(F[j], g[j], H[n - j]) for j in range(n + 1)), R(0)) == 0 for n in range(ORDER + 1)),
)


K, KAPPA, s_end, t_end, r_end = ring("kappa, s, t, r", sp.QQ)


def cut(P: PolyElement) -> PolyElement:
    """Return P through κ^ORDER and to first order in s, t, r."""
    return K.from_dict({powers: c for powers, c in P.terms() if powers[0] <= ORDER and sum(powers[1:]) <= 1})


def on_axis(y_value: PolyElement) -> PolyElement:
    """Return Σ κ^n H_n at a = 0 and y = y_value."""
    powers_of_y: list[PolyElement] = [K(1)]
    total = K(0)
    for n, P in enumerate(H):
        for (i, j, *rest), c in P.terms():
            while len(powers_of_y) <= j:
                powers_of_y.append(cut(powers_of_y[-1] * y_value))
            if i == 0:
                total += cut(K.from_dict({(n, *rest): c}) * powers_of_y[j])
    return total


# Each pass of m ← m − (H(0, −m) − H(0, 1))/2 makes one more order right: the leading slope is 2.
start = on_axis(K(1))
last = K(1)
for _ in range(ORDER + 2):
    last -= (on_axis(-last) - start) / 2
PROOF.true("H(0, 1) = H(0, −m)", on_axis(-last) == start)
drop = cut((1 + last) / 2 - s_end * (1 + last) ** 2 / 4)  # of y + ½σε(y − 1)², from 1 to its value at −m


def series(perturbation: int) -> list[sp.Rational]:
    """Return the coefficients in κ of the drop's part in s, t or r (1, 2, 3), or in none (0)."""
    unit = tuple(int(k == perturbation) for k in (1, 2, 3))
    return [sp.Rational(drop.coeff(K.from_dict({(n, *unit): sp.QQ(1)}))) for n in range(ORDER + 1)]


P_SERIES, Q_SERIES = series(1), series(2)
R_SERIES = series(3)[1:]  # ρ² = ε/κ
PROOF.true("Without perturbation it is G (a5_overshoot)", series(0) == SERIES[: ORDER + 1])
PROOF.true(
    "P = −2/3 − (8/3)κ + ..., Q = 4/3 + (16/3)κ + ..., R = (7/3)κ² + ...",
    P_SERIES[:2] == [-sp.Rational(2, 3), -sp.Rational(8, 3)]
    and Q_SERIES[:2] == [sp.Rational(4, 3), sp.Rational(16, 3)]
    and R_SERIES[:3] == [0, 0, sp.Rational(7, 3)],
)
PROOF.true(
    "κR is the map's own part in ρ² (a5_overshoot)",
    all(sp.expand(c).coeff(rho, 2) == R_SERIES[n - 1] for n, c in enumerate(MAP_SERIES) if n),
)
curve = 2 * (1 - y**2)
PROOF.equal(
    "P(0), Q(0) by hand: on a² = 2(1 − v²), v the sharpness, da²/dv gains −4τεa² + 8σεv(v − 1), |v_f| a quarter",
    sp.integrate(-4 * tau * curve + 8 * sigma * y * (y - 1), (y, 1, -1)) / 8,
    P_SERIES[0] * sigma + Q_SERIES[0] * tau,
)

# -- (iv) large κ ------------------------------------------------------------------------------------------------
time, J, nu, slow, amount = sp.symbols("t J nu s Z", positive=True)
scale = kappa ** sp.Rational(2, 3)
curved = scale * amount * (1 - sigma * epsilon * scale * amount / 2)
in_nu = {sigma: nu / (epsilon * scale)}
PROOF.equal(
    "With y = −κ^{2/3}Z the sharpness is −κ^{2/3}Z(1 − ½νZ), ν = σεκ^{2/3}",
    curved.subs(in_nu) / scale,
    amount * (1 - nu * amount / 2),
)
path = sp.Function("Z")(slow)
force = J / 2 * sp.exp(-slow) * (1 - sigma * epsilon * scale * amount) / sp.sqrt(curved)
PROOF.equal(
    "The averaged equation of a5_overshoot: Z'' + Z' = ½Je^{−s}(1 − νZ)/√(Z(1 − ½νZ)): κ and ε only in ν",
    force.subs(in_nu) * scale ** sp.Rational(1, 2),
    J / 2 * sp.exp(-slow) * (1 - nu * amount) / sp.sqrt(amount * (1 - nu * amount / 2)),
)
PROOF.equal(
    "a² is J/√(κ^{2/3}Z) on average, less than y by the factor 1/κ: τεa² acts in the first swing only, by O(ε)",
    J / sp.sqrt(scale * amount) / (scale * amount) * kappa,
    J / amount ** sp.Rational(3, 2),
)
fast = sp.symbols("X", positive=True)  # κΩ²
PROOF.equal(
    "The map's terms at frequency Ω: κΩ² − ⅓ρ²κ³Ω⁴ depends on ε and X = κΩ² ∝ κ^{2/3} through εX alone",
    (fast - rho**2 * kappa**3 * (fast / kappa) ** 2 / 3).subs(rho, sp.sqrt(epsilon / kappa)) / fast,
    1 - epsilon * fast / 3,
)


def polynomial(coefficients: list[sp.Rational]) -> sp.Expr:
    return sum((c * kappa**n for n, c in enumerate(coefficients)), sp.Integer(0))


RESULTS = {
    "sharpness_curvature": curvature,
    "quartic": e1,
    "P_series": polynomial(P_SERIES),
    "Q_series": polynomial(Q_SERIES),
    "R_series": polynomial(R_SERIES),
    "slow_deviation": epsilon * (P_SERIES[0] * sigma + Q_SERIES[0] * tau),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
