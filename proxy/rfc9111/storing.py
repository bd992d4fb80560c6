"""What may be stored, and which of its fields (RFC 9111, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from proxy.model.decision import Why
from proxy.model.message import Head, Headers
from proxy.rfc9111.told import Told
from proxy.rfc9111.validators import is_validated

# Final statuses of RFC 9110, section 15, whose meaning is all in the response; a 206 is a part, a
# 304 is about another response.
_UNDERSTOOD: Final = frozenset(
    {
        200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 409, 410,
        411, 413, 414, 415, 417, 421, 422, 426, 451, 500, 501, 502, 503, 504, 505,
    }
)  # fmt: skip
_NEVER: Final = frozenset({206, 304, 401, 407, 416})
# What is said anew with every answer, or is about the connection (section 3.1).
_NOT_KEPT: Final = frozenset(
    {"age", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization"}
)
_COOKIES: Final = frozenset({"set-cookie", "set-cookie2"})


class Cookies(StrEnum):
    """Which responses that set cookies are stored, cookies and all."""

    NEVER = "never"
    EXPLICIT = "explicit"  # those that say they are for everybody
    ALWAYS = "always"  # all that may be stored otherwise (RFC 9111, section 7.3)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else there is to know of the request and the response."""

    authorised: bool  # the request had a credential
    apart: bool  # whoever has another credential is never given this response
    cookies: Cookies = Cookies.EXPLICIT
    inert_cookies: frozenset[str] = frozenset()  # those that never matter, such as a CDN's


def refusal(
    head: Head, told: Told, about: Circumstances, lifetime: float | None, age: float
) -> Why | None:
    """Why a complete response to a GET must not be stored or is not worth it; None: store it.

    Args:
        lifetime: for how long it is fresh, in seconds; None: it does not say.
        age: how old it is already, in seconds.
    """
    if head.status in _NEVER:
        return Why.STATUS
    if told.must_understand and head.status not in _UNDERSTOOD:
        return Why.STATUS
    # RFC 9111, section 5.2.2.3: who understands the status need not heed a no-store beside it.
    if told.no_store and not told.must_understand:
        return Why.NO_STORE
    if told.private:
        return Why.PRIVATE
    if about.authorised and not about.apart and not told.for_all:
        return Why.PRIVATE
    if not may_set_cookies(head.headers, told, about):
        return Why.SET_COOKIE
    if lifetime is not None and lifetime > age:
        return None
    if head.status == HTTPStatus.OK and is_validated(head.headers):
        return None  # it can be asked about
    return Why.UNCACHEABLE if lifetime is None else Why.EXPIRED


def kept_fields(headers: Headers, told: Told, about: Circumstances, date: str) -> Headers:
    """The fields to store: all but those of one delivery and those the response names.

    Cookies are among them only if they may be.

    Args:
        date: the ``Date`` to give a response that came without one (RFC 9110, section 6.6.1).
    """
    without = _NOT_KEPT | told.unshared
    if not may_set_cookies(headers, told, about):
        without |= _COOKIES
    kept = headers.without(without)
    if about.inert_cookies and "set-cookie" in kept:
        kept = Headers(pair for pair in kept.pairs if not _is_inert(pair, about.inert_cookies))
    return kept if "date" in headers else kept.plus(("Date", date))


def may_set_cookies(headers: Headers, told: Told, about: Circumstances) -> bool:
    """Whether a response may be stored in spite of the cookies that it sets, if any."""
    if "set-cookie" not in headers or "set-cookie" in told.unshared:
        return True
    if all(
        _is_inert(pair, about.inert_cookies)
        for pair in headers.pairs
        if pair[0].lower() == "set-cookie"
    ):
        return True
    return about.cookies is Cookies.ALWAYS or (
        about.cookies is Cookies.EXPLICIT
        and (told.public or told.s_maxage is not None or told.targeted)
    )


def _is_inert(pair: tuple[str, str], inert: frozenset[str]) -> bool:
    """Whether a field sets a cookie that does not matter."""
    name, value = pair
    return name.lower() == "set-cookie" and value.partition("=")[0].strip(" \t") in inert
