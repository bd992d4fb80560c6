r"""Strict JSON: what every reader understands alike is read, and equal documents have one spelling.

The judge is a slow reader that is obviously right: the standard library's, which shows every member
and the text of every number, with each rule written out as a sentence.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.documents import MOST, chances, documents, objects, picture, spell
from support.properties import unhurried

from proxy.wire.strict_json import MAX_DEPTH, NotStrict, canonical, loads, spelled_plainly

# -- the slow reader ---------------------------------------------------------------------------


class Refused(Exception):
    """The slow reader will not have it."""


def slowly(raw: bytes) -> object:
    """The document in ``raw``, read with care and without speed. Raises Refused."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_constant,
        )
    except ValueError as error:
        raise Refused(str(error)) from error
    _check(value, depth=0)
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    for number, (name, _) in enumerate(pairs):
        for other, _ in pairs[:number]:
            if name.casefold() == other.casefold():
                raise Refused("a name twice")
    return dict(pairs)


def _integer(text: str) -> int:
    if not -MOST <= int(text) <= MOST:
        raise Refused("an unsafe integer")
    return int(text)


def _double(text: str) -> float:
    digits = "".join(c for c in text.lower().split("e")[0] if c.isdigit()).strip("0")
    if len(digits) > 17:
        raise Refused("more than a double")
    if math.isinf(float(text)):
        raise Refused("beyond a double")
    return float(text)


def _constant(text: str) -> object:
    raise Refused(text)


def _check(value: object, depth: int) -> None:
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise Refused("a lone surrogate")
    if isinstance(value, list | dict):
        if depth == 64:
            raise Refused("too deep")
        for member in value:
            _check(member, depth + 1)
        for member in value.values() if isinstance(value, dict) else ():
            _check(member, depth + 1)


def agree(raw: bytes) -> None:
    """Assert that both readers read ``raw`` alike, or both refuse it."""
    try:
        expected = slowly(raw)
    except Refused as refused:
        with pytest.raises(NotStrict):
            pytest.fail(f"{raw!r} was read as {loads(raw)!r}, despite {refused!r}")
    else:
        assert picture(loads(raw)) == picture(expected)


# -- equal documents ---------------------------------------------------------------------------


@unhurried
@given(documents, chances)
def test_every_spelling_of_a_document_is_read_and_has_one_canonical_spelling(
    document: object, chance: random.Random
) -> None:
    raw = spell(document, chance).encode()
    agree(raw)
    assert canonical(loads(raw)) == canonical(loads(spell(document, chance).encode()))


@unhurried
@given(documents, documents)
@example(1, 1.0)
@example(0.0, -0.0)
@example(1, True)
@example(None, "null")
@example([], {})
@example(["a", "b"], ["b", "a"])
@example([["a"], "b"], [["a", "b"]])
@example({"a": 1}, ["a", 1])
@example("\u212b", "\xc5")
@example({"\u1e9b\u0323": 1}, {"\u1e9b\u0323": 1})
def test_documents_that_differ_have_canonical_spellings_that_differ(
    one: object, other: object
) -> None:
    first, second = (loads(json.dumps(document).encode()) for document in (one, other))
    assert (canonical(first) == canonical(second)) == (picture(one) == picture(other))


@unhurried
@given(documents)
def test_the_canonical_spelling_is_its_own_and_normalised(document: object) -> None:
    out = canonical(loads(json.dumps(document).encode()))
    assert canonical(loads(out)) == out
    assert picture(json.loads(out)) == picture(document)


@pytest.mark.parametrize(
    ("raw", "spelling"),
    [
        (b' { "b" : [ 1 , 2 ] , "a" : null } ', b'{"a":null,"b":[1,2]}'),
        (b'{"a":{"d":1,"c":{"f":2,"e":3}}}', b'{"a":{"c":{"e":3,"f":2},"d":1}}'),
        (rb'"\u00e9\/\u0022\u005C\u000a\ud83d\ude00"', '"\xe9/\\"\\\\\\n\U0001f600"'.encode()),
        ('"e\u0301"'.encode(), '"\xe9"'.encode()),
        ('{"e\u0301":1}'.encode(), '{"\xe9":1}'.encode()),
        # Sorted after it is normalised: "e\u0301" is before "f", and what it becomes after.
        ('{"e\u0301":1,"f":2}'.encode(), '{"f":2,"\xe9":1}'.encode()),
        (b"-0", b"0"),
        (b"-0.0", b"-0.0"),
        (b"1E+2", b"100.0"),
        (b"1.50", b"1.5"),
        (b"0.69999999999999996", b"0.7"),
        (b"1e-400", b"0.0"),
    ],
)
def test_the_canonical_spelling_is_sorted_tight_and_composed(raw: bytes, spelling: bytes) -> None:
    assert canonical(loads(raw)) == spelling


@pytest.mark.parametrize("mark", ["\u0303", "\u0327", "\u0338"])
@pytest.mark.parametrize("before", ["\n", "\t", "\b", '"', "\\", ""])
def test_a_mark_composes_with_no_part_of_an_escape_and_with_no_quotation_mark(
    before: str, mark: str
) -> None:
    # Written out, "\n" and a tilde above is a backslash, an "n" and the tilde: no "\xf1".
    text = before + mark
    out = canonical(loads(json.dumps([text, "n\u0303"]).encode()))
    assert json.loads(out) == [text, "\xf1"]


# -- texts that readers may take for different documents ---------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        rb'{"a":1,"\u0061":2}',
        b'{"":1,"":2}',
        b'[[{"x":{"a":[],"a":[]}}]]',
        b'{"a":"\\"","a":"\\"\\""}',
        '{"\xe9":1,"\xe9":2}'.encode(),
        '{"\xe9":1,"\\u00e9":2}'.encode(),
        b'{"\xf0\x9f\x98\x80":1,"\\ud83d\\ude00":2}',
    ],
)
def test_a_member_that_occurs_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(NotStrict, match="twice"):
        loads(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [
        # A member that is lost takes quotation marks with it: two of its name, and two for each
        # string and one for each quotation mark in its value. Escapes bring as many back.
        rb'{"a":1,"a":"\u0022\u0022"}',
        rb'{"a":"","a":"\u0022\u0022\u0022\u0022"}',
        rb'{"x":"\u0022\u0022","a":1,"a":2}',
        rb'{"\u0022\u0022":0,"a":1,"a":2}',
        rb'{"\u0022":1,"\"":2}',
        rb'["\u0022\u0022",{"a":1,"a":2}]',
    ],
)
def test_an_escaped_quotation_mark_hides_no_member_from_the_count(raw: bytes) -> None:
    with pytest.raises(NotStrict, match="twice"):
        loads(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"a":"\u0022\u0022","b":"\u0022"}',
        rb'{"a":"\\u0022"}',
        rb'{"a":"\\\u0022\\"}',
        rb'{"\u0022":1,"\\\"":2}',
        b'{"a":"1234567890123456","b":1.5}',
    ],
)
def test_the_slow_road_lets_through_what_is_whole(raw: bytes) -> None:
    assert loads(raw) == json.loads(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","Model":"b"}',
        b'{"a":[{"content":1,"CONTENT":2}]}',
        rb'{"store":1,"\u0053tore":2}',
        '{"\xe9":1,"\xc9":2}'.encode(),
        '{"stream":1,"\u017ftream":2}'.encode(),  # a long s, which Go takes for an s
        '{"key":1,"\u212aey":2}'.encode(),  # the sign for kelvin
    ],
)
def test_names_that_differ_only_in_case_are_refused(raw: bytes) -> None:
    with pytest.raises(NotStrict, match="case"):
        loads(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"maxTokens":1,"topP":2,"Model":3}',
        b'[{"a":1},{"A":2}]',
        b'{"a":{"A":1}}',
        b'{"a":"A"}',
        b'{"US":1,"DE":2,"1":3}',
    ],
)
def test_names_in_both_cases_are_read_where_they_are_not_alike(raw: bytes) -> None:
    assert loads(raw) == json.loads(raw)


def test_two_names_that_normalise_to_one_are_refused_when_written_out() -> None:
    raw = '{"x":[{"\xe9":1,"e\u0301":2}]}'.encode()
    with pytest.raises(NotStrict, match="same text"):
        canonical(loads(raw))


AROUND: list[Callable[[str], str]] = [
    lambda number: number,
    lambda number: f" {number}\n",
    lambda number: f"[1,{number}]",
    lambda number: f'{{"seed":{number}}}',
    lambda number: f'{{"a":[[{{"b":"x","c":{number}}}]]}}',
]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("number", [MOST + 1, -MOST - 1, 2**63, 2**64, 10**19, 10**300, -(10**99)])
def test_an_integer_beyond_2_to_the_53_is_refused_wherever_it_stands(
    number: int, around: Callable[[str], str]
) -> None:
    raw = around(str(number)).encode()
    with pytest.raises(NotStrict):
        loads(raw)
    agree(raw)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("number", [MOST, -MOST, 10**15, 0, -1])
def test_an_integer_up_to_2_to_the_53_is_read_wherever_it_stands(
    number: int, around: Callable[[str], str]
) -> None:
    raw = around(str(number)).encode()
    assert loads(raw) == json.loads(raw)
    agree(raw)


@pytest.mark.parametrize("digits", [309, 4000, 5000, 100_000])
def test_an_integer_that_fills_pages_is_refused(digits: int) -> None:
    with pytest.raises(NotStrict):
        loads(b"[" + b"1" * digits + b"]")
    with pytest.raises(NotStrict):
        loads(b"[-" + b"9" * digits + b"]")


@pytest.mark.parametrize(
    "raw",
    [b"0.5", b"1.0", b"-1e5", b"1e22", b"5e-324", b"1.7976931348623157e308", b"9007199254740993.0"],
)
def test_numbers_that_a_double_holds_are_read(raw: bytes) -> None:
    value = loads(raw)
    assert type(value) is float
    assert value == float(raw)
    agree(raw)


@pytest.mark.parametrize(
    ("raw", "fine"),
    [
        (b"0.12345678901234567", True),
        (b"0.123456789012345678", False),
        (b"123456789.123456789", False),
        (b"-1234567890.12345678", False),
        (b"12345678.123456789", True),
        (b"1.23456789012345678e-7", False),
        (b"0.00000000000000000000012345", True),
        (b"1.50000000000000000000000000", True),
        (b"100000000000000000000000000.0", True),
        (b"100000000000000000000000001.0", False),
        (b"3.141592653589793238462643383279", False),
        (b"1e400", False),
        (b"-1e309", False),
        (b"1" + b"0" * 400 + b".0", False),
    ],
)
def test_a_number_with_more_digits_than_a_double_can_tell_apart_is_refused(
    *, raw: bytes, fine: bool
) -> None:
    agree(raw)
    if fine:
        assert loads(raw) == float(raw)
    else:
        with pytest.raises(NotStrict):
            loads(raw)


def nested(depth: int, *, inner: bytes = b"", mixed: bool = False) -> bytes:
    """Containers within containers: arrays, or arrays and objects in turn."""
    opening = [b'{"a":' if mixed and level % 2 else b"[" for level in range(depth)]
    closing = [b"}" if mixed and level % 2 else b"]" for level in reversed(range(depth))]
    if mixed and not inner and depth % 2 == 0:
        inner = b"0"
    return b"".join([*opening, inner, *closing])


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("inner", [b"1", b'"{[{["', b""])
def test_containers_may_nest_64_deep_and_no_deeper(*, mixed: bool, inner: bytes) -> None:
    loads(nested(MAX_DEPTH, inner=inner, mixed=mixed))
    agree(nested(MAX_DEPTH, inner=inner, mixed=mixed))
    with pytest.raises(NotStrict, match="deeper than 64"):
        loads(nested(MAX_DEPTH + 1, inner=inner, mixed=mixed))
    agree(nested(MAX_DEPTH + 1, inner=inner, mixed=mixed))


def test_an_empty_container_is_a_level_too() -> None:
    loads(nested(63, inner=b"{}"))
    for inner in (b"[]", b"{}"):
        with pytest.raises(NotStrict, match="deeper"):
            loads(nested(64, inner=inner))


@pytest.mark.parametrize("depth", [500, 1000, 1024, 1025, 100_000])
def test_a_tower_of_containers_is_refused_and_topples_nothing(depth: int) -> None:
    with pytest.raises(NotStrict):
        loads(nested(depth))
    with pytest.raises(NotStrict):
        loads(nested(depth, inner=rb'"\u0022"', mixed=True))


def test_many_containers_side_by_side_are_not_deep() -> None:
    raw = b"[" + b",".join([b'[{"a":[]}]'] * 1000) + b"]"
    assert loads(raw) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"nul", b"{", b"[1,]", b'{"a":1,}', b"{'a':1}", b'{"a" 1}', b"{1:2}", b"01",
        b"+1", b".5", b"1.", b"1e", b"0x10", b"1_000", b"NaN", b"[NaN]", b"Infinity", b"-Infinity",
        b"nan", b"True", b"1 1", b"{}{}", b"{}x", b"{}\x00", b"\x00", b"/**/1", b"1//", b"\xa01",
        b"\x0c1", b'"\n"', b'"\t"', b'"\x00"', b'"\x1f"', b'"', b'"\\x41"', b'"\\u12"',
        b'"\\u{41}"', b'"\\a"', b"\xef\xbb\xbf1", b"\xef\xbb\xbf{}", "1".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32-be"), b'"\xff"', b'"\xc3"', b'"\xc0\xaf"', b'"\xe0\x80\xaf"',
        b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xf4\x90\x80\x80"', b'{"\xff":1}', b'"\\ud800"',
        b'"\\udc00"', b'"\\udc00\\ud800"', b'"\\ud800\\u0041"', b'"\\ud800x"', b'{"\\ud800":1}',
        b'["a","\\udfff"]',
    ],
)  # fmt: skip
def test_what_is_no_json_in_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(NotStrict, match="not valid JSON"):
        loads(raw)
    agree(raw)


@pytest.mark.parametrize(
    "raw",
    [b"null", b"true", b"0", b'"x"', b"[]", b"{}", b" \t\r\n[ ]\n", b'"\x7f"', b'"\\u0000"',
     "\"\u2028\ufeff\uffff\"".encode(), b'{"":{"":{}}}', b'{"__proto__":1}'],
)  # fmt: skip
def test_what_every_reader_reads_alike_is_read(raw: bytes) -> None:
    assert loads(raw) == json.loads(raw)
    agree(raw)


# -- any text at all ---------------------------------------------------------------------------

NAMES = [
    '"a"', '"A"', r'"\u0061"', '"b"', '""', r'"\u0022"', r'"\""', r'"\\u0022"', r'"\u0022\u0022"',
    r'"a\""', '"\xe9"', r'"\u00e9"', '"\xc9"', '"1234567890123456"',
]  # fmt: skip
ATOMS = [
    "null", "true", "-0", "-0.0", "1", "1.0", "1E5", "1e-400", "1e400", "9007199254740991",
    "9007199254740992", "-9007199254740992", "9007199254740993.0", "0.1234567890123456789",
    "1234567.1234567891", "12345678901.12345678901", "18446744073709551616", "100000000000000000.0",
    "12345678901234567e-3", '"\\ud800"', '"x"', r'"\"\""', r'"\u0022\u0022"', r'"\u0022"', r'"\\"',
]  # fmt: skip


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


scripts = st.recursive(
    st.sampled_from(ATOMS + NAMES),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=4).map(_object)
    ),
    max_leaves=12,
)


@unhurried
@given(scripts)
def test_whatever_is_written_is_read_as_by_the_slow_reader_or_refused_by_both(script: str) -> None:
    agree(script.encode())


@unhurried
@given(documents, chances, st.data())
def test_a_text_with_some_bytes_changed_is_read_or_refused_as_by_the_slow_reader(
    document: object, chance: random.Random, data: Any
) -> None:
    raw = bytearray(spell(document, chance).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw)))
        junk = data.draw(st.sampled_from([b"", b'"', b"\\", b"\\u0022", b",", b"0" * 16, b"\xc3"]))
        width = data.draw(st.integers(0, 2))
        raw[place : place + width] = junk
    agree(bytes(raw))


@unhurried
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_and_raise_nothing_else(raw: bytes) -> None:
    agree(raw)


# -- a plain spelling ------------------------------------------------------------------------------


def read_as(raw: bytes) -> object:
    """What ``raw`` is read as, less the order of members at the top; None: it is refused."""
    try:
        value = loads(raw)
    except NotStrict:
        return None
    assert isinstance(value, dict)
    return {name: json.dumps(member) for name, member in value.items()}


def follows_from_its_plain_spelling(raw: bytes) -> None:
    """Assert that what ``raw`` is read as can be told from that spelling, if there is one."""
    plain = spelled_plainly(raw)
    if plain is not None:
        assert read_as(raw) == read_as(plain)


@unhurried
@given(scripts)
@example('{"a":1e400}')
@example('{"a":1,"A":1}')
@example('{"a":{"b":1,"b":1}}')
@example('{"a":-0,"b":-0.0}')
def test_equal_plain_spellings_are_read_alike_or_refused_alike(script: str) -> None:
    follows_from_its_plain_spelling(script.encode())


@unhurried
@given(objects(documents), chances, st.data())
def test_so_are_those_of_texts_with_some_bytes_changed(
    document: object, chance: random.Random, data: Any
) -> None:
    raw = bytearray(spell(document, chance).strip().encode())
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(raw)))
        raw[place : place + 1] = data.draw(st.sampled_from([b"", b'"', b"\\u0022", b"1", b"\xc3"]))
    follows_from_its_plain_spelling(bytes(raw))


@unhurried
@given(objects(st.text("abc ") | st.integers(0, 9)), chances)
def test_an_object_has_one_plain_spelling_however_it_is_written(
    document: dict[str, object], chance: random.Random
) -> None:
    members = [*document.items()]
    plain = spelled_plainly(json.dumps(document).encode())
    assert plain is not None
    chance.shuffle(members)
    assert spelled_plainly(json.dumps(dict(members), indent=1).encode()) in {plain, None}
    assert spelled_plainly(json.dumps(dict(members), ensure_ascii=False).encode()) == plain


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"1", b"null", b"{", b" {}", b'{"a":1,"a":1}', rb'{"a":"\u0022"}',
        b'{"a":9007199254740993}', b'{"a":"\xff"}', b'{"a":1e400}',
        *[b'{"a":' + b"[" * depth + b"]" * depth + b"}" for depth in (254, 300, 1000, 9000)],
    ],
)  # fmt: skip
def test_what_takes_a_longer_look_has_no_plain_spelling(raw: bytes) -> None:
    assert spelled_plainly(raw) is None


def test_the_order_within_members_is_kept() -> None:
    one, other = b'{"tools":{"a":1,"b":2}}', b'{"tools":{"b":2,"a":1}}'
    assert spelled_plainly(one) == one
    assert spelled_plainly(other) == other
