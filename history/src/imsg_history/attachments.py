"""Attachments: bytes that are too long for the broker, by (request, sha256), kept until some days past their expiry."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_database.inserts import insert_into
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.tables import attachments

MAX_BYTES = 16 * 1024 * 1024
"""The longest body: the limit of a whole request."""

KEPT_AFTER_EXPIRY = timedelta(days=7)
"""For so long a failed message can be sent again with its attachments."""

WRITE_TIMEOUT_S = 8.0

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AttachmentKey:
    """The key of an attachment's bytes: a request of up to 10,000 recipients has them once."""

    request: str
    sha256: str

    @classmethod
    def read(cls, request: str, sha256: str) -> "AttachmentKey":
        """Read the two parts of the URL. Raises Refusal not_found where they name nothing."""
        name = Name.read(request)
        if name is None or name.n is not None or not _SHA256.fullmatch(sha256):
            raise Refusal("not_found", what=f"attachments/{request}/{sha256}"[:200])
        return cls(name.request, sha256)


class Attachments:
    """The store of attachments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, key: AttachmentKey, body: bytes, expires_at: datetime) -> None:
        """Store a body, durably; to store it again only extends its expiry.

        Raises Refusal where the body has another hash than its key, DatabaseUnavailable.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
        if digest != key.sha256:
            raise Refusal(
                "wrong_type",
                field="sha256",
                why_zh="与收到的内容不符，请重发",
                why_en="the bytes that arrived have another one; send them again",
            )
        row = {
            "request": key.request,
            "sha256": key.sha256,
            "body": body,
            "expires_at": expires_at + KEPT_AFTER_EXPIRY,
        }
        await self._database.write(lambda connection: self._insert(connection, row), WRITE_TIMEOUT_S)

    async def get(self, key: AttachmentKey) -> bytes:
        """Return a body. Raises Refusal not_found, DatabaseUnavailable."""
        query = select(attachments.c.body).where(
            attachments.c.request == key.request, attachments.c.sha256 == key.sha256
        )
        body: bytes | None = await self._database.scalar(query)
        if body is None:
            raise Refusal("not_found", what=f"attachments/{key.request}/{key.sha256}")
        return body

    async def _insert(self, connection: AsyncConnection, row: dict[str, Any]) -> None:
        added = insert_into(attachments, is_postgres=self._database.is_postgres).values(row)
        new, old = added.excluded.expires_at, attachments.c.expires_at
        later = case((new > old, new), else_=old)
        await connection.execute(
            added.on_conflict_do_update(index_elements=["request", "sha256"], set_={"expires_at": later})
        )
