"""Blocks as tasks of a Dask cluster, whose workers must give the bits that this process gives."""

from __future__ import annotations

import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import selfstab
from selfstab import validation
from selfstab.forks import free_in_children
from selfstab.notices import unwarned
from selfstab.provenance import KERNELS, deciding_bits
from selfstab.sweeps.plan.blocks import Block, values_of
from selfstab.sweeps.plan.plan import Plan
from selfstab.sweeps.plan.protocols import Runner
from selfstab.sweeps.storage.settings import made_by
from selfstab.validation import ArgumentError, Array

if TYPE_CHECKING:
    from distributed import Client

AHEAD: Final = 3
"""Tasks under way for each thread of the cluster: results and tasks that are held are no more than these."""

ANSWER_SECONDS: Final = 5.0
"""How long a scheduler may take to answer."""

LOOK_SECONDS: Final = 2.0
"""How often the workers are counted."""

ALONE_SECONDS: Final = 60.0
"""How long a cluster may be without workers in the midst of a sweep."""


@contextmanager
def connected(client: Client | str) -> Iterator[Any]:
    """Give the client of a cluster that has workers; one made here, from an address, is closed at the end.

    Raises
    ------
    ImportError
        If the extra ``dask`` is not installed.
    TypeError, ValueError
        If it is no client or address, nothing answers there, or there are no workers.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise ImportError(f"a cluster needs Dask: pip install 'selfstab[dask]' ({error})") from None
    if isinstance(client, str):
        try:
            distributed.comm.get_address_host(client)  # a malformed address leaves a client that never closes
            connection = distributed.Client(client, timeout=ANSWER_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ArgumentError(
                "client",
                f"must be the address of a scheduler such as tcp://127.0.0.1:8786, got {client!r}: "
                f"{validation.shown(error, limit=120)}",
            ) from None
        with connection:
            yield _with_workers(connection)
        return
    if not isinstance(client, distributed.Client):
        raise TypeError(
            f"client must be a dask.distributed.Client or an address, got {validation.shown(client)}"
        )
    if client.asynchronous or client.status != "running":
        state = "an asynchronous one" if client.asynchronous else f"one that is {client.status}"
        raise ArgumentError("client", f"must be synchronous and connected, got {state}")
    yield _with_workers(client)


def _with_workers(client: Any) -> Any:
    if not threads(client):
        raise ArgumentError(
            "client", "must have workers, got a scheduler without any: start them, or wait for them"
        )
    return client


def threads(client: Any) -> int:
    """Return the number of threads of all workers."""
    return sum(client.nthreads().values())


def run_blocks(
    client: Any,
    plan: Plan,
    runner_of: Callable[[Plan], Runner],
    accept: Callable[[Block, Array], None],
    blocks: Iterable[Block],
    bar: Any,
) -> None:
    """Run the blocks on the cluster and call accept(block, values) here, once a block, in the order they end.

    The plan travels once to each worker. A block whose worker dies runs again on another. However this ends, no task
    stays behind.

    Raises
    ------
    TypeError, ValueError
        If the plan cannot be pickled, or a worker has other versions than this process; nothing has run then, unless
        the worker joined later.
    ConnectionError
        If a block was lost with as many workers as the scheduler allows, or all workers or the scheduler are gone.
    """
    blas = plan.problem.loss.kernel is None
    ours = versions(blas)
    task = _packed(plan, runner_of, shared_with_workers(plan, runner_of(plan).source))
    for address, theirs in client.run(versions, blas, on_error="return").items():
        if isinstance(theirs, BaseException):
            raise ValueError(
                f"the cluster's worker {address} cannot run this selfstab: {validation.shown(theirs, 200)}"
            )
        _refuse_others(ours, theirs, address)
    name = f"selfstab-{uuid.uuid4().hex}"
    # Dask warns of data in a task; these are needed by all of them, and lost with no worker.
    with unwarned(UserWarning):
        shared = client.submit(_itself, task, key=f"selfstab-plan-{name}")
    ended: SimpleQueue[Any] = SimpleQueue()
    under_way: dict[str, tuple[Any, Block]] = {}
    waiting = iter(blocks)
    window, looked, alive = 0, -LOOK_SECONDS, time.monotonic()
    try:
        while True:
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                # Workers come and go.
                looked, window = now, AHEAD * threads(client)
                alive = now if window else alive
                if now - alive > ALONE_SECONDS:
                    raise ConnectionError(
                        f"the cluster's workers are gone for {ALONE_SECONDS:g} s; blocks that a store has are good"
                    )
            for block in islice(waiting, max(0, window - len(under_way))):
                future = client.submit(_values, shared, block, key=f"{name}-{block.number}", pure=False)
                under_way[future.key] = future, block
                future.add_done_callback(ended.put)
            if not under_way and window:
                return
            try:
                future = ended.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            block = under_way[future.key][1]
            values = _result(future, block)
            if values is None:
                future.add_done_callback(ended.put)
                continue
            del under_way[future.key]
            accept(block, values)
            bar.update(len(block))
    except Exception as error:
        if client.status == "running":
            raise
        raise ConnectionError(
            f"the cluster lost its scheduler ({validation.shown(error, 120)}); blocks that a store has are good"
        ) from None
    finally:
        if client.status != "closed":
            client.cancel([shared, *(future for future, _ in under_way.values())])


def _result(future: Any, block: Block) -> Array | None:
    """Return a block's values, or nothing if its worker went before they came: the cluster runs it again, if it can."""
    from distributed import KilledWorker

    repeats = f"repeat {block.repeat}"
    if block.repeats > 1:
        repeats = f"repeats {block.repeat} to {block.repeat + block.repeats - 1}"
    named = f"block {block.number} ({repeats}, cells {block.first} to {block.first + block.count - 1})"
    try:
        # Without a limit this waits for ever where the last worker took the announced result with it.
        values: Array = future.result(timeout=ALONE_SECONDS)
    except KilledWorker as error:
        raise ConnectionError(
            f"{named} was lost with {error.allowed_failures + 1} workers that died holding it, perhaps for want of "
            "memory; blocks that a store has are good"
        ) from None
    except CancelledError as error:
        raise ConnectionError(
            f"{named} was cancelled by the cluster ({validation.shown(error, 120)}); blocks that a store has are good"
        ) from None
    except Exception as error:
        if isinstance(error, TimeoutError) and future.status != "error":
            return None
        error.add_note(f"in {named}")
        raise
    return values


# -- on the workers ---------------------------------------------------------------------------------------------------

_lock = threading.Lock()
free_in_children(_lock)


def _itself(task: bytes) -> bytes:
    return task


def _values(task: bytes, block: Block) -> Array:
    with _lock:
        runner = _unpacked(task)
    return values_of(runner.run, block)


def versions(blas: bool) -> dict[str, str]:
    """Return the versions that a worker must have as this process has them: what decides bits, and selfstab's own.

    A store goes on with another version of selfstab; a plan does not travel to one, whose classes may differ.
    """
    return deciding_bits(blas) | {"selfstab": selfstab.__version__, "kernels": KERNELS}


def shared_with_workers(plan: Plan, source: str) -> dict[str, str]:
    """Return all that a worker must share with this process to run a plan: versions and the generated source's hash."""
    return made_by(plan, source) | {"selfstab": selfstab.__version__}


def _packed(plan: Plan, runner_of: Callable[[Plan], Runner], ours: dict[str, str]) -> bytes:
    try:
        # In two layers: versions are compared before anything of the plan is loaded.
        inner = _pickle().dumps((runner_of, plan))
    except Exception as error:
        raise TypeError(
            f"loss and optimizer must be picklable to run on a client's workers: {validation.shown(error, 120)}"
        ) from None
    packed: bytes = _pickle().dumps((ours, inner))
    return packed


def _pickle() -> Any:
    """Return Dask's pickle, which also takes what a script defines itself."""
    return import_module("distributed.protocol.pickle")


@lru_cache(maxsize=4)
def _unpacked(task: bytes) -> Runner:
    expected, inner = _pickle().loads(task)
    # What the plan decides is compared when there is a plan.
    of_plan = {name: expected[name] for name in ("kernel", "formula") if name in expected}
    _refuse_others(expected, of_plan | versions("blas" in expected), platform.node())
    runner_of, plan = _pickle().loads(inner)
    runner: Runner = runner_of(plan)
    # The same version may be another state of the code.
    _refuse_others(expected, shared_with_workers(plan, runner.source), platform.node())
    return runner


def _refuse_others(ours: dict[str, str], theirs: dict[str, str], worker: str) -> None:
    other = [
        f"{name} {theirs.get(name)} (here {ours[name]})" for name in ours if theirs.get(name) != ours[name]
    ]
    if other:
        raise ValueError(
            f"the cluster's workers must be like this process, for bits to be equal; {worker} has {', '.join(other)}"
        )
