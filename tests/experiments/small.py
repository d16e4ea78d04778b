"""A task and a setting that run in a fraction of a second."""

from selfstab.experiments import Setting, SparseRegression

TASK = SparseRegression(samples=10, features=12, nonzeros=2, held_out=50)
SETTING = Setting(threshold=3.0, momentum=0.5, warmup=100, steps=160, scale=0.3, records=20, seeds=(0, 1))
