"""TLS to the broker: trusted certificates, the client certificate, and explanations of errors."""

import os
import ssl
from dataclasses import dataclass

from imsg_runtime.settings import variable

URL = variable("broker_url")

REMEDIES = (
    ("CERTIFICATE_REQUIRED", f"it wants a client certificate: give certfile= and keyfile= in {URL}"),
    (
        "UNKNOWN_CA",
        f"it does not trust the issuer of our certificate: give another certfile= in {URL}, or add its CA there",
    ),
    ("BAD_CERTIFICATE", f"it refuses our certificate: correct certfile= and keyfile= in {URL}"),
    ("CERTIFICATE_EXPIRED", f"our certificate has expired: renew certfile= in {URL}"),
    ("WRONG_VERSION_NUMBER", f"what answers there speaks no TLS: correct the port in {URL}, or use amqp://"),
)
"""Part of the name of OpenSSL's reason → what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS options of the URL; the broker's certificate and its name are always verified."""

    cafile: str | None = None
    """The trusted CA certificates; None: those of the system."""
    certfile: str | None = None
    """The client certificate with its chain, for a broker that verifies clients."""
    keyfile: str | None = None
    """The key of the client certificate; None: it is in `certfile`."""
    server_name: str | None = None
    """The name in the broker's certificate; None: the host's name."""

    def context(self) -> ssl.SSLContext:
        """Return an SSL context, read from the files for each connection, so that renewed ones need no restart.

        Raises ValueError with a sentence that names the option.
        """
        context = self._make_trusting_context()
        if self.certfile is not None:
            _require_readable("certfile", self.certfile)
            _require_readable("keyfile", self.keyfile or self.certfile)
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
        _require_readable("cafile", self.cafile)
        try:
            return ssl.create_default_context(cafile=self.cafile)
        except ssl.SSLError as error:
            raise ValueError(f"cafile {self.cafile} in the broker's URL holds no PEM certificate") from error


def explain(error: object) -> str | None:
    """Return what is wrong with a certificate, and the option that corrects it; None for another error.

    pika passes some errors of OpenSSL on as text only.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate does not verify ({error.verify_message.rstrip('.')}): set in {URL} "
            "the issuer to trust (cafile=) or the name that it has (server_name=)"
        )
    text = str(error)
    return next((remedy for part, remedy in REMEDIES if part in text), None)


def _require_readable(option: str, path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123  only whether it opens
            pass
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ValueError(f"{option} {path} in the broker's URL can't be read ({reason})") from error


def _no_passphrase() -> str:
    """Raise ValueError: without a callback OpenSSL would read the passphrase from the terminal."""
    raise ValueError("the key in the broker's URL (keyfile) has a passphrase; give one without")
