"""DKIM signatures (RFC 6376; ed25519 by RFC 8463) and the keys they are made with: the one module for cryptography."""

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
"""What receivers still take (RFC 8301, 3.2); ours are longer."""

RSA_BITS = 2_048
"""RFC 8301, 3.2. Longer ones do not fit into a UDP answer, and take 10 times as long to sign by."""

TXT_CHARACTERS = 255
"""Of one string of a TXT record (RFC 1035, 3.3.14)."""

OVERSIGNED = ("from", "to", "subject")
"""Signed once more than they stand there, so that a second one added on the way breaks the signature."""

SIGNED = (
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
"""What is signed of what is there, in this order: all that a reader sees or acts on (RFC 6376, 5.4.1; RFC 8058, 4)."""

LINE_CHARACTERS = 70
"""Of a signature's value on one line."""


class DkimKeyError(ValueError):
    """A key can't be used; its text says why and what is wanted."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one domain by one selector."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        """Name it as the signature does."""
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
    """What all mails of one body share of their signatures: the body's hash, and when it was signed."""

    def __init__(self, signers: Sequence[Signer], body: bytes, at_s: int) -> None:
        self._signers = signers
        self._body_hash = hash_body(body)
        self._at_s = at_s

    def __call__(self, head: bytes) -> bytes:
        """Return the signatures of a mail with these header lines, to stand before them.

        Both algorithms are deterministic: a mail that is signed again gets the same bytes.
        """
        return b"".join(signer.sign(head, self._body_hash, self._at_s) for signer in self._signers)


class Signatures:
    """Finds who signs for a sender: the longest of the domains that its own is, or is below (DMARC, relaxed)."""

    def __init__(self, signers: Iterable[Signer]) -> None:
        self._signers = sorted(signers, key=lambda signer: -len(signer.domain))

    def __call__(self, domain: str, body: bytes, at_s: int) -> Signing | None:
        """Begin to sign mails of this body, which come from this domain; None where it has no key."""
        found = next((signer.domain for signer in self._signers if f".{domain}".endswith(f".{signer.domain}")), None)
        if found is None:
            return None
        return Signing([signer for signer in self._signers if signer.domain == found], body, at_s)


def hash_body(body: bytes) -> str:
    """Hash a body (without the empty line before it), in relaxed form; takes time in proportion to it."""
    return b64encode(hashlib.sha256(relax_body(body)).digest()).decode()


_BLANKS = re.compile(rb"[ \t]+")


def relax_body(body: bytes) -> bytes:
    """Write a body as RFC 6376, 3.4.4 wants it hashed: blanks as one, none at a line's end, no empty lines last."""
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b" " in body or b"\t" in body:
        body = _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n")
    kept = body.rstrip(b"\r\n")  # bare CR and LF do not occur: mime writes none
    return kept + b"\r\n" if kept else b""


def parse_head(head: bytes) -> list[tuple[str, str]]:
    """Part header lines into (name in small letters, value unfolded and relaxed: RFC 6376, 3.4.2)."""
    lines = head.decode("utf-8").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.append((name.strip().lower(), " ".join(value.split())))
    return headers


def list_signed(headers: Sequence[tuple[str, str]]) -> list[str]:
    """List what `h=` names."""
    present = [name for name, _ in headers]
    names: list[str] = []
    for name in SIGNED:
        if name in present:
            names += [name] * (present.count(name) + (name in OVERSIGNED))
    return names


def join_signed(headers: Sequence[tuple[str, str]], value: str) -> bytes:
    """Join what is signed: each named header, the last of its name first, then the signature's own without `b`."""
    lines = []
    rest = list(headers)
    for name in list_signed(headers):
        at = next((at for at in range(len(rest) - 1, -1, -1) if rest[at][0] == name), None)
        if at is not None:
            lines.append(f"{name}:{rest.pop(at)[1]}\r\n")
    lines.append(f"dkim-signature:{value}")
    return "".join(lines).encode()


def _fold(value: str, signature: str) -> bytes:
    """Write the header, a line for each tag: a fold is one blank to whoever verifies.

    `h` is not cut at its colons: blanks around them would stand in what is signed.
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


def record(key: PrivateKey) -> str:
    """Write the TXT record of a key, which stands at `SELECTOR._domainkey.DOMAIN`."""
    return f"v=DKIM1; k={'rsa' if isinstance(key, RSAPrivateKey) else 'ed25519'}; p={public_part(key)}"


def public_part(key: PrivateKey) -> str:
    """Return the record's `p`: of RSA the SubjectPublicKeyInfo, of ed25519 the bare 32 octets (RFC 8463, 4)."""
    public = key.public_key()
    if isinstance(key, RSAPrivateKey):
        octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b64encode(octets).decode()


def zone_strings(text: str) -> str:
    """Write a TXT record as a zone file does, in strings of at most 255 characters."""
    return " ".join(f'"{piece}"' for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), TXT_CHARACTERS):
        yield text[start : start + TXT_CHARACTERS]
