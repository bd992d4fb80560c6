"""Vetoes questions of which another language is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from proxy.semantic.vetoes.gist import Gist, once

_LANGUAGES: Final = (
    "chinese mandarin putonghua 中文 汉语 普通话 华语", "cantonese 粤语 广东话",
    "english 英文 英语",
    "french français 法语 法文", "german deutsch 德语 德文",
    "spanish español castilian 西班牙语 西语 西班牙文",
    "portuguese português 葡萄牙语 葡语", "italian italiano 意大利语 意语", "russian 俄语 俄文",
    "japanese 日语 日文", "korean 韩语 韩文 朝鲜语", "arabic 阿拉伯语 阿语", "hebrew 希伯来语",
    "hindi 印地语",
    "urdu 乌尔都语", "bengali 孟加拉语", "turkish 土耳其语", "persian farsi 波斯语",
    "thai 泰语 泰文",
    "vietnamese 越南语 越语", "indonesian 印尼语", "malay 马来语", "filipino tagalog 菲律宾语",
    "dutch 荷兰语",
    "swedish 瑞典语", "norwegian 挪威语", "danish 丹麦语", "finnish 芬兰语", "polish 波兰语",
    "czech 捷克语",
    "slovak", "hungarian 匈牙利语", "romanian 罗马尼亚语", "bulgarian", "greek 希腊语",
    "latin 拉丁语 拉丁文",
    "ukrainian 乌克兰语", "serbian", "croatian", "slovenian", "lithuanian", "latvian", "estonian",
    "icelandic", "irish gaelic", "welsh", "catalan", "basque", "galician", "swahili", "zulu",
    "afrikaans",
    "amharic", "somali", "yoruba", "igbo", "hausa", "tamil", "telugu", "kannada", "malayalam",
    "marathi",
    "gujarati", "punjabi", "nepali", "sinhala", "burmese", "khmer", "lao", "mongolian",
    "tibetan 藏语",
    "kazakh", "uzbek", "georgian", "armenian", "azerbaijani", "esperanto", "sanskrit", "braille",
    "emoji",
    "american", "british",
    "simplified 简体", "traditional 繁体",
)  # fmt: skip


def language(a: Gist, b: Gist) -> bool:
    """Whether they name other languages, or just one of them names any."""
    return languages_of(a) != languages_of(b)


@once
def languages_of(gist: Gist) -> frozenset[str]:
    """The languages that the question names; a people of that name counts too."""
    found = {_NAMES[token] for token in gist.tokens if token in _NAMES}
    if gist.has_han:
        found.update(_NAMES[name] for name in _HAN_NAME.findall(gist.folded))
    return frozenset(found)


def _names() -> Mapping[str, str]:
    return MappingProxyType(
        {word: names[0] for names in map(str.split, _LANGUAGES) for word in names}
    )


_NAMES: Final = _names()
_HAN_NAME: Final = re.compile(
    "|".join(name for name in _NAMES if not name[0].isalpha() or name[0] > "\u3000")
)
