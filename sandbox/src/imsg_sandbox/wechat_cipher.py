"""WeChat's signatures and encryption of webhooks, the provider's side (docs/providers.md, WeChat)."""

import base64
import binascii
import hashlib
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

PADDED_TO = 32
RANDOM = 16
LENGTH = 4


def sign(words: list[str]) -> str:
    """Return the SHA-1, in hex, of the words sorted by code point and joined."""
    digest = hashlib.sha1(usedforsecurity=False)
    for word in sorted(words):
        digest.update(word.encode())
    return digest.hexdigest()


class Envelope:
    """Encrypts messages to one account, and decrypts its answers."""

    def __init__(self, aes_key: str, appid: str) -> None:
        key = binascii.a2b_base64(f"{aes_key}=")
        self._cipher = Cipher(AES(key), CBC(key[:RANDOM]))
        self._appid = appid.encode()

    def seal(self, xml: bytes) -> str:
        """Encrypt an XML message."""
        body = b"".join((secrets.token_bytes(RANDOM), len(xml).to_bytes(LENGTH, "big"), xml, self._appid))
        missing = PADDED_TO - len(body) % PADDED_TO
        worker = self._cipher.encryptor()
        return base64.b64encode(worker.update(body + bytes((missing,)) * missing) + worker.finalize()).decode("ascii")

    def open(self, encrypted: str) -> bytes:
        """Decrypt to XML. Raises ValueError if it is for another account, or broken."""
        worker = self._cipher.decryptor()
        body = worker.update(base64.b64decode(encrypted)) + worker.finalize()
        missing = body[-1] if body else 0
        if not 0 < missing <= PADDED_TO or body[-missing:].count(missing) != missing:
            raise ValueError("its padding is wrong")
        body = body[RANDOM:-missing]
        end = LENGTH + int.from_bytes(body[:LENGTH], "big")
        if body[end:] != self._appid:
            raise ValueError("it ends with another appid")
        return body[LENGTH:end]
