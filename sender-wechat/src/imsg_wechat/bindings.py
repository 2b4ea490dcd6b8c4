"""The table of binding codes, QR codes by which a user adds a follower as contact.

A code is made for a user, scanned by one follower, and confirmed on the web page.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from sqlalchemy import delete, insert, or_, select, update

from imsg_database.database import Database
from imsg_wechat.tables import BINDINGS

SCENE = "imsg-bind-"
"""The prefix of the scenes of binding codes; an account may have other codes. A scene has at most 64 characters."""

LIFE_S = 600
"""How long a code can be scanned."""

CONFIRM_S = 600
"""How long after `expires_at` a scan can be confirmed."""

RETENTION_S = 86_400
"""How long an ended code is kept for the page that shows it."""

State = Literal["waiting", "scanned", "confirmed", "expired"]


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding code."""

    id: str
    scene: str
    account: str
    username: str
    user_id: str
    expires_at: int
    """Unix seconds."""
    tag: str | None = None
    """The tag of the follower who scanned it first; another follower's scan is ignored."""
    confirmed: bool = False

    def state_at(self, now: float) -> State:
        """Return its state at a time."""
        if self.confirmed:
            return "confirmed"
        if self.tag is not None and now < self.expires_at + CONFIRM_S:
            return "scanned"
        return "waiting" if self.tag is None and now < self.expires_at else "expired"


class Bindings:
    """Reads and writes the table. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self.now = now

    async def make(self, account: str, username: str, user_id: str) -> Binding:
        """Add a code for a user; remove codes that ended more than `RETENTION_S` ago."""
        now = int(self.now())
        binding = Binding(
            secrets.token_hex(16), SCENE + secrets.token_hex(24), account, username, user_id, now + LIFE_S
        )
        async with self._database.writing() as connection:
            await connection.execute(delete(BINDINGS).where(BINDINGS.c.expires_at < now - RETENTION_S))
            await connection.execute(insert(BINDINGS).values(asdict(binding)))
        return binding

    async def find(self, name: str) -> Binding | None:
        """Return the code of an id."""
        async with self._database.reading() as connection:
            values = (await connection.execute(select(BINDINGS).where(BINDINGS.c.id == name))).mappings().first()
        return None if values is None else Binding(**values)

    async def scan(self, account: str, scene: str, tag: str) -> Binding | None:
        """Record the scan of a code; return None if it is unknown, has ended, or another follower scanned it."""
        is_free = or_(BINDINGS.c.tag.is_(None), BINDINGS.c.tag == tag)
        row = (BINDINGS.c.scene == scene) & (BINDINGS.c.account == account) & (BINDINGS.c.expires_at > int(self.now()))
        async with self._database.writing() as connection:
            await connection.execute(update(BINDINGS).where(row, is_free).values(tag=tag))
            statement = select(BINDINGS).where(row, BINDINGS.c.tag == tag)
            values = (await connection.execute(statement)).mappings().first()
        return None if values is None else Binding(**values)

    async def confirm(self, binding: Binding) -> Binding:
        """Record that the user confirmed the contact."""
        async with self._database.writing() as connection:
            await connection.execute(update(BINDINGS).where(BINDINGS.c.id == binding.id).values(confirmed=True))
        return replace(binding, confirmed=True)


def find_scene(event: str, key: str) -> str | None:
    """Return the scene of a binding code in an event's key; None if there is none."""
    scene = key.removeprefix("qrscene_") if event == "subscribe" else key
    return scene if event in ("subscribe", "SCAN") and scene.startswith(SCENE) else None
