"""What runs cells and what takes them: a sweep asks for the two protocols alone, and ours keep them."""

from __future__ import annotations

import inspect

import pytest

import selfstab as ss
from selfstab.sweeps import sweep as sweep_module
from selfstab.sweeps.plan.blocks import cut
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.protocols import Results, Runner
from selfstab.sweeps.plan.request import Request
from selfstab.sweeps.runners.cells import CellRunner
from selfstab.sweeps.runners.lanes import LaneRunner
from selfstab.sweeps.storage.memory import Memory
from selfstab.sweeps.storage.store import Store


def members(protocol):
    """Return a protocol's members, those of a context included."""
    names = {name for name in vars(protocol) if not name.startswith("_")}
    return names | ({"__enter__", "__exit__"} & vars(protocol).keys())


KEPT = [
    (kind, protocol, name)
    for protocol, kinds in ((Runner, (LaneRunner, CellRunner)), (Results, (Memory, Store)))
    for kind in kinds
    for name in sorted(members(protocol))
]
PLAN = Plan.checked(
    Request(
        loss=ss.Product(), optimizer=ss.HeavyBall(0.1), axes={"lr": [0.1, 0.2, 0.3]}, start=[1.0, 2.0], steps=3,
        measure=["final_loss"], repeats=2,
    )
)  # fmt: skip
FUNCTIONS = [case for case in KEPT if inspect.isfunction(inspect.getattr_static(case[1], case[2]))]


@pytest.mark.parametrize(("kind", "protocol", "name"), FUNCTIONS)
def test_functions_take_what_the_protocol_says(kind, protocol, name):
    """Protects callers that know the protocol only: names, order and defaults of arguments."""
    ours, theirs = (inspect.signature(getattr(owner, name)).parameters.values() for owner in (kind, protocol))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


def test_objects_have_every_member():
    """Protects runs from a member that a class forgot: each is there, values too."""
    lanes = LaneRunner(PLAN, PLAN.problem.loss.kernel)
    memory = Memory(PLAN, 1, lanes, 0.0)
    assert all(hasattr(lanes, name) for name in members(Runner))
    assert all(hasattr(memory, name) for name in members(Results))
    assert len(members(Runner)) == 6
    assert len(members(Results)) == 6
    for kind, protocol in ((CellRunner, Runner), (Store, Results)):
        assert all(hasattr(kind, name) for name in members(protocol))


class Counting:
    """A runner of the protocol and nothing else: a cell's result is its number, and repeats are a hundred apart."""

    compile_seconds = 0.0
    source = "none"

    def __init__(self):
        self.calls = []

    def block_size(self, cells, steps, threads):
        return 2

    def prepare(self, compiling=None):
        self.calls.append("prepare")

    def stop(self):
        self.calls.append("stop")

    def run(self, cells, repeat=0):
        self.calls.append((repeat, cells.tolist()))
        return 100.0 * repeat + cells[None].astype(float)


class Listing:
    """Results of the protocol and nothing else, the first block known before."""

    def __init__(self):
        self.values, self.open = {}, False

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, kind, error, trace):
        self.open = False

    done = 2

    def missing(self):
        return [*cut(3, 2, 2)][1:]

    def accept(self, block, values):
        assert self.open
        self.values[block.number] = values.tolist()

    def dataset(self):
        assert not self.open
        return self.values


def test_a_sweep_asks_for_the_protocols_alone():
    """Protects further runners and stores: with just these members a sweep prepares, runs what is missing and stops."""
    runner, results = Counting(), Listing()
    data = sweep_module._run(PLAN, runner, results, sweep_module._Execution(1, None, False))
    assert data == {1: [[2.0]], 2: [[100.0, 101.0]], 3: [[102.0]]}
    assert runner.calls == ["prepare", (0, [2]), (1, [0, 1]), (1, [2]), "stop"]
