"""Clients as they are in use: none can tell the cache from the backend, but that it is faster."""

from __future__ import annotations

import pytest
from support.client_process import Client, Failed
from support.openai_backend import REVOKED, Fault, OpenAIBackend, vector_of
from support.proxied import Proxied

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

TEXT = "Grüße, why is the sky 🌍 blue?"

# The client's own exceptions, by the status that the backend answers with.
KINDS = {
    401: {"AuthenticationError", "AI_APICallError"},
    404: {"NotFoundError", "AI_APICallError"},
    429: {"RateLimitError", "AI_APICallError"},
    500: {"InternalServerError", "AI_APICallError"},
}


async def test_a_question_asked_again_is_answered_from_the_cache_with_the_same_words(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    first = await client.do("ask", proxy.url, text=TEXT)
    second = await client.do("ask", proxy.url, text=TEXT)

    assert first == second == f"You asked {TEXT!r} as sk-one (0)."
    assert proxy.verdicts == ["MISS", "HIT"]
    assert len(backend.asked) == 1


async def test_a_stream_is_heard_live_and_replayed_in_the_same_pieces(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    backend.hold(after=4)  # pieces: an opening, and three with words
    listening = client.hear(proxy.url, text=TEXT)
    heard = await listening.piece()
    backend.release()
    live = await listening.rest()
    await proxy.landed()
    replayed = await client.do("hear", proxy.url, text=TEXT)

    assert "".join(live) == f"You asked {TEXT!r} as sk-one (0)."
    assert live == replayed
    assert heard == live[0]
    assert proxy.verdicts == ["MISS", "HIT"]
    assert len(backend.asked) == 1


async def test_a_stored_document_is_streamed_and_a_callers_answers_are_his_own(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    whole = await client.do("ask", proxy.url, text=TEXT)
    pieces = await client.do("hear", proxy.url, text=TEXT)
    other = await client.do("ask", proxy.url, key="sk-two", text=TEXT)

    assert "".join(pieces) == whole
    assert other == f"You asked {TEXT!r} as sk-two (0)."
    assert proxy.verdicts == ["MISS", "HIT", "MISS"]


async def test_tools_are_called_and_their_results_told_the_same_from_the_cache(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    first = await client.do("call", proxy.url, text="Why?")
    second = await client.do("call", proxy.url, text="Why?")

    assert first["calls"] == [{"name": "look_up", "arguments": {"about": "Why?"}}]
    assert first["answer"] == "You asked 'All there is on Why?.' as sk-one (0)."
    assert second == first
    assert proxy.verdicts == ["MISS", "MISS", "HIT", "HIT"]
    assert len(backend.asked) == 2


async def test_structured_answers_are_parsed_the_same_from_the_cache(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    first = await client.do("parse", proxy.url, text="Why?")
    second = await client.do("parse", proxy.url, text="Why?")

    assert first == second == {"question": "Why?", "steps": ["think", "answer"]}
    assert proxy.verdicts == ["MISS", "HIT"]


@pytest.mark.parametrize("job", ["ask", "hear"])
@pytest.mark.parametrize("status", [404, 429, 500])
async def test_errors_of_the_backend_are_the_clients_own_exceptions_and_not_kept(
    job: str, status: int, client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    backend.faults.append(Fault(status, "So sorry."))
    with pytest.raises(Failed, match="So sorry") as failed:
        await client.do(job, proxy.url, text=TEXT)

    assert failed.value.status == status
    assert {kind.rpartition(".")[2] for kind in failed.value.kinds} & KINDS[status]
    assert await client.do("ask", proxy.url, text=TEXT) == f"You asked {TEXT!r} as sk-one (0)."
    assert proxy.verdicts == ["MISS", "MISS"]


async def test_errors_of_the_proxy_are_the_clients_own_exceptions_too(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    await backend.close()
    with pytest.raises(Failed, match="backend") as failed:
        await client.do("ask", proxy.url, text=TEXT)

    assert failed.value.status == 502 or "litellm" in failed.value.kinds[0]
    assert proxy.verdicts == ["ERROR"]


async def test_a_refused_credential_gets_no_answer_from_the_cache(
    client: Client, proxy: Proxied
) -> None:
    await client.do("ask", proxy.url, text=TEXT)
    with pytest.raises(Failed, match="Incorrect API key") as failed:
        await client.do("ask", proxy.url, key=REVOKED, text=TEXT)

    assert failed.value.status == 401
    assert {kind.rpartition(".")[2] for kind in failed.value.kinds} & KINDS[401]


async def test_embeddings_are_those_of_the_backend_which_is_asked_for_each_input_once(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    texts = ["one", "two", "three"]
    first = await client.do("embed", proxy.url, texts=texts)
    second = await client.do("embed", proxy.url, texts=texts)
    third = await client.do("embed", proxy.url, texts=["two", "four", "one"])

    assert first == second == [vector_of(text) for text in texts]
    assert third == [vector_of(text) for text in ("two", "four", "one")]
    assert proxy.verdicts == ["MISS", "HIT", "MISS"]
    assert [asked.json["input"] for asked in backend.asked] == [texts, ["four"]]


async def test_a_response_is_kept_whole_and_streamed_from_the_cache_in_the_same_pieces(
    client: Client, proxy: Proxied, backend: OpenAIBackend
) -> None:
    first = await client.do("respond", proxy.url, text=TEXT)
    second = await client.do("respond", proxy.url, text=TEXT)
    live = await client.do("hear_response", proxy.url, text=TEXT)
    await proxy.landed()
    replayed = await client.do("hear_response", proxy.url, text=TEXT)

    assert first == second
    assert TEXT in first
    assert "".join(live) == "".join(replayed) == first
    assert proxy.verdicts[:2] == ["MISS", "HIT"]
    assert proxy.verdicts[3] == "HIT"
    assert backend.calls["/v1/responses"] == proxy.verdicts.count("MISS")
