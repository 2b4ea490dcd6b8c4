"""A parser of headers and MIME parts for untrusted mail: its time is linear in the length of the mail.

The standard library's parser nests a generator for each level and tries every boundary on every line; a hostile mail
makes that quadratic, or exceeds the recursion limit. A report needs only the first levels and the start of a mail.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

MAX_OCTETS = 256 * 1024
"""How much of a mail is read: the rest belongs to the returned mail."""

MAX_DEPTH = 4
MAX_PARTS = 40
MAX_HEADERS = 300
MAX_VALUE = 2_000
"""Characters of one header; the rest is cut off."""

_PARAMETER = re.compile(r';\s{0,8}([a-z*-]{1,32})\s{0,8}=\s{0,8}(?:"([^"]{0,200})"|([^\s;"]{1,200}))', re.IGNORECASE)

_CHARSETS = frozenset(
    ("utf-8", "us-ascii", "gb2312", "gbk", "gb18030", "big5", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16")
)


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity; a whole mail is one."""

    headers: tuple[tuple[str, str], ...]
    """(name in lower case, value on one line), in their order."""
    body: bytes
    """The encoded body, with LF as line ends."""

    def values(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for known, value in self.headers if known == name]

    def value(self, name: str) -> str:
        """Return a header's first value; empty where there is none."""
        return next(iter(self.values(name)), "")

    @property
    def type(self) -> str:
        """The media type in lower case; `text/plain` if none is declared."""
        return self.value("content-type").split(";")[0].strip().lower() or "text/plain"

    def parameter(self, name: str) -> str:
        """Return a parameter of Content-Type; empty where there is none."""
        parameters = _PARAMETER.findall(self.value("content-type")[:1_000])
        return next((quoted or bare for known, quoted, bare in parameters if known.lower() == name), "")

    @property
    def octets(self) -> bytes:
        """The body, decoded from base64 or quoted-printable; the encoded body where decoding fails."""
        encoding = self.value("content-transfer-encoding").strip().lower()
        try:
            if encoding == "base64":
                return _normalize_line_ends(_read_base64(self.body))
            return _normalize_line_ends(binascii.a2b_qp(self.body)) if encoding == "quoted-printable" else self.body
        except binascii.Error:
            return self.body

    @property
    def text(self) -> str:
        """The body as text."""
        return decode(self.octets, self.parameter("charset").lower())


def decode(octets: bytes, charset: str = "") -> str:
    """Decode octets by their charset, else by UTF-8, else by GB18030, which servers in China use."""
    wanted = (charset,) if charset in _CHARSETS and charset != "us-ascii" else ()
    for name in (*wanted, "utf-8", "gb18030"):
        try:
            return octets.decode(name)
        except UnicodeDecodeError:
            continue
    return octets.decode("utf-8", "replace")


def decode_words(value: str) -> str:
    """Decode the encoded words of a header's value (RFC 2047); return the value unchanged where that fails."""
    try:
        pieces = decode_header(value[:500])
    except (HeaderParseError, ValueError):
        return value
    return "".join(
        piece if isinstance(piece, str) else decode(piece, (charset or "").lower()) for piece, charset in pieces
    )


def read_mail(raw: bytes) -> Part:
    """Parse the headers and the beginning of the body. Raises nothing, whatever the octets are."""
    lines = _normalize_line_ends(raw[:MAX_OCTETS])
    if lines.startswith((b"From ", b">From ")):  # the separator line of mbox files
        lines = lines.partition(b"\n")[2]
    return _read_part(lines)


def walk(part: Part, depth: int = 0) -> Iterator[Part]:
    """Yield a part and the parts in it, in their order, to MAX_DEPTH levels; a returned mail is one part."""
    yield part
    if depth < MAX_DEPTH:
        for child in _children(part):
            yield from walk(child, depth + 1)


def read_head(octets: bytes) -> tuple[tuple[str, str], ...]:
    """Parse header lines up to the first empty line: (name in lower case, value)."""
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
    """Parse blocks of fields separated by empty lines, the form of a DSN (RFC 3464, 2.1)."""
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
    """Split a multipart at its boundary (RFC 2046, 5.1.1); a truncated last part counts."""
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
    """Decode base64, also where it is truncated within a group of four. Raises binascii.Error."""
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        characters = body.translate(None, b" \t\n")
        return binascii.a2b_base64(characters[: len(characters) // 4 * 4])


def _normalize_line_ends(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
