"""Attached files: their names and bytes, checked and decoded off the loop where they are large."""

import asyncio
import base64
import binascii
import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass

from imsg_channels.file_names import drop_invisible
from imsg_channels.one_line import has_control
from imsg_gateway.validation_errors import attachment_wrong

MAX_FILENAME_CHARACTERS = 255
MAX_FILES = 100
FIELDS = ("filename", "file")
OFF_LOOP_CHARACTERS = 64 * 1024
"""Base64 longer than this is decoded in a thread."""

CHUNK_CHARACTERS = 256 * 1024
"""Decoded at once, a multiple of 4: between two chunks the thread lets the loop run (binascii holds the GIL)."""

_ASCII_SPACE = str.maketrans("", "", " \t\n\r\v\f")


@dataclass(frozen=True, slots=True)
class File:
    """One attached file, decoded."""

    filename: str
    type: str
    data: bytes
    sha256: str


class Files:
    """Reads `attachment`: an object `{filename, file}` or a list of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # Python's own table of types, the same on every machine, whatever /etc/mime.types says.
        self._types = mimetypes.MimeTypes(filenames=())

    async def read(self, attachment: object) -> tuple[File, ...]:
        """Check and decode; null and an empty list are none. Raises Refusal attachment_shape."""
        if not has_any(attachment):
            return ()
        entries = _entries(attachment)
        if len(entries) > MAX_FILES:
            raise attachment_wrong(f"最多 {MAX_FILES} 个附件", f"there may be {MAX_FILES} at most")
        named = [_read_name(entry) for entry in entries]
        texts = [text for _, text in named]
        if sum(map(len, texts)) > OFF_LOOP_CHARACTERS:
            decoded = await asyncio.to_thread(self._decode_all, texts)
        else:
            decoded = self._decode_all(texts)
        return tuple(
            File(filename, self._type(filename), data, sha256)
            for (filename, _), (data, sha256) in zip(named, decoded, strict=True)
        )

    def _decode_all(self, texts: Sequence[str]) -> list[tuple[bytes, str]]:
        # Before any decoding: 4 characters are 3 bytes, and white space only makes the text longer than needed.
        texts = [_without_space(text) for text in texts]
        if sum(map(len, texts)) // 4 * 3 - 2 * len(texts) > self._max_bytes:
            raise self._too_large()
        decoded = [_decode(text) for text in texts]
        if sum(map(len, decoded)) > self._max_bytes:
            raise self._too_large()
        return [(data, hashlib.sha256(data).hexdigest()) for data in decoded]

    def _type(self, filename: str) -> str:
        media_type, encoding = self._types.guess_type(f"/{filename}")
        return media_type if media_type and not encoding else "application/octet-stream"

    def _too_large(self) -> Exception:
        return attachment_wrong(
            f"解码后总大小超过 {self._max_bytes} 字节", f"they are over {self._max_bytes} bytes decoded in all"
        )


def has_any(attachment: object) -> bool:
    """Return whether the field holds something to attach, sound or not."""
    return attachment is not None and attachment != []


def _entries(attachment: object) -> Sequence[object]:
    return attachment if isinstance(attachment, list) else (attachment,)


def _read_name(entry: object) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise attachment_wrong(
            "必须是 {filename, file} 对象或其列表", "it must be an object {filename, file} or a list of them"
        )
    filename, text = entry.get("filename"), entry.get("file")
    if isinstance(filename, str) and len(filename) > MAX_FILENAME_CHARACTERS:
        raise attachment_wrong(
            f"filename 最多 {MAX_FILENAME_CHARACTERS} 个字符",
            f"filename has at most {MAX_FILENAME_CHARACTERS} characters",
        )
    if not isinstance(filename, str) or not (filename := drop_invisible(filename)).strip():
        raise attachment_wrong("缺少 filename（字符串）", "filename is missing or no string")
    if has_control(filename):
        raise attachment_wrong("filename 不能含控制字符", "filename must not hold a control character")
    if "/" in filename or "\\" in filename or filename in (".", ".."):
        raise attachment_wrong("filename 不能带路径", "filename must be a bare name, without a path")
    if not isinstance(text, str):
        raise attachment_wrong("缺少 file（base64 字符串）", "file is missing or no string of base64")
    return filename, text


def _without_space(text: str) -> str:
    """Drop ASCII white space, a chunk at a time."""
    chunks = (text[at : at + CHUNK_CHARACTERS] for at in range(0, len(text), CHUNK_CHARACTERS))
    return "".join(chunk.translate(_ASCII_SPACE) for chunk in chunks)


def _decode(text: str) -> bytes:
    parts = []
    try:
        for at in range(0, len(text), CHUNK_CHARACTERS):
            chunk = text[at : at + CHUNK_CHARACTERS]
            if at + CHUNK_CHARACTERS < len(text) and "=" in chunk:
                raise ValueError("a pad stands in the middle")  # noqa: TRY301  both kinds get one answer
            parts.append(base64.b64decode(chunk, validate=True))
    except (binascii.Error, ValueError) as error:
        raise attachment_wrong(
            "file 不是 base64：只能是标准字母表（不带 data:前缀）和空白，长度补足到 4 的倍数",
            "file is not base64: use the standard alphabet (and white space), no data: prefix, pad to a multiple of 4",
        ) from error
    return b"".join(parts)
