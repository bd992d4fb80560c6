"""Who is near to a question, what speaks against each, and what another threshold would do."""

from __future__ import annotations

from typing import Any

from support.explained import Operator, chat, described, operating
from support.operating import ADMIN
from support.proxied import Json, Proxied, proxied
from support.raw_chat import DOCUMENT, JSON
from support.scripted import ScriptedUpstream
from support.worded import ALIKE, ALIKE_TOO, ASKED, NGRAM, UNLIKE, learned, ready, semantic

from proxy.semantic.budget.labels import Label, Source, Stratum

SHOWN: Json = {"admin": {"listen": "127.0.0.1:0", "show_content": True}}


async def asked(proxy: Proxied, operator: Operator, *texts: str) -> None:
    for text in texts:
        await operator.send(described(chat(text)))
        await learned(proxy)


def scene(up: ScriptedUpstream, **more: Any) -> Any:
    up.answer_with(lambda call: call.reply(200, JSON, DOCUMENT))
    return proxied(up.url, **(ADMIN | {"semantic": NGRAM} | more))


async def test_neighbours_are_told_with_scores_and_verdicts_and_no_question_unless_allowed() -> (
    None
):
    async with ScriptedUpstream() as up, scene(up) as proxy, operating(proxy) as operator:
        await ready(proxy)
        await asked(proxy, operator, ASKED, f"{ASKED[:-1]} in 2 days?")
        counts = dict(semantic(proxy).finder.counts)
        told = await operator.explain(described(chat(ALIKE)))
        near = await operator.post("/semantic/neighbours", {"request": described(chat(ALIKE))})
        assert semantic(proxy).finder.counts == counts

    meant = told["semantic"]
    assert (told["outcome"], told["reason"]) == ("hit", "semantic")
    assert meant["asked"]
    assert meant["served"] == told["key"]
    served, refused = meant["neighbours"]
    assert (served["key"], served["verdict"], served["doubt"]) == (told["key"], "served", None)
    assert (refused["verdict"], refused["doubt"]) == ("refused", "veto-numbers")
    assert refused["says"]
    assert not refused["would_serve"]
    assert served["question"] is None
    assert near["neighbours"] == meant["neighbours"]
    assert near["threshold"] == meant["threshold"]
    assert ASKED not in str([told, near])


async def test_another_threshold_tells_whom_it_would_serve() -> None:
    async with ScriptedUpstream() as up, scene(up, **SHOWN) as proxy, operating(proxy) as operator:
        await ready(proxy)
        await asked(proxy, operator, ASKED)
        request = described(chat(ALIKE_TOO))
        plain = await operator.post("/semantic/neighbours", {"request": request})
        (one,) = plain["neighbours"]
        high = await operator.post(
            "/semantic/neighbours", {"request": request, "threshold": min(1.0, one["score"] + 0.01)}
        )
        low = await operator.post(
            "/semantic/neighbours", {"request": request, "threshold": one["score"] - 0.01}
        )
        caller = described(chat(ALIKE_TOO), X_Cache_Threshold="1")
        strict = await operator.post("/semantic/neighbours", {"request": caller, "threshold": 0.5})

    assert one["question"] == ASKED
    assert high["neighbours"][0]["doubt"] == "threshold"
    assert low["neighbours"][0]["would_serve"]
    assert strict["neighbours"][0]["doubt"] == "threshold"
    assert plain["served_at"]["0.70"] == 1
    assert plain["served_at"]["1.00"] == 0
    assert plain["open"] is False


async def test_where_the_breaker_is_open_nobody_is_served_unless_one_asks_what_if() -> None:
    async with ScriptedUpstream() as up, scene(up) as proxy, operating(proxy) as operator:
        await ready(proxy)
        await asked(proxy, operator, ASKED)
        parts = semantic(proxy)
        assert parts.embedding is not None
        stratum = Stratum(parts.embedding.fingerprint, "latin", "openai_chat m")
        for _ in range(200):
            label = Label(0.99, wrong=True, weight=1.0, source=Source.FEEDBACK, served=True)
            parts.budget.learn(stratum, label, 1e9)
        request = described(chat(ALIKE))
        told = await operator.post("/semantic/neighbours", {"request": request})
        what_if = await operator.post(
            "/semantic/neighbours", {"request": request, "threshold": 0.5}
        )

    assert told["open"]
    assert told["neighbours"][0]["doubt"] == "budget"
    assert what_if["neighbours"][0]["would_serve"]


async def test_why_nobody_is_looked_for_is_told() -> None:
    async with ScriptedUpstream() as up, scene(up) as proxy, operating(proxy) as operator:
        await ready(proxy)
        short = await operator.post("/semantic/neighbours", {"request": described(chat("Why?"))})
        lonely = await operator.post("/semantic/neighbours", {"request": described(chat(UNLIKE))})
        odd = await operator.post("/semantic/neighbours", {"request": described("no json")})
        told = await operator.explain(described(chat("Why?")))

    assert (short["doubt"], short["neighbours"]) == ("anaphora", [])
    assert lonely["doubt"] == "no-neighbour"
    assert (odd["doubt"], odd["says"]) == (None, "Nothing is looked for by meaning.")
    assert (told["semantic"]["asked"], told["semantic"]["doubt"]) == (False, "anaphora")
    assert told["detail"] == "anaphora"
