"""Words of one kind that cannot stand for each other: antonyms, and sets of which one is meant.

A line is a set, a bar parts its members, a blank the words for one member. A word may be in many
sets. They are compared by their roots.
"""

from __future__ import annotations

from typing import Final

# -- English -----------------------------------------------------------------------------------

_ENGLISH: Final = """
enable activate | disable deactivate
on | off
open opening | close closing shut closed
start begin launch | stop end finish halt | pause
increase raise grow gain rise rising rose
    | decrease reduce lower drop cut decline shrink fall falling fell
buy purchase | sell | rent lease
more most | less least fewer fewest
before prior | after following since | during
above over | below under beneath
minimum min minimal | maximum max maximal
first initial earliest | last final latest
oldest elder | youngest newest
old older | new newer
young younger | old older
high higher highest top | low lower lowest bottom
big large bigger larger biggest largest | small little smaller smallest tiny
long longer longest | short shorter shortest
fast faster fastest quick | slow slower slowest
cheap cheaper cheapest inexpensive affordable | expensive costly pricey dear dearest
best better good | worst worse bad
easy easier easiest simple | hard harder hardest difficult
hot hotter hottest warm | cold colder coldest cool
heavy heavier heaviest | light lighter lightest
strong stronger strongest | weak weaker weakest
rich richer richest | poor poorer poorest
early earlier | late later
near nearest close closest | far farther furthest farthest
many | few
include | exclude
accept approve allow permit grant | reject deny refuse decline forbid prohibit ban
with | without
add insert | remove delete drop | replace
create make | delete remove destroy
install | uninstall | update upgrade reinstall
upgrade | downgrade
login signin | logout signout
lock | unlock
block | unblock
freeze | unfreeze
follow | unfollow
subscribe | unsubscribe
link | unlink
mute | unmute
pin | unpin
hide | show unhide display reveal
encrypt encode | decrypt decode
compress zip | decompress unzip extract
import | export
upload | download
push | pull | fetch
connect | disconnect
attach | detach
load | unload
send | receive
lend loan | borrow
give | take
deposit | withdraw withdrawal
credit | debit | prepaid
win | lose
pass | fail
succeed success successful | fail failure unsuccessful
arrive arrival | depart departure leave
enter entrance entry | exit leave
come | go
teach | learn
question | answer
ask | answer
attack | defend
build | demolish destroy
expand | collapse contract
ascend ascending | descending descend
up | down
left | right
north northern | south southern | east eastern | west western
northeast | northwest | southeast | southwest
inner inside internal indoor | outer outside external outdoor
input | output
source | destination target
inbound incoming | outbound outgoing
front | back rear
horizontal horizontally | vertical vertically
row | column
public | private | protected
local | remote
online | offline
internal | external
manual manually | automatic automatically
read | write
get | post | put | patch
client | server
host | guest
buyer customer purchaser | seller vendor merchant
lender | borrower
landlord | tenant
employer | employee
teacher | student pupil
doctor | patient | nurse
driver | passenger
sender | recipient receiver
parent | child kid
mother mom mum | father dad | daughter | son | sister | brother | wife | husband | aunt | uncle
    | niece | nephew | grandmother grandma | grandfather grandpa | cousin
king | queen | prince | princess
man men male boy | woman women female girl
actor | actress
bride | groom
husband | wife | boyfriend | girlfriend
adult | child kid | teenager | infant baby toddler
dog puppy | cat kitten | horse | cow | pig | bird | fish | rabbit | hamster | sheep | chicken
import | export
supply | demand
profit | loss
revenue income sales | expense cost spending | profit
asset | liability
gross | net
advantage pro benefit strength upside | disadvantage con drawback weakness downside risk
cause | effect symptom consequence | treatment cure | prevention
benefit | risk harm
positive | negative | neutral
plus | minus | times | divided
add addition | subtract subtraction | multiply multiplication | divide division
odd | even
true | false
safe | dangerous unsafe harmful
legal | illegal
healthy | unhealthy
correct right | wrong incorrect
possible | impossible
regular | irregular
mandatory required compulsory | optional
free | paid
full | empty
full | part partial half
single one-way | return round-trip | double
wet | dry
raw | cooked
fresh | frozen
sweet | sour | bitter | salty | spicy
hard | soft
thick | thin
wide | narrow
deep | shallow
smooth | rough
same | opposite
similarity | difference
ancient | modern
past | present | future
morning | afternoon | evening | night
day daytime | night nighttime
weekday | weekend
daily | weekly | monthly | quarterly | yearly annual annually | hourly
day | week | month | quarter | year | decade | century
sunrise | sunset
summer | winter | spring | autumn fall
red | blue | green | yellow | orange | purple | pink | black | white | brown | grey gray
gold | silver | bronze | platinum
basic | standard | premium | pro | enterprise | plus | starter | advanced
business | economy | first-class
beginner | intermediate | expert advanced
primary | secondary
major | minor
junior | senior
upper | lower
absolute | relative
static | dynamic
mutable | immutable
synchronous sync | asynchronous async
parallel | serial sequential
singular | plural
noun | verb | adjective | adverb
vowel | consonant
prefix | suffix
lowercase | uppercase
bold | italic | underline
poem | story novel | essay | song | haiku | limerick | letter | joke | speech | email | script
    | article | summary | report | sonnet | tweet
parse | format
integer int | string | float | boolean bool | double
list array | dictionary dict map hash | set | tuple | queue | stack
if | for | while | switch
frontend | backend
develop development | staging | production
android | ios | windows | linux | mac macos | ubuntu | debian
chrome | firefox | safari | edge
python | java | javascript | typescript | golang go | rust | ruby | php | kotlin | swift | c++ | c#
    | perl | scala
mysql | postgresql | oracle | sqlite | mongodb | redis | mariadb
inner | left | right | full | cross
merge | rebase
stem | leaf | root | flower
breakfast | lunch | dinner
coffee | tea | wine | beer | milk | juice
beef | pork | chicken | fish | lamb
earth | mars | venus | jupiter | saturn | mercury | neptune | uranus | pluto
sun | moon
continent | country | city | state | province
capital | population | area | currency | flag | language | president
height | weight | length | width | depth | speed | temperature | volume | age
visa | passport
billing | shipping
mobile cell | landline
phone | email
pc desktop | laptop | tablet
keyboard | mouse
acquit | convict
refund | exchange
approve | revoke
export | import
solid | liquid | gas
acid | alkaline base
proton | neutron | electron
bacteria | virus
war | peace
domestic | international
urban | rural
mean average | median | mode | sum total
inventor | discoverer
hire | fire
cause | prevent
bind | unbind
allow | block
freezing | boiling
melting | boiling
"""

# -- Chinese -------------------------------------------------------------------------------------

_CHINESE: Final = """
开启 打开 启用 开通 | 关闭 禁用 停用 关掉
开 | 关
增加 增大 提高 提升 上涨 上升 调高 | 减少 减小 降低 下降 下跌 调低
大 更大 | 小 更小
高 | 低 矮
长 | 短
多 | 少
快 | 慢
早 | 晚
新 | 旧
贵 | 便宜
冷 | 热
买 购买 | 卖 出售
买家 买方 | 卖家 卖方
甲方 | 乙方
房东 | 房客 租客
老师 教师 | 学生
医生 | 病人 患者 | 护士
父亲 爸爸 | 母亲 妈妈 | 儿子 | 女儿 | 哥哥 | 弟弟 | 姐姐 | 妹妹 | 爷爷 | 奶奶
丈夫 老公 | 妻子 老婆
男 | 女
孕妇 | 婴儿 | 老人 | 儿童 | 成人
存款 存钱 | 取款 取钱 提现 | 贷款 | 转账
充值 | 提现
收入 | 支出
进口 | 出口
导入 | 导出
上传 | 下载
安装 | 卸载 | 更新 升级
升级 | 降级
登录 | 退出 登出 注销 | 注册
注册 | 注销
绑定 | 解绑 解除绑定
锁定 | 解锁
加密 | 解密
压缩 | 解压
连接 | 断开
订阅 | 取消
关注 | 取关
申请 | 取消 撤销
同意 接受 批准 通过 | 拒绝 驳回
允许 | 禁止
支持 | 反对
添加 新增 | 删除 移除
创建 新建 | 删除
显示 | 隐藏
发送 | 接收 收到
优点 优势 好处 利 | 缺点 劣势 坏处 弊
成功 | 失败
超过 大于 多于 高于 以上 | 不足 小于 少于 低于 以下
最大 | 最小
最高 | 最低
最好 | 最差
最早 | 最晚
最新 | 最旧
最多 | 最少
之前 以前 前 | 之后 以后 后
内 | 外
上 | 下
左 | 右
东 | 南 | 西 | 北
升序 | 降序
正面 | 负面
阳性 | 阴性
原因 | 后果 症状 | 治疗
公开 | 私密
国内 | 国外 国际
线上 | 线下
手动 | 自动
免费 | 收费 付费
有线 | 无线
登录密码 | 支付密码
上午 | 下午 | 晚上 | 早上 | 中午
春 | 夏 | 秋 | 冬
红 | 黄 | 蓝 | 绿 | 黑 | 白 | 紫
早餐 | 午餐 | 晚餐
收货 | 发货 | 退货 | 换货
退款 | 付款 | 还款
退款 | 换货
开始 | 结束
提前 | 延迟 推迟
真 | 假
胖 | 瘦
增肥 增重 | 减肥 减重
合法 | 违法
"""


def _sets(text: str) -> list[list[list[str]]]:
    lines = text.replace("\n    |", " |").strip().splitlines()
    return [[member.split() for member in line.split("|")] for line in lines]


ENGLISH_SETS: Final = _sets(_ENGLISH)
CHINESE_SETS: Final = _sets(_CHINESE)
