"""What a model's tokeniser makes of a text: the tokens, and how much of it the model knows.

A tokeniser of whole words and their pieces says of a character it has never seen: unknown. All
such characters are one to the model, so two questions that differ in them alone are the same to it.
One that falls back to bytes calls nothing unknown, which says nothing of what the model has learnt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from proxy.semantic.base import EmbedderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# So many characters to a token are found in no language; a longer text is not looked at.
_LONGEST_TOKEN: Final = 32


class Coverage:
    """How much of a text a model reads and knows.

    Args:
        document: the tokeniser, as in ``tokenizer.json``. What it says of cutting and padding does
            not count.
        most: how many tokens the model reads of a text, its own marks at the ends among them.

    Raises:
        EmbedderError: there is no such tokeniser.
    """

    def __init__(self, document: str, most: int) -> None:
        self._tokenizer = tokenizer(document)
        self._most = most
        self._room = most - self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._unknown = _unknown_id(document, self._tokenizer)

    def unknown(self, text: str) -> float | None:
        """The share of unknown tokens, from 0 to 1, or None if the tokeniser calls none unknown.

        1 for a text of which the model reads only a beginning: the vector says nothing of how it
        ends.
        """
        if self._unknown is None:
            return None
        if len(text) > _LONGEST_TOKEN * self._most:
            return 1.0
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if len(ids) > self._room:
            return 1.0
        return ids.count(self._unknown) / len(ids) if ids else 0.0


def tokenizer(document: str, *, most: int | None = None) -> Tokenizer:
    """The tokeniser of a ``tokenizer.json``: pads nothing, cuts texts after ``most`` tokens.

    Raises:
        EmbedderError: it is none.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - an extra's

    try:
        made = Tokenizer.from_str(document)
    except Exception as error:  # the library raises bare ones
        raise EmbedderError(f"the tokeniser cannot be read: {error}") from error
    made.no_padding()
    made.no_truncation()
    if most is not None:
        made.enable_truncation(max_length=most)
    return made


def _unknown_id(document: str, made: Tokenizer) -> int | None:
    """The token that stands for what is unknown, if there is one that is ever used."""
    model = json.loads(document).get("model", {})
    if model.get("byte_fallback"):
        return None
    if isinstance(model.get("unk_id"), int):  # Unigram
        return int(model["unk_id"])
    name = model.get("unk_token")  # WordPiece, BPE, WordLevel
    return made.token_to_id(name) if isinstance(name, str) else None
