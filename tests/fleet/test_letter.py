"""Letters: what opens, and what does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.fleet.letter import NAME_BYTES, Conversation, Kind, Letter, Sealing, read_letter
from proxy.model.entry import CacheKey

FLIGHT, FOLLOWER = b"f" * NAME_BYTES, b"o" * NAME_BYTES
KEY = CacheKey("anon", b"k" * 32)
KEYS = {7: b"7" * 32, 2: b"2" * 32}
names = st.binary(min_size=NAME_BYTES, max_size=NAME_BYTES)
scopes = st.text(max_size=8)
digests = st.binary(min_size=32, max_size=32)
cache_keys = st.none() | st.builds(CacheKey, scopes, digests)
secrets = st.binary(max_size=70)
keys = st.sampled_from([{}, {7: KEYS[7]}, KEYS])


def read(blob: bytes) -> Letter:
    letter = read_letter(blob)
    assert letter is not None
    return letter


def conversation(sealing: Sealing) -> Conversation:
    return sealing.between(FLIGHT, FOLLOWER, KEY)


@given(
    secrets, keys, st.tuples(names, names, cache_keys),
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary()),
)  # fmt: skip
def test_what_is_written_can_be_read_where_it_belongs(secret, keys, belongs, said):
    letter = read(Sealing(secret, keys).between(*belongs).write(*said))
    kind, number, content = said
    assert letter[:4] == (kind, *belongs[:2], number)
    assert Sealing(secret, keys).between(*belongs).open(letter) == content


@given(keys, st.data(), st.binary(max_size=100))
def test_a_letter_that_was_changed_in_any_place_does_not_open(keys, data, content):
    ours = conversation(Sealing(b"secret", keys))
    blob = bytearray(ours.write(Kind.PIECE, 3, content))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= 1 << data.draw(st.integers(0, 7))
    letter = read_letter(bytes(blob))
    assert letter is None or ours.open(letter) is None


@given(keys, st.data())
def test_a_letter_that_was_cut_short_does_not_open(keys, data):
    ours = conversation(Sealing(b"secret", keys))
    blob = ours.write(Kind.PIECE, 3, b"content")
    letter = read_letter(blob[: data.draw(st.integers(0, len(blob) - 1))])
    assert letter is None or ours.open(letter) is None


@given(keys, names, names, cache_keys, secrets)
def test_a_letter_opens_nowhere_else(keys, flight, follower, about, secret):
    ours = (FLIGHT, FOLLOWER, KEY, b"secret")
    letter = read(conversation(Sealing(b"secret", keys)).write(Kind.PIECE, 0, b"content"))
    theirs = Sealing(secret, keys).between(flight, follower, about)
    assert (theirs.open(letter) == b"content") is ((flight, follower, about, secret) == ours)


def test_what_is_encrypted_holds_nothing_in_clear_and_is_read_with_older_keys_too():
    old = conversation(Sealing(b"secret", {2: KEYS[2]}))
    both = conversation(Sealing(b"secret", KEYS))
    letter = old.write(Kind.PIECE, 0, b"content")
    assert b"content" not in letter
    assert both.open(read(letter)) == b"content"
    assert old.open(read(both.write(Kind.PIECE, 0, b"content"))) is None  # it has no such key


def test_with_keys_what_is_not_encrypted_is_not_read_nor_the_other_way_round():
    clear, locked = conversation(Sealing(b"secret")), conversation(Sealing(b"secret", KEYS))
    assert locked.open(read(clear.write(Kind.PIECE, 0, b"content"))) is None
    assert clear.open(read(locked.write(Kind.PIECE, 0, b"content"))) is None


@given(st.binary(max_size=100) | st.binary(max_size=80).map(b"\x01\x09".__add__), keys)
def test_garbage_is_no_letter_or_does_not_open(blob, keys):
    letter = read_letter(blob)
    assert letter is None or conversation(Sealing(b"secret", keys)).open(letter) is None
