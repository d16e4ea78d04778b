"""Which runs advance together."""

from __future__ import annotations

from dataclasses import replace

import selfstab as ss
from selfstab.experiments.comparison import BATCH, Job, _of_one_loss, batches
from tests.experiments.small import SETTING, TASK


def test_batches_hold_each_job_once_with_what_runs_share():
    """Protects surveys: no run is lost, and a batch has one seed, one momentum, and runs of about one length."""
    settings = [replace(SETTING, threshold=s, steps=n) for s in (3.0, 3.5, 4.0, 4.5) for n in (40, 80, 160)]
    jobs = [Job(TASK, s, method, seed) for s in settings for method in ("phb", "gd_time") for seed in (0, 1)]
    together = batches(jobs)
    assert sorted(k for places in together for k in places) == list(range(len(jobs)))
    for places in together:
        assert len(places) <= BATCH
        assert len({(jobs[k].seed, jobs[k].method) for k in places}) == 1
        work = [jobs[k].work for k in places]
        assert min(work) >= 0.4 * max(work)
    assert any(len(places) > 1 for places in together)


def test_losses_are_one_if_their_data_are():
    """Protects scales as an axis, and losses that differ or have a kernel, which never advance together."""
    one, same, other = (ss.DiagonalNetwork([[1.0, 2.0]], [y]) for y in (1.0, 1.0, 2.0))
    assert _of_one_loss([one, same, other, one]) == [[0, 1, 3], [2]]
    assert _of_one_loss([ss.Product(), ss.Product()]) == [[0], [1]]
