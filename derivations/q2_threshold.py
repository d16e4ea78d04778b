"""The threshold of heavy ball with lookahead.

Statement. w_{t+1} = w_t − η∇L(w_t + γ(w_t − w_{t−1})) + β(w_t − w_{t−1}) is stable on a quadratic of
curvature S > 0 if and only if
    ηS < 2(1 + β)/(1 + 2γ)    for γ >= −(1 − β)/4      (a root leaves at −1: a flip),
    ηS < (1 − β)/(−γ)         for γ <= −(1 − β)/4      (a complex pair leaves: a Neimark-Sacker bifurcation).
Polyak's method (γ = 0) has S* = 2(1 + β)/η, Nesterov's (γ = β) S* = 2(1 + β)/(η(1 + 2β)).

Assumptions. 0 <= β < 1, γ > −1, h = ηS > 0.

Steps. λ = (1 + z)/(1 − z) maps the unit disc to the left half plane, so both roots lie inside if and only
if the coefficients of the transformed quadratic, p(−1), 2(1 − det) and p(1), have one sign. p(1) = h > 0
always; p(−1) > 0 is the flip's bound, det < 1 the other's; their order changes at γ = −(1 − β)/4. The
discriminant is factored in a form in which nothing cancels as β → 1.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

h, lr, beta = sp.symbols("h eta beta", positive=True)
gamma, lam, z, g = sp.symbols("gamma lambda z g", real=True)

# w_{t+1} = (1 − h(1 + γ) + β) w_t + (hγ − β) w_{t−1}
w, previous = sp.symbols("w w_previous")
update = w - h * (w + gamma * (w - previous)) + beta * (w - previous)
companion = sp.Matrix([[sp.diff(update, w), sp.diff(update, previous)], [1, 0]])
polynomial = sp.expand((lam * sp.eye(2) - companion).det())
trace, determinant = companion.trace(), companion.det()

PROOF.equal(
    "Characteristic polynomial", polynomial, lam**2 - (1 + beta - h * (1 + gamma)) * lam + beta - gamma * h
)
moebius = sp.expand(sp.cancel((1 - z) ** 2 * polynomial.subs(lam, (1 + z) / (1 - z))))
PROOF.equal(
    "Transformed to the left half plane",
    moebius,
    polynomial.subs(lam, -1) * z**2 + 2 * (1 - determinant) * z + polynomial.subs(lam, 1),
)
PROOF.equal("Bound 1 holds always", polynomial.subs(lam, 1), h)
flip = 2 * (1 + beta) / (1 + 2 * gamma)
PROOF.equal("Bound 2: p(−1) = (1 + 2γ)(h_flip − h)", polynomial.subs(lam, -1), (1 + 2 * gamma) * (flip - h))
neimark_sacker = (1 - beta) / (-gamma)
PROOF.equal("Bound 3: 1 − det = −γ(h_NS − h)", 1 - determinant, -gamma * (neimark_sacker - h))
PROOF.equal(
    "Which comes first, for −½ < γ < 0: h_flip − h_NS has the sign of −(1 − β + 4γ)",
    flip - neimark_sacker,
    (1 - beta + 4 * gamma) / (gamma * (1 + 2 * gamma)),
)
PROOF.equal("They meet at γ = −(1 − β)/4", (flip - neimark_sacker).subs(gamma, -(1 - beta) / 4), 0)
PROOF.equal("Nesterov's threshold", flip.subs(gamma, beta), 2 * (1 + beta) / (1 + 2 * beta))

lower, upper = ((1 - g) / (1 + gamma)) ** 2, ((1 + g) / (1 + gamma)) ** 2
g_squared = beta - gamma * (1 - beta)
beta_by_g = (g**2 + gamma) / (1 + gamma)
PROOF.equal("With g² = β − γ(1 − β)", g_squared.subs(beta, beta_by_g), g**2)
PROOF.equal(
    "the discriminant is (1 + γ)²(h − h₋)(h − h₊), h± = ((1 ± g)/(1 + γ))²",
    (trace**2 - 4 * determinant).subs(beta, beta_by_g),
    (1 + gamma) ** 2 * (h - lower) * (h - upper),
)
PROOF.equal(
    "h₋ without cancellation: (1 − g)(1 + g) = (1 − β)(1 + γ)", 1 - g_squared, (1 - beta) * (1 + gamma)
)

RESULTS = {
    "polynomial": polynomial,
    "flip_sharpness": flip / lr,
    "neimark_sacker_sharpness": neimark_sacker / lr,
    "lookahead_limit": -(1 - beta) / 4,
    "polyak_threshold": (flip / lr).subs(gamma, 0),
    "nesterov_threshold": (flip / lr).subs(gamma, beta),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
