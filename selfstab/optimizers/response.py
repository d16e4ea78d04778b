"""What follows from an optimizer's rule where it is linear: its transfer function, and the numbers of a catapult."""

from __future__ import annotations

import math
from typing import Any

from selfstab import transfer_functions, validation
from selfstab.optimizers.transfer import transfer_of
from selfstab.transfer_functions import Inertia, Transfer, TransferCoefficients
from selfstab.validation import Array


class LinearResponse:
    """Methods of optimizers whose rule is linear in weights, states and gradient."""

    def transfer_function(self, *, of_weights: bool = False) -> tuple[Array, Array]:
        """Return numerator and denominator of T₁, with w = −η T₁(q)∇L and q the forward shift.

        They follow from `rule` and `gradient_point` by exact arithmetic, in lowest terms. At lookahead, w stands for
        the point at which the gradient is taken, so that 1 + ηS·T₁(z) = 0 has the roots of a quadratic of sharpness S.

        Parameters
        ----------
        of_weights
            Whether w stands for the weights, also where the gradient is taken elsewhere.

        Returns
        -------
        numerator, denominator
            Coefficients in z of T at lr 1, the highest power first; the denominator begins with 1.

        Raises
        ------
        NotImplementedError
            If the rule is not linear in weights, states and gradient, or not proportional to lr, or changes with the
            step.

        Examples
        --------
        Of the heavy ball, T₁ = z/((z − 1)(z − β)):

        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> numerator, denominator = HeavyBall(lr=0.1, momentum=0.5).transfer_function()
        >>> numerator.tolist(), denominator.tolist()
        ([1.0, 0.0], [1.0, -1.5, 0.5])
        """
        ratio = self.exact_transfer_function(of_weights=of_weights)
        return transfer_functions.floats(ratio.numerator), transfer_functions.floats(ratio.denominator)

    def exact_transfer_function(self, *, of_weights: bool = False) -> Transfer:
        """Return T₁ as :meth:`transfer_function` does, with fractions as coefficients.

        Rounded coefficients move poles that are close together, such as those of many momenta: what follows from T is
        then found from this one.

        Parameters
        ----------
        of_weights
            As in :meth:`transfer_function`.

        Raises
        ------
        NotImplementedError
            As :meth:`transfer_function`.

        Examples
        --------
        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> HeavyBall(lr=0.1, momentum=0.5).exact_transfer_function().denominator
        (Fraction(1, 1), Fraction(-3, 2), Fraction(1, 2))
        """
        return transfer_of(self, of_weights=of_weights)

    def transfer_coefficients(self) -> TransferCoefficients:
        """Return S*, σ, a₂, c₀ and τ at lr 1: −S*·T(−e^D) = 1 − σD + a₂D² + ..., D·T(e^D) = c₀(1 − τD + ...).

        S* scales with 1/η and c₀ with η; σ, a₂ and τ do not depend on lr.

        Raises
        ------
        NotImplementedError
            If the rule has no transfer function, or another root than z = −1 leaves the unit circle first, or T has
            no pole at z = 1.

        Examples
        --------
        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> HeavyBall(lr=0.1).transfer_coefficients()
        TransferCoefficients(threshold=2.0, sigma=0.5, a2=0.0, c0=1.0, tau=0.5)
        """
        return transfer_functions.coefficients_of(self._flipping())

    def amplification(self) -> float:
        """Return the amplification of self-stabilization at matched S*, relative to gradient descent: c₀S*/2.

        Raises
        ------
        NotImplementedError
            As :meth:`transfer_coefficients`.

        Examples
        --------
        Of the heavy ball it is (1 + β)/(1 − β):

        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> HeavyBall(lr=0.1, momentum=0.5).amplification()
        3.0
        """
        return transfer_functions.amplification_of(self._flipping())

    def inertia(self, excess: Any) -> Inertia:
        """Return the inertia numbers at a relative excess of the sharpness.

        κ_x = ε(1 − a₂/σ²), κ_y = ετ/σ, κ_e = (κ_x + 2κ_y)/3. Of the heavy ball all are ε((1 + β)/(1 − β))².

        Parameters
        ----------
        excess
            ε = S/S* − 1 >= 0; a number or an array.

        Returns
        -------
        swing, sharpness, effective
            κ_x, κ_y and κ_e, of the shape of `excess`.

        Raises
        ------
        TypeError, ValueError
            If excess is out of its range.
        NotImplementedError
            As :meth:`transfer_coefficients`.

        Examples
        --------
        >>> from selfstab.optimizers.heavy_ball import HeavyBall
        >>> [round(kappa, 12) for kappa in HeavyBall(lr=0.1, momentum=0.5).inertia(0.01)]
        [0.09, 0.09, 0.09]
        """
        relative = validation.broadcastable("excess", excess, at_least=0)
        return transfer_functions.inertia_of(self._flipping(), relative)

    def _flipping(self) -> Transfer:
        """Return T, if its swing is the first mode to leave the unit circle."""
        ratio = self.exact_transfer_function()
        _, angle = transfer_functions.first_to_leave(ratio)
        if not math.isclose(angle, math.pi):
            raise NotImplementedError(
                f"the swing of {type(self).__name__} must be the first mode to leave the unit circle, at z = −1, and "
                "is not: its catapults have no law here"
            )
        return ratio
