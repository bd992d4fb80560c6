"""What dialects have in common whose answers are one JSON document, never a stream."""

from __future__ import annotations

from proxy.dialects.base import Relay, Rendered, Sieve
from proxy.dialects.json_body import form_of
from proxy.model.entry import Entry
from proxy.model.message import Head
from proxy.model.query import Asking, Form, Query, Sealed


class OneForm:
    """That part of a dialect. Nothing it is asked can be told in other words.

    A count, a rank, a vector: the very words are what is measured, in others the answer is another.
    """

    def asking(self, query: Query) -> Asking | None:
        return None

    def answer(self, entry: Entry) -> str | None:
        return None

    def arriving(self, head: Head, asked: Form) -> Form | None:
        return form_of(head)

    def relay(self, offered: Form, wanted: Form) -> Relay:
        return Relay.VERBATIM

    def sieve(self, wanted: Form) -> Sieve:
        return bytes

    def render(self, entry: Entry | Sealed, wanted: Form) -> Rendered | None:
        return Rendered(entry.body)
