"""Purges through one proxy: what each kind covers, soft ones, and answers that are under way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import openai
import pytest
from support.openai_backend import Fault, OpenAIBackend
from support.operating import ADMIN, purge, purged
from support.proxied import Proxied, proxied
from support.raw_chat import DOCUMENT, JSON
from support.raw_client import RawResponse
from support.scene import Scene, scene
from support.scripted import Call
from support.sdk_caller import Caller, chat

from proxy.model.entry import CacheKey

TAGS = {"Cache-Tag": "doc:1, shelf", "Surrogate-Key": "doc:2 shelf", "X-Cache-Tags": "doc:3"}


class Shelf:
    """Nine answers that differ in what they can be purged by."""

    names = frozenset(
        {*TAGS, "wished", "wished in the body", "plain", "model n", "caller two", "text"}
    )

    def __init__(self, backend: OpenAIBackend, proxy: Proxied, one: Caller, two: Caller) -> None:
        self.proxy = proxy
        self.keys: dict[str, CacheKey] = {}
        self._backend = backend
        self._one, self._two = one, two

    async def ask(self, name: str) -> str:
        """What X-Cache says of the answer of this name."""
        self._backend.headers = {name: TAGS[name]} if name in TAGS else {}
        match name:
            case "wished":
                verdict, _ = await self._one.ask(chat(name, extra_headers={"X-Cache-Tags": "us"}))
            case "wished in the body":
                wish = {"cache": {"tags": ["doc:5", "us"]}}
                verdict, _ = await self._one.ask(chat(name, extra_body=wish))
            case "model n":
                verdict, _ = await self._one.ask(chat("plain", model="n"))
            case "caller two":
                verdict, _ = await self._two.ask(chat("plain"))
            case "text":
                texts = self._one.sdk.completions.with_raw_response
                verdict = (await texts.create(model="m", prompt="plain")).headers["x-cache"]
            case _:
                verdict, _ = await self._one.ask(chat(name))
        key = self.proxy.records[-1].outcome.key
        assert key is not None
        self.keys[name] = key
        return verdict

    async def told(self, verdict: str) -> set[str]:
        """The answers of which X-Cache says this, once each has been asked for."""
        return {name for name in sorted(self.names) if await self.ask(name) == verdict}


@pytest.fixture
async def shelf(backend: OpenAIBackend) -> AsyncIterator[Shelf]:
    async with (
        proxied(backend.url, **ADMIN) as proxy,
        Caller(proxy) as one,
        Caller(proxy, "sk-two") as two,
    ):
        yield Shelf(backend, proxy, one, two)


CHATS = Shelf.names - {"text"}
VALUES: list[tuple[str, str | Callable[[Shelf], str], frozenset[str]]] = [
    ("all", "", Shelf.names),
    ("tag", "doc:1", frozenset({"Cache-Tag"})),
    ("tag", "doc:2", frozenset({"Surrogate-Key"})),
    ("tag", "doc:3", frozenset({"X-Cache-Tags"})),
    ("tag", "doc:5", frozenset({"wished in the body"})),
    ("tag", "us", frozenset({"wished", "wished in the body"})),
    ("tag", "shelf", frozenset({"Cache-Tag", "Surrogate-Key"})),
    ("tag", "doc:", frozenset()),
    ("model", "n", frozenset({"model n"})),
    ("model", "m", Shelf.names - {"model n"}),
    ("dialect", "openai_chat", Shelf.names),
    ("dialect", "ollama", frozenset()),
    ("path", "/v1/chat/", CHATS),
    ("path", "/v1/comp", frozenset({"text"})),
    ("path", "/v1/chat/completions/", frozenset()),
    ("scope", lambda shelf: shelf.keys["caller two"].scope, frozenset({"caller two"})),
    ("scope", lambda shelf: shelf.keys["plain"].scope, Shelf.names - {"caller two"}),
    ("key", lambda shelf: shelf.keys["plain"].digest.hex(), frozenset({"plain"})),
    ("key", "0" * 64, frozenset()),
]


@pytest.mark.parametrize(("kind", "value", "covered"), VALUES)
async def test_a_purge_covers_its_own_and_spares_the_rest_and_all_are_hits_again_once_asked_anew(
    kind: str, value: str | Callable[[Shelf], str], covered: frozenset[str], shelf: Shelf
) -> None:
    assert await shelf.told("MISS") == shelf.names
    assert await shelf.told("HIT") == shelf.names

    given = value if isinstance(value, str) else value(shelf)
    await purged(shelf.proxy.admin_url, kind, given)

    assert await shelf.told("MISS") == covered
    assert await shelf.told("HIT") == shelf.names


async def test_many_values_are_purged_at_once(shelf: Shelf) -> None:
    assert await shelf.told("MISS") == shelf.names
    await purged(shelf.proxy.admin_url, "tag", values=["doc:1", "doc:3", "unheard of"])
    assert await shelf.told("MISS") == {"Cache-Tag", "X-Cache-Tags"}


# -- soft ------------------------------------------------------------------------------------


async def test_what_was_purged_softly_is_served_once_more_while_a_new_answer_is_fetched(
    backend: OpenAIBackend,
) -> None:
    lenient = {"cache": {"stale_while_revalidate_s": 600}}
    async with proxied(backend.url, **ADMIN, **lenient) as proxy, Caller(proxy) as caller:
        _, old = await caller.ask(chat())
        await purged(proxy.admin_url, "model", "m", soft=True)
        backend.hold()
        assert await caller.ask(chat()) == ("STALE", old)  # at once: the backend says nothing
        backend.release()
        await proxy.landed()

        verdict, new = await caller.ask(chat())
        assert (verdict, backend.calls.total()) == ("HIT", 2)
        assert new.id != old.id


async def test_what_was_purged_softly_stands_in_for_a_backend_that_fails(
    backend: OpenAIBackend,
) -> None:
    lenient = {"cache": {"stale_if_error_s": 600}}
    async with proxied(backend.url, **ADMIN, **lenient) as proxy, Caller(proxy) as caller:
        _, old = await caller.ask(chat())
        await purged(proxy.admin_url, soft=True)
        backend.faults.append(Fault(503, "Come back later."))
        assert await caller.ask(chat()) == ("STALE", old)

        verdict, new = await caller.ask(chat())
        assert verdict == "MISS"
        assert new.id != old.id


async def test_where_nothing_stale_may_be_served_a_soft_purge_is_as_good_as_any(
    backend: OpenAIBackend,
) -> None:
    async with proxied(backend.url, **ADMIN) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        await purged(proxy.admin_url, soft=True)
        assert (await caller.ask(chat()))[0] == "MISS"
        assert (await caller.ask(chat()))[0] == "HIT"


@pytest.mark.parametrize("window", ["stale_while_revalidate_s", "stale_if_error_s"])
async def test_nothing_that_was_purged_softly_is_served_past_its_window(
    window: str, backend: OpenAIBackend
) -> None:
    lenient = {"cache": {window: 0.25}}
    async with proxied(backend.url, **ADMIN, **lenient) as proxy, Caller(proxy) as caller:
        _, old = await caller.ask(chat())
        await purged(proxy.admin_url, soft=True)
        over = time.monotonic() + 0.25
        backend.faults.extend([Fault(503, "Come back later.")] * 10_000)
        failed = False
        while not failed:
            asked = time.monotonic()
            try:
                assert await caller.ask(chat()) == ("STALE", old)
            except openai.InternalServerError:
                failed = True
            assert failed or asked < over


async def test_a_hard_purge_ends_what_a_soft_one_left(backend: OpenAIBackend) -> None:
    lenient = {"cache": {"stale_while_revalidate_s": 600, "stale_if_error_s": 600}}
    async with proxied(backend.url, **ADMIN, **lenient) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        await purged(proxy.admin_url, soft=True)
        await purged(proxy.admin_url, "model", "m")
        backend.faults.append(Fault(503, "Come back later."))
        with pytest.raises(openai.InternalServerError):
            await caller.ask(chat())


# -- answers that are under way -----------------------------------------------------------------


def answer(text: str) -> bytes:
    return DOCUMENT.replace(b"Because.", text.encode())


async def say(call: Call, text: str, tag: str = "doc:1") -> None:
    await call.reply(200, [*JSON, ("Cache-Tag", tag)], answer(text))


async def heard(played: Scene, verdict: str, text: str) -> RawResponse:
    """Ask; what is answered is this, and said to be that."""
    reply = await played.whole()
    assert (reply.get("X-Cache"), reply.body) == (verdict, answer(text))
    return reply


@pytest.mark.parametrize(
    ("kind", "value"), [("all", ""), ("model", "m"), ("path", "/v1"), ("tag", "doc:1")]
)
async def test_an_answer_that_was_under_way_when_it_was_purged_is_given_and_not_stored(
    kind: str, value: str
) -> None:
    async with scene(**ADMIN) as played:
        asking = await played.ask()
        call = await played.up.next_call()
        await purged(played.proxy.admin_url, kind, value)  # by a tag that nobody knows of yet
        await say(call, "Old.")
        reply = await asking.response()
        assert (reply.get("X-Cache"), reply.body) == ("MISS", answer("Old."))
        assert "detail=superseded" in (reply.get("Cache-Status") or "")

        played.up.answer_with(lambda call: say(call, "New."))
        await heard(played, "MISS", "New.")
        await heard(played, "HIT", "New.")


@pytest.mark.parametrize("first", ["the old", "the new"])
async def test_who_asks_after_a_purge_does_not_join_a_call_from_before_whichever_ends_first(
    first: str,
) -> None:
    async with scene(**ADMIN) as played:
        before = await played.ask()
        old = await played.up.next_call()
        await purged(played.proxy.admin_url, "tag", "doc:1")
        after = await played.ask()
        new = await played.up.next_call()

        async def end_old() -> None:
            await say(old, "Old.")
            assert (await before.response()).body == answer("Old.")

        async def end_new() -> None:
            await say(new, "New.")
            assert (await after.response()).body == answer("New.")

        for end in (end_old, end_new) if first == "the old" else (end_new, end_old):
            await end()
        await heard(played, "HIT", "New.")
        assert played.up.calls == 2


async def test_an_answer_under_way_is_stored_if_what_was_purged_meanwhile_is_something_else() -> (
    None
):
    async with scene(**ADMIN) as played:
        asking = await played.ask()
        call = await played.up.next_call()
        await purged(played.proxy.admin_url, "tag", "doc:2")
        await say(call, "Still good.")
        await asking.response()
        await heard(played, "HIT", "Still good.")


async def test_a_refresh_that_was_under_way_when_its_answer_was_purged_stores_nothing() -> None:
    lenient = {"cache": {"stale_while_revalidate_s": 600}}
    async with scene(**ADMIN, **lenient) as played:
        asking = await played.ask()
        await say(await played.up.next_call(), "First.")
        await asking.response()
        await purged(played.proxy.admin_url, soft=True)
        await heard(played, "STALE", "First.")
        refresh = await played.up.next_call()
        await purged(played.proxy.admin_url)
        await say(refresh, "Second.")
        await played.proxy.landed()

        played.up.answer_with(lambda call: say(call, "Third."))
        await heard(played, "MISS", "Third.")
        await heard(played, "HIT", "Third.")


async def test_what_cannot_be_purged_is_refused_and_nothing_happens(
    backend: OpenAIBackend,
) -> None:
    async with proxied(backend.url, **ADMIN) as proxy, Caller(proxy) as caller:
        await caller.ask(chat())
        for kind, value in [("tags", "doc:1"), ("all", "everything"), ("tag", ""), ("key", "1")]:
            assert (await purge(proxy.admin_url, kind, value)).status == 400
        assert (await caller.ask(chat()))[0] == "HIT"
