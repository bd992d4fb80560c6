"""What may be said in several ways in English and asks the same: courtesy, contractions, spelling.

Each rule takes and gives a line of tokens with single spaces between them, clauses ended by a
comma.
A rule belongs here only if what it makes equal has the same answer: "how can I" and "how do I",
but neither "can I" nor "how do you", and no word is ever left out for being frequent.
"""

from __future__ import annotations

import re
from typing import Final

_IS: Final = (
    "what",
    "who",
    "where",
    "when",
    "why",
    "how",
    "that",
    "there",
    "it",
    "he",
    "she",
    "here",
)
_NOT: Final = (
    "is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "could", "should",
    "would", "must", "need",
)  # fmt: skip
_CONTRACTED: Final = {
    **{f"{word}'s": f"{word} is" for word in _IS},
    **{f"{word}n't": f"{word} not" for word in _NOT},
    **{f"{word}nt": f"{word} not" for word in _NOT if word not in {"were", "need", "must"}},
    "can't": "cannot", "cant": "cannot", "won't": "will not", "shan't": "shall not",
    "whats": "what is", "wheres": "where is", "hows": "how is", "whos": "who is",
    "thats": "that is", "theres": "there is", "what're": "what are", "i'm": "i am", "im": "i am",
    "i've": "i have", "ive": "i have", "i'll": "i will", "you're": "you are", "youre": "you are",
    "you've": "you have", "you'll": "you will", "we're": "we are", "we've": "we have",
    "we'll": "we will", "they're": "they are", "they've": "they have", "they'll": "they will",
    "it'll": "it will", "gonna": "going to", "wanna": "want to", "pls": "please", "plz": "please",
    "thx": "thanks",
}  # fmt: skip
_OUR: Final = (
    "behavi", "col", "fav", "flav", "harb", "hon", "hum", "lab", "neighb", "rum", "savi", "splend",
    "vap",
)  # fmt: skip
_OUR_ENDS: Final = ("", "s", "ed", "ing", "ful", "ite", "ites")
_ISE: Final = (
    "analy", "apolog", "author", "categor", "custom", "digit", "final", "general", "initial",
    "local", "maxim", "memor", "minim", "modern", "normal", "optim", "organ", "personal",
    "prior", "real", "recogn", "serial", "special", "stabil", "standard", "summar", "synchron",
    "util", "visual",
)  # fmt: skip
_AMERICAN: Final = {
    **{f"{a}our{e}": f"{a}or{e}" for a in _OUR for e in _OUR_ENDS},
    **{f"{a}ise{e}": f"{a}ize{e}" for a in _ISE if a != "analy" for e in ("", "s", "d", "r", "rs")},
    **{f"{a}ising": f"{a}izing" for a in _ISE if a != "analy"},
    "analyse": "analyze", "analyses": "analyzes", "analysed": "analyzed", "analysing": "analyzing",
    "centre": "center", "centres": "centers", "theatre": "theater", "litre": "liter",
    "litres": "liters", "metre": "meter", "metres": "meters", "kilometre": "kilometer",
    "kilometres": "kilometers", "fibre": "fiber", "cancelled": "canceled",
    "cancelling": "canceling", "travelled": "traveled", "travelling": "traveling",
    "traveller": "traveler", "travellers": "travelers", "labelled": "labeled",
    "modelling": "modeling", "catalogue": "catalog", "grey": "gray", "defence": "defense",
    "licence": "license", "jewellery": "jewelry", "enrolment": "enrollment", "fulfil": "fulfill",
    "aeroplane": "airplane", "aluminium": "aluminum", "cheque": "check", "cheques": "checks",
    "tyre": "tire", "tyres": "tires", "pyjamas": "pajamas", "programme": "program",
}  # fmt: skip
# Abbreviations that mean one thing, and words that are written apart or together.
_SAME: Final = {
    "US": "usa", "u.s": "usa", "u.s.a": "usa", "u.k": "uk", "postgres": "postgresql",
    "js": "javascript", "k8s": "kubernetes", "ai": "artificial intelligence", "tv": "television",
    "login": "log in", "logout": "log out", "signup": "sign up", "setup": "set up",
    "checkout": "check out", "backup": "back up", "til": "until", "thru": "through",
}  # fmt: skip
# A text about words is about these very words.
_MENTIONS: Final = re.compile(
    r" (?:acronym|abbreviation|called|characters?|letters?|meaning|means?|phrase"
    r"|plural|pronounced?|rhymes?|"
    r"say|sentence|short for|spell(?:ed|ing|ings)?|stands? for|synonyms?|term|versus"
    r"|vs|words?|written) "
)

_WH: Final = r"(?:what|who|whom|whose|where|when|why|how|which)"
_SUBJECT: Final = r"(?:i|we|you|they|he|she|it|one)"
_MODAL: Final = r"(?:can|could|should|would|will|must|may)"
_DOING: Final = {
    "describing": "describe", "explaining": "explain", "giving": "give", "helping": "help",
    "listing": "list", "recommending": "recommend", "showing": "show", "summarizing": "summarize",
    "telling": "tell", "writing": "write",
}  # fmt: skip
_ASKED: Final = (
    r"(?:tell me|explain|describe|show me|summarize|recommend|suggest|give me|help me|write|define|"
    r"teach me|walk me through|let me know)"
)
# Taken away from the beginning, each as often as it is there.
_OPENERS: Final = tuple(
    re.compile(rf"^ {opener}(?= )")
    for opener in (
        (
            r"(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day))"
            r"(?: (?:there|all|everyone|everybody|team|guys|folks|support))*"
            rf"(?: ,|(?= (?:{_WH}|i|can|could|please|is|are|do|does) ))"
        ),
        r"dear (?:sir or madam|sirs?|madam|all|team|support) ,",
        (
            r"i hope (?:you are (?:doing )?well|all is well|everything is (?:well|fine)"
            r"|this (?:email|message)? ?finds you well) ,"
        ),
        r"please(?: ,)?",
        r"kindly",
        (
            r"(?:excuse me|sorry(?: to bother you)?|okay|ok|so|well|quick question|i have"
            r" a (?:quick |simple )?question) ,"
        ),
        rf"so(?= {_WH} )",
        rf"(?:can|could|would|will) you(?: please| kindly)?(?= {_ASKED} )",
        r"(?:can|could|would|will) you please",
    )
)
# As those, but what follows is a question put indirectly.
_INDIRECT: Final = re.compile(
    r"^ (?:(?:i would like|i'd like|i want|i need|i wish|i would love) to"
    r" (?:know|find out|ask|understand)"
    r"|tell me|let me know|(?:do|does) (?:you|anyone|anybody|someone)(?: happen to)? know"
    r"|(?:can|could) (?:anyone|someone|anybody) tell me|explain(?: to me)?"
    rf"|i (?:am|was) (?:just )?(?:wondering|curious)(?: ,)?)(?= (?:{_WH}|if|whether) )"
)
_ENDS: Final = tuple(
    re.compile(end)
    for end in (
        (
            r" , (?:(?:many |kind )?thanks|thank you|cheers)(?: (?:a lot|so much|very"
            r" much|in advance|again|for your help|you))*(?: please)? $"
        ),
        r"(?: ,)? (?:thanks|thank you) in advance $",
        r"(?: ,)? please $",
        r" , (?:best |kind )?regards $",
    )
)
_FOR_ME: Final = re.compile(
    r"^( (?:list|show|write|give|explain|summarize|find|make|create|draw|describe)"
    r"(?: (?!(?:what|how|why|which|best|for|to) )\S+)+) (?:for|to) me $"
)

_PAIR: Final = r"(?:(?!and )\S+ ){1,4}and (?:(?!and )\S+ ){1,4}"
_FRAMES: Final = tuple(
    (re.compile(frame), put)
    for frame, put in (
        (r"^ how (?:to|can i|would i|does one|can one) ", " how do i "),
        (r"^ what (?:is the way|are the steps) to ", " how do i "),
        (r"^ (?:is it possible(?: for me)?|am i able) to ", " can i "),
        (r" can not ", " cannot "),
        (r" (i|we|you|they) (?:am|are) (?:not able|unable) to ", r" \1 cannot "),
        (r" (?:am|are) (i|we|you|they) (?:not able|unable) to ", r" cannot \1 "),
        (r" can (i|we|you|they|he|she|it) not ", r" cannot \1 "),
        (r"^ what is (?:the )?meaning of (.+) $", r" what does \1 mean "),
        (r"^ who is the author of ", " who wrote "),
        (r"^ who is the inventor of ", " who invented "),
        (r" capital city of ", " capital of "),
        (r"^ what are the differences between ", " what is the difference between "),
        (rf"^ how do ({_PAIR})differ $", r" what is the difference between \1"),
        (rf"^ how (?:are|is) ({_PAIR})different $", r" what is the difference between \1"),
        (r" united states of america ", " usa "),
        (r" united states ", " usa "),
        (r" united kingdom ", " uk "),
        (r" e mail(s?) ", r" email\1 "),
        (r" wi fi ", " wifi "),
        # The same question with what it is about in front.
        (rf"^ ((?:in|on) \S+(?: \S+){{0,2}}) , ({_WH} (?:(?! ,).)+) $", r" \2 \1 "),
    )
)  # fmt: skip
_INVERSIONS: Final = tuple(
    (re.compile(frame), put)
    for frame, put in (
        (r"^ how to ", " how do i "),
        (rf"^ ({_WH}(?: much| many| long| often)?) ({_SUBJECT}) ({_MODAL}|cannot) ", r" \1 \3 \2 "),
        (rf"^ (?:if|whether) ({_SUBJECT}) ({_MODAL}) ", r" \2 \1 "),
        ((
            r"^ (what|who|where|when|why|how) ((?:(?!is |are |was |were )\S+ ){1,8})(is"
            r"|are|was|were) $"), r" \1 \3 \2"),
    )
)  # fmt: skip


def mentions(line: str) -> bool:
    """Whether ``line`` is about words, so that these must stay what they are."""
    return _MENTIONS.search(line) is not None


def same_words(token: str) -> str:
    """``token`` as it is spelled here, whichever way it came; it may become two words."""
    token = _SAME.get(token) or _AMERICAN.get(token, token)
    if token.endswith(("isation", "isations")):
        return token.replace("isation", "ization")
    return token


def uncontracted(token: str) -> str:
    """``token``, or the words that it is short for."""
    return _CONTRACTED.get(token, token)


def asked(line: str) -> str:
    """``line`` without what is said out of courtesy, its question put the one way."""
    line = _opened(line)
    for end in _ENDS:
        line = end.sub(" ", line)
    line = _FOR_ME.sub(r"\1 ", line)
    for frame, put in _FRAMES:
        line = frame.sub(put, line)
    return line


def _opened(line: str) -> str:
    for opener in _OPENERS:
        line = opener.sub("", line)
    words = line.split(" ", 5)
    if line.startswith((" would you mind ", " do you mind ")) and words[4] in _DOING:
        line = f" {_DOING[words[4]]} {words[5]}"
    indirect = _INDIRECT.sub("", line)
    if indirect == line:
        return line
    for inversion, put in _INVERSIONS:
        indirect = inversion.sub(put, indirect)
    return indirect
