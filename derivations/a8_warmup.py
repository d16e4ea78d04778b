"""Warmup delays a catapult: the oscillation that died below the threshold must grow back.

Statement. On a linear ramp of η at frozen sharpness S the relative excess is ε = ε̇t, t from the crossing.
(i)   A gradient noise σ per step makes the oscillation grow as if it had at the crossing the swing
          x_c = (ησ/(1 − β))(π/k)^{1/4},    k = 2(1 + β)ε̇/(1 − β)
      (root mean square; noise after the crossing included; geometric mean x_c e^{−(γ_E + ln 2)/2}).
(ii)  From A_c at the crossing it grows to
          A(ε) = A_c √((1 − β)/(λ − β/λ)) e^{I(ε)/ε̇} (1 + O(ε̇)),    λ + β/λ = (1 + β)(1 + 2ε),
          I(ε) = ∫_0^ε ln λ dε = (ε + ½)ln λ − (λ − β/λ − 1 + β)/(2(1 + β)).
(iii) The catapult starts where A reaches the saturation A_sat = √2y₀/b: to leading order in 1/ln(A_sat/x_c)
          I(ε_on) = ε̇ ln(A_sat/x_c),    ε̇ = S(η₁ − η₀)/(2(1 + β)W) for a ramp of W steps,
          ε_on = √(ε̇ ln(·)(1 − β)/(1 + β)),  κ_on = √(ε̇ ln(·))((1 + β)/(1 − β))^{3/2}    (κ_on ≪ 1),
          ε_on = (1.5 ε̇ ln(·)/√(2(1 + β)))^{2/3}                                       (κ_on ≫ 1, ε_on ≪ 1).
      So ε_on and, for κ_on ≪ 1, the drop 2y₀G(κ_on) fall as W^{−1/2}; for κ_on ≫ 1 as W^{−2/3}, and with G ~
      κ^{2/3} the drop as W^{−10/9}.

Assumptions. 0 <= β < 1, α = 0; √k ≪ 1 − β in (i); ε̇ → 0 at fixed ε in (ii).

Steps. The threshold along the ramp; the second moment of Ȧ = ktA + noise; P(ε)e^{I/ε̇} inserted into the
envelope's equation, order by order in ε̇; limits.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, noise, beta, ramp, sharpness, gain = sp.symbols("eta sigma beta v S Lambda", positive=True)  # v = ε̇
epsilon, start, end, W = sp.symbols("epsilon eta_0 eta_1 W", positive=True)
t, u = sp.symbols("t u", real=True)

# the ramp
crossing = 2 * (1 + beta) / sharpness
at_t = crossing + (end - start) / W * t
threshold = 2 * (1 + beta) / at_t
rate = sharpness * (end - start) / (2 * (1 + beta) * W)
PROOF.equal("ε = S/S* − 1 grows linearly", sharpness / threshold - 1, rate * t)

# (i) noise
k = 2 * (1 + beta) * ramp / (1 - beta)
PROOF.equal(
    "Slow limit (1 − β)Ȧ = ηyA, ηy = 2(1 + β)ε: Ȧ = ktA", 2 * (1 + beta) * ramp * t / (1 - beta), k * t
)
rate_k, kick = sp.symbols("k s", positive=True)  # kick = ησ/(1 − β)
moment = kick**2 * sp.exp(rate_k * t**2) * sp.Integral(sp.exp(-rate_k * u**2), (u, -sp.oo, t))
PROOF.equal(
    "The second moment obeys M' = 2ktM + s², s = ησ/(1 − β)",
    sp.diff(moment.doit(), t),
    2 * rate_k * t * moment.doit() + kick**2,
)
PROOF.equal(
    "Late it is s²√(π/k) e^{kt²}, as if from x_c² = s²√(π/k) without noise",
    sp.limit((moment / sp.exp(rate_k * t**2)).doit(), t, sp.oo),
    kick**2 * sp.sqrt(sp.pi / rate_k),
)
crossing_amplitude = lr * noise / (1 - beta) * (sp.pi / k) ** sp.Rational(1, 4)
xi = sp.symbols("xi", positive=True)
typical = sp.integrate(sp.log(xi) * sp.sqrt(2 / sp.pi) * sp.exp(-(xi**2) / 2), (xi, 0, sp.oo))
PROOF.equal("Mean of ln|ξ| of a standard normal ξ", typical, -(sp.EulerGamma + sp.log(2)) / 2)

# (ii) growth, by λ
size = sp.symbols("lambda", positive=True)
of_size = (size + beta / size) / (2 * (1 + beta)) - sp.Rational(1, 2)
width = size - beta / size
accumulated = (of_size + sp.Rational(1, 2)) * sp.log(size) - (width - 1 + beta) / (2 * (1 + beta))
PROOF.equal("ε by λ", size + beta / size, (1 + beta) * (1 + 2 * of_size))
PROOF.equal("dI = ln λ dε", sp.diff(accumulated, size), sp.log(size) * sp.diff(of_size, size))
PROOF.equal("I = 0 at the crossing, where λ = 1", accumulated.subs(size, 1), 0)
h = sp.symbols("h")
L, P = sp.Function("L")(epsilon), sp.Function("P")(epsilon)  # L = ln λ


def shifted(sign: int) -> sp.Expr:
    """Return A_{t±1}/e^{I/ε̇}, through first order in h = ε̇."""
    exponent = sign * L + h * sp.diff(L, epsilon) / 2
    return sp.series((P + sign * h * sp.diff(P, epsilon)) * sp.exp(exponent), h, 0, 2).removeO()


left = sp.expand(shifted(1) + beta * shifted(-1) - (1 + beta) * (1 + 2 * epsilon) * P)
PROOF.equal(
    "Envelope's equation at order ε̇⁰: λ + β/λ = (1 + β)(1 + 2ε)",
    left.coeff(h, 0),
    P * (sp.exp(L) + beta * sp.exp(-L) - (1 + beta) * (1 + 2 * epsilon)),
)
prefactor = (sp.exp(L) - beta * sp.exp(-L)) ** sp.Rational(-1, 2)
PROOF.equal("At order ε̇¹: P = (λ − β/λ)^{−1/2}", left.coeff(h, 1).subs(P, prefactor).doit(), 0)
amplitude = sp.sqrt((1 - beta) / width) * sp.exp(accumulated / ramp)
PROOF.equal("It is 1 at the crossing", amplitude.subs(size, 1), 1)

# (iii) onset
in_epsilon = (
    (1 + beta) * (1 + 2 * epsilon) + sp.sqrt((1 + beta) ** 2 * (1 + 2 * epsilon) ** 2 - 4 * beta)
) / 2
PROOF.equal(
    "λ by ε", sp.expand((size**2 - (1 + beta) * (1 + 2 * epsilon) * size + beta).subs(size, in_epsilon)), 0
)
d = sp.symbols("d", positive=True)  # λ − 1
PROOF.equal(
    "κ → 0: ε = (1 − β)d/(2(1 + β)) + O(d²), d = λ − 1",
    sp.series(of_size.subs(size, 1 + d), d, 0, 2).removeO(),
    (1 - beta) * d / (2 * (1 + beta)),
)
slow = sp.sqrt(ramp * gain * (1 - beta) / (1 + beta))
slow_growth = sp.series(accumulated.subs(size, 1 + d), d, 0, 3).removeO()
PROOF.equal(
    "so that I = ε²(1 + β)/(1 − β)",
    slow_growth,
    (1 + beta) / (1 - beta) * ((1 - beta) * d / (2 * (1 + beta))) ** 2,
)
PROOF.equal("and I = ε̇Λ, Λ = ln(A_sat/x_c), at", slow**2 * (1 + beta) / (1 - beta), ramp * gain)
kappa = slow * ((1 + beta) / (1 - beta)) ** 2
slow_kappa = sp.sqrt(ramp * gain) * ((1 + beta) / (1 - beta)) ** sp.Rational(3, 2)
PROOF.equal("κ_on", sp.powsimp((kappa / slow_kappa) ** 2), 1)
half_angle = sp.symbols("theta", positive=True)
PROOF.equal(
    "β → 1: λ = e^{2θ}, ε = sinh²θ",
    of_size.subs({beta: 1, size: sp.exp(2 * half_angle)}).rewrite(sp.exp),
    (sp.sinh(half_angle) ** 2).rewrite(sp.exp),
)
PROOF.equal(
    "and I/ε^{3/2} → 4/3 = (2/3)√(2(1 + β)) as ε → 0",
    sp.limit(
        accumulated.subs({beta: 1, size: sp.exp(2 * half_angle)}) / sp.sinh(half_angle) ** 3, half_angle, 0
    ),
    sp.Rational(2, 3) * sp.sqrt(2 * (1 + beta)).subs(beta, 1),
)
fast = (sp.Rational(3, 2) * ramp * gain / sp.sqrt(2 * (1 + beta))) ** sp.Rational(2, 3)
PROOF.equal("I = ε̇Λ at", sp.Rational(2, 3) * sp.sqrt(2 * (1 + beta)) * fast ** sp.Rational(3, 2), ramp * gain)

LARGE = sp.symbols("c", positive=True)  # of G → cκ^{2/3} (a5_overshoot)
slow_fall = 2 * sharpness * slow
fast_kappa = fast * ((1 + beta) / (1 - beta)) ** 2
fast_fall = 2 * sharpness * fast * LARGE * fast_kappa ** sp.Rational(2, 3)
limits = (
    (slow_fall, -sp.Rational(1, 2), "κ_on ≪ 1, G → 1"),
    (fast_fall, -sp.Rational(10, 9), "κ_on ≫ 1, G → cκ^{2/3}"),
)
for fall, exponent, which in limits:
    PROOF.equal(
        f"{which}: d ln(drop)/d ln W at fixed ln(A_sat/x_c)",
        W * sp.diff(sp.log(fall.subs(ramp, rate)), W),
        exponent,
    )

RESULTS = {
    "ramp_rate": rate,
    "crossing_amplitude": crossing_amplitude,
    "typical_factor": sp.exp(typical),
    "accumulated_growth": accumulated.subs(size, in_epsilon),
    "ramp_amplitude": amplitude.subs(size, in_epsilon),
    "slow_onset": slow,
    "slow_inertia_number": slow_kappa,
    "fast_onset": fast,
    "fast_inertia_number": fast_kappa,
    "slow_drop": slow_fall,
    "fast_drop": fast_fall,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
