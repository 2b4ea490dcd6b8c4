"""The quotas of a user, as the page draws them."""

from typing import Any

from imsg_console.quota import read_quotas
from imsg_console.texts import Texts

ROW: dict[str, Any] = {
    "id": "per_day", "counts": "requests", "per": "day", "method": None, "scope": "user", "limit": 20, "used": 3,
    "left": 17, "opens_at": "2026-11-26T16:00:00.000Z",
}  # fmt: skip


def test_each_row_is_named_by_what_it_counts() -> None:
    rows = [ROW, {**ROW, "counts": "recipients"}, {**ROW, "counts": "segments", "per": "month", "method": "sms"}]
    rows.append({**ROW, "per": "minute", "scope": "all"})
    quotas = read_quotas({"quotas": rows}, "Asia/Shanghai")
    assert [quota.name(Texts("zh")) for quota in quotas] == [
        "今天", "今天 · 收件人数", "本月 · 短信 · 计费条数", "这一分钟 · 全系统共用",
    ]  # fmt: skip
    assert (quotas[0].left, f"{quotas[0].resets_at:%H:%M}") == (17, "00:00")
