"""Warmup delays a catapult: the oscillation that died below the threshold must grow back.

Statement. On a linear ramp of η at frozen sharpness S the relative excess is ε = ε̇t, t from the crossing.
(i)   A gradient noise σ per step makes the oscillation grow as if it had at the crossing the swing
          x_c = (ησ/(1 − β))(π/k)^{1/4},    k = 2(1 + β)ε̇/(1 − β)
      (root mean square; noise after the crossing included; geometric mean x_c e^{−(γ_E + ln 2)/2}).
(ii)  From A_c at the crossing it grows to
          A(ε) = A_c √((1 − β)/(λ − β/λ)) e^{I(ε)/ε̇} (1 + O(ε̇)),    λ + β/λ = (1 + β)(1 + 2ε),
          I(ε) = ∫_0^ε ln λ dε = (ε + ½)ln λ − (λ − β/λ − 1 + β)/(2(1 + β)).
(iii) The catapult starts where A reaches the saturation A_sat = √2y₀/b. With Λ = ln(A_sat/x_c), to leading order in 1/Λ
          I(ε_on) = ε̇Λ,    ε̇ = S(η₁ − η₀)/(2(1 + β)W) for a ramp of W steps,
          ε_on = √(ε̇Λ(1 − β)/(1 + β)),  κ_on = √(ε̇Λ)((1 + β)/(1 − β))^{3/2}    (κ_on ≪ 1),
          ε_on = (1.5 ε̇Λ/√(2(1 + β)))^{2/3}                                    (κ_on ≫ 1, ε_on ≪ 1).
      So ε_on and, for κ_on ≪ 1, the drop 2y₀G(κ_on) fall as W^{−1/2}; for κ_on ≫ 1 as W^{−2/3}, and with G ~
      κ^{2/3} the drop as W^{−10/9}.

Assumptions. 0 <= β < 1, α = 0; √k ≪ 1 − β in (i); ε̇ → 0 at fixed ε in (ii).

Steps. The threshold along the ramp; the second moment of Ȧ = ktA + noise; P(ε)e^{I/ε̇} inserted into the
envelope's equation, order by order in ε̇; limits.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, noise, beta, sharpness, gain = sp.symbols("eta sigma beta S Lambda", positive=True)
ramp, threshold = sp.symbols("epsilondot S_star", positive=True)
epsilon, start, end, W = sp.symbols("epsilon eta_0 eta_1 W", positive=True)
t, u = sp.symbols("t u", real=True)

# the ramp
crossing = 2 * (1 + beta) / sharpness
at_t = crossing + (end - start) / W * t
rate = sharpness * (end - start) / (2 * (1 + beta) * W)
PROOF.equal(
    "From the crossing on, η is 2(1 + β)/S + (η₁ − η₀)t/W and S* = 2(1 + β)/η. So ε = S/S* − 1 is ε̇t",
    sharpness / threshold - 1,
    rate * t,
    where={threshold: 2 * (1 + beta) / at_t},
)

# (i) noise
k = 2 * (1 + beta) * ramp / (1 - beta)
rate_k, kick, velocity, swing = sp.symbols("k s Adot A", positive=True)  # kick = ησ/(1 − β)
slow_limit = (1 - beta) * velocity - 2 * (1 + beta) * ramp * t * swing
PROOF.equal(
    "The slow limit is (1 − β)Ȧ = ηyA. With ηy = 2(1 + β)ε and ε = ε̇t it is Ȧ = ktA",
    rate_k * t,
    k * t,
    where={rate_k: sp.solve(slow_limit, velocity)[0] / (swing * t)},
)
M = sp.Function("M")(t)
moment = kick**2 * sp.exp(rate_k * t**2) * sp.Integral(sp.exp(-rate_k * u**2), (u, -sp.oo, t))
PROOF.equal(
    "Noise adds s², s = ησ/(1 − β), per step to the second moment M of A. So "
    "M = s²e^{kt²}∫e^{−ku²}du, from −∞ to t, obeys",
    sp.Derivative(M, t),
    2 * rate_k * t * M + kick**2,
    where={M: moment.doit()},
)
PROOF.equal(
    "Without noise a swing x_c at the crossing has M = x_c²e^{kt²}. Late in the ramp x_c² = s²√(π/k) gives the same",
    sp.Limit(M / sp.exp(rate_k * t**2), t, sp.oo, "-"),
    kick**2 * sp.sqrt(sp.pi / rate_k),
    where={M: moment.doit()},
)
crossing_amplitude = lr * noise / (1 - beta) * (sp.pi / k) ** sp.Rational(1, 4)
xi = sp.symbols("xi", positive=True)
log_of_normal = sp.Integral(sp.log(xi) * sp.sqrt(2 / sp.pi) * sp.exp(-(xi**2) / 2), (xi, 0, sp.oo))
typical = log_of_normal.doit()
PROOF.equal(
    "The swing is x_cξ with a standard normal ξ. Its geometric mean follows from the mean of ln|ξ|, γ being γ_E",
    log_of_normal,
    -(sp.EulerGamma + sp.log(2)) / 2,
)

# (ii) growth, by λ
size = sp.symbols("lambda", positive=True)
I_of, epsilon_of = sp.Function("I"), sp.Function("epsilon")
of_size = (size + beta / size) / (2 * (1 + beta)) - sp.Rational(1, 2)
width = size - beta / size
accumulated = (of_size + sp.Rational(1, 2)) * sp.log(size) - (width - 1 + beta) / (2 * (1 + beta))
PROOF.equal(
    "A mode λ^t of the envelope's equation at a fixed ε obeys this, which gives ε by λ",
    size + beta / size,
    (1 + beta) * (1 + 2 * epsilon),
    where={epsilon: of_size},
)
PROOF.equal(
    "By λ, dI = ln λ dε",
    sp.Derivative(I_of(size), size),
    sp.log(size) * sp.Derivative(epsilon_of(size), size),
    where={I_of(size): accumulated, epsilon_of(size): of_size},
)
PROOF.equal("It is 0 at the crossing, where λ = 1", I_of(1), 0, where={I_of(1): accumulated.subs(size, 1)})
h = sp.symbols("h")
L, P = sp.Function("L")(epsilon), sp.Function("P")(epsilon)  # L = ln λ


def shifted(sign: int) -> sp.Expr:
    """Return A_{t±1}/e^{I/ε̇}, through first order in h = ε̇."""
    exponent = sign * L + h * sp.diff(L, epsilon) / 2
    return sp.series((P + sign * h * sp.diff(P, epsilon)) * sp.exp(exponent), h, 0, 2).removeO()


left = sp.expand(shifted(1) + beta * shifted(-1) - (1 + beta) * (1 + 2 * epsilon) * P)
of_order_0, of_order_1, plain_P = sp.symbols("E_0 E_1 P")
PROOF.equal(
    "Insert A_t = P(ε)e^{I/ε̇} into the envelope's equation A_{t+1} + βA_{t−1} − (1 + β)(1 + 2ε)A_t = 0, and divide by "
    "e^{I/ε̇}. Its part of order ε̇⁰, E₀, vanishes because λ + β/λ = (1 + β)(1 + 2ε)",
    of_order_0,
    plain_P * (size + beta / size - (1 + beta) * (1 + 2 * epsilon)),
    where={of_order_0: left.coeff(h, 0), plain_P: P, size: sp.exp(L)},
)
w = sp.Function("w")(epsilon)  # λ − β/λ
transport = w * sp.Derivative(P, epsilon) + P * sp.Derivative(w, epsilon) / 2
PROOF.equal(
    "Its part of order ε̇¹, with w = λ − β/λ, is",
    of_order_1,
    transport,
    where={of_order_1: left.coeff(h, 1), w: sp.exp(L) - beta * sp.exp(-L)},
)
PROOF.equal("It vanishes for P = w^{−1/2}", transport, 0, where={P: w ** sp.Rational(-1, 2)})
amplitude = sp.sqrt((1 - beta) / width) * sp.exp(accumulated / ramp)
A_of, at_crossing = sp.Function("A"), sp.symbols("A_c", positive=True)
PROOF.equal(
    "At the crossing, where λ = 1, w is 1 − β. So A = A_c√((1 − β)/w)e^{I/ε̇} starts at A_c",
    A_of(1),
    at_crossing,
    where={A_of(1): at_crossing * amplitude.subs(size, 1)},
)

# (iii) onset
in_epsilon = (
    (1 + beta) * (1 + 2 * epsilon) + sp.sqrt((1 + beta) ** 2 * (1 + 2 * epsilon) ** 2 - 4 * beta)
) / 2
PROOF.equal(
    "λ by ε is the larger root, ½(1 + β)(1 + 2ε) + ½√((1 + β)²(1 + 2ε)² − 4β), of",
    size**2 - (1 + beta) * (1 + 2 * epsilon) * size + beta,
    0,
    where={size: in_epsilon},
)
d = sp.symbols("d", positive=True)  # λ − 1
by_d = {epsilon_of(d): of_size.subs(size, 1 + d), I_of(d): accumulated.subs(size, 1 + d)}
PROOF.equal(
    "κ_on ≪ 1: d = λ − 1 is small, and ε is proportional to it",
    sp.Limit(epsilon_of(d) / d, d, 0),
    (1 - beta) / (2 * (1 + beta)),
    where=by_d,
)
slow = sp.sqrt(ramp * gain * (1 - beta) / (1 + beta))
PROOF.equal(
    "So I = ε²(1 + β)/(1 − β) to leading order",
    sp.Limit(I_of(d) / epsilon_of(d) ** 2, d, 0),
    (1 + beta) / (1 - beta),
    where=by_d,
)
onset, onset_kappa = sp.symbols("epsilon_on kappa_on", positive=True)
PROOF.equal(
    "It is ε̇Λ, Λ = ln(A_sat/x_c), at ε_on = √(ε̇Λ(1 − β)/(1 + β))",
    onset**2 * (1 + beta) / (1 - beta),
    ramp * gain,
    where={onset: slow},
)
kappa = slow * ((1 + beta) / (1 - beta)) ** 2
slow_kappa = sp.sqrt(ramp * gain) * ((1 + beta) / (1 - beta)) ** sp.Rational(3, 2)
PROOF.equal(
    "There the inertia number κ_on = ε_on((1 + β)/(1 − β))² is √(ε̇Λ)((1 + β)/(1 − β))^{3/2}",
    onset_kappa**2,
    slow_kappa**2,
    where={onset_kappa: kappa},
)
half_angle = sp.symbols("theta", positive=True)
at_beta_1 = {beta: 1, size: sp.exp(2 * half_angle)}
PROOF.equal(
    "κ_on ≫ 1: β → 1. With λ = e^{2θ}",
    epsilon,
    sp.sinh(half_angle) ** 2,
    where={epsilon: of_size.subs(at_beta_1)},
)
by_angle = {I_of(half_angle): accumulated.subs(at_beta_1), epsilon_of(half_angle): sp.sinh(half_angle) ** 2}
PROOF.equal(
    "So I = (2/3)√(2(1 + β))ε^{3/2} to leading order, where (2/3)√(2(1 + β)) is 4/3 at β = 1",
    sp.Limit(I_of(half_angle) / epsilon_of(half_angle) ** sp.Rational(3, 2), half_angle, 0),
    sp.Rational(2, 3) * sp.sqrt(2 * (1 + beta)).subs(beta, 1),
    where=by_angle,
)
fast = (sp.Rational(3, 2) * ramp * gain / sp.sqrt(2 * (1 + beta))) ** sp.Rational(2, 3)
PROOF.equal(
    "It is ε̇Λ at ε_on = (1.5 ε̇Λ/√(2(1 + β)))^{2/3}",
    sp.Rational(2, 3) * sp.sqrt(2 * (1 + beta)) * onset ** sp.Rational(3, 2),
    ramp * gain,
    where={onset: fast},
)

LARGE = sp.symbols("c", positive=True)  # of G → cκ^{2/3} (a5_overshoot)
slow_fall = 2 * sharpness * slow
fast_kappa = fast * ((1 + beta) / (1 - beta)) ** 2
fast_fall = 2 * sharpness * fast * LARGE * fast_kappa ** sp.Rational(2, 3)
drop = sp.Function("D")(W)
for fall, exponent, which in (
    (slow_fall, -sp.Rational(1, 2), "κ_on ≪ 1, where G → 1: "),
    (fast_fall, -sp.Rational(10, 9), "κ_on ≫ 1, where G → cκ^{2/3}: "),
):
    PROOF.equal(
        f"{which}as a power of W at fixed Λ, the drop D = 2Sε_onG(κ_on) has the exponent",
        W * sp.Derivative(sp.log(drop), W),
        exponent,
        where={drop: fall.subs(ramp, rate)},
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
