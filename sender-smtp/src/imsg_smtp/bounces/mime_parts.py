"""Reading mails of strangers: headers and MIME parts, in time that grows with the length of the mail alone.

The standard library's parser nests a generator for each level and tries every boundary on every line; hostile mail
makes that quadratic, or too deep. A report needs its first levels, and the beginning of what it returns.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

MAX_OCTETS = 256 * 1024
"""What is read of a mail: what is behind it is the mail that comes back, whole."""

MAX_DEPTH = 4
MAX_PARTS = 40
MAX_HEADERS = 300
MAX_VALUE = 2_000
"""Characters of one header; what is behind them is cut off."""

_PARAMETER = re.compile(r';\s{0,8}([a-z*-]{1,32})\s{0,8}=\s{0,8}(?:"([^"]{0,200})"|([^\s;"]{1,200}))', re.IGNORECASE)

_CHARSETS = frozenset(
    ("utf-8", "us-ascii", "gb2312", "gbk", "gb18030", "big5", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16")
)


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity; a whole mail is one."""

    headers: tuple[tuple[str, str], ...]
    """(name in small letters, value on one line), in their order."""
    body: bytes
    """With line ends of one octet, as it travelled."""

    def values(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for known, value in self.headers if known == name]

    def value(self, name: str) -> str:
        """Return a header's first value; empty where there is none."""
        return next(iter(self.values(name)), "")

    @property
    def type(self) -> str:
        """The media type in small letters; `text/plain` where it says none."""
        return self.value("content-type").split(";")[0].strip().lower() or "text/plain"

    def parameter(self, name: str) -> str:
        """Return a parameter of Content-Type; empty where there is none."""
        found = _PARAMETER.findall(self.value("content-type")[:1_000])
        return next((quoted or plain for known, quoted, plain in found if known.lower() == name), "")

    @property
    def octets(self) -> bytes:
        """The body, decoded from base64 or quoted-printable; as it is where it can't be."""
        encoding = self.value("content-transfer-encoding").strip().lower()
        try:
            if encoding == "base64":
                return _one_line_end(_read_base64(self.body))
            return _one_line_end(binascii.a2b_qp(self.body)) if encoding == "quoted-printable" else self.body
        except binascii.Error:
            return self.body

    @property
    def text(self) -> str:
        """The body as text."""
        return decode(self.octets, self.parameter("charset").lower())


def decode(octets: bytes, charset: str = "") -> str:
    """Make text of octets: by their charset, else by UTF-8, else by GB18030, as servers in China write."""
    wanted = (charset,) if charset in _CHARSETS and charset != "us-ascii" else ()
    for name in (*wanted, "utf-8", "gb18030"):
        try:
            return octets.decode(name)
        except UnicodeDecodeError:
            continue
    return octets.decode("utf-8", "replace")


def decode_words(value: str) -> str:
    """Read the encoded words of a header's value (RFC 2047); what can't be read stays as it is."""
    try:
        pieces = decode_header(value[:500])
    except (HeaderParseError, ValueError):
        return value
    return "".join(
        piece if isinstance(piece, str) else decode(piece, (charset or "").lower()) for piece, charset in pieces
    )


def read_mail(raw: bytes) -> Part:
    """Read a mail: its headers and the beginning of its body. Raises nothing, whatever it is."""
    lines = _one_line_end(raw[:MAX_OCTETS])
    if lines.startswith((b"From ", b">From ")):  # a mailbox's own line before the mail
        lines = lines.partition(b"\n")[2]
    return _read_part(lines)


def walk(part: Part, depth: int = 0) -> Iterator[Part]:
    """Yield a part and those in it, in their order, as far as is worth it; what a returned mail holds is not."""
    yield part
    if depth < MAX_DEPTH:
        for child in _children(part):
            yield from walk(child, depth + 1)


def read_head(octets: bytes) -> tuple[tuple[str, str], ...]:
    """Read header lines up to the first empty one."""
    head = octets.partition(b"\n\n")[0] if not octets.startswith(b"\n") else b""
    headers: list[list[str]] = []
    for line in decode(head).split("\n")[: 4 * MAX_HEADERS]:
        if line[:1] in (" ", "\t"):
            if headers and len(headers[-1][1]) < MAX_VALUE:
                headers[-1][1] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        if colon and len(headers) < MAX_HEADERS:
            headers.append([name.strip().lower(), value.strip()])
    return tuple((name, value[:MAX_VALUE]) for name, value in headers)


def read_blocks(octets: bytes) -> list[dict[str, str]]:
    """Read blocks of fields with empty lines between them, as a DSN has them (RFC 3464, 2.1)."""
    blocks = []
    for block in octets.strip(b"\n").split(b"\n\n")[:MAX_PARTS]:
        fields: dict[str, str] = {}
        for name, value in read_head(block.strip(b"\n")):
            fields.setdefault(name, value)
        blocks.append(fields)
    return blocks


def _read_part(lines: bytes) -> Part:
    if lines.startswith(b"\n"):
        return Part((), lines[1:])
    return Part(read_head(lines), lines.partition(b"\n\n")[2])


def _children(part: Part) -> list[Part]:
    """Cut a multipart at its boundary (RFC 2046, 5.1.1); a last part that is cut off counts."""
    boundary = part.parameter("boundary").encode("utf-8", "replace")
    if not (boundary and part.type.startswith("multipart/")):
        return []
    pieces = (b"\n" + part.body).split(b"\n--" + boundary, MAX_PARTS)[1:]
    children = []
    for piece in pieces:
        rest, newline, body = piece.partition(b"\n")
        if rest.startswith(b"--"):
            break
        if newline and not rest.strip():
            children.append(_read_part(body))
    return children


def _read_base64(body: bytes) -> bytes:
    """Decode base64, also such as was cut off within four letters. Raises binascii.Error."""
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        letters = body.translate(None, b" \t\n")
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4])


def _one_line_end(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
