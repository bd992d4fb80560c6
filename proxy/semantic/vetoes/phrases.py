"""Words that say the same, and words that say nothing, as far as an answer goes.

What is called the same here is the same in any question that one would ask a machine; a payment and
a transfer are not. Forms that rules of spelling cannot lead back to their root are here too.
"""

from __future__ import annotations

from typing import Final


def _map(*groups: str, apart: str | None = None) -> dict[str, str]:
    """Each word of a group but its first, to the first."""
    ways = (group.split(apart) for group in groups)
    return {other.strip(): first.strip() for first, *others in ways for other in others}


def words_of(text: str) -> frozenset[str]:
    """The words in ``text``, parted by blanks."""
    return frozenset(text.split())


# Sought in folded text before it is cut into words; "~" stands for nothing.
ENGLISH: Final = {
    phrase: "" if instead == "~" else instead
    for phrase, instead in _map(
        "login/log in/sign in/log on/logon/signin/log into/sign into/logging in/signing in",
        "loggedin/logged in/signed in",
        "logout/log out/sign out/log off/logoff/signout",
        "register/sign up/signup",
        "configure/set up/setup",
        "refund/money back",
        "email/e-mail/mail address",
        "topup/top up/top-up",
        "topups/top ups/top-ups",
        "toppedup/topped up/topped-up",
        "toppingup/topping up/topping-up",
        "arrive/get here/gets here",
        "why/how come/what is the reason/what's the reason/what causes/what caused",
        "howlong/how long/how soon/what time/how quickly",
        "howmany/how many/how much/the number of/number of",
        "usa/united states of america/united states/the us/u.s.a./u.s.",
        "age/how old is/how old are/how old was/how old do/how old must/how old should",
        "uk/united kingdom/u.k./great britain",
        "eu/european union",
        "ai/artificial intelligence",
        "ml/machine learning",
        "javascript/js",
        "typescript/ts",
        "postgresql/postgres",
        "kubernetes/k8s",
        "golang/go lang",
        "twofactor/two-factor/two factor/2-factor/2 factor/2fa",
        "passcode/pass code",
        "atm/cash machine/cashpoint/cash point",
        "~/for example/right now/at the moment/in advance/as soon as possible/asap/by the way"
        "/one more time/at all/in order to/such as/do you know/can you tell me/could you tell me"
        "/i was wondering/let me know/i hope you're well/i hope you are well/best way/best place"
        "/a lot of/lots of/going on/most likely/what's up with/what is up with",
        apart="/",
    ).items()
}

# Of words with their endings off; and irregular forms with theirs on.
ONE: Final = _map(
    "get obtain receiv acquir got gotten getting",
    "chang updat modify alter edit",
    "see view find locat found saw seen look",
    "buy purchas bought",
    "sell sold",
    "fix solv resolv repair",
    "delet remov eras",
    "contact reach",
    "start begin began begun",
    "creat make made making mak",
    "permit allow let",
    "need requir",
    "larg big huge",
    "small littl",
    "fast quick quickly rapid rapidly quickest fastest",
    "improv rais increas boost enhanc",
    "fee charg",
    "arriv came com deliver delivery ship",
    "phon telephon mobil cellphon",
    "photo pictur imag",
    "movi film",
    "child kid children",
    "person human",
    "error mistak",
    "wrong incorrect",
    "author wrote writt written writ writing",
    "automatic auto automatically automat",
    "maximum max",
    "minimum min",
    "info informat information",
    "document doc",
    "repo repository",
    "config configur configurat configuration",
    "stop cancel quit end",
    "sick ill",
    "doctor physician",
    "salary pay wag",
    "job occupation",
    "differ differenc difference different",
    "exampl sampl instanc",
    "cost pric",
    "send sent",
    "go went gone",
    "take took taken",
    "give gave given",
    "lose lost",
    "steal stole stolen stol",
    "break brok broken",
    "choos chose chosen chos pick select",
    "keep kept",
    "win won",
    "build built",
    "withdraw withdrawal withdrew withdrawn",
    "exchang convert",
    "account acct",
    "us use using used",
    "verify verification verificat",
    "transact transaction",
    "international internationally",
    "accept accepted",
    "safe safely",
    "weight weigh",
    "travel trip",
    "near nearby",
    "paint painter painting",
    "invent inventor invention",
    "discover discoverer discovery",
    "sing singer",
    "compos composer",
    "forget forgot forgotten",
    "born birth birthday",
    "extra additional",
    "resid live liv",
    "recogniz recognis recognise recognize",
    "disappear vanish",
    "top best",
    "car automobil",
    "tv television",
    "colour color",
    "favourit favorit",
    "organis organiz",
    "centr center",
    "theat theatr theater",
)

# Words without which an answer is the same. Prepositions are seen to by the order.
IDLE: Final = words_of(
    """
    a an the this that these those it its there here i me my mine myself you your yours yourself
    he him his she her hers they them their we us our ours one ones someone somebody anyone
    anybody everyone people be am is are was were been being isn't aren't wasn't weren't ain't
    do does did done doing don't doesn't didn't dont doesnt didnt have has had having haven't
    hasn't hadn't havent hasnt can could will would shall should may might must ought cannot
    can't couldn't won't wouldn't shouldn't cant wont couldnt wouldnt i'm i've i'd i'll you're
    you've you'll it's that's there's he's she's we're we've they're they've what's who's
    where's how's when's why's whats wheres hows let's not no never nor none to of in on at by
    for from with into onto within about as than via per through upon and or but if so because
    since while also too then though although whether what which who whom whose when where why
    how howlong howmany please thanks thank hi hello hey dear kindly greetings sorry excuse ok
    okay regards cheers just really actually simply basically exactly very quite still yet
    already even again currently now well maybe perhaps seems seem seemed seemingly appears
    appear appeared ever only any some all each every much many more other another something
    anything everything want wants wanted need needs needed like liked wish wishes wonder
    wondering try trying tried know knows tell tells told explain explains explaining explained
    describe show shows showing showed shown give gives list think thinks believe guess suppose
    supposed expect understand way ways possible possibly able unable steps step question help
    helps helping assist advise happen happens happened happening get gets got getting make
    makes made let lets mean means go goes going gone come thing things kind kinds type types
    sort-of reason sure mind explained best proper correctly properly good great issue issues
    problem problems trouble difficulty zero two three four five six seven eight nine ten eleven
    twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty
    fifty sixty seventy eighty ninety hundred thousand million billion dozen percent
    """
) | frozenset(
    "的了呢吧啊呀嘛吗么请您你我他她它们把被得地着过给个些这那就也还是在有和与及会能可零一二三四五六七八九十百千万亿两"
)

CHINESE: Final = {
    phrase: "" if instead == "~" else instead
    for phrase, instead in _map(
        "怎么 如何 怎样 怎么样 怎麼 怎麽 怎能 咋 如何才能 怎么才能",
        "什么 什麼 啥 甚么",
        "哪 哪里 哪裡 哪儿 哪个 哪些 哪座 哪位 哪家 何处",
        "改 修改 更改 更换 变更 换",
        "多久 多长时间 多少时间 几天 什么时候 何时",
        "能 可以 能够 能不能 可不可以 可否 能否 是否可以 是否能 是否",
        "没 没有 沒有 未",
        "无法 没法 不能 没办法 不了 不上 不到",
        "登录 登陆 登錄 登入",
        "账 帐 賬 帳",
        "查 查询 查看 查找",
        "提高 提升 增强",
        "解决 处理 怎么办 咋办 怎么解决 如何解决",
        "手机 手机号 手机号码 电话号码",
        "没收到 收不到 未收到",
        "~ 请问 請問 您好 你好 谢谢 謝謝 麻烦 告诉 一下 帮 帮忙 帮我 请帮我 应该 需要 想要 我想"
        " 想 要"
        " 解释 介绍 推荐 问题 情况 到底 究竟 现在 目前 里面 里 中 上 才 都 再 该 吗 嗎 关于 对于"
        " 对 用",
    ).items()
}

# Words that may be there or not, or stand for each other, where nothing else differs.
SOFT: Final = words_of(
    """
    account app card money new extra additional own differ current existing several multipl
    recent recently see up out chang work process provid availabl option amount tim tak check
    request start complet notic say attempt soon longer anymor first between order own idea awar
    anyway purpos follow assistanc support service info option featur use us permit
    """
)
