"""Random formulas, a few of those that `python tests/fuzz_formulas.py` makes by thousands."""

from tests.fuzz_formulas import check


def test_random_formulas_are_losses_or_one_clean_line():
    """Protects the door and every rewriting: no other exception, and derivatives that differences confirm."""
    done = check(25, 5)
    assert done["wrong"] == []
    assert done["compared"] > 20
