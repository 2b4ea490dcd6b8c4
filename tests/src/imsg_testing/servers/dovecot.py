"""Dovecot for the tests: mailboxes by IMAP, each a Maildir in which a test may store messages."""

import os
import pwd
import secrets
from pathlib import Path
from typing import Literal

from imsg_testing.processes import Process
from imsg_testing.servers.certificates import Certificates
from imsg_testing.servers.ports import ask, reserve_port
from imsg_testing.servers.server import MissingServerError, Server, find_program

PASSWORD = "bounces-of-imsg"

CONFIGURATION = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {folder}/run
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
ssl = {ssl}
{certificate}
auth_allow_cleartext = yes
auth_failure_delay = 0
first_valid_uid = 0
mail_driver = maildir
mail_path = {folder}/mail/%{{user}}
mailbox_list_index = no
maildir_stat_dirs = no
passdb static {{
  passdb_static_password = {password}
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {folder}/mail
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
{more}
"""

READABLE = 0o005
"""By others: its processes run as users of their own."""


def mail_owner() -> pwd.struct_passwd:
    """Return the user who owns the mailboxes, because root may not read mail."""
    return pwd.getpwnam("mail") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


class Dovecot(Server):
    """IMAP with and without TLS. Every name is a user, whose password is `PASSWORD`."""

    def __init__(self, *, more: str = "") -> None:
        """`more` is more of its configuration."""
        super().__init__()
        self._more = more
        self.tls_port = 0

    @property
    def port(self) -> int:
        """Where IMAP without TLS is."""
        return self._port

    @property
    def ca_file(self) -> Path:
        """What TLS' certificate for localhost is signed by."""
        return self.folder / "ca.pem"

    @property
    def url(self) -> str:
        """An imap:// URL."""
        return f"imap://127.0.0.1:{self._port}"

    def deliver(self, user: str, raw: bytes) -> None:
        """Store a message in a user's INBOX."""
        box = self.box(user)
        owner = mail_owner()
        for part in (box, box / "cur", box / "new", box / "tmp"):
            if not part.exists():
                part.mkdir()
                os.chown(part, owner.pw_uid, owner.pw_gid)
        name = f"{secrets.token_hex(8)}.test"
        (box / "tmp" / name).write_bytes(raw)
        os.chown(box / "tmp" / name, owner.pw_uid, owner.pw_gid)
        (box / "tmp" / name).rename(box / "new" / name)

    def box(self, user: str) -> Path:
        """Return the Maildir of a user."""
        return self.folder / "mail" / user

    def messages(self, user: str, kind: Literal["new", "cur"] = "cur") -> list[Path]:
        """Return the files of unseen messages (`new`), or of the others (`cur`)."""
        return sorted((self.box(user) / kind).glob("*"))

    def _prepare(self) -> Process:
        program = find_program("dovecot")
        if program is None:
            raise MissingServerError("Dovecot is not installed: apt-get install dovecot-imapd")
        self._port, self.tls_port = reserve_port(self), reserve_port(self)
        own = Certificates(self.folder, "localhost")
        me = pwd.getpwuid(os.getuid())
        is_root = me.pw_uid == 0
        owner = mail_owner()
        (self.folder / "mail").mkdir()
        os.chown(self.folder / "mail", owner.pw_uid, owner.pw_gid)
        for folder in (self.folder, *self.folder.parents):
            if is_root and folder.stat().st_mode & READABLE != READABLE:
                folder.chmod(0o755)
        configuration = self.folder / "dovecot.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                internal="dovecot" if is_root else me.pw_name,
                login="dovenull" if is_root else me.pw_name,
                group="dovecot" if is_root else me.pw_gid,
                ssl="yes",
                certificate=f"ssl_server_cert_file = {own.server}\nssl_server_key_file = {own.server_key}",
                password=PASSWORD,
                uid=owner.pw_uid,
                gid=owner.pw_gid,
                port=self._port,
                tls_port=self.tls_port,
                more=self._more,
            ),
            encoding="utf-8",
        )
        return Process([str(program), "-F", "-c", str(configuration)], log=self.folder / "log")

    def _answers(self) -> bool:
        return ask(self._port, b"").startswith(b"* OK")
