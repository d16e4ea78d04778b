"""The files of a store: the cut into chunks, which Zarr reads, checksums, and metadata that are compared."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from selfstab.sweeps.storage import layout
from selfstab.sweeps.storage.layout import Chunks, chunk_shape


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple), st.integers(1, 60), st.integers(1, 5),
    st.integers(1, 5),
)  # fmt: skip
def test_chunks_are_ranges_of_cells_that_zarr_reads(shape, size, repeats, together):
    """Protects the cut: each cell is in one block, blocks are in order, and Zarr finds each value in its place."""
    together = min(together, repeats)
    chunks = Chunks(shape, repeats, chunk_shape(shape, size), together)
    blocks = [chunks.block(k) for k in range(len(chunks))]
    assert all(len(b) <= size * together for b in blocks)
    cells = math.prod(shape)
    at = [
        (b.repeat + r, c) for b in blocks for r in range(b.repeats) for c in range(b.first, b.first + b.count)
    ]
    assert sorted(at) == [(r, c) for r in range(repeats) for c in range(cells)]
    assert [(b.repeat, b.first) for b in blocks] == sorted((b.repeat, b.first) for b in blocks)
    full = (*shape, repeats) if repeats > 1 else shape
    files = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(files), shape=full, dtype="float64", fill_value=np.nan, filters=None,
        chunks=chunks.of_arrays,
        compressors=[zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
    )  # fmt: skip
    for b in blocks:
        each = 1000.0 * np.arange(b.repeat, b.repeat + b.repeats)
        values = (np.arange(b.first, b.first + b.count)[:, None] + each).ravel()
        data = chunks.encoded(b.number, values, "float64")
        assert layout.is_whole(data)
        assert chunks.fits(data, "float64")
        assert len(data) <= chunks.most_bytes("float64")
        files[chunks.key(b.number)] = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(data)
    expected = np.arange(cells).reshape(shape)[..., None] + 1000.0 * np.arange(repeats)
    assert (array[...] == expected.reshape(full)).all()


@given(data=st.binary(max_size=40), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_file_of_one_changed_bit_is_not_whole(data, place, bit):
    """Protects blocks from damage: CRC32C sees any single bit, in the data or in the checksum itself."""
    whole = layout.with_checksum(data)
    assert layout.is_whole(whole)
    assert layout.with_checksum(b"123456789")[-4:] == (0xE3069283).to_bytes(
        4, "little"
    )  # the standard's check value
    changed = bytearray(whole)
    changed[place % len(whole)] ^= 1 << bit
    assert not layout.is_whole(bytes(changed))
    assert not layout.is_whole(whole[:3])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"node_type": "array", "shape": [3]}, {"shape": [3], "node_type": "array"}, True),
        ({"node_type": "array", "shape": [3]}, {"node_type": "array", "shape": [4]}, False),
        ({"node_type": "array", "attributes": {"a": 1}}, {"node_type": "array", "attributes": {"a": 2}}, False),
        ({"node_type": "group", "attributes": {"a": 1, "b": 2}}, {"node_type": "group", "attributes": {"a": 3}}, True),
        ({"node_type": "group", "attributes": {}}, {"node_type": "group", "attributes": {"a": 3}}, False),
        ([], {"node_type": "group", "attributes": {}}, False),
    ],
)  # fmt: skip
def test_metadata_are_compared_by_what_they_say(one, other, same):
    """Protects stores that another tool wrote anew: order is nothing, a group may say more, an array is exact."""
    assert layout.same_metadata(json.dumps(one, indent=3).encode(), json.dumps(other).encode()) is same
    assert not layout.same_metadata(b"{", json.dumps(other).encode())


def test_chunks_that_are_no_ranges_are_refused():
    """Protects the numbers of cells: a chunk wide in two axes, the last not whole, is no range."""
    with pytest.raises(ValueError, match=r"chunks must be ranges of cells, got \(2, 3\) of \(4, 5\)"):
        Chunks((4, 5), 1, (2, 3))


def test_metadata_of_another_version_of_zarr_are_the_same():
    """Protects a store that another Zarr continues: whether a group says that it lists no members is no damage."""
    group = {"attributes": {"format": 1}, "zarr_format": 3, "node_type": "group"}
    listed = {"kind": "inline", "must_understand": False, "metadata": {}}
    says = json.dumps(group | {"consolidated_metadata": listed}).encode()
    silent = json.dumps(group).encode()
    assert layout.same_metadata(silent, says)
    assert layout.same_metadata(says, silent)
    other = listed | {"metadata": {"loss": {"shape": [3], "node_type": "array"}}}
    assert not layout.same_metadata(json.dumps(group | {"consolidated_metadata": other}).encode(), silent)


@given(st.integers(1, 10**4), st.integers(1, 10**6))
def test_repeats_stand_together_as_evenly_as_may_be(cells, repeats):
    """Protects the number of files and the size of chunks: no more values than asked for, no group nearly empty."""
    size = -(-cells * repeats // layout.MOST_BLOCKS)
    together = layout.repeats_of_chunk(cells, repeats, size)
    assert 1 <= together <= repeats
    assert together == 1 or together * cells <= size
    groups = -(-repeats // together)
    assert groups <= 2 * layout.MOST_BLOCKS
    assert groups * together - repeats < groups


def test_a_chunk_that_gives_more_than_it_may_is_seen_before_it_is_decompressed():
    """Protects memory: a file of a few bytes that declares, or holds, gigabytes of zeros."""
    chunks = Chunks((4,), 1, (4,))
    honest = chunks.encoded(0, np.arange(4.0), "float64")
    assert chunks.fits(honest, "float64")
    for bomb in (Zstd().encode(bytes(10**8)), honest[:-4] + honest[:-4], b"", b"\x28\xb5\x2f\xfd"):
        assert not chunks.fits(layout.with_checksum(bomb), "float64")
