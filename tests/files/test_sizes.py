"""Declared sizes: what compressed data give is known before they are decompressed."""

from __future__ import annotations

import numcodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfstab.files import sizes

CODECS = ["blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"]


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(min_size=1, max_size=3000), times=st.integers(1, 50))
def test_it_is_what_the_codec_gives(codec, data, times):
    """Protects honest files: the size is the codec's, for anything it writes."""
    whole = data * times
    written = bytes(numcodecs.get_codec({"id": codec}).encode(whole))
    assert sizes.decompressed(codec, written, 10**6) == len(whole)


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=200), place=st.floats(0, 1), cut=st.integers(0, 100))
def test_damaged_data_are_told_or_give_a_size(codec, data, place, cut):
    """Protects the process: whatever stands there, a size or a ValueError comes back."""
    written = bytearray(numcodecs.get_codec({"id": codec}).encode(bytes(1000)))
    at = int(place * len(written))
    written[at : at + cut] = data
    for content in (bytes(written), data):
        try:
            size, told = sizes.decompressed(codec, content, 10**4), ""
        except ValueError as error:
            size, told = -1, str(error)
        assert size >= 0 or told == f"data of {codec} are damaged"


def test_frames_without_a_size_are_bounded_by_their_blocks():
    """Protects against frames of Zstandard that do not say what they hold, several of them, and frames to skip."""
    plain = bytes(numcodecs.Zstd().encode(bytes(100)))
    skipped = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    assert sizes.decompressed("zstd", plain + skipped + plain, 10**4) == 200
    # A frame of no declared size: two blocks of one repeated byte each, 100,000 times.
    block = (100_000 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (100_000 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block + last
    assert len(numcodecs.Zstd().decode(frame)) == 200_000
    assert 200_000 <= sizes.decompressed("zstd", frame, 10**6) <= 2**18


def test_the_bound_can_be_set(monkeypatch):
    """Protects small machines and large files: half of the free memory at most, unless it is set."""
    monkeypatch.delenv(sizes.VARIABLE, raising=False)
    monkeypatch.setattr(sizes, "free_memory", lambda: 10**9)
    assert sizes.most_bytes() == 5 * 10**8
    monkeypatch.setattr(sizes, "free_memory", lambda: 10**12)
    assert sizes.most_bytes() == 3 * 2**30
    monkeypatch.setenv(sizes.VARIABLE, "12")
    assert sizes.most_bytes() == 12
    sizes.check("loss", 12)
    with pytest.raises(sizes.TooLarge, match=r"loss takes .* SELFSTAB_MOST_BYTES sets how many"):
        sizes.check("loss", 13)
    for text in ("0", "-1", "1e9", "x" * 99, "٣", "9" * 40):
        monkeypatch.setenv(sizes.VARIABLE, text)
        with pytest.raises(ValueError, match="SELFSTAB_MOST_BYTES must be a whole number of bytes above 0"):
            sizes.most_bytes()
