"""A small source, and Python processes that compile it."""

from __future__ import annotations

import os
import subprocess
import sys

SMALL = """\
@entry
def double(a, out):
    for i in range(a.size):
        out[i] = 2.0 * a[i]
"""


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


DOUBLED = f"""if True:
    import numpy as np
    from selfstab.kernels import modules
    module = modules.compiled({SMALL!r})
    out = np.empty(3)
    module.double(np.arange(3.0), out)
    print(module.double.loaded, out.tolist())
"""
