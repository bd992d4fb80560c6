"""The canonical question: what two questions have in common that are put in other words only.

Two questions of one canonical form are served each other's answers, and nothing else is asked. So
the rules are few, and each keeps the answer: case, width and punctuation; courtesy; contractions
and number words; ways to open the same question. The order of the words stays, but for a topic in
front ("In Python, how ..."). What has quotes, code or a text to work on in it is taken as it
stands, and a text about words keeps its words.

The rules are applied until they change nothing, so a canonical form is its own.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.model.meaning import Script
from proxy.semantic.words import chinese, english
from proxy.semantic.words.casing import settled
from proxy.semantic.words.lexer import BOUNDARY, is_unspaced, lex
from proxy.semantic.words.numerals import spelled
from proxy.semantic.words.reading import plain, script_of
from proxy.semantic.words.text import Text

_MOST: Final = 2000  # characters; what is longer is no matter of courtesy
_ROUNDS: Final = 8  # rules that go on changing a text have not understood it

# Quotes around one word, which may go.
_ONE_QUOTED: Final = re.compile(r"""(?<!\w)(["'])([\w.+#-]+)\1(?!\w)""")
_QUOTES: Final = re.compile(
    r"[\"`\u300a-\u300f\u3010\u3011{}<>]|[A-Za-z0-9_][(\[]|[0-9]!|!\w|~[\w/]|(?<!\w)'|'(?!\w)"
)
# Work on a text that follows: every sign of it counts.
_PAYLOAD: Final = re.compile(
    r"[\n\t|\\=]|:(?!\w)|(?<=[^\x00-\x7f]):|;|\b(?:translat|rewrit|rephras"
    r"|paraphras|proofread|punctuat|"
    r"correct th|grammar|summari[sz]e th|repl(?:y|ies) |respond to|complete th"
    r"|continue th|fix th|repeat )"
    r"|翻译|翻成|译成|译为|改写|改成|润色|续写|扩写|缩写|仿写|回复|纠正|改错|造句|接龙|怎么[念读]|拼音|读音|断句|标点|病句",
    re.IGNORECASE,
)
_TRAILING: Final = " \t\r\n.?!,;\u2026\u3002\u3001"


def canonical(text: Text) -> str:
    """The canonical form of a question; "" where nothing is left to ask.

    Upper case stands in it only where it means something.
    """
    form = text.raw
    for _ in range(_ROUNDS):
        before, form = form, _once(form)
        if form == before:
            return form
    return ""


def stands(plain_text: str) -> bool:
    """Whether a text is to be taken as it stands: for quotes, code or a text to work on in it."""
    bare = _ONE_QUOTED.sub(r"\2", plain_text)
    return bool(_PAYLOAD.search(plain_text.strip()) or _QUOTES.search(bare))


def _once(raw: str) -> str:
    """The rules, once."""
    asked = plain(raw).strip()
    if len(asked) > _MOST or stands(asked):
        return _as_it_stands(asked)
    bare = _ONE_QUOTED.sub(r"\2", asked)
    tokens = settled(lex(bare, boundaries=True))
    script = script_of(bare)
    if script is Script.LATIN:
        return _english(tokens)
    if script is Script.HAN or (script is Script.MIXED and _mostly_han(tokens)):
        return _chinese(tokens)
    return _joined(tokens, " ")


def _as_it_stands(asked: str) -> str:
    """All of it but the spaces, and the mark at the end."""
    bare = asked.rstrip(_TRAILING)
    if bare[-1:].isdecimal() and asked[len(bare) :].startswith("!"):
        bare += "!"  # a factorial
    kept = " ".join(bare.split())
    return kept if any(character.isalnum() for character in kept) else ""


def _english(tokens: list[str]) -> str:
    tokens = [english.uncontracted(token) for token in tokens]
    line = _line(tokens)
    if not english.mentions(line):
        tokens = [english.same_words(token) for token in spelled(line.split())]
        line = _line(tokens)
    line = english.asked(line)
    return _joined(line.split(), " ")


def _chinese(tokens: list[str]) -> str:
    if not chinese.mentions("".join(tokens)):
        tokens = spelled(tokens)
    return chinese.asked(_joined(tokens, BOUNDARY))


def _line(tokens: list[str]) -> str:
    line = " ".join(tokens).strip(f"{BOUNDARY} ")
    return f" {line} "


def _mostly_han(tokens: list[str]) -> bool:
    said = [token for token in tokens if token != BOUNDARY]
    return 2 * sum(map(is_unspaced, said)) > len(said)


def _joined(tokens: list[str], boundary: str) -> str:
    """``tokens`` with spaces between those that are written with spaces."""
    pieces: list[str] = []
    spaced = False  # whether the last one wants a space after it
    for token in tokens:
        if token == BOUNDARY:
            if pieces and boundary != " ":
                pieces.append(boundary)
            elif pieces and pieces[-1] in _ANSWERS:
                pieces.append(BOUNDARY)
                spaced = True
            if boundary != " ":
                spaced = False
            continue
        wants = not is_unspaced(token)
        if wants and spaced:
            pieces.append(" ")
        pieces.append(token)
        spaced = wants
    return "".join(pieces).strip(BOUNDARY)


_ANSWERS: Final = frozenset(
    {"no", "not", "yes", "never"}
)  # after which a comma changes the meaning
