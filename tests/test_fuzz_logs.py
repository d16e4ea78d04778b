"""Logs of text in forms by chance, and damaged ones."""

from __future__ import annotations

import pytest

from tests.fuzz_logs import main


@pytest.mark.slow
def test_logs_in_any_form_are_read_and_damaged_ones_end_in_one_line(capsys):
    """Protects readers of text: a run's numbers are those that were written, whatever stands around them."""
    assert main(300, 3) == 0, capsys.readouterr().out
