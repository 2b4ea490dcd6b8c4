"""Codes by which a follower becomes a user's contact: made for a user, scanned once, confirmed in the page."""

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from sqlalchemy import delete, insert, or_, select, update

from imsg_database.database import Database
from imsg_wechat.tables import BINDINGS

SCENE = "imsg-bind-"
"""What the scene of our codes begins with; an account may have other codes. A scene has 64 characters at most."""

LIFE_S = 600
"""How long a code can be scanned."""

CONFIRM_S = 600
"""How long, after that, who has scanned it can be confirmed."""

KEPT_S = 86_400
"""How long what is over is kept: the page that shows a code may ask for it still."""

State = Literal["waiting", "scanned", "confirmed", "expired"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One code."""

    id: str
    scene: str
    account: str
    username: str
    user_id: str
    expires_at: int
    """Unix seconds."""
    tag: str | None = None
    """Of who has scanned it: the first one, and nobody after."""
    confirmed: bool = False

    def state_at(self, now: float) -> State:
        """Say how far it is."""
        if self.confirmed:
            return "confirmed"
        if self.tag is not None and now < self.expires_at + CONFIRM_S:
            return "scanned"
        return "waiting" if self.tag is None and now < self.expires_at else "expired"


class Bindings:
    """The codes. Every verb raises DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self.now = now

    async def make(self, account: str, username: str, user_id: str) -> Binding:
        """Keep a new code for a user; what is long over goes."""
        now = int(self.now())
        made = Binding(secrets.token_hex(16), SCENE + secrets.token_hex(24), account, username, user_id, now + LIFE_S)
        async with self._database.writing() as connection:
            await connection.execute(delete(BINDINGS).where(BINDINGS.c.expires_at < now - KEPT_S))
            await connection.execute(insert(BINDINGS).values(asdict(made)))
        return made

    async def find(self, name: str) -> Binding | None:
        """Find a code by its id."""
        async with self._database.reading() as connection:
            found = (await connection.execute(select(BINDINGS).where(BINDINGS.c.id == name))).mappings().first()
        return None if found is None else Binding(**found)

    async def scan(self, account: str, scene: str, tag: str) -> Binding | None:
        """Note who has scanned a code; None where it is none of ours, over, or somebody else's."""
        is_free = or_(BINDINGS.c.tag.is_(None), BINDINGS.c.tag == tag)
        row = (BINDINGS.c.scene == scene) & (BINDINGS.c.account == account) & (BINDINGS.c.expires_at > int(self.now()))
        async with self._database.writing() as connection:
            await connection.execute(update(BINDINGS).where(row, is_free).values(tag=tag))
            statement = select(BINDINGS).where(row, BINDINGS.c.tag == tag)
            found = (await connection.execute(statement)).mappings().first()
        return None if found is None else Binding(**found)

    async def confirm(self, binding: Binding) -> Binding:
        """Note that the user has the contact now."""
        async with self._database.writing() as connection:
            await connection.execute(update(BINDINGS).where(BINDINGS.c.id == binding.id).values(confirmed=True))
        return replace(binding, confirmed=True)


def scene_of(event: str, key: str) -> str | None:
    """Read the scene of one of our codes from an event's key; None where there is none."""
    scene = key.removeprefix("qrscene_") if event == "subscribe" else key
    return scene if event in ("subscribe", "SCAN") and scene.startswith(SCENE) else None
