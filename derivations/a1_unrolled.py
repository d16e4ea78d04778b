"""The unrolled update: each oscillation keeps pushing sharpness down.

Statement. y_{t+1} = y_t + f_t + β(y_t − y_{t−1}) with y_0 − y_{−1} = v_0 has the solution
    y_t = y_0 + β w_t v_0 + Σ_{s<t} w_{t−s} f_s,    w_k = (1 − β^k)/(1 − β) = 1 + β + ... + β^{k−1}.
With f_s = η(α − b²x_s²/2) this is the amplified self-stabilization of sharpness: the weight of one
oscillation grows from 1 to 1/(1 − β), and relative to gradient descent with the same threshold, η_GD =
η/(1 + β), to (1 + β)/(1 − β).

Assumptions. 0 <= β < 1; f is arbitrary.

Steps. Both sides agree at t = −1 and t = 0 and obey the same recursion, coefficient by coefficient: for
those of v_0 and of f_s with s < t it is the recursion of w_k, for that of f_t it is w_1 = 1. As a check
the sum is compared with the iterated update for t = 1, ..., 6.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

beta = sp.symbols("beta", positive=True)
k = sp.symbols("k", integer=True, nonnegative=True)
lr, y0, v0 = sp.symbols("eta y_0 v_0")


def weight(steps: sp.Expr) -> sp.Expr:
    return (1 - beta**steps) / (1 - beta)


PROOF.equal("w_0 = 0", weight(0), 0)
PROOF.equal("w_1 = 1", weight(1), 1)
PROOF.equal("w_{k+1} = w_k + β(w_k − w_{k−1})", weight(k + 1), weight(k) + beta * (weight(k) - weight(k - 1)))
PROOF.equal("w_k = 1 + β w_{k−1}: a geometric sum", weight(k), 1 + beta * weight(k - 1))
PROOF.equal("The velocity's coefficient gives y_{−1} = y_0 − v_0", y0 + beta * weight(-1) * v0, y0 - v0)

forces = sp.symbols("f_0:6")
previous, current = y0 - v0, y0
for t, force in enumerate(forces, 1):
    previous, current = current, current + force + beta * (current - previous)
    closed = y0 + beta * weight(t) * v0 + sum(weight(t - s) * f for s, f in enumerate(forces[:t]))
    PROOF.equal(f"Iterated update against the sum, t = {t}", sp.expand(current), sp.expand(sp.cancel(closed)))

decayed = sp.symbols("beta_k", positive=True)  # β^k, which tends to 0
limit = sp.limit(weight(k).subs(beta**k, decayed), decayed, 0)
PROOF.equal("Limit of the weight", limit, 1 / (1 - beta))
PROOF.equal(
    "Relative to gradient descent at the same threshold",
    lr * limit / (lr / (1 + beta)),
    (1 + beta) / (1 - beta),
)
PROOF.equal("Share of the initial velocity in the limit", beta * limit * v0, beta * v0 / (1 - beta))

RESULTS = {
    "weight": weight(k),
    "limit": limit,
    "matched_limit": (1 + beta) / (1 - beta),
    "velocity_share": beta * weight(k) * v0,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
