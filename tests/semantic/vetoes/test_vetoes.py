"""Each veto on pairs on which it has to speak, and on pairs on which it must not."""

# ruff: noqa: RUF001 - questions as people write them, with their own punctuation

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.semantic.vetoes.antonyms import antonyms
from proxy.semantic.vetoes.asking import question_word
from proxy.semantic.vetoes.codes import identifiers, quotes
from proxy.semantic.vetoes.dates import dates
from proxy.semantic.vetoes.entities import entities
from proxy.semantic.vetoes.gist import Gist, gist_of
from proxy.semantic.vetoes.languages import language
from proxy.semantic.vetoes.negation import negation
from proxy.semantic.vetoes.numbers import numbers, units
from proxy.semantic.vetoes.order import order
from proxy.semantic.vetoes.sizes import length, script
from proxy.semantic.words.reading import read

SPEAKS: dict[Callable[[Gist, Gist], bool], list[tuple[str, str]]] = {
    script: [
        ("What is machine learning?", "什么是机器学习"),
        ("What is machine learning?", "Что такое машинное обучение?"),
    ],
    length: [
        ("What is Docker?", "What is Docker? " + "and tell me all about it " * 5),
        ("什么是机器学习", "什么是机器学习" + "请详细说明每一个步骤" * 5),
    ],
    numbers: [
        ("What is section 12 about?", "What is section 21 about?"),
        ("Give me five tips", "Give me six tips"),
        ("What is 15% of 240?", "What is 15 of 240?"),
        ("What is 15% of 240?", "What is 16% of 240?"),
        ("Is 120/80 normal?", "Is 140/90 normal?"),
        ("What is the second largest lake?", "What is the largest lake?"),
        ("What is 3 times 3?", "What is 3?"),
        ("I was charged twice", "I was charged"),
        ("I was charged more than once", "I was charged"),
        ("逾期一天会怎样", "逾期三十天会怎样"),
        ("满100元包邮吗", "满200元包邮吗"),
    ],
    units: [
        ("Can I take 500 mg?", "Can I take 500 g?"),
        ("How far is 5 km?", "How far is 5 miles?"),
        ("Set it to 30 seconds", "Set it to 30 minutes"),
        ("How many grams are in 2 cups?", "How many ounces are in 2 cups?"),
        ("Convert $20 to yen", "Convert €20 to yen"),
        ("What is 30 degrees Celsius in Fahrenheit?", "What is 30 degrees Fahrenheit in Celsius?"),
        ("Convert 5 km to miles", "Convert 5 miles to km"),
        ("5公里等于多少米", "5英里等于多少米"),
        ("超时设为10秒", "超时设为10分钟"),
    ],
    dates: [
        ("What were sales in Q1?", "What were sales in Q3?"),
        ("Are you open on Monday?", "Are you open on Tuesday?"),
        ("Are you open on weekdays?", "Are you open on weekends?"),
        ("Rain in May", "Rain in June"),
        ("What was last year's revenue?", "What is this year's revenue?"),
        ("Music of the 1980s", "Music of the 1990s"),
        ("Is the flight at 8 am?", "Is the flight at 8 pm?"),
        ("Sales in the first quarter", "Sales in the third quarter"),
        ("Is it busy at Christmas?", "Is it busy at Easter?"),
        ("Is it busy at Christmas?", "Is it busy?"),
        ("周一有哪些会议", "周五有哪些会议"),
        ("上个月的销售额", "这个月的销售额"),
        ("春节放假安排", "国庆放假安排"),
    ],
    language: [
        ("How do you say hello in Arabic?", "How do you say hello in Hebrew?"),
        ("Summarize it in French", "Summarize it"),
        ("Translate it from English to French", "Translate it from English to German"),
        ("谢谢用法语怎么说", "谢谢用德语怎么说"),
        ("用英文介绍长城", "用日文介绍长城"),
    ],
    negation: [
        ("Which foods are safe?", "Which foods are not safe?"),
        ("Can I return it with a receipt?", "Can I return it without a receipt?"),
        ("Why can I log in?", "Why can't I log in?"),
        ("Should I always restart?", "Should I never restart?"),
        ("How do I verify my identity?", "I am having trouble verifying my identity"),
        ("I did not say that nobody came", "I did not say that somebody came"),
        ("会员可以退款吗", "会员为什么不能退款"),
        ("哪些水果可以吃", "哪些水果不可以吃"),
        ("订单已经发货", "订单还没发货"),
    ],
    antonyms: [
        ("How do I enable it?", "How do I disable it?"),
        ("What is the cheapest flight?", "What is the most expensive flight?"),
        ("Show the first row", "Show the last row"),
        ("How do I lock my phone?", "How do I unlock my phone?"),
        ("Is it legal?", "Is it illegal?"),
        ("Increasing the font size", "How to decrease the font size?"),
        ("Who is her mother?", "Who is her daughter?"),
        ("Write a poem about autumn", "Write a short story about autumn"),
        ("怎么调大字体", "怎么调小字体"),
        ("怎么绑定手机号", "怎么解绑手机号"),
        ("远程办公的优点", "远程办公的缺点"),
        ("怎么打开通知", "怎么关闭通知"),
    ],
    identifiers: [
        ("Release notes for v2.3.1", "Release notes for v2.3.2"),
        ("Fix error 0x80070005", "Fix error 0x80070057"),
        ("Explain E1234", "Explain E1243"),
        ("What does my_func(x) do?", "What does my_fund(x) do?"),
        ("How do I fix TypeError?", "How do I fix ValueError?"),
        ("What is == in C?", "What is = in C?"),
        (r"What does \d+ match?", r"What does \w+ match?"),
        ("What is C++?", "What is C#?"),
        ("Open /etc/hosts", "Open /etc/passwd"),
        ("What does --force do?", "What does --quiet do?"),
        ("Mail bob@example.com", "Mail rob@example.com"),
        ("What is 3 + 4?", "What is 3 * 4?"),
        ("配置项max_size是什么", "配置项min_size是什么"),
    ],
    quotes: [
        ('Translate "thank you"', 'Translate "you are welcome"'),
        ("Translate “thank you”", "Translate ‘good bye’"),
        ("What does `ls` do?", "What does `cd` do?"),
        ("“花呗”是什么", "“借呗”是什么"),
        ("《红楼梦》的作者", "《西游记》的作者"),
    ],
    question_word: [
        ("Who discovered penicillin?", "How was penicillin discovered?"),
        ("Where can I renew it?", "When can I renew it?"),
        ("How do I apply for it?", "Can I apply for it?"),
        ("How much does it cost?", "How long does it take?"),
        ("Why was it founded?", "Who founded it?"),
        ("How often does it run?", "Why does it run?"),
        ("谁发明了电话", "电话是怎么发明的"),
        ("什么时候还款", "为什么还款失败"),
        ("退款需要几天", "退款需要多少钱"),
    ],
    order: [
        ("How do I move from iPhone to Android?", "How do I move from Android to iPhone?"),
        ("Is a dog smarter than a cat?", "Is a cat smarter than a dog?"),
        ("Did Germany invade Poland?", "Did Poland invade Germany?"),
        ("Can my employer fire me?", "Can I fire my employer?"),
        ("Merge main into my branch", "Merge my branch into main"),
        ("Transfer money from my account", "Transfer money into my account"),
        ("Who did Alice call?", "Who called Alice?"),
        ("Does the CEO report to the board?", "Does the board report to the CEO?"),
        ("人民币怎么换成美元", "美元怎么换成人民币"),
        ("从北京到上海的票价", "从上海到北京的时刻"),
        ("我给他转账了怎么撤回", "他给我转账了怎么退回"),
        ("猫比狗聪明吗", "狗比猫聪明吗"),
    ],
    entities: [
        ("What is the capital of Australia?", "What is the capital of Austria?"),
        ("what is the capital of australia", "what is the capital of austria"),
        ("What does the CFO do?", "What does the CTO do?"),
        ("The population of Paris, France", "The population of Paris, Texas"),
        ("What is the salary of a nurse?", "What is the salary of a nurse in California?"),
        ("What are the symptoms of diabetes?", "What are the symptoms of diabetes in dogs?"),
        ("How many calories are in an apple?", "How many calories are in a banana?"),
        ("What is machine learning?", "What is supervised machine learning?"),
        ("The AI of today", "The UK of today"),
        ("怎么修改登录密码", "怎么修改支付密码"),
        ("上海有哪些好玩的地方", "海口有哪些好玩的地方"),
        ("护士的工资是多少", "护士在深圳的工资是多少"),
        ("如何用Java写一个单例", "如何用Go写一个单例"),
    ],
}  # fmt: skip

SILENT: dict[Callable[[Gist, Gist], bool], list[tuple[str, str]]] = {
    script: [
        ("怎么安装Python", "怎么安装"),
        ("What is Docker?", "Explain Docker"),
    ],
    length: [
        ("Explain OAuth", "Hello! Would you mind explaining OAuth to me, please?"),
        ("怎么退货", "你好，请问怎么退货？谢谢"),
    ],
    numbers: [
        ("Give me five tips", "Give me 5 tips"),
        ("What is 1,000 times 25?", "What is 25 times 1000?"),
        ("满１００元包邮吗", "满100元包邮吗"),
        ("列出三个建议", "列出3个建议"),
        ("How do I use it once I have it?", "How do I use it when I have it?"),
        ("Wait a second", "Wait"),
        ("The 2nd largest lake", "The second largest lake"),
    ],
    units: [
        ("Run 5 km", "Run 5 kilometres"),
        ("It costs $20", "It costs 20 dollars"),
        ("How many days does it take?", "How long does it take?"),
        ("Set it to 30 s", "Set it to 30 seconds"),
        ("一共5公里", "一共5千米"),
    ],
    dates: [
        ("Sales in Q1", "Q1 sales"),
        ("May I march on?", "I may march on"),
        ("Open on Sundays?", "Open on Sunday?"),
        ("Sales of the previous year", "Sales of last year"),
        ("星期一开会吗", "周一开会吗"),
        ("身份证丢了", "我身份证丢了"),
    ],
    language: [
        ("Translate it to French", "How do I say it in French?"),
        ("用英语怎么说", "英文怎么说"),
    ],
    negation: [
        ("Isn't Pluto a planet?", "Is Pluto a planet?"),
        ("Don't you ship to Peru?", "Do you ship to Peru?"),
        ("It works, doesn't it?", "It works"),
        ("Why can't I log in?", "Why am I unable to log in?"),
        ("Why did my payment fail?", "Why didn't my payment go through?"),
        ("I don't know where my PIN is", "Where is my PIN?"),
        ("I cannot find my PIN", "Where is my PIN?"),
        ("My card isn't here, the parcel has not come", "The parcel has not come"),
        ("It is not only big but red", "It is big and red"),
        ("为什么登录不了", "为什么无法登录"),
        ("能不能开发票", "可以开发票吗"),
        ("有什么区别", "有什么不同"),
        ("无线网络怎么连", "网络怎么连"),
        ("订单异常", "订单没成功"),
    ],
    antonyms: [
        ("The exchange rate is not correct", "The exchange rate is incorrect"),
        ("Is it not approved?", "Is it rejected?"),
        ("Buying and selling a house", "Selling and buying a house"),
        ("How do I open it?", "How do I get it open?"),
        ("开机慢", "开机很慢"),
    ],
    identifiers: [
        ("Release notes for v2.3.1", "2.3.1 release notes"),
        ("What is COVID-19?", "what is covid 19"),
        ("Can I take 500mg?", "Can I take 500 mg?"),
        ("Is my iPhone slow?", "Is my phone slow?"),
        ("Help!! It broke!!", "Help, it broke"),
        ("It broke.Please help", "It broke. Please help"),
        ("What is my_func(x)?", "Explain my_func(x)"),
        ("What does e.g. mean?", "What does it mean?"),
    ],
    quotes: [
        ('What does "e.g." mean?', "What does e.g. mean?"),
        ("What does ‘AWOL’ mean?", "what does awol mean"),
        ("It's Bob's and it's fine", "It is the one of Bob and fine"),
        ("《红楼梦》的作者", "红楼梦的作者"),
    ],
    question_word: [
        ("How do I renew it?", "What is the way to renew it?"),
        ("Where can I see my bills?", "How do I find my bills?"),
        ("Can you tell me where it is?", "Where is it?"),
        ("How soon does it come?", "When does it come?"),
        ("What causes headaches?", "Why do people get headaches?"),
        ("My card isn't working", "Why isn't my card working?"),
        ("Is there a way to export it?", "Can I export it?"),
        ("How many days are in a year?", "What is the number of days in a year?"),
        ("It failed when I tried", "Where did it fail?"),
        ("怎么退款", "如何退款"),
        ("快递多久能到", "什么时候能到"),
    ],
    order: [
        ("In Python, how do I sort a list?", "How do I sort a list in Python?"),
        ("flights from Boston to Miami", "from Boston to Miami flights"),
        ("What is Docker used for?", "What do people use Docker for?"),
        ("TCP and UDP", "UDP and TCP"),
        ("I want a refund if it is late", "If it is late I want a refund"),
        ("Which currencies do you accept?", "Which currencies are accepted?"),
        ("给老婆打电话", "打电话给老婆"),
        ("我想退款，订单还没发货", "订单还没发货，我想退款"),
        ("为什么天空是蓝色的", "天空为什么是蓝色的"),
        ("人工智能是什么", "什么是人工智能"),
    ],
    entities: [
        ("What is AI?", "What is artificial intelligence?"),
        ("What is the GDP?", "What is the gross domestic product?"),
        ("The population of the USA", "The population of the United States"),
        ("Where do I see my invoices?", "Where do I find my invoices?"),
        ("HOW DO I RESET MY ROUTER?", "How do I reset my router?"),
        ("What Is The Best Way To Cook Rice", "what is the best way to cook rice"),
        ("Organising my files", "How do I organize files?"),
        ("Please list the planets for me", "List the planets"),
        ("How do I get a new card?", "How do I get a card?"),
        ("Explain photosynthesis", "Can you explain photosynthesis to me?"),
        ("怎么修改登录密码", "登录密码怎么改"),
        ("什么是机器学习", "请解释一下机器学习"),
    ],
}  # fmt: skip


def pairs(
    table: dict[Callable[[Gist, Gist], bool], list[tuple[str, str]]],
) -> list[tuple[Callable[[Gist, Gist], bool], str, str]]:
    return [(veto, a, b) for veto, examples in table.items() for a, b in examples]


def named(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("veto", "a", "b"), pairs(SPEAKS), ids=named)
def test_a_veto_speaks_in_either_direction(
    veto: Callable[[Gist, Gist], bool], a: str, b: str
) -> None:
    one, other = gist_of(read(a)), gist_of(read(b))
    assert veto(one, other)
    assert veto(other, one)


@pytest.mark.parametrize(("veto", "a", "b"), pairs(SILENT), ids=named)
def test_a_veto_is_silent_in_either_direction(
    veto: Callable[[Gist, Gist], bool], a: str, b: str
) -> None:
    one, other = gist_of(read(a)), gist_of(read(b))
    assert not veto(one, other)
    assert not veto(other, one)
