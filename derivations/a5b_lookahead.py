"""The overshoot with lookahead, Nesterov's method among it: the envelope has two inertias.

Statement. For w_{t+1} = w_t − η∇L(w_t + γ(w_t − w_{t−1})) + β(w_t − w_{t−1}) on the cubic model about S* =
2(1 + β)/(η(1 + 2γ)), x_t = (−1)^t A_t gives exactly
    A_{t+1} − A_t − β_e(A_t − A_{t−1}) = ηỹ_tÃ_t,    y_{t+1} − y_t − β(y_t − y_{t−1}) = η(α − b²Ã_t²/2),
    β_e = (β − 2γ)/(1 + 2γ),    Ã_t = (1 + 2γ)A_t − γ(A_t − A_{t−1}),    ỹ_t = y_t + γ(y_t − y_{t−1}).
The slow limit has the rate μ = py₀ per step, p = η(1 + 2γ)²/(1 + 4γ − β), or μ = 2(1 + β)(1 + 2γ)ε/(1 + 4γ
− β), and the largest swing (√2y₀/b)√((1 − β)/(1 + 4γ − β)). For α = 0 sharpness drops by 2y₀G,
    G = 1 + κ_e + 2κ_e² + G₃μ³ + O(μ⁴),
    κ_e = (μ/3)[γ/(1 + 2γ) − 2γ + (1 + β)/(1 − β) + (1 + β)/(2(1 + 4γ − β))].
G depends on κ_e alone up to second order; G₃/(κ_e/μ)³ depends on β and γ, also as β → 1. The bracket is
positive for 0 <= γ <= β; as γ grows further it changes sign once, and the drop falls below 2y₀. As β → 1
with γ > 0 fixed only y keeps an inertia, κ_y = 3κ_e/2, and
    G ~ κ_y/C²    (κ_y → ∞; C = 0.87575 by computation: −C is the end of the half-jet f''' + ff'' = 0,
                   f'(−∞) = 0, f'(∞) = 1).

Assumptions. 0 <= β < 1, γ > −(1 − β)/4 (the flip is the first instability); α = 0 and an infinitesimal
initial oscillation for G; formal series in μ.

Steps. Insert x_t = (−1)^t A_t. Expand e^D − 1 − β(1 − e^{−D}) and 1 − e^{−D}, D = μd. First order by energy on
the sech/tanh orbit; second by the involution |y₀| → |y_f| (a first integral has the same value at both ends,
so the map of one end on the other is its own inverse); third on the slow manifold, as in a5_overshoot.
"""

import sympy as sp
from sympy.polys.rings import PolyElement, ring

from .proof import Proof

PROOF = Proof(__doc__)

lr, alpha, b, y0, epsilon = sp.symbols("eta alpha b y_0 epsilon", positive=True)
beta, gamma = sp.symbols("beta gamma", real=True)
t = sp.symbols("t", integer=True)
A, A_next, A_previous, y, y_previous = sp.symbols("A A_next A_previous y y_previous")

# the envelope
threshold = 2 * (1 + beta) / (lr * (1 + 2 * gamma))
sign = (-1) ** t
x, x_previous = sign * A, -sign * A_previous
seen_x, seen_y = x + gamma * (x - x_previous), y + gamma * (y - y_previous)
envelope_momentum = (beta - 2 * gamma) / (1 + 2 * gamma)
seen_A = (1 + 2 * gamma) * A - gamma * (A - A_previous)
PROOF.equal("The gradient is taken at x̃ = (−1)^t Ã", seen_x, sign * seen_A)
PROOF.equal(
    "x_{t+1} = −(−1)^t A_{t+1} minus its update is −(−1)^t times the envelope's equation",
    -sign * A_next - (x - lr * (threshold + seen_y) * seen_x + beta * (x - x_previous)),
    -sign * (A_next - A - envelope_momentum * (A - A_previous) - lr * seen_y * seen_A),
)
PROOF.equal("x̃² = Ã²: y keeps its momentum β", seen_x**2, seen_A**2)

# the slow limit
friction = (1 - envelope_momentum) * (1 + 2 * gamma)
PROOF.equal("Friction of A: (1 + 2γ)(1 − β_e)", friction, 1 + 4 * gamma - beta)
p = lr * (1 + 2 * gamma) ** 2 / (1 + 4 * gamma - beta)
A_dot = lr * y * (1 + 2 * gamma) * A / (1 - envelope_momentum)
y_dot = -lr * b**2 * ((1 + 2 * gamma) * A) ** 2 / (2 * (1 - beta))
PROOF.equal("Slow limit of A: Ȧ = pyA", A_dot, p * y * A)
largest = sp.sqrt(2) * y0 / b * sp.sqrt((1 - beta) / (1 + 4 * gamma - beta))
energy = y**2 / 2 + (y0 * A / largest) ** 2 / 2
PROOF.equal(
    "dH/dt = 0, H = y²/2 + y₀²A²/(2A_max²): the swing at y = 0 is A_max",
    sp.diff(energy, y) * y_dot + sp.diff(energy, A) * A_dot,
    0,
)
mu = 2 * (1 + beta) * (1 + 2 * gamma) * epsilon / (1 + 4 * gamma - beta)
PROOF.equal("Rate by the relative excess, y₀ = εS*", p * epsilon * threshold, mu)

# the operators, in units in which the slow limit is a' = ya, y' = −a²/2
D = sp.symbols("D")
in_y, in_a = (1 + beta) / (1 - beta), (1 + beta) / (1 + 4 * gamma - beta)
ahead = gamma / (1 + 2 * gamma)
for name, momentum, ratio in (("y", beta, in_y), ("A", envelope_momentum, in_a)):
    operator = sp.series(sp.exp(D) - 1 - momentum * (1 - sp.exp(-D)), D, 0, 5).removeO() / (1 - momentum)
    PROOF.equal(
        f"Operator of {name} over its friction: even terms are (1+β)/(1−β) times as large, with its own β",
        sp.expand(operator),
        sum(D**n / sp.factorial(n) * (1 if n % 2 else ratio) for n in range(1, 5)),
    )
PROOF.equal("Ã over (1 + 2γ)", seen_A / (1 + 2 * gamma), A - ahead * (A - A_previous))

# first order, by energy
m, r, q, c, g = sp.symbols("mu r q c g", positive=True)  # c = γ, g = γ/(1+2γ)
tau = sp.symbols("tau", real=True)
orbit_a, orbit_y = sp.sqrt(2) * sp.sech(tau), -sp.tanh(tau)
slope_a, slope_y = sp.diff(orbit_a, tau), sp.diff(orbit_y, tau)
gain_a = -q / 2 * sp.diff(slope_a, tau) + c * slope_y * orbit_a - g * orbit_y * slope_a
gain_y = -r / 2 * sp.diff(slope_y, tau) + g * orbit_a * slope_a
T = sp.symbols("T", real=True)
power = orbit_y * gain_y + orbit_a / 2 * gain_a
in_T = (r - q + c + g) * T**2 + q / 2 - c
PROOF.equal(
    "Rate of K = y²/2 + a²/4 over μ, T = tanh τ",
    power.rewrite(sp.exp),
    (in_T * (1 - T**2)).subs(T, sp.tanh(tau)).rewrite(sp.exp),
)
bracket = g - 2 * c + r + q / 2
PROOF.equal(
    "Its integral over the orbit, dτ = dT/(1 − T²): K grows by 2κ_e, so that G = 1 + κ_e",
    sp.Integral(in_T, (T, -1, 1)),
    sp.Rational(2, 3) * bracket,
)

# third order, on the slow manifold
ORDER = 3
R, S, Y, IN_Y, IN_A, AHEAD, SHARE = ring("S, y, r, q, c, g", sp.QQ)  # S = a²
LEADING = Y**2 + S / 2


def along(F: PolyElement, f: PolyElement, P: PolyElement) -> PolyElement:
    """Return the derivative of P(a², y) along a' = aF, y' = f."""
    return 2 * S * F * P.diff(S) + f * P.diff(Y)


def slow_flow(order: int) -> tuple[list[PolyElement], list[PolyElement]]:
    """Return F_j and f_j of a' = a Σ μ^j F_j, y' = Σ μ^j f_j."""
    F, f = [Y], [-S / 2]
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
        seen_a = [R(1), *(-SHARE * value for value in steps_back(of_a, m))]
        seen_y = [Y, *(AHEAD * value for value in steps_back(of_y, m))]
        push_a = sum((seen_y[i] * seen_a[m - i] for i in range(m + 1)), R(0))
        push_y = -S / 2 * sum((seen_a[i] * seen_a[m - i] for i in range(m + 1)), R(0))
        F.append(push_a - sum((even(n, IN_A) * of_a[n][m - n + 1] for n in range(2, m + 2)), R(0)))
        f.append(push_y - sum((even(n, IN_Y) * of_y[n][m - n + 1] for n in range(2, m + 2)), R(0)))
    return F, f


def even(n: int, ratio: PolyElement) -> PolyElement:
    """Return the operator's n-th coefficient."""
    return (R(1) if n % 2 else ratio) / int(sp.factorial(n))


def steps_back(derivatives: dict[int, list[PolyElement]], order: int) -> list[PolyElement]:
    """Return the orders 1, ..., `order` of (1 − e^{−D}) applied."""
    return [
        sum((-((-1) ** n) * derivatives[n][m - n] / int(sp.factorial(n)) for n in range(1, m + 1)), R(0))
        for m in range(1, order + 1)
    ]


def first_integral(F: list[PolyElement], f: list[PolyElement]) -> list[PolyElement]:
    """Return H_j with Σ μ^j H_j conserved: along −(S/2)∂_y, at fixed h, H_n gains what the others lose."""
    H = [LEADING]
    for n in range(1, len(F)):
        source = -sum((along(F[j], f[j], H[n - j]) for j in range(1, n + 1)), R(0))
        in_h = source.exquo(S).compose(S, 2 * (S - Y**2))  # from here the first variable is h
        integral = R.from_dict({(i, j + 1, *k): -2 * v / (j + 1) for (i, j, *k), v in in_h.terms()})
        H.append(integral.compose(S, LEADING))
    return H


F, f = slow_flow(ORDER)
H = first_integral(F, f)
PROOF.true(
    f"H is conserved by the slow flow through μ^{ORDER}",
    all(sum((along(F[j], f[j], H[n - j]) for j in range(n + 1)), R(0)) == 0 for n in range(ORDER + 1)),
)

# the end of the orbit: on a = 0, H_n is proportional to yⁿ⁺²
on_axis = sp.symbols("h_1:4")
end = sp.symbols("m_1:4")
last = 1 + sum(unknown * m**n for n, unknown in enumerate(end, 1))
ends = sum(h * m**n * (1 - (-1) ** n * last ** (n + 2)) for n, h in enumerate((1, *on_axis)))
solved: dict[sp.Symbol, sp.Expr] = {}
for n, unknown in enumerate(end, 1):
    equation = sp.expand(ends.subs(solved)).coeff(m, n)
    solved[unknown] = sp.expand(sp.solve(equation, unknown)[0])
values = {h: P.as_expr(0, 1, r, q, c, g) for h, P in zip(on_axis, H[1:], strict=True)}
first, second, third = (sp.expand(solved[unknown].subs(values) / 2) for unknown in end)
PROOF.equal("First order: the bracket of the energy integral", first, bracket / 3)
PROOF.equal("Second order: 2κ_e², as the involution says", second, 2 * first**2)
alone = {c: 0, g: 0}
PROOF.equal(
    "Third order at γ = 0: (1 + (7/3)ρ²)κ³, ρ = 1/r, as in a5_overshoot",
    third.subs(alone).subs(q, r),
    (1 + sp.Rational(7, 3) / r**2) * (r / 2) ** 3,
)
PROOF.equal(
    "Third order with an inertia of y alone (β → 1, γ fixed): (4/5)κ_e³, not κ_e³",
    third.coeff(r, 3),
    sp.Rational(4, 5) * first.coeff(r, 1) ** 3,
)

# sign of the bracket
names = {r: in_y, q: in_a, c: gamma, g: ahead}
in_bracket = bracket.subs(names)
PROOF.equal(
    "The bracket's slope in γ: negative where γ >= 0, as 1/(1 + 2γ)² <= 1",
    sp.diff(in_bracket, gamma),
    1 / (1 + 2 * gamma) ** 2 - 2 - 2 * (1 + beta) / (1 + 4 * gamma - beta) ** 2,
)
at_nesterov = sp.Poly(sp.numer(sp.together(in_bracket.subs(gamma, beta))), beta)
PROOF.true(
    "Nesterov's bracket has no zero for 0 <= β <= 1 and is 3/2 at β = 0: it is positive for 0 <= γ <= β",
    at_nesterov.count_roots(0, 1) == 0 and in_bracket.subs(gamma, beta).subs(beta, 0) == sp.Rational(3, 2),
)
PROOF.equal("It falls without end: bracket/γ → −2", sp.limit(in_bracket / gamma, gamma, sp.oo), -2)

# large κ_y
C, s = sp.symbols("C s", positive=True)
half_jet = sp.Function("f")
of_tau = -half_jet(2 * tau / C) / C
PROOF.equal(
    "κ_y y'' = −a²/2 and a' = ya give y''' = 2yy''; with y = −f(2τ/C)/C that is f''' + ff'' = 0",
    (sp.diff(of_tau, tau, 3) - 2 * of_tau * sp.diff(of_tau, tau, 2)).doit().subs(tau, C * s / 2).doit(),
    -(8 / C**4) * (sp.diff(half_jet(s), s, 3) + half_jet(s) * sp.diff(half_jet(s), s, 2)),
)
PROOF.equal(
    "y' = −(2/C²)f' ends at −2/C²; friction stops it κ_y further down, so that 2G = 2κ_y/C²",
    sp.diff(of_tau, tau).doit().subs(tau, C * s / 2).doit(),
    -2 / C**2 * sp.diff(half_jet(s), s),
)

inertia = mu / 3 * in_bracket
RESULTS = {
    "envelope_momentum": envelope_momentum,
    "rate": mu,
    "max_displacement": largest,
    "inertia_number": inertia,
    "third_coefficient": third.subs(names),
    "overshoot": 1 + inertia + 2 * inertia**2 + third.subs(names) * mu**3,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
