"""Whether a question is about now, so that its answer will soon be true no more.

It is known by the words that people use for it, in English and in Chinese, and by those that the
configuration adds. Missing one costs an answer that may be out of date, one too many only a shorter
life, so in doubt a question is about now. But what looks like code is no prose (``now()``,
``obj.today``, ``--latest``), and some names and compounds say nothing of time.

It is one regular expression in which nothing repeats without a bound, so the time it takes grows
with the text and with nothing else. Expressions given by users could not promise that: they give
words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Written without spaces between words: Kana, and Han with its extension A and its other forms.
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER: Final = rf"[^\W{_UNSPACED}]"
# Neither within a word nor at an end of one that is code.
_OPENS: Final = rf"(?<!{_LETTER})(?<![.$@`-])"
_CLOSES: Final = rf"(?!{_LETTER}|[(=`-]|\.{_LETTER})"

# Passed over where they are found, with what would count in them.
_NO_TIMES: Final = (
    "at the latest", "psychology today", "today show", "usa today", "weather channel",
)  # fmt: skip
_CHANGING: Final = (
    "affairs", "age", "ceo", "conditions", "date", "day", "events", "exchange rates?", "governor",
    "holder", "interest rates?", "king", "leader", "market", "mayor", "month", "news", "odds",
    "population", "president", "prices?", "prime minister", "queen", "ranking", "rates?", "record",
    "score", "season", "situation", "standings", "status", "temperature", "time", "traffic",
    "trends?", "version", "weather", "week", "year",
)  # fmt: skip
_TRADED: Final = (
    "bitcoin", "btc", "crude", "crypto", "diesel", "eth", "ethereum", "gas", "gold", "oil",
    "petrol", "share", "silver", "stock",
)  # fmt: skip
_MONEY: Final = "(?:btc|cny|dollars?|eth|eur|euros?|gbp|hkd|inr|jpy|pounds?|rmb|twd|usd|yen|yuan)"
_ENGLISH: Final = (
    # Days, and parts of them.
    "today", "tonight", "yesterday", "tomorrow",
    "(?:last|next|this) (?:morning|afternoon|evening|night|week|weekend|month|quarter|season|year)",
    "(?:last|next|this) (?:mon|tues|wednes|thurs|fri|satur|sun)day",
    "(?:coming|last|next|past) (?:few |[0-9]{1,3} )?(?:hour|day|week|month|year)s?",
    "(?:minute|hour|day|week)s? (?:ago|from now)",
    # Now.
    "right now", "just now", "now(?= ?[?])", "as of (?:now|right now|this)", "at present",
    "at (?:the|this) moment", "currently", "nowadays", "presently", "these days",
    f"current (?:{'|'.join(_CHANGING)})", "up to the minute",
    "live (?:results?|scores?|stream|updates?)",
    "real[ -]time (?:data|information|news|prices?|quotes?|results?|scores?|traffic|updates?)",
    # A moment ago.
    "just (?:announced|happened|released)", "lately", "latest", "most recent", "newest", "recently",
    "(?:any|breaking|recent|top) (?:headlines|news|updates?)", "the news", "trending",
    "what(?:'s| is) (?:going on|happening|new)",
    # The clock and the calendar.
    "what time (?:does|do|is|will)", "what(?:'s| is) the (?:date|score|time)", "what day is",
    "(?:what|which) (?:year|month|week) is", "when(?:'s| is) the next", "who(?:'s| is) winning",
    "how old (?:is|are)", "how (?:long|many (?:days|hours|months|weeks)) (?:since|till|until)",
    # What changes from hour to hour.
    "weather", "(?:is|will) it (?:be (?:cold|hot|sunny|warm)|raining|rain|snowing|snow)",
    "air quality", "box office", "flight status", "in stock", "market cap", "open now",
    "traffic (?:in|jams?|on|report)", "(?:share|stock) market", f"{_MONEY} (?:in|into|to) {_MONEY}",
    "(?:currency|exchange|inflation|interest|mortgage) rates?",
    f"(?:{'|'.join(_TRADED)}) (?:prices?|quotes?)", f"prices? of (?:{'|'.join(_TRADED)})",
    f"how much (?:are|is) (?:{'|'.join(_TRADED)})",
)  # fmt: skip

# Words are not told apart by spaces, so what belongs to another word is told by its neighbours:
# 出现在 is "appears in", 项目前端 a project's front end, 聪明天真 clever and naive.
_CHINESE: Final = (
    # Days, and parts of them.
    "今[儿兒夜天年早晚晨]", "今日(?![头頭][条條])", "昨[夜天日晚]", "(?<![之从以当從提當目])前天",
    "(?<![聪聰表証說證证说])明天(?![才真])", "明[年早晚]", "明日(?!方舟)", "(?<![过過])去年",
    "(?<![之以先最然])[后後]天(?![天性])", "[这這][几幾][周天日週]",
    "(?:本|[这這][个個]?|(?<![早晚身])[上下][个個]?)(?:[周週](?![期边邊長长])|星期|[礼禮]拜|月|[賽赛]?季)",
    "(?:[过過]去|未[來来])(?:一|[几幾]|[0-9]{1,3})[个個]?(?:小[时時]|[周天年日月週]|星期)",
    # Now.
    "(?<![体再出发呈实實展显浮涌湧現發表重顯體])[现現]在(?!分[詞词]|完成|[进進]行[时時])",
    "(?<![数条條科節节項題项题])目前(?!端)", "[现現]任",
    "[当當]前(?!元素|分支|[列类行頁页類]|文件|用[戶户]|目[录錄]|索引|路[径徑]|[線线进進]程|[變变]量|[对對]象)",
    "[当當]下(?![列单單拉載载雨面])", "此[刻时時]", "眼下", "如今", "截[止至]", "迄今",
    # A moment ago.
    "[刚剛][刚剛才]", "(?<![接附靠])近(?:日(?!本)|期|[來来])", "最近(?![公邻鄰])", "最新",
    # The clock and the calendar.
    "[几幾][点點](?=[ !,?、。上下了关出到半吗呢嗎开鐘钟開關]|$)",
    "[几幾][号號](?=[ !,?。了吗呢嗎]|$)", "[几幾]月[几幾]",
    "(?:[周週]|[礼禮]拜|星期)[几幾](?![个乎個回天次])",
    "[还還]有(?:多久|(?:[几幾]|多少)[个個分周天小日月週])",
    # What changes from hour to hour.
    "天[气氣]", "[气氣][温溫]", "下[雨雪][吗嗎]", "[会會]下[雨雪]", "空[气氣][質质]量", "[热熱]搜",
    "(?:(?<![其现現真确確])[实實]|(?<![当當立随隨])即)[时時](?![候战戰操系編编間间]|通[訊讯])",
    "股[价價市]", "[币幣油金銀银][价價](?!值)", "[现現][价價]", "[匯汇]率", "利率", "行情", "票房",
    "(?<![分占对對])比分(?![佈別别布析类配類])", "[賽赛]果", "(?<!今日)[头頭][条條]",
    "突[发發](?!奇想)", "路[况況]", "航班[动動][态態]", "有[貨货][吗嗎]", "市值",
    "新[闻聞](?![专学學專稿系])", "[兌兑](?:人民[币幣]|日元|[欧歐]元|美元|港[元币幣])",
)  # fmt: skip


class Timely:
    """Tells questions about now from others.

    Args:
        words: further words and phrases that mean now, none of them blank; case does not count. A
            ``*`` at an end of one stands for the rest of a longer word.
        built_in: whether the English and Chinese words here count too.
    """

    def __init__(self, words: Iterable[str] = (), *, built_in: bool = True) -> None:
        ways = [f"({_phrase(_folded(word))})" for word in words]
        if built_in:
            english = f"(?:{'|'.join(_NO_TIMES)})|({'|'.join(_ENGLISH)})"
            # A look at the letter first spares most places the rest: four times as fast.
            ways.append(f"(?=[a-z]){_OPENS}(?:{english}){_CLOSES}")
            ways.append(f"(?=[{_UNSPACED}])({'|'.join(_CHINESE)})")
        self._pattern = re.compile("|".join(ways)) if ways else None

    def asks(self, question: str) -> bool:
        """Whether ``question`` is about now."""
        if self._pattern is None:
            return False
        found = self._pattern.finditer(_folded(question))
        return any(match.lastindex is not None for match in found)  # no group: in _NO_TIMES


def _folded(text: str) -> str:
    """``text`` without what makes no difference: case, width, kinds of spaces and apostrophes."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return " ".join(plain.split())


def _phrase(folded: str) -> str:
    """The expression for one of the user's words."""
    middle = folded.strip("*")
    opens = "" if folded[0] == "*" or _is_unspaced(middle[0]) else _OPENS
    closes = "" if folded[-1] == "*" or _is_unspaced(middle[-1]) else _CLOSES
    return f"{opens}{re.escape(middle)}{closes}"


def _is_unspaced(character: str) -> bool:
    return re.match(f"[{_UNSPACED}]", character) is not None
