"""A process forked while another thread works: what the thread held stops nothing in the child."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: this system forks no processes")

FORK = """
import os, sys, threading, time

def forked(begun, child):
    # Fork as soon as the other thread is in the midst of its work; the child has 60 s.
    assert begun.wait(60)
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    for _ in range(600):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            sys.exit(status)
        time.sleep(0.1)
    os.kill(pid, 9)
    sys.exit("the child waits for ever")

begun = threading.Event()
"""

COMPILING = (
    FORK
    + """
import numba
from numba.core import event
from selfstab.kernels import modules

class Begun(event.Listener):
    def on_start(self, what):
        if not begun.is_set():
            begun.set()
            time.sleep(1.0)  # the lock is held all the time

    def on_end(self, what):
        pass

event.register("numba:compile", Begun())
threading.Thread(target=lambda: numba.njit(lambda x: x + 1)(1.0)).start()

def child():
    assert numba.njit(lambda x: x + 2)(1.0) == 3.0
    modules.compiled("one = 1")

forked(begun, child)
"""
)

LOADING = (
    FORK
    + """
from selfstab.kernels import modules

def slow(source, lock):
    begun.set()
    time.sleep(1.0)

modules._module = slow
threading.Thread(target=lambda: modules.compiled("one = 1")).start()
forked(begun, lambda: modules.compiled("two = 2"))
"""
)

DERIVING = (
    FORK
    + """
from functools import cached_property
import selfstab as ss
from selfstab.losses.symbolic import loss as module

class Slow(ss.SymbolicLoss):
    @cached_property
    def slowly(self):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            time.sleep(600)
        return 1

module.Slow = Slow
first, second = Slow("x**2", "x"), Slow("x**2 + 1", "x")
threading.Thread(target=lambda: first.slowly, daemon=True).start()
forked(begun, lambda: second.slowly)
"""
)

IMPORTING = (
    FORK
    + """
import selfstab.forks

with open(os.path.join(sys.argv[1], "slow_module.py"), "w") as file:
    file.write("import __main__, time; __main__.begun.set(); time.sleep(1.0); value = 1")
sys.path.insert(0, sys.argv[1])

def child():
    import slow_module
    assert slow_module.value == 1

threading.Thread(target=lambda: __import__("slow_module")).start()
forked(begun, child)
"""
)

DRAWING = (
    FORK
    + """
from selfstab.plotting import style

def draw():
    with style.paper():
        begun.set()
        time.sleep(600)

def child():
    with style.paper():
        pass

threading.Thread(target=draw, daemon=True).start()
forked(begun, child)
"""
)


@pytest.mark.parametrize(
    "script",
    [COMPILING, LOADING, DERIVING, IMPORTING, DRAWING],
    ids=["compiling", "loading", "deriving", "importing", "drawing"],
)
def test_a_forked_process_waits_for_no_thread_of_its_parent(script, tmp_path):
    """Protects multiprocessing's fork: a child that needs what another thread was at does not wait for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, str(tmp_path)],
        env=os.environ | {"SELFSTAB_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
