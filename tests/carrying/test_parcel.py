from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.carrying.parcel import Heading, Packing, Unpacking, Unreadable

HEADING = Heading("keys", "purges", 1234.5)


def packed(*envelopes: bytes, heading: Heading = HEADING) -> bytes:
    packing = Packing()
    pieces = [packing.heading(heading), *map(packing.entry, envelopes)]
    return b"".join([*pieces, packing.end()])


def opened(parcel: bytes) -> list[bytes]:
    unpacking = Unpacking()
    found = unpacking.feed(parcel)
    unpacking.end()
    return found


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.integers(1, 40))
def test_what_was_packed_comes_out_however_it_is_cut_on_the_way(
    envelopes: list[bytes], size: int
) -> None:
    parcel = packed(*envelopes)
    unpacking = Unpacking()
    found = []
    for at in range(0, len(parcel), size):
        found += unpacking.feed(parcel[at : at + size])
    unpacking.end()
    assert found == envelopes
    assert unpacking.heading == HEADING
    assert unpacking.count == len(envelopes)


def test_what_was_cut_short_is_told() -> None:
    parcel = packed(b"one", b"two")
    for size in range(len(parcel)):
        unpacking = Unpacking()
        unpacking.feed(parcel[:size])
        with pytest.raises(Unreadable, match="cut short"):
            unpacking.end()


@given(st.data())
def test_no_byte_can_be_changed_unnoticed(data: st.DataObject) -> None:
    parcel = bytearray(packed(b"first", b"second"))
    parcel[data.draw(st.integers(0, len(parcel) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unreadable):
        opened(bytes(parcel))


def made_at(when: bytes) -> bytes:
    return HEADING.written().replace(b"1234.5}", when + b"}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x28\xb5\x2f\xfd", "no entries"),
        (b"{}\n", "no entries"),
        (b"[]\n", "no entries"),
        (b'{"kind": "other", "version": 1}\n', "no entries"),
        (b'{"kind": "sidecache entries", "version": 2}\n', "another release: version 2"),
        (b'{"kind": "sidecache entries", "version": 1}\n', "no entries"),
        (b"{" + b" " * 5000, "no entries"),
        (b'{"a":' + b"[" * 4000 + b"\n", "no entries"),
        (made_at(b'"soon"'), "no entries"),
        (made_at(b"1" + b"0" * 400), "no entries"),
        (HEADING.written() + struct.pack(">I", 2**31), "longer than any"),
        (packed(b"one") + b"x", "after its end"),
    ],
)
def test_what_is_none_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        Unpacking().feed(content)
