"""What a caller is told while a call goes on: a warning at the caller's own line, or a text to whoever listens."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Final

_PACKAGE: Final = str(Path(__file__).parent) + os.sep

_FILTERS: Final = threading.RLock()

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def notify(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that led here; with a listener, hand it the text instead.

    Parameters
    ----------
    text
        One line.
    category
        The warning's class.
    """
    listener = _listener.get()
    if listener is not None:
        listener(text)
        return
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def printable(text: str) -> str:
    r"""Return a text of somebody else's as a terminal or a page may show it.

    Control characters, marks that turn the direction of writing, and whatever else cannot be seen become escapes.

    >>> print(printable("loss\x1b[2J κ"))
    loss\x1b[2J κ
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """Hand what this thread is notified of to a listener, at once; other threads keep theirs.

    >>> with heard_by(print):
    ...     notify("the folder was empty")
    the folder was empty
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def unwarned(category: type[Warning] = Warning) -> Iterator[None]:
    """Ignore another library's warnings of a category, for one call.

    Filters of warnings are the whole process's. Threads that change them and overlap would leave them changed, so that
    they wait for each other here.

    >>> with unwarned(UserWarning):
    ...     warnings.warn("nobody sees this")
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


@contextmanager
def raised(category: type[Warning]) -> Iterator[None]:
    """Raise another library's warnings of a category, for one call; threads wait for each other as in :func:`unwarned`.

    >>> with raised(UserWarning):
    ...     warnings.warn("a part was left out")
    Traceback (most recent call last):
    ...
    UserWarning: a part was left out
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", category)
        yield


def unheard() -> AbstractContextManager[None]:
    """Notify nobody in this thread."""
    return heard_by(lambda text: None)
