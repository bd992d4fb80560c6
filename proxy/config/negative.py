"""The settings of what is kept for a moment only: errors that would come again, empty answers."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.config.section import Section
from proxy.config.units import Accepts, Seconds, whole
from proxy.policy import PASSING

# Who has just repaired what an error was about waits for the repair to show. Within two minutes
# people are still looking at it; beyond, they look for another fault.
_LONGEST_S: Final = 120.0

# What says that the question, and not the moment, is at fault; a name for it that is used for
# everything, such as OpenAI's invalid_request_error, is not here.
_CODES: Final = (
    "model_not_found",  # OpenAI
    "DeploymentNotFound",  # Azure
    "NotFoundError",  # vLLM, SGLang
    "not_found_error",  # Anthropic, Ollama
    "context_length_exceeded",
    "string_above_max_length",
    "array_above_max_length",
    "unknown_parameter",
    "unsupported_parameter",
)


def _moment(value: float) -> float:
    if value > _LONGEST_S:
        raise ValueError(
            f"must be at most {_LONGEST_S:.0f} s: so long may an error outlast what it is about"
        )
    return value


def _lasting(status: int) -> int:
    if status in PASSING or status not in range(400, 500):
        raise ValueError(
            "must be a status from 400 to 499, and not "
            + ", ".join(map(str, sorted(PASSING)))
            + ": such an answer is about the caller, the moment or the server"
        )
    return status


Moment = Annotated[Seconds, AfterValidator(_moment), Accepts("a duration up to 2m")]
LastingStatus = Annotated[
    int,
    BeforeValidator(whole),
    AfterValidator(_lasting),
    Accepts("a status from 400 to 499 that is about the question"),
]
Code = Annotated[str, Field(min_length=1), Accepts("one word")]


class Negative(Section):
    """What is kept for a moment, and for how long."""

    ttl_s: Moment = Field(
        default=60.0,
        description="For how long, at most; 0: not at all. Never longer than an answer would be, "
        "and never stale.",
    )
    statuses: tuple[LastingStatus, ...] = Field(
        default=(400, 404, 413, 422),
        description="Errors with one of these statuses are kept, if their body has one of `codes`.",
    )
    codes: tuple[Code, ...] = Field(
        default=_CODES,
        description="What the body of an error must give as its `code` or `type` to be kept.",
    )
    empty: bool = Field(
        default=True, description="Whether whole answers that say nothing are kept for so long."
    )
    shared: bool = Field(
        default=False,
        description="Whether errors are kept even where callers share a scope (`scope.by`). A "
        "model that one of them may not use is then unknown to the others too.",
    )
