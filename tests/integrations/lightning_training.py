"""A training run of Lightning in two processes, as a program: Lightning starts it a second time.

usage: python -m tests.integrations.lightning_training FILE
"""

from __future__ import annotations

import sys

import lightning.pytorch as library

from selfstab.records.callbacks import LightningCallback
from tests.integrations.test_lightning import fitted

if __name__ == "__main__":
    callback = LightningCallback(lambda module: module.closure(), every=3, tolerance=1e-10)
    fitted(library, callback, batches=2, devices=2, strategy="ddp", steps=31)
    if callback.recorder.dataset().sizes["step"]:
        callback.recorder.save(sys.argv[1])
