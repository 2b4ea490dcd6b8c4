"""Normal forms of addresses: one spelling each of an e-mail address, a phone number and a WeChat tag."""

import re
from random import Random

import email_validator

MAX_EMAIL_CHARACTERS = 254
"""RFC 5321, section 4.5.3.1.3: a path of 256 octets less its angle brackets."""

_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_EMAIL = re.compile(rf"(?=.{{1,64}}@){_LOCAL}@(?:(?:{_LABEL}\.)+[A-Za-z]{{2,63}}|localhost)")
"""Nearly every address: ASCII, dot-atom (RFC 5321), host names. It is thirty times faster than the library; a test
compares both. The mail server decides on names of a closed network (`.local`, `.test`, `localhost`)."""


def email(text: str) -> str | None:
    """Return the normal form of an e-mail address: the domain ASCII (IDNA) and lower-case; None for other text.

    A local part keeps its case (RFC 5321 leaves it to the receiving host) and its script, in Unicode's NFC.
    Quoted local parts and address literals count as malformed, and so does anything with a control character.
    """
    if len(text) > MAX_EMAIL_CHARACTERS or "@" not in text:
        return None
    if _PLAIN_EMAIL.fullmatch(text):
        local, _, domain = text.rpartition("@")
        return f"{local}@{domain.lower()}"
    if text.isascii() and "@xn--" not in text and ".xn--" not in text:
        return None
    if any("\uff01" <= letter <= "\uff5e" for letter in text.rpartition("@")[0]):
        return None  # full-width letters come from an input method: no mailbox has them
    try:
        address = email_validator.validate_email(text, check_deliverability=False, test_environment=True)
    except (email_validator.EmailNotValidError, UnicodeError):
        return None
    normal = f"{address.local_part}@{address.ascii_domain}"
    return normal if len(normal.encode()) <= MAX_EMAIL_CHARACTERS else None


MAX_NAME_CHARACTERS = 128
"""The longest display name: mail clients cut longer ones."""

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def split_name(text: str) -> tuple[str, str]:
    """Split a display name from an address in angle brackets: `天存 <a@example.com>`; "" and the text without them."""
    before, bracket, inner = text.removesuffix(">").rpartition("<")
    name = before.strip()
    if not bracket or not text.endswith(">"):
        return "", text
    if _QUOTED.fullmatch(name):
        return re.sub(r"\\(.)", r"\1", name[1:-1]), inner.strip()
    return ("", text) if any(letter in '"<>' for letter in name) else (name, inner.strip())


def read_sender(text: str) -> tuple[str, str]:
    """Return the name (may be empty) and the normal form of a mail's sender: `noreply@…`, or `天存 <noreply@…>`.

    Raises ValueError with what is wrong and what is wanted.
    """
    if not text.isprintable():
        raise ValueError("may not hold control characters or line breaks")
    name, written = split_name(text.strip())
    address = email(written)
    if address is None:
        raise ValueError("is no e-mail address; write noreply@example.com, or 天存 <noreply@example.com>")
    if not address.isascii():
        raise ValueError(
            "must be ASCII before the @, since few mail servers take another sender; choose such an address"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"has a name of more than {MAX_NAME_CHARACTERS} characters; shorten it")
    return name, address


def named_email(text: str) -> str | None:
    """Return the normal form of an e-mail address behind a display name; None for other text."""
    name, written = split_name(text)
    return email(written) if name and len(name) <= MAX_NAME_CHARACTERS and name.isprintable() else None


def display_name(text: str) -> str:
    """Return the display name of a recipient as a client wrote it; empty where it has none."""
    return "" if named_email(text) is None else split_name(text)[0]


def domain_of(address: str) -> str:
    """Return the domain of an e-mail address."""
    return address.rpartition("@")[2]


def identity(address: str) -> str:
    """Return the form by which two addresses are compared: e-mail addresses regardless of case.

    RFC 5321 allows local parts that differ in case alone; no common mail service has them. Delivery keeps the spelling.
    """
    return address.lower() if "@" in address else address


_MAINLAND = re.compile(r"1[3-9][0-9]{9}")
_E164 = re.compile(r"\+(?!86)[1-9][0-9]{6,14}|\+861[3-9][0-9]{9}")
"""ITU-T E.164: at most 15 digits, no leading zero; of +86 only mobile numbers, which alone receive messages.
A table of every country's numbers (`phonenumbers`) would be out of date: the provider decides the rest."""


def phone(text: str) -> str | None:
    """Return a phone number in E.164, such as `+8613800138000`; None for other text.

    Accepted forms are E.164 and mainland China's 11 digits.
    """
    if _MAINLAND.fullmatch(text):
        return f"+86{text}"
    return text if _E164.fullmatch(text) else None


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O or U."""

TAG_RANDOM_CHARACTERS = 8

_VALUES = {letter: value for value, letter in enumerate(CROCKFORD)} | {"O": 0, "I": 1, "L": 1}
_TAG_SHAPE = re.compile(r"[0-9A-Za-z-]{9,32}")
_SHOWN_TAG = re.compile(r"[0-9A-Za-z]{3}-[0-9A-Za-z]{3}-[0-9A-Za-z]{3}")


def tag(text: str) -> str | None:
    """Return a follower's tag in its displayed form, such as `7K3-M9Q-2XF`; None for other text.

    Case and hyphens don't matter, O reads as 0, I and L as 1; the last character is checked.
    """
    if not _TAG_SHAPE.fullmatch(text):
        return None
    letters = text.replace("-", "").upper()
    if len(letters) != TAG_RANDOM_CHARACTERS + 1 or not all(letter in _VALUES for letter in letters):
        return None
    *values, check = (_VALUES[letter] for letter in letters)
    return _show(values) if _check_value(values) == check else None


def has_tag_form(text: str) -> bool:
    """Return whether a text has the form of a tag, whether or not its check character is right."""
    return _SHOWN_TAG.fullmatch(text) is not None


def make_tag(random: Random) -> str:
    """Return a new tag of 8 random characters and their check character, in its displayed form."""
    return _show([random.randrange(len(CROCKFORD)) for _ in range(TAG_RANDOM_CHARACTERS)])


def _check_value(values: list[int]) -> int:
    """Compute the Luhn mod N check value, N = 32: it catches a wrong character and nearly every swapped pair."""
    total = 0
    for place, value in enumerate(reversed(values)):
        doubled = value * 2 if place % 2 == 0 else value
        total += doubled // 32 + doubled % 32
    return -total % 32


def _show(values: list[int]) -> str:
    letters = "".join(CROCKFORD[value] for value in (*values, _check_value(values)))
    return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}"
