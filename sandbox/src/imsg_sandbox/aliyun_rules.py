"""What Aliyun's SMS service refuses: numbers, signatures, templates, variables, frequencies, an empty balance."""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TypeVar

BEIJING = timezone(timedelta(hours=8))
MOST_NUMBERS = 1_000
MOST_OUT_ID_BYTES = 255
MOST_CHARACTERS = 500
"""Of a whole message with its signature (help.aliyun.com/document_detail/44335.htm)."""
MOST_REMEMBERED = 10_000
"""Numbers of which it is known what they got: some 1 kB each."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MAINLAND = re.compile(r"(?:\+86|86|0086)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")
_NORTH_AMERICAN = re.compile(r"1[2-9][0-9]{2}[2-9][0-9]{6}")
_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LINK = re.compile(r"(?i)https?://|www\.")


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818  a refusal as the provider words it
    """A business error: HTTP 200, and a code that is not OK."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Form:
    """An approved template."""

    text: str
    longest: int | None = None
    """Characters that each of its variables takes."""
    is_captcha: bool = False

    @property
    def variables(self) -> list[str]:
        """Name what it wants."""
        return _VARIABLE.findall(self.text)

    def fill(self, given: str) -> str:
        """Put the variables of `TemplateParam` in their places. Raises Refusal."""
        values = self._values(given)
        for name in self.variables:
            if name not in values:
                raise Refusal("isv.TEMPLATE_MISSING_PARAMETERS", f"模板变量{name}缺少对应参数值")
            value = values[name]
            if self.longest is not None and len(value) > self.longest:
                raise Refusal("isv.PARAM_LENGTH_LIMIT", f"参数{name}超过长度限制")
            if self.is_captcha and not re.fullmatch(r"[0-9A-Za-z]{4,6}", value):
                raise Refusal("isv.PARAM_LENGTH_LIMIT", f"验证码{name}须为4至6位数字或字母")
            if _LINK.search(value):
                raise Refusal("isv.PARAM_NOT_SUPPORT_URL", "变量不支持传入URL")
            if "【" in value or "】" in value:
                raise Refusal("isv.TEMPLATE_PARAMS_ILLEGAL", "变量不能含有【】")
        return _VARIABLE.sub(lambda variable: values[variable[1]], self.text)

    def _values(self, given: str) -> Mapping[str, str]:
        try:
            values = json.loads(given or "{}")
        except ValueError:
            raise Refusal("isv.INVALID_JSON_PARAM", "参数格式错误，不是合法的JSON") from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Refusal("isv.INVALID_JSON_PARAM", "TemplateParam须为值都是字符串的JSON对象")
        return values


def number(text: str) -> str:
    """Read one number: 11 digits for the mainland, digits with country code for elsewhere. Raises Refusal."""
    if (found := _MAINLAND.fullmatch(text)) and not text.startswith(("001", "+1")):
        return found[1]
    if found := _ABROAD.fullmatch(text):
        digits = found[1]
        if not digits.startswith(("86", "1")) or _NORTH_AMERICAN.fullmatch(digits):
            return digits
    raise Refusal("isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误")


def segments(text: str, to: str) -> int:
    """Count what a message costs."""
    if not _MAINLAND.fullmatch(to) and text.isascii():  # near enough to GSM 03.38
        return 1 if len(text) <= 160 else -(-len(text) // 153)  # noqa: PLR2004
    units = len(text.encode("utf-16-le")) // 2
    return 1 if units <= 70 else -(-units // 67)  # noqa: PLR2004


class Latest(dict[K, list[V]]):
    """A list for each key that is asked for; the first key goes where there are too many."""

    def __missing__(self, key: K) -> list[V]:
        """Begin a list."""
        if len(self) >= MOST_REMEMBERED:
            del self[next(iter(self))]
        begun = self[key] = []
        return begun


@dataclass(slots=True)
class Frequencies:
    """How often a number has got what, by help.aliyun.com/document_detail/44335.htm; counted at submission."""

    daily: int
    """Notifications a day for one signature, template and number."""
    _captchas: Latest[tuple[str, str], datetime] = field(default_factory=Latest)
    _notices: Latest[tuple[str, str, str], datetime] = field(default_factory=Latest)

    def check(self, sign: str, template: str, form: Form, numbers: Sequence[str], now: datetime) -> None:
        """Let numbers pass that may have one more. Raises Refusal for the whole call where one may not."""
        now = now.astimezone(BEIJING)
        for to in numbers:
            if not form.is_captcha:
                recent = _recent(self._notices[sign, template, to], now)
                if len(recent) >= self.daily:
                    raise _refuse_limited("天级", self.daily)
                continue
            recent = _recent(self._captchas[sign, to], now)
            minute = sum(at.replace(second=0, microsecond=0) == now.replace(second=0, microsecond=0) for at in recent)
            hour = sum(
                at.replace(minute=0, second=0, microsecond=0) == now.replace(minute=0, second=0, microsecond=0)
                for at in recent
            )
            for name, count, most in (("分钟级", minute, 1), ("小时级", hour, 5), ("天级", len(recent), 10)):
                if count >= most:
                    raise _refuse_limited(name, most)

    def count(self, sign: str, template: str, form: Form, numbers: Sequence[str], now: datetime) -> None:
        """Write down that they were sent one."""
        now = now.astimezone(BEIJING)
        for to in numbers:
            (self._captchas[sign, to] if form.is_captcha else self._notices[sign, template, to]).append(now)


def _recent(times: list[datetime], now: datetime) -> list[datetime]:
    """Begin anew a day after the first."""
    if times and now - times[0] >= timedelta(days=1):
        times.clear()
    return times


def _refuse_limited(name: str, most: int) -> Refusal:
    return Refusal("isv.BUSINESS_LIMIT_CONTROL", f"触发{name}流控Permits:{most}")
