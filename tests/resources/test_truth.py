"""Whatever is done: what is served is what the origin said of that variant, within its time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from support.resources import Answer, World

from proxy.model.message import Outbound

PATHS, LANGUAGES, KEYS = ("/a", "/b"), ("", "en", "de"), ("", "one", "two")


@dataclass
class Truth:
    """An origin whose resources change, and what it said of each when."""

    world: World
    version: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PATHS, 0))
    until: dict[tuple[str, int], float] = field(default_factory=dict)  # when it was replaced
    max_age: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PATHS, 10))
    public: bool = False
    validators: bool = True

    def change(self, path: str) -> None:
        self.until[path, self.version[path]] = self.world.clock.now
        self.version[path] += 1

    def says(self, outbound: Outbound) -> Answer:
        path, headers = outbound.path, outbound.headers
        if outbound.method == "PUT":
            self.change(path)
            return Answer(204, body=b"")
        etag = f'"{path}{self.version[path]}{headers.get("accept-language")}"'
        public = "public, " if self.public else ""
        fields = [
            ("Cache-Control", f"{public}max-age={self.max_age[path]}"),
            ("Vary", "Accept-Language"),
        ]
        if self.validators:
            fields.append(("ETag", etag))
            if headers.get("if-none-match") == etag:
                return Answer(304, fields, b"")
        whose = "" if self.public else headers.get("authorization")
        told = (path, str(self.version[path]), headers.get("accept-language"), whose)
        return Answer(200, fields, "|".join(told).encode())


Step = tuple[str, str, str, str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "get", "head", "put", "change", "turn", "age", "no-cache"]),
        st.sampled_from(PATHS),
        st.sampled_from(LANGUAGES),
        st.sampled_from(KEYS),
        st.integers(0, 15),
    ),
    max_size=40,
)


async def _live(steps: list[Step], *, public: bool, validators: bool) -> None:
    world = World()
    truth = Truth(world, public=public, validators=validators)
    world.origin.says = truth.says
    oldest: dict[str, int] = dict.fromkeys(PATHS, 0)  # since it was written to through the proxy
    for what, path, language, key, number in steps:
        fields = [("Accept-Language", language)] if language else []
        fields += [("Authorization", key)] if key else []
        match what:
            case "turn":
                world.clock.turn(float(number))
            case "age":
                truth.max_age[path] = number
            case "change":
                truth.change(path)
            case "put":
                await world.get(path=path, method="PUT", content=b"x")
                oldest[path] = truth.version[path]
            case "head":
                await world.get(*fields, path=path, method="HEAD")
            case _:
                if what == "no-cache":
                    fields.append(("Cache-Control", "no-cache"))
                got = await world.get(*fields, path=path)
                of, version, chosen, whose = got.body.decode().split("|")
                assert (of, chosen) == (path, language)
                assert whose == ("" if public else key)
                assert int(version) >= oldest[path]
                replaced = truth.until.get((path, int(version)))
                if replaced is not None:
                    assert what != "no-cache"
                    assert world.clock.now - replaced <= 15  # the longest lifetime there is
    assert world.bugs == []


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans(), st.booleans())
def test_nothing_untrue_is_served(steps: list[Step], public: bool, validators: bool) -> None:
    asyncio.run(_live(steps, public=public, validators=validators))
