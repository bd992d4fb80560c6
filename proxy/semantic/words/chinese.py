"""What may be said in several ways in Chinese and asks the same: courtesy, particles, synonyms.

Each rule takes and gives a line without spaces in it but between Latin words, clauses ended by a
comma. A rule belongs here only if what it makes equal has the same answer. Characters that stand in
other words too (请假, 你好像, 千万别) are only touched where their neighbours make sure.
"""

from __future__ import annotations

import re
from typing import Final

# A text about words is about these very words.
_MENTIONS: Final = re.compile(
    "怎么说|怎样说|如何说|怎么写|怎样写|如何写|怎么讲|翻译|[近反]义词|同义词|成语|词语|这个?词|个字|的字|字[是怎的]|"
    "谐音|押韵|意思|含义|[英日法德韩俄汉中]语|[英日法德韩俄中]文|say|mean|translate|spell|word"
)
_WH: Final = re.compile("什么|怎么|哪|谁|多少|几|多[久大长远高重深]|何")

_SYNONYMS: Final = tuple(
    (re.compile(said), put)
    for said, put in (
        ("甚么", "什么"),
        ("(?:啥|什么)时(?:候|间)|何时|几时", "什么时候"),
        ("为(?:何|啥)", "为什么"),
        ("啥", "什么"),
        ("您", "你"),
        ("咱们", "我们"),
        ("咋", "怎么"),
        (
            "怎么样(?=[\u4e00-\u9fff])(?![了的呢啊呀吗吧啦么才算])|怎样(?![了的呢啊呀吗吧啦,]|$)",
            "怎么",
        ),
        ("(?<![论管知])如何(?![了的呢啊呀吗吧啦是,]|$)", "怎么"),
        ("怎样|(?<![论管])如何(?=$|[呢啊呀,])", "怎么样"),
        ("怎么样(?=才能|才可以)", "怎么"),
        ("(?<!不)(?:应该|应当|需要|[该应要得])怎么(?!样|了|会|说)", "怎么"),
        ("怎么才(?:能够?|可以)", "怎么"),
        ("哪儿|什么地方|何处", "哪里"),
        ("在哪(?=$|[,])", "在哪里"),
        ("多长时间|多少时间", "多久"),
        ("(?:无法|没法子?|没办法)(?=[\u4e00-\u9fff])(?![了的])", "不能"),
        ("(?<!有)没有", "没"),
        ("登陆", "登录"),
        ("帐", "账"),
        ("其它", "其他"),
        ("手机号码", "手机号"),
        ("身份证号码", "身份证号"),
        ("(?:要|是|需要|得)?多少价?钱", "多少钱"),
        ("是多少", "多少"),
        ("都?有(?:哪|那)些", "有哪些"),
        ("都?有什么(?!时候|意思|用|事)", "有哪些"),
        ("(介绍|解释|说明|讲解|推荐|查询|修改|设置|描述|分析|总结)一下(?!子)", r"\1"),
        ("(?<![\u4e00-\u9fff])([我你])的(?=[\u4e00-\u9fff]{2})", r"\1"),
    )
)
_IMPERATIVES: Final = "帮给用写介解推荐告列说简详总生描述提举谈讲为对分把查画"
_BEFORE_QUESTION: Final = "请我怎如为想麻问能可有什哪谁"
_OPENERS: Final = tuple(
    re.compile(f"^(?:{opener}),?")
    for opener in (
        f"(?:你好|您好|hello|hi|哈喽|嗨)(?:啊|呀)?(?:,| |(?=[{_BEFORE_QUESTION}]))",
        "(?:亲爱的|亲们?|大家好|各位大神|各位|大神们?|大佬们?|老师|客服|早上好|下午好|晚上好|在吗|在么|急+|求助|求教),",
        "(?:我?想要?|我要|我)?(?:请问|请教|咨询|问)(?:一下|下)",
        "我?想问问?(?!题)|我?想请问|请问|我?想(?:知道|了解)(?:一下|下)?|我?想咨询",
        f"麻烦(?:[你您](?:们)?)?(?=[{_IMPERATIVES}告请再问,])|劳驾|请[你您](?={'|'.join(_IMPERATIVES)})",
        f"请(?=[{_IMPERATIVES}])|帮忙(?=[{_IMPERATIVES}])|帮我(?=[\u4e00-\u9fff]{{2}})",
        "给我(?=[讲说推介写列解来])",
    )
)
# Openers that put a question indirectly: what follows has to be one.
_INDIRECT: Final = re.compile(
    "^(?:你们?知道|有没有?人知道|有没有人能?告诉我|有谁知道|谁知道|有人知道|谁(?:能|可以|来)告诉我(?:一下)?"
    "|(?:能不能|能否|可不可以|可以|能)告诉我(?:一下)?|告诉我(?:一下)?),?"
)
_ENDS: Final = tuple(
    re.compile(f"(?:{end}),?$")
    for end in (
        ",(?:非常|十分|万分)?(?:谢谢|多谢|感谢)(?:[你您]们?|大家|各位|了|啦)*",
        "(?<=[吗呢么办样啊里谁少久些])(?:谢谢|多谢)(?:[你您]|了|啦)*",
        ",(?:拜托了?|急+|求解|求助|求教|麻烦了|麻烦[你您]了|辛苦了|请回答|请告知|求大神(?:解答|指点)?)",
        "(?<=.{4}),?(?:在线等|求解答|求告知|求指教|急急急)",
    )
)
_PARTICLES: Final = re.compile("(?:(?<![喇干])嘛|(?<![哈密])哈|[啊呀哦哟诶噢呐喔])+$")
_PROPOSED: Final = re.compile(f"^(?=[{_IMPERATIVES}])(.{{3,}})吧$")
_SUCCESSION: Final = re.compile("(?<=[^么不得为罢好除])了$")
_CAUSE: Final = re.compile(
    "^(.{3,}?)(?:是|到底是)?(?:怎么(?:一)?回事|(?:什么|哪些)原因(?:造成|引起|导致)?的?)$"
)
_WHY_AFTER: Final = re.compile("^([^,知说想问诉觉认懂白解猜记讲道]{1,6}?)为什么(?=..)")
_WHY_NOT: Final = re.compile(
    "^(为什么.{0,8}?)(登录|打开|开机|使用|下载|安装|连接|支付|付款|提现|充值|转账|注册|绑定|解绑|更新|上传|修改"
    "|取消|退款|删除|发送|接收|显示|播放|启动|关机|升级|上网|开通|领取)不了$"
)
_WHAT_IS: Final = re.compile("^什么(?:是|叫做?)([^,什么怎哪谁]{1,16})$")
_MEANING: Final = re.compile("(?:是|的意思)?(?:个)?(?:什么|啥)意思$|的意思是(?:什么|啥)$")
_SOLVE: Final = re.compile("(?<=.{4})(?:怎么解决|怎么办好|怎么办才好|如何是好)$")
_DONE_HOW: Final = re.compile("是(怎么.+)的$")
_YES_NO: Final = tuple(
    (re.compile(said), put)
    for said, put in (
        ("能不能够?|能否|可不可以|可否|是否(?:可以|能够?)", "能"),
        ("有没有", "有"),
        ("是不是|是否(?=[\u4e00-\u9fff])", "是"),
        ("([会要需好对行用支])不\\1", r"\1"),
        ("了没有?$", "了"),
    )
)
_MAY: Final = re.compile("^(我们?)?(?:可以|能够?)(?=.{2,}吗$)")
_ASKING: Final = re.compile("(?:吗|(?<![什怎多这那要])么)$")
_TO_JOIN: Final = re.compile("(?<![不没别否好是对行]),")


def mentions(line: str) -> bool:
    """Whether ``line`` is about words, so that these must stay what they are."""
    return _MENTIONS.search(line) is not None


def asked(line: str) -> str:
    """``line`` without what is said out of courtesy, its question put the one way."""
    if mentions(line):
        line = re.sub("^(?:请问),?", "", line)
        line = _PARTICLES.sub("", line)
        return _closed(_MEANING.sub("什么意思", line))
    line = _stripped(line)
    for said, put in _SYNONYMS:
        line = said.sub(put, line)
    line = _asked_whether(line)
    if _WH.search(line):
        line = _put_one_way(line)
    return _closed(line)


def _stripped(line: str) -> str:
    """``line`` without greetings, thanks and particles."""
    for opener in _OPENERS:
        line = opener.sub("", line, count=1)
    for end in _ENDS:
        line = end.sub("", line)
    line = _PROPOSED.sub(r"\1", _PARTICLES.sub("", line))
    indirect = _INDIRECT.sub("", line, count=1)
    if indirect != line and _WH.search(indirect):
        line = _ASKING.sub("", indirect)
    if _WH.search(line):
        line = re.sub("呢$", "", line)
    return line


def _asked_whether(line: str) -> str:
    """A question that is answered by yes or no, put with 吗."""
    if _WH.search(line):
        return line
    plain = line
    for said, put in _YES_NO:
        plain = said.sub(put, plain)
    if plain != line:
        plain = re.sub("呢$", "", plain)
    whether = _ASKING.sub("", plain)
    if whether == line:
        return line
    return _MAY.sub("能", f"{whether.rstrip(',')}吗")


def _put_one_way(line: str) -> str:
    """A question after who, what, why or how."""
    line = re.sub("(?<=有哪些)(.+)吗$", r"\1", line)
    line = _SOLVE.sub("怎么办", line)
    line = _DONE_HOW.sub(r"\1", line)
    if "为什么" not in line and (cause := _CAUSE.match(line)) and not _WH.search(cause[1]):
        line = f"为什么{cause[1]}"
    line = _WHY_AFTER.sub(lambda match: f"为什么{match[1]}", line, count=1)
    if line.startswith("为什么"):
        line = _SUCCESSION.sub("", line)
        line = _WHY_NOT.sub(r"\1不能\2", line)
    return _WHAT_IS.sub(r"\1是什么", line)


def _closed(line: str) -> str:
    """``line`` without the commas, but for those after a word that answers."""
    line = _TO_JOIN.sub(lambda match: _gap(match.string, match.start()), line.strip(","))
    return line.strip()


def _gap(line: str, at: int) -> str:
    """What to put for the comma at ``at``: a space, between words that are written with spaces."""
    around = line[at - 1 : at] + line[at + 1 : at + 2]
    return " " if all(character < "\u3000" for character in around) else ""
