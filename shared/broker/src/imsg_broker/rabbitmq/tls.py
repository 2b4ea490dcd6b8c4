"""TLS to the broker: whose certificates we believe, which one we show, and in plain words why it fails."""

import os
import ssl
from dataclasses import dataclass

from imsg_runtime.settings import variable

URL = variable("broker_url")

REMEDIES = (
    ("CERTIFICATE_REQUIRED", f"it wants a client certificate: give certfile= and keyfile= in {URL}"),
    ("UNKNOWN_CA", f"it does not know who signed our certificate: give another certfile= in {URL}, or it our CA"),
    ("BAD_CERTIFICATE", f"it refuses our certificate: correct certfile= and keyfile= in {URL}"),
    ("CERTIFICATE_EXPIRED", f"our certificate has expired: renew certfile= in {URL}"),
    ("WRONG_VERSION_NUMBER", f"what answers there speaks no TLS: correct the port in {URL}, or say amqp://"),
)
"""OpenSSL's reasons (a part of their names) and what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What the URL says of TLS; the broker's certificate and its name are always verified."""

    cafile: str | None = None
    """Certificates of those who may have signed the broker's; the system's where None."""
    certfile: str | None = None
    """Our own certificate, and what leads to its root; for a broker that wants to know its clients."""
    keyfile: str | None = None
    """The key of our certificate; in `certfile` too where None."""
    server_name: str | None = None
    """The name that the broker's certificate is made for; the host's where None."""

    def context(self) -> ssl.SSLContext:
        """Read the files, anew for each connection, so that renewed ones need no restart.

        Raises ValueError with a sentence that names the option.
        """
        context = self._make_trusting_context()
        if self.certfile is not None:
            _readable("certfile", self.certfile)
            _readable("keyfile", self.keyfile or self.certfile)
            try:
                context.load_cert_chain(self.certfile, self.keyfile, password=_no_passphrase)
            except ssl.SSLError as error:
                raise ValueError(
                    f"certfile {self.certfile} and its key in the broker's URL are no PEM files that belong together"
                ) from error
        elif self.keyfile is not None:
            raise ValueError("keyfile in the broker's URL needs a certfile beside it")
        return context

    def _make_trusting_context(self) -> ssl.SSLContext:
        if self.cafile is None:
            return ssl.create_default_context()
        _readable("cafile", self.cafile)
        try:
            return ssl.create_default_context(cafile=self.cafile)
        except ssl.SSLError as error:
            raise ValueError(f"cafile {self.cafile} in the broker's URL holds no PEM certificate") from error


def explain(error: object) -> str | None:
    """Say what is wrong between the broker's certificates and ours, and which option of the URL mends it.

    None where it is not that. pika passes some errors of OpenSSL on as text only.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate does not verify ({error.verify_message.rstrip('.')}): say in {URL} "
            "whose signature to believe (cafile=), or which name it is made for (server_name=)"
        )
    text = str(error)
    return next((remedy for part, remedy in REMEDIES if part in text), None)


def _readable(option: str, path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123  only whether it opens
            pass
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ValueError(f"{option} {path} in the broker's URL can't be read ({reason})") from error


def _no_passphrase() -> str:
    """Answer OpenSSL, which else would ask at the terminal and wait."""
    raise ValueError("the key in the broker's URL (keyfile) has a passphrase; give one without")
