"""The edge of stability for every linear optimizer: cycles, warmup's delay, two-cycles and noise of the curvature.

Statement. With the numbers of a11_linear (S*, c₀, σ, a₂, τ) of any w = −T(q)∇L:
(i)   Cycles at the edge, on the cubic model with α > 0: the balance A² = δ², y = 0 is the same for all; small cycles
      have the angular frequency ω = √(2αc₀/(σS*)) per step and grow by exp(2πκ) a cycle, κ = (κ_x + κ_y)/2 with
      the inertias at the rate ω, κ_x = ω(σ − a₂/σ) and κ_y = ωτ: cycles weigh both alike, a catapult as (κ_x + 2κ_y)/3.
(ii)  Warmup: where the excess rises by ε' per step, gradient noise of deviation s leaves the amplitude
      x_c = (s/(σS*))(πσ/ε')^{1/4} at the crossing, and a gain Λ is reached at the excess √(2σε'Λ).
(iii) Two-cycles are gradient descent's with lr 2/S*, exactly, on any loss.
(iv)  Curvature drawn anew at each step, of mean μ and variance s²: E x² stays bounded if and only if s²Σh_k² < 1,
      h_k the response of H = T/(1 + μT) to one impulse. The batch sharpness B = μ + s²/μ of this border runs from
      2/c₀ (μ → 0) to S* (μ → S*): the ratio of the two plateaus is the amplification c₀S*/2.

Assumptions. The flip is the first instability. (i) small cycles, formal series in √α. (ii) slow ramps: the memory is
short as compared with 1/√ε'. (iv) independent draws.

Steps. (i) Linearize both equations about the balance. (ii) Sum the noise with its gain ∫(ε/σ)dt. (iii) Insert two
alternating points. (iv) x = −H(q)(sξx) with martingale increments sξx; close to μ = 0 and S* one mode has all of Σh².
"""

import sympy as sp

from . import a10_noise
from .a11_linear import D, P, Q, a2, alpha, b, beta, c0, expansions, heavy_ball, lr, sigma, tau, threshold
from .proof import Proof

PROOF = Proof(__doc__)

# (i) cycles at the edge
u, y = sp.symbols("u y")
delta = sp.sqrt(2 * alpha) / b
push = c0 * (alpha - b**2 * (delta * (1 + u)) ** 2 / 2)
PROOF.equal("A = δ, y = 0 is a fixed point", push.subs(u, 0), 0)
PROOF.equal("The push about it: −2c₀αu", sp.diff(push, u).subs(u, 0), -2 * c0 * alpha)
omega = sp.sqrt(2 * alpha * c0 / (sigma * threshold))
small = sp.symbols("omega", positive=True)
product = sp.expand((D + P[2] * D**2) * (D + Q[2] * D**2))  # of (D + ...)u = y/(σS*), (D + ...)y = −2c₀αu
root = sp.I * small + small**2 * (P[2] + Q[2]) / 2
residual = sp.series((product + small**2).subs(D, root), small, 0, 4).removeO()
PROOF.equal("(D + p₂D²)(D + q₂D²) = −ω² has D = iω + ω²(p₂ + q₂)/2, up to O(ω³)", sp.expand(residual), 0)
cycle_inertia = omega * (sigma - a2 / sigma + tau) / 2
polyak = expansions(heavy_ball)
PROOF.equal(
    "κ = ω(p₂ + q₂)/2 of heavy ball is a7_edge's: (1 + β)√(2a)/(2(1 − β)²), a = η²α",
    cycle_inertia.subs(polyak) ** 2,
    ((1 + beta) * lr * sp.sqrt(2 * alpha) / (2 * (1 - beta) ** 2)) ** 2,
)

# (ii) warmup
ramp, noise, t, gain, excess = sp.symbols("ramp s t Lambda epsilon", positive=True)
rate = ramp / sigma  # ln|λ| = (ramp·t)/σ at step t from the crossing
variance = (noise / (sigma * threshold)) ** 2 * sp.Integral(sp.exp(-rate * t**2), (t, -sp.oo, sp.oo))
crossing = noise / (sigma * threshold) * (sp.pi * sigma / ramp) ** sp.Rational(1, 4)
PROOF.equal(
    "σ(A_{t+1} − A_t) = εA + n/S*: the variance, taken back to the crossing by its gain exp(ε't²/σ)",
    variance.doit(),
    crossing**2,
)
PROOF.equal(
    "The gain up to ε is ε²/(2σε')",
    sp.integrate(excess / (sigma * ramp), (excess, 0, sp.sqrt(2 * sigma * ramp * gain))),
    gain,
)
PROOF.equal(
    "Heavy ball: the crossing amplitude of a8_warmup",
    crossing.subs(polyak) ** 4,
    ((lr * noise / (1 - beta)) * (sp.pi * (1 - beta) / (2 * (1 + beta) * ramp)) ** sp.Rational(1, 4)) ** 4,
)

# (iii) two-cycles
first, second, middle, half = sp.symbols("g_1 g_2 m d")
top_minus, bottom_minus, top, bottom = sp.symbols("N_minus M_minus N M")  # N, M at −1 and at 1
alternating = bottom_minus * half + top_minus * (first - second) / 2
constant = bottom * middle + top * (first + second) / 2
solved = sp.solve(
    [constant.subs(bottom, 0), alternating.subs(top_minus, -bottom_minus / threshold)],
    [second, half],
    dict=True,
)[0]
PROOF.equal("M(1) = 0: the gradients at both points cancel", solved[second], -first)
PROOF.equal("and M(−1) = −S*N(−1): half the distance is g₁/S*", solved[half], first / threshold)
PROOF.equal(
    "Gradient descent with lr 2/S* steps from m + d to m − d",
    middle + solved[half] - 2 / threshold * first,
    middle - solved[half],
)

# (iv) noise of the curvature
mean, one, zero, damping, turn = sp.symbols("mu n_1 n_0 d f")
square, lagged = sp.symbols(
    "P Q"
)  # Σh_k² and Σh_kh_{k−1} of h_{k+1} = fh_k − dh_{k−1}, h_1 = n₁, plus n₀ at k = 1
sums = sp.solve(
    [
        square - (one**2 + turn**2 * square + damping**2 * square - 2 * turn * damping * lagged + zero**2
                  + 2 * zero * turn * one),
        lagged - (turn * square - damping * lagged + zero * one),
    ],
    [square, lagged],
)  # fmt: skip
two_states = sums[square].subs({turn: 1 + beta - mean * one, damping: beta + mean * zero})
PROOF.equal(
    "Heavy ball, h of H = ηz/(z² − (1 + β − ημ)z + β): 1/Σh² is a10_noise's boundary over η²",
    1 / two_states.subs({one: lr, zero: 0}),
    (a10_noise.boundary / lr**2).subs({a10_noise.product: lr * mean, a10_noise.beta: beta}),
)
small_mean = sp.limit(mean * two_states, mean, 0)
PROOF.equal("μΣh² → c₀/2 as μ → 0, c₀ = (n₁ + n₀)/(1 − β)", small_mean, (one + zero) / (1 - beta) / 2)
slow_mode = 1 - c0 * mean
PROOF.equal(
    "In general the mode 1 − c₀μ has it: c₀²/(1 − (1 − c₀μ)²)",
    sp.limit(mean * c0**2 / (1 - slow_mode**2), mean, 0),
    c0 / 2,
)
plateau = 2 / c0
PROOF.equal(
    "There s² = 2μ/c₀, and B = μ + s²/μ → 2/c₀", sp.limit(mean + (2 * mean / c0) / mean, mean, 0), plateau
)
S_star = 2 * (1 + beta) / (one - zero)
PROOF.equal(
    "Σh² has its pole at S*: no noise is left, and B = S*", sp.cancel(1 / two_states).subs(mean, S_star), 0
)
PROOF.equal("The ratio of the plateaus is the amplification", threshold / plateau, c0 * threshold / 2)

RESULTS = {
    "cycle_period": 2 * sp.pi / omega,
    "cycle_inertia": cycle_inertia,
    "crossing_amplitude": crossing,
    "onset": sp.sqrt(2 * sigma * ramp * gain),
    "two_states_response": two_states,
    "batch_plateau": plateau,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
