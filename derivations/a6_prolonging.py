"""Coasting and prolonging: what is left of a catapult once sharpness is below the threshold.

Statement. Let sharpness be at the relative depth e = (S* − S)/S*, 0 < e < 1, and x_t = (−1)^t A_t.
(i)   At frozen S the oscillation dies as |λ|^t with |λ| >= √β, and momentum makes it live longer than
      gradient descent does at the same threshold and depth, |1 − 2e|, if and only if |1 − 2e| < √β:
          (1 − √β)/2 < e < (1 + √β)/2.
      At smaller depths momentum shortens it: |λ| = 1 − 2e(1 + β)/(1 − β) + O(e²).
(ii)  For α = 0 and any decaying x the sharpness still to be lost after step T is exactly
          y_T − y_∞ = (β/(1 − β))(y_{T−1} − y_T) + (ηb²/(2(1 − β))) Σ_{t>=T} x_t²:
      it coasts β/(1 − β) times its last step, and each swing left pushes with the full weight 1/(1 − β).
(iii) At frozen S
          Σ_{t>=T} x_t² = [(A_T − βA_{T−1})² + 4βe A_T A_{T−1}]/(4e(1 − e)(1 − β²)),
      up to a relative O(b²A²/S²e²) that the sharpness' own motion brings.
(iv)  From a swing at rest (A_{T−1} = A_T, y_{T−1} = y_T) momentum loses
          1 + 4βe/(1 − β)²
      times the sharpness that gradient descent loses at the same threshold and depth.

Assumptions. 0 <= β < 1; α = 0; frozen S in (i), (iii), (iv).

Steps. The modes' polynomial at −λ; the update of y summed; the quadratic form Q with Q(A_t, A_{t−1}) −
Q(A_{t+1}, A_t) = A_t², which the decay makes the sum.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, b, threshold = sp.symbols("eta b S_star", positive=True)
root, e = sp.symbols("s e", positive=True)  # s = √β
beta = root**2
size, A, A_previous = sp.symbols("l A A_previous", real=True)

# (i) the modes
product = 2 * (1 + beta) * (1 - e)  # ηS
g = sp.symbols("g", positive=True)  # gradient descent's 1 − 2e for e < ½
polynomial = size**2 - (1 + beta) * (1 - 2 * e) * size + beta  # of size = −λ
PROOF.equal(
    "The modes' polynomial at λ = −l",
    (size**2 - (1 + beta - product) * size + beta).subs(size, -size),
    polynomial,
)
PROOF.equal("Product of the modes: the larger modulus is at least √β", polynomial.subs(size, 0), beta)
PROOF.equal(
    "e → 1 − e is λ → −λ: depths beyond ½ mirror", polynomial.subs({e: 1 - e, size: -size}), polynomial
)
in_g = polynomial.subs(e, (1 - g) / 2)
PROOF.equal(
    "At l = g it is β(1 − g²) > 0: real modes lie both above g or both below",
    in_g.subs(size, g),
    beta * (1 - g**2),
)
PROOF.equal(
    "Their sum is (1 + β)g < 2g: both below, momentum dies faster",
    -sp.expand(in_g).coeff(size, 1),
    (1 + beta) * g,
)
PROOF.equal(
    "They are complex, of modulus √β, for g < 2√β/(1 + β): there momentum lives longer where g < √β",
    sp.discriminant(in_g, size),
    (1 + beta) ** 2 * (g - 2 * root / (1 + beta)) * (g + 2 * root / (1 + beta)),
)
fraction = sp.symbols("f", positive=True)  # 1 − √β
PROOF.true(
    "√β < 2√β/(1 + β): the border lies among them",
    ((2 / (1 + beta) - 1).subs(root, 1 / (1 + fraction)).factor()).is_positive,
)
lower, upper = (1 - root) / 2, (1 + root) / 2
PROOF.equal("|1 − 2e| = √β at the lower depth", 1 - 2 * lower, root)
PROOF.equal("and at the upper", 2 * upper - 1, root)
slow = 1 - 2 * e * (1 + beta) / (1 - beta)
PROOF.equal(
    "Small depths: l = 1 − 2e(1 + β)/(1 − β) solves to first order",
    sp.series(polynomial.subs(size, slow), e, 0, 2).removeO(),
    0,
)
l_slow = ((1 + beta) * (1 - 2 * e) + sp.sqrt((1 + beta) ** 2 * (1 - 2 * e) ** 2 - 4 * beta)) / 2
PROOF.equal("Where they are real the larger is", sp.expand(polynomial.subs(size, l_slow)), 0)

# (ii) the update of y, summed over t >= T
t = sp.symbols("t", integer=True)
y = sp.Function("y")
x = sp.Function("x")
push = lr * b**2 * x(t) ** 2 / 2
conserved = y(t) + beta / (1 - beta) * (y(t) - y(t - 1))
update = y(t) + beta * (y(t) - y(t - 1)) - push
PROOF.equal(
    "y + (β/(1 − β))(y_t − y_{t−1}) falls by ηb²x_t²/(2(1 − β)) a step, and ends at y_∞",
    (conserved.subs(t, t + 1).subs(y(t + 1), update)) - conserved,
    -push / (1 - beta),
)

# (iii) the sum of squares
form = ((A - beta * A_previous) ** 2 + 4 * beta * e * A * A_previous) / (4 * e * (1 - e) * (1 - beta**2))
A_next = A + beta * (A - A_previous) - 2 * (1 + beta) * e * A
PROOF.equal(
    "The envelope at frozen S, −ηeS* = −2(1 + β)e",
    A_next,
    (1 + beta) * (1 - 2 * e) * A - beta * A_previous,
)
PROOF.equal(
    "Q(A_t, A_{t−1}) − Q(A_{t+1}, A_t) = A_t²",
    form - form.subs({A: A_next, A_previous: A}, simultaneous=True),
    A**2,
)

# (iv) from rest
at_rest = form.subs(A_previous, A)
lost = lr * b**2 / (2 * (1 - beta)) * at_rest
in_threshold = lost.subs(lr, 2 * (1 + beta) / threshold)
factor = 1 + 4 * beta * e / (1 - beta) ** 2
PROOF.equal("Momentum's loss over gradient descent's", in_threshold / in_threshold.subs(root, 0), factor)

momentum = sp.symbols("beta", positive=True)
x_T, x_before, change = sp.symbols("x x_previous d", real=True)
in_x = form.subs({A: x_T, A_previous: -x_before})
PROOF.equal(
    "In x itself, A_T A_{T−1} = −x_T x_{T−1}",
    in_x,
    ((x_T + beta * x_before) ** 2 - 4 * beta * e * x_T * x_before) / (4 * e * (1 - e) * (1 - beta**2)),
)
named = {root: sp.sqrt(momentum)}
drop = -beta / (1 - beta) * change + lr * b**2 / (2 * (1 - beta)) * in_x
RESULTS = {
    "slowest_mode": l_slow.subs(named),
    "shallowest_prolonged": lower.subs(named),
    "deepest_prolonged": upper.subs(named),
    "sum_of_squares": in_x.subs(named),
    "remaining_drop": drop.subs(lr, 2 * (1 + beta) / threshold).subs(named),
    "prolonging_factor": factor.subs(named),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
