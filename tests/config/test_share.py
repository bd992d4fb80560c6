"""What each of several workers may take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.check import check
from proxy.config.settings import Settings
from proxy.config.share import share


def settings(**given_: object) -> Settings:
    checked, refused, _ = check({"upstreams": [{"url": "http://127.0.0.1:1"}], **given_})
    assert checked is not None, refused
    return checked


def test_one_worker_takes_all() -> None:
    assert share(settings()) == settings()


@given(workers=st.integers(2, 64))
def test_several_take_no_less_together_than_one_and_hardly_more(workers: int) -> None:
    whole = settings(workers=workers, l1_memory={"max_bytes": "256MiB"})
    part = share(whole)
    assert isinstance(whole.l1_memory.max_bytes, int)
    assert isinstance(part.l1_memory.max_bytes, int)
    for all_, own in (
        (whole.l1_memory.max_bytes, part.l1_memory.max_bytes),
        (whole.downstream.limits.max_connections, part.downstream.limits.max_connections),
        (whole.flights.max_flights, part.flights.max_flights),
        (whole.flights.max_total_bytes, part.flights.max_total_bytes),
        (whole.flights.max_orphans, part.flights.max_orphans),
        (whole.overload.max_calls, part.overload.max_calls),
        (whole.overload.queued, part.overload.queued),
        (whole.overload.min_calls, part.overload.min_calls),
        (whole.upstreams[0].max_connections, part.upstreams[0].max_connections),
    ):
        assert all_ <= own * workers < all_ + workers
    assert part.flights.max_flight_bytes <= part.flights.max_total_bytes
    assert part.l2_disk == whole.l2_disk


def test_nothing_shared_is_nothing() -> None:
    part = share(settings(workers=4, flights={"max_orphans": 0}))
    assert part.flights.max_orphans == 0


def test_memory_that_is_left_to_the_machine_is_divided_where_that_is_asked() -> None:
    assert share(settings(workers=4)).l1_memory.max_bytes == "auto"


def test_so_many_that_no_machine_bears_them_are_refused_before_one_is_started() -> None:
    # 10000 were taken, and forked: within ten minutes the machine answered nobody.
    checked, refused, _ = check({"workers": 10_000})
    assert checked is None
    assert [fault.text for fault in refused] == [
        'must be a whole number from 1 to 128; given: "10000"'
    ]
    assert settings(workers=128).workers == 128
