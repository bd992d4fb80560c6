"""What was found by meaning, and why not: words for hits on a question asked in other words."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Script(StrEnum):
    """What a question is written in, as far as it matters to what can be told of it."""

    LATIN = "latin"
    HAN = "han"
    MIXED = "mixed"  # both, or Latin words within Chinese
    OTHER = "other"


class Doubt(StrEnum):
    """The one reason why a question was not answered by meaning; a bounded set."""

    # of the request, before anything is looked up
    UNWANTED = "unwanted"  # the caller, or a rule, wants none
    NO_QUESTION = "no-question"  # what comes last is not a user's text alone
    CODE = "code"
    VOLATILE = "volatile"  # about now
    ANAPHORA = "anaphora"  # means nothing without what was said before
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    ODD = "odd"  # too much of it is no words
    # of the embedder and the index
    NO_EMBEDDER = "no-embedder"
    LOADING = "loading"
    SELF_TEST = "self-test"  # the model cannot tell meanings apart in this script
    COVERAGE = "coverage"  # too many tokens that the model does not know
    LATE = "late"
    EMBEDDER = "embedder"  # it failed, or gave no usable vector
    INDEX = "index"  # it failed
    # of the candidates
    NOBODY = "no-neighbour"
    THRESHOLD = "threshold"
    FLOOR = "floor"  # this entry was wrong at such a similarity before
    LENGTH = "length"
    DISAGREEMENT = "disagreement"  # entries as near have other answers
    STALE = "stale"  # gone, expired, or not in the form asked for
    VETO_SCRIPT = "veto-script"
    VETO_NUMBERS = "veto-numbers"
    VETO_UNITS = "veto-units"
    VETO_DATES = "veto-dates"
    VETO_LANGUAGE = "veto-language"
    VETO_NEGATION = "veto-negation"
    VETO_ANTONYMS = "veto-antonyms"
    VETO_IDENTIFIERS = "veto-identifiers"
    VETO_QUOTES = "veto-quotes"
    VETO_ENTITIES = "veto-entities"
    VETO_QUESTION_WORD = "veto-question-word"
    VETO_ORDER = "veto-order"
    VETO_WORDS = "veto-words"  # by the user's own lists
    # of the error budget
    BUDGET = "budget"  # too many wrong answers were measured: nothing is served by meaning


class Measured(NamedTuple):
    """How often answers found by meaning were wrong, as far as is known; shares from 0 to 1."""

    error: float
    high: float  # the 95 % upper bound
    labels: int  # of how many it was found out


class Wording(NamedTuple):
    """How an entry's question was put, and among which questions it may be looked for."""

    namespace: bytes  # 16 bytes: all of the request but the words of the last user message
    text: str  # those words
