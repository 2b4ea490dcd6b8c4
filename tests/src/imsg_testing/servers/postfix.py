"""Postfix for the tests: it takes mail, delivers it to one domain's mailboxes, and bounces what it can't deliver."""

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from imsg_testing.processes import Process
from imsg_testing.servers.dovecot import mail_owner
from imsg_testing.servers.ports import ask, reserve_port
from imsg_testing.servers.server import MissingServerError, Server, find_program

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_dns_support_level = disabled
smtputf8_enable = no
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
"""

SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

BOXES = """\
myhostname = mx.example.org
local_recipient_maps =
smtp_tls_security_level = may
smtp_tls_loglevel = 1
virtual_mailbox_domains = {domains}
virtual_mailbox_base = /
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
virtual_minimum_uid = 1
smtpd_reject_unlisted_recipient = no
transport_maps ={transports}
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
"""

PIPE = """\
pipe-{domain} unix - n n - 4 pipe
  flags=Rq user=nobody argv={program} ${{recipient}}
"""

READABLE = 0o005
"""By others: its processes run as a user of their own."""


def configure(folder: Path, port: int, settings: str, services: str = "") -> list[str]:
    """Write the files of a Postfix that listens on a port and keeps to a folder; return the command that runs it.

    `settings` and `services` stand behind those that every Postfix has, in `main.cf` and in `master.cf`. Raises
    MissingServerError.
    """
    program = find_program("postfix")
    if program is None:
        raise MissingServerError("Postfix is not installed: apt-get install postfix")
    if os.getuid() != 0:
        raise MissingServerError("Postfix runs as root only")
    for path in (folder, *folder.parents):
        if path.stat().st_mode & READABLE != READABLE:
            path.chmod(0o755)
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder) + settings)
    (folder / "etc" / "master.cf").write_text(SERVICES.format(port=port) + services)
    return [str(program), "-c", str(folder / "etc"), "start-fg"]


class Postfix(Server):
    """A mail server for the domains of `boxes`; mail to an unknown address bounces after it was accepted.

    `boxes`: address, or `@domain` for all of it → Maildir; None discards the mail. `ways`: other domain → the port of
    its mail server on this machine. `pipes`: domain → a program that gets each mail, with its recipient as an
    argument.
    """

    def __init__(
        self,
        boxes: Mapping[str, Path | None],
        ways: Mapping[str, int] | None = None,
        pipes: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__()
        self._pipes = pipes or {}
        self._boxes = boxes
        self._ways = ways or {}

    @property
    def port(self) -> int:
        """Its SMTP port."""
        return self._port

    @property
    def url(self) -> str:
        """An smtp:// URL."""
        return f"smtp://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it logged."""
        file = self.folder / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def close(self) -> None:
        """End it: its master, too, which the script that starts it leaves behind."""
        written = self.folder / "queue" / "pid" / "master.pid"
        master = int(written.read_text()) if written.exists() else 0
        super().close()
        with suppress(OSError):  # it has ended; its id may be another process's by now
            if master and Path(f"/proc/{master}/comm").read_text() == "master\n":
                os.kill(master, signal.SIGTERM)  # it ends its own

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        own, owner = self.folder / "boxes", mail_owner()
        own.mkdir()
        os.chown(own, owner.pw_uid, owner.pw_gid)
        places = {address: box or own / address for address, box in self._boxes.items()}
        boxes = ", ".join(f"{{ {address} = {str(box).lstrip('/')}/ }}" for address, box in places.items())
        ways = [f"{{ {domain} = smtp:[127.0.0.1]:{port} }}" for domain, port in self._ways.items()]
        transports = ", ".join((*ways, *(f"{{ {domain} = pipe-{domain}: }}" for domain in self._pipes)))
        settings = BOXES.format(
            domains=", ".join({address.partition("@")[2] for address in self._boxes}),
            boxes=boxes,
            transports=f" inline:{{ {transports} }}" if transports else "",
            owner=owner,
        )
        pipes = "".join(PIPE.format(domain=domain, program=program) for domain, program in self._pipes.items())
        return Process(configure(self.folder, self._port, settings, pipes), log=self.folder / "log")

    def _answers(self) -> bool:
        return ask(self._port, b"").startswith(b"220")
