"""The averaged flow at the edge of stability: momentum changes its speed and not its path.

Statement. Let heavy ball swing as w_t = w + σ(−1)^t u about a slow path w, with u the unit top eigenvector and S
the sharpness at w. To leading order in σ² and in the slowness,
    ẇ = −η/(1 − β)·[∇L + ½σ²∇S],
and σ² >= 0 is the least that keeps S <= S*: zero below S* and where ∇L·∇S > 0, else, at S = S*,
    σ² = −2∇L·∇S/‖∇S‖².
The flow is then gradient flow projected onto S = S*, and the loss falls at the rate
    dL/dt = −η/(1 − β)·[‖∇L‖² − (∇L·∇S)²/‖∇S‖²] <= 0.
With several unstable directions Σ stands for σ²uuᵀ: ẇ = −η/(1 − β)·q, q = ∇L + ½∇³L:Σ, where Σ and S* − H have no
eigenvalue below 0 and ⟨Σ, S* − H⟩ = 0. Where Σ holds H, ⟨Σ, Ḣ⟩ = 0 and dL/dt = −η/(1 − β)·‖q‖².
Once u·∇L has relaxed to −½σ²u·∇S, σ² is δ² = 2α/b², α = −∇L·∇S⊥, b² = ‖∇S⊥‖² (a7_edge). At matched threshold,
equal paths are run (1 + β)/(1 − β) times as fast as gradient descent's. The flow is that of p = w + β/(1 − β)·v, which
moves by −η/(1 − β)·∇L(w) exactly: from rest, w lags behind it by β/(1 − β) steps.

Assumptions. 0 <= β < 1; S simple; σ constant over many steps; terms of order σ⁴ and second derivatives of the
slow path dropped.

Steps. Average the gradient over both phases; first-order perturbation of the eigenvalue; the steady part of a step;
solve Ṡ = 0; split along u; several directions.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, sigma = sp.symbols("eta beta sigma", positive=True)
x, z = sp.symbols("x z", real=True)  # along u and across it
loss = sp.Function("L")(x, z)


# -- the force ----------------------------------------------------------------------------------------------------
def taylor(function: sp.Expr, shift: sp.Expr) -> sp.Expr:
    """Return function(x + shift) up to third order in the shift."""
    return sum(sp.diff(function, x, n) * shift**n / sp.factorial(n) for n in range(4))


for name, coordinate in (("along u", x), ("across u", z)):
    slope = sp.diff(loss, coordinate)
    PROOF.equal(
        f"Mean gradient over both phases, {name}: ∂L + ½σ²∂(L_xx) + O(σ⁴)",
        (taylor(slope, sigma) + taylor(slope, -sigma)) / 2,
        slope + sigma**2 / 2 * sp.diff(loss, x, 2, coordinate),
    )

top, other, s, d_top, d_cross, d_other = sp.symbols("S S_2 s H_xx H_xz H_zz", real=True)
gap = sp.symbols("g", positive=True)  # S − S_2
hessian = sp.Matrix([[top + s * d_top, s * d_cross], [s * d_cross, top - gap + s * d_other]])
trace, determinant = hessian.trace(), hessian.det()
eigenvalue = trace / 2 + sp.sqrt(trace**2 / 4 - determinant)
PROOF.equal(
    "∂(L_xx) is ∂S: the top eigenvalue of H + s·dH has the derivative uᵀ dH u",
    sp.simplify(sp.diff(eigenvalue, s).subs(s, 0)),
    d_top,
)

# -- the step -----------------------------------------------------------------------------------------------------
D, force, speed = sp.symbols("D F V")
steady = sp.exp(D) - 1 - beta * (1 - sp.exp(-D))
PROOF.equal(
    "The steady part of a step is (1 − β)d/dt to leading order",
    sp.series(steady, D, 0, 2).removeO(),
    (1 - beta) * D,
)
flow = sp.solve((1 - beta) * speed + lr * force, speed)[0]
PROOF.equal("ẇ = −η/(1 − β) times the mean gradient", flow, -lr * force / (1 - beta))
matched = flow.subs(lr, (1 + beta) * lr) / flow.subs(beta, 0)
PROOF.equal("At matched threshold it is (1 + β)/(1 − β) times as fast", matched, (1 + beta) / (1 - beta))

# -- the swing that holds S at S* --------------------------------------------------------------------------------
slope_u, slope_across, rest = sp.symbols("g_u g_perp g_rest", real=True)
rise_u, rise_across = sp.symbols("s_u b", real=True)  # u·∇S and ‖∇S⊥‖, whose direction is the second one
gradient = sp.Matrix([slope_u, slope_across, rest])
sharpening = sp.Matrix([rise_u, rise_across, 0])
variance = sp.symbols("sigma_2", real=True)  # σ²
velocity = -lr / (1 - beta) * (gradient + variance / 2 * sharpening)
held = -2 * gradient.dot(sharpening) / sharpening.dot(sharpening)
PROOF.equal("Ṡ = ∇S·ẇ = 0 at σ² = −2∇L·∇S/‖∇S‖²", sharpening.dot(velocity).subs(variance, held), 0)
PROOF.equal(
    "Ṡ falls with σ²: the least σ² is that one, or 0",
    sp.diff(sharpening.dot(velocity), variance),
    -lr / (1 - beta) * sharpening.dot(sharpening) / 2,
)
loss_rate = gradient.dot(velocity).subs(variance, held)
projected = gradient - gradient.dot(sharpening) / sharpening.dot(sharpening) * sharpening
PROOF.equal(
    "dL/dt = −η/(1 − β)·‖∇L projected onto S = S*‖²", loss_rate, -lr / (1 - beta) * projected.dot(projected)
)
relaxed = sp.solve(variance - held.subs(slope_u, -variance * rise_u / 2), variance)[0]
PROOF.equal(
    "With u·∇L = −½σ²u·∇S: σ² = δ² = 2α/b², α = −∇L·∇S⊥",
    relaxed,
    2 * (-slope_across * rise_across) / rise_across**2,
)
PROOF.equal("and w rests along u", velocity[0].subs(slope_u, -variance * rise_u / 2), 0)

# -- several directions ------------------------------------------------------------------------------------------
y = sp.symbols("y", real=True)
a, b = sp.symbols("a b", real=True)
of_both = sp.Function("L")(x, y, z)
swung = sum(
    sp.diff(sp.diff(of_both, z), x, n, y, m) * a**n * b**m / (sp.factorial(n) * sp.factorial(m))
    for n in range(4)
    for m in range(4 - n)
)
PROOF.equal(
    "A swing ±(a, b) has the mean force ∂L + ½Σᵢⱼ ∂ᵢⱼ∂L, linear in Σ = (a, b)(a, b)ᵀ",
    (swung + swung.subs({a: -a, b: -b}, simultaneous=True)) / 2,
    sp.diff(of_both, z)
    + (
        a**2 * sp.diff(of_both, x, 2, z)
        + 2 * a * b * sp.diff(of_both, x, y, z)
        + b**2 * sp.diff(of_both, y, 2, z)
    )
    / 2,
)
loss_gradient = sp.Matrix(sp.symbols("g_1:4", real=True))
pull = sp.Matrix(sp.symbols("k_1:4", real=True))  # ∇³L:Σ
force_sum = loss_gradient + pull / 2
held_rate = pull.dot(force_sum)  # ⟨Σ, Ḣ⟩ over −η/(1 − β)
PROOF.equal(
    "dL/dt = −η/(1 − β)·[‖q‖² − ½⟨Σ, ∇³L q⟩], and the bracket's last term is 0 where Σ holds H",
    loss_gradient.dot(force_sum),
    sp.expand(force_sum.dot(force_sum) - held_rate / 2),
)
w_now, v_now, slope_now = sp.symbols("w v g")
v_next = beta * v_now - lr * slope_now
lead = beta / (1 - beta)
PROOF.equal(
    "p = w + β/(1 − β)·v moves by −η/(1 − β)·∇L(w) exactly",
    (w_now + v_next + lead * v_next) - (w_now + lead * v_now),
    -lr / (1 - beta) * slope_now,
)

RESULTS = {
    "variance": held,
    "relaxed_variance": relaxed,
    "speed": -flow / force,
    "loss_rate": -lr / (1 - beta) * sp.simplify(projected.dot(projected)),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
