"""Finished parts of a report: reused only while their sources and their files are the same."""

from __future__ import annotations

import pytest

from selfstab.reports import parts


@pytest.fixture
def saved(tmp_path):
    """Return a folder with a part that is saved, and its file."""
    (tmp_path / "picture.png").write_bytes(b"a picture")
    parts.keep(tmp_path / "parts", "modes", "a key", {"seconds": 1.5}, ["picture.png"])
    return tmp_path


def test_a_part_comes_back_as_it_was(saved):
    """Protects a report that was interrupted."""
    assert parts.recall(saved / "parts", "modes", "a key") == {"seconds": 1.5}
    assert [entry.name for entry in (saved / "parts").iterdir()] == ["modes.json"]


@pytest.mark.parametrize("change", ["key", "file", "no file", "damaged", "of another form", "forgotten"])
def test_a_part_that_changed_is_made_again(saved, change):
    """Protects the page from a picture of other numbers."""
    if change == "file":
        (saved / "picture.png").write_bytes(b"another")
    elif change == "no file":
        (saved / "picture.png").unlink()
    elif change == "damaged":
        (saved / "parts/modes.json").write_text('{"key": "a key"')
    elif change == "of another form":
        (saved / "parts/modes.json").write_text("[]")
    elif change == "forgotten":
        parts.forget(saved / "parts", "modes")
    assert parts.recall(saved / "parts", "modes", "another" if change == "key" else "a key") is None


def test_a_key_follows_settings_and_sources(tmp_path):
    """Protects against a part that is reused after the code has changed; where the code stands does not count."""
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "code.py").write_text("x = 1")
    first = parts.key(["modes"], [tmp_path / "code.py"])
    assert parts.key(["modes"], [tmp_path / "a/code.py"]) == first
    assert parts.key(["modes", "quick"], [tmp_path / "code.py"]) != first
    (tmp_path / "code.py").write_text("x = 2")
    assert parts.key(["modes"], [tmp_path / "code.py"]) != first


def test_the_content_of_a_folder_is_that_of_its_files(tmp_path):
    """Protects parts whose file is a folder: a name or a byte in it counts."""
    assert parts.content(tmp_path / "absent") == ""
    (tmp_path / "data.zarr").mkdir()
    (tmp_path / "data.zarr/a").write_bytes(b"1")
    first = parts.content(tmp_path / "data.zarr")
    (tmp_path / "data.zarr/a").rename(tmp_path / "data.zarr/b")
    assert parts.content(tmp_path / "data.zarr") != first
