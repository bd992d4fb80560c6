"""What connections share."""

from __future__ import annotations

from proxy.downstream.service import DateLine


def test_the_date_is_made_anew_when_the_second_changes() -> None:
    now = [1_755_000_000.0]
    date = DateLine(lambda: now[0])
    noon = date()
    assert noon == "Date: Tue, 12 Aug 2025 12:00:00 GMT\r\n"
    now[0] += 0.9
    assert date() is noon
    now[0] += 0.1
    assert date() == "Date: Tue, 12 Aug 2025 12:00:01 GMT\r\n"
    now[0] -= 3600
    assert date() == "Date: Tue, 12 Aug 2025 11:00:01 GMT\r\n"
