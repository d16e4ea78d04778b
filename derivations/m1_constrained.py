"""The constrained trajectory under momentum, and the predicted dynamics of what swings about it.

Statement. Let w†_t be heavy ball projected onto {S <= S*, u·∇L = 0} after each step, the velocity being that of w†
itself, and v = w − w†, x = u·v, y = ∇S⊥·v. With v = O(δ), ∇L(w†) = O(δ²), at the edge S(w†) = S*,
    v_{t+1} = v_t − η[½(x² − δ²)∇S⊥ + Hv + xyu] + β(v_t − v_{t−1}),    δ² = 2α/b²,
up to terms ½c₃x² + ½u·L₃[v⊥, v⊥] along u and x L₃[u, v⊥] + ½L₃[v⊥, v⊥] across it. δ does not depend on β: both
velocities are tangent to the constraint. At β = 0 it is Damian et al.'s predicted dynamics. The terms even in x along
u and odd in x across it change the mean motion by O(δ³) only; ½L₃[v⊥, v⊥] across u does by O(δ²), small against Hv
where v⊥ is not along flat directions, and no force along those if they are tangent to minima.
Off the edge a projection takes ½ηb²δ² = max(S(w†_t) − S* + ηα + β(S(w†_t) − S(w†_{t−1})), 0): the projected form.

A linearized projection is Δ = μu + λ∇S⊥, μ = −u·∇L/S the Newton step along u, λ = −max(S − S* + μu·∇S, 0)/b²: it
leaves O(c² + ‖∇L‖c) of constraints violated by c, so that after a step (c = O(δ²)) three leave O(δ⁸). Without μu·∇S,
as Damian et al. have it, a projection leaves what Newton's step did to S, and three leave O(δ⁶).

At large κ the swing reaches y = −(2G − 1)y₀, and the prediction must carry along u and across it
    S*x + x(y + ½L₄[u, u, v⊥, v⊥]) + ½(c₃x² + u·L₃[v⊥, v⊥]) + (1/6)c₄x³,    ½x²(∇S⊥ + L₄[u, u, v⊥]) + x L₃[u, v⊥]
beside Hv and ½L₃[v⊥, v⊥]: together they make the curvature S'' of sharpness, which counts by the relative drop 2εG, and
the quartic number τ, which counts by ε (a5_deviation). The gradient ∇L(w† + v) − ∇L(w†) itself carries all: it is the
run, less w†.

The two-scale form writes w = m + xu(m), with m slow. The gradient there has a part even in x and one odd in it; the
even part and the odd part along u are the slopes of one potential,
    Φ(m, x) = ½[L(m + xu) + L(m − xu)] = L(m) + ½S(m)x² + (1/24)c₄(m)x⁴ + ...,
in m and in x. Heavy ball on Φ, m across u, x along it, and m along u where u·∇Φ = 0 (−½c₃x²/S from the minimum), is
closed, and has all of the above at any depth of v⊥ but the odd part across u, which at m is (1/6)x³L₄[u, u, u].

Assumptions. 0 <= β < 1; S simple; δ small; (i) is exact, (ii) to second order, (iii) to leading order with α, b, u
changing by O(δ²) a step.

Steps.
(i)   Subtract the two updates.
(ii)  Expand the gradient about w†; separate what is dropped by parity in x.
(iii) Minimize ‖Δ‖ under the linearized constraints; expand what it leaves in powers of δ.
(iv)  Apply that to one step from the edge: the projection's displacement is −½ηδ²∇S⊥; assemble.
(v)   Set β = 0.
(vi)  Expand to third order.
(vii) Split the gradient by parity in x; compare with (ii) and (vi).
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, S, b = sp.symbols("eta S_star b", positive=True)
beta = sp.symbols("beta", nonnegative=True)
alpha, delta = sp.symbols("alpha delta", positive=True)
x, p, r = sp.symbols("x p r", real=True)  # v along u, along ∇S⊥ and along another direction
v = sp.Matrix([x, p, r])
NAMES = "xpr"

# -- (i) the difference of the updates ---------------------------------------------------------------------------
w, w_old, c, c_old, force, force_c, shift = sp.symbols("w w_- w^† w^†_- F F^† c", real=True)
real_step = w - lr * force + beta * (w - w_old)
constrained_step = c - lr * force_c + beta * (c - c_old) + shift
PROOF.equal(
    "v_{t+1} = v_t − η[∇L(w† + v) − ∇L(w†)] + β(v_t − v_{t−1}) − c_t, c_t the projection's displacement",
    real_step - constrained_step,
    (w - c) - lr * (force - force_c) + beta * ((w - c) - (w_old - c_old)) - shift,
)

# -- (ii) the gradient about w† ----------------------------------------------------------------------------------
hessian = sp.Matrix(3, 3, lambda i, j: sp.Symbol("h_" + "".join(sorted(NAMES[i] + NAMES[j])), real=True))
edge = {hessian[0, 0]: S, hessian[0, 1]: 0, hessian[0, 2]: 0}  # u is the top eigenvector
hessian = hessian.subs(edge)


def derivative(indices: tuple[int, ...]) -> sp.Symbol:
    """Return the symbol of a derivative of the loss, such as L_xxp."""
    return sp.Symbol("L_" + "".join(NAMES[i] for i in sorted(indices)), real=True)


def tensor(order: int, i: int) -> sp.Expr:
    """Return component i of L_order[v, ..., v]."""
    indices = [()]
    for _ in range(order - 1):
        indices = [(*k, j) for k in indices for j in range(3)]
    return sp.expand(sum(derivative((i, *k)) * sp.prod([v[j] for j in k]) for k in indices))


at_w = {derivative((0, 0, 1)): b, derivative((0, 0, 2)): 0}  # ∇S⊥ has length b, and is along p
y = b * p
second = [(tensor(3, i) / 2).subs(at_w) for i in range(3)]
kept = [x * y, b * x**2 / 2, sp.Integer(0)]
across = {i: sp.expand(second[i].subs(x, 0)) for i in range(3)}  # ½L₃[v⊥, v⊥]
c3 = derivative((0, 0, 0))
PROOF.equal("½L₃[v, v] along u: xy + ½c₃x² + ½u·L₃[v⊥, v⊥]", second[0], kept[0] + c3 * x**2 / 2 + across[0])
dropped = [second[i] - kept[i] for i in range(3)]
PROOF.equal(
    "What is dropped along u is even in x: no force on the alternating part",
    dropped[0].subs(x, -x),
    dropped[0],
)
for i, name in ((1, "∇S⊥"), (2, "the other direction")):
    PROOF.equal(
        f"½L₃[v, v] along {name}: ½x²∇S⊥ + x L₃[u, v⊥] + ½L₃[v⊥, v⊥]",
        second[i],
        kept[i] + x * sum(derivative((0, i, j)) * v[j] for j in (1, 2)) + across[i],
    )
    PROOF.equal(
        "What is dropped there is odd in x, an alternating force, up to ½L₃[v⊥, v⊥]",
        (dropped[i] - across[i]).subs(x, -x),
        -(dropped[i] - across[i]),
    )
size = sp.symbols("h", positive=True)
offset, wobble = sp.symbols("B C", real=True)  # the answers: a steady part of x, an alternating one of v⊥
answer = {x: size * x + size**2 * offset, p: size * p + size**2 * wobble}
PROOF.equal(
    "The answers, O(δ²), act back at O(δ³): through xy and ½bx²",
    sp.Add(
        *(
            sp.expand(k.subs(answer, simultaneous=True) - size**2 * k).coeff(size, n)
            for k in kept
            for n in range(3)
        )
    ),
    0,
)

# -- (iii) the projection ------------------------------------------------------------------------------------------
sharper_u = sp.symbols("s_u", real=True)  # ∇S along u
excess, slope_u, sharpness, mu, lam = sp.symbols(
    "e g_u S mu lambda", real=True
)  # S − S*, u·∇L, S and the step
steepness = sp.Matrix([sharper_u, b, 0])  # ∇S
step = sp.Matrix([mu, lam * b, 0])
solution = {mu: -slope_u / sharpness, lam: -(excess - slope_u / sharpness * sharper_u) / b**2}
PROOF.equal("Linearized, S = S* after the step", (excess + steepness.dot(step)).subs(solution), 0)
PROOF.equal("and u·∇L = 0, with Su as its gradient", (slope_u + sharpness * step[0]).subs(solution), 0)
other = sp.Matrix(sp.symbols("m_1 m_2 m_3", real=True))
feasible = {other[0]: 0, other[1]: 0}  # orthogonal to u and ∇S
PROOF.equal(
    "It is the shortest: ‖Δ + m‖² = ‖Δ‖² + ‖m‖² for m that keeps both",
    ((step + other).dot(step + other) - step.dot(step)).subs(feasible),
    other.dot(other).subs(feasible),
)
small, gap = sp.symbols("epsilon g", positive=True)  # g = S − h of the mode along ∇S⊥
turn = sp.symbols("theta", real=True)
block = sp.Matrix(
    [[S + small * b * p, small * derivative((0, 1, 1)) * p], [small * derivative((0, 1, 1)) * p, S - gap]]
)
eigenvector = sp.Matrix([1, small * turn])
residual = (block * eigenvector - (S + small * b * p) * eigenvector).applyfunc(
    lambda entry: sp.expand(entry).coeff(small, 1)
)
turned = derivative((0, 1, 1)) * p / gap
PROOF.equal(
    "A step p along ∇S⊥ turns u by L₃[u, e, e]p/(S − h), e along it", residual[1].subs(turn, turned), 0
)
PROOF.equal("and the first residual vanishes too", residual[0], 0)
PROOF.true(
    "Nothing else enters at that order: the residual is linear in the turning with the slope −(S − h) ≠ 0",
    sp.diff(residual[1], turn) == -gap,
)


def left_by(k: int) -> tuple[sp.Expr, sp.Expr]:
    """Return what a projection leaves of S − S* and u·∇L that were of order h^k, with ∇L = O(h²), as series in h."""
    before = {excess: size**k * excess, slope_u: size**k * slope_u, sharpness: S}
    mu_k, lam_k = (solution[c].subs(before, simultaneous=True) for c in (mu, lam))
    shift = {x: mu_k, p: lam_k * b}  # the step Δ
    bending = (
        derivative((0, 0, 0, 0)) * x**2 / 2
        + derivative((0, 0, 0, 1)) * x * p
        + derivative((0, 0, 1, 1)) * p**2 / 2
    )
    mixing = (derivative((0, 0, 1)) * x + derivative((0, 1, 1)) * p) ** 2 / gap
    sharper = before[excess] + sharper_u * x + b * p + bending + mixing.subs(at_w)
    slope = before[slope_u] + S * x + sharper_u * x**2 / 2 + b * x * p + derivative((0, 1, 1)) * p**2 / 2
    turning = (b * x + derivative((0, 1, 1)) * p) / gap
    rises = -(size**2) * alpha / b + (S - gap) * p  # ∇L along e, after the step
    return tuple(
        sp.expand(rest.subs(shift, simultaneous=True)) for rest in (sharper, slope + turning * rises)
    )


k = 2
for passes in (1, 2, 3):
    rests = left_by(k)
    PROOF.true(
        f"Projection {passes}: from O(δ^{k}) both constraints are left at O(δ^{k + 2}), u·∇L by ∇L's share as u turns",
        all(rest.coeff(size, n) == 0 for rest in rests for n in range(k + 2))
        and sp.simplify(rests[1].coeff(size, k + 2)) != 0,
    )
    k += 2

# -- (iv) the projection's displacement --------------------------------------------------------------------------
g_r, d_old_r = sp.symbols("g_r d_-r", real=True)
gradient = sp.Matrix([0, -alpha / b, g_r])  # u·∇L = 0 on the constraint, and α = −∇L·∇S⊥
moved_before = sp.Matrix([0, 0, d_old_r])  # tangent to both constraints, to leading order
growth = sp.Matrix([0, b, 0])  # ∇S⊥
free = beta * moved_before - lr * gradient  # heavy ball's step from w†, before the projection
PROOF.equal(
    "A step from the edge raises S by ηα to leading order, at every β", steepness.dot(free), lr * alpha
)
PROOF.equal("and leaves u·∇L = 0: its gradient Su is orthogonal to it", (hessian * free)[0], 0)
after_step = {excess: steepness.dot(free), slope_u: (hessian * free)[0]}
displacement = step.subs(solution).subs(after_step)
for i in range(3):
    PROOF.equal(
        f"so that the projection moves by −½ηδ²∇S⊥, component {i + 1}",
        displacement[i],
        (-lr * delta**2 / 2 * growth)[i].subs(delta, sp.sqrt(2 * alpha) / b),
    )
below, risen = sp.symbols("e_0 s", real=True)  # S − S* at w†_t, and S(w†_t) − S(w†_{t−1})
drift = free + beta * sp.Matrix([0, risen / b, 0])  # a velocity that is not tangent to S = S*
carried = below + steepness.dot(drift)
PROOF.equal(
    "Off the edge a step from it takes S − S* to e₀ + ηα + β(S − S₋)",
    carried,
    below + lr * alpha + beta * risen,
)
for i in range(3):
    PROOF.equal(
        f"and the projection, where that is positive, moves by −(e₀ + ηα + β(S − S₋))∇S⊥/b², component {i + 1}",
        step.subs(solution).subs({excess: carried, slope_u: 0})[i],
        (-carried / b**2 * growth)[i],
    )
linear = hessian * v
old = sp.Matrix(sp.symbols("x_- p_- r_-", real=True))
tilt = sp.Matrix([x * y, 0, 0])
predicted = v - lr * ((x**2 - delta**2) / 2 * growth + linear + tilt) + beta * (v - old)
force_kept = linear + sp.Matrix(second) - sp.Matrix(dropped)
assembled = v - lr * force_kept + beta * (v - old) - displacement.subs(alpha, b**2 * delta**2 / 2)
for i in range(3):
    PROOF.equal(
        f"(i) with the forces of (ii) and this: predicted dynamics, component {i + 1}",
        assembled[i],
        predicted[i],
    )
PROOF.equal(
    "At the balance x² = δ², y = 0, nothing drives v across u",
    predicted[1].subs({x: delta, p: 0, r: 0, old[1]: 0}),
    0,
)

# -- (v) without momentum ---------------------------------------------------------------------------------------
plain = predicted.subs(beta, 0)
PROOF.equal("β = 0, S* = 2/η: x_{t+1} = −(1 + ηy)x", plain[0].subs(S, 2 / lr), -(1 + lr * y) * x)
for i in (1, 2):
    PROOF.equal(
        f"β = 0, component {i + 1}: (I − ηH)v⊥ + ½η(δ² − x²)∇S⊥, Damian et al.'s",
        plain[i],
        v[i] - lr * sum(hessian[i, j] * v[j] for j in (1, 2)) + lr * (delta**2 - x**2) / 2 * growth[i],
    )

# -- (vi) large catapults ----------------------------------------------------------------------------------------
third = [(tensor(4, i) / 6) for i in range(3)]
c4 = derivative((0, 0, 0, 0))
of_y = sum(derivative((0, 0, i, j)) * v[i] * v[j] for i in (1, 2) for j in (1, 2)) / 2
along_u = sp.expand(third[0])
PROOF.equal(
    "(1/6)L₄[v, v, v] along u: the parts odd in x are x·½L₄[u, u, v⊥, v⊥] and (1/6)c₄x³",
    (along_u - along_u.subs(x, -x)) / 2,
    x * of_y + c4 * x**3 / 6,
)
for i in (1, 2):
    even = sp.expand((third[i] + third[i].subs(x, -x)) / 2 - third[i].subs(x, 0))
    PROOF.equal(
        f"and across it, component {i + 1}, even in x: ½x²L₄[u, u, v⊥]",
        even,
        x**2 / 2 * sum(derivative((0, 0, i, j)) * v[j] for j in (1, 2)),
    )
    PROOF.equal(
        "which with ½x²∇S⊥ is the slope of x²/2 times the sharpness of second order: one potential",
        kept[i] + even,
        sp.diff(x**2 / 2 * (S + y + of_y), v[i]),
    )

# -- (vii) two scales --------------------------------------------------------------------------------------------
slope = sp.Matrix(sp.symbols("g_x g_p g_r", real=True))
full = [
    slope[i] + linear[i] + second[i] + third[i] for i in range(3)
]  # the gradient at w† + v, to third order
loss_there = sum(
    sp.integrate(sp.expand(full[i]).subs({v[j]: 0 for j in range(i + 1, 3)}), (v[i], 0, v[i]))
    for i in range(3)
)
for i in range(3):
    full[i] = sp.expand(sp.diff(loss_there, v[i]))
potential = sp.expand((loss_there + loss_there.subs(x, -x)) / 2)
PROOF.equal(
    "½[∇L(m + xu) ± ∇L(m − xu)]: along u the odd part is ∂Φ/∂x",
    (full[0] - full[0].subs(x, -x)) / 2,
    sp.diff(potential, x),
)
for i in (1, 2):
    PROOF.equal(
        f"and across it, component {i + 1}, the even part is that of ∇Φ",
        (full[i] + full[i].subs(x, -x)) / 2,
        sp.diff(potential, v[i]),
    )
there = {p: 0, r: 0}
PROOF.equal("Φ = L + ½Sx² + (1/24)c₄x⁴ at m", potential.subs(there), S * x**2 / 2 + c4 * x**4 / 24)
PROOF.equal(
    "With v⊥ it has the terms odd in x along u that large catapults ask for",
    sp.diff(potential, x),
    S * x + x * (y + of_y) + c4 * x**3 / 6,
)
for i in (1, 2):
    odd = (full[i] - full[i].subs(x, -x)) / 2
    PROOF.equal(
        f"What it leaves out, component {i + 1}, is (1/6)x³L₄[u, u, u] at m",
        odd.subs(there),
        x**3 / 6 * derivative((0, 0, 0, i)),
    )
rest = sp.Symbol("B", real=True)  # of m along u
along = (sp.diff(loss_there, x).subs(x, rest + x) + sp.diff(loss_there, x).subs(x, rest - x)) / 2
along = sp.expand(along.subs(there).subs({slope[0]: 0, rest: size**2 * rest, x: size * x}, simultaneous=True))
PROOF.equal(
    "u·∇Φ = 0 puts m at −½c₃x²/S along u, to leading order",
    along.coeff(size, 2).subs(rest, -c3 * x**2 / (2 * S)),
    0,
)

carried_u = S * x + x * (y + of_y) + c3 * x**2 / 2 + across[0] + c4 * x**3 / 6
carried_p = x**2 / 2 * (b + derivative((0, 0, 1, 1)) * p) + x * derivative((0, 1, 1)) * p
RESULTS = {
    "next_x": predicted[0],
    "next_y": sp.expand(b * predicted[1]),
    "next_other": predicted[2],
    "newton_step": solution[mu],
    "multiplier": solution[lam],
    "delta": sp.sqrt(2 * alpha) / b,
    "carried_along_u": carried_u,
    "carried_across": carried_p,
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
