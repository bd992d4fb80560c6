"""A request as the operator describes it, for what is to be explained, looked for or sent."""

from __future__ import annotations

from typing import Annotated, Final

import orjson
from pydantic import Field, JsonValue

from proxy.admin.endpoint import Refused, Said
from proxy.explaining.draft import Draft, draft
from proxy.model.errors import RequestError

_MOST_HEADERS: Final = 128
_JSON: Final = ("Content-Type", "application/json")


class Described(Said):
    """A request."""

    method: str = Field(default="POST", max_length=32)
    path: str = Field(
        min_length=1, max_length=16_384, description="With the query string, as on the wire."
    )
    headers: Annotated[dict[str, str], Field(max_length=_MOST_HEADERS)] = Field(
        default_factory=dict, description="With those that say who asks: they make the scope."
    )
    body: dict[str, JsonValue] | str | None = Field(
        default=None,
        description="A document, or the very text, where it matters how it is written.",
    )

    def draft(self, *, peer: str = "") -> Draft:
        """The request, as a client at ``peer`` would send it. Raises Refused."""
        headers = list(self.headers.items())
        match self.body:
            case None:
                body = b""
            case str() as text:
                body = text.encode()
            case document:
                try:
                    body = orjson.dumps(document)
                except TypeError as error:  # an integer beyond 64 bits, or it nests too deep
                    raise Refused(400, "body: send it as a text") from error
                if not any(name.lower() == "content-type" for name in self.headers):
                    headers.append(_JSON)
        try:
            return draft(self.method, self.path, headers, body, peer=peer)
        except RequestError as error:
            raise Refused(400, str(error)) from error
