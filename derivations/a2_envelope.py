"""The envelope of the oscillation obeys heavy ball itself.

Statement. With x_t = (−1)^t A_t, the cubic model's update
    x_{t+1} = x_t − η(S* + y_t)x_t + β(x_t − x_{t−1}),    S* = 2(1 + β)/η,
    y_{t+1} = y_t + η(α − b²x_t²/2) + β(y_t − y_{t−1})
is exactly
    A_{t+1} − A_t − β(A_t − A_{t−1}) = η y_t A_t,
    y_{t+1} − y_t − β(y_t − y_{t−1}) = η(α − b²A_t²/2):
growth of the oscillation and fall of sharpness share one inertia. In X = ηbx, Y = ηy, a = η²α only β and a
are left.

Assumptions. None: an identity, at any step.

Steps. The model is the gradient of L(x, z) = ½(S* + bz)x² − (α/b)z. Insert; compare; rescale.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

lr, beta, alpha, b = sp.symbols("eta beta alpha b", positive=True)
t = sp.symbols("t", integer=True)
x, z, x_previous, z_previous, y, y_previous = sp.symbols("x z x_previous z_previous y y_previous")
A, A_next, A_previous = sp.symbols("A A_next A_previous")

threshold = 2 * (1 + beta) / lr
loss = (threshold + b * z) * x**2 / 2 - alpha / b * z
x_next = x - lr * sp.diff(loss, x) + beta * (x - x_previous)
z_next = z - lr * sp.diff(loss, z) + beta * (z - z_previous)
in_y = {z: y / b, z_previous: y_previous / b}

PROOF.equal("Update of x", x_next.subs(in_y), x - lr * (threshold + y) * x + beta * (x - x_previous))
PROOF.equal(
    "Update of y = bz", b * z_next.subs(in_y), y + lr * (alpha - b**2 * x**2 / 2) + beta * (y - y_previous)
)

sign = (-1) ** t
flipped = {x: sign * A, x_previous: -sign * A_previous}
envelope = A_next - A - beta * (A - A_previous) - lr * y * A
PROOF.equal(
    "x_{t+1} minus its update, with x_t = (−1)^t A_t, is (−1)^{t+1} times the envelope's equation",
    -sign * A_next - x_next.subs(in_y).subs(flipped),
    -sign * envelope,
)
PROOF.equal("x² = A²: the equation of y is unchanged", (x**2).subs(flipped), A**2)

X, Y, a = sp.symbols("X Y a")
X_previous, Y_previous = sp.symbols("X_previous Y_previous")
scaled = {
    x: X / (lr * b),
    x_previous: X_previous / (lr * b),
    y: Y / lr,
    y_previous: Y_previous / lr,
    alpha: a / lr**2,
}
PROOF.equal(
    "Nondimensional update of X",
    (lr * b * x_next.subs(in_y)).subs(scaled),
    X - (2 * (1 + beta) + Y) * X + beta * (X - X_previous),
)
PROOF.equal(
    "Nondimensional update of Y",
    (lr * b * z_next.subs(in_y)).subs(scaled),
    Y + a - X**2 / 2 + beta * (Y - Y_previous),
)

RESULTS = {
    "envelope_next": A + beta * (A - A_previous) + lr * y * A,
    "sharpness_next": y + lr * (alpha - b**2 * A**2 / 2) + beta * (y - y_previous),
}

if __name__ == "__main__":
    PROOF.show(RESULTS)
