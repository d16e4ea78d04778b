"""A server of the explorer in a process of its own, in an environment that asks for worse."""

import os
import subprocess
import sys
from contextlib import contextmanager

SERVE = """
from selfstab.explorer import server
listening = server.server_on()
print(listening.port, flush=True)
listening.start()
listening.io_loop.start()
"""


@contextmanager
def serving():
    """Yield the process and its port."""
    # What a user's environment may hold: scripts from elsewhere, and any origin.
    worse = {"BOKEH_RESOURCES": "cdn", "BOKEH_ALLOW_WS_ORIGIN": "*", "BOKEH_CDN_VERSION": "1.0.0"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], env=os.environ | worse, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
