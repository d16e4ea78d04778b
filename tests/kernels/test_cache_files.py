"""Compiled functions on disk: what is damaged, foreign or unwritable is compiled again, never run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.files import folders
from selfstab.kernels import cache_files, modules
from tests.kernels.small import DOUBLED, SMALL, in_a_process


@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_that_changed_is_seen(tmp_path_factory, place, bit):
    """Protects the process: wherever one bit of a file changed, nothing is loaded, and the next save mends it."""
    folder = tmp_path_factory.mktemp("files")
    files = cache_files.CheckedFiles(folder, "kernel.run")
    files.save(("float64", 3), b"code")
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    assert files.load(("float64", 3)) is None
    files.save(("float64", 3), b"code")
    assert files.load(("float64", 3)) == b"code"


def test_a_file_is_found_by_all_that_decides_it(tmp_path, monkeypatch):
    """Protects against another function's code: stem, key, versions and system each have their own file."""
    files = cache_files.CheckedFiles(tmp_path, "kernel.run")
    files.save("key", b"code")
    assert files.load("key") == b"code"
    assert files.load("other key") is None
    assert cache_files.CheckedFiles(tmp_path, "kernel.other").load("key") is None
    for change in (
        (cache_files, "version", lambda name: f"9.9 of {name}"),
        (cache_files.sys, "platform", "plan9"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*change)
            assert files.load("key") is None
    assert files.load("key") == b"code"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-7], id="end cut", marks=pytest.mark.slow),
        pytest.param(
            lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:], id="one bit"
        ),
        pytest.param(lambda content: content[:10], id="cut", marks=pytest.mark.slow),
        pytest.param(lambda content: b"", id="empty", marks=pytest.mark.slow),
        pytest.param(lambda content: b"\0" * len(content), id="zeros", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_compiled_file_is_compiled_again(damage, tmp_path):
    """Protects the process and the numbers: machine code with one bit changed is seen, not run."""
    environment = {"SELFSTAB_CACHE_DIR": str(tmp_path)}
    assert in_a_process(DOUBLED, **environment) == "0 [0.0, 2.0, 4.0]"
    (path,) = tmp_path.glob("*.kernel")
    path.write_bytes(damage(path.read_bytes()))
    assert in_a_process(DOUBLED, **environment) == "0 [0.0, 2.0, 4.0]"
    assert in_a_process(DOUBLED, **environment) == "1 [0.0, 2.0, 4.0]"


def test_compiled_code_is_in_checked_files_alone(cold_cache):
    """Protects the process from files that nobody checks: a source, and the checked file of its entry."""
    module = modules.compiled(SMALL)
    module.double(np.ones(1), np.empty(1))
    assert sorted(path.suffix for path in cold_cache.iterdir()) == [".kernel", ".py"]


def test_processes_that_begin_together_share_the_directory(tmp_path):
    """Protects a cluster's first minute: whole files only, whoever writes last; each process has the right numbers."""
    environment = os.environ | {"SELFSTAB_CACHE_DIR": str(tmp_path)}
    begun = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", DOUBLED], env=environment, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    assert all(b"[0.0, 2.0, 4.0]" in process.communicate(timeout=120)[0] for process in begun)
    assert not list(tmp_path.glob(".partial*"))
    assert in_a_process(DOUBLED, SELFSTAB_CACHE_DIR=str(tmp_path)) == "1 [0.0, 2.0, 4.0]"


def test_a_full_disk_means_memory(cold_cache, monkeypatch):
    """Protects a run on a full disk: it compiles, keeps nothing, and leaves no part of a file."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    module = modules.compiled(SMALL)
    monkeypatch.setattr(folders.os, "replace", full)
    out = np.empty(1)
    module.double(np.ones(1), out)
    assert out[0] == 2.0
    assert {path.suffix for path in cold_cache.iterdir() if path.is_file()} == {".py"}


def planted(directory, name):
    """Put a file in place of compiled code, with the right digest."""
    (directory / name).write_bytes(hashlib.sha256(b"planted").digest() + b"planted")


def others_can_write_the_file(directory, name):
    planted(directory, name)
    (directory / name).chmod(0o666)


def others_can_write_in_the_folder(directory, name):
    planted(directory, name)
    directory.chmod(0o777)


def a_link(directory, name):
    (directory / name).unlink()
    planted(directory, "elsewhere")
    (directory / name).symlink_to(directory / "elsewhere")


@pytest.mark.parametrize("plant", [others_can_write_the_file, others_can_write_in_the_folder, a_link])
def test_what_others_can_write_is_not_loaded(plant, tmp_path):
    """Protects the process from whoever shares the machine: a right digest is no proof of whose code it is."""
    directory = tmp_path / "kernels"
    directory.mkdir(mode=0o700)
    checked = cache_files.CheckedFiles(directory, "kernel.run")
    checked.save("key", b"code")
    (path,) = directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    plant(directory, path.name)
    assert checked.load("key") is None
    directory.chmod(0o700)
    path.unlink()
    planted(directory, path.name)  # the same file, of our own: the test would see it loaded
    path.chmod(0o600)
    assert checked.load("key") == b"planted"
