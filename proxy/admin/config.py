"""``GET /config`` and ``POST /reload``: the settings in force, and those that take their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import Field, JsonValue

from proxy.admin.endpoint import (
    Call,
    Endpoint,
    Nothing,
    Problem,
    Refused,
    Said,
    Shown,
    Told,
    endpoint,
    plain,
)
from proxy.model.errors import ConfigError


class Refusal(Shown):
    """Why the last reload came to nothing."""

    at: datetime
    why: str


class Configuration(Shown):
    """The settings in force. Secrets are masked."""

    generation: int = Field(description="Counted from 1 at the start; each reload is the next.")
    loaded_at: datetime
    file: str | None
    settings: dict[str, JsonValue]
    sources: dict[str, str] = Field(description="Who gave what is not left to its default.")
    yaml: str = Field(description="The same for people, as `sidecache check` shows it.")
    chosen: dict[str, int] = Field(
        description="What this machine makes of settings that it has a say in: what `auto` is, and "
        "bounds that are shared by workers or do not fit."
    )
    last_refusal: Refusal | None
    needs_restart: list[str] = Field(description="The groups and settings a reload cannot change.")


class Reload(Said):
    """A wish for a reload; there is nothing more to say."""


class Reloaded(Shown):
    """What came of a reload."""

    generation: int
    changed: list[str] = Field(description="The settings that are others now.")


class Current(NamedTuple):
    """What is known of the settings in force.

    Attributes:
        loaded_at, refused_at: seconds since the epoch.
        refused: why the last reload came to nothing; None: it did not.
    """

    generation: int
    loaded_at: float
    file: str | None
    settings: dict[str, JsonValue]
    sources: dict[str, str]
    yaml: str
    chosen: dict[str, int]
    needs_restart: list[str]
    refused: str | None
    refused_at: float


class Configurations:
    """Answers both.

    Args:
        current: what is known.
        reload: the number of the generation and the names of what changed. Raises ConfigError.
    """

    def __init__(
        self,
        current: Callable[[], Current],
        reload: Callable[[], Awaitable[tuple[int, tuple[str, ...]]]],
    ) -> None:
        self._current = current
        self._reload = reload

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Both."""
        return (
            plain("/config", self._told, "The settings in force", {200: Configuration}),
            endpoint(
                "POST",
                "/reload",
                self._reloaded,
                query=Nothing,
                body=Reload,
                summary="Take over the settings that have changed: all of them, or none",
                answers={200: Reloaded, 409: Problem},
            ),
        )

    async def _told(self, _asked: Call[Nothing, Nothing]) -> Told:
        current = self._current()
        refused = None
        if current.refused is not None:
            refused = Refusal(at=_moment(current.refused_at), why=current.refused)
        return Told(
            Configuration(
                generation=current.generation,
                loaded_at=_moment(current.loaded_at),
                file=current.file,
                settings=current.settings,
                sources=current.sources,
                yaml=current.yaml,
                chosen=current.chosen,
                last_refusal=refused,
                needs_restart=current.needs_restart,
            )
        )

    async def _reloaded(self, _asked: Call[Nothing, Reload]) -> Told:
        try:
            generation, changed = await self._reload()
        except ConfigError as error:
            raise Refused(409, str(error)) from error
        return Told(Reloaded(generation=generation, changed=list(changed)))


def _moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)
