"""DKIM signatures (RFC 6376; ed25519 by RFC 8463) and their keys."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

MIN_RSA_BITS = 1_024
"""The shortest key that receivers accept (RFC 8301, 3.2)."""

RSA_BITS = 2_048
"""The size of new keys (RFC 8301, 3.2). A longer key's record exceeds a UDP answer, and it signs 10 times slower."""

TXT_CHARACTERS = 255
"""The longest string of a TXT record (RFC 1035, 3.3.14)."""

OVERSIGNED_HEADERS = ("from", "to", "subject")
"""Headers that are signed once more than they occur, so that a copy added on the way breaks the signature."""

SIGNED_HEADERS = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "auto-submitted",
    "x-imsg-id",
)
"""The headers to sign, in this order: those that a mail client shows or acts on (RFC 6376, 5.4.1; RFC 8058, 4)."""

LINE_CHARACTERS = 70
"""How many characters of a signature's value one line has."""


class DkimKeyError(ValueError):
    """A key can't be used; the text says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one domain by one selector."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        """The algorithm's name in the signature."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, head: bytes, body_hash: str, at_s: int) -> bytes:
        """Return the header line that signs `head` (whole header lines, CRLF) and a body of that hash."""
        headers = parse_head(head)
        value = (
            f"v=1; a={self.algorithm}; c=relaxed/relaxed; d={self.domain}; s={self.selector}; t={at_s}; "
            f"h={':'.join(list_signed(headers))}; bh={body_hash}; b="
        )
        signature = b64encode(self._sign(join_signed(headers, value))).decode()
        return _fold(value, signature)

    def _sign(self, octets: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(hashlib.sha256(octets).digest())  # RFC 8463, 3: the hash is what is signed


class Signing:
    """Signs all mails with one body: the body's hash and the time of signing are shared."""

    def __init__(self, signers: Sequence[Signer], body: bytes, at_s: int) -> None:
        self._signers = signers
        self._body_hash = hash_body(body)
        self._at_s = at_s

    def __call__(self, head: bytes) -> bytes:
        """Return the signatures of a mail with these header lines, as header lines that precede them.

        Both algorithms are deterministic: a repeat of a mail gets the same bytes.
        """
        return b"".join(signer.sign(head, self._body_hash, self._at_s) for signer in self._signers)


class DomainSigners:
    """Chooses the signers for a sender's domain: those of the longest equal or parent domain (DMARC, relaxed)."""

    def __init__(self, signers: Iterable[Signer]) -> None:
        self._signers = sorted(signers, key=lambda signer: -len(signer.domain))

    def __call__(self, domain: str, body: bytes, at_s: int) -> Signing | None:
        """Return the Signing of mails with this body from this domain; None where no key fits."""
        signers = self.find(domain)
        return Signing(signers, body, at_s) if signers else None

    def find(self, domain: str) -> Sequence[Signer]:
        """Return the signer of mail from this domain."""
        signing = next((signer.domain for signer in self._signers if f".{domain}".endswith(f".{signer.domain}")), None)
        return [signer for signer in self._signers if signer.domain == signing]


def hash_body(body: bytes) -> str:
    """Return the base64 hash of a body (without the empty line before it) in relaxed form, in linear time."""
    return b64encode(hashlib.sha256(relax_body(body)).digest()).decode()


_BLANKS = re.compile(rb"[ \t]+")


def relax_body(body: bytes) -> bytes:
    """Return the relaxed form of a body (RFC 6376, 3.4.4): single blanks, none at line ends, no empty last lines."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b" " in body or b"\t" in body:
        body = _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n")
    kept = body.rstrip(b"\r\n")  # `mime` writes no bare CR or LF
    return kept + b"\r\n" if kept else b""


def parse_head(head: bytes) -> list[tuple[str, str]]:
    """Parse header lines into (name in lower case, value unfolded and relaxed: RFC 6376, 3.4.2)."""
    lines = head.decode("utf-8").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip().lower(), " ".join(value.split())))
    return headers


def list_signed(headers: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names of `h=`: the signed headers, each repeated for each time that it is signed."""
    present = [name for name, _ in headers]
    names: list[str] = []
    for name in SIGNED_HEADERS:
        if name in present:
            names += [name] * (present.count(name) + (name in OVERSIGNED_HEADERS))
    return names


def join_signed(headers: Sequence[tuple[str, str]], value: str) -> bytes:
    """Return the signed octets: each header of `h=`, the last of a name first, then the signature without `b`."""
    lines = []
    rest = list(headers)
    for name in list_signed(headers):
        at = next((at for at in range(len(rest) - 1, -1, -1) if rest[at][0] == name), None)
        if at is not None:
            lines.append(f"{name}:{rest.pop(at)[1]}\r\n")
    lines.append(f"dkim-signature:{value}")
    return "".join(lines).encode()


def _fold(value: str, signature: str) -> bytes:
    """Return the header with a line for each tag: verifiers read a fold as one blank.

    `h` is not folded at its colons: the blanks would be part of the signed octets.
    """
    tags = value.split("; ")
    folded = ";\r\n ".join(tags)
    return f"DKIM-Signature: {folded}{_fold_signature(signature)}\r\n".encode("ascii")


def _fold_signature(signature: str) -> str:
    return "\r\n ".join(wrap(signature, LINE_CHARACTERS))


def load_key(pem: bytes) -> PrivateKey:
    """Read a private key in PEM form (PKCS#8, or an RSA one in PKCS#1). Raises DkimKeyError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise DkimKeyError("is locked by a password; store it without one, readable for iMSG alone") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DkimKeyError("holds no private key in PEM form; `imsg dkim new` makes one") from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, RSAPrivateKey):
        if key.key_size < MIN_RSA_BITS:
            raise DkimKeyError(f"has {key.key_size} bits, which receivers refuse; make one of {RSA_BITS}")
        return key
    raise DkimKeyError("is neither an RSA nor an ed25519 key; DKIM knows no other")


def make_key(kind: str) -> PrivateKey:
    """Make a key, `rsa` or `ed25519`."""
    if kind == "ed25519":
        return Ed25519PrivateKey.generate()
    return generate_private_key(public_exponent=65_537, key_size=RSA_BITS)


def write_key(key: PrivateKey) -> bytes:
    """Write a private key in PEM form, PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_record(key: PrivateKey) -> str:
    """Return the TXT record of a key, for `SELECTOR._domainkey.DOMAIN`."""
    return f"v=DKIM1; k={'rsa' if isinstance(key, RSAPrivateKey) else 'ed25519'}; p={encode_public_key(key)}"


def encode_public_key(key: PrivateKey) -> str:
    """Return the record's `p`: of RSA the SubjectPublicKeyInfo, of ed25519 the bare 32 octets (RFC 8463, 4)."""
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b64encode(octets).decode()


def quote_strings(text: str) -> str:
    """Return a TXT record in the form of a zone file: quoted strings of at most 255 characters."""
    return " ".join(f'"{piece}"' for piece in _split_strings(text))


def _split_strings(text: str) -> Iterator[str]:
    for start in range(0, len(text), TXT_CHARACTERS):
        yield text[start : start + TXT_CHARACTERS]
