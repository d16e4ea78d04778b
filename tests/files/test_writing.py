"""Files are written whole: whatever fails, the old content is there and nothing beside it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from selfstab.files import writing as files


def content(folder):
    """Return all files of a folder with their bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_text_is_written_as_it_is(tmp_path):
    """Protects line ends and letters beyond ASCII, in a new file and in place of an older one."""
    for text in ("κ = 1\r\n", "β\n"):
        files.write_text(tmp_path / "a", text)
        assert content(tmp_path) == {"a": text.encode("utf-8")}


@pytest.mark.parametrize("method", ["write_bytes", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch, method, error):
    """Protects the old file from a full disk and from Ctrl-C, at the write and at the move."""
    files.write_bytes(tmp_path / "a", b"old")
    write = Path.write_bytes

    def failing(self, *arguments):
        if method == "write_bytes":
            write(self, arguments[0][:1])
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, failing)
        with pytest.raises(type(error)):
            files.write_bytes(tmp_path / "a", b"new")
    assert content(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_others_write_takes_the_place_at_the_end(tmp_path, kind):
    """Protects readers: during the block the old content stands, after it the new one, and after an error the old."""

    def write(path, text):
        if kind == "folder":
            path.mkdir()
            (path / "inside").write_text(text)
        else:
            path.write_text(text)

    target = tmp_path / "run.zarr"
    name = "run.zarr/inside" if kind == "folder" else "run.zarr"
    with files.replacing(target) as partial:
        assert partial.name.endswith("run.zarr")
        write(partial, "first")
        assert not target.exists()
    assert content(tmp_path) == {name: b"first"}
    with files.replacing(target) as partial:
        write(partial, "second")
        assert content(tmp_path)[name] == b"first"
    assert content(tmp_path) == {name: b"second"}

    def fail():
        with files.replacing(target) as partial:
            write(partial, "third")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(tmp_path) == {name: b"second"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.zarr"]


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path, monkeypatch):
    """Protects the old folder where the new one cannot be moved into its place."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/inside").write_bytes(b"old")
    replace = Path.replace

    def failing(self, target):
        if self.name.startswith(".partial"):
            raise OSError(13, "Permission denied")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(OSError, match="denied"), files.replacing(tmp_path / "run") as partial:
            partial.mkdir()
    assert content(tmp_path) == {"run/inside": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_link_stays_a_link(tmp_path):
    """Protects a link to another disk: its target is replaced."""
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with files.replacing(tmp_path / "link") as partial:
        partial.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_writers_at_once_do_not_mix(tmp_path):
    """Protects a file that several threads write at once: it is that of one of them, whole."""
    texts = [str(k) * 100_000 for k in range(8)]
    threads = [
        threading.Thread(target=lambda text=text: [files.write_text(tmp_path / "a", text) for _ in range(20)])
        for text in texts
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "a").exists():
            assert (tmp_path / "a").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
