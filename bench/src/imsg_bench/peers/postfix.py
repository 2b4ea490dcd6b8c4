"""Postfix: takes mail over SMTP, keeps it in its queue, relays it to the mail server of ours."""

import subprocess
import sys

from imsg_bench.peers.peer import ADDRESS, MAIL, Endpoint, MailPeer, program
from imsg_testing.servers.postfix import configure

RELAY = """\
myhostname = peer.example.com
relayhost = [127.0.0.1]:{sink}
smtp_tls_security_level = none
"""


class Postfix(MailPeer):
    """A mail server as a queue."""

    NAME = "Postfix"
    WHAT = "SMTP in, its queue, SMTP out to the same mail server; mail"
    SETTINGS = "as it comes: every queue file synced before its 250; 20 connections to a destination"

    def version(self) -> str:
        """Its own."""
        command = [program("postconf", "postfix"), "-d", "-h", "mail_version"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def open(self) -> Endpoint:
        """Configure and start it."""
        sink, port = self.sink(sys.executable), self.port()
        self.add(configure(self.folder, port, RELAY.format(sink=sink)), port)
        return Endpoint("smtp", port, ADDRESS, "250 ", MAIL)
