"""Records of requests as they end, all of whose confidential parts are a canary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from proxy.model.decision import Why
from proxy.model.entry import CacheKey
from proxy.model.message import Headers, Request
from proxy.model.outcome import Delivery, Outcome, Record, Verdict
from proxy.observe.gather import Line

CANARY = "hunter2"
NOON = 1_795_262_400.25  # 2026-11-21T12:00:00.250Z


class NoBody:
    length = 0

    async def whole(self, limit: int) -> bytes | None:
        return CANARY.encode()

    async def pieces(self) -> AsyncIterator[bytes]:
        yield CANARY.encode()


HIT = Delivery(200, 2048, True, 0.0004237)


def record(
    path: str = "/v1/chat/completions",
    model: str = "gpt-4o",
    delivery: Delivery = HIT,
    **outcome: object,
) -> Record:
    """A hit, all of whose confidential parts are the canary."""
    return Record(
        Request(
            "POST",
            path,
            f"key={CANARY}&api-version=1",
            Headers([("Authorization", f"Bearer {CANARY}"), ("Cookie", CANARY), (CANARY, "x")]),
            NoBody(),
            peer="127.0.0.1",
        ),
        Outcome(
            **{
                "verdict": Verdict.HIT,
                "why": Why.FRESH,
                "dialect": "openai_chat",
                "model": model,
                "tier": "l1_memory",
                "key": CacheKey("scope-of-the-caller", CANARY.encode() * 4),
                "age_s": 12.34567,
                "ttl_s": -3.0,
                **outcome,
            }  # type: ignore[arg-type] # the fields of an Outcome
        ),
        delivery,
    )


class Bell:
    """``call_later`` rung by hand."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        self.due.append((delay, callback))

    def ring(self) -> None:
        due, self.due = self.due, []
        for _delay, callback in due:
            callback()


def lines_of(*records: Record, at: float = NOON, more: Sequence[float] = ()) -> Sequence[Line]:
    """What is kept of ``records`` that all end at the same time; ``more`` goes with each."""
    return [
        (at, each.request.method, each.request.path, each.request.peer, *each[1:], more)
        for each in records
    ]
