"""Digests of addresses, which stay readable as long as their key does: HMAC-SHA256 of the normal form."""

import hmac

import pytest
from pydantic import SecretStr

from imsg_people.tombstones import Digests


@pytest.mark.parametrize("key", ["k", "a key of tombstones, long enough too", "x" * 64, "x" * 65, "钥匙" * 40])
def test_a_digest_is_the_hmac_of_the_address(key: str) -> None:
    digests = Digests([SecretStr(key), SecretStr("another")])
    for address in ("zhang@example.com", "+8613800138000", "", "张@例子.中国", "x" * 500):
        made = hmac.digest(key.encode(), address.encode(), "sha256").hex()
        assert digests.of(address) == made
        assert digests.all_of(address)[0] == made
    assert digests.of("Zhang@Example.com") == digests.of("zhang@example.com")
