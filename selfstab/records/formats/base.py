"""The contract of a format of recorded runs: how it is recognized, read and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from selfstab import validation
from selfstab.notices import printable
from selfstab.records.columns.roles import ALIASES

if TYPE_CHECKING:
    import xarray


class ReadError(ValueError):
    """A run that a format cannot read, in one line that begins with "run must" and names the remedy.

    Other errors of a reader are reported as a damaged file, with their own text; this one is passed on as it is.
    """


class Match(Enum):
    """How sure a format is that a source is its own; of several formats the surest reads it.

    Examples
    --------
    >>> [match.name for match in Match]  # from the least sure on
    ['NONE', 'POSSIBLE', 'CERTAIN']
    """

    NONE = 0
    """It is not."""
    POSSIBLE = 1
    """The suffix or the kind of object says so, which other formats may share."""
    CERTAIN = 2
    """The content says so."""


@dataclass(frozen=True)
class Column:
    """A column that is read when it is used, and then once.

    Parameters
    ----------
    size
        Number of its values.
    read
        Returns them, of shape (size,).
    """

    size: int
    read: Callable[[], Any]


class ColumnMapping(Mapping[str, Any]):
    """One-dimensional arrays by name, some of which are read when they are asked for.

    Parameters
    ----------
    columns
        Arrays, or :class:`Column`, by name.

    Raises
    ------
    TypeError, ValueError
        If an array is not one-dimensional; of a column, when it is read.

    Examples
    --------
    >>> columns = ColumnMapping({"loss": Column(2, lambda: print("reading") or [2.0, 1.0])})
    >>> columns.size("loss")
    2
    >>> columns["loss"], columns["loss"]
    reading
    (array([2., 1.]), array([2., 1.]))
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = {
            name: values if isinstance(values, Column) else _column(name, values)
            for name, values in columns.items()
        }

    def __getitem__(self, name: str) -> Any:
        values = self._columns[name]
        if isinstance(values, Column):
            values = _column(name, values.read())
            self._columns[name] = values
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def entries(self) -> dict[str, Any]:
        """Return the columns as they are held, arrays or :class:`Column`; none is read for it."""
        return dict(self._columns)

    def size(self, name: str) -> int:
        """Return the number of values of a column, which is not read for it."""
        values = self._columns[name]
        return values.size if isinstance(values, Column) else len(values)

    def through(self, call: Callable[[Callable[[], Any]], Any]) -> dict[str, Any]:
        """Return the columns, to be read by way of `call`, which gets what reads one."""

        def later(column: Column) -> Column:
            return Column(column.size, lambda: call(column.read))

        return {
            name: later(values) if isinstance(values, Column) else values
            for name, values in self._columns.items()
        }


@dataclass(frozen=True)
class Table:
    """Columns of a recorded run by their own names, and what the source says of the whole run.

    Parameters
    ----------
    columns
        One-dimensional arrays by name, of numbers or of text, or :class:`Column` of what is read when it is used.
        Masked values become NaN. Whatever cannot be seen in a name, as control characters, becomes an escape.
    attributes
        What holds for the whole run, by name. Numbers such as ``lr``, ``momentum``, ``lookahead`` and ``diverged_at``
        are used where no column has them. ``optimizer`` may be a JSON object with momentum and lookahead.
    roles
        Columns that the format itself knows: {"sharpness": NAME, ...}. A name that is no column is ignored. What
        the user says goes before it, and the names of ``selfstab.records.columns.roles.ALIASES`` come after it.
    dimensions
        The dimension of each column where they have several. The run's is that of the sharpness. Without it, all
        columns are of one dimension.
    notes
        Sentences on how the source was read, for the user.

    Raises
    ------
    TypeError, ValueError
        If a column is no one-dimensional array, or a role is not known.

    Examples
    --------
    >>> table = Table({"eig0": [1.0, 1.5, 2.0]}, {"momentum": 0.9}, roles={"sharpness": "eig0"})
    >>> import selfstab as ss
    >>> float(ss.analyze(table, lr=1.0).max_stable_sharpness[0])
    3.8
    """

    columns: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        held = self.columns.entries() if isinstance(self.columns, ColumnMapping) else self.columns
        columns = ColumnMapping({printable(str(name)): values for name, values in held.items()})
        object.__setattr__(self, "columns", columns)
        for field_name in ("roles", "dimensions"):
            names = {key: printable(str(name)) for key, name in getattr(self, field_name).items()}
            object.__setattr__(self, field_name, names)
        dimensions = {printable(str(name)): value for name, value in self.dimensions.items()}
        object.__setattr__(self, "dimensions", dimensions)
        attributes = {printable(str(name)): value for name, value in self.attributes.items()}
        object.__setattr__(self, "attributes", attributes)
        object.__setattr__(self, "notes", tuple(printable(str(note)) for note in self.notes))
        for role in self.roles:
            validation.one_of("roles", role, ALIASES)

    def size(self, name: str) -> int:
        """Return the number of values of a column, which is not read for it."""
        columns: Any = self.columns
        return int(columns.size(name))

    def through(self, call: Callable[[Callable[[], Any]], Any]) -> Table:
        """Return the same table, whose columns are read through `call`, which gets what reads one."""
        columns: Any = self.columns
        return replace(self, columns=columns.through(call))


def _column(name: str, values: Any) -> Any:
    try:
        array = _unmasked(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (TypeError, ValueError):
        raise ReadError(f"run's {printable(name)} must be an array, got {validation.shown(values)}") from None
    if array.ndim != 1:
        raise TypeError(f"columns must be one-dimensional, got {printable(name)} of shape {array.shape}")
    return array


def _unmasked(values: Any) -> Any:
    """Return a masked array's values, with NaN in place of the masked ones."""
    if not np.ma.is_masked(values):
        return np.asarray(values.data)
    # Whole numbers and texts have no NaN of their own.
    kind = values.dtype.kind
    return values.astype(values.dtype if kind in "fc" else np.float64 if kind in "iub" else object).filled(
        np.nan
    )


class Format(ABC):
    """A format of recorded runs: files of a kind, folders of a kind, or objects in memory.

    A subclass names itself and its suffixes and defines :meth:`read`. With :func:`register` it is known to
    :func:`selfstab.analyze`, to :meth:`selfstab.Recorder.save`, to the command line and to reports.

    Examples
    --------
    >>> class Columns(Format):
    ...     name = "columns of text"
    ...     suffixes = (".dat",)
    ...
    ...     def read(self, source, member=""):
    ...         sharpness, loss = np.loadtxt(source, unpack=True)
    ...         return Table({"sharpness": sharpness, "loss": loss})
    >>> Columns().match(Path("run.dat")).name, Columns().writes
    ('POSSIBLE', False)
    """

    name: ClassVar[str]
    """What messages call it; a format of the same name is replaced."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of its files and folders in lower case, such as ".csv" or ".csv.gz"; the longest that fits counts."""
    in_memory: ClassVar[bool] = False
    """Whether its sources are objects, and not paths."""
    tabular: ClassVar[bool] = False
    """Whether it holds columns along one dimension only, so that of an analysis it takes the catapults alone."""
    replaceable: ClassVar[str] = "a file"
    """What may stand where it is written, for the message of :meth:`refusal`."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Modules to import beside selfstab's own requirements; without one, an ImportError names it."""
    needs_to_write: ClassVar[tuple[str, ...]] = ()
    """Further modules that writing needs."""

    def match(self, source: Any) -> Match:
        """Return how sure it is that a source is of this format.

        Parameters
        ----------
        source
            A :class:`pathlib.Path` of a file or folder that exists, or an object.

        Returns
        -------
        Match
            By default POSSIBLE for a path with one of the suffixes. A format that shares its suffix with others looks
            into the file, and returns CERTAIN or NONE. An error of opening or decoding counts as NONE.
        """
        return Match.POSSIBLE if isinstance(source, Path) and self.suffix_of(source) else Match.NONE

    def members(self, source: Any) -> tuple[str, ...]:
        """Return the names of the runs that a source holds; none where it holds one run without a name.

        Parameters
        ----------
        source
            As for :meth:`match`.
        """
        return ()

    def usual_member(self, source: Any) -> str:
        """Return which of several :meth:`members` is read if none is named; empty if one must be.

        Parameters
        ----------
        source
            As for :meth:`match`.
        """
        return ""

    @abstractmethod
    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns of a source.

        Parameters
        ----------
        source
            As for :meth:`match`; it has matched.
        member
            Which of :meth:`members`; empty where there are none.

        Returns
        -------
        Table
            Columns by their own names.

        Raises
        ------
        ReadError
            If the source is whole, and not of the form needed.
        Exception
            Any, if the source is damaged.
        """

    def write(self, data: xarray.Dataset, path: Path) -> None:
        """Write a dataset to a new path, which has the right suffix.

        It takes the place of an older file when it is whole; the caller sees to that. A format without this method
        is not written.

        Parameters
        ----------
        data
            Any dataset of selfstab's.
        path
            Where nothing is yet.
        """
        raise NotImplementedError(f"{self.name} is not written")

    def refusal(self, path: Path) -> str:
        """Return why what is at `path` must not be replaced by a file of this format; empty if it may be.

        Parameters
        ----------
        path
            A path at which there is something.
        """
        return "" if path.is_file() else "which is none"

    @property
    def writes(self) -> bool:
        """Whether it can be written."""
        return type(self).write is not Format.write

    def suffix_of(self, path: Path) -> str:
        """Return the longest of its suffixes that a path ends in, whatever its case; empty if none."""
        fitting = [suffix for suffix in self.suffixes if path.name.lower().endswith(suffix)]
        return max(fitting, key=len, default="")
