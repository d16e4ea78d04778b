"""Folders of others: no link is followed at any place of a path, and nothing is written into a file that is there."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from selfstab.files import folders
from selfstab.files.folders import Folder, NotPlain


@pytest.fixture(params=["relative", "by path", "as on Windows"])
def way(request, monkeypatch):
    """Open files relative to folders, or by paths that are looked at first, as where the system cannot."""
    if request.param != "relative":
        monkeypatch.setattr(folders, "_RELATIVE", False)
    if request.param == "as on Windows":
        monkeypatch.setattr(folders, "_FOLLOW_NOTHING", 0)
        monkeypatch.setattr(folders, "_PLAIN", os.O_NONBLOCK)


@pytest.fixture
def places(tmp_path):
    """Return a folder, and another one with a canary."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "canary").write_bytes(b"mine")
    return tmp_path / "folder", tmp_path / "elsewhere"


def test_what_is_written_is_read(way, places):
    """Protects the plain use: files, folders, names, moves."""
    with Folder(places[0]) as folder:
        folder.make("one/two")
        folder.make("one/two")
        for content in (b"first", b"second"):
            folder.write("one/two/a", content, "partial")
            assert folder.read("one/two/a", 6) == content
        assert folder.names("one/two") == ["a"]
        assert (folder.names(), folder.links()) == (["inner", "one"], [])
        folder.rename("one/two/a", "inner/b")
        assert folder.status("one/two/a") is None
        assert folder.is_folder("one/two")
        assert not folder.is_folder("inner/b")
        folder.remove("inner/b")
        folder.remove("inner/b")
        with pytest.raises(FileNotFoundError):
            folder.read("inner/b", 9)


def test_a_link_is_not_followed(way, places):
    """Protects what lies elsewhere, whichever part of a name is the link."""
    root, elsewhere = places
    (root / "file").symlink_to(elsewhere / "canary")
    (root / "way").symlink_to(elsewhere)
    (root / "inner" / "way").symlink_to(elsewhere)
    with Folder(root) as folder:
        assert folder.links() == ["file", "way"]
        for name in ("file", "way/canary", "inner/way/canary"):
            with pytest.raises(NotPlain, match="is a link"):
                folder.read(name, 99)
        for act in (
            lambda: folder.make("way/new"), lambda: folder.make("way"), lambda: folder.names("way"),
            lambda: folder.write("way/canary", b"", "partial"), lambda: folder.write("a", b"", "inner/way/canary"),
            lambda: folder.remove("way/canary"), lambda: folder.rename("way/canary", "a"),
        ):  # fmt: skip
            with pytest.raises(NotPlain, match="way is a link"):
                act()
        folder.write("file", b"new", "partial")  # the link itself is replaced
        assert folder.read("file", 9) == b"new"
    assert [path.name for path in elsewhere.iterdir()] == ["canary"]
    assert (elsewhere / "canary").read_bytes() == b"mine"


def test_another_name_of_a_file_keeps_its_content(way, places):
    """Protects files that have a second name in the folder, as the file or as what is left of an earlier write."""
    root, elsewhere = places
    os.link(elsewhere / "canary", root / "a")
    os.link(elsewhere / "canary", root / "partial")
    with Folder(root) as folder:
        folder.write("a", b"new", "partial")
    assert (root / "a").read_bytes() == b"new"
    assert (elsewhere / "canary").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["..", "../elsewhere/canary", "inner/../../elsewhere/canary", "/etc/passwd", "", ".", "a\0b"]
)
def test_a_name_leads_nowhere_else(way, places, name):
    """Protects against names that lead out of the folder."""
    with Folder(places[0]) as folder, pytest.raises((ValueError, OSError)):
        folder.read(name, 99)


def test_pipes_and_sizes_are_told(way, places):
    """Protects the one who waits, and memory: neither a pipe nor a file that is too long is read."""
    root = places[0]
    os.mkfifo(root / "pipe")
    (root / "long").write_bytes(bytes(100))
    with Folder(root) as folder:
        with pytest.raises(NotPlain, match="pipe is a pipe or a device"):
            folder.read("pipe", 9)
        with pytest.raises(OSError, match="long has more than 99 bytes"):
            folder.read("long", 99)
        assert len(folder.read("long", 100)) == 100


def test_a_write_that_fails_leaves_nothing(way, places, monkeypatch):
    """Protects the old file on a full disk."""

    def full(*_):
        raise OSError(28, "No space left on device")

    with Folder(places[0]) as folder:
        folder.write("a", b"old", "partial")
        monkeypatch.setattr(folders, "write_all", full)
        with pytest.raises(OSError, match="No space"):
            folder.write("a", b"new", "partial")
        assert folder.names() == ["a", "inner"]
        assert folder.read("a", 9) == b"old"


def test_a_folder_that_becomes_a_link_leads_nowhere(places, monkeypatch):
    """Protects the moments between check and use: a folder is swapped for a link before each call of the system."""
    root, elsewhere = places
    calls, swapped = 0, 0

    def swapping(call):
        def first_swap(*arguments, **keywords):
            nonlocal calls
            if calls == swapped:
                (root / "inner").rename(root / "aside")
                (root / "inner").symlink_to(elsewhere)
            calls += 1
            return call(*arguments, **keywords)

        return first_swap

    def write():
        nonlocal calls
        calls = 0
        with Folder(root) as folder, monkeypatch.context() as patches:
            for name in ("open", "dup", "replace"):
                patches.setattr(folders.os, name, swapping(getattr(os, name)))
            folder.write("inner/canary", b"theirs", "partial")

    outcomes = []
    for swapped in range(100):
        try:
            write()
            outcomes.append("written")
        except NotPlain:
            outcomes.append("refused")
        assert [entry.name for entry in elsewhere.iterdir()] == ["canary"]
        assert (elsewhere / "canary").read_bytes() == b"mine"
        if calls <= swapped:
            break
        (root / "inner").unlink()
        (root / "aside").rename(root / "inner")
    assert calls <= swapped, "a write ends"
    assert outcomes[-1] == "written"
    assert "refused" in outcomes
    assert "written" in outcomes[:-1], "a folder that was open before the swap is written in where it is now"


def test_a_folder_swapped_for_a_link_at_any_time_leads_nowhere(places):
    """Protects the same without a choice of moments: another thread swaps while files are written."""
    root, elsewhere = places
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (root / "inner").rename(root / "aside")
            (root / "inner").symlink_to(elsewhere)
            (root / "inner").unlink()
            (root / "aside").rename(root / "inner")

    thread = threading.Thread(target=swap)
    thread.start()
    with Folder(root) as folder:
        for _ in range(3000):
            with contextlib.suppress(OSError):
                folder.write("inner/canary", b"theirs", "partial")
        stop.set()
        thread.join()
        folder.write("inner/canary", b"theirs", "partial")
    assert (root / "inner" / "canary").read_bytes() == b"theirs"
    assert (elsewhere / "canary").read_bytes() == b"mine"


def test_a_private_folder_is_of_ones_own(places, monkeypatch):
    """Protects code that is loaded from a folder: its owner and its mode count, those of a file too."""
    root = places[0]
    root.chmod(0o755)
    (root / "a").write_bytes(b"code")
    (root / "a").chmod(0o644)
    with Folder(root) as folder:
        assert folders.private(folder)
        assert folder.read("a", 9, ours=True) == b"code"
        for mode in (0o664, 0o646):
            (root / "a").chmod(mode)
            with pytest.raises(NotPlain, match="somebody else's"):
                folder.read("a", 9, ours=True)
            root.chmod(mode | 0o111)
            assert not folders.private(folder)
        root.chmod(0o700)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not folders.private(folder)
