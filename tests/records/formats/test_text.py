"""Tables of text: what is none of ours is refused in words."""

from __future__ import annotations

import numpy as np
import pytest

import selfstab as ss


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("step,sharpness,loss\n", "at least|must hold|no row|empty"),
        (
            "step;sharpness\n0;1,000\n1;2,000\n2;1,500\n",
            r"sharpness must hold real numbers.*got '1,000' in row 1",
        ),
        ("step\tsharpness\n0\t1\n", "at least 3 numbers, got 1"),
        ("0,1.0,3.8\n1,1.1,3.8\n", "name its columns in the first row"),
    ],
)
def test_a_table_of_another_form_is_refused_in_words(tmp_path, content, message):
    # Protects a first try: an exported table that is none of ours.
    path = tmp_path / "run.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        ss.analyze(path, momentum=0.9, lr=1.0)


def test_a_file_of_other_bytes_is_refused_in_one_line(tmp_path):
    """The text of pandas' own error, of a tokenizer, says nothing of the cause."""
    path = tmp_path / "run.csv"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(ValueError, match=r"^run must be a table of text, got other bytes in "):
        ss.analyze(path, lr=0.1, momentum=0.0)
