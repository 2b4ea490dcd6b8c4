"""Whatever a server answers about one mail, the others that it would accept go within a minute, and the one settles.

The script is drawn anew in each run; a failure names the seed that repeats it.
"""

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from imsg_contract.results import Result
from imsg_contract.wire import Status
from imsg_smtp.domains import PRESETS, Domains
from imsg_smtp.mime import MailContent, render
from imsg_smtp.senders import Sender
from imsg_smtp.server_address import ServerAddress
from imsg_testing.smtp_connections import QUICK, sending_to
from imsg_testing.smtp_server import Act, Raw, ScriptedReply, smtp_server
from imsg_testing.starvation import POISON, begin, draw_arrivals, find_starved, play

ROUNDS = 12

FINAL: Sequence[ScriptedReply] = (
    "553 Mail from must equal authorized user",
    "501 mail from address must be same as authorization user",
    "553 5.7.1 Sender address rejected: not owned by user imsg",
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    "550 MI:SPF 163 mx1",
    "550 5.7.26 Unauthenticated email is not accepted",
    "550 5.7.1 Delivery not authorized",
    "554 5.7.1 Relay access denied",
    "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "554 5.7.1 Client host rejected: Access denied",
    "530 5.7.0 Authentication required",
    "535 5.7.8 Error: authentication failed",
    "538 5.7.11 Encryption required",
    "550 5.1.1 no such user",
)
PASSING: Sequence[ScriptedReply] = (
    "421 4.7.0 too many connections",
    "421 4.3.2 shutting down",
    "432 4.7.12 A password transition is needed",
    "440 mail from account doesn't conform with authentication",
    "450 4.2.0 greylisted",
    "451 MI:SFQ 163 mx1",
    "454 4.7.0 Temporary authentication failure",
    "503 5.5.1 bad sequence of commands",
    "550 5.4.5 Daily user sending limit exceeded",
    "550 Domain frequency limited",
    "550 5.7.28 There is an unusual rate of unsolicited mail",
    "550 Mailbox unavailable or access denied",
    Raw(b"hm\r\n"),
    "299 yes and no",
    Act.DROP,
    Act.RESET,
)


async def send_all(
    seed: int,
    poison: dict[str, ScriptedReply],
    sender_domains: Sequence[str],
    domains: Sequence[str],
    *,
    workers: int = 1,
) -> Status | None:
    """Send mails, one of them poisoned, over a real server; return what became of that one.

    Each attempt is made by any of the workers, which know nothing of one another.
    """
    random, clock = begin(seed)
    async with smtp_server(extensions=["ENHANCEDSTATUSCODES"]) as server:
        address = ServerAddress(server.host, server.port, "none", "example.com", None)
        arrivals = draw_arrivals(random)
        mails = {}
        for n, name in enumerate(arrivals):
            sender = Sender("", f"noreply@{random.choice(sender_domains)}")
            rendered = render(MailContent("x", "x"), sender, "0192f0c4a7b17d3e8f00112233445566", datetime.now(UTC))
            mails[name] = rendered.make_mail(n, f"{name}@{random.choice(domains)}")
        server.poison[mails[POISON].recipient] = poison

        async with AsyncExitStack() as stack:
            sendings = [
                await stack.enter_async_context(
                    sending_to(address, timeouts=QUICK, clock=clock, domains=Domains(PRESETS, clock, clock.sleep))
                )
                for _ in range(workers)
            ]

            async def send(name: str) -> Result:
                return await random.choice(sendings).send(mails[name])

            settled = await play(clock, arrivals, send, random, 3_600.0)
    assert find_starved(settled, arrivals) == {}
    return settled[POISON][0] if POISON in settled else None


@pytest.mark.parametrize("workers", [1, 2])
async def test_whatever_is_answered_about_one_mail_others_go_within_a_minute(workers: int) -> None:
    first = secrets.randbits(32)
    for seed in range(first, first + ROUNDS):
        random, _ = begin(seed)
        poison = {random.choice(("RCPT", "DATA", "DOT")): random.choice((*FINAL, *PASSING))}
        try:
            await send_all(seed, poison, ("x.cn", "y.cn")[: random.choice((1, 2))], ("qq.com", "z.cn"), workers=workers)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {poison}") from error


@pytest.mark.parametrize("answer", FINAL)
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_mail_that_is_refused_whatever_others_are_fails_and_stops_no_other(
    answer: ScriptedReply, workers: int
) -> None:
    assert await send_all(1, {"RCPT": answer}, ("x.cn",), ("z.cn",), workers=workers) is Status.FAILED
