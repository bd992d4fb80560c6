"""Whether two questions are the same but for a slip of the finger.

Letter by letter, many words are near to others that mean something else, and there is no dictionary
here to tell which are words. So only slips count that hardly ever make another word: two
neighbours swapped, a consonant doubled or not, a vowel left out of the middle of a long word. The
few words that are made by one of these are listed. A letter in place of another is no slip: affect
and effect, import and impart. Nor is anything at an end of a word, where plurals and tenses are.

Han is never near but equal: characters that sound alike are other words.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import Final

from proxy.semantic.words import chinese, english
from proxy.semantic.words.canonical import stands
from proxy.semantic.words.casing import settled
from proxy.semantic.words.lexer import BOUNDARY, lex
from proxy.semantic.words.reading import plain
from proxy.semantic.words.text import Text

_LEAST: Final = 5  # letters of a word that may have a slip in it
_LEAST_DROPPED: Final = 6  # of one that has lost a vowel: coast and cost, planet and plant
_LEAST_TOKENS: Final = 3
_TOKENS_FOR_TWO: Final = 8  # in a question that may have two slips
_MOST_TOKENS: Final = 64  # beyond that a slip is no matter of words typed twice
_DIGEST_BYTES: Final = 16
_VOWELS: Final = frozenset("aeiou")
# Words that a slip makes of each other: both are meant.
_WORDS: Final = (
    "angel", "angels", "angle", "angles", "bacons", "ballot", "bared", "baring", "barked",
    "barking", "barred", "beacons", "beard", "bearing", "bellow", "below", "biter", "bitter",
    "blots", "board", "boarder", "boarders", "boards", "bolts", "bonded", "bonding", "border",
    "borders", "bounded", "bounding", "brain", "brains", "braked", "braking", "bread", "brian",
    "brians", "broad", "broads", "brunt", "burnt", "butter", "calvary", "cannon", "cannons",
    "canon", "canons", "carrier", "carte", "carter", "carve", "carved", "carving", "casual",
    "casually", "causal", "causally", "cavalry", "claps", "clasp", "clots", "coast", "coats",
    "collar", "colts", "coma", "comas", "comma", "commas", "complaint", "complaints", "compliant",
    "corps", "counties", "countries", "country", "county", "courses", "coursing", "crate",
    "crater", "crave", "craved", "craving", "crops", "curses", "cursing", "dairies", "dairy",
    "deprecate", "deprecated", "depreciate", "depreciated", "desert", "deserts", "dessert",
    "desserts", "diaries", "diary", "diets", "diner", "diners", "dinner", "dinners", "discreet",
    "discrete", "dollar", "edits", "faring", "farmed", "farmer", "farming", "fearing", "field",
    "fields", "fiend", "filed", "files", "filing", "filling", "fined", "finish", "finnish",
    "fired", "flies", "forth", "founded", "founder", "founders", "founding", "framed", "framer",
    "framing", "fried", "froth", "funded", "funder", "funders", "funding", "hammer", "hating",
    "havens", "heating", "heavens", "holly", "holy", "hoping", "hopping", "infarction",
    "infraction", "ladder", "later", "latter", "lightening", "lightning", "lions", "liter",
    "litter", "loins", "manner", "manor", "mantel", "mantle", "marian", "marina", "marital",
    "martial", "martian", "martians", "martin", "martins", "mater", "matter", "medal", "meddle",
    "minister", "ministers", "minster", "minsters", "minuet", "minute", "mission", "morning",
    "mornings", "mourning", "mournings", "mussel", "nobel", "noble", "otter", "painting",
    "paintings", "palates", "pallet", "panting", "patent", "patents", "patient", "patients",
    "pearson", "pepper", "percept", "perfect", "perform", "performed", "person", "plaint",
    "planets", "planing", "planning", "plants", "plates", "pliant", "poring", "pouring",
    "precept", "prefect", "preform", "preformed", "quiet", "quite", "rabbit", "ratio", "ration",
    "realities", "reality", "realties", "realty", "rogue", "rouge", "rubber", "sacred", "saint",
    "salts", "salve", "salves", "satin", "scared", "scarp", "scarred", "scrap", "signed",
    "signing", "silts", "silver", "singed", "singing", "skates", "slats", "slave", "slaves",
    "slits", "sliver", "sparing", "specialities", "speciality", "specialties", "specialty",
    "spilt", "split", "spots", "spring", "stain", "stakes", "staring", "starring", "statin",
    "statins", "station", "stations", "stops", "string", "summer", "super", "supper", "tally",
    "taping", "tapping", "tarps", "thorough", "through", "tiers", "tired", "tires", "trail",
    "trails", "traps", "trial", "trials", "tried", "tries", "tunnel", "unite", "united", "unites",
    "untie", "untied", "unties", "villas", "viola", "voila", "warps", "wavers", "weather",
    "weavers", "wraps",
)  # fmt: skip
_KNOWN: Final = frozenset(_WORDS)
# Before these a consonant doubled makes another word: hoping and hopping, later and latter.
_SUFFIXES: Final = ("ing", "ings", "ed", "er", "ers", "es", "est", "y")


def near(a: Text, b: Text) -> bool:
    """Whether ``a`` and ``b`` are equal but for slips: one, or two in a longer question.

    More is found when both are read from their canonical forms. It is symmetric.
    """
    if a.script is not b.script or len(a.tokens) != len(b.tokens):
        return False
    differing = [(x, y) for x, y in zip(a.tokens, b.tokens, strict=True) if x != y]
    if not differing:
        return _kept(a) == _kept(b) is not None
    if not _LEAST_TOKENS <= len(a.tokens) <= _MOST_TOKENS:
        return False
    if len(differing) > (2 if len(a.tokens) >= _TOKENS_FOR_TWO else 1):
        return False
    return all(_slip(x, y) for x, y in differing) and _kept(a) == _kept(b) is not None


def masks(text: Text) -> tuple[bytes, ...]:
    """16-byte digests, one for each word that may have a slip in it, of all that is around it.

    Two questions that are near by one slip share one.
    """
    tokens = text.tokens
    if not _LEAST_TOKENS <= len(tokens) <= _MOST_TOKENS:
        return ()
    found: list[bytes] = []
    before = blake2b(digest_size=_DIGEST_BYTES)
    for at, token in enumerate(tokens):
        if _may_slip(token):
            masked = before.copy()
            masked.update(b"\x00\x00" + "\x00".join(tokens[at + 1 :]).encode("utf-8", "replace"))
            found.append(masked.digest())
        before.update(token.encode("utf-8", "replace") + b"\x00")
    return tuple(found)


def _kept(text: Text) -> list[str] | None:
    """What must be equal though it is no token: case that means something, a comma after "no".

    None if the text is one to be taken as it stands.
    """
    raw = plain(text.raw)
    if stands(raw) or english.mentions(f" {' '.join(text.tokens)} ") or chinese.mentions(raw):
        return None
    tokens = settled(lex(raw, boundaries=True))
    kept = [token for token in tokens if token != token.casefold()]
    kept.extend(word for word, after in pairwise(tokens) if after == BOUNDARY and word in _ANSWERS)
    return kept


_ANSWERS: Final = frozenset(("no", "not", "yes", "never", *"不没别否好是对行"))


def _may_slip(token: str) -> bool:
    return len(token) >= _LEAST and token.isascii() and token.isalpha()


def _slip(x: str, y: str) -> bool:
    """Whether one of two words is the other with one slip."""
    if not (_may_slip(x) and _may_slip(y)) or x[0] != y[0] or (x in _KNOWN and y in _KNOWN):
        return False
    if len(x) == len(y):
        return _swapped(x, y)
    short, long = sorted((x, y), key=len)
    return len(long) == len(short) + 1 and _left_out(short, long)


def _swapped(x: str, y: str) -> bool:
    """Whether two neighbours have changed places."""
    at = next(at for at in range(len(x)) if x[at] != y[at])
    return (
        at + 1 < len(x) and (x[at], x[at + 1]) == (y[at + 1], y[at]) and x[at + 2 :] == y[at + 2 :]
    )


def _left_out(short: str, long: str) -> bool:
    """Whether ``short`` lacks a letter of the middle of ``long`` that is easily left out."""
    at = next((at for at in range(len(short)) if short[at] != long[at]), len(short))
    if at >= len(short) or short[at:] != long[at + 1 :]:
        return False
    letter = long[at]
    if letter == long[at - 1]:  # doubled
        return letter not in _VOWELS and long[at + 1 :] not in _SUFFIXES
    return letter in _VOWELS and len(short) >= _LEAST_DROPPED
