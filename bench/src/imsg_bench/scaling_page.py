"""The tables of a run in docs/scaling.md and in its Chinese twin."""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "scaling.md"

WORDS_ZH: Mapping[str, str] = {
    "median": "中位数",
    "beside it, in the same run": "同一次测量中的对照",
    "requests accepted by `make run`": "受理请求，`make run`",
    "requests accepted": "受理请求",
    "a bare ASGI app on the same servers": "同样服务器上的裸 ASGI 程序",
    "FastAPI and Celery on the same servers": "同样服务器上的 FastAPI 加 Celery",
    "single mails delivered": "送出单封邮件",
    "mails of a list delivered": "送出群发邮件",
    "a bare consumer": "最简单的消费程序",
    "single SMS, the provider answering in 50 ms": "单条短信，服务商 50 毫秒应答",
    "what 64 calls at once can reach": "64 个并发调用的极限",
    "recipients of SMS lists": "群发短信的收件人",
    "p95 of the slowest query, 1,000,000 messages": "1,000,000 条消息中，最慢的查询的 p95",
    "the same bare app": "同一个裸程序",
    "one mail on an idle system, from its POST to the mail server": "系统空闲时一封邮件从 POST 到邮件服务器",
    "publish, consume and SMTP alone": "仅发布、消费和 SMTP",
    "mails to a server 30 ms away, 16 connections": "发往 30 毫秒外的服务器的邮件，16 个连接",
    "plain aiosmtplib on as many": "同样多连接的 aiosmtplib",
    "what Redis holds for each message a second": "每秒一条消息在 Redis 里占用",
    "memory of `make run`, all of it": "`make run` 的全部内存",
    "messages a minute": "每分钟消息数",
    "cores": "核心",
    "Valkey, memory": "Valkey 的内存",
    "append-only file": "追加日志",
    "PostgreSQL, a day": "PostgreSQL，每天",
    "PostgreSQL, 90 days": "PostgreSQL，90 天",
}
"""What stands in a cell of the tables, alone or after a `×`, and its Chinese."""


def write_tables(tables: Mapping[str, str], page: Path = PAGE) -> None:
    """Write tables between their marks, in the page and in its twin. Raises ValueError where a mark is missing."""
    twin = page.with_suffix(".zh.md")
    english, chinese = page.read_text(), twin.read_text()
    for mark, table in tables.items():
        english = replace_section(english, mark, table)
        chinese = replace_section(chinese, mark, translate(table))
    page.write_text(english)
    twin.write_text(chinese)


def replace_section(page: str, mark: str, lines: str) -> str:
    """Return a page with the lines between its marks replaced. Raises ValueError where it has none."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    written, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{lines}\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{begin} … {end} must stand in it once")
    return written


def translate(table: str) -> str:
    """Return a table with its cells in Chinese; figures and names of services stay."""
    return re.sub(r"(?<=[|×] )[^|×]+(?= \|)", lambda match: WORDS_ZH.get(match[0], match[0]), table)
