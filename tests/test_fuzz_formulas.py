"""Random formulas, a few of those that `python tests/fuzz_formulas.py` makes by thousands."""

from tests import fuzz_compiled
from tests.fuzz_formulas import check


def test_random_formulas_are_losses_or_one_clean_line():
    """Protects the door and every rewriting: no other exception, and derivatives that differences confirm."""
    done = check(25, 5)
    assert done["wrong"] == []
    assert done["compared"] > 20


def test_random_formulas_have_the_same_bits_compiled(cold_cache):
    """Protects the compiler of kernels: whatever a formula brings, plain CPython computes the same."""
    done = fuzz_compiled.check(3, 3)
    assert done["fell"] == []
    assert done["compared"] > 1
