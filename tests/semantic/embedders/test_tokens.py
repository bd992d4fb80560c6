from __future__ import annotations

import json

import pytest
from support.tiny_models import WORDS, tokenizer_json

from proxy.semantic.base import EmbedderError
from proxy.semantic.embedders.tokens import Coverage, tokenizer


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("how can i reset my password ?", 0.0),
        ("How CAN i", 0.0),
        ("reset my 密码", 1 / 3),
        ("怎么 修改", 1.0),
    ],
)
def test_the_share_of_unknown_tokens(text: str, share: float) -> None:
    assert Coverage(tokenizer_json(), 16).unknown(text) == pytest.approx(share)


def test_a_text_that_is_not_read_to_its_end_is_unknown() -> None:
    coverage = Coverage(tokenizer_json(cut_at=4), 8)
    assert coverage.unknown("my " * 6) == 0.0  # and [CLS] and [SEP]
    assert coverage.unknown("my " * 7) == 1.0
    assert coverage.unknown("x" * 1_000) == 1.0


def test_a_tokeniser_that_falls_back_to_bytes_cannot_tell() -> None:
    ids = {word: number for number, word in enumerate(WORDS)}
    model = {"type": "BPE", "vocab": ids, "merges": [], "unk_token": "[UNK]", "byte_fallback": True}
    assert Coverage(tokenizer_json(model=model), 16).unknown("怎么") is None


def test_a_tokeniser_without_an_unknown_token_cannot_tell() -> None:
    model = {"type": "BPE", "vocab": {word: n for n, word in enumerate(WORDS)}, "merges": []}
    assert Coverage(tokenizer_json(model=model), 16).unknown("怎么") is None


def test_a_unigram_tokeniser_names_its_unknown_token_by_number() -> None:
    vocab = [[word, -1.0] for word in WORDS]
    model = {"type": "Unigram", "vocab": vocab, "unk_id": 1, "byte_fallback": False}
    coverage = Coverage(tokenizer_json(model=model), 16)
    assert coverage.unknown("how") == 0.0
    assert coverage.unknown("怎么") == 1.0


def test_texts_are_cut_and_never_padded() -> None:
    made = tokenizer(tokenizer_json(), most=5)
    assert made.encode("how can").tokens == ["[CLS]", "how", "can", "[SEP]"]
    assert made.encode("how can i reset").tokens == ["[CLS]", "how", "can", "i", "[SEP]"]


@pytest.mark.parametrize("document", ["", "{}", json.dumps({"model": {"type": "?"}})])
def test_what_is_no_tokeniser_is_told(document: str) -> None:
    with pytest.raises(EmbedderError, match="the tokeniser cannot be read"):
        Coverage(document, 16)
