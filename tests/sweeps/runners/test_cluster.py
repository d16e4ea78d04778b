"""Sweeps on a Dask cluster of real processes: the same bits as local ones, whatever happens to workers."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter

import distributed
import numpy as np
import pytest
from click.testing import CliRunner

import selfstab as ss
from selfstab.cli.program import main
from selfstab.sweeps import sweep as sweep_module
from selfstab.sweeps.plan.blocks import Block
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners import cluster
from selfstab.sweeps.storage.memory import Memory

RNG = np.random.default_rng(1)
NET = ss.MLP([3, 4, 1], RNG.standard_normal((10, 3)), RNG.standard_normal((10, 1)))
DIAGONAL = ss.DiagonalNetwork(RNG.standard_normal((6, 4)), RNG.standard_normal(6))
CASES = {
    "symbolic": (
        ss.CubicTaylor(1.0), {"momentum": np.linspace(0.0, 0.95, 16), "excess": np.geomspace(1e-3, 0.3, 33)},
        {"start": [1e-3, 0.0], "previous": [-1e-3, 0.0], "steps": 500, "measure": ["overshoot"]},
    ),
    # Losses below 2.2e-308, which are 0 in a kernel.
    "dying": (
        ss.Quadratic([1.0]), {"lr": np.linspace(0.5, 1.9, 40)},
        {"start": [1e-161], "steps": 40, "measure": ["max_loss", "final_loss", "phase"]},
    ),
    "mlp": (
        NET, {"lr": np.geomspace(0.01, 10.0, 12), "momentum": [0.0, 0.9]},
        {"start": NET.initial_weights(seed=3), "steps": 6, "noise": 1e-3, "repeats": 2,
         "measure": ["final_loss", "final_sharpness", "diverged_at"]},
    ),
    "diagonal": (
        DIAGONAL, {"excess": [-0.5, 0.1, 3.0], "start.u1": np.linspace(0.2, 0.9, 8)},
        {"start": DIAGONAL.initial_weights(scale=0.5), "steps": 8},
    ),
}  # fmt: skip


def swept(name, **changes):
    loss, axes, settings = CASES[name]
    return ss.sweep(loss, ss.HeavyBall(0.5, 0.9), axes, **({"progress": False} | settings | changes))


@pytest.fixture(scope="module")
def local():
    return {name: swept(name) for name in CASES}


@pytest.fixture(scope="module")
def workers():
    """Give two processes of one thread each; a nanny starts each again when it dies."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as made:
        yield made


@pytest.fixture
def client(workers):
    with distributed.Client(workers, set_as_default=False) as made:
        made.wait_for_workers(2)
        yield made


@pytest.fixture
def few_threads():
    """Give a cluster in this process: one worker of one thread, free to be taken away."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield made, client


@pytest.fixture
def at_accept(monkeypatch):
    """Count how often each block is accepted, and do something before one of them."""

    def install(do, at=3):
        seen = Counter()
        accept = Memory.accept

        def counted(self, block, values):
            seen[block.number] += 1
            if seen.total() == at:
                do()
            accept(self, block, values)

        monkeypatch.setattr(Memory, "accept", counted)
        return seen

    return install


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def our_tasks(workers):
    return [key for key in workers.scheduler.tasks if str(key).startswith("selfstab")]


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_as_here(name, local, client, same_cells):
    """Protects results from where they are computed: kernels and networks, noise and repeats."""
    same_cells(swept(name, client=client), local[name])
    if name == "dying":
        assert not local[name].max_loss.values.any()


def test_an_address_will_do_and_leaves_no_client(local, client, workers, same_cells):
    """Protects the clients that are not ours: one's own is the only one closed."""
    before = set(workers.scheduler.clients)
    same_cells(swept("symbolic", client=workers.scheduler_address), local["symbolic"])
    assert client.status == "running"
    until(lambda: set(workers.scheduler.clients) == before)


def test_the_command_has_a_scheduler(workers):
    """Protects `sweep --scheduler`: the table of the local command, but for the seconds."""
    words = [
        "sweep", "CubicTaylor", "-p", "curvature=1", "--start", "0.001,0", "--steps", "300", "-a", "momentum=0,0.5",
        "-a", "excess=0.01,0.1", "-m", "overshoot",
    ]  # fmt: skip
    here = CliRunner().invoke(main, words)
    there = CliRunner().invoke(main, [*words, "--scheduler", workers.scheduler_address])
    assert here.exit_code == there.exit_code == 0, there.output
    assert here.stdout.splitlines()[1:] == there.stdout.splitlines()[1:]


def test_tasks_under_way_are_few_and_the_plan_travels_once(client, workers, at_accept, monkeypatch):
    """Protects the memory of client and scheduler: neither holds a task for each block of a large grid."""
    most = []
    at_accept(lambda: None)
    accept = Memory.accept
    monkeypatch.setattr(Memory, "accept", lambda *args: (most.append(len(our_tasks(workers))), accept(*args)))
    sent = client.run(lambda: cluster._unpacked.cache_info().misses)
    swept("mlp", client=client)
    assert len(most) == 24
    # The plan's, those under way, and one or two whose results are here already.
    assert max(most) <= 3 + 2 * cluster.AHEAD
    misses = client.run(lambda: cluster._unpacked.cache_info().misses)
    assert all(misses[worker] - sent[worker] <= 1 for worker in sent)
    until(lambda: not our_tasks(workers))


def test_a_store_gets_the_blocks(local, client, tmp_path, same_cells):
    """Protects a store filled by a cluster: the same bits, and nothing left to do for a second call."""
    for name in ("symbolic", "diagonal"):
        path = tmp_path / f"{name}.zarr"
        same_cells(swept(name, client=client, store=path), local[name])
        same_cells(swept(name, store=path), local[name])


def test_a_killed_worker_costs_only_its_blocks(local, client, workers, at_accept, same_cells):
    """Protects a sweep from a worker that dies: the same bits, and each block accepted once."""
    pids = client.run(os.getpid)
    seen = at_accept(lambda: os.kill(next(iter(pids.values())), signal.SIGKILL))
    data = swept("mlp", client=client)
    assert next(iter(pids)) not in workers.scheduler.workers
    same_cells(data, local["mlp"])
    assert set(seen.values()) == {1}
    assert len(seen) == 24


class Deadly(ss.DiagonalNetwork):
    """Ends the process it runs in, unless that is the one that made it, where 0 lies between two starts.

    It does so once the file `after` is there, if one is given.
    """

    def __init__(self, inputs, targets, error=None, after=None):
        super().__init__(inputs, targets)
        self.home, self.error, self.after = os.getpid(), error, after

    def gradient_at(self, w):
        if w[0] > 0.5 and os.getpid() != self.home:
            if self.error is not None:
                raise self.error
            if self.after is not None:
                until(self.after.exists)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().gradient_at(w)


def deadly(client, error=None, after=None):
    loss = Deadly(DIAGONAL.inputs, DIAGONAL.targets, error, after)
    axes = {"start.u0": np.append(np.full(20, 0.1), 0.9)}
    start = loss.initial_weights(scale=0.5)
    return ss.sweep(loss, ss.HeavyBall(0.1), axes, start=start, steps=3, progress=False, client=client)


def test_a_block_that_kills_is_named(client, workers, monkeypatch, at_accept, tmp_path):
    """Protects against a sweep that never ends: the block is named once as many workers died as are allowed.

    The others are accepted first: what a worker still holds when it dies counts against it, too.
    """
    monkeypatch.setattr(workers.scheduler, "allowed_failures", 0)
    rest = tmp_path / "the_others_are_accepted"
    seen = at_accept(rest.touch, at=10)
    with pytest.raises(
        ConnectionError, match=r"block 10 \(repeat 0, cells 20 to 20\) was lost with 1 workers"
    ) as e:
        deadly(client, after=rest)
    assert "\n" not in str(e.value)
    assert seen == dict.fromkeys(range(10), 1)
    until(lambda: not our_tasks(workers))


@pytest.mark.parametrize("kind", [ZeroDivisionError, TimeoutError])
def test_an_error_on_a_worker_is_what_it_would_be_here(client, workers, kind):
    """Protects the type and the text of an error, and says where it was; a time-out is none of the cluster's."""
    with pytest.raises(kind, match="of my own") as caught:
        deadly(client, kind("of my own"))
    assert str(caught.value) == "of my own"
    assert caught.value.__notes__ == ["in block 10 (repeat 0, cells 20 to 20)"]
    until(lambda: not our_tasks(workers))


def test_an_interrupt_leaves_no_tasks(local, client, workers, at_accept, same_cells):
    """Protects the cluster from a sweep that was stopped by Ctrl-C, and the next sweep from it."""
    assert threading.current_thread() is threading.main_thread()
    seen = at_accept(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        swept("mlp", client=client, steps=100, repeats=50)
    assert 0 < len(seen) < 600
    until(lambda: not our_tasks(workers))
    same_cells(swept("diagonal", client=client), local["diagonal"])


def test_other_versions_are_refused_before_anything_runs(client, workers, monkeypatch, at_accept):
    """Protects bits from workers with other versions; what differs is named."""
    seen = at_accept(lambda: None)
    monkeypatch.setattr(ss, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"tcp://.* has selfstab .* \(here 9.9\)") as caught:
        swept("mlp", client=client)
    assert "\n" not in str(caught.value)
    assert not seen
    assert not our_tasks(workers)


def plan_of(name="mlp"):
    loss, axes, settings = CASES[name]
    request = Request(
        loss=loss,
        optimizer=ss.HeavyBall(0.5),
        axes=axes,
        start=settings["start"],
        steps=3,
        measure=["final_loss"],
    )
    return Plan.checked(request)


def test_a_worker_that_joins_later_is_looked_at_too(monkeypatch):
    """Protects bits from workers that were not there at the beginning: the task looks before it loads the plan."""
    plan = plan_of()
    ours = cluster.shared_with_workers(plan, sweep_module.runner_of(plan).source)
    assert np.isfinite(
        cluster._values(cluster._packed(plan, sweep_module.runner_of, ours), Block(0, 0, 0, 2))
    ).all()
    changed = cluster._packed(plan, sweep_module.runner_of, ours | {"kernel": "sha256 0"})
    with pytest.raises(ValueError, match=r"has kernel sha256 .* \(here sha256 0\)"):
        cluster._values(changed, Block(0, 0, 0, 2))
    other = cluster._packed(plan, sweep_module.runner_of, ours | {"numpy": "0.1"})
    monkeypatch.setattr(sweep_module, "runner_of", None)
    with pytest.raises(ValueError, match=r"has numpy .* \(here 0.1\)"):
        cluster._values(other, Block(0, 0, 0, 2))


@pytest.mark.parametrize(
    "loss",
    [
        ss.SymbolicLoss("log(1 + exp(-w))", "w"),
        ss.SymbolicLoss("w**2", "w"),
        ss.EmpiricalRisk("log(1 + exp(-w*x))", "w", {"x": [1.0, -2.0]}),
    ],
    ids=["stable functions", "plain", "over data"],
)
def test_a_worker_takes_every_kind_of_formula(loss):
    """Protects clusters from a setting that the plan decides and a worker cannot know before it has the plan."""
    request = Request(
        loss=loss,
        optimizer=ss.HeavyBall(0.5),
        axes={"lr": [0.1]},
        start=[1.0],
        steps=3,
        measure=["final_loss"],
    )
    plan = Plan.checked(request)
    ours = cluster.shared_with_workers(plan, sweep_module.runner_of(plan).source)
    packed = cluster._packed(plan, sweep_module.runner_of, ours)
    assert np.isfinite(cluster._values(packed, Block(0, 0, 0, 1))).all()


def test_the_blas_counts_where_it_computes():
    """Protects networks from another BLAS, which picks its code by the processor; kernels do not use one."""
    assert "architecture" not in cluster.versions(True)["blas"]
    assert cluster.versions(True)["blas"]
    assert "blas" not in cluster.versions(False)


def test_what_cannot_travel_is_refused(client):
    """Protects against a traceback from the depths of pickle."""
    loss = ss.DiagonalNetwork(DIAGONAL.inputs, DIAGONAL.targets)
    loss.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"loss and optimizer must be picklable .*lock") as caught:
        ss.sweep(
            loss, ss.HeavyBall(0.1), {"lr": [0.1]}, start=[0.1] * 8, steps=3, client=client, progress=False
        )
    assert "\n" not in str(caught.value)


def test_without_workers_nothing_begins(few_threads, monkeypatch, at_accept):
    """Protects against waiting for ever: at the beginning at once, in the midst after some time."""
    made, client = few_threads
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "ALONE_SECONDS", 0.2)
    at_accept(lambda: made.sync(next(iter(made.workers.values())).close))
    with pytest.raises(ConnectionError, match="workers are gone"):
        swept("mlp", client=client)
    with pytest.raises(ValueError, match="client must have workers"):
        swept("mlp", client=client)


def test_results_lost_with_the_last_worker_are_not_waited_for(few_threads, monkeypatch, at_accept):
    """Protects against waiting for ever for a result that was announced, and went with its worker before it came."""
    made, client = few_threads
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "ALONE_SECONDS", 0.2)

    def lose_announced_results():
        blocks = {key: state for key, state in client.futures.items() if key.rpartition("-")[2].isdigit()}
        until(lambda: all(state.status == "finished" for state in blocks.values()))
        assert len(blocks) > 1, "there must be results beyond the one accepted"
        made.sync(next(iter(made.workers.values())).close)

    at_accept(lose_announced_results)
    with pytest.raises(ConnectionError, match="workers are gone"):
        swept("mlp", client=client)


def test_a_scheduler_that_goes_is_an_error(few_threads, at_accept):
    """Protects against waiting for a scheduler that is no more."""
    made, client = few_threads
    at_accept(made.close)
    with pytest.raises(ConnectionError, match=r"cancelled by the cluster|lost its scheduler"):
        swept("mlp", client=client)


@pytest.mark.parametrize(
    ("client", "error", "match"),
    [
        (3, TypeError, "client must be a dask.distributed.Client or an address, got 3"),
        ("", ValueError, "client must be the address of a scheduler"),
        ("nonsense", ValueError, "client must be the address of a scheduler"),
        ("foo://127.0.0.1:8786", ValueError, "client must be the address .*unknown address scheme"),
        (
            "tcp://127.0.0.1:1",
            ValueError,
            "client must be the address of a scheduler.*got 'tcp://127.0.0.1:1'",
        ),
    ],
)
def test_a_bad_client_is_named(client, error, match, monkeypatch):
    """Protects the door: one line, soon."""
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.2)
    with pytest.raises(error, match=match) as caught:
        swept("mlp", client=client)
    assert "\n" not in str(caught.value)


def test_a_closed_client_and_threads_beside_one_are_refused(workers):
    """Protects the door: a client that cannot run anything, and a setting that would be ignored."""
    with (
        distributed.Client(workers, set_as_default=False) as made,
        pytest.raises(ValueError, match="threads must be left out beside a client"),
    ):
        swept("mlp", client=made, threads=2)
    with pytest.raises(ValueError, match="client must be synchronous and connected, got one that is closed"):
        swept("mlp", client=made)


def test_the_extra_is_named(monkeypatch):
    """Protects users without Dask: what to install, before anything runs."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'selfstab\[dask\]'"):
        swept("mlp", client="tcp://127.0.0.1:8786")


def test_blocks_are_small_to_send():
    """Protects the scheduler: a task holds its block, not the plan."""
    assert len(pickle.dumps(Block(1, 2, 3, 4))) < 200
