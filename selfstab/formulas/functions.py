"""Functions that SymPy lacks, or whose derivatives it writes in a form that loses digits or overflows.

Each is a SymPy function whose derivatives are such functions again. It prints as a call of the kernel's function of its
name (:mod:`selfstab.kernels.elementary`) unless it says otherwise. All are real: of what is not real they are nan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy

if TYPE_CHECKING:

    class Function:
        """What is used of SymPy's functions, which have no types."""

        args: tuple[Any, ...]

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Return the function of these arguments."""

else:
    from sympy import Function


class RealFunction(Function):
    """A real function that kernels know."""

    is_extended_real = True

    def _kernel_source(self, printer: Any) -> str:
        """Return the text of a kernel; SymPy's printers call it (see printing)."""
        return f"{type(self).__name__}({', '.join(printer._print(a) for a in self.args)})"

    def _sympystr(self, printer: Any) -> str:
        return f"{type(self).__name__}({', '.join(printer._print(a) for a in self.args)})"


class OddFunction(RealFunction):
    """A real function f with f(−x) = −f(x)."""

    nargs = 1

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return minus the function of −x where that is the simpler argument."""
        return -cls(-x) if x.could_extract_minus_sign() else None


class softplus(RealFunction):
    """log(1 + eˣ)."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sigmoid(self.args[0])


class sigmoid(RealFunction):
    """1/(1 + e⁻ˣ)."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sigmoid_slope(self.args[0])


class sigmoid_slope(RealFunction):
    """eˣ/(1 + eˣ)², the derivative of the sigmoid function."""

    nargs = 1
    is_positive = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return the function of −x, which is the same, where that is the simpler argument."""
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -sigmoid_slope(self.args[0]) * Tanh(self.args[0] / 2)


class logcosh(RealFunction):
    """log(cosh x)."""

    nargs = 1
    is_nonnegative = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return the function of −x, which is the same, where that is the simpler argument."""
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return Tanh(self.args[0])


class Tanh(OddFunction):
    """The hyperbolic tangent; its derivative is sech², where SymPy's is 1 − tanh²."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sech(self.args[0]) ** 2

    def _sympystr(self, printer: Any) -> str:
        return f"tanh({printer._print(self.args[0])})"

    def _kernel_source(self, printer: Any) -> str:
        return f"tanh({printer._print(self.args[0])})"


class sech(RealFunction):
    """1/cosh x."""

    nargs = 1
    is_positive = True

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return the function of −x, which is the same, where that is the simpler argument."""
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -sech(self.args[0]) * Tanh(self.args[0])


class csch(OddFunction):
    """1/sinh x."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -csch(self.args[0]) * coth(self.args[0])


class coth(OddFunction):
    """cosh x/sinh x."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -(csch(self.args[0]) ** 2)

    def _kernel_source(self, printer: Any) -> str:
        return f"(1.0 / tanh({printer._print(self.args[0])}))"


class planck(RealFunction):
    """1/(eˣ − 1)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -(csch(self.args[0] / 2) ** 2) / 4


class erfc(RealFunction):
    """1 − erf x."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -2 * gaussian(self.args[0]) / sympy.sqrt(sympy.pi)


class gaussian(RealFunction):
    """exp(−x²)."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -2 * clipped(self.args[0]) * gaussian(self.args[0])


class clipped(RealFunction):
    """The factor x of exp(−x²): x, and finite powers of it where that is 0."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sympy.S.One


class log1p(RealFunction):
    """log(1 + x)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return 1 / (1 + self.args[0])


class expm1(RealFunction):
    """eˣ − 1."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return sympy.exp(self.args[0])


class sqrt1pm1(RealFunction):
    """√(1 + x) − 1."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return 1 / (2 * sympy.sqrt(1 + self.args[0]))


class logaddexp(RealFunction):
    """log(eᵃ + eᵇ)."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        a, b = self.args
        return sigmoid(a - b) if argindex == 1 else sigmoid(b - a)


class logsumexp(RealFunction):
    """log(eᵃ + eᵇ + …)."""

    is_real = True

    @classmethod
    def eval(cls, *terms: Any) -> Any:
        """Return a simpler function where there is one."""
        if len(terms) == 1:
            return terms[0]
        return logaddexp(*terms) if len(terms) == 2 else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        own = self.args[argindex - 1]
        return softmax(*(a - own for k, a in enumerate(self.args) if k != argindex - 1))

    def _kernel_source(self, printer: Any) -> str:
        text, *others = (printer._print(a) for a in self.args)
        for other in others:
            text = f"logaddexp({text}, {other})"
        return str(text)


class softmax(RealFunction):
    """1/(1 + eᵃ + eᵇ + …): the share of a term in a sum of exponentials, by the others' distances from it."""

    is_positive = True

    @classmethod
    def eval(cls, *distances: Any) -> Any:
        """Return the sigmoid function for one other term."""
        return sigmoid(-distances[0]) if len(distances) == 1 else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        own = self.args[argindex - 1]
        others = (a - own for k, a in enumerate(self.args) if k != argindex - 1)
        share: Any = self
        return -share * softmax(-own, *others)

    def _kernel_source(self, printer: Any) -> str:
        return f"(1.0 / (1.0 + {' + '.join(f'exp({printer._print(a)})' for a in self.args)}))"


class power(RealFunction):
    """k bᵉ log(b)ⁿ: a power whose exponent is no number, and its derivatives, with their limits at b = 0 or k = 0."""

    nargs = 4

    @classmethod
    def eval(cls, k: Any, base: Any, exponent: Any, logs: Any) -> Any:
        """Return 0 times anything as 0."""
        return sympy.S.Zero if k.is_zero else None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        k, base, exponent, logs = self.args
        if argindex == 1:
            return power(sympy.S.One, base, exponent, logs)
        if argindex == 2:
            less = power(k * exponent, base, exponent - 1, logs)
            return less + power(k * logs, base, exponent - 1, logs - 1) if logs else less
        return power(k, base, exponent, logs + 1)

    def _kernel_source(self, printer: Any) -> str:
        k, base, exponent, logs = self.args
        text = f"pow({printer._print(base)}, {printer._print(exponent)})"
        for _ in range(int(logs)):
            text = f"vanishing({text}, log({printer._print(base)}))"
        return text if k == 1 else f"vanishing({printer._print(k)}, {text})"
