"""Kannel: takes an SMS over HTTP, keeps it in its spool, hands it to the operator of ours over HTTP."""

import subprocess
import sys

from imsg_bench.peers.peer import PHONE, Endpoint, PhonePeer, program

SETTINGS = """\
group = core
admin-port = {admin}
admin-password = a-password
smsbox-port = {inside}
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = {folder}/spool
log-file = {folder}/bearerbox.txt
log-level = 2

group = smsc
smsc = http
smsc-id = peer
system-type = generic
port = {unused}
connect-allow-ip = "127.0.0.1"
max-pending-submits = 16
send-url = "http://127.0.0.1:{operator}/?to=%p&text=%a"
status-success-regex = "ok"

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {port}
log-file = {folder}/smsbox.txt
log-level = 2

group = sendsms-user
username = peer
password = a-password
default-sender = 10001
"""

REQUEST = (
    f"GET /cgi-bin/sendsms?username=peer&password=a-password&to={PHONE}&text=Your+order+is+on+its+way HTTP/1.1\r\n"
    "host: 127.0.0.1\r\n\r\n"
)


class Kannel(PhonePeer):
    """An SMS gateway in C."""

    NAME = "Kannel"
    WHAT = "bearerbox and smsbox, HTTP in, an HTTP operator out (16 at once); SMS"
    SETTINGS = "store-type spool: a file a message, not synced to the disk"

    def version(self) -> str:
        """Return the package's version."""
        program("bearerbox", "kannel")
        command = ["dpkg-query", "-W", "-f", "${Version}", "kannel"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def open(self) -> Endpoint:
        """Configure and start both."""
        ports = {name: self.port() for name in ("admin", "inside", "unused", "port")}
        operator = self.operator(sys.executable, "http")
        (self.folder / "spool").mkdir()
        settings = self.folder / "kannel.conf"
        settings.write_text(SETTINGS.format(folder=self.folder, operator=operator, **ports))
        self.add([program("bearerbox", "kannel"), str(settings)], ports["inside"])
        self.add([program("smsbox", "kannel"), str(settings)], ports["port"])
        return Endpoint("http", ports["port"], REQUEST, "0: Accepted")
