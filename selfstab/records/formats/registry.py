"""The formats that are known, and which of them reads or writes what."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from selfstab import validation
from selfstab.notices import printable
from selfstab.records.formats.base import Format, Match, ReadError, Table

_KNOWN: Final[dict[str, Format]] = {}

_REMEDIES: Final = {
    ".wandb": "a history that W&B has exported; upload this run's own file by `wandb sync` and save the rows of "
    "run.scan_history() as .csv",
    ".pkl": "a file that runs no code when it is read; a pickle may: save its arrays by numpy.savez or to_csv",
    ".pickle": "a file that runs no code when it is read; a pickle may: save its arrays by numpy.savez or to_csv",
    ".joblib": "a file that runs no code when it is read; a pickle may: save its arrays by numpy.savez or to_csv",
    ".ckpt": "a log of the run; a checkpoint holds weights",
    ".safetensors": "a log of the run; a checkpoint holds weights",
    ".xlsx": "a table of text; save the sheet as .csv",
    ".xls": "a table of text; save the sheet as .csv",
    ".ods": "a table of text; save the sheet as .csv",
    ".npy": "arrays with names; save them by numpy.savez(path, sharpness=..., loss=...)",
    ".mat": "arrays with names; save them by numpy.savez(path, sharpness=..., loss=...)",
    ".zip": "a file that is not packed; unpack it",
    ".tar": "a file that is not packed; unpack it",
    ".tgz": "a file that is not packed; unpack it",
}
"""What a run must be in place of a file of a suffix that is met, and is read by no format."""

FormatClass = TypeVar("FormatClass", bound=type[Format])


def register(kind: FormatClass) -> FormatClass:
    """Make a format known, in place of one of the same name; a class decorator.

    Parameters
    ----------
    kind
        A subclass of :class:`Format`, made without arguments.

    Returns
    -------
    type
        The same class.

    Raises
    ------
    TypeError, ValueError
        If it is no such class, has no name, or a suffix is not of the form ".csv".

    Examples
    --------
    >>> @register
    ... class Results(Format):
    ...     name = "results of the old code"
    ...     suffixes = (".results",)
    ...
    ...     def read(self, source, member=""):
    ...         return Table({"sharpness": [float(line) for line in source.read_text().split()]})
    >>> ".results" in suffixes()
    True
    >>> unregister("results of the old code")
    """
    if not (isinstance(kind, type) and issubclass(kind, Format)):
        raise TypeError(f"kind must be a subclass of Format, got {validation.shown(kind)}")
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"kind must have a name, a text, got {validation.shown(name)}")
    for suffix in kind.suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower() or len(suffix) < 2:
            raise ValueError(f"suffixes must be of the form '.csv', in lower case, got {suffix!r}")
    form = kind()
    # The latest is last: of two that are equally sure it reads.
    _KNOWN.pop(name, None)
    _KNOWN[name] = form
    return kind


def unregister(name: str) -> None:
    """Forget a format.

    Parameters
    ----------
    name
        Its name.

    Raises
    ------
    TypeError, ValueError
        If there is none of this name.
    """
    del _KNOWN[validation.one_of("name", name, _KNOWN)]


def registered() -> tuple[Format, ...]:
    """Return the formats that are known, the latest last."""
    return tuple(_KNOWN.values())


def suffixes(*, written: bool = False) -> tuple[str, ...]:
    """Return the suffixes that are known, in alphabetical order.

    Parameters
    ----------
    written
        Whether to leave out formats that are read only.

    Returns
    -------
    tuple of str
        Such as ".csv".

    Examples
    --------
    >>> suffixes(written=True)
    ('.csv', '.nc', '.npz', '.tsv', '.zarr')
    """
    return tuple(sorted({s for form in registered() if form.writes or not written for s in form.suffixes}))


def readable() -> str:
    """Return in words what a path to a recorded run may be: suffixes, and names of formats that have none.

    >>> readable()
    ".arrow, .bz2, .csv, .dat, .db, .feather, ... .zarr, ... or TensorBoard's events"
    """
    nameless = [form.name for form in registered() if not form.suffixes and not form.in_memory]
    return listed([*suffixes(), *nameless])


def listed(words: Iterable[str]) -> str:
    """Return words as a list with "or".

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def format_of(source: Any) -> Format:
    """Return the format that reads a source: the surest, then that of the longest suffix, then the latest.

    Parameters
    ----------
    source
        A path of a file or folder, or an object.

    Returns
    -------
    Format
        A format that is known.

    Raises
    ------
    TypeError, ValueError
        If there is no such file or folder, or no format takes the source for its own.
    """
    subject = _subject(source)
    if isinstance(subject, Path):
        if not _exists(subject):
            raise ValueError(f"run must be a file that exists, got {validation.shown(str(source), 200)}")
        if not (subject.is_file() or subject.is_dir()):  # a reader would wait for a pipe
            raise ValueError(f"run must be a file or a folder, got {str(source)!r}, a pipe or a device")
    matching = [(form, match) for form in registered() if (match := _match(form, subject)) is not Match.NONE]

    def rank(entry: tuple[Format, Match]) -> tuple[int, int]:
        length = len(entry[0].suffix_of(subject)) if isinstance(subject, Path) else 0
        return entry[1].value, length

    if matching:  # of equals the first counts, which is the latest here
        return max(reversed(matching), key=rank)[0]
    if isinstance(subject, Path):
        raise ValueError(f"run must be {_remedy(subject)}, got {validation.shown(str(source), 200)}")
    kinds = [form.name for form in registered() if form.in_memory]
    raise TypeError(
        f"run must be a path, a formats.Table, {listed(sorted(kinds))}, got {validation.shown(source)}"
    )


def _remedy(path: Path) -> str:
    """Return what a path that no format reads must be, in words."""
    from selfstab.records import folders  # it is above this module

    names = [path.name]
    if path.is_dir():
        inside = itertools.islice(folders.files(path, 3), 1000)
        names = [file.relative_to(path).as_posix() for file in inside]
        logs = [name for name in names if name.lower().endswith(suffixes())]
        if logs and not any(name.lower().endswith(".wandb") for name in names):
            return f"one log, or a folder with one log; name one of {_shortened(logs)}"
    return next(
        (text for suffix, text in _REMEDIES.items() if any(name.lower().endswith(suffix) for name in names)),
        readable(),
    )


def format_to_write(path: Path, name: str = "output") -> Format:
    """Return the format that a path asks for by its suffix.

    Parameters
    ----------
    path
        Where something is to be written.
    name
        The argument that the path came by, for the message.

    Returns
    -------
    Format
        A format that writes, and whose modules can be imported.

    Raises
    ------
    ValueError
        If no format that writes has this suffix.
    ImportError
        If the format needs a module that cannot be imported.
    """
    written = [form for form in registered() if form.writes and form.suffix_of(path)]
    if not written:
        raise ValueError(f"{name} must end in {listed(suffixes(written=True))}, got {path.name!r}")
    form = max(reversed(written), key=lambda form: len(form.suffix_of(path)))
    _import(form, (*form.needs, *form.needs_to_write), f"{name} to {form.suffix_of(path)}")
    return form


def members(source: Any) -> tuple[str, ...]:
    """Return the names of the runs that a source holds; none where it holds one run without a name.

    Parameters
    ----------
    source
        A path of a file or folder, or an object.

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`read`.
    """
    return (
        () if isinstance(source, Table) else _of_source(source, lambda form, subject: form.members(subject))
    )


def read(source: Any, member: str = "") -> Table:
    """Return the columns of a recorded run.

    Parameters
    ----------
    source
        A path of a file or folder, an object, or a :class:`Table`, which is returned as it is.
    member
        Which run, where the source holds several; see :func:`members`.

    Returns
    -------
    Table
        Columns by their own names, for :func:`selfstab.analyze`.

    Raises
    ------
    TypeError, ValueError
        If no format knows the source, it is damaged, or there is no such member; the message says which.
    ImportError
        If the format needs a module that cannot be imported.

    Examples
    --------
    >>> read({"sharpness": [1.0, 2.0], "lr": 0.1}).attributes
    {'lr': 0.1}
    """
    if isinstance(source, Table):
        return source

    def table_of(form: Format, subject: Any) -> Table:
        names = form.members(subject)
        if not names and member:
            problem = f"must be left out of a file that holds one run, got {validation.shown(member)}"
            raise validation.ArgumentError("member", problem)
        usual = names[0] if len(names) == 1 else form.usual_member(subject) if names else ""
        chosen = member or usual
        if names and chosen not in names:
            problem = f"must be one of {_shortened(names)}, which the file holds"
            raise validation.ArgumentError(
                "member", f"{problem}, got {validation.shown(member) if member else 'none'}"
            )
        table = form.read(subject, chosen)
        others = [name for name in names if name != chosen]
        if others and not member:
            note = f"Of several runs {chosen} is read; the others are {_shortened(others)} (member, --run)."
            return replace(table, notes=(*table.notes, note))
        return table

    table: Table = _of_source(source, table_of)
    return table


def _of_source(source: Any, ask: Callable[[Format, Any], Any]) -> Any:
    """Return what a source's format answers; a damaged file is told in one line, also when a column is read later."""
    form, subject = format_of(source), _subject(source)
    _import(form, form.needs, f"run in {form.name}")

    def explained(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ImportError:
            raise
        except ReadError as error:
            raise ReadError(_one_line(error)) from None
        except validation.ArgumentError:
            raise
        except Exception as error:  # each reader has its own kinds of error for a damaged file
            if form.in_memory:
                raise
            kind = form.suffix_of(subject) or form.name
            raise ValueError(
                f"run must be a readable {kind} file, got {str(source)!r}: {_one_line(error)}"
            ) from None

    answer = explained(lambda: ask(form, subject))
    return answer.through(explained) if isinstance(answer, Table) else answer


def _shortened(names: Iterable[str]) -> str:
    """Return names as a list, the first ones of many."""
    names = [printable(name) for name in names]
    text = ", ".join(names)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(names)} runs)"


def _one_line(error: Exception) -> str:
    """Return what an error says, which may be in the words of a file, on one line of what can be seen."""
    return validation.one_line(str(error)) or type(error).__name__


def _match(form: Format, subject: Any) -> Match:
    """Return how sure a format is; what it cannot look at is not its own, whatever it raises."""
    try:
        return form.match(subject)
    except Exception:  # a format of somebody's own must not keep others from reading
        return Match.NONE


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder that may not be looked into
        return False


def _subject(source: Any) -> Any:
    return Path(source) if isinstance(source, str) else source


def needed(form: Format, use: str) -> None:
    """Raise ImportError unless the modules can be imported that a format needs to read.

    Parameters
    ----------
    form
        A format.
    use
        What is done, for the message.
    """
    _import(form, form.needs, use)


def _import(form: Format, modules: Iterable[str], use: str) -> None:
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise ImportError(f"{use} needs {module}, which cannot be imported: {error}") from None
