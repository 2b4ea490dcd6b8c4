"""Postfix: takes mail over SMTP, keeps it in its queue, relays it to the mail server of ours."""

import shutil
import subprocess
import sys

from imsg_bench.peers.peer import ADDRESS, MAIL, Door, MailPeer, program

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.example.com
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{sink}
smtp_dns_support_level = disabled
smtputf8_enable = no
smtp_tls_security_level = none
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
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


READABLE = 0o005
"""By others: its processes run as a user of their own."""


class Postfix(MailPeer):
    """A mail server as a queue."""

    NAME = "Postfix"
    WHAT = "SMTP in, its queue, SMTP out to the same mail server; mail"
    SETTINGS = "as it comes: every queue file synced before its 250; 20 connections to a destination"

    def version(self) -> str:
        """Its own."""
        command = [program("postconf", "postfix"), "-d", "-h", "mail_version"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def open(self) -> Door:
        """Configure and start it."""
        sink, port = self.sink(sys.executable), self.port()
        for folder in (self.folder, *self.folder.parents):
            if folder.stat().st_mode & READABLE != READABLE:
                folder.chmod(0o755)
        settings = self.folder / "etc"
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        (settings / "main.cf").write_text(MAIN.format(folder=self.folder, sink=sink))
        (settings / "master.cf").write_text(SERVICES.format(port=port))
        self.add([program("postfix", "postfix"), "-c", str(settings), "start-fg"], port)
        return Door("smtp", port, ADDRESS, "250 ", MAIL)
