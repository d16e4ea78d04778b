"""Modes of heavy ball on a quadratic, and the regions of (ηS, β).

Statement. Along an eigenvector of curvature S the update w_{t+1} = w_t − ηS w_t + β(w_t − w_{t−1}) has
modes λ^t with λ² − (1 + β − h)λ + β = 0, h = ηS. The motion is
    monotone                      for 0 < h <= (1 − √β)²       (both roots real, not negative),
    oscillating, |λ| = √β exactly  for (1 − √β)² < h < (1 + √β)²,
    flip (period-two decay)       for (1 + √β)² <= h < 2(1 + β)  (both roots real, negative),
    divergent                     for h > 2(1 + β).

Assumptions. 0 <= β < 1, h > 0; s = √β.

Steps. The characteristic polynomial is that of the map's companion matrix. Its discriminant factors. A
complex pair has |λ|² = λ₁λ₂ = β. At the ends of the complex interval the sum of the roots is ±2s, and
outside it its sign is known; with the product β >= 0 it gives the sign of both roots. Real roots of
product β < 1 and of one sign can only leave [−1, 1] through p(±1) = 0: p(1) = h > 0, and p(−1) = 2(1 + β)
− h.
"""

import sympy as sp

from .proof import Proof

PROOF = Proof(__doc__)

h, s, beta = sp.symbols("h s beta", positive=True)
lam = sp.symbols("lambda")

companion = sp.Matrix([[1 - h + s**2, -(s**2)], [1, 0]])  # (w_t, w_{t−1}) → (w_{t+1}, w_t)
polynomial = (lam * sp.eye(2) - companion).det()
trace, determinant = companion.trace(), companion.det()
monotone_end, oscillating_end, flip_end = (1 - s) ** 2, (1 + s) ** 2, 2 * (1 + s**2)

PROOF.equal("Characteristic polynomial", polynomial, lam**2 - (1 + s**2 - h) * lam + s**2)
PROOF.equal(
    "Its discriminant factors", trace**2 - 4 * determinant, (h - monotone_end) * (h - oscillating_end)
)
PROOF.equal("The product of the roots, |λ|² of a complex pair, is β", determinant, s**2)
PROOF.equal("Sum of the roots at or below the lower end: 2√β + a term >= 0", trace - 2 * s, monotone_end - h)
PROOF.equal(
    "Sum of the roots at or above the upper end: −2√β − a term >= 0", trace + 2 * s, oscillating_end - h
)
PROOF.equal("No root reaches +1 while h > 0", polynomial.subs(lam, 1), h)
PROOF.equal("A root reaches −1 at h = 2(1 + β)", polynomial.subs(lam, -1), flip_end - h)
PROOF.equal("The other root is then −β, inside the circle", determinant / -1, -(s**2))
PROOF.equal(
    "The flip region is not empty: 2(1 + β) − (1 + √β)² = (1 − √β)²", flip_end - oscillating_end, (1 - s) ** 2
)

PROOF.equal(
    "The modes are trace/2 ± √discriminant/2: their product is the determinant",
    (trace**2 - (h - monotone_end) * (h - oscillating_end)) / 4,
    determinant,
)

root = sp.sqrt((h - (1 - sp.sqrt(beta)) ** 2) * (h - (1 + sp.sqrt(beta)) ** 2))
half = (1 + beta - h) / 2
RESULTS = {
    "polynomial": polynomial.subs(s, sp.sqrt(beta)),
    "first_mode": half + root / 2,
    "second_mode": half - root / 2,
    "monotone_end": monotone_end.subs(s, sp.sqrt(beta)),
    "oscillating_end": oscillating_end.subs(s, sp.sqrt(beta)),
    "flip_end": flip_end.subs(s, sp.sqrt(beta)),
    "oscillating_modulus": sp.sqrt(beta),
}
if __name__ == "__main__":
    PROOF.show(RESULTS)
