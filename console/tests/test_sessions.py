"""Sessions last while their person is active, and end everywhere at once."""

import asyncio
from dataclasses import dataclass, field

from imsg_console.client import Visitor
from imsg_console.session import MAX_ENDED, MAX_SESSIONS_PER_USER, Login, NoSession, Session, Sessions

IDLE_S = 60.0


@dataclass
class Clock:
    """A clock to set, and what was revoked."""

    now: float = 1_000.0
    revoked: list[str] = field(default_factory=list)
    kept: dict[str, Login | None] = field(default_factory=dict)
    """Secret → what the API knows of it; None: it is not reached."""
    asked: int = 0

    def sessions(self) -> Sessions:
        """Make the sessions by this clock."""

        async def revoke(session: Session) -> None:
            self.revoked.append(session.token)

        async def resume(secret: str, visitor: Visitor) -> Login | NoSession | None:
            del visitor
            self.asked += 1
            return self.kept.get(secret, NoSession())

        return Sessions(IDLE_S, lambda: self.now, revoke, resume)


@dataclass
class Tab:
    """A page that notes why it had to go."""

    why: str = ""

    def close(self, why: str) -> None:
        """Record the call."""
        self.why = why

    def discard(self) -> None:
        """Do nothing."""


@dataclass
class Task:
    """Work that notes that it was stopped."""

    is_stopped: bool = False

    def stop(self) -> None:
        """Record the call."""
        self.is_stopped = True


VISITOR = Visitor({"type": "http", "headers": [], "client": ("192.0.2.1", 5)})


def open_session(sessions: Sessions, username: str = "admin", expires_in_s: float = 3_600.0) -> tuple[Session, str]:
    """Open a session."""
    return sessions.open(
        username, role="admin", token=f"token of {username}", visitor=VISITOR, expires_in_s=expires_in_s
    )


def test_only_the_secret_of_the_cookie_finds_a_session() -> None:
    sessions = Clock().sessions()
    session, secret = open_session(sessions)

    assert sessions.find(secret) is session
    assert sessions.find(session.key) is None
    assert sessions.find("") is None


async def test_a_session_ends_when_nothing_is_done_and_its_token_is_revoked() -> None:
    clock = Clock()
    sessions = clock.sessions()
    session, secret = open_session(sessions)
    session.tabs["page"] = tab = Tab()
    session.tasks.append(task := Task())
    clock.now += IDLE_S
    assert sessions.find(secret) is None

    await sessions.sweep()

    assert (tab.why, task.is_stopped, clock.revoked, len(sessions)) == ("idle", True, ["token of admin"], 0)


async def test_what_people_do_keeps_a_session() -> None:
    clock = Clock()
    sessions = clock.sessions()
    session, secret = open_session(sessions)
    for _ in range(5):
        clock.now += IDLE_S - 1
        sessions.touch(session)
        await sessions.sweep()

    assert sessions.find(secret) is session


async def test_a_session_ends_with_its_token_whatever_is_done() -> None:
    clock = Clock()
    sessions = clock.sessions()
    session, secret = open_session(sessions, expires_in_s=30.0)
    session.tabs["page"] = tab = Tab()
    clock.now += 30.0
    sessions.touch(session)
    await sessions.sweep()

    assert (sessions.find(secret), tab.why) == (None, "expired")


def test_a_log_out_everywhere_ends_every_session_of_the_user_and_no_other() -> None:
    sessions = Clock().sessions()
    mine, others = [open_session(sessions) for _ in range(3)], open_session(sessions, "天存")
    sessions.end_all_of("admin", "ended")

    assert [sessions.find(secret) for _, secret in mine] == [None] * 3
    assert sessions.find(others[1]) is others[0]


def test_the_oldest_of_very_many_sessions_gives_way() -> None:
    sessions = Clock().sessions()
    many = [open_session(sessions) for _ in range(MAX_SESSIONS_PER_USER + 1)]

    assert sessions.find(many[0][1]) is None
    assert sessions.find(many[1][1]) is many[1][0]
    assert len(sessions) == MAX_SESSIONS_PER_USER


def test_a_cookie_whose_session_is_over_gets_the_reason() -> None:
    clock = Clock()
    sessions = clock.sessions()
    (left, left_secret), (_, idle_secret), (_, expired_secret) = (
        open_session(sessions, "left"),
        open_session(sessions, "idle"),
        open_session(sessions, "expired", expires_in_s=10.0),
    )
    sessions.end(left, "elsewhere")
    clock.now += IDLE_S
    assert sessions.why_ended(left_secret) == "elsewhere"
    assert sessions.why_ended(idle_secret) == "idle"
    assert sessions.why_ended(expired_secret) == "expired"
    assert Clock().sessions().why_ended(left_secret) == "restarted"


async def test_the_why_outlives_the_sweep_and_is_bounded() -> None:
    clock = Clock()
    sessions = clock.sessions()
    _, secret = open_session(sessions)
    clock.now += IDLE_S
    await sessions.sweep()
    assert sessions.why_ended(secret) == "idle"
    for number in range(MAX_ENDED):
        sessions.end(open_session(sessions, f"user{number}")[0], "left")
    assert sessions.why_ended(secret) == "restarted"


async def test_a_session_of_another_console_goes_on_and_the_api_is_asked_once() -> None:
    clock = Clock(kept={"secret": Login("zhang", "auditor", "token of zhang", 60.0)})
    sessions = clock.sessions()

    one, two = await asyncio.gather(*(sessions.find_or_resume("secret", VISITOR) for _ in range(2)))

    assert one is two
    assert one is not None
    assert (one.username, one.role, one.token, clock.asked) == ("zhang", "auditor", "token of zhang", 1)
    sessions.end(one, "left")
    assert await sessions.find_or_resume("secret", VISITOR) is None


async def test_an_unknown_cookie_is_asked_about_once_and_again_where_the_api_was_away() -> None:
    clock = Clock(kept={"away": None})
    sessions = clock.sessions()
    for secret, asked in (("unknown", 1), ("unknown", 1), ("away", 2), ("away", 3)):
        assert await sessions.find_or_resume(secret, VISITOR) is None
        assert clock.asked == asked
    assert sessions.why_ended("unknown") == "restarted"
