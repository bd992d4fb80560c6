"""Whether two stored entries have the same answer, as far as is known without waiting."""

from __future__ import annotations

from support.cranked import entry

from proxy.model.entry import Entry
from proxy.semantic.agreement import Agreement
from proxy.semantic.budget.comparator import Judgement

A, B = entry(body=b"It takes 5 minutes."), entry(body=b"It takes 9 minutes.")
SPACE = b" " * 2**17


def test_what_a_large_body_says_is_not_read_while_somebody_waits() -> None:
    read: list[Entry] = []

    def answer(stored: Entry) -> str:
        read.append(stored)
        return stored.body.decode().strip()

    agreement = Agreement(answer)
    large = entry(body=A.body + SPACE)
    assert agreement.of(large, B) is agreement.of(B, large) is Judgement.UNKNOWN
    assert read == []
    assert agreement.of(A, B) is Judgement.DIFFERENT
    # What was found out in the background counts.
    agreement.learn(large, B, Judgement.DIFFERENT)
    assert agreement.of(B, large) is Judgement.DIFFERENT
