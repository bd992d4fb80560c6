"""Reasons in sentences: what each of them means, and what somebody on call can do about it.

``docs/headers.md`` tells more of each. A reason that says one thing of a request and another of an
answer, such as ``no-store``, has one sentence that fits both.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from proxy.model.decision import Why
from proxy.model.meaning import Doubt


class Kind(StrEnum):
    """What a reason is a reason for."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    DEGRADED = "degraded"
    NOT_STORED = "not-stored"
    ERROR = "error"
    DOUBT = "doubt"  # nothing was found by meaning


class Reason(NamedTuple):
    """A reason as people are told of it."""

    kind: Kind
    says: str  # one sentence
    advice: str = ""  # one more; "" if there is nothing to do


_VETOES: Final = "If it is wrong about your questions, see semantic.vetoes.disabled."

_WHYS: Final[Mapping[Why, Reason]] = {
    # hits
    Why.FRESH: Reason(Kind.HIT, "A stored answer within its lifetime."),
    Why.SWR: Reason(
        Kind.HIT,
        "A stored answer past its lifetime, while a new one is being fetched in the background.",
        "cache.stale_while_revalidate_s says for how long that may go on.",
    ),
    Why.SIE: Reason(
        Kind.HIT,
        "A stored answer past its lifetime, because the backend fails.",
        "Look after the backend; fwd-status has what it said, if it said something.",
    ),
    Why.MAX_STALE: Reason(
        Kind.HIT, "A stored answer past its lifetime, which the caller said will do."
    ),
    Why.REFRESH_AHEAD: Reason(
        Kind.HIT,
        "A stored answer that is about to end, while a new one is fetched in the background.",
        "cache.refresh_ahead says how early that begins.",
    ),
    Why.VALIDATED: Reason(
        Kind.HIT, "A stored response past its lifetime, of which the backend said it still holds."
    ),
    Why.CANONICAL: Reason(
        Kind.HIT,
        "The answer to the same question but for case, politeness, contractions and the like.",
    ),
    Why.TYPO: Reason(Kind.HIT, "The answer to the same question but for a slip of the keyboard."),
    Why.SEMANTIC: Reason(
        Kind.HIT,
        "The answer to a question that means the same, as far as can be told.",
        "If it is wrong, say so: POST /feedback, or the question again with "
        "X-Cache-Feedback: wrong.",
    ),
    # in place of a failure
    Why.STANDBY: Reason(
        Kind.DEGRADED, "The answer of another backend, as the first one fails.",
        "Look after the first one.",
    ),
    Why.DOCUMENTS: Reason(
        Kind.DEGRADED, "What a search found, without an answer made of it, as the backend fails.",
        "Look after the backend.",
    ),
    Why.MESSAGE: Reason(
        Kind.DEGRADED, "The operator's text, as the backend fails.", "Look after the backend."
    ),
    # misses
    Why.UNSEEN: Reason(
        Kind.MISS,
        "Nothing is stored for this question and this caller.",
        "If there should be, explain this request and the one before together: they differ in "
        "scope, body or a header, or the answer before was not stored or has made room.",
    ),
    Why.EXPIRED: Reason(
        Kind.MISS,
        "What was stored is past its lifetime, or had none left when it came.",
        "Raise cache.ttl_s, allow stale answers for a while, or see whether X-Cache-TTL or the "
        "backend's Age makes it short.",
    ),
    Why.NO_CACHE: Reason(
        Kind.MISS,
        "The caller asked for a new answer, or the backend forbids to use this one unasked.",
        "If the backend says so out of habit, see cache.obey_upstream_cache_control.",
    ),
    Why.MAX_AGE: Reason(Kind.MISS, "What is stored is older than the caller wants."),
    Why.MIN_FRESH: Reason(
        Kind.MISS, "What is stored does not stay fresh for as long as the caller wants."
    ),
    Why.VARY_MISS: Reason(
        Kind.MISS,
        "What is stored answers other request headers, or callers with another credential.",
    ),
    Why.FORM: Reason(
        Kind.MISS,
        "What is stored, or on its way, has a form that cannot become the one asked for.",
        'Stream with "stream_options": {"include_usage": true}, or see '
        "cache.json_without_usage.",
    ),
    Why.HIT_FOR_MISS: Reason(
        Kind.MISS,
        "The last answer to this question was for one caller only, so for a while nobody waits "
        "for another's.",
        "See why it was not for all in the detail; flights.hit_for_miss_s is for how long.",
    ),
    Why.JOINED: Reason(
        Kind.MISS, "The answer of a call that another request had caused, heard from its start."
    ),
    Why.GIVE_UP: Reason(
        Kind.NOT_STORED,
        "The answer that was waited for was for one caller only, so this one asked for itself.",
    ),
    Why.WAIT_TIMEOUT: Reason(
        Kind.NOT_STORED,
        "No answer came to those who waited, so this caller asked for itself.",
        "flights.wait_timeout_s says how long they wait.",
    ),
    Why.CROWDED: Reason(
        Kind.NOT_STORED,
        "Too many calls are under way, or too many hear this one, so this caller asked for "
        "itself.",
        "Raise flights.max_flights or flights.max_followers, or find out who asks so much.",
    ),
    # bypasses
    Why.ROUTE: Reason(
        Kind.BYPASS,
        "Not a method and path that are cached.",
        "GET and HEAD can be: http_resource.enabled. A RAG service of your own: rag.",
    ),
    Why.METHOD: Reason(Kind.BYPASS, "An OPTIONS request for the proxy itself."),
    Why.UPGRADE: Reason(Kind.BYPASS, "A request to switch protocols, such as a WebSocket."),
    Why.DISABLED: Reason(
        Kind.BYPASS, "The cache is switched off, everywhere or by a rule.",
        "See cache.enabled and cache.rules.",
    ),
    Why.TOO_LARGE: Reason(
        Kind.BYPASS,
        "The body of the request, or the answer, is longer than what is cached.",
        "Raise cache.max_request_bytes, or for answers cache.max_entry_bytes.",
    ),
    Why.UNKEYABLE: Reason(
        Kind.BYPASS,
        "The body may mean different things to different readers, or is compressed.",
        "Send plain JSON: no member twice or in two cases, no integer beyond 2^53, valid UTF-8.",
    ),
    Why.NOT_UNDERSTOOD: Reason(
        Kind.BYPASS,
        "The body is not what is asked or answered at this path, or is not called JSON.",
        "Send Content-Type: application/json; curl -d says otherwise unless told.",
    ),
    Why.NO_STORE: Reason(
        Kind.BYPASS,
        "The caller wants to stay out of the cache, or the backend forbids storing and is obeyed.",
        "A wish that makes no sense counts as this one, too: see what the caller asked for.",
    ),
    Why.STATEFUL: Reason(
        Kind.BYPASS,
        "The request leaves something at the backend, or builds on what is kept there.",
        "If the backend does not care, name the field in cache.inert_fields, or in a rag "
        "route's inert.",
    ),
    Why.HOSTED_TOOLS: Reason(
        Kind.BYPASS,
        "The backend may run tools of its own for it, such as a web search or an MCP server.",
    ),
    Why.VERSION: Reason(
        Kind.BYPASS,
        "The version of the knowledge base counts, and was never read.",
        "The log says why it cannot be read.",
    ),
    Why.TEMPERATURE: Reason(
        Kind.BYPASS,
        "Its temperature is above cache.max_temperature, or not given.",
        "Raise cache.max_temperature, or have the caller send one.",
    ),
    Why.TIME_SENSITIVE: Reason(
        Kind.BYPASS,
        "It asks about now, and such questions are set to be passed on.",
        "cache.time_sensitive says what becomes of them, and which words tell them.",
    ),
    Why.INDIVISIBLE: Reason(
        Kind.BYPASS,
        "It has several inputs that could not be answered one by one.",
        "See docs/embeddings.md for when that is so.",
    ),
    # not stored, or not shared
    Why.STATUS: Reason(
        Kind.NOT_STORED,
        "Its status is not 200, and it is no error that would come again.",
        "cache.negative names the errors that are kept for a moment.",
    ),
    Why.MEDIA_TYPE: Reason(Kind.NOT_STORED, "The answer is neither JSON nor an event stream."),
    Why.ENCODED: Reason(
        Kind.NOT_STORED,
        "The answer is compressed, although that was not asked for.",
        "Have the backend obey Accept-Encoding: identity.",
    ),
    Why.PRIVATE: Reason(
        Kind.NOT_STORED, "The backend says that the answer is for one caller only."
    ),
    Why.SET_COOKIE: Reason(
        Kind.NOT_STORED,
        "The answer sets a cookie that may be personal.",
        "If it is a load balancer's, name it in cache.inert_cookies.",
    ),
    Why.VARY: Reason(
        Kind.NOT_STORED,
        "The answer depends on a header that is no part of the question.",
        "Name that header in cache.keyed_headers.",
    ),
    Why.INCOMPLETE: Reason(
        Kind.NOT_STORED,
        "Something is missing from the answer: a finish reason, a choice, the end of its stream.",
    ),
    Why.TRUNCATED: Reason(
        Kind.NOT_STORED,
        "The answer was cut short by a token limit or a content filter.",
        "cache.store_truncated keeps such answers.",
    ),
    Why.EMPTY: Reason(
        Kind.NOT_STORED,
        "The answer says nothing.",
        "cache.negative.empty keeps such answers for a moment.",
    ),
    Why.ERROR_IN_BODY: Reason(Kind.NOT_STORED, "The answer is an error under the status 200."),
    Why.TOOL_CALLS: Reason(
        Kind.NOT_STORED, "The answer calls tools, and such answers are set not to be kept.",
        "See cache.store_tool_calls.",
    ),
    Why.SUPERSEDED: Reason(
        Kind.NOT_STORED,
        "A purge or a newer answer came first, or no tier took this one.",
    ),
    Why.UNCACHEABLE: Reason(
        Kind.NOT_STORED,
        "It is not for the cache, and no better word is known; of a resource: it asks for a part, "
        "for a check, or for another method.",
    ),
    Why.TAGS: Reason(
        Kind.NOT_STORED,
        "It has tags that cannot all be kept, so it could not be purged by them.",
        "At most 64 tags of 256 printable characters; a rag route must tell its sources.",
    ),
    Why.NEGATIVE: Reason(
        Kind.HIT,
        "An error or an empty answer that would come again, kept for a moment.",
        "Once its cause is gone, Cache-Control: no-cache brings a new answer.",
    ),
    Why.FIRST_SIGHTING: Reason(
        Kind.NOT_STORED,
        "Only what is asked twice within a while is stored, and this was the first time.",
        "See cache.admission.",
    ),
    # errors of our own
    Why.ONLY_IF_CACHED: Reason(
        Kind.ERROR, "Nothing is stored, and the caller wanted nothing else."
    ),
    Why.UPSTREAM_ERROR: Reason(
        Kind.ERROR,
        "The backend could not be reached, did not answer in time, or broke off.",
        "The message and Proxy-Status say which; see the backend.",
    ),
    Why.OVERLOAD: Reason(
        Kind.ERROR, "As many calls are under way as may be, and no place came free in time.",
        "Retry-After says when to ask again; see overload.max_calls, and what the backends bear.",
    ),
    Why.SHARE: Reason(
        Kind.ERROR, "The caller has as many calls under way or waiting as it may while others ask.",
        "Retry-After says when to ask again; see overload.scope_share.",
    ),
    Why.BAD_REQUEST: Reason(
        Kind.ERROR,
        "No backend is configured for this path, or the request is malformed.",
        "See upstreams.",
    ),
    Why.LOOP: Reason(
        Kind.ERROR,
        "The request has been through this proxy before.",
        "Is the backend's address the proxy's own? Proxies in a row need different names: "
        "pseudonym.",
    ),
    Why.DRAINING: Reason(
        Kind.ERROR,
        "The proxy was told to stop, and the time for what was under way was over.",
        "Ask again. To give it more time, see downstream.drain_s.",
    ),
    Why.INTERNAL: Reason(Kind.ERROR, "A bug of the proxy.", "The log says where it happened."),
    Why.CLIENT_GONE: Reason(Kind.ERROR, "The client hung up before anything was decided."),
    Why.WORKER_LOST: Reason(
        Kind.ERROR,
        "The worker that had it died.",
        "GET /workers tells of restarts, the log how the worker ended.",
    ),
}  # fmt: skip

_DOUBTS: Final[Mapping[Doubt, Reason]] = {
    Doubt.UNWANTED: Reason(
        Kind.DOUBT, "The caller wants no answer to another question, or a rule wants none.",
        "See X-Cache-Semantic, and `semantic` in cache.rules.",
    ),
    Doubt.NO_QUESTION: Reason(
        Kind.DOUBT, "The last message is not a user's, or not one text alone."
    ),
    Doubt.CODE: Reason(Kind.DOUBT, "It is about code, where every sign counts."),
    Doubt.VOLATILE: Reason(Kind.DOUBT, "It is about now.", "See semantic.volatile."),
    Doubt.ANAPHORA: Reason(Kind.DOUBT, "It means nothing without what was said before."),
    Doubt.TOO_SHORT: Reason(Kind.DOUBT, "It has fewer than three words that say something."),
    Doubt.TOO_LONG: Reason(Kind.DOUBT, "It is so long that it is about more than one thing."),
    Doubt.ODD: Reason(Kind.DOUBT, "Too much of it is no words."),
    Doubt.NO_EMBEDDER: Reason(Kind.DOUBT, "The embedder was stopped."),
    Doubt.LOADING: Reason(
        Kind.DOUBT, "The model is being loaded, or its service was not found yet.", "See the log."
    ),
    Doubt.SELF_TEST: Reason(
        Kind.DOUBT, "The model cannot tell meanings apart in this script.",
        "Choose a model for this language.",
    ),
    Doubt.COVERAGE: Reason(
        Kind.DOUBT, "The model does not know too many of its tokens.",
        "Choose a model for this language, or see semantic.embedder.max_unknown.",
    ),
    Doubt.LATE: Reason(
        Kind.DOUBT, "The model, or the search, took too long.", "See semantic.embedder.timeout_s."
    ),
    Doubt.EMBEDDER: Reason(
        Kind.DOUBT, "The model failed, or gave no usable vector.", "See the log."
    ),
    Doubt.INDEX: Reason(
        Kind.DOUBT, "The index failed, or took too long.",
        "See the log, and semantic.index.timeout_s.",
    ),
    Doubt.NOBODY: Reason(Kind.DOUBT, "No question that was asked before is near."),
    Doubt.THRESHOLD: Reason(
        Kind.DOUBT, "A question is near, but not near enough.",
        "The threshold follows the measured errors: see GET /semantic, and try another with POST "
        "/semantic/neighbours.",
    ),
    Doubt.FLOOR: Reason(
        Kind.DOUBT, "A question is near, but its answer was wrong for one about as near before."
    ),
    Doubt.LENGTH: Reason(Kind.DOUBT, "A question is near, but much longer or shorter.", _VETOES),
    Doubt.DISAGREEMENT: Reason(
        Kind.DOUBT, "Several questions are as near, and have different answers."
    ),
    Doubt.STALE: Reason(
        Kind.DOUBT, "What is near is gone, expired, or not in the form asked for."
    ),
    Doubt.VETO_SCRIPT: Reason(
        Kind.DOUBT, "A question is near, but written in another script.", _VETOES
    ),
    Doubt.VETO_NUMBERS: Reason(Kind.DOUBT, "A question is near, but has other numbers.", _VETOES),
    Doubt.VETO_UNITS: Reason(Kind.DOUBT, "A question is near, but has other units.", _VETOES),
    Doubt.VETO_DATES: Reason(
        Kind.DOUBT, "A question is near, but is about another day, month or year.", _VETOES
    ),
    Doubt.VETO_LANGUAGE: Reason(
        Kind.DOUBT, "A question is near, but asks for another language.", _VETOES
    ),
    Doubt.VETO_NEGATION: Reason(
        Kind.DOUBT, "A question is near, but one of the two says not.", _VETOES
    ),
    Doubt.VETO_ANTONYMS: Reason(
        Kind.DOUBT, "A question is near, but says the opposite.", _VETOES
    ),
    Doubt.VETO_IDENTIFIERS: Reason(
        Kind.DOUBT, "A question is near, but has other identifiers, versions or error codes.",
        _VETOES,
    ),
    Doubt.VETO_QUOTES: Reason(
        Kind.DOUBT, "A question is near, but quotes something else.", _VETOES
    ),
    Doubt.VETO_ENTITIES: Reason(
        Kind.DOUBT, "A question is near, but is about somebody or something else.", _VETOES
    ),
    Doubt.VETO_QUESTION_WORD: Reason(
        Kind.DOUBT, "A question is near, but asks who, when or where rather than how, or the like.",
        _VETOES,
    ),
    Doubt.VETO_ORDER: Reason(
        Kind.DOUBT, "A question is near, but has the same words the other way round.", _VETOES
    ),
    Doubt.VETO_WORDS: Reason(
        Kind.DOUBT, "A question is near, but has other words of one of your own groups.",
        "See semantic.vetoes.words.",
    ),
    Doubt.BUDGET: Reason(
        Kind.DOUBT,
        "Too many answers found by meaning were wrong, so none is served.",
        "Look at what is asked; see GET /semantic.",
    ),
}  # fmt: skip

REASONS: Final[Mapping[str, Reason]] = MappingProxyType(
    {word.value: reason for word, reason in (*_WHYS.items(), *_DOUBTS.items())}
)
"""Every reason by its word; no word stands for two."""
