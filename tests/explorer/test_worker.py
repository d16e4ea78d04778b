"""The thread behind the page: it always works on the latest request."""

import threading

from selfstab.explorer.worker import Latest


def test_requests_in_between_are_dropped():
    # Protects the drag: a slider sends many values, of which the last counts.
    begun, go, seen = threading.Event(), threading.Event(), []

    def work(request, wanted):
        begun.set()
        go.wait(10.0)
        seen.append((request, wanted()))

    worker = Latest(work)
    worker.ask(1)
    assert begun.wait(10.0)
    for request in (2, 3, 4):
        worker.ask(request)
    go.set()
    worker.close(10.0)
    assert seen == [(1, False), (4, True)]
