"""What a test asks of a dialect: bodies, heads, and answers that it must take for whole."""

from __future__ import annotations

import json

from proxy.dialects.base import Dialect
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Sealed


def dump(members: object) -> bytes:
    """``members`` as JSON."""
    return json.dumps(members).encode()


def head(content_type: str = "", *more: tuple[str, str], status: int = 200) -> Head:
    """The head of an answer."""
    return Head(status, "", Headers([("Content-Type", content_type), *more]))


def sealed_by(dialect: Dialect, body: bytes, form: Form) -> Sealed:
    """The whole answer that ``body`` is."""
    answer = dialect.seal(head(), body, form)
    assert isinstance(answer, Sealed)
    return answer
