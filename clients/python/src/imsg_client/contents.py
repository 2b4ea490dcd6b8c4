"""What is sent: contents in the shapes of the interface, and files to attach."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file to attach to a mail."""

    filename: str
    """With its extension; no path. Any script."""
    data: bytes

    @classmethod
    def read(cls, path: str | PathLike[str], filename: str | None = None) -> "Attachment":
        """Read a file. Raises OSError."""
        path = Path(path)
        return cls(filename or path.name, path.read_bytes())

    def encode(self) -> dict[str, str]:
        """Write it as the interface wants it."""
        return {"filename": self.filename, "file": base64.b64encode(self.data).decode()}


def mail(subject: str, text: str = "", html: str | None = None) -> dict[str, Any]:
    """Write a mail's content; the text may be empty beside `html` or an attachment."""
    return {"subject": subject, "text": text} | ({} if html is None else {"html": html})


def template(name: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Write a content of SMS or WeChat that goes by a template."""
    return {"template": name, "params": dict(params or {})}
