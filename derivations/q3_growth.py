"""How fast the oscillation grows just above the threshold.

Statement. At S = S*(1 + ε), S* = 2(1 + β)/η, the larger mode is λ = −μ with
    μ = ½[(1 + β)(1 + 2ε) + √(((1 + β)(1 + 2ε))² − 4β)] = 1 + 2ε(1 + β)/(1 − β) + O(ε²),
that is 1 + Y/(1 − β) with Y = η(S − S*). Gradient descent at the same threshold and ε grows as 1 + 2ε.

Assumptions. 0 <= β < 1 and ε > −(1 − √β)²/(2(1 + β)), where the modes are real.

Steps. Put λ = −μ and h = 2(1 + β)(1 + ε) into the characteristic polynomial (q1_modes), solve, expand.
"""

import sympy as sp

from .proof import Proof
from .q1_modes import RESULTS as MODES
from .q1_modes import beta, h, lam

PROOF = Proof(__doc__)

epsilon = sp.symbols("epsilon", real=True)
mu, excess = sp.symbols("mu Y")

at_excess = sp.expand(MODES["polynomial"].subs(h, 2 * (1 + beta) * (1 + epsilon)).subs(lam, -mu))
PROOF.equal("Polynomial of μ = −λ", at_excess, mu**2 - (1 + beta) * (1 + 2 * epsilon) * mu + beta)

size = (1 + beta) * (1 + 2 * epsilon)
growth = (size + sp.sqrt(size**2 - 4 * beta)) / 2
PROOF.equal("Its larger root", sp.expand(at_excess.subs(mu, growth)), 0)
root = sp.sqrt(beta)
PROOF.equal(
    "The square root's argument = [(1 − √β)² + 2(1 + β)ε]·[(1 + √β)² + 2(1 + β)ε]",
    size**2 - 4 * beta,
    ((1 - root) ** 2 + 2 * (1 + beta) * epsilon) * ((1 + root) ** 2 + 2 * (1 + beta) * epsilon),
)

# (1 − β)² under the root at ε = 0: name 1 − β = q > 0 so that the root is q.
q = sp.symbols("q", positive=True)
PROOF.equal("At the threshold μ = 1", growth.subs(epsilon, 0).subs(beta, 1 - q), 1)
rate = sp.simplify(sp.expand(sp.diff(growth, epsilon).subs(epsilon, 0).subs(beta, 1 - q))).subs(q, 1 - beta)
PROOF.equal("dμ/dε there", rate, 2 * (1 + beta) / (1 - beta))
PROOF.equal(
    "With ε = Y/(2(1 + β)), Y = η(S − S*): μ = 1 + Y/(1 − β)",
    (rate * epsilon).subs(epsilon, excess / (2 * (1 + beta))),
    excess / (1 - beta),
)
positive = sp.symbols("epsilon", positive=True)
PROOF.equal(
    "Gradient descent: μ = 1 + 2ε exactly", growth.subs(beta, 0).subs(epsilon, positive), 1 + 2 * positive
)
PROOF.equal("Momentum multiplies the rate by", rate / rate.subs(beta, 0), (1 + beta) / (1 - beta))

RESULTS = {
    "growth_factor": growth,
    "leading_order": 1 + rate * epsilon,
    "speed_up": (1 + beta) / (1 - beta),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
