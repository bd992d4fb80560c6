"""The texts of an envelope: read as they were written, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.tier_contract import entry

from proxy.model.meaning import Wording
from proxy.tiers.codec_words import SHAPE, WordReader, packed, wording

ASKED = Wording(bytes(range(16)), "how it was asked")


def test_what_was_packed_is_read() -> None:
    given = replace(entry(), path="/v1", tags=("a", "b"), wording=ASKED)
    told = WordReader().read(*packed(given))
    assert told is not None
    words, asked = told
    assert words == ("openai_chat", "model", "OK", "/v1", ("a", "b"), given.head.headers)
    assert wording(asked) == ASKED


def test_those_who_have_the_same_fields_share_them() -> None:
    reader = WordReader()
    one = reader.read(*packed(entry()))
    other = reader.read(*packed(replace(entry(), wording=ASKED)))
    assert one is not None
    assert other is not None
    assert one[0] is other[0]


@pytest.mark.parametrize(
    ("shape", "texts"),
    [
        ((0, 1, 0, 0, 0, 0, 9), b"a"),  # the wording goes beyond the end
        ((0, 9, 0, 0, 0, 0, 0), b"a"),  # so does a text
        ((0, 1, 0, 0, 0, 0, 0), b"ab"),  # something is left
        ((1, 1, 0, 0, 0, 0, 0), b"a"),  # no field is there
        ((2**32 - 1, 1, 0, 0, 0, 0, 0), b"a"),
        ((1, 0, 0, 0, 0, 0, 0), b"\0\0\0\1\0\0\0\1a"),  # half a field
    ],
)
def test_a_shape_that_is_not_that_of_the_texts_is_refused(
    shape: tuple[int, ...], texts: bytes
) -> None:
    assert WordReader().read(SHAPE.pack(*shape), texts) is None


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        WordReader().read(SHAPE.pack(0, 1, 0, 0, 0, 0, 0), b"\xff")


@pytest.mark.parametrize("asked", [b"", b"00" * 15, b"no digits" * 9, b"\xff" * 40])
def test_what_tells_no_wording_is_refused(asked: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wording(asked)
