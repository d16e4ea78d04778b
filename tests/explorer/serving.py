"""A server of the explorer in a process of its own, in an environment that asks for worse."""

import os
import subprocess
import sys
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "selfstab.cli", "explore", "--no-browser"]


IMPATIENT = [
    sys.executable,
    "-c",
    "from selfstab.explorer import server as s; s.UNUSED_MILLISECONDS = s.CHECK_MILLISECONDS = 20; "
    "s._prepare = lambda ahead: None; "
    "s.serve(0, browser=False, say=lambda words: print(words, flush=True), tabs=1)",
]
"""A server of one page that ends a page at once after its tab was closed, and compiles nothing ahead."""


@contextmanager
def serving(*options, folder=None, command=COMMAND):
    """Yield the process and the address of its page; at the end it is ended by what ends it in a terminal."""
    # What a user's environment may hold: scripts from elsewhere, and any origin.
    worse = {"BOKEH_RESOURCES": "cdn", "BOKEH_ALLOW_WS_ORIGIN": "*", "BOKEH_CDN_VERSION": "1.0.0"}
    process = subprocess.Popen(
        [*command, *options],
        env=os.environ | worse,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().split()[2]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
