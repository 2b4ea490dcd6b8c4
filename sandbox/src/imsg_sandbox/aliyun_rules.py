"""The rules of Aliyun's SMS service: numbers, variables, segments, and how often a number may get a message."""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from imsg_sandbox.approved_templates import ApprovedTemplate, has_link
from imsg_sandbox.sms_provider import BEIJING, Refusal

MAX_NUMBERS = 1_000
MAX_OUT_ID_BYTES = 255
MAX_CHARACTERS = 500
"""Characters of a message with its signature (help.aliyun.com/document_detail/44335.htm)."""
MAX_REMEMBERED = 10_000
"""Numbers whose messages are remembered: some 1 kB each."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MAINLAND = re.compile(r"(?:\+86|86|0086)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")
_NORTH_AMERICAN = re.compile(r"1[2-9][0-9]{2}[2-9][0-9]{6}")


def fill(template: ApprovedTemplate, params: str) -> str:
    """Return the text of a template, given `TemplateParam`. Raises Refusal."""
    values = _read_params(params)
    for name in template.variables:
        if name not in values:
            raise Refusal("isv.TEMPLATE_MISSING_PARAMETERS", f"模板变量{name}缺少对应参数值")
        value = values[name]
        if template.is_too_long(value):
            raise Refusal("isv.PARAM_LENGTH_LIMIT", f"参数{name}超过长度限制")
        if template.is_captcha and not re.fullmatch(r"[0-9A-Za-z]{4,6}", value):
            raise Refusal("isv.PARAM_LENGTH_LIMIT", f"验证码{name}须为4至6位数字或字母")
        if has_link(value):
            raise Refusal("isv.PARAM_NOT_SUPPORT_URL", "变量不支持传入URL")
        if "【" in value or "】" in value:
            raise Refusal("isv.TEMPLATE_PARAMS_ILLEGAL", "变量不能含有【】")
    return template.fill([values[name] for name in template.variables])


def _read_params(params: str) -> Mapping[str, str]:
    try:
        values = json.loads(params or "{}")
    except ValueError:
        raise Refusal("isv.INVALID_JSON_PARAM", "参数格式错误，不是合法的JSON") from None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise Refusal("isv.INVALID_JSON_PARAM", "TemplateParam须为值都是字符串的JSON对象")
    return values


def read_number(text: str) -> str:
    """Return a number as 11 digits of mainland China, else as country code and number. Raises Refusal."""
    if (match := _MAINLAND.fullmatch(text)) and not text.startswith(("001", "+1")):
        return match[1]
    if match := _ABROAD.fullmatch(text):
        digits = match[1]
        if not digits.startswith(("86", "1")) or _NORTH_AMERICAN.fullmatch(digits):
            return digits
    raise Refusal("isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误")


def count_segments(text: str, to: str) -> int:
    """Return how many segments a message costs."""
    if not _MAINLAND.fullmatch(to) and text.isascii():  # near enough to GSM 03.38
        return 1 if len(text) <= 160 else -(-len(text) // 153)  # noqa: PLR2004
    units = len(text.encode("utf-16-le")) // 2
    return 1 if units <= 70 else -(-units // 67)  # noqa: PLR2004


class BoundedLists(dict[K, list[V]]):
    """A list for each key, made when it is read; the oldest key is dropped when there are too many."""

    def __missing__(self, key: K) -> list[V]:
        """Make an empty list."""
        if len(self) >= MAX_REMEMBERED:
            del self[next(iter(self))]
        values: list[V] = []
        self[key] = values
        return values


@dataclass(slots=True)
class Frequencies:
    """How many messages each number got, by help.aliyun.com/document_detail/44335.htm; counted at submission."""

    daily: int
    """Notifications a day for one signature, template and number."""
    _captchas: BoundedLists[tuple[str, str], datetime] = field(default_factory=BoundedLists)
    _notices: BoundedLists[tuple[str, str, str], datetime] = field(default_factory=BoundedLists)

    def check(
        self, sign: str, template: str, approved: ApprovedTemplate, numbers: Sequence[str], now: datetime
    ) -> None:
        """Check that each number may get one more message. Raises Refusal for the whole call."""
        now = now.astimezone(BEIJING)
        for to in numbers:
            if not approved.is_captcha:
                recent = _recent(self._notices[sign, template, to], now)
                if len(recent) >= self.daily:
                    raise _limit("天级", self.daily)
                continue
            recent = _recent(self._captchas[sign, to], now)
            minute = sum(at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0) for at in recent)
            hour = sum(
                at.replace(minute=0, second=0, microsecond=0) == now.replace(minute=0, second=0, microsecond=0)
                for at in recent
            )
            for name, count, limit in (("分钟级", minute, 1), ("小时级", hour, 5), ("天级", len(recent), 10)):
                if count >= limit:
                    raise _limit(name, limit)

    def count(
        self, sign: str, template: str, approved: ApprovedTemplate, numbers: Sequence[str], now: datetime
    ) -> None:
        """Count one message for each number."""
        now = now.astimezone(BEIJING)
        for to in numbers:
            (self._captchas[sign, to] if approved.is_captcha else self._notices[sign, template, to]).append(now)


def _recent(times: list[datetime], now: datetime) -> list[datetime]:
    """Return the times; empty the list a day after its first."""
    if times and now - times[0] >= timedelta(days=1):
        times.clear()
    return times


def _limit(name: str, limit: int) -> Refusal:
    return Refusal("isv.BUSINESS_LIMIT_CONTROL", f"触发{name}流控Permits:{limit}")
