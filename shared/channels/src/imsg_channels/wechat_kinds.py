"""The types of the fields of WeChat templates, and the values that each accepts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from imsg_channels.spec import BilingualText

MAX_UNTYPED_CHARACTERS = 600
"""The most characters of an untyped field such as `content` or `keyword1`; longer values are cut."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of fields (docs/providers.md, WeChat)."""

    longest: int
    """Characters."""
    shape: re.Pattern[str]
    wants: BilingualText

    def accepts(self, value: str) -> bool:
        """Return whether a value is of this type; line breaks never are."""
        return len(value) <= self.longest and value.isprintable() and self.shape.fullmatch(value) is not None


_ANY = re.compile(r".*", re.DOTALL)
_TIME = re.compile(r"(?=.*\d)[\d年月日时分秒点上下午星期周一二三四五六天:：/.~\- ]{1,40}")
_LISTED = BilingualText("模板中登记过的一个值", "one of the template's own values")

KINDS: Mapping[str, Kind] = {
    "thing": Kind(20, _ANY, BilingualText("不超过 20 个字符", "up to 20 characters")),
    "number": Kind(
        32, re.compile(r"[+-]?\d+(?:\.\d+)?"), BilingualText("不超过 32 位的数字", "a number of up to 32 digits")
    ),
    "letter": Kind(32, re.compile(r"[A-Za-z]+"), BilingualText("不超过 32 个字母", "up to 32 letters")),
    "symbol": Kind(5, re.compile(r"[^\w\s]+"), BilingualText("不超过 5 个符号", "up to 5 symbols")),
    "character_string": Kind(
        32, re.compile(r"[\x20-\x7e]+"), BilingualText("不超过 32 个英文字母、数字或符号", "up to 32 ASCII characters")
    ),
    "time": Kind(
        40,
        _TIME,
        BilingualText("时间，如 15:01 或 2026年11月25日 15:01", "a time such as 15:01 or 2026年11月25日 15:01"),
    ),
    "date": Kind(40, _TIME, BilingualText("日期，如 2026年11月25日", "a date such as 2026年11月25日")),
    "amount": Kind(
        14,
        re.compile(r"[^\w\s.]?\d{1,10}(?:\.\d+)?元?"),
        BilingualText("金额：一个货币符号和不超过 10 位的数字", "a currency sign and up to 10 digits"),
    ),
    "phone_number": Kind(
        17,
        re.compile(r"[0-9+\- ]+"),
        BilingualText("不超过 17 个字符的电话号码", "a phone number of up to 17 characters"),
    ),
    "car_number": Kind(
        8, re.compile(r"[\w·]+"), BilingualText("不超过 8 个字符的车牌号", "a number plate of up to 8 characters")
    ),
    "name": Kind(
        20,
        re.compile(r"[A-Za-z .·]{1,20}|\D{1,10}"),
        BilingualText("不超过 10 个汉字或 20 个字母的姓名", "up to 10 Chinese characters or 20 letters"),
    ),
    "phrase": Kind(5, re.compile(r"[\u3400-\u9fff]+"), BilingualText("不超过 5 个汉字", "up to 5 Chinese characters")),
    "const": Kind(20, _ANY, _LISTED),
    "enum": Kind(20, _ANY, _LISTED),
}
"""Name of the type → type. A field `thing3` has the type `thing`; one without a number has none."""

_TYPED = re.compile(r"([a-z_]+?)\d+")


def name_kind(field: str) -> str | None:
    """Return the name of a field's type; None for an untyped field."""
    match = _TYPED.fullmatch(field)
    return match[1] if match and match[1] in KINDS else None


def kind_of(field: str) -> Kind | None:
    """Return the type of a field by its name; None for an untyped field."""
    name = name_kind(field)
    return None if name is None else KINDS[name]
