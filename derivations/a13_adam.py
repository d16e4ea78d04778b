"""Adam's catapults: heavy ball's at a frozen preconditioner, and what a moving one adds.

Statement. With m ← β₁m + (1 − β₁)g, P = √v and w ← w − ηm/P:
(a) at a frozen P Adam is heavy ball of momentum β = β₁ and learning rate h = η(1 − β₁)/P of each weight;
(b) while gradients are small beside √v, P fades as β₂^{t/2}: the relative excess of the preconditioned sharpness rises
    by (1 − β₂)/2 per step, as in a warmup;
(c) in a catapult of the cubic model the swing raises P. Of the fall of the preconditioned sharpness the share R/(1 + R)
    is P's,
        R = (1 − β₂)(1 − β)S*⁴/(2(1 + β)b²v₀),    S* = 2(1 + β)√v₀/((1 − β)η).
    The fall is still 2y₀ in the slow limit, and the swing smaller by √(1 + R);
(d) to first order the overshoot is G = 1 + κ_A,
        κ_A = κ{[1 + 2(1 − Rρ²)/(1 + R)]/3 − ρ²R(4/3 + R)/(1 + R)²},    κ = ε/ρ²,    ρ = (1 − β)/(1 + β).

Assumptions. 0 <= β < 1, ε > 0, nothing added to √v; (1 − β₂) ≪ ερ for (c) and (d), so that v does not fade within
the catapult; the weights beside the swinging one move P by ε² only.

Steps. Eliminate m. P takes each gradient at once, so that its part of the fall has no inertia: the delays of both parts
enter the energy's integrals on the slow orbit. What is left is that S/√v is not linear in its two parts.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, beta2, b, v0, epsilon, R, P, P1, S = sp.symbols(
    "eta beta beta_2 b v_0 epsilon R P P_1 S", positive=True
)
w, w_before, gradient, delta, D, t, u = sp.symbols("w w_before g delta D t u")

# (a) and the exact step of a moving P
mean = -P * (w - w_before) / lr  # of the step before, w = w_before − ηm/P
after = w - lr * (beta * mean + (1 - beta) * gradient) / P1
step = lr * (1 - beta) / P
PROOF.equal(
    "Adam's step without m",
    after - w,
    beta * (P / P1) * (w - w_before) - lr * (1 - beta) / P1 * gradient,
)
PROOF.equal(
    "At a frozen P it is heavy ball's with h = η(1 − β)/P",
    (after - w).subs(P1, P),
    beta * (w - w_before) - step * gradient,
)
PROOF.equal(
    "Threshold of the preconditioned sharpness", 2 * (1 + beta) / step / P, 2 * (1 + beta) / ((1 - beta) * lr)
)

# (b)
fading = -sp.log(beta2) / 2
PROOF.equal("P of a fading v", sp.sqrt(v0 * beta2**t), sp.sqrt(v0) * sp.exp(-fading * t))
PROOF.equal("Its rate, 1 − β₂ small", sp.series(fading.subs(beta2, 1 - u), u, 0, 2).removeO(), u / 2)

corrected = sp.sqrt(v0 * beta2**t / (1 - beta2**t))
PROOF.equal(
    "With bias correction P falls the faster the younger v is",
    -sp.diff(sp.log(corrected), t),
    -sp.log(beta2) / (2 * (1 - beta2**t)),
)

# (c)
h = lr * (1 - beta) / sp.sqrt(v0)
threshold = 2 * (1 + beta) / h
by_curvature = h * b**2 / (2 * (1 - beta))  # of y per A², slow limit of A3
by_preconditioner = threshold * (1 - beta2) * threshold**2 / (2 * v0)  # S*·δv/(2v₀) with g² = S*²A²
share = (1 - beta2) * (1 - beta) * threshold**4 / (2 * (1 + beta) * b**2 * v0)
PROOF.equal("R is the quotient of both falls of the sharpness", by_preconditioner / by_curvature, share)
orbit_a, orbit_y = sp.sqrt(2) / sp.cosh(t), -sp.tanh(t)
PROOF.equal("Slow orbit: a' = ya", sp.diff(orbit_a, t), orbit_y * orbit_a)
PROOF.equal("Slow orbit: y' = −a²/2, both parts together", sp.diff(orbit_y, t), -(orbit_a**2) / 2)

# (d) delays: D·T(e^D) = c(1 − τD) of what a squared swing adds to either part
rho = (1 - beta) / (1 + beta)


def delay(response: sp.Expr) -> sp.Expr:
    """Return τ of the sum that answers a push by `response` a step."""
    series = sp.series(D * response, D, 0, 2).removeO()
    return sp.simplify(-series.coeff(D, 1) / series.coeff(D, 0))


of_curvature = delay(sp.exp(D) / ((sp.exp(D) - 1) * (sp.exp(D) - beta)))
at_once = delay(sp.exp(D) / (sp.exp(D) - 1))
PROOF.equal("Delay of the curvature's part", of_curvature, 1 / (2 * rho))
PROOF.equal("Delay of v: the step divides by it with its own gradient in it", at_once, -sp.Rational(1, 2))
characteristic = (
    sp.symbols("z") ** 2 - (1 + beta * (1 - delta) - h * S) * sp.symbols("z") + beta * (1 - delta)
)
flips = sp.solve(characteristic.subs(sp.symbols("z"), -1), S)[0]
PROOF.equal(
    "While P grows by δ a step, momentum is β(1 − δ): the relative threshold moves by −βδ/(1 + β)",
    flips / threshold - 1,
    -beta * delta / (1 + beta),
)
of_preconditioner = at_once + beta / (1 + beta)
PROOF.equal("Delay of the preconditioner's part, with that", of_preconditioner, -rho / 2)
slowness = rho / 2  # σ of ln|λ| = ε/σ
kappa = epsilon / rho**2
PROOF.equal("Inertia of the curvature's part", epsilon * of_curvature / slowness, kappa)
PROOF.equal("Inertia of the preconditioner's part", epsilon * of_preconditioner / slowness, -kappa * rho**2)
kappa_y = (kappa - R * kappa * rho**2) / (1 + R)

x = sp.Symbol("x", positive=True)
# tanh t = x, dt = dx/(1 − x²): y' = −(1 − x²), a'² = 2x²(1 − x²)
PROOF.equal("Slope of the slow orbit's y", sp.diff(orbit_y, t), -(1 - sp.tanh(t) ** 2))
PROOF.equal("Slope of its a, squared", sp.diff(orbit_a, t) ** 2, 2 * sp.tanh(t) ** 2 * (1 - sp.tanh(t) ** 2))
integral_y = sp.integrate(1 - x**2, (x, -1, 1))
integral_a = sp.integrate(2 * x**2, (x, -1, 1))
gain = kappa_y * integral_y + kappa / 2 * integral_a  # of y²/2 + a²/4, by parts
PROOF.equal("Energy that the delays give", gain, sp.Rational(4, 3) * kappa_y + sp.Rational(2, 3) * kappa)
from_delays = gain / 2  # y_f = −(1 + gain), drop = 2 + gain
PROOF.equal("Overshoot of the delays", from_delays, (kappa + 2 * kappa_y) / 3)

# S/√v in its two parts: u is the sum of squared swings, in units in which the fall is 1 a unit
r, p = R / (1 + R), 1 / (1 + R)
zeta = epsilon - p * u
nu = 2 * r * sp.integrate(1 + 2 * zeta, (u, 0, u))  # gradients are S x, and S changes
excess = (1 + zeta) * (1 - nu / 2 + 3 * nu**2 / 8) - 1
small = sp.Symbol("small", positive=True)
second = sp.expand(
    sp.series(sp.expand(excess.subs({epsilon: small * epsilon, u: small * u})), small, 0, 3).removeO()
)
PROOF.equal("Excess to first order", second.coeff(small, 1), epsilon - u)
bent = sp.simplify(second.coeff(small, 2).coeff(u, 2))
PROOF.equal("Its bend", bent, 2 * r * p + sp.Rational(3, 2) * r**2)
# The swing is 0 again where ∫y du = 0; a slope beside 1 rescales u only.
end = 2 * epsilon + sp.Rational(8, 3) * bent * epsilon**2
area = sp.integrate(epsilon - u + bent * u**2, (u, 0, end))
scaled = sp.series(area.subs(epsilon, small * epsilon), small, 0, 4).removeO()
PROOF.equal("The swing has died there, to third order", sp.expand(scaled), 0)
fall = sp.series((end - bent * end**2).subs(epsilon, small * epsilon), small, 0, 3).removeO().subs(small, 1)
from_bend = sp.simplify(fall / (2 * epsilon) - 1)
PROOF.equal("Overshoot of the bend", from_bend, -sp.Rational(2, 3) * bent * epsilon)

inertia = kappa * (
    (1 + 2 * (1 - R * rho**2) / (1 + R)) / 3 - rho**2 * R * (sp.Rational(4, 3) + R) / (1 + R) ** 2
)
PROOF.equal("κ_A, of the delays and the bend", from_delays + from_bend, inertia)
PROOF.equal("Without P's share it is κ", inertia.subs(R, 0), kappa)
PROOF.equal(
    "Where P does all, and β is near 1, a third is left",
    sp.limit(sp.limit(sp.simplify(inertia / kappa), beta, 1), R, sp.oo),
    sp.Rational(1, 3),
)

RESULTS = {
    "fading_rate": fading / (1 - beta2**t),
    "preconditioner_share": share,
    "adaptive_inertia_number": inertia,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
