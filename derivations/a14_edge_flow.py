"""The edge flow: centre, direction and magnitude of the swing, with the inertia of heavy ball.

Statement. Write w_t = c_t + (−1)^t d_t, and e, o for the even and the odd part ½[∇L(c + d) ± ∇L(c − d)]. Then
    c_{t+1} − c_t − β(c_t − c_{t−1}) = −ηe,    d_{t+1} − d_t − β(d_t − d_{t−1}) = ηo − 2(1 + β)d
are heavy ball exactly. Both differences are (1 − β)D + ½(1 + β)D² + (1/6)(1 − β)D³ + (1/24)(1 + β)D⁴ + ...,
D the derivative in time per step: what is dropped after D² is at most D²/6 of what is kept, whatever κ is. With d = ρu,
u a unit vector, the edge flow is
    ½(1 + β)c̈ + (1 − β)ċ = −ηe,    ½(1 + β)ρ̈ + (1 − β)ρ̇ = ηu·o − 2(1 + β)ρ,    u̇ = (η/(1 + β))(Hu − Su).
Across u the swing's own equation rests where (I − uuᵀ)o = 0, to leading order in ρ where u is an eigenvector. So does
u̇, which a top eigenvector attracts at the rate (η/(1 + β))(S − h), h the next eigenvalue. At β = 0 and first order
d's equation is this Rayleigh flow, and ρ̇ = (ηS − 2)ρ: the edge flow of gradient descent.
On the cubic model it is a' + κa'' = ya, y' + κy'' = −½a², κ = (1 + β)ηy₀/(2(1 − β)²), at every β: sharpness
drops by 2y₀G(κ). Without the second derivatives ½y² + ¼b²ρ² is conserved where α = 0, and the drop is 2y₀ at every κ:
no such flow follows a catapult of κ > 1, where G > 2.65. With inertias κ_x of the magnitude and κ_y of the centre,
G = 1 + (κ_x + 2κ_y)/3 + ...: magnitude alone gives a third of the overshoot, centre alone two thirds.
In time by central differences over whole steps the flow is heavy ball of c and ρ.

Assumptions. 0 <= β < 1; one unstable direction; along u the centre is where u·e = 0; α = 0 and an infinitesimal
swing at the start for G.

Steps. Split heavy ball by parity; expand the differences; resolve d = ρu along u and across it; linearize u about an
eigenvector; match a start; discretize; scale; take the energy along the orbit of first order.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, b, y0 = sp.symbols("eta b y_0", positive=True)
beta = sp.symbols("beta", nonnegative=True)
t = sp.symbols("t", integer=True)
sign = (-1) ** t

# -- the split ---------------------------------------------------------------------------------------------------
c, c_old, d, d_old, even, odd = sp.symbols("c c_- d d_- e o", real=True)
c_next = c + beta * (c - c_old) - lr * even
d_next = d + beta * (d - d_old) + lr * odd - 2 * (1 + beta) * d
w, w_old = c + sign * d, c_old - sign * d_old
PROOF.equal(
    "c_{t+1} − (−1)^t d_{t+1} is heavy ball's step from w_t = c + (−1)^t d, where ∇L = e + (−1)^t o",
    c_next - sign * d_next,
    w + beta * (w - w_old) - lr * (even + sign * odd),
)

# -- in continuous time ------------------------------------------------------------------------------------------
D = sp.symbols("D")
difference = sp.exp(D) - 1 - beta * (1 - sp.exp(-D))
expanded = sp.series(difference, D, 0, 5).removeO()
for order, coefficient in ((1, 1 - beta), (2, (1 + beta) / 2), (3, (1 - beta) / 6), (4, (1 + beta) / 24)):
    PROOF.equal(
        f"e^D − 1 − β(1 − e^{{−D}}) at order D^{order}", sp.expand(expanded).coeff(D, order), coefficient
    )
kept = (1 - beta) * D + (1 + beta) / 2 * D**2
rest = (1 - beta) * D**3 / 6 + (1 + beta) / 24 * D**4
PROOF.equal(
    "Dropped is D²/6 of the first term and D²/12 of the second: small with D, at every κ",
    rest,
    D**2 / 6 * (1 - beta) * D + D**2 / 12 * (1 + beta) / 2 * D**2,
)

# -- direction and magnitude -------------------------------------------------------------------------------------
time = sp.symbols("t", real=True)
rho, angle = sp.Function("rho")(time), sp.Function("theta")(time)
u = sp.Matrix([sp.cos(angle), sp.sin(angle)])
across = sp.Matrix([-sp.sin(angle), sp.cos(angle)])
swing = rho * u
left = (1 + beta) / 2 * swing.diff(time, 2) + (1 - beta) * swing.diff(time)
PROOF.equal(
    "d = ρu, along u: ½(1 + β)(ρ̈ − ρ|u̇|²) + (1 − β)ρ̇",
    sp.trigsimp(left.dot(u)),
    (1 + beta) / 2 * (rho.diff(time, 2) - rho * angle.diff(time) ** 2) + (1 - beta) * rho.diff(time),
)
PROOF.equal(
    "across u every term has u̇ or ü: it rests where (I − uuᵀ)o = 0",
    sp.trigsimp(left.dot(across)),
    (1 + beta) / 2 * (rho * angle.diff(time, 2) + 2 * rho.diff(time) * angle.diff(time))
    + (1 - beta) * rho * angle.diff(time),
)
top, below, small = sp.symbols("S h theta", real=True)
hessian = sp.diag(top, below)
near = sp.Matrix([sp.cos(small), sp.sin(small)])
rayleigh = hessian * near - near.dot(hessian * near) * near
normal = sp.Matrix([-sp.sin(small), sp.cos(small)])
PROOF.equal(
    "Rayleigh flow near the eigenvector: the angle obeys θ̇ = −(η/(1 + β))(S − h) sin θ cos θ",
    lr / (1 + beta) * rayleigh.dot(normal),
    -lr / (1 + beta) * (top - below) * sp.sin(small) * sp.cos(small),
)
PROOF.equal("and stays of unit length", rayleigh.dot(near), 0)
first = lr * hessian * near - 2 * near  # ḋ/ρ of gradient descent, to leading order in ρ
PROOF.equal("β = 0 and first order: ρ̇/ρ = ηS(u) − 2", first.dot(near), lr * near.dot(hessian * near) - 2)
PROOF.equal("and u̇ = η(Hu − Su), Rayleigh flow itself", first.dot(normal), lr * rayleigh.dot(normal))

# -- the start ---------------------------------------------------------------------------------------------------
force, change, h = sp.symbols("F Delta h", positive=True)
steady = force / (1 - beta)
iterates_lead = (change - steady) * beta / (1 - beta)  # Σ β^s (Δ − F/(1 − β)), s >= 1
velocity = 2 * (beta * change + force / 2) / (1 + beta)
flow_lead = (velocity - steady) * (1 + beta) / (2 * (1 - beta))
PROOF.equal(
    "Under a constant force, ½(1 + β)Ḟ = βΔ + ½F at the start puts the flow where the iterates go",
    flow_lead,
    iterates_lead,
)

# -- in substeps -------------------------------------------------------------------------------------------------
after = (1 + beta) / (2 * h**2) + (1 - beta) / (2 * h)
before = (1 + beta) / (2 * h**2) - (1 - beta) / (2 * h)
F_next, F_now, F_old = sp.symbols("F_+ F_0 F_-", real=True)
central = (1 + beta) / 2 * (F_next - 2 * F_now + F_old) / h**2 + (1 - beta) * (F_next - F_old) / (2 * h)
PROOF.equal(
    "Central differences over h: a₊(F₊ − F) − a₋(F − F₋)",
    central,
    after * (F_next - F_now) - before * (F_now - F_old),
)
PROOF.equal("over whole steps a₊ = 1", after.subs(h, 1), 1)
PROOF.equal("and a₋ = β: heavy ball", before.subs(h, 1), beta)
acceleration = (force - (1 - beta) * velocity) * 2 / (1 + beta)
PROOF.equal(
    "The start's a₋(F − F₋) is (βΔ + ½F)/h − ½F, up to O(h): βΔ for whole steps, as heavy ball has it",
    sp.limit(
        before * (h * velocity - h**2 / 2 * acceleration) - ((beta * change + force / 2) / h - force / 2),
        h,
        0,
    ),
    0,
)

# -- the cubic model ---------------------------------------------------------------------------------------------
s, kappa, kx, ky = sp.symbols("s kappa kappa_x kappa_y", positive=True)
a, Y = sp.Function("a")(s), sp.Function("Y")(s)
rate = lr * y0 / (1 - beta)  # s = rate·t
size = y0 / b  # ρ = size·a, y = y0·Y
inertia = (1 + beta) * lr * y0 / (2 * (1 - beta) ** 2)
magnitude_side = (1 + beta) / 2 * rate**2 * size * a.diff(s, 2) + (1 - beta) * rate * size * a.diff(s)
PROOF.equal(
    "Cubic model, ηu·o − 2(1 + β)ρ = ηyρ: a' + κa'' = ya",
    (magnitude_side - lr * y0 * Y * size * a) / (lr * y0 * size),
    a.diff(s) + inertia * a.diff(s, 2) - Y * a,
)
centre_side = (1 + beta) / 2 * rate**2 * y0 * Y.diff(s, 2) + (1 - beta) * rate * y0 * Y.diff(s)
PROOF.equal(
    "and y' + κy'' = −½a²",
    (centre_side + lr * b**2 * (size * a) ** 2 / 2) / (lr * y0**2),
    Y.diff(s) + inertia * Y.diff(s, 2) + a**2 / 2,
)
excess = sp.symbols("epsilon", positive=True)
PROOF.equal(
    "κ = ε((1 + β)/(1 − β))²",
    inertia.subs(y0, excess * 2 * (1 + beta) / lr),
    excess * ((1 + beta) / (1 - beta)) ** 2,
)

# -- what the inertia is for -------------------------------------------------------------------------------------
energy = Y**2 / 2 + a**2 / 4
slope = energy.diff(s)
PROOF.equal(
    "Of first order, a' = ya and y' = −½a²: ½y² + ¼a² is conserved, and y ends at −1: a drop of 2y₀ at every κ",
    slope.subs({a.diff(s): Y * a, Y.diff(s): -(a**2) / 2}),
    0,
)
of_x = slope.subs({a.diff(s): Y * a - kx * a.diff(s, 2), Y.diff(s): -(a**2) / 2 - ky * Y.diff(s, 2)})
PROOF.equal(
    "With inertias it changes by −κ_y yy'' − ½κ_x aa''",
    of_x,
    -ky * Y * Y.diff(s, 2) - kx / 2 * a * a.diff(s, 2),
)
orbit_y, orbit_a = -sp.tanh(s), sp.sqrt(2) / sp.cosh(s)
PROOF.equal("The orbit of first order: y' = −½a²", orbit_y.diff(s), -(orbit_a**2) / 2)
PROOF.equal("and a' = ya", orbit_a.diff(s), orbit_y * orbit_a)
z = sp.symbols("z", real=True)  # tanh s; ds = dz/(1 − z²)
of_y = sp.integrate(sp.expand(2 * z**2 * (1 - z**2)) / (1 - z**2), (z, -1, 1))
PROOF.equal("−yy'' on it is 2 tanh² s sech² s: its integral is 4/3", -of_y, -sp.Rational(4, 3))
PROOF.equal(
    "yy'' on it",
    (orbit_y * orbit_y.diff(s, 2)).rewrite(sp.exp),
    (-2 * sp.tanh(s) ** 2 / sp.cosh(s) ** 2).rewrite(sp.exp),
)
PROOF.equal(
    "and aa'' is 2 sech² s (2 tanh² s − 1)",
    (orbit_a * orbit_a.diff(s, 2)).rewrite(sp.exp),
    (2 / sp.cosh(s) ** 2 * (2 * sp.tanh(s) ** 2 - 1)).rewrite(sp.exp),
)
of_a = sp.integrate(sp.expand(2 * (2 * z**2 - 1)), (z, -1, 1))
gain = ky * of_y - kx / 2 * of_a  # of ½y_f²
G = 1 + gain / 2  # y_f = −(2G − 1), to first order ½y_f² = ½ + 2(G − 1)
PROOF.equal("G = 1 + (κ_x + 2κ_y)/3 to first order", G, 1 + (kx + 2 * ky) / 3)
PROOF.equal("Both: 1 + κ, the overshoot law's", G.subs({kx: kappa, ky: kappa}), 1 + kappa)

RESULTS = {"inertia": inertia, "overshoot": G, "after": after, "before": before}

if __name__ == "__main__":
    PROOF.show(RESULTS)
