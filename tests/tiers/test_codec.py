"""Envelopes come back as they were, and whatever else is read is a miss."""

from __future__ import annotations

import pickle  # noqa: TID251 # what an attacker would write
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.properties import unhurried
from support.tier_contract import KEY, OTHER, entry, same

from proxy.ledger import SHARED
from proxy.model.entry import CacheKey, Entry, Lifetime
from proxy.model.meaning import Wording
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Usage
from proxy.tiers.codec import Codec, EncryptionKey, Odd, is_light

NOW, WALL = 1000.0, 1_700_000_000.0
FIRST, SECOND = EncryptionKey(1, bytes(range(32))), EncryptionKey(200, b"s" * 32)
JSON = b'{"object":"chat.completion","choices":[' + b'{"message":{"content":"Hello"}},' * 60 + b"]}"


def plain() -> Codec:
    return Codec()


def encrypting() -> Codec:
    return Codec(keys=[FIRST])


both = pytest.mark.parametrize("make", [plain, encrypting])


def seconds(most: float = 1e9) -> st.SearchStrategy[float]:
    return st.floats(0.0, most, allow_nan=False)


texts = st.text(st.characters(codec=None), max_size=20)  # lone surrogates too
counts = st.integers(0, 2**63 - 1)
forms = st.builds(Form, st.booleans(), st.booleans())
heads = st.builds(
    Head, st.integers(100, 999), texts, st.builds(Headers, st.lists(st.tuples(texts, texts)))
)
entries = st.builds(
    Entry,
    key=st.builds(CacheKey, texts, st.binary(min_size=32, max_size=32)),
    dialect=texts,
    model=texts,
    head=heads,
    form=forms,
    body=st.binary(max_size=200) | st.binary(max_size=9).map(lambda piece: piece * 500),
    stored_at=st.floats(0.0, NOW),
    lifetime=st.builds(Lifetime, st.floats(2000.0, 1e9), seconds(), seconds(), seconds()),
    initial_age=seconds(999.0),
    usage=st.none() | st.builds(Usage, counts, counts),
    generation=st.integers(0, 2**40).map(lambda n: n * SHARED),
    path=texts,
    wording=st.none() | st.builds(Wording, st.binary(min_size=16, max_size=16), st.text()),
    tags=st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1)).map(tuple),
    negative=st.booleans(),
    asked=st.none() | forms,
    upstream_s=seconds(),
)


@both
@given(stored=entries)
@unhurried
def test_any_entry_comes_back_as_it_was(make: Callable[[], Codec], stored: Entry) -> None:
    codec = make()
    assert same(codec.decode(stored.key, codec.encode(stored, NOW, WALL), NOW, WALL), stored)
    assert sum(codec.odd.values()) == 0


@given(st.binary(max_size=400))
@unhurried
def test_any_bytes_are_a_miss(blob: bytes) -> None:
    for codec in plain(), encrypting():
        assert codec.decode(KEY, blob, NOW, WALL) is None
        assert sum(codec.odd.values()) == 1


@both
@given(payload=st.binary(max_size=400) | st.binary(max_size=40).map(lambda b: bytes(85) + b))
@unhurried
def test_a_made_up_envelope_with_a_fitting_seal_is_a_miss(
    make: Callable[[], Codec], payload: bytes
) -> None:
    codec = make()
    assert codec.decode(KEY, sealed(codec, payload), NOW, WALL) is None


def sealed(codec: Codec, payload: bytes) -> bytes:
    """What somebody who knows the layout, and the secret if there is one, could write."""
    front = codec.encode(entry(), NOW, WALL)[: 8 + len(KEY.scope) + 32]
    if FIRST.id in codec._ciphers:
        nonce = bytes(12)
        return front + nonce + codec._ciphers[FIRST.id].encrypt(nonce, payload, front)
    return front + payload + blake2b(front + payload, digest_size=16).digest()


@both
def test_every_length_of_an_envelope_but_the_whole_is_a_miss(make: Callable[[], Codec]) -> None:
    codec = make()
    blob = codec.encode(entry(body=JSON), NOW, WALL)
    for end in range(len(blob)):
        assert codec.decode(KEY, blob[:end], NOW, WALL) is None
    assert codec.decode(KEY, blob + b"\0", NOW, WALL) is None
    assert same(codec.decode(KEY, blob, NOW, WALL), entry(body=JSON))


@both
def test_every_single_bit_counts(make: Callable[[], Codec]) -> None:
    codec = make()
    blob = codec.encode(entry(), NOW, WALL)
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        assert codec.decode(KEY, bytes(flipped), NOW, WALL) is None


def mutate(blob: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, lost, added or moved."""
    at, length = dice.randrange(len(blob)), dice.choice([1, 1, 2, 8, 64])
    match dice.randrange(5):
        case 0:
            new = dice.randbytes(length)
        case 1:
            new = b""
        case 2:
            new = blob[at : at + length] * 2
        case 3:
            new = bytes(length)
        case _:
            start = dice.randrange(len(blob))
            new = blob[start : start + length]
    return blob[:at] + new + blob[at + length :]


def mutations(make: Callable[[], Codec], times: int) -> None:
    codec, dice = make(), random.Random(20_000)
    stored = [
        entry(),
        entry(body=JSON),
        replace(entry(), usage=Usage(12, 34), asked=Form(), body=b""),
    ]
    blobs = [codec.encode(each, NOW, WALL) for each in stored]
    for turn in range(times):
        which = turn % len(stored)
        blob = mutate(blobs[which], dice)
        if dice.random() < 0.2:
            blob = mutate(blob, dice)
        found = codec.decode(KEY, blob, NOW, WALL)
        assert found is None or (blob == blobs[which] and same(found, stored[which]))


@both
def test_mutated_envelopes_are_misses_or_the_right_entry(make: Callable[[], Codec]) -> None:
    mutations(make, 10_000)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@both
def test_a_million_mutated_envelopes_are_misses_or_the_right_entry(
    make: Callable[[], Codec],
) -> None:
    mutations(make, 500_000)


@both
@pytest.mark.parametrize(
    "other",
    [
        OTHER,
        CacheKey("another", KEY.digest),
        CacheKey("scop", b"e" + KEY.digest[:-1]),
        CacheKey("scopek", KEY.digest),
        CacheKey("", KEY.digest),
    ],
)
def test_an_envelope_moved_to_another_key_is_a_miss(
    make: Callable[[], Codec], other: CacheKey
) -> None:
    codec = make()
    assert codec.decode(other, codec.encode(entry(), NOW, WALL), NOW, WALL) is None
    assert codec.odd[Odd.OTHER_KEY] == 1


def test_a_border_moved_between_scope_and_digest_is_a_miss() -> None:
    codec = plain()
    longer = CacheKey(KEY.scope + "k", KEY.digest[1:])
    blob = codec.encode(entry(longer), NOW, WALL)
    assert codec.decode(KEY, blob, NOW, WALL) is None
    assert codec.odd[Odd.OTHER_KEY] == 1


@both
@pytest.mark.parametrize("version", [0, 1, 2, 255])
def test_another_version_is_a_miss(make: Callable[[], Codec], version: int) -> None:
    codec = make()
    blob = codec.encode(entry(), NOW, WALL)
    assert codec.decode(KEY, blob[:4] + bytes([version]) + blob[5:], NOW, WALL) is None
    assert codec.odd[Odd.VERSION] == 1


class Trap:
    """What an attacker pickles."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.sprung,)


def test_a_pickle_is_a_miss_and_does_not_run(tmp_path: Path) -> None:
    codec, sprung = plain(), tmp_path / "sprung"
    assert codec.decode(KEY, pickle.dumps(Trap(sprung)), NOW, WALL) is None
    assert codec.odd[Odd.FOREIGN] == 1
    assert not sprung.exists()


def test_the_bytes_of_version_4_are_these() -> None:
    """What earlier releases wrote must be read, or the version has to be counted up."""
    stored = replace(
        entry(lifetime=Lifetime(60.0, 5.0, 10.0, 30.0), initial_age=2.0),
        usage=Usage(3, 4),
        asked=Form(stream=True, usage=False),
        upstream_s=0.5,
        generation=5 * SHARED + 1,
        path="/v1/x",
        tags=("a", "doc:1"),
        negative=True,
        wording=Wording(b"n" * 16, "Why?"),
    )
    golden = bytes.fromhex(
        "895364630400000573636f7065" + "6b" * 32 + "41d954fc40000000"  # front, key, stored at
        "404e00000000000040140000000000004024000000000000403e000000000000"  # lifetime
        "4000000000000000"  # age
        "3fe0000000000000" + "0000000000500000"  # what it took, generation
        "00c8" + "ee" + "0000000000000003" + "0000000000000004"
        "00000001" + "0000000b" + "00000005" + "00000002" + "00000005" + "00000007"
        + "00000024" + "00000066" + "00000004" + "00000004"
        + b"openai_chatmodelOK/v1/xa\ndoc:1".hex() + b"6e".hex() * 16 + b"Why?".hex()
        + "0000000c00000010" + b"Content-Typeapplication/json".hex()
        + b"body".hex()
        + "1f9c4ac5b6342c5ff043e3a752ff1dcd"
    )  # fmt: skip
    assert plain().encode(stored, NOW, WALL) == golden
    # What no journal was told of means nothing to others.
    assert same(plain().decode(KEY, golden, NOW, WALL), replace(stored, generation=5 * SHARED))


# -- time -------------------------------------------------------------------------------------


def test_the_time_between_counts_as_age_whatever_the_monotonic_clock_says() -> None:
    codec = plain()
    blob = codec.encode(entry(stored_at=NOW - 7.0), NOW, WALL)
    found = codec.decode(KEY, blob, 3.0, WALL + 20.0)  # as after a restart of the machine
    assert found is not None
    assert found.age(3.0) == pytest.approx(27.0)
    assert found.ttl_left(3.0) == pytest.approx(33.0)


def test_what_is_past_its_keep_is_a_miss() -> None:
    codec = plain()
    lifetime = Lifetime(10.0, 5.0, 20.0)
    blob = codec.encode(entry(lifetime=lifetime, initial_age=4.0), NOW, WALL)
    assert codec.decode(KEY, blob, NOW, WALL + 25.9) is not None
    assert codec.decode(KEY, blob, NOW, WALL + 26.0) is None
    assert codec.odd[Odd.EXPIRED] == 1


def test_what_was_stored_in_the_future_is_a_miss() -> None:
    codec = plain()
    blob = codec.encode(entry(), NOW, WALL)
    assert codec.decode(KEY, blob, NOW, WALL - 6.0) is None
    assert codec.odd[Odd.FUTURE] == 1


@given(back=st.floats(-1e5, 1e5), since=st.floats(0.0, 1e5), age=st.floats(0.0, 50.0))
@unhurried
def test_no_jump_of_the_wall_clock_gives_more_life_than_was_given(
    back: float, since: float, age: float
) -> None:
    codec = plain()
    blob = codec.encode(entry(initial_age=age), NOW, WALL)
    found = codec.decode(KEY, blob, NOW + since, WALL + since - back)
    assert found is None or found.ttl_left(NOW + since) <= 60.0 - age


def test_numbers_that_are_no_times_are_misses() -> None:
    codec = plain()
    payload = codec.encode(entry(), NOW, WALL)[8 + len(KEY.scope) + 32 : -16]
    for place in range(6):
        for odd in float("nan"), float("inf"), -1e300:
            made = bytearray(payload)
            struct.pack_into(">d", made, 8 * place, odd)
            assert codec.decode(KEY, sealed(codec, bytes(made)), NOW, WALL) is None


# -- compression ------------------------------------------------------------------------------


def test_a_long_body_is_compressed_and_a_short_or_random_one_is_not() -> None:
    noise = random.Random(1).randbytes(5000)
    assert len(plain().encode(entry(body=JSON), NOW, WALL)) < len(JSON) / 4
    assert noise in plain().encode(entry(body=noise), NOW, WALL)
    assert JSON in Codec(compress_above=len(JSON)).encode(entry(body=JSON), NOW, WALL)


@pytest.mark.parametrize(
    ("packed", "served"),
    [
        (zstandard.compress(bytes(5000)), 4999),  # more comes out than was said
        (zstandard.compress(bytes(5000)), 5001),
        (zstandard.compress(bytes(65 * 2**20)), 65 * 2**20),  # a bomb
        (zstandard.compress(bytes(5000)) * 2, 5000),  # two frames
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(5000)), 5000),
        (b"no frame at all", 5000),
        (b"", 0),
    ],
)
def test_a_body_that_unpacks_to_something_else_is_a_miss(packed: bytes, served: int) -> None:
    codec = plain()
    stored = codec.encode(entry(body=bytes(5000)), NOW, WALL)
    lengths = 6 * 8 + 2 + 1 + 16 + 5 * 4  # where those of the body stand in the payload
    front = 8 + len(KEY.scope) + 32
    (old,) = struct.unpack_from(">I", stored, front + lengths)
    payload = bytearray(stored[front : -16 - old] + packed)
    struct.pack_into(">II", payload, lengths, len(packed), served)
    made = stored[:front] + payload
    made += blake2b(made, digest_size=16).digest()
    assert codec.decode(KEY, made, NOW, WALL) is None
    assert codec.odd[Odd.CORRUPT] == 1


# -- what cannot be written -------------------------------------------------------------------


@pytest.mark.parametrize(
    "beyond",
    [
        replace(entry(), usage=Usage(2**63, 0)),
        replace(entry(), head=Head(2**16, "", Headers())),
        entry(CacheKey("s" * 256, KEY.digest)),
        entry(body=bytes(64 * 2**20 + 1)),
    ],
)
def test_what_an_envelope_cannot_hold_is_refused(beyond: Entry) -> None:
    with pytest.raises(ValueError, match="envelope"):
        plain().encode(beyond, NOW, WALL)


# -- encryption -------------------------------------------------------------------------------


def test_nothing_of_the_answer_can_be_read_without_the_secret() -> None:
    stored = replace(entry(body=b"confidential answer"), model="secret-model")
    blob = encrypting().encode(stored, NOW, WALL)
    for word in (b"confidential", b"secret-model", b"openai_chat", b"Content-Type"):
        assert word not in blob


def test_no_two_envelopes_of_one_entry_are_equal() -> None:
    codec = encrypting()
    assert len({codec.encode(entry(), NOW, WALL) for _ in range(100)}) == 100


def test_keys_are_rotated_by_their_numbers() -> None:
    old = encrypting().encode(entry(), NOW, WALL)
    rotating, after = Codec(keys=[SECOND, FIRST]), Codec(keys=[SECOND])
    assert same(rotating.decode(KEY, old, NOW, WALL), entry())
    assert same(after.decode(KEY, rotating.encode(entry(), NOW, WALL), NOW, WALL), entry())
    assert after.decode(KEY, old, NOW, WALL) is None
    assert after.odd[Odd.LOCKED] == 1


def test_another_secret_under_the_same_number_is_a_miss() -> None:
    codec = Codec(keys=[EncryptionKey(FIRST.id, SECOND.secret)])
    assert codec.decode(KEY, encrypting().encode(entry(), NOW, WALL), NOW, WALL) is None
    assert codec.odd[Odd.CORRUPT] == 1


def test_encrypted_and_plain_do_not_read_each_other() -> None:
    for writer, reader in ((plain(), encrypting()), (encrypting(), plain())):
        assert reader.decode(KEY, writer.encode(entry(), NOW, WALL), NOW, WALL) is None
        assert reader.odd[Odd.LOCKED] == 1


def test_a_secret_is_not_shown() -> None:
    assert repr(FIRST) == "EncryptionKey(id=1)"


@pytest.mark.parametrize(("number", "secret"), [(256, b"s" * 32), (-1, b"s" * 32), (1, b"s" * 16)])
def test_a_key_of_the_wrong_size_is_refused(number: int, secret: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        EncryptionKey(number, secret)


def test_two_keys_with_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match="same number"):
        Codec(keys=[FIRST, EncryptionKey(FIRST.id, SECOND.secret)])


# -- what saves time --------------------------------------------------------------------------


def test_an_envelope_is_read_where_it_lies_as_if_it_had_been_copied() -> None:
    codec = Codec()
    for body in (b"short", b"long " * 1000, random.randbytes(5000)):
        blob = codec.encode(entry(body=body), 1000.0, WALL)
        there = memoryview(bytearray(blob))
        found = codec.decode(KEY, there, 1000.0, WALL)
        assert found == codec.decode(KEY, blob, 1000.0, WALL)
        assert found is not None
        assert type(found.body) is bytes
        there.release()  # which fails if anything of it is held on to


def test_texts_that_were_read_before_are_told_apart_by_every_byte() -> None:
    codec = Codec()
    given = [
        replace(entry(), tags=tags, path=path, model=model, wording=wording)
        for tags in ((), ("a",), ("a", "b"), ("ab",))
        for path, model in (("", "x"), ("x", ""), ("/x", "y"))
        for wording in (None, Wording(bytes(16), "asked"), Wording(bytes(16), "asked other"))
    ]
    blobs = [codec.encode(each, 1000.0, WALL) for each in given]
    for _ in range(2):
        assert [codec.decode(KEY, blob, 1000.0, WALL) for blob in blobs] == given


def test_no_more_texts_are_remembered_than_there_is_room_for() -> None:
    codec = Codec()
    for number in range(1000):
        each = replace(entry(), tags=(f"tag {number}",))
        assert codec.decode(KEY, codec.encode(each, 1000.0, WALL), 1000.0, WALL) == each
    assert len(codec._words._known) <= 256
    long = replace(entry(), tags=("t" * 5000,))
    before = dict(codec._words._known)
    assert codec.decode(KEY, codec.encode(long, 1000.0, WALL), 1000.0, WALL) == long
    assert codec._words._known == before


def test_what_is_light_says_so_before_it_is_decoded() -> None:
    codec = Codec()
    assert is_light(codec.encode(entry(body=b"some words " * 500), 1000.0, WALL))
    assert not is_light(codec.encode(entry(body=b"0" * 2**20), 1000.0, WALL))  # when unpacked
    assert not is_light(codec.encode(entry(body=random.randbytes(20_000)), 1000.0, WALL))
    locked = Codec(keys=[EncryptionKey(1, bytes(32))])
    assert not is_light(locked.encode(entry(), 1000.0, WALL))  # nobody can tell
    assert not is_light(b"\x89Sdc" + b"\xff" * 20)
