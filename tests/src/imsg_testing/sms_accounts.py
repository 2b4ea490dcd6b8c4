"""Settings of accounts at the SMS providers of the sandbox, for the sender and the sandbox."""

from collections.abc import Collection, Mapping

ACCOUNTS: Mapping[str, Mapping[str, str]] = {
    "ALIYUN": {
        "ACCESS_KEY_ID": "LTAI-test",
        "ACCESS_KEY_SECRET": "a secret",
        "SIGN_NAME": "天存",
        "TEMPLATE": "SMS_100000001",
    },
    "TENCENT": {
        "SECRET_ID": "AKIDEXAMPLE",
        "SECRET_KEY": "a secret",
        "APP_ID": "1400006666",
        "SIGN_NAME": "天存",
        "TEMPLATE": "1110",
        "VARIABLE_CHARACTERS": "35",
    },
    "VOLCENGINE": {
        "ACCESS_KEY_ID": "AKLTEXAMPLE",
        "ACCESS_KEY_SECRET": "a secret",
        "SIGN_NAME": "天存",
        "SMS_ACCOUNT": "6df864b1",
        "TEMPLATE": "ST_1",
    },
    "TWILIO": {"ACCOUNT_SID": "AC1", "AUTH_TOKEN": "12345", "SENDER": "+15005550006"},
}


def write_accounts(names: Collection[str] = tuple(ACCOUNTS)) -> dict[str, str]:
    """Write the accounts of some providers, in the order of the names."""
    return {f"IMSG_SMS__ACCOUNTS__{name}__{key}": value for name in names for key, value in ACCOUNTS[name].items()}


def write_endpoints(port: int, names: Collection[str] = tuple(ACCOUNTS)) -> dict[str, str]:
    """Write where a sandbox that listens there plays them."""
    return {
        f"IMSG_SMS__ACCOUNTS__{name}__ENDPOINT": f"http://127.0.0.1:{port}/sandbox/{name.lower()}" for name in names
    }
