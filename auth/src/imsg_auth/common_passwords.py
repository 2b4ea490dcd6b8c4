"""Passwords that an attacker tries first: lists of leaked ones, words and dates, and their usual disguises."""

import re

from zxcvbn import zxcvbn

COMMON = 10**8
"""A password that zxcvbn finds in fewer guesses is on a list of common ones, or is one of them, or another word, with
the usual letters exchanged, another case, a year or some digits added (Wheeler, USENIX Security 2016, whose score 3
this is). Eight random letters withstand it."""

_BETWEEN_WORDS = re.compile(r"^\+86|[\W_]+")
"""What parts the words of a contact, as people use them in a password."""

READ_CHARACTERS = 24
"""How much of a password is read at once: zxcvbn's work grows steeply with the length."""

OURS = ("admin", "administrator", "imsg", "gateway", "tiancun", "天存", "管理员", "密码")

CHINESE = (
    "5201314", "1314520", "520520", "1314", "520", "521", "woaini", "woaini1314", "woaini520", "aini", "aini1314",
    "iloveyou", "mima", "wodemima", "woshishui", "wojiushiwo", "woaiwojia", "woaibaobei", "baobei", "laopo", "laogong",
    "caonima", "nimade", "wocao", "nihao", "haha", "tianshi", "meimei", "gege", "jiejie", "didi", "mama", "baba",
    "beijing", "shanghai", "guangzhou", "shenzhen", "zhongguo", "china", "woaizhongguo", "zhangwei", "wangwei",
    "wangfang", "liwei", "lina", "zhangmin", "lijing", "wangjing", "liuwei", "wangxiuying", "zhangli", "lixiuying",
    "wanglei", "xiaoming", "xiaolong", "weixin", "qq", "taobao", "alibaba", "baidu", "huawei", "xiaomi", "wang",
    "zhang", "liu", "chen", "yang", "zhao", "huang", "zhou", "zhangsan", "lisi", "wangwu", "admin@123", "abc@123",
    "qwe@123", "qwer@123", "pass@123", "test@123", "root@123", "!qaz2wsx", "1qaz@wsx", "a1b2c3", "woshinibaba",
    "wobuzhidao",
)  # fmt: skip
"""Words of the passwords leaked in China (CSDN, Tianya, 7k7k) that zxcvbn's own lists lack."""


def is_common(password: str, *known: str) -> bool:
    """Return whether a password falls to fewer guesses than COMMON; `known` are public facts about its user.

    Blocks for some milliseconds, 0.5 s at worst.
    """
    parts_of_known = {part for fact in known for part in _BETWEEN_WORDS.split(fact) if len(part) > 1}
    words = [*OURS, *CHINESE, *known, *parts_of_known]
    parts = {password[:READ_CHARACTERS], password[-READ_CHARACTERS:]}
    return all(zxcvbn(part, user_inputs=words)["guesses"] < COMMON for part in parts)
