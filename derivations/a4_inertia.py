"""The inertia number: what decides how large a momentum catapult is.

Statement. Measured in y₀ and in time (1 − β)/(ηy₀), the cubic model with α = 0 is
    a' + κa'' + O(ρ²κ²) = ya,    y' + κy'' + O(ρ²κ²) = −a²/2,    ρ = (1 − β)/(1 + β),
with the inertia number
    κ = (1 + β)ηy₀/(2(1 − β)²) = ε((1 + β)/(1 − β))²,    ε = (S − S*)/S* at the start.
At the same threshold and ε momentum multiplies it by ((1 + β)/(1 − β))². The operator's n-th term is c_n
κ^{n−1}dⁿ, c_n = 2^{n−1}ρ^{n−1}/n! for odd n and 2^{n−1}ρ^{n−2}/n! for even n. For cycles at the edge the
rate √(2a), a = η²α, stands in ηy₀'s place.

Assumptions. 0 <= β < 1, ε > 0.

Steps. Insert A = y₀a/b, y = y₀ŷ, D = (ηy₀/(1 − β))d into the envelope's equations and divide.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, y0, b, epsilon, alpha = sp.symbols("eta beta y_0 b epsilon alpha", positive=True)
a, y, D = sp.symbols("a y D")
TERMS = 6

rate = lr * y0 / (1 - beta)
kappa = (1 + beta) * lr * y0 / (2 * (1 - beta) ** 2)
rho = (1 - beta) / (1 + beta)

operator = sp.series(sp.exp(D) - 1 - beta * (1 - sp.exp(-D)), D, 0, TERMS + 1).removeO()


def coefficient(n: int, rho: sp.Expr) -> sp.Expr:
    """Return c_n of the operator Σ c_n κ^{n−1} dⁿ."""
    return sp.Integer(2) ** (n - 1) * rho ** (n - 1 if n % 2 else n - 2) / sp.factorial(n)


kappa_name, rho_name = sp.symbols("kappa rho", positive=True)
for n in range(1, TERMS + 1):
    term = sp.Symbol(f"c_{n}", positive=True)
    PROOF.equal(
        f"The operator's term of order D^{n}, divided by ηy₀, is c_{n}κ^{n - 1}d^{n} with",
        term,
        coefficient(n, rho_name),
        where={term: operator.coeff(D, n) * rate**n / (lr * y0) / kappa ** (n - 1), rho_name: rho},
    )
A_of, y_of = sp.symbols("A Y", real=True)
PROOF.equal(
    "The right side of A's equation, ηYA with the excess Y = y₀y and A = y₀a/b, in units of ηy₀·y₀/b",
    lr * y_of * A_of / (lr * y0**2 / b),
    y * a,
    where={y_of: y0 * y, A_of: y0 * a / b},
)
PROOF.equal(
    "The right side of Y's equation in units of ηy₀·y₀",
    -lr * b**2 * A_of**2 / 2 / (lr * y0**2),
    -(a**2) / 2,
    where={A_of: y0 * a / b},
)
by_excess = kappa.subs(y0, epsilon * 2 * (1 + beta) / lr)
PROOF.equal(
    "κ by the relative excess, as y₀ = εS* and S* = 2(1 + β)/η",
    kappa_name,
    epsilon * ((1 + beta) / (1 - beta)) ** 2,
    where={kappa_name: by_excess},
)
kappa_of = sp.Function("kappa")
PROOF.equal(
    "κ(β) at a fixed ε: momentum of 0.9 multiplies it by 361",
    kappa_of(sp.Rational(9, 10)) / kappa_of(0),
    361,
    where={
        kappa_of(sp.Rational(9, 10)): by_excess.subs(beta, sp.Rational(9, 10)),
        kappa_of(0): by_excess.subs(beta, 0),
    },
)

RESULTS = {
    "inertia_number": by_excess,
    "inertia_number_by_y0": kappa,
    "edge_inertia_number": kappa.subs(y0, sp.sqrt(2 * lr**2 * alpha) / lr),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
