"""Generated sources as files, modules and plain CPython."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import selfstab as ss
from selfstab.kernels import modules
from tests.kernels.small import SMALL, in_a_process


def test_compiled_once_a_process(cold_cache):
    """Protects start-up: the same text is one module, in one file named by its content."""
    module = modules.compiled(SMALL)
    assert modules.compiled(SMALL) is module
    assert modules.compiled(SMALL + "\n") is not module
    assert len(list(cold_cache.glob("selfstab_kernel_*.py"))) == 2
    assert not list(cold_cache.glob("*.tmp"))
    out = np.empty(3)
    module.double(np.arange(3.0), out)
    assert out.tolist() == [0, 2, 4]


def test_a_second_process_does_not_compile(tmp_path):
    """Protects start-up across processes: the first misses the cache on disk, the second hits it."""
    code = f"""if True:
        import numpy as np
        from selfstab.kernels import modules
        module = modules.compiled({SMALL!r})
        module.double(np.arange(3.0), np.empty(3))
        print(module.double.loaded, module.double.compiled)
    """
    environment = {"SELFSTAB_CACHE_DIR": str(tmp_path)}
    assert in_a_process(code, **environment) == "0 1"
    assert in_a_process(code, **environment) == "1 0"


@pytest.mark.slow
def test_a_sweep_in_a_second_process_does_not_compile(tmp_path):
    """Protects the same for a whole sweep, whose source is generated anew in each process."""
    code = """if True:
        import selfstab as ss
        from selfstab.kernels import modules
        loss, optimizer, axes = ss.Quadratic([1.0]), ss.HeavyBall(0.5), {"lr": [0.5, 1.0]}
        data = ss.sweep(loss, optimizer, axes, start=[1.0], steps=3, measure=["final_loss"], progress=False)
        (module,) = modules.LOADED
        print(module.run.compiled, data.final_loss.values.tolist())
    """
    environment = {"SELFSTAB_CACHE_DIR": str(tmp_path)}
    first = in_a_process(code, PYTHONHASHSEED="1", **environment)
    second = in_a_process(code, PYTHONHASHSEED="2", **environment)
    assert (first[0], second[0]) == ("1", "0")
    assert first[1:] == second[1:] == " [0.0078125, 0.0]"


SOURCES = """if True:
    import hashlib, sympy, selfstab as ss
    from selfstab.kernels.variants import Variant
    from selfstab.optimizers.text import rule_text
    x, y, c = sympy.symbols("x y c")
    losses = [ss.CubicTaylor(1.0), ss.Product(), ss.Minimalist(), ss.Coupled(1.0, 1.0), ss.Chain(3)]
    wild = sympy.exp(c*x*y) + sympy.Max(x, y, c*x) + abs(x + y)**3 + sympy.tanh(x/c)*sympy.log(1 + y**2)
    losses += [ss.Quadratic([1.0, 2.0, 3.0]), ss.SymbolicLoss(wild, [x, y], {c: 1.0})]
    for loss in losses:
        variant = Variant(("phase", "max_loss"), rule_text(ss.HeavyBall(1.0)), ss.LinearWarmup.rate, True)
        text = loss.sweep_source(variant) + loss.source()
        print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_sources_do_not_depend_on_the_hash_seed():
    """Protects the cache's names and the bits: text generated from sets and dicts must not follow their order."""
    texts = {in_a_process(SOURCES, PYTHONHASHSEED=seed) for seed in ("1", "4711")}
    assert len(texts) == 1
    assert len(set(texts.pop().split())) == 7


def test_a_file_with_other_content_is_written_anew(cold_cache, monkeypatch):
    """Protects against a damaged cache: what stands in the file is compared, not trusted."""
    modules.compiled(SMALL)
    (path,) = cold_cache.glob("selfstab_kernel_*.py")
    text = path.read_text()
    path.write_text("raise RuntimeError('foreign')\n")
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    out = np.empty(1)
    modules.compiled(SMALL).double(np.ones(1), out)
    assert out[0] == 2.0
    assert path.read_text() == text


@pytest.mark.parametrize("where", ["a file/below", "/proc/selfstab", "a file"])
def test_an_unusable_directory_means_memory(where, tmp_path, monkeypatch):
    """Protects machines whose home cannot be written to: it works, only slower."""
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("SELFSTAB_CACHE_DIR", str(tmp_path / where))
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    out = np.empty(1)
    modules.compiled(SMALL).double(np.ones(1), out)
    assert out[0] == 2.0


def test_a_directory_that_is_read_only_means_memory(tmp_path, monkeypatch):
    """Protects the same for permissions, told by os.access: the superuser's files would not show them."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("SELFSTAB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    assert modules.compiled(SMALL).double is not None
    assert not list(tmp_path.iterdir())


def test_the_shown_source_is_the_one_that_runs(cold_cache):
    """Protects `source()`: the file a sweep compiles holds the text shown, which names the loss."""
    loss = ss.Quadratic([1.0])
    text = loss.source(["final_loss"])
    assert "Quadratic: L(w0) = c0*w0**2/2" in text
    ss.sweep(
        loss, ss.HeavyBall(0.5), {"lr": [0.5]}, start=[1.0], steps=1, measure=["final_loss"], progress=False
    )
    (path,) = cold_cache.glob("selfstab_kernel_*.py")
    assert path.read_text().endswith(text)


def test_the_directory_is_made_for_its_owner_alone(cold_cache):
    """Protects compiled code from others on the machine, and the source from a loader that keeps byte code."""
    modules.compiled(SMALL).double(np.ones(1), np.empty(1))
    assert cold_cache.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in cold_cache.iterdir() if path.is_file())
    assert not [*cold_cache.rglob("*.pyc")]


def test_byte_code_beside_a_source_is_not_run(cold_cache, monkeypatch):
    """Protects a loss from a byte code file that a full disk cut, or that somebody put there: the text is compiled."""
    module = modules.compiled(SMALL)
    name = importlib.util.cache_from_source(module.__file__)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b"cut")
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    out = np.empty(1)
    modules.compiled(SMALL).double(np.ones(1), out)
    assert out[0] == 2.0
    assert Path(name).read_bytes() == b"cut"


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Give a directory of kernels that is another's: ours, seen by somebody with another number."""
    (tmp_path / "kernels").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    return tmp_path / "kernels"


@pytest.fixture
def writable(tmp_path):
    """Give a directory of kernels that everybody can write in."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    return tmp_path / "kernels"


@pytest.mark.parametrize("kind", ["foreign", "writable"])
def test_a_directory_of_others_is_refused_with_one_notice(kind, request, monkeypatch):
    """Protects the process from code that others can change: nothing is loaded or written there, memory serves."""
    directory = request.getfixturevalue(kind)
    monkeypatch.setenv("SELFSTAB_CACHE_DIR", str(directory))
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    with pytest.warns(RuntimeWarning, match=r"kernels' is not used .*chmod 700") as told:
        module = modules.compiled(SMALL)
    assert len(told) == 1
    assert modules.compiled(SMALL + "\n") is not module  # a second warning would be an error
    out = np.empty(1)
    module.double(np.ones(1), out)
    assert out[0] == 2.0
    assert not list(directory.iterdir())


@pytest.mark.parametrize("home", ["~/.cache/selfstab", RuntimeError("no home"), KeyError("uid 12345")])
def test_no_home_means_memory(home, monkeypatch):
    """Protects containers whose user has a number only: no traceback, no folder named ~ where the program runs."""
    import platformdirs

    def directory(*_, **__):
        if isinstance(home, Exception):
            raise home
        return home

    monkeypatch.delenv("SELFSTAB_CACHE_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", directory)
    assert modules.cache_directory() is None
    assert modules.cache_folder() is None
