"""WeChat's webhook signatures and its safe mode (developers.weixin.qq.com, 消息推送 and 消息加解密)."""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from imsg_contract.constant_time import equals

BLOCK = 32
"""PKCS#7 pads to 32 bytes here, although AES' own block has 16."""

RANDOM_BYTES = 16
KEY_CHARACTERS = 43

SIGNATURE_CHARACTERS = 40
_HEX = frozenset("0123456789abcdef")


class NotGenuine(Exception):  # noqa: N818  its name says the error
    """The message is not from WeChat, or for another account. The response must not tell the caller which."""


def sign(*parts: str) -> str:
    """Return the SHA-1 of the sorted parts of a call: token, timestamp, nonce, and in safe mode Encrypt."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324  WeChat's own choice


def is_signature(text: str) -> bool:
    """Return whether a text has the form of a signature."""
    return len(text) == SIGNATURE_CHARACTERS and _HEX.issuperset(text)


def is_genuine(signature: str, *parts: str) -> bool:
    """Compare a signature in constant time."""
    return equals(signature, sign(*parts))


def decode_key(aes_key: str) -> bytes:
    """Decode an EncodingAESKey: 43 characters, the last of which has spare bits. Raises ValueError."""
    if len(aes_key) != KEY_CHARACTERS:
        raise ValueError(f"must have {KEY_CHARACTERS} characters")
    try:
        return base64.b64decode(aes_key + "=")
    except ValueError as error:
        raise ValueError("must be of a-z, A-Z and 0-9") from error


def decrypt(encrypted: str, key: bytes, appid: str) -> bytes:
    """Decrypt an Encrypt element to the message's XML. Check the signature first. Raises NotGenuine."""
    try:
        data = base64.b64decode(encrypted, validate=True)
        decryptor = _cipher(key).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
    except ValueError as error:
        raise NotGenuine from error
    plain = _unpad(padded)
    if len(plain) < RANDOM_BYTES + 4:
        raise NotGenuine
    (length,) = struct.unpack_from(">I", plain, RANDOM_BYTES)
    message = plain[RANDOM_BYTES + 4 :]
    if length > len(message) or not equals(message[length:], appid):
        raise NotGenuine
    return message[:length]


def encrypt(message: bytes, key: bytes, appid: str, random: bytes) -> str:
    """Encrypt a reply; `random` are 16 fresh random bytes."""
    plain = random + struct.pack(">I", len(message)) + message + appid.encode()
    pad = BLOCK - len(plain) % BLOCK
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


def _cipher(key: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def _unpad(padded: bytes) -> bytes:
    pad = padded[-1] if padded else 0
    if not 1 <= pad <= BLOCK or len(padded) < pad or padded[-pad:] != bytes([pad]) * pad:
        raise NotGenuine
    return padded[:-pad]
