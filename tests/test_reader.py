"""From a request to what it asks."""

from __future__ import annotations

import tracemalloc

import pytest
from support.cranked import Given

from proxy.dialects.openai_chat import OpenAIChat
from proxy.key import KeyRules, ScopeBy, Scoping
from proxy.model.decision import Why
from proxy.model.message import Headers, Request
from proxy.model.query import Controls
from proxy.policy import AboutNow, Policy, Rule, Terms
from proxy.reader import Asked, Passed, Reader
from proxy.wire.steering import Family, Steering

PATH = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'


class Counting(OpenAIChat):
    """The dialect, counting how often it is asked to read."""

    reads = 0

    def read(self, request: Request, body: bytes):
        self.reads += 1
        return super().read(request, body)


@pytest.fixture
def dialect() -> Counting:
    return Counting()


@pytest.fixture
def reader() -> Reader:
    rules = (Rule(model="off*", enabled=False), Rule(model="short", ttl=1.0))
    return Reader(KeyRules(b"a secret of sixteen bytes"), Policy(Terms(), rules))


def request(*headers: tuple[str, str], path: str = PATH, query_string: str = "") -> Request:
    return Request("POST", path, query_string, Headers(headers), Given(BODY))


def test_equal_bytes_are_read_once(reader: Reader, dialect: Counting) -> None:
    first = reader.read(request(("X-A", "1")), BODY, dialect, "up")
    again = reader.read(request(("X-A", "1")), bytes(bytearray(BODY)), dialect, "up")
    assert isinstance(first, Asked)
    assert again is first
    assert dialect.reads == 1


@pytest.mark.parametrize(
    "name", ["Traceparent", "X-Request-Id", "X-Stainless-Retry-Count", "User-Agent", "X-Inert"]
)
def test_what_changes_no_answer_is_not_read_again_for(dialect: Counting, name: str) -> None:
    keys = KeyRules(b"a secret of sixteen bytes", inert=frozenset({"x-inert"}))
    reader = Reader(keys, Policy(Terms()))
    first = reader.read(request((name, "1")), BODY, dialect, "up")
    assert reader.read(request((name, "2")), BODY, dialect, "up") is first
    assert dialect.reads == 1


def test_callers_who_share_answers_share_what_was_read(dialect: Counting) -> None:
    keys = KeyRules(b"a secret of sixteen bytes", scoping=Scoping(ScopeBy.SHARED))
    reader = Reader(keys, Policy(Terms()))
    first = reader.read(request(("Authorization", "Bearer a")), BODY, dialect, "up")
    assert reader.read(request(("Authorization", "Bearer b")), BODY, dialect, "up") is first


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Encoding", "gzip"),
        ("Content-Type", "text/plain"),
        ("Cache-Control", "no-store"),
        ("X-Cache-TTL", "5"),
        ("CF-AIG-Skip-Cache", "true"),
    ],
)
def test_what_is_looked_at_counts_even_where_it_is_inert(
    dialect: Counting, name: str, value: str
) -> None:
    keys = KeyRules(b"a secret of sixteen bytes", inert=frozenset({name.lower()}))
    steering = Steering([Family.CLOUDFLARE])
    reader = Reader(keys, Policy(Terms()), steering=steering)
    fresh = Reader(keys, Policy(Terms()), steering=steering)
    plain = reader.read(request(), BODY, dialect, "up")
    other = reader.read(request((name, value)), BODY, dialect, "up")
    assert other == fresh.read(request((name, value)), BODY, dialect, "up") != plain


@pytest.mark.parametrize(
    "other",
    [
        request(("X-A", "2")),
        request(("Authorization", "Bearer b")),
        request(path="/other/chat/completions"),
        request(query_string="a=1"),
        Request("PUT", PATH, "", Headers(), Given(BODY)),
    ],
)
def test_what_is_remembered_is_never_taken_for_another_request(
    reader: Reader, dialect: Counting, other: Request
) -> None:
    first = reader.read(request(), BODY, dialect, "up")
    second = reader.read(other, BODY, dialect, "up")
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.key != second.key


def test_another_body_is_another_question(reader: Reader, dialect: Counting) -> None:
    first = reader.read(request(), BODY, dialect, "up")
    second = reader.read(request(), BODY.replace(b'"m"', b'"n"'), dialect, "up")
    assert isinstance(first, Asked)
    assert isinstance(second, Asked)
    assert first.key != second.key


def test_the_terms_are_those_of_the_model(reader: Reader, dialect: Counting) -> None:
    asked = reader.read(request(), BODY.replace(b'"m"', b'"short"'), dialect, "up")
    assert isinstance(asked, Asked)
    assert asked.terms.ttl == 1.0


def test_what_is_not_for_the_cache_is_passed_on_and_that_is_remembered_too(
    reader: Reader, dialect: Counting
) -> None:
    off = b'{"model":"off","messages":[],"cache":{"ttl":1}}'
    passed = reader.read(request(), off, dialect, "up")
    assert passed == Passed(Why.DISABLED, b'{"model":"off","messages":[]}')
    assert reader.read(request(), off, dialect, "up") is passed
    assert reader.read(request(), b"{", dialect, "up") == Passed(Why.UNKEYABLE, b"{")


def test_what_is_remembered_is_bounded_however_long_the_fields_are(reader: Reader) -> None:
    plain = OpenAIChat()
    tracemalloc.start()
    try:
        for number in range(2000):
            long = request(("N", str(number)), ("Long", f"{number:016384}"))
            reader.read(long, BODY, plain, "up")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8 * 2**20


def test_what_was_said_to_the_cache_is_not_passed_on_with_what_it_leaves_alone(
    reader: Reader, dialect: Counting
) -> None:
    body = b'{"model":"m","messages":[],"store":true,"cache":{"ttl":1}}'
    passed = reader.read(request(), body, dialect, "up")
    assert passed == Passed(Why.STATEFUL, b'{"model":"m","messages":[],"store":true}')


def test_wishes_come_from_headers_and_body_and_the_stricter_one_counts(
    reader: Reader, dialect: Counting
) -> None:
    body = b'{"model":"m","messages":[],"cache":{"ttl":60}}'
    asked = reader.read(request(("Cache-Control", "max-age=5")), body, dialect, "up")
    assert isinstance(asked, Asked)
    assert asked.query.controls == Controls(ttl=60.0, max_age=5.0)


def steered(*headers: tuple[str, str], body: bytes = BODY, terms: Terms | None = None) -> Asked:
    reader = Reader(
        KeyRules(b"a secret of sixteen bytes", inert=Steering(Family).names),
        Policy(terms or Terms()),
        steering=Steering(Family),
    )
    asked = reader.read(request(*headers), body, OpenAIChat(), "up")
    assert isinstance(asked, Asked)
    return asked


def test_who_leaves_out_a_member_shares_with_those_only_who_leave_out_the_same() -> None:
    leaving = ("Helicone-Cache-Ignore-Keys", "user")
    named = BODY.replace(b"}", b',"user":"a"}')
    other = BODY.replace(b"}", b',"user":"b"}')
    assert steered(leaving, body=named).key == steered(leaving, body=other).key
    assert steered(leaving, body=named).key != steered(body=BODY).key
    assert steered(leaving, body=BODY).key != steered(body=BODY).key
    more = ("Helicone-Cache-Ignore-Keys", "user,top_p")
    assert steered(leaving, body=BODY).key != steered(more, body=BODY).key
    assert steered(leaving, body=named).query.forward == named


def test_no_names_put_together_are_those_of_who_leaves_out_a_member() -> None:
    ours, theirs = ("X-Cache-Namespace", "x"), ("Helicone-Cache-Ignore-Keys", "n")
    left_out = steered(ours, theirs)
    chosen = (
        ("Helicone-Cache-Seed", "x"),
        ("CF-AIG-Cache-Key", "without"),
        ("X-Portkey-Cache-Namespace", "n"),
    )
    assert left_out.key != steered(*chosen).key


def test_a_key_that_the_caller_chooses_makes_no_two_questions_one() -> None:
    chosen = ("cf-aig-cache-key", "mine")
    other = BODY.replace(b'"m"', b'"n"')
    assert steered(chosen).key != steered(chosen, body=other).key
    assert steered(chosen).key == steered(("X-Cache-Namespace", "mine")).key


def test_several_answers_have_a_key_each_and_the_first_is_the_questions_own() -> None:
    asked = steered(("X-Cache-Variants", "3"))
    assert len(set(asked.variants)) == 3
    assert asked.variants[0] == asked.key == steered().key
    drawn = [asked.drawn(lambda dice=dice: dice) for dice in (0.0, 0.34, 0.67, 0.999999)]
    assert [each.variant for each in drawn] == [1, 2, 3, 3]
    assert [each.key for each in drawn] == [*asked.variants, asked.variants[2]]
    assert not asked.terms.by_meaning


@pytest.mark.parametrize(
    ("terms", "headers", "body", "wanted"),
    [
        (Terms(), (), BODY, 0),
        (Terms(variants=2), (), BODY, 2),
        (Terms(variants=2), (("X-Cache-Variants", "1"),), BODY, 0),
        (Terms(), (("X-Cache-Variants", "1000000"),), BODY, 20),
        (Terms(max_variants=1), (("X-Cache-Variants", "5"),), BODY, 0),
        (Terms(variants=5), (), BODY.replace(b"}", b',"seed":7}'), 0),
    ],
)
def test_how_many_answers_are_kept(
    terms: Terms, headers: tuple[tuple[str, str], ...], body: bytes, wanted: int
) -> None:
    assert len(steered(*headers, body=body, terms=terms).variants) == wanted


def test_a_number_of_answers_that_makes_no_sense_keeps_out_of_the_cache(reader: Reader) -> None:
    for nonsense in ("0", "many", "-1", ""):
        passed = reader.read(request(("X-Cache-Variants", nonsense)), BODY, OpenAIChat(), "up")
        assert isinstance(passed, Passed)
        assert passed.why is Why.NO_STORE


class AsksAboutNow:
    """A judge of questions who counts them."""

    asked = 0

    def __call__(self, question: str) -> bool:
        self.asked += 1
        return "now" in question


def about(text: str, model: str = "m") -> bytes:
    return b'{"model":"%b","messages":[{"role":"user","content":"%b"}]}' % (
        model.encode(),
        text.encode(),
    )


def test_a_question_about_now_is_under_terms_of_its_own_and_judged_once(dialect: Counting) -> None:
    judge = AsksAboutNow()
    rules = (
        Rule(model="news", time_sensitive=AboutNow.BYPASS),
        Rule(model="essays", time_sensitive=AboutNow.IGNORE),
        Rule(model="quotes", time_sensitive_factor=0.01),
    )
    reader = Reader(KeyRules(b"a secret of sixteen bytes"), Policy(Terms(ttl=100.0), rules), judge)

    def read(body: bytes) -> Asked | Passed:
        return reader.read(request(), body, dialect, "up")

    def ttl(body: bytes) -> float:
        asked = read(body)
        assert isinstance(asked, Asked)
        return asked.terms.ttl

    assert ttl(about("why?")) == 100.0
    assert ttl(about("and now?")) == 50.0
    assert ttl(about("and now?")) == 50.0
    assert judge.asked == 2
    assert read(about("and now?", "news")) == Passed(Why.TIME_SENSITIVE, about("and now?", "news"))
    assert ttl(about("why?", "news")) == 100.0
    assert ttl(about("and now?", "essays")) == 100.0
    assert ttl(about("and now?", "quotes")) == 1.0


def test_a_question_that_is_not_for_the_cache_is_not_judged(dialect: Counting) -> None:
    judge = AsksAboutNow()
    policy = Policy(Terms(enabled=False))
    reader = Reader(KeyRules(b"a secret of sixteen bytes"), policy, judge)
    passed = reader.read(request(), about("and now?"), dialect, "up")
    assert passed == Passed(Why.DISABLED, about("and now?"))
    assert judge.asked == 0


def test_where_it_makes_no_difference_whether_a_question_is_about_now_it_is_not_judged(
    dialect: Counting,
) -> None:
    judge = AsksAboutNow()
    policy = Policy(Terms(time_sensitive=AboutNow.IGNORE))
    reader = Reader(KeyRules(b"a secret of sixteen bytes"), policy, judge)
    assert isinstance(reader.read(request(), about("and now?"), dialect, "up"), Asked)
    assert judge.asked == 0


def test_a_rule_can_be_for_a_dialect(dialect: Counting) -> None:
    rules = (Rule(dialect="openai_*", ttl=5.0), Rule(dialect="rag_*", ttl=6.0))
    reader = Reader(KeyRules(b"a secret of sixteen bytes"), Policy(Terms(), rules))
    asked = reader.read(request(), BODY, dialect, "up")
    assert isinstance(asked, Asked)
    assert asked.terms.ttl == 5.0
