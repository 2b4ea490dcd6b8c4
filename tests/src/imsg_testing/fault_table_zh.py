"""The Chinese page of fault tolerance, from the English one that a run has written."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROWS = Path(__file__).parent / "generated" / "faults.zh.json"

SECTIONS: Mapping[str, str] = {
    "Everything, one fault after the other": "所有故障，一个接一个",
    "A process of iMSG dies": "iMSG 的进程死亡",
    "RabbitMQ": "RabbitMQ",
    "Redis and PostgreSQL": "Redis 和 PostgreSQL",
    "Providers, a poison message, clocks": "服务商、毒消息、时钟",
    "A process is asked to end (SIGTERM)": "要求进程结束（SIGTERM）",
    "A cluster of three RabbitMQ nodes": "三个节点的 RabbitMQ 集群",
    "A large backlog": "大量积压",
    "Memory with a large backlog": "大量积压时的内存",
    "All of it in one process (`imsg up`)": "全部在一个进程里（`imsg up`）",
    "Callbacks": "回调",
}

_HEADS: Mapping[str, str] = {
    "| what was done | accepted | settled | lost | twice | refused | recovered |": (
        "| 做了什么 | 受理 | 有结果 | 丢失 | 重复 | 拒绝 | 恢复 |"
    ),
    "| what was done | measured |": "| 做了什么 | 测得 |",
}

_SUMMARY = re.compile(
    r"\*\*(?P<faults>[\d,]+) faults injected, (?P<accepted>[\d,]+) recipients accepted, (?P<lost>[\d,]+) lost, "
    r"(?P<twice>[\d,]+) messages sent twice,\n.*?\nRun on (?P<day>\S+), (?P<machine>.+?)\.\n(?P<versions>.+?)\.\n",
    re.DOTALL,
)

_ROW = re.compile(r"\| \*\*(?P<title>.+?)\.\*\* (?P<done>.+?)(?: \*(?P<explained>[^*]+)\*)? \| (?P<figures>.+) \|")

METHOD = """\
# 故障测试

**注入 {faults} 种故障，受理 {accepted} 个收件人，丢失 {lost} 个，重复发送 {twice} 条，
每一条都在所在的行里说明了原因；没有任何人工修复。**

全部测试通过后，`make test-fault` 用刚刚测得的数据写出本页。
承诺了什么、靠什么保证，见 [promises.zh.md](promises.zh.md)；出现故障时怎么办，见
[operations.zh.md](operations.zh.md)。

测于 {day}，{machine}。
{versions}。

## 方法

- 一切都是真实的：RabbitMQ、Valkey（代替 Redis）、PostgreSQL，以及各自作为独立进程的 iMSG 服务：
  除非某行另有说明，都是一个网关、一个 auth、一个 history 和两个邮件发送服务。
- 客户端不停发送单封邮件，多数测试同时还有几百人的群发。
  每个请求带 Idempotency-Key，并按接口的要求重试，直到返回 errorCode 0。
- 期间注入一种故障，然后解除。
  被杀死的会重新启动，与 Docker 或 Kubernetes 的做法相同；除此之外没有任何人工操作。
- 最后三方对账：客户端得到的应答、`/api/query` 的结果、计数的服务商收到的内容。
  有一个收件人丢失或没有最终状态，有人收到从未受理的消息，重复超出所说明的条数，
  或同一封邮件以另一个 Message-ID 重复，都算失败。
- 用回调通知客户端时，接收方也计数：有一个事件没有来，或同一个 id 来了两个事件，都算失败。

各列的含义：

- *受理*：返回 errorCode 0 的请求所含的收件人。
- *有结果*：其中在 `/api/query` 里有最终状态的；括号里是状态不为已发出的。
- *丢失*：已受理而没有最终状态，或我们认为已发出而服务商没有收到的。
- *重复*：服务商为同一收件人多收到的条数；斜体说明最多可能有多少，以及原因。
- *拒绝*：返回 10012 的次数，按原因列出；网关死亡时没有应答；客户端重试，直到受理。
- *恢复*：从故障解除到最后一个收件人有结果，包括其间发送的。

*恢复*的多数时间是有意的等待。
死掉的发送服务正在发送的，认领保持 30 秒，每 10 秒检查一次，经过第一个延迟后重试。
邮件服务器连续失败三次后暂停使用：消息留在原处，每 5 秒由一条试探，一旦成功全部发出。
此前已失败的按各自的延迟等待：10 秒、1 分钟或 5 分钟。
短信服务商连续失败五次后停用 30 秒；它可能已收下的，在 30 秒、2 分钟和 10 分钟后向它查询，
之后才会再发。
几个测试共用这台机器，所以这里的数据不反映速度。
"""


def translate(page: str) -> str:
    """Return the page in Chinese. Raises KeyError for a row or a section that has no Chinese."""
    summary = _SUMMARY.search(page)
    if summary is None:
        raise KeyError("the page's summary")
    rows: Mapping[str, Sequence[str]] = json.loads(_ROWS.read_text(encoding="utf-8"))
    _, *sections = page.split("\n## ")
    lines = [METHOD.format(**summary.groupdict()).rstrip("\n")]
    for section in sections[1:]:  # the first is the method
        heading, *rest = section.rstrip("\n").split("\n")
        lines += ["", f"## {SECTIONS[heading]}", *(_translate_line(line, rows) for line in rest)]
    return "\n".join([*lines, ""])


def _translate_line(line: str, rows: Mapping[str, Sequence[str]]) -> str:
    row = _ROW.fullmatch(line)
    if row is None:
        return _HEADS.get(line, line)
    title, done, explained, *measured = rows[row["title"]]
    why = f"*{_fill(explained, row['explained'])}*" if row["explained"] else ""
    figures = row["figures"].replace("no answer", "没有应答").replace(" s", " 秒")
    return f"| **{title}。** {_fill(done, row['done'])}{why} | {_fill(measured[0], figures) if measured else figures} |"


def _fill(words: str, english: str) -> str:
    """Return the words with the figures of the English text filled in: `{0}` is the first one."""
    return words.format(*re.findall(r"\d(?:[\d,.]*\d)?", english))
