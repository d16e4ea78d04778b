"""One law for every linear optimizer: two inertias, read off its transfer function.

Statement. Let w = −T(q)∇L with q the forward shift and T a rational function with a simple pole at 1. On the
cubic model about S*, with z = e^D,
    −S*T(−e^D) = 1 − σD + a₂D² + ...,    D·T(e^D) = c₀(1 − τD + ...),
    S* = −1/T(−1),    ln|λ| = (ε/σ)(1 − κ_x) + O(ε³),
and the swing x_t = (−1)^t A_t obeys in the slow limit σȦ = (y/S*)A, ẏ = c₀(α − b²A²/2). For α = 0 sharpness
drops by 2y₀ and the largest swing is √2y₀/(b√(c₀σS*)), for every optimizer. Self-stabilization is c₀S*/2 times
that of gradient descent at the same S*. The next order has two inertias, κ_x = ε(1 − a₂/σ²) of the swing and
κ_y = ετ/σ of the sharpness, and
    G = 1 + κ_e + 2κ_e² + G₃ + G₄ + ...,    κ_e = (κ_x + 2κ_y)/3.
G₃ depends on κ_x, κ_y and the next coefficients of both expansions; G₄ = 6κ_eG₃ − 16κ_e⁴ on nothing new.
Heavy ball: κ_x = κ_y = ε((1 + β)/(1 − β))². Lookahead (a5b_lookahead) is the case in which T gives w + γ(w −
w_{t−1}), where the gradient is taken. Every T with one pole β beside 1 and one zero is quasi-hyperbolic
momentum's: Nesterov's has ν = β, aggregated momentum's of 0 and β has ν = 1/(2 − β).

Assumptions. At S* the root −1 of 1 + ST(z) is simple, and the others are inside the unit circle (so that σ > 0);
α = 0 and an infinitesimal initial oscillation for G; formal series in ε.

Steps. Write T as a fraction of polynomials and insert x_t = (−1)^t A_t. Expand about −1 and 1. First order by energy on
the sech/tanh orbit; even orders by the involution |y₀| → |y_f|; third order on the slow manifold, as in
a5_overshoot and a5b_lookahead. Insert the fractions of known optimizers.
"""

import sympy as sp
from sympy.polys.rings import PolyElement, ring

from .a5_overshoot import inversion
from .a5b_lookahead import RESULTS as LOOKAHEAD
from .proof import Proof

PROOF = Proof(__doc__)

lr, alpha, b, y0, epsilon, threshold = sp.symbols("eta alpha b y_0 epsilon S_star", positive=True)
sigma, c0 = sp.symbols("sigma c_0", positive=True)
a2, a3, a4, tau, tau2, tau3 = sp.symbols("a_2 a_3 a_4 tau tau_2 tau_3", real=True)
beta, gamma, nu = sp.symbols("beta gamma nu", real=True)
z, D, S, y = sp.symbols("z D S y")

# from the definition to the envelope: T = N/M, so that M(q)w = −N(q)∇L; shown at degree 3, any other is alike
DEGREE = 3
numerator, denominator = sp.symbols("n_0:4"), sp.symbols("m_0:4")
A, Y = sp.symbols("A_0:4"), sp.symbols("y_0:4")


def of(coefficients: tuple[sp.Symbol, ...], values: list[sp.Expr]) -> sp.Expr:
    """Return a polynomial of the shift applied to a series."""
    return sum((c * value for c, value in zip(coefficients, values, strict=True)), sp.Integer(0))


def polynomial(coefficients: tuple[sp.Symbol, ...], at: sp.Expr) -> sp.Expr:
    """Return the polynomial's value."""
    return sum((c * at**j for j, c in enumerate(coefficients)), sp.Integer(0))


x, w = sp.symbols("x w")
loss = (threshold + b * w) * x**2 / 2 - alpha / b * w
swing = [(-1) ** j * A[j] for j in range(DEGREE + 1)]
rise = [Y[j] / b for j in range(DEGREE + 1)]
of_x = [sp.diff(loss, x).subs({x: u, w: v}) for u, v in zip(swing, rise, strict=True)]
of_w = [sp.diff(loss, w).subs({x: u, w: v}) for u, v in zip(swing, rise, strict=True)]
at_minus = (
    tuple((-1) ** j * n for j, n in enumerate(numerator)),
    tuple((-1) ** j * m for j, m in enumerate(denominator)),
)
PROOF.equal(
    "M(q)x = −N(q)∂L/∂x is M(−q)A = −N(−q)[(S* + y)A]: A = −T(−q)[(S* + y)A]",
    of(denominator, swing) + of(numerator, of_x),
    of(at_minus[1], list(A)) + of(at_minus[0], [(threshold + Y[j]) * A[j] for j in range(DEGREE + 1)]),
)
PROOF.equal(
    "M(q)y = −bN(q)∂L/∂z is M(q)y = N(q)[α − b²A²/2]: y = T(q)[α − b²A²/2]",
    b * (of(denominator, rise) + of(numerator, of_w)),
    of(denominator, list(Y)) - of(numerator, [alpha - b**2 * A[j] ** 2 / 2 for j in range(DEGREE + 1)]),
)
T_minus = polynomial(numerator, sp.Integer(-1)) / polynomial(denominator, sp.Integer(-1))
constant = of(at_minus[1], [A[0]] * 4) + of(at_minus[0], [S * A[0]] * 4)
PROOF.equal("A constant A at y = 0: S* = −1/T(−1)", sp.solve(constant, S)[0], -1 / T_minus)

# the two expansions, z = e^D
PROOF.equal(
    "q^j = e^{jD} acts on a mode e^{Dt} as its shift",
    sp.exp(D * (sp.Symbol("t") + 2)) / sp.exp(D * sp.Symbol("t")),
    sp.exp(D) ** 2,
)
ORDER = 4
minus = 1 - sigma * D + a2 * D**2 + a3 * D**3 + a4 * D**4  # −S*T(−e^D)
plus = 1 - tau * D + tau2 * D**2 + tau3 * D**3  # D·T(e^D)/c₀


def inverse(series: sp.Expr) -> sp.Expr:
    """Return 1/series through D⁴."""
    return sp.expand(sp.series(1 / series, D, 0, ORDER + 1).removeO())


of_A = sp.expand((inverse(minus) - 1) / sigma)  # acts on A, on the right (y/(σS*))A
of_y = sp.expand(sp.series(D / plus, D, 0, ORDER + 1).removeO())  # acts on y, on the right c₀(α − b²A²/2)
P = [of_A.coeff(D, n) for n in range(ORDER + 1)]
Q = [of_y.coeff(D, n) for n in range(ORDER + 1)]
PROOF.equal("A = (1 − σD + ...)[(1 + y/S*)A] is (D + p₂D² + ...)A = yA/(σS*): the slow limit of A", P[1], 1)
PROOF.equal("p₂ = σ − a₂/σ", P[2], sigma - a2 / sigma)
PROOF.equal("y = T(q)[α − b²A²/2] is (D + q₂D² + ...)y = c₀(α − b²A²/2): the slow limit of y", Q[1], 1)
PROOF.equal("q₂ = τ", Q[2], tau)

# growth
rate = epsilon / sigma
kappa_x, kappa_y = epsilon * (1 - a2 / sigma**2), epsilon * tau / sigma
delta = rate * (1 - kappa_x)
root = sp.series(minus.subs(D, delta) * (1 + epsilon) - 1, epsilon, 0, 3).removeO()
PROOF.equal("1 + ST(−e^δ) = 0 at S = (1 + ε)S*: δ = (ε/σ)(1 − κ_x) through ε²", sp.expand(root), 0)

# the slow limit
swing_of, excess = sp.symbols("A y")
A_dot, y_dot = excess * swing_of / (sigma * threshold), -c0 * b**2 * swing_of**2 / 2
largest = sp.sqrt(2) * y0 / (b * sp.sqrt(c0 * sigma * threshold))
energy = excess**2 / 2 + (y0 * swing_of / largest) ** 2 / 2
PROOF.equal(
    "dH/dt = 0, H = y²/2 + y₀²A²/(2A_max²): from +y₀ to −y₀, and A_max at y = 0",
    sp.diff(energy, excess) * y_dot + sp.diff(energy, swing_of) * A_dot,
    0,
)
amplification = c0 * threshold / 2
PROOF.equal(
    "Per swing A, ẏ is c₀S*/2 times gradient descent's, whose c₀ is η = 2/S*",
    y_dot / y_dot.subs(c0, 2 / threshold),
    amplification,
)

# two inertias: time in units of 1/r, r = ε/σ = y₀/(σS*); a = A/A_max·√2, y in units of y₀
mu, s = sp.symbols("mu s", positive=True)
PROOF.equal("With d/dt = r d/ds: a' + κ_xa'' + ... = ya, κ_x = rp₂", rate * P[2], kappa_x)
PROOF.equal("y' + κ_yy'' + ... = −a²/2, κ_y = rq₂", rate * Q[2], kappa_y)
PROOF.equal(
    "The right side: c₀b²A²/2 over ry₀, A = aA_max/√2, y₀ = εS*",
    (c0 * b**2 * (swing_of * largest / sp.sqrt(2)) ** 2 / 2 / (rate * y0)).subs(y0, epsilon * threshold),
    swing_of**2 / 2,
)

# first order, by energy
T = sp.symbols("T", real=True)
k_x, k_y = sp.symbols("kappa_x kappa_y", real=True)
orbit_a, orbit_y = sp.sqrt(2) * sp.sech(s), -sp.tanh(s)
PROOF.equal("Orbit: a' = ya", sp.diff(orbit_a, s), orbit_y * orbit_a)
PROOF.equal("Orbit: y' = −a²/2", sp.diff(orbit_y, s), -(orbit_a**2) / 2)
gain = -k_y * orbit_y * sp.diff(orbit_y, s, 2) - k_x * orbit_a * sp.diff(orbit_a, s, 2) / 2
PROOF.equal(
    "Rate of K = y²/2 + a²/4, T = tanh s",
    gain.rewrite(sp.exp),
    ((2 * k_y * T**2 + k_x * (1 - 2 * T**2)) * (1 - T**2)).subs(T, sp.tanh(s)).rewrite(sp.exp),
)
kappa_e = (k_x + 2 * k_y) / 3
gained = sp.Integral(2 * k_y * T**2 + k_x * (1 - 2 * T**2), (T, -1, 1))
PROOF.equal("Its integral over the orbit, ds = dT/(1 − T²): K grows by 2κ_e", gained, 2 * kappa_e)
PROOF.equal(
    "y_f²/2 = ½ + 2κ_e: |y_f| = 1 + 2κ_e and G = (1 + |y_f|)/2 = 1 + κ_e",
    sp.series(sp.sqrt(1 + 4 * mu * kappa_e), mu, 0, 2).removeO(),
    1 + 2 * mu * kappa_e,
)

# even orders, by reversal: D → −D maps D + p₂D² + p₃D³ + ... to −(D − p₂D² + p₃D³ − ...), and μ → −μ does it
p2, p3, p4 = sp.symbols("p_2:5", real=True)
operator = D + p2 * mu * D**2 + p3 * mu**2 * D**3 + p4 * mu**3 * D**4
PROOF.equal(
    "(t, y, μ) → (−t, −y, −μ) leaves both equations: −L(−D; −μ) = L(D; μ)",
    -operator.subs({D: -D, mu: -mu}, simultaneous=True),
    operator,
)
G1, G3 = sp.symbols("G_1 G_3", real=True)
m2, m4 = sp.symbols("m_2 m_4", real=True)
# m(κ)·m(−κm(κ)) = 1 for the map |y₀| → |y_f|, y₀m(κ): an orbit and its mirror image undo each other
conditions = inversion([sp.Integer(1), 2 * G1, m2, 2 * G3, m4])
second = sp.solve(conditions[2], m2)[0]
fourth = sp.solve(conditions[4].subs(m2, second), m4)[0]
PROOF.equal("Second order: G₂ = 2κ_e²", second / 2, 2 * G1**2)
PROOF.equal("Fourth order: G₄ = 6κ_eG₃ − 16κ_e⁴", fourth / 2, 6 * G1 * G3 - 16 * G1**4)

# third order, on the slow manifold a' = aF(a², y), y' = f(a², y)
R, SQUARE, EXCESS, *SHAPES = ring("S, y, p2, p3, p4, q2, q3, q4", sp.QQ)  # SQUARE = a²
LEADING = EXCESS**2 + SQUARE / 2
IN_A, IN_Y = dict(zip((2, 3, 4), SHAPES[:3], strict=True)), dict(zip((2, 3, 4), SHAPES[3:], strict=True))
THIRD = 3


def along(F: PolyElement, f: PolyElement, value: PolyElement) -> PolyElement:
    """Return the derivative of a polynomial of a² and y along a' = aF, y' = f."""
    return 2 * SQUARE * F * value.diff(SQUARE) + f * value.diff(EXCESS)


def slow_flow(order: int) -> tuple[list[PolyElement], list[PolyElement]]:
    """Return F_j and f_j of a' = a Σ μ^j F_j, y' = Σ μ^j f_j."""
    F, f = [EXCESS], [-SQUARE / 2]
    # of_a[n][j], of_y[n][j]: the μ^j part of the flow's n-th derivative of a (over a) and of y
    of_a, of_y = {1: F}, {1: f}
    for m in range(1, order + 1):
        for n in range(2, m + 2):
            j, below_a, below_y = m - n + 1, of_a[n - 1], of_y[n - 1]
            of_a.setdefault(n, []).append(
                sum((F[i] * below_a[j - i] + along(F[i], f[i], below_a[j - i]) for i in range(j + 1)), R(0))
            )
            of_y.setdefault(n, []).append(
                sum((along(F[i], f[i], below_y[j - i]) for i in range(j + 1)), R(0))
            )
        F.append(-sum((IN_A[n] * of_a[n][m - n + 1] for n in range(2, m + 2)), R(0)))
        f.append(-sum((IN_Y[n] * of_y[n][m - n + 1] for n in range(2, m + 2)), R(0)))
    return F, f


def first_integral(F: list[PolyElement], f: list[PolyElement]) -> list[PolyElement]:
    """Return H_j with Σ μ^j H_j conserved: along −(S/2)∂_y, at fixed h, H_n gains what the others lose."""
    H = [LEADING]
    for n in range(1, len(F)):
        source = -sum((along(F[j], f[j], H[n - j]) for j in range(1, n + 1)), R(0))
        in_h = source.exquo(SQUARE).compose(
            SQUARE, 2 * (SQUARE - EXCESS**2)
        )  # from here the first variable is h
        integral = R.from_dict({(i, j + 1, *k): -2 * v / (j + 1) for (i, j, *k), v in in_h.terms()})
        H.append(integral.compose(SQUARE, LEADING))
    return H


F, f = slow_flow(THIRD)
H = first_integral(F, f)
PROOF.true(
    "H is conserved by the slow flow through μ³",
    all(sum((along(F[j], f[j], H[n - j]) for j in range(n + 1)), R(0)) == 0 for n in range(THIRD + 1)),
)
names = sp.symbols("p_2:5 q_2:5", real=True)
q2, q3, q4 = names[3:]
on_axis, end = sp.symbols("h_1:4"), sp.symbols("m_1:4")
last = 1 + sum(unknown * mu**n for n, unknown in enumerate(end, 1))
ends = sum(h * mu**n * (1 - (-1) ** n * last ** (n + 2)) for n, h in enumerate((1, *on_axis)))
solved: dict[sp.Symbol, sp.Expr] = {}
for n, unknown in enumerate(end, 1):
    solved[unknown] = sp.expand(sp.solve(sp.expand(ends.subs(solved)).coeff(mu, n), unknown)[0])
values = {h: value.as_expr(0, 1, *names) for h, value in zip(on_axis, H[1:], strict=True)}
first, middle, third = (sp.expand(solved[unknown].subs(values) / 2) for unknown in end)
PROOF.equal(
    "H(0, 1) = H(0, y_f), first order: κ_e of the energy integral", first, kappa_e.subs({k_x: p2, k_y: q2})
)
PROOF.equal("Second order: 2κ_e², as the involution says", middle, 2 * first**2)
overshoot_third = (
    -23 * p2**3 + 6 * p2**2 * q2 + 120 * p2 * q2**2 + 32 * q2**3
    + 126 * (p2 + q2) * p3 + 72 * (p2 + 3 * q2) * q3 - 63 * p4 - 72 * q4
) / 135  # fmt: skip
PROOF.equal("Third order, with a'' of (D + p₂D² + ...) and so on: G₃ in units of r³", third, overshoot_third)


# known optimizers
def expansions(transfer: sp.Expr) -> dict[sp.Symbol, sp.Expr]:
    """Return S*, c₀ and the coefficients of both expansions of a transfer function."""
    top, bottom = sp.fraction(sp.together(transfer))
    S_star = sp.cancel(-1 / transfer.subs(z, -1))

    def coefficients(expression: sp.Expr, at: int, order: int) -> list[sp.Expr]:
        terms = sp.Poly(expression, z).terms()
        return [
            sum(c * at**n * sp.Integer(n) ** k for (n,), c in terms) / sp.factorial(k)
            for k in range(order + 1)
        ]

    def quotient(one: list[sp.Expr], other: list[sp.Expr]) -> list[sp.Expr]:
        out: list[sp.Expr] = []
        for k in range(min(len(one), len(other))):
            rest = one[k] - sum((out[j] * other[k - j] for j in range(k)), sp.Integer(0))
            out.append(sp.factor(sp.cancel(rest / other[0])))
        return out

    swings = quotient(coefficients(top, -1, ORDER), coefficients(bottom, -1, ORDER))
    below = coefficients(bottom, 1, ORDER)
    if sp.simplify(below[0]) != 0:
        raise AssertionError(f"the transfer function {transfer} has no pole at 1")
    drifts = quotient(coefficients(top, 1, ORDER - 1), below[1:])
    in_swing = [sp.cancel(-S_star * c) for c in swings]
    in_drift = [sp.cancel(c / drifts[0]) for c in drifts]
    return {
        threshold: S_star, c0: drifts[0], sigma: -in_swing[1], a2: in_swing[2], a3: in_swing[3], a4: in_swing[4],
        tau: -in_drift[1], tau2: in_drift[2], tau3: in_drift[3],
    }  # fmt: skip


third_order = rate**3 * overshoot_third.subs(
    dict(zip(names, (*P[2:5], *Q[2:5]), strict=True)), simultaneous=True
)
heavy_ball = lr * z / ((z - 1) * (z - beta))
polyak = expansions(heavy_ball)
in_beta = (1 + beta) / (1 - beta)
PROOF.equal("Heavy ball, T = ηz/((z − 1)(z − β)): S*", polyak[threshold], 2 * (1 + beta) / lr)
PROOF.equal("c₀σS* = 1", polyak[c0] * polyak[sigma] * polyak[threshold], 1)
PROOF.equal("Amplification of heavy ball", amplification.subs(polyak), in_beta)
PROOF.equal("κ_x = ε((1 + β)/(1 − β))²", kappa_x.subs(polyak), epsilon * in_beta**2)
PROOF.equal("κ_y is the same", kappa_y.subs(polyak), epsilon * in_beta**2)
PROOF.equal(
    "G₃ = (1 + (7/3)ρ²)κ³, ρ = (1 − β)/(1 + β), as in a5_overshoot",
    third_order.subs(polyak),
    (1 + sp.Rational(7, 3) / in_beta**2) * (epsilon * in_beta**2) ** 3,
)
averaged = expansions((1 - beta) * heavy_ball)
PROOF.equal(
    "Averaged momentum, T = η(1 − β)z/((z − 1)(z − β)): S* = 2(1 + β)/((1 − β)η)",
    averaged[threshold],
    2 * (1 + beta) / ((1 - beta) * lr),
)
PROOF.true(
    "All else is heavy ball's: σ, a₂, τ and c₀S*",
    all(sp.cancel(averaged[key] - polyak[key]) == 0 for key in (sigma, a2, a3, a4, tau, tau2, tau3))
    and sp.cancel(amplification.subs(averaged) - in_beta) == 0,
)

ahead = expansions((z + gamma * (z - 1)) * heavy_ball / z)
PROOF.equal(
    "Lookahead, where the gradient is taken: T = η(z + γ(z − 1))/((z − 1)(z − β)), S*",
    ahead[threshold],
    2 * (1 + beta) / (lr * (1 + 2 * gamma)),
)
PROOF.equal("Rate ε/σ of a5b_lookahead", rate.subs(ahead), LOOKAHEAD["rate"])
seen = largest.subs(ahead) / (1 + 2 * gamma)  # Ã = (1 + 2γ)A to leading order
PROOF.equal("Largest swing of a5b_lookahead, A = Ã/(1 + 2γ)", seen**2, LOOKAHEAD["max_displacement"] ** 2)
PROOF.equal("κ_e of a5b_lookahead", ((kappa_x + 2 * kappa_y) / 3).subs(ahead), LOOKAHEAD["inertia_number"])
RATIOS = sp.QQ.frac_field(beta, gamma, epsilon)  # fractions in lowest terms: equal ones are the same
PROOF.equal(
    "G₃ of a5b_lookahead",
    RATIOS.from_sympy(third_order.subs(ahead)).as_expr(),
    RATIOS.from_sympy(LOOKAHEAD["third_coefficient"] * LOOKAHEAD["rate"] ** 3).as_expr(),
)

share = 1 + beta - 2 * nu * beta
quasi_hyperbolic = lr * ((1 - nu) * (z - beta) + nu * (1 - beta) * z) / ((z - 1) * (z - beta))
quasi = expansions(quasi_hyperbolic)
PROOF.equal("Quasi-hyperbolic momentum: S*", quasi[threshold], 2 * (1 + beta) / (lr * share))
PROOF.equal("Its amplification", amplification.subs(quasi), (1 + beta) / share)
slowing = (1 + beta) ** 2 - 4 * nu * beta
quasi_swing = (
    (1 + beta) * ((1 + beta) ** 3 - 4 * nu * beta * (1 + 3 * beta) + 8 * nu**2 * beta**2) / slowing**2
)
quasi_sharpness = (1 + beta) * share * (1 - beta + 2 * nu * beta) / ((1 - beta) * slowing)
PROOF.equal("Its κ_x/ε", (kappa_x / epsilon).subs(quasi), quasi_swing)
PROOF.equal("Its κ_y/ε", (kappa_y / epsilon).subs(quasi), quasi_sharpness)
PROOF.equal("As β → 1 at ν < 1 the swing keeps gradient descent's inertia", quasi_swing.subs(beta, 1), 1)
PROOF.equal(
    "while sharpness lags by (1 − β)κ_y/ε → 2ν",
    sp.cancel((1 - beta) * quasi_sharpness).subs(beta, 1),
    2 * nu,
)
PROOF.equal(
    "Aggregated momentum with momenta 0 and β is quasi-hyperbolic with ν = 1/(2 − β), at lr η(1 − β/2)/(1 − β)",
    lr / 2 * (1 / (z - 1) + z / ((z - 1) * (z - beta))),
    (quasi_hyperbolic * (1 - beta / 2) / (1 - beta)).subs(nu, 1 / (2 - beta)),
)
PROOF.equal(
    "Lookahead is quasi-hyperbolic with ν = 1 − γ(1 − β)/β, Nesterov's with ν = β, at lr η/(1 − β)",
    (z + gamma * (z - 1)) * heavy_ball / z,
    (quasi_hyperbolic / (1 - beta)).subs(nu, 1 - gamma * (1 - beta) / beta),
)

RESULTS = {
    "growth": rate * (1 - kappa_x),
    "max_displacement": largest,
    "amplification": amplification,
    "swing_inertia": kappa_x,
    "sharpness_inertia": kappa_y,
    "inertia_number": (kappa_x + 2 * kappa_y) / 3,
    "third_coefficient": overshoot_third,
    "quasi_hyperbolic_swing_inertia": epsilon * quasi_swing,
    "quasi_hyperbolic_sharpness_inertia": epsilon * quasi_sharpness,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
