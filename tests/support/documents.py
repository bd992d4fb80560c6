"""JSON documents, what equal ones have in common, and the many ways to write one."""

from __future__ import annotations

import json
import random
import unicodedata
from typing import Literal

from hypothesis import strategies as st

MOST = 2**53 - 1  # in size; integers beyond it are not the same to all readers

# Letters with marks, composed and not, in both cases; look-alikes by case; what must be escaped;
# what may be; what composes across an escape; what is beyond the first plane.
LETTERS = [
    *'aAbnk0/:,{}[]"\\\x00\x08\t\n\x1f\x7f \xe9\xc9\xf1\xdf\u0301\u0303\u0327\u1100\u1161\u017f',
    *"\u212a\u212b\u2028\ufeff\uffff\U0001f600\U0001d15e",
]
FORMS: list[Literal["NFC", "NFD"]] = ["NFC", "NFD"]
texts = st.text(st.sampled_from(LETTERS), max_size=6) | st.text(max_size=12)
integers = st.integers(-MOST, MOST) | st.sampled_from([0, MOST, -MOST, 10**15])
doubles = st.floats(allow_nan=False, allow_infinity=False)


def _alike(name: str) -> str:
    """Equal for names that some reader may take for one."""

    def decomposed(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    return decomposed(decomposed(name).casefold())


def objects(members: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    names = st.text(st.sampled_from(LETTERS), max_size=6)
    pairs = st.tuples(names, members)
    return st.lists(pairs, max_size=5, unique_by=lambda pair: _alike(pair[0])).map(dict)


def _documents(max_leaves: int) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | integers | doubles | texts,
        lambda inner: st.lists(inner, max_size=5) | objects(inner),
        max_leaves=max_leaves,
    )


documents = _documents(15)
small_documents = _documents(4)
chances = st.randoms(use_true_random=False)


def spell(value: object, chance: random.Random) -> str:
    """One of the many ways to write ``value``."""
    if isinstance(value, dict):
        members = [f"{spell(n, chance)}{gap(chance)}:{spell(v, chance)}" for n, v in value.items()]
        chance.shuffle(members)
        text = "{" + ",".join(members) + "}"
    elif isinstance(value, list):
        text = "[" + ",".join(spell(item, chance) for item in value) + "]"
    elif isinstance(value, str):
        form = chance.choice(FORMS)
        text = '"' + "".join(letter(c, chance) for c in unicodedata.normalize(form, value)) + '"'
    elif isinstance(value, float):
        text = chance.choice([repr(value), f"{value:.17g}", f"{value:.16E}"])
        text += "" if set(text) & set(".eE") else ".0"
    else:
        text = json.dumps(value)
    return gap(chance) + text + gap(chance)


def gap(chance: random.Random) -> str:
    return chance.choice(["", "", "", " ", "\n", "\t\r\n  "])


def letter(c: str, chance: random.Random) -> str:
    ways = [json.dumps(c)[1:-1], json.dumps(c, ensure_ascii=False)[1:-1]]
    units = c.encode("utf-16-be")
    pairs = [units[i : i + 2].hex() for i in range(0, len(units), 2)]
    ways += ["".join(f"\\u{pair}" for pair in pairs), "".join(f"\\u{p.upper()}" for p in pairs)]
    if c == "/":
        ways.append("\\/")
    return chance.choice(ways)


def picture(value: object) -> object:
    """What equal documents have in common: no order of members, but every type and sign."""
    if isinstance(value, dict):
        return "{", sorted((picture(name), picture(v)) for name, v in value.items())
    if isinstance(value, list):
        return "[", [picture(item) for item in value]
    if isinstance(value, str):
        return '"', unicodedata.normalize("NFC", value)
    return type(value).__name__, repr(value)
