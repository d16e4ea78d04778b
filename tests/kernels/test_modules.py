"""Generated sources as files, modules and plain CPython."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

import selfstab as ss
from selfstab.kernels import arithmetic, cache_files, modules

SMALL = """\
@entry
def double(a, out):
    for i in range(a.size):
        out[i] = 2.0 * a[i]
"""

ONE = [name for name in arithmetic.FUNCTIONS if name != "pow"]
# Powers as sources hold them: of a variable, and of constants that no compiler turns into another function.
TWO = [
    "pow(x, y)",
    "pow(abs(x), y)",
    *(f"pow(abs(x), {p})" for p in (0.25, 0.3, 1.5, -1.5, 2.5, "(1.0 / 3.0)", 3.7)),
]
MORE = [
    "choose(x > y, x, y)",
    "choose(x < y, x, choose(x > 1.0, 2.0, y))",
    "abs(x)",
    "x / y",
    "exp(0.3 * x) * cos(x)",
]
if "fma" in arithmetic.plain_namespace():
    MORE += ["fma(x, y, x)", "fma(x, x, -y)", "fma(-x, y, x * y)"]

EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 709.9, -745.2, 1e308, -1e308, 5e-324, 2.0**-1060, 0.5]


def test_functions_have_the_same_bits_compiled_and_plain(same_bits):
    """Protects bit equality at its root: each function, ordinary numbers and the edges of float64, no warning."""
    texts = [*(f"{name}(x)" for name in ONE), *TWO, *MORE]
    lines = "".join(f"        out[{k}, i] = {text}\n" for k, text in enumerate(texts))
    source = (
        f"@entry\ndef f(a, b, out):\n    for i in range(a.size):\n        x = a[i]\n        y = b[i]\n{lines}"
    )
    random = np.random.default_rng(0)
    some = np.concatenate(
        [
            3 * random.standard_normal(3000),
            random.uniform(-1, 1, 3000),
            np.exp(random.uniform(-300, 300, 1000)),
        ]
    )
    left, right = np.meshgrid(EDGES, EDGES)
    a = np.concatenate([some, left.ravel()])
    b = np.concatenate([random.permutation(some), right.ravel()])
    outs = [np.empty((len(texts), a.size)) for _ in range(2)]
    modules.compiled(source).f(a, b, outs[0])
    modules.plain(source)["f"](a, b, outs[1])
    for text, compiled, plain in zip(texts, *outs, strict=True):
        assert same_bits(compiled, plain), text


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


def in_a_process(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_process_does_not_compile(tmp_path):
    """Protects start-up across processes: the first misses the cache on disk, the second hits it."""
    code = f"""if True:
        import numpy as np
        from selfstab.kernels import modules
        module = modules.compiled({SMALL!r})
        module.double(np.arange(3.0), np.empty(3))
        print(sum(module.double.stats.cache_hits.values()), sum(module.double.stats.cache_misses.values()))
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
        print(sum(module.run.stats.cache_misses.values()), data.final_loss.values.tolist())
    """
    environment = {"SELFSTAB_CACHE_DIR": str(tmp_path)}
    first = in_a_process(code, PYTHONHASHSEED="1", **environment)
    second = in_a_process(code, PYTHONHASHSEED="2", **environment)
    assert (first[0], second[0]) == ("1", "0")
    assert first[1:] == second[1:] == " [0.0078125, 0.0]"


SOURCES = """if True:
    import hashlib, sympy, selfstab as ss
    from selfstab.kernels.writer import Variant
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


DOUBLED = f"""if True:
    import numpy as np
    from selfstab.kernels import modules
    module = modules.compiled({SMALL!r})
    out = np.empty(3)
    module.double(np.arange(3.0), out)
    print(sum(module.double.stats.cache_hits.values()), out.tolist())
"""


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


def test_numba_keeps_nothing_of_its_own(cold_cache):
    """Protects the guard from a Numba that builds its cache otherwise: compiled code is in checked files alone."""
    module = modules.compiled(SMALL)
    module.double(np.ones(1), np.empty(1))
    assert isinstance(module.double._cache._cache_file, cache_files.CheckedFiles)
    assert len([*cold_cache.glob("*.kernel")]) == 1
    assert not [*cold_cache.rglob("*.nbi"), *cold_cache.rglob("*.nbc")]


def renamed_files(monkeypatch):
    """Let Numba's caches hold their files under another name."""

    class Renamed(FunctionCache):
        def __init__(self, py_func):
            super().__init__(py_func)
            self._files = self.__dict__.pop("_cache_file")

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", Renamed)


def unused_files(monkeypatch):
    """Let Numba's caches have the attribute, and use something else."""

    class Elsewhere(FunctionCache):
        def flush(self):
            pass

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", Elsewhere)


def renamed_cache(monkeypatch):
    """Let Numba's functions hold their cache under another name."""

    def enable_caching(self):
        self._files = FunctionCache(self.py_func)

    monkeypatch.setattr(Dispatcher, "enable_caching", enable_caching)


@pytest.mark.parametrize("change", [renamed_files, unused_files, renamed_cache])
def test_a_numba_whose_cache_is_not_known_means_memory(change, cold_cache, monkeypatch):
    """Protects the process from files that nobody checks: nothing is cached then, and a warning says so."""
    change(monkeypatch)
    with pytest.warns(RuntimeWarning, match=r"Numba .* kernels are compiled anew in each process"):
        module = modules.compiled(SMALL)
    out = np.empty(1)
    module.double(np.ones(1), out)
    assert out[0] == 2.0
    assert not [
        path for path in cold_cache.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    ]


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

    def full(*_):
        raise OSError(28, "No space left on device")

    module = modules.compiled(SMALL)
    monkeypatch.setattr(cache_files.Path, "replace", full)
    out = np.empty(1)
    module.double(np.ones(1), out)
    assert out[0] == 2.0
    assert {path.suffix for path in cold_cache.iterdir() if path.is_file()} == {".py"}


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
