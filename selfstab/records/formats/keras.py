"""Keras's History, which its fit returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selfstab.records.formats.base import Format, Match, Table
from selfstab.records.formats.mapping import table_of_mapping
from selfstab.records.formats.registry import register


@register
class History(Format):
    """Objects History of Keras: their history by epochs."""

    name = "keras.callbacks.History"
    in_memory = True

    def match(self, source: Any) -> Match:
        """Return CERTAIN for an object of Keras with a history."""
        of_keras = type(source).__module__.partition(".")[0] in ("keras", "tf_keras", "tensorflow")
        fits = of_keras and isinstance(getattr(source, "history", None), Mapping)
        return Match.CERTAIN if fits else Match.NONE

    def read(self, source: Any, member: str = "") -> Table:
        """Return the columns, with the epoch of each row."""
        table = table_of_mapping(source.history)
        epochs = {"epoch": np.asarray(source.epoch)} if getattr(source, "epoch", None) else {}
        return Table(epochs | dict(table.columns), table.attributes)
