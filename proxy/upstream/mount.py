"""The place of one backend among the paths of all, and what a path is called there."""

from __future__ import annotations


class Mount:
    """A prefix of clients' paths, and what stands for it at the backend.

    ``prefix`` covers whole segments: "/v1" holds "/v1" and "/v1/x", not "/v10". ``base_path`` goes
    before what is left of a path. Paths are raw text, checked downstream, and stay byte for byte.
    """

    __slots__ = ("_base_path", "_cut", "prefix")

    def __init__(
        self, prefix: str = "/", base_path: str = "", *, strip_prefix: bool = True
    ) -> None:
        self.prefix = prefix.rstrip("/")  # "": every path
        self._base_path = base_path.rstrip("/")
        self._cut = len(self.prefix) if strip_prefix else 0

    def holds(self, path: str) -> bool:
        """Whether requests to ``path`` are this backend's."""
        prefix = self.prefix
        if not path.startswith(prefix):
            return False
        return path.startswith("/", len(prefix)) or (len(path) == len(prefix) > 0)

    def target(self, path: str, query_string: str) -> str:
        """What to ask the backend for, in origin form (RFC 9112, section 3.2.1)."""
        inner = f"{self._base_path}{path[self._cut :]}" or "/"
        return f"{inner}?{query_string}" if query_string else inner
