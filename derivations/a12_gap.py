"""Noise lowers the edge: the sharpness gap of heavy ball and of any linear optimizer.

Statement. On the cubic model at the edge, α > 0, let the gradient carry noise that is independent at each step: of
deviation σ_u along the swing and σ_s along ∇S⊥. In a stationary state, y = S − S*, ΔS = −E y:
    E x² = 2α/b² exactly, at every momentum.
Heavy ball with σ_s = 0, the variance being that at a frozen sharpness:
    ΔS(1 − ΔS/S*) = ηb²σ_u²/(4α(1 − β)),
so that at matched S* momentum multiplies the gap by (1 + β)/(1 − β). Without freezing, with x_t = (−1)^t A_t,
    ΔS = ((1 + β)/(4ηα))(b² E(A_{t+1} − A_t)² + 2 E(y_{t+1} − y_t)²)
exactly. Any linear optimizer, with S*, σ, a₂, c₀, τ of a11_linear:
    ΔS = (b²/(4α))(σ_u²/(σS*) + 2c₀σ_s²)
to leading order: noise of equal size in all directions makes 1 + 2c₀σS* times the gap of noise along the swing
alone, three times for heavy ball at every β. Finite cycles add to it, by their inertia κ_e of A11 again: for σ_s = 0
    (3/2) f c₀ασ·κ_e/ε,    f = E(1 − b²A²/(2α))²,    f = 2 where noise dominates, ΔS ≫ √(αc₀σS*).

σ_u² is the variance of all noise along the swing, that of the batches' curvature included, s²E x²: with it alone the
gap is a10_noise's boundary.

Assumptions. A stationary state with finite moments of fourth order. Noise independent of weights and states before it.
For the forms to leading order: ΔS ≪ S*, and slow cycles, κ_e ≪ 1 at y = √(αc₀σS*). The cycles' share of mean square
velocities is added to the noise's.

Steps. Average the updates and their products with x and y. Solve the linear recursion of second moments at frozen S.
Expand T/(1 + ST) about its pole next to −1. Apply the generator of the slow stochastic equations to A², y, y² and yA².
Expand 1/T about −1 and 1: what multiplies mean square velocities is the inertia.
"""

import sympy as sp

from .a10_noise import RESULTS as CURVATURE
from .proof import Proof

PROOF = Proof(__doc__)

lr, alpha, b, threshold, noise = sp.symbols("eta alpha b S_star sigma_u", positive=True)
transverse = sp.symbols("sigma_s", nonnegative=True)
beta = sp.symbols("beta", nonnegative=True)
gap, S = sp.symbols("Delta S", positive=True)

# -- averages of the updates ----------------------------------------------------------------------------------------
mean_square = sp.symbols("E_x2", positive=True)
at_rest = lr * (alpha - b**2 * mean_square / 2)  # E(y_{t+1} − y_t) = E(y_t − y_{t−1}) = 0
balance = sp.solve(at_rest, mean_square)[0]
PROOF.equal(
    "E y_{t+1} = E y_t: the mean square is the one at which both forces balance", balance, 2 * alpha / b**2
)

# Heavy ball at frozen S: x_{t+1} = Tx_t − βx_{t−1} − ηξ, moments P = E x_t², Q = E x_tx_{t−1}
P, Q, turn = sp.symbols("P Q T")
moments = sp.solve(
    [turn**2 * P - 2 * beta * turn * Q + beta**2 * P + lr**2 * noise**2 - P, turn * P - beta * Q - Q],
    [P, Q],
    dict=True,
)[0]
variance = sp.factor(moments[P].subs(turn, 1 + beta - lr * S).subs(lr, 2 * (1 + beta) / threshold))
PROOF.equal(
    "The swing's variance at frozen S is σ_u²(1 + β)/((1 − β)S(S* − S))",
    variance,
    noise**2 * (1 + beta) / ((1 - beta) * S * (threshold - S)),
)
scale = lr * b**2 * noise**2 / (4 * alpha * (1 - beta))
of_lr = {threshold: 2 * (1 + beta) / lr}
PROOF.equal(
    "It is 2α/b² where ΔS(1 − ΔS/S*) = ηb²σ_u²/(4α(1 − β))",
    sp.solve(
        variance.subs(S, threshold - gap) * gap * (threshold - gap) - balance * gap * (threshold - gap),
        noise**2,
    )[0]
    * (lr * b**2 / (4 * alpha * (1 - beta))).subs(lr, 2 * (1 + beta) / threshold),
    gap * (1 - gap / threshold),
)
root = threshold / 2 * (1 - sp.sqrt(1 - 4 * scale / threshold))
PROOF.equal("Its smaller root", root * (1 - root / threshold), scale)
PROOF.equal(
    "to leading order in the noise is the right side",
    sp.limit(root.subs(noise, noise * sp.sqrt(P)).diff(P), P, 0, "+"),
    scale,
)
PROOF.equal(
    "At matched S* momentum multiplies the right side by (1 + β)/(1 − β)",
    scale.subs(lr, 2 * (1 + beta) / threshold) / scale.subs(lr, 2 * (1 + beta) / threshold).subs(beta, 0),
    (1 + beta) / (1 - beta),
)

# Noise of the curvature, of deviation s, is noise of the gradient of variance s²x²: σ_u² contains s²E x².
spread, mu, at_balance = sp.symbols("s mu E_x2_s", positive=True)
with_curvature = (variance.subs(noise, sp.sqrt(noise**2 + spread**2 * at_balance)) - at_balance).subs(S, mu)
of_noise = sp.solve(with_curvature, at_balance)[0]
PROOF.equal(
    "With curvature of deviation s as well, σ_u² is the variance of all noise along the swing, σ_u² + s²E x²; "
    "without any other noise E x² stays only at the boundary of a10_noise",
    sp.solve(sp.denom(sp.together(of_noise)), spread**2)[0].subs(of_lr),
    (CURVATURE["boundary"] / lr**2).subs(sp.Symbol("beta", positive=True), beta),
)

# -- heavy ball without freezing: A_{t+1} − A_t − β(A_t − A_{t−1}) = η(y_tA_t + noise), alike for y ----------------
# With D_t = A_{t+1} − A_t and stationarity, E A_tD_t = −E D²/2 and E A_tD_{t−1} = E D²/2.
D2, V2, yA2, mean_y = sp.symbols("E_D2 E_V2 E_yA2 E_y")
now, before = sp.symbols("A_t D_t", real=True)
PROOF.equal(
    "A_{t+1}² − A_t² = 2A_tD_t + D_t², of mean 0", (now + before) ** 2 - now**2, 2 * now * before + before**2
)
PROOF.equal(
    "A_t² − A_{t−1}² = 2A_tD_{t−1} − D_{t−1}², of mean 0",
    now**2 - (now - before) ** 2,
    2 * now * before - before**2,
)
times_A = (-D2 / 2) - beta * (D2 / 2) - lr * yA2  # the envelope's equation times A_t, averaged
times_y = (-V2 / 2) - beta * (V2 / 2) - lr * (alpha * mean_y - b**2 * yA2 / 2)
exact = sp.solve([times_A, times_y], [yA2, mean_y], dict=True)[0]
virial = (1 + beta) / (4 * lr * alpha) * (b**2 * D2 + 2 * V2)
PROOF.equal("Exactly: −E y = ((1 + β)/(4ηα))(b² E D² + 2 E(y_{t+1} − y_t)²)", -exact[mean_y], virial)
velocity = {D2: lr**2 * noise**2 / (1 - beta**2), V2: lr**2 * b**2 * transverse**2 / (1 - beta**2)}
PROOF.equal(
    "Noise alone drives the velocities, D_t = βD_{t−1} + ηξ: the leading order, three times it if σ_s = σ_u",
    virial.subs(velocity),
    lr * b**2 * (noise**2 + 2 * transverse**2) / (4 * alpha * (1 - beta)),
)

# -- any linear optimizer ----------------------------------------------------------------------------------------------
sigma, c0 = sp.symbols("sigma c_0", positive=True)
a2, tau = sp.symbols("a_2 tau", real=True)
D, r, A, y = sp.symbols("D r A y", real=True)
at_flip = -(1 - sigma * D + a2 * D**2) / threshold  # T(−e^D)
closed = 1 + threshold * (1 - r) * at_flip
pole = -r / sigma
PROOF.equal(
    "1 + ST(−e^D), S = S*(1 − r), vanishes at D = −r/σ to first order",
    closed.subs(D, pole).diff(r).subs(r, 0),
    0,
)
response = at_flip.subs(D, 0) / closed.diff(D).subs({D: 0, r: 0})
PROOF.equal("so that a kick leaves a swing of 1/(σS*), times −1", response, -1 / (sigma * threshold))
rate = gap / threshold / sigma
leading = noise**2 * response**2 / (2 * rate)
frozen = sp.solve(leading - balance, gap)[0]
PROOF.equal(
    "Sum of squares = 2α/b²: the gap at frozen S", frozen, b**2 * noise**2 / (4 * alpha * sigma * threshold)
)

drift_A, drift_y = y * A / (sigma * threshold), c0 * (alpha - b**2 * A**2 / 2)
kick_A, kick_y = noise / (sigma * threshold), c0 * b * transverse


def generator(f: sp.Expr) -> sp.Expr:
    """Return d E f/dt in the slow limit, σȦ = yA/S* + noise, ẏ = c₀(α − b²A²/2) + noise, before the average."""
    return sp.expand(
        drift_A * f.diff(A)
        + drift_y * f.diff(y)
        + kick_A**2 * f.diff(A, 2) / 2
        + kick_y**2 * f.diff(y, 2) / 2
    )


M = {
    (2, 0): sp.symbols("M_20"),
    (0, 1): mean_y,
    (2, 1): yA2,
    (4, 0): sp.symbols("M_40"),
    (2, 2): sp.symbols("M_22"),
}


def average(f: sp.Expr) -> sp.Expr:
    """Return the mean of a polynomial in A and y by its moments."""
    return sum(c * (M[powers] if powers != (0, 0) else 1) for powers, c in sp.Poly(f, A, y).terms())


slow = sp.solve([average(generator(f)) for f in (A**2, y, y**2)], [M[2, 0], yA2, mean_y], dict=True)[0]
general = b**2 / (4 * alpha) * (noise**2 / (sigma * threshold) + 2 * c0 * transverse**2)
PROOF.equal("Stationary means of A², y and y², nothing frozen: E A² = 2α/b²", slow[M[2, 0]], balance)
PROOF.equal("and ΔS = (b²/(4α))(σ_u²/(σS*) + 2c₀σ_s²)", -slow[mean_y], general)
heavy_ball = {sigma: (1 - beta) / (2 * (1 + beta)), c0: lr / (1 - beta), **of_lr}
PROOF.equal(
    "Heavy ball: σ = (1 − β)/(2(1 + β)), c₀ = η/(1 − β)",
    general.subs(heavy_ball),
    virial.subs(velocity),
)

# -- what cycles add --------------------------------------------------------------------------------
# Products with x and y, averaged by frequency:
# −E yA² is the mean of S* + Re 1/T(−e^{iθ}) over A's spectrum, E y(α − b²A²/2) that of Re 1/T(e^{iθ}) over y's.
theta = sp.symbols("theta", real=True)
weight_A = sp.re(sp.series(threshold + 1 / at_flip, D, 0, 3).removeO().subs(D, sp.I * theta))
weight_y = sp.re(sp.expand(sp.series(D / (c0 * (1 - tau * D)), D, 0, 3).removeO()).subs(D, sp.I * theta))
PROOF.equal(
    "S* + Re 1/T(−e^{iθ}) = S*(σ² − a₂)θ² + O(θ⁴): mean square of Ȧ",
    weight_A,
    threshold * (sigma**2 - a2) * theta**2,
)
PROOF.equal("Re 1/T(e^{iθ}) = −(τ/c₀)θ² + O(θ⁴): mean square of ẏ", weight_y, -tau / c0 * theta**2)
f, mean_gap = sp.symbols("f Delta_0", positive=True)
fourth = balance**2 * (1 + f)
mixed = sp.solve(average(generator(y * A**2)).subs({M[4, 0]: fourth, M[2, 0]: balance}), M[2, 2])[0]
mixed = mixed.subs(mean_y, -mean_gap).subs(noise, sp.sqrt(4 * alpha * sigma * threshold * mean_gap) / b)
PROOF.equal(
    "The mean of yA² rests: E y²A² = (2α/b²)(ΔS² + αc₀σS*f/2), ΔS that of σ_u alone",
    mixed,
    balance * (mean_gap**2 + alpha * c0 * sigma * threshold * f / 2),
)
of_A = threshold * (sigma**2 - a2) * (mixed - balance * mean_gap**2) / (sigma * threshold) ** 2
of_y = 2 / b**2 * tau / c0 * sp.expand(c0**2 * alpha**2 * f)
kappa = ((1 - a2 / sigma**2) + 2 * tau / sigma) / 3  # κ_e/ε
inertia = sp.symbols("k", real=True)
cycles = sp.Rational(3, 2) * f * c0 * alpha * sigma * inertia
PROOF.equal("Cycles add (3/2) f c₀ασκ_e/ε to the gap", (of_A + of_y) / balance, cycles.subs(inertia, kappa))
PROOF.equal(
    "At a nearly constant y the swing is normal, E A⁴ = 3(E A²)²: f = 2",
    sp.solve(fourth - 3 * balance**2, f)[0],
    2,
)
PROOF.equal(
    "Heavy ball where noise dominates: 3α((1 + β)/(1 − β))²/S*",
    cycles.subs({f: 2, inertia: ((1 + beta) / (1 - beta)) ** 2}).subs(heavy_ball),
    (3 * alpha * ((1 + beta) / (1 - beta)) ** 2 / threshold).subs(of_lr),
)

RESULTS = {
    "gap": root.subs(of_lr),
    "transverse_gap": (general.subs(noise, 0)).subs(heavy_ball),
    "variance": variance,
    "general_gap": general,
    "cycles": cycles,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
