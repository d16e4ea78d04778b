"""What several tests need: the engine run by plain CPython, bits compared, an empty kernel cache."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from selfstab.kernels import modules

# Matrices here are small: threads of BLAS would wait for each other, and take ten times the processor's time beside
# another worker. The variables are for processes that are started, and for libraries that are loaded later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
threadpool_limits(1, user_api="blas")
# Sweeps here are small, too: each process that one starts imports for a second. A test that is about processes or
# threads says how many it takes.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

# A shell starts what runs in its background with interrupts ignored; tests that send one need them.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no failure: speed is measured in benchmarks/.
hypothesis.settings.register_profile("full", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)


def pytest_configure(config):
    """Draw fewer examples where slow tests are left out; what a test says of its own number stays."""
    hypothesis.settings.load_profile("quick" if "not slow" in config.option.markexpr else "full")


def pytest_collection_modifyitems(config, items):
    """Leave out what needs large libraries, unless it is asked for by ``-m integrations``; sort derivations to theory.

    A derivation takes seconds to run, once in each worker that tests it or compares with it.
    """
    if "integrations" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("integrations")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    scripts = [item for item in items if item.nodeid.startswith("tests/derivations/")]
    others = [item for item in items if not item.nodeid.startswith("tests/derivations/")]
    place = next((k for k, item in enumerate(others) if item.nodeid.startswith("tests/theory/")), 0)
    items[:] = [*others[:place], *scripts, *others[place:]]


@pytest.fixture
def plain_engine(monkeypatch):
    """Call a function with every generated source run by plain CPython instead of compiled."""

    def call(function, *arguments, **settings):
        with monkeypatch.context() as patch:
            patch.setattr(modules, "compiled", lambda source: SimpleNamespace(**modules.plain(source)))
            return function(*arguments, **settings)

    return call


def _same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype != np.float64:
        return bool((a == b).all())
    nan = np.isnan(a) & np.isnan(b)
    return bool((nan | (a.view(np.int64) == b.view(np.int64))).all())


@pytest.fixture
def same_bits():
    """Whether two arrays hold the same bits, zeros' signs included; one nan is like another."""
    return _same_bits


@pytest.fixture
def same_cells():
    """Assert that two sweeps hold the same variables with the same bits in each."""

    def check(a, b):
        assert set(a.data_vars) == set(b.data_vars)
        for name in a.data_vars:
            assert a[name].dims == b[name].dims
            assert _same_bits(a[name].values, b[name].values), name

    return check


@pytest.fixture(autouse=True)
def no_figures_left():
    """Close what a test has drawn without axes, so that the next one begins with a figure of its own."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture
def cold_cache(tmp_path, monkeypatch):
    """Give an empty directory of kernels to a test that is about it; all others share the warm one."""
    monkeypatch.setenv("SELFSTAB_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(modules, "LOADED", modules.LoadedModules())
    return tmp_path / "kernels"
