"""Rod flow for heavy ball: midpoint and spread of consecutive iterates, with the exact threshold.

Statement. For a map z_{t+1} = z_t + G(z_t) let z̄ be the midpoint of two consecutive iterates, d half their
difference, z_t = z̄ + d, z_{t+1} = z̄ − d, G± = G(z̄ ± d) and Σ = ddᵀ. Then exactly
    z̄_{t+1} − z̄_t = f = ½(G₊ + G₋),    Σ_{t+1} − Σ_t = ¼(G₊G₊ᵀ + G₋G₋ᵀ) − 2Σ,
both even in d. The flow whose time-one map is z̄ + f up to third order is dz̄/dt = f − ¼(DG₊ + DG₋)f, with Σ taken by
its increment. For gradient descent, G = −η∇L, it is
    w̄' = −(η/2)(g₊ + g₋) − (η²/8)(H₊ + H₋)(g₊ + g₋),    Σ' = (η²/4)(g₊g₊ᵀ + g₋g₋ᵀ) − 2Σ;
for heavy ball z = (w, v), G = (βv − η∇L, −(1 − β)v − η∇L). About a minimum, on modes
λ₁, λ₂ of the step, Σ changes at the rate ½(λ₁ − 1)(λ₂ − 1) − 2: it dies out while |λ₁|, |λ₂| < 1 and starts to grow
at λ = −1, exactly at S* = 2(1 + β)/η; just beyond, at λ = −(1 + μ), it grows at the rate 2μ + μ²/2, the iterates'
own being 2 ln|λ| = 2μ − μ² + O(μ³).
A closure of rank one: with g = ½(G₊ − G₋) the increment is ½(ffᵀ + ggᵀ) − 2Σ, with one ggᵀ for each axis where Σ
has several. The drift's share relaxes to ¼ffᵀ in a step or two; the rest, kept at rank one as ddᵀ and projected onto
the tangents ḋdᵀ + dḋᵀ, obeys ḋ = g(g·d)/(2‖d‖²) − (1 + (g·d)²/(4‖d‖⁴))d, which keeps rates and fixed points.

Assumptions. 0 <= β < 1; G twice differentiable; in the flow's correction d is held fixed.

Steps. Insert two consecutive steps; compare the Taylor series of the flow over a unit of time with the map; insert
both methods; linearize about a minimum; project.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, mu = sp.symbols("eta beta mu", positive=True)
plus = sp.Matrix(sp.symbols("G_+1 G_+2", real=True))
minus = sp.Matrix(sp.symbols("G_-1 G_-2", real=True))
middle = sp.Matrix(sp.symbols("z_1 z_2", real=True))

# -- two consecutive steps ---------------------------------------------------------------------------------------
half = -plus / 2  # z_{t+1} − z_t = −2d = G₊
second, third = middle - half, middle - half + minus
moved = (second + third) / 2 - middle
next_half = (second - third) / 2
for k in (0, 1):
    PROOF.equal(f"Midpoint, component {k + 1}: it moves by ½(G₊ + G₋)", moved[k], (plus[k] + minus[k]) / 2)
spread, next_spread = half * half.T, next_half * next_half.T
increment = (plus * plus.T + minus * minus.T) / 4 - 2 * spread
for row, column in ((0, 0), (0, 1), (1, 1)):
    PROOF.equal(
        f"Spread, element {row + 1}{column + 1}: ΔΣ = ¼(G₊G₊ᵀ + G₋G₋ᵀ) − 2Σ",
        next_spread[row, column] - spread[row, column],
        increment[row, column],
    )

# -- the flow that the midpoint follows --------------------------------------------------------------------------
size, time = sp.symbols("s t", positive=True)
z1, z2 = sp.symbols("z_1 z_2", real=True)
field = sp.Matrix([sp.Function("f_1")(z1, z2), sp.Function("f_2")(z1, z2)])
corrected = size * field - size**2 / 2 * field.jacobian([z1, z2]) * field
acceleration = corrected.jacobian([z1, z2]) * corrected
after_one = corrected + acceleration / 2
for k in (0, 1):
    expanded = sp.expand(after_one[k])
    PROOF.equal(
        f"Flow of sf − ½s²Df·f over a unit of time, component {k + 1}: sf", expanded.coeff(size, 1), field[k]
    )
    PROOF.equal("and nothing at order s²", expanded.coeff(size, 2), 0)

# -- gradient descent and heavy ball -----------------------------------------------------------------------------
g = sp.Matrix(sp.symbols("g_1 g_2", real=True))  # g₊ + g₋
H11, H12, H22 = sp.symbols("H_11 H_12 H_22", real=True)  # of H₊ + H₋
H = sp.Matrix([[H11, H12], [H12, H22]])


def flow(force: sp.Matrix, jacobian: sp.Matrix) -> sp.Matrix:
    """Return f − ¼(DG₊ + DG₋)f of the sums G₊ + G₋ and DG₊ + DG₋."""
    return force / 2 - jacobian * force / 8


descent = flow(-lr * g, -lr * H)
for k in (0, 1):
    PROOF.equal(
        f"Gradient descent's flow, component {k + 1}",
        descent[k],
        -lr / 2 * g[k] - lr**2 / 8 * (H * g)[k],
    )
w, v, S = sp.symbols("w v S", real=True)
slope = sp.Function("g")(w)
ball = sp.Matrix([beta * v - lr * slope, -(1 - beta) * v - lr * slope])
step_v = beta * v - lr * slope
PROOF.equal("Heavy ball's G: w_{t+1} − w_t = v_{t+1}", ball[0], step_v)
PROOF.equal("and v_{t+1} − v_t", ball[1], step_v - v)
settled = sp.solve(ball[1], v)[0]
PROOF.equal(
    "Where v has settled w moves by −η/(1 − β)·∇L (m2_averaged_flow)",
    ball[0].subs(v, settled),
    -lr * slope / (1 - beta),
)

# -- the threshold -----------------------------------------------------------------------------------------------
about = ball.subs(slope, S * w).jacobian([w, v])
lam, lam_2 = sp.symbols("lambda lambda_2")
PROOF.equal(
    "About a minimum I + DG has heavy ball's modes (q1_modes)",
    ((1 - lam) * sp.eye(2) + about).det(),
    lam**2 - (1 + beta - lr * S) * lam + beta,
)
by_modes = {beta: lam * lam_2, S: (1 + lam * lam_2 - lam - lam_2) / lr}  # λ₁λ₂ = β, λ₁ + λ₂ = 1 + β − ηS
linear = about.subs(by_modes)
modes = [sp.Matrix([1, 1 - 1 / root]) for root in (lam, lam_2)]  # w_t = λ^t, v_t = w_t − w_{t−1}
for root, mode in zip((lam, lam_2), modes, strict=True):
    for k in (0, 1):
        PROOF.equal(
            f"Mode {root}, component {k + 1}: DG e = (λ − 1)e", (linear * mode)[k], (root - 1) * mode[k]
        )
pair = modes[0] * modes[1].T + modes[1] * modes[0].T
linear_increment = (linear * pair * linear.T) / 2 - 2 * pair  # G± = ±DG d
rate = (lam - 1) * (lam_2 - 1) / 2 - 2
for row, column in ((0, 0), (0, 1), (1, 1)):
    PROOF.equal(
        f"Rate of Σ = e₁e₂ᵀ + e₂e₁ᵀ, element {row + 1}{column + 1}",
        linear_increment[row, column],
        rate * pair[row, column],
    )
same = modes[0] * modes[0].T
PROOF.equal(
    "and of Σ = e₁e₁ᵀ",
    ((linear * same * linear.T) / 2 - 2 * same)[0, 0],
    rate.subs(lam_2, lam) * same[0, 0],
)
radius, angle = sp.symbols("r theta", real=True)
PROOF.equal(
    "4 − |λ − 1|² = (1 − r²) + 2(1 + r cos θ) > 0 for |λ| = r < 1: below S* every part of Σ dies out",
    4 - ((radius * sp.cos(angle) - 1) ** 2 + radius**2 * sp.sin(angle) ** 2),
    (1 - radius**2) + 2 * (1 + radius * sp.cos(angle)),
)
PROOF.equal("It vanishes at λ₁ = λ₂ = −1", rate.subs({lam: -1, lam_2: -1}), 0)
PROOF.equal(
    "which is a mode exactly at ηS = 2(1 + β)",
    (1 + (1 + beta - lr * S) + beta).subs(S, 2 * (1 + beta) / lr),
    0,
)
growth = rate.subs({lam: -1 - mu, lam_2: -1 - mu})
PROOF.equal("Just beyond, λ = −(1 + μ)", growth, 2 * mu + mu**2 / 2)
PROOF.equal(
    "The map's own rate agrees to first order",
    sp.series(2 * sp.log(1 + mu), mu, 0, 2).removeO(),
    sp.diff(growth, mu).subs(mu, 0) * mu,
)

# -- rank one ----------------------------------------------------------------------------------------------------
f = (plus + minus) / 2
g_odd = (plus - minus) / 2
for row, column in ((0, 0), (0, 1), (1, 1)):
    PROOF.equal(
        f"¼(G₊G₊ᵀ + G₋G₋ᵀ) = ½(ffᵀ + ggᵀ), element {row + 1}{column + 1}",
        ((plus * plus.T + minus * minus.T) / 4)[row, column],
        sp.expand((f * f.T + g_odd * g_odd.T) / 2)[row, column],
    )
axis = sp.Matrix(sp.symbols("d_1 d_2", positive=True))
swing = sp.Matrix(sp.symbols("k_1 k_2", real=True))  # g
length = axis.dot(axis)
increase = swing * swing.T / 2 - 2 * axis * axis.T
off = sp.eye(2) - axis * axis.T / length
tangent = increase - off * increase * off
along = swing.dot(axis)
closure = swing * along / (2 * length) - (1 + along**2 / (4 * length**2)) * axis
for row, column in ((0, 0), (0, 1), (1, 1)):
    PROOF.equal(
        f"ḋdᵀ + dḋᵀ is the projection of ½ggᵀ − 2ddᵀ, element {row + 1}{column + 1}",
        sp.simplify((closure * axis.T + axis * closure.T - tangent)[row, column]),
        0,
    )
on_mode = closure.subs({swing[k]: (lam - 1) * axis[k] for k in (0, 1)}, simultaneous=True)
PROOF.equal(
    "On a mode, g = (λ − 1)d, ddᵀ changes at the rate ½(λ − 1)² − 2, as Σ does",
    sp.simplify(2 * on_mode[0] / axis[0]),
    rate.subs(lam_2, lam),
)

RESULTS = {
    "spread_rate": rate,
    "growth_beyond": growth,
    "midpoint_velocity": -lr * slope / (1 - beta),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
