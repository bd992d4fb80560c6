"""The Redis URL: what it names, and what is refused."""

from __future__ import annotations

import pytest

from proxy.link.place import Kind, Place, read_place
from proxy.model.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", Place(Kind.ALONE, (("localhost", 6379),), tls=False)),
        ("redis://127.0.0.1:7000/3", Place(Kind.ALONE, (("127.0.0.1", 7000),), tls=False, db=3)),
        ("redis://[::1]:7000/", Place(Kind.ALONE, (("::1", 7000),), tls=False)),
        ("rediss://cache.example", Place(Kind.ALONE, (("cache.example", 6379),), tls=True)),
        (
            "rediss://me:p%40ss%2F@cache.example",
            Place(
                Kind.ALONE, (("cache.example", 6379),), tls=True, username="me", password="p@ss/"
            ),
        ),
        (
            "redis://:secret@localhost",
            Place(Kind.ALONE, (("localhost", 6379),), tls=False, password="secret"),
        ),
        (
            "redis+sentinel://localhost,127.0.0.1:7001/answers/2",
            Place(
                Kind.SENTINEL, (("localhost", 26379), ("127.0.0.1", 7001)), False, "answers", 2
            ),
        ),
        (
            "rediss+cluster://a.example:1,b.example:2",
            Place(Kind.CLUSTER, (("a.example", 1), ("b.example", 2)), tls=True),
        ),
    ],
)  # fmt: skip
def test_a_url_names_a_place(url: str, place: Place) -> None:
    assert read_place(url) == place


def test_a_login_given_apart_takes_the_place_of_the_urls() -> None:
    place = read_place("redis://me:old@localhost", username="you", password="new")
    assert (place.username, place.password) == ("you", "new")


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(read_place("redis://:hunter2@localhost"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis+://localhost",
        "redis+magic://localhost",
        "redis://",
        "redis://me:hunter2@",
        "redis://localhost:port",
        "redis://localhost:99999",
        "redis://localhost,127.0.0.1",
        "redis://localhost/zero",
        "redis://localhost/1/2",
        "redis://localhost/-1",
        "redis://localhost?socket_timeout=5",
        "redis://:hunter2@localhost?db=1",
        "redis+sentinel://localhost",
        "redis+cluster://localhost/1",
        "redis+cluster://localhost,",
        "redis://[::1",
    ],
)
def test_what_is_no_place_is_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_place(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_no_network_is_spoken_over_in_clear_unless_that_is_allowed(scheme: str) -> None:
    url = f"{scheme}://:hunter2@127.0.0.1,10.0.0.7/answers"
    url = url.replace("127.0.0.1,", "") if scheme == "redis" else url
    url = url.removesuffix("/answers") if scheme != "redis+sentinel" else url
    with pytest.raises(ConfigError, match=r"10\.0\.0\.7"):
        read_place(url)
    assert read_place(url, allow_insecure=True).hosts[-1][0] == "10.0.0.7"
    assert read_place(url.replace("redis", "rediss", 1)).tls
