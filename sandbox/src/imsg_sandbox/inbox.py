"""The inbox: everything the stand-ins accepted, newest kept, bounded in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

PATH = "/sandbox/inbox"

SHORT_CHARACTERS = 4_096
"""A message whose texts and source have no more together stands whole in a list."""

LINE_CHARACTERS = 1_000
"""How much of a subject and the like stands in a list."""

LISTED_FILES = 20
"""How many attachments of a message stand in a list."""

RECORD_BYTES = 1_024
"""What a message weighs beside its raw bytes: an allowance, so that tiny messages are bounded too."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it arrived."""

    filename: str
    sha256: str
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a person would see of a message."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: tuple[File, ...] = ()
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One accepted message for one recipient."""

    method: str
    to: str
    sender: str
    raw: bytes
    at: datetime
    text: str | None = None
    """What its recipient sees, where that is known already; else it is read from `raw`."""
    sharing: int = 1
    """How many messages came in this very `raw`, and weigh it together."""
    provider: str = ""
    """Which of a method's stand-ins took it."""


Reader = Callable[[bytes], Contents]
"""Reads a method's raw form; called when somebody looks, not when the message arrives."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of the inbox under its number."""

    number: int
    message: Received

    @property
    def url(self) -> str:
        """Where all of it is answered, and below `/attachments/N` each attachment, from 0."""
        return f"{PATH}/{self.number}"


class Inbox:
    """Accepted messages in order of arrival; the oldest make room once `limit_bytes` is reached."""

    def __init__(self, limit_bytes: int, readers: Mapping[str, Reader]) -> None:
        self._limit_bytes = limit_bytes
        self._readers = readers
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._kept = 0

    def keep(self, message: Received) -> int:
        """Keep a message, at the cost of the oldest where there is no room; return its running number, from 1."""
        self._messages.append(message)
        self._kept += 1
        self._bytes += _weight(message)
        while self._bytes > self._limit_bytes and len(self._messages) > 1:
            self._bytes -= _weight(self._messages.popleft())
        return self._kept

    def find(self, method: str | None = None, to: str | None = None) -> list[Received]:
        """Return the messages of a method to a recipient (letter case apart), oldest first."""
        return [one.message for one in self._find_matching(method, to)][::-1]

    def list_newest(self, method: str | None, to: str | None, before: int | None, limit: int) -> list[Kept]:
        """Return so many of them, newest first, of those that came before the one of this number."""
        found = self._find_matching(method, to)
        return list(islice((one for one in found if before is None or one.number < before), limit))

    def get(self, number: int) -> Kept | None:
        """Return the message of a number; None where there is none, or no more."""
        place = number - self._first
        return Kept(number, self._messages[place]) if 0 <= place < len(self._messages) else None

    def read(self, message: Received) -> Contents:
        """Read what its recipient sees. Takes milliseconds for a large mail: call it off the loop."""
        return Contents(text=message.text) if message.text is not None else self._readers[message.method](message.raw)

    def clear(self) -> int:
        """Forget everything; return how many messages that were."""
        count = len(self._messages)
        self._messages.clear()
        self._bytes = 0
        return count

    @property
    def _first(self) -> int:
        return self._kept - len(self._messages) + 1

    def _find_matching(self, method: str | None, to: str | None) -> Iterator[Kept]:
        """Yield them, newest first."""
        wanted = None if to is None else _plain(to)
        for back, message in enumerate(reversed(self._messages)):
            if method is not None and message.method != method:
                continue
            if wanted is not None and _plain(message.to) != wanted:
                continue
            yield Kept(self._kept - back, message)


def show_head(kept: Kept, contents: Contents) -> dict[str, Any]:
    """Make what a list says of a message: all of it where it is short, else the beginning of its text."""
    text, html, raw = contents.text or "", contents.html or "", kept.message.raw
    is_short = len(text) + len(html) + len(raw) <= SHORT_CHARACTERS
    is_whole = is_short and len(contents.attachments) <= LISTED_FILES
    return {
        **_show(kept, contents, LISTED_FILES),
        "text": contents.text and contents.text[:SHORT_CHARACTERS],
        "html": contents.html if is_whole else None,
        "raw": _as_text(raw) if is_whole else None,
        "is_whole": is_whole,
    }


def show(kept: Kept, contents: Contents, most: int | None = None) -> dict[str, Any]:
    """Make the public form of a message, its texts and its source cut to `most` characters where that is said."""
    return {
        **_show(kept, contents),
        "text": contents.text and contents.text[:most],
        "html": contents.html and contents.html[:most],
        "raw": _as_text(kept.message.raw)[:most],
        "is_whole": True,
    }


def _show(kept: Kept, contents: Contents, files: int | None = None) -> dict[str, Any]:
    message = kept.message
    return {
        "id": str(kept.number),
        "url": kept.url,
        "method": message.method,
        "provider": message.provider or message.method,
        "to": message.to[:LINE_CHARACTERS],
        "from": message.sender[:LINE_CHARACTERS],
        "subject": contents.subject and contents.subject[:LINE_CHARACTERS],
        "attachments": [
            {"filename": file.filename[:LINE_CHARACTERS], "size": file.size, "sha256": file.sha256}
            for file in contents.attachments[:files]
        ],
        "message_id": contents.message_id and contents.message_id[:LINE_CHARACTERS],
        "size": len(message.raw),
        "at": message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _weight(message: Received) -> int:
    return len(message.raw) // message.sharing + RECORD_BYTES


def _plain(to: str) -> str:
    """Compare without letter case, and mainland China's numbers with or without their country code."""
    return to.strip().removeprefix("+86").casefold()


def _as_text(raw: bytes) -> str:
    """Decode without loss: UTF-8 where it is that, else byte for byte as Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
