"""What came of asking a backend, counted under its name for as long as the process lives."""

from __future__ import annotations

from proxy.histogram import Histogram


class Traffic:
    """Counters that only grow. Backends that replace each other under one name share them."""

    __slots__ = ("errors", "head", "refused", "responses", "stale_retries")

    def __init__(self) -> None:
        self.responses: dict[str, int] = {}  # heads, by class of status: "2xx"
        self.errors: dict[str, int] = {}  # by the error types of RFC 9209, section 2.3
        self.head = Histogram()  # seconds from the asking to the head
        self.stale_retries = 0  # requests sent again because a kept connection had ended
        self.refused = 0  # requests that were not sent, because it is left alone

    def answered(self, status: int, seconds: float) -> None:
        """A head has come."""
        name = f"{status // 100}xx"
        self.responses[name] = self.responses.get(name, 0) + 1
        self.head.add(seconds)

    def failed(self, token: str) -> None:
        """No head has come, or a body broke off."""
        self.errors[token] = self.errors.get(token, 0) + 1
