"""The README's few lines of a run: `python -m imsg_bench excerpt bench/results/full.json` writes them into both."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imsg_bench.compare import read
from imsg_bench.figures import round_figure
from imsg_bench.result import Result, Series

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- make bench -->", "<!-- /make bench -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what is shown, and beside it how it stands to its floor, peer or limit."""

    key: str
    figure: str
    unit: Mapping[str, str]
    beside: str
    """The series of the ratio; empty where there is none. A name may go on after what is given of it."""
    words: Mapping[str, str]
    against: Mapping[str, str]


def _row(key: str, figure: str, units: tuple[str, str], beside: str, words: tuple[str, str, str, str]) -> Row:
    en, zh, against_en, against_zh = words
    return Row(
        key,
        figure,
        dict(zip(("en", "zh"), units, strict=True)),
        beside,
        {"en": en, "zh": zh},
        {"en": against_en, "zh": against_zh},
    )


_A_SECOND = ("/s", "/秒")

ROWS = (
    _row(
        "A",
        "iMSG, accepted",
        _A_SECOND,
        "iMSG ÷ floor",
        ("requests accepted", "受理请求", "a bare ASGI app on the same servers", "同样服务器上的裸 ASGI 程序"),
    ),
    _row(
        "A",
        "iMSG, accepted",
        _A_SECOND,
        "iMSG ÷ peer",
        ("", "", "FastAPI and Celery on the same servers", "同样服务器上 FastAPI 加 Celery 的组合"),
    ),
    _row(
        "C",
        "single mails",
        _A_SECOND,
        "single mails ÷ floor",
        ("single mails delivered", "单封邮件送出", "a bare consumer", "裸消费者"),
    ),
    _row(
        "C",
        "parts of 50",
        _A_SECOND,
        "parts of 50 ÷ floor",
        ("mails of a list delivered", "群发邮件送出", "a bare consumer", "裸消费者"),
    ),
    _row(
        "D",
        "accepted after",
        (" s", " 秒"),
        "",
        ("a list of 10,000 accepted after", "一万人的列表，多久受理", "", ""),
    ),
    _row(
        "E",
        "singles",
        _A_SECOND,
        "singles ÷ limit",
        (
            "single SMS, the provider answering in 50 ms",
            "单条短信，服务商 50 毫秒应答",
            "what 64 calls at once can reach",
            "64 路并发的上限",
        ),
    ),
    _row("E", "lists", _A_SECOND, "", ("recipients of SMS lists", "群发短信的收件人", "", "")),
    _row(
        "F",
        "query p95, slowest",
        (" ms", " 毫秒"),
        "",
        ("p95 of the slowest query, 1,000,000 messages", "最慢查询的 p95，一百万条消息", "", ""),
    ),
    _row(
        "G",
        "accepted",
        _A_SECOND,
        "accepted ÷ A's floor",
        ("requests accepted by `make run`", "`make run` 受理请求", "the same bare app", "同一裸程序"),
    ),
    _row(
        "L",
        "p50, iMSG",
        (" ms", " 毫秒"),
        "p50, iMSG ÷ floor",
        (
            "one mail on an idle system, from its POST to the mail server",
            "空闲时一封邮件从 POST 到邮件服务器",
            "publish, consume and SMTP alone",
            "只有发布、消费和 SMTP ",
        ),
    ),
    _row(
        "K",
        "1 KB, iMSG",
        _A_SECOND,
        "1 KB, iMSG ÷ floor",
        (
            "mails to a server 30 ms away, 16 connections",
            "发往 30 毫秒外的邮件服务器，16 个连接",
            "plain aiosmtplib on as many",
            "同样连接数的 aiosmtplib ",
        ),
    ),
    _row(
        "O",
        "Redis, for each message/s of steady load",
        (" MB", " MB"),
        "",
        (
            "what Redis holds for each message a second",
            "每秒一条消息的持续负载在 Redis 中占用",
            "",
            "",
        ),
    ),
    _row("I", "imsg up", (" MiB", " MiB"), "", ("memory of `make run`, all of it", "`make run` 的全部内存", "", "")),
)
HEADS = {"en": "| | median | beside it, in the same run |", "zh": "| | 中位数 | 同次运行的对照 |"}
RATIOS = {"en": "{ratio} × {against}", "zh": "{against}的 {ratio} 倍"}


def table(results: Sequence[Result], language: str) -> str:
    """Write the lines in English (`en`) or Chinese (`zh`). Raises KeyError where the run lacks a measurement."""
    by_key = {result.key: result for result in results}
    lines = [HEADS[language], "|---|---:|---|"]
    for row in ROWS:
        found = _find(by_key[row.key], row.figure)
        shown = f"{round_figure(found.middle)}{row.unit[language]}" if row.words[language] else ""
        ratio = ""
        if row.beside:
            beside = round_figure(_find(by_key[row.key], row.beside).middle)
            ratio = RATIOS[language].format(ratio=beside, against=row.against[language])
        lines.append(f"| {row.words[language]} | {shown} | {ratio} |")
    return "\n".join(lines)


def _find(result: Result, name: str) -> Series:
    return next((one for one in result.series if one.name == name or one.name.startswith(f"{name}:")), None) or (
        result.find(name)
    )


def put(page: str, lines: str, begin: str = BEGIN, end: str = END) -> str:
    """Put the lines between a page's marks. Raises ValueError where it has none."""
    written, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{lines}\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{begin} … {end} must stand in it once")
    return written


def main(arguments: Sequence[str]) -> int:
    """Write the excerpts; exit code 2 where the run's file can't be read or is not whole."""
    try:
        (path,) = arguments
        _, results = read(Path(path))
        for name, language in (("README.md", "en"), ("README.zh-CN.md", "zh")):
            page = ROOT / name
            page.write_text(put(page.read_text(), table(results, language)))
    except (ValueError, KeyError) as error:
        print(f"usage: python -m imsg_bench excerpt RESULTS.json, of a whole run ({error})", file=sys.stderr)
        return 2
    return 0
