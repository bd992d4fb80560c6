"""What is kept for a moment only: errors that would come again, and answers that say nothing.

An error is kept if the backend gives it a code that is known to be about the question. Words are
for people: an error that has only those, or a code that is not known, may be about anything.

Nor may it be about what is left out of the key. Who asks for a stream may be told that this model
does not stream; who asks the same without one must not hear that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from proxy.model.decision import Why
from proxy.model.query import Form, Refusal, Sealed

_AFTER_THE_NAME: Final = re.compile(r"[.\[]")  # as in messages[0].content


@dataclass(frozen=True, slots=True)
class Negative:
    """What is kept for a moment, besides answers that are kept for good."""

    codes: frozenset[str] = frozenset()  # of errors, given as their code or type
    empty: bool = False  # answers that say nothing


NONE: Final = Negative()


def seal_error(body: bytes, codes: frozenset[str], unkeyed: frozenset[str]) -> Sealed | Refusal:
    """The error that ``body`` is, if it is only about the question; else why not.

    Args:
        body: all that came.
        codes: what is known to be about the question.
        unkeyed: members of a request that are not part of the question.
    """
    complaints = _complaints(body)
    if complaints and all(
        not codes.isdisjoint(each.codes)
        and each.member not in unkeyed
        and (each.member or _OF_A_MEMBER.isdisjoint(each.codes))
        for each in complaints
    ):
        return Sealed(Form(), body, negative=True)
    return Refusal(Why.STATUS)


# Which member they are about must be told, or it may be one that is not part of the question.
_OF_A_MEMBER: Final = frozenset({"unknown_parameter", "unsupported_parameter"})


class _Complaint(NamedTuple):
    codes: list[str]
    member: str  # of the request, "" if none is named


def _complaints(body: bytes) -> list[_Complaint]:
    """What ``body`` complains of, in any of the three shapes that backends use."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return []
    if not isinstance(told, dict):
        return []
    if isinstance(details := told.get("detail"), list):
        return [_of_fastapi(detail) for detail in details]
    error = told if told.get("object") == "error" else told.get("error")  # vLLM leaves it unwrapped
    if not isinstance(error, dict):
        return []
    param = error.get("param")
    member = _AFTER_THE_NAME.split(param, 1)[0] if isinstance(param, str) else ""
    return [_Complaint(_texts(error.get("code"), error.get("type")), member)]


def _of_fastapi(detail: object) -> _Complaint:
    """A fault as pydantic names it, if it is one of the body: the headers may be inert."""
    match detail:
        case {"type": str(code), "loc": ["body", str(member), *_]}:
            return _Complaint([code], member)
        case _:
            return _Complaint([], "")


def _texts(*values: object) -> list[str]:
    return [value for value in values if isinstance(value, str)]
