"""Classifies a text for a method: an address, however it is written, a mistyped one, or perhaps a username."""

import re
import unicodedata
from collections.abc import Iterator

from imsg_channels import BY_NAME

MAX_NAME_CHARACTERS = 64

DESCRIBED = frozenset({"smtp", "sms", "wechat"})
"""Methods with sentences of their own in the catalogues; others have general ones."""

MAX_ADDRESS_CHARACTERS = 400
"""More than any address has, with whatever surrounds it."""

PHONE_DIGITS = range(10, 14)
"""How many digits a mistyped phone number has: one too few, one too many, or a country code more."""

_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u2060\ufeff\u00a0\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""Invisible characters that come with copied contacts: zero widths, marks of direction, a fixed space."""

_WITHOUT_INVISIBLE = str.maketrans(dict.fromkeys(_INVISIBLE))
_EDGES = "\"'“”‘’「」<>《》,;，；、 "
"""Characters around an address in a cell."""
_SEPARATORS = re.compile(r"[\s().·\u2010-\u2015-]")
_CHINA_PREFIX = re.compile(r"0{0,2}86(?=1[3-9][0-9]{9}$)")
_SCIENTIFIC = re.compile(r"([0-9])(?:\.([0-9]{0,20}))?[eE]\+?([0-9]{2})")
_LANDLINE = re.compile(r"(?:\+?86)?0[1-9][0-9]{8,10}")


def strip_invisible(text: str) -> str:
    """Remove invisible characters from both ends."""
    return text.strip().strip(_INVISIBLE).strip()


def normalize(text: str) -> str:
    """Write full-width letters and digits as plain ones, and remove invisible characters."""
    return unicodedata.normalize("NFKC", text.translate(_WITHOUT_INVISIBLE)).strip()


def is_address(text: str, method: str) -> bool:
    """Return whether a text, verbatim or cleaned, is an address of the method."""
    return find_address(text, method) is not None


def rewrite(text: str, method: str) -> str | None:
    """Return an address in the API's form; None where the text is none, even cleaned."""
    address = find_address(text, method)
    return None if address is None else address[0]


def find_address(text: str, method: str) -> tuple[str, str] | None:
    """Return an address in the API's form, and its normal form; None where the text is none, even cleaned."""
    if len(text) > MAX_ADDRESS_CHARACTERS:
        return None
    parse = BY_NAME[method].address.parse
    if (normal := parse(text)) is not None:
        return text, normal
    for cleaned in _clean(text, method):
        if (normal := parse(cleaned)) is not None:
            return cleaned, normal
    return None


def is_intended(text: str, method: str) -> bool:
    """Return whether a text is an address, or a mistyped one."""
    return bool(explain(text, method)) or is_address(text, method)


def explain(text: str, method: str) -> str:
    """Return the key of the sentence about a mistyped address; empty where the text looks like none."""
    channel = BY_NAME[method]
    if channel.contact == "email" and ("@" in text or "＠" in text):
        return "send.bad_email"
    if not channel.address.is_dialled or len(text) > MAX_ADDRESS_CHARACTERS:
        return ""
    plain = normalize(text)
    if _SCIENTIFIC.fullmatch(plain):
        return "send.lost_digits"
    dense = _SEPARATORS.sub("", plain)
    if _LANDLINE.fullmatch(dense):
        return "send.landline"
    digits = dense.removeprefix("+")
    is_phone = digits.isdecimal() and (dense != digits or len(digits) in PHONE_DIGITS)
    return "send.bad_phone" if is_phone else ""


def _clean(text: str, method: str) -> Iterator[str]:
    plain = normalize(text)
    yield plain
    channel = BY_NAME[method]
    if channel.contact == "email":
        bare = re.sub("^mailto:", "", plain.strip(_EDGES), flags=re.IGNORECASE).strip(_EDGES + ".。")
        yield bare
        yield bare.replace("。", ".")
    elif channel.address.is_dialled:
        yield from _phones(plain)


def _phones(plain: str) -> Iterator[str]:
    """Write a number of a contact card or a spreadsheet without its spaces and signs: `+86 138-0013-8000`."""
    bare = re.sub("^(?:tel|sms):", "", plain.strip(_EDGES), flags=re.IGNORECASE).lstrip("=").strip(_EDGES)
    if exact := _SCIENTIFIC.fullmatch(bare):
        first, rest, zeros = exact[1], exact[2] or "", int(exact[3])
        if len(rest) == zeros:  # every digit is there
            yield first + rest
        return
    whole, point, fraction = bare.partition(".")
    if point and fraction and not fraction.strip("0"):
        bare = whole  # a number in a spreadsheet: 13800138000.0
    dense = _SEPARATORS.sub("", bare)
    yield dense
    yield _CHINA_PREFIX.sub("+86", dense)
    if dense.startswith("00"):
        yield f"+{dense[2:]}"


def choose_key(method: str, own: str, general: str) -> str:
    """Return the key of a sentence about a method: its own, or the general one."""
    return own if method in DESCRIBED else general
