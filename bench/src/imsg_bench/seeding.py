"""A history of a million messages, made inside PostgreSQL: users, methods and statuses as a company has them."""

import base64

import psycopg

USERS = 100
LIST = 1_000
"""Recipients of a long request: half of the messages are of such."""

DAYS = 20

# Ids as the gateway makes them, a UUIDv7 whose time lies in the last DAYS days, oldest first by their number.
_ID = """
(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - ({count} - number) * ({days} * 86400000::bigint / {count})),
      12, '0') || '7' || lpad(to_hex(number % 4096), 3, '0') || '8' || lpad(to_hex(number % 4096), 3, '0')
      || lpad(to_hex(number), 12, '0'))::uuid
"""

_REQUESTS = """
INSERT INTO requests (request, username, method, lane, subject, content, attachments, accepted_at, expires_at, moves,
                      category, day)
SELECT {id}, 'user' || number %% {users}, {method}, CASE WHEN number %% {each} = 0 THEN 'bulk' ELSE 'normal' END,
       '您的订单已发货', '{{"subject": "您的订单已发货", "text": "您好，您的订单已经发货，预计明天送达。"}}', '[]',
       now(), now(), 0, 'notice', to_char(now(), 'YYYY-MM-DD')
FROM generate_series(1::bigint, {count}) AS number
"""

_MESSAGES = """
INSERT INTO messages (request, n, username, method, written, address, status, rank, attempt, at, mark, attempts,
                      provider, provider_id, code, detail)
SELECT request, n, username, method, address, address, status, 30, 1, now(), 0, 1,
       method, 'id-' || number || '-' || n, NULL, '250 2.0.0 Ok'
FROM (
  SELECT {id} AS request, number, n, 'user' || number %% {users} AS username, {method} AS method,
         'reader' || (number * 7 + n) %% 50000 || '@example.com' AS address,
         (ARRAY['sent', 'sent', 'delivered', 'sent', 'failed', 'sent', 'delivered', 'queued', 'expired', 'retrying'])
           [1 + (number + n) %% 10] AS status
  FROM generate_series(1::bigint, {count}) AS number,
       generate_series(0, CASE WHEN number %% {each} = 0 THEN {list} - 1 ELSE 0 END) AS n
) AS made
"""

_ATTEMPTS = """
INSERT INTO attempts (request, n, at, mark, attempt, status, provider, provider_id, detail)
SELECT request, n, at, mark, 1, status, provider, provider_id, detail FROM messages
"""

STATEMENTS = (_REQUESTS, _MESSAGES, _ATTEMPTS)

_METHOD = "(ARRAY['smtp', 'smtp', 'smtp', 'sms', 'smtp', 'sms', 'smtp', 'wechat', 'smtp', 'smtp'])[1 + number %% 10]"


def seed(url: str, messages: int) -> int:
    """Fill history's tables with about so many messages, half of them singles, half in lists; return their number."""
    # Every EACH-th request is a list: EACH - 1 singles and LIST recipients, so that both halves are equal.
    list_every = LIST
    count = max(1, messages // (list_every - 1 + LIST)) * list_every
    values_ = {
        "id": _ID.format(count=count, days=DAYS).replace("%", "%%"),
        "method": _METHOD,
        "users": USERS,
        "each": list_every,
        "list": LIST,
        "count": count,
    }
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '256MB'")
        for statement in (_REQUESTS, _MESSAGES):
            connection.execute(statement.format(**values_).replace("%%", "%"))
        connection.execute(_ATTEMPTS)
        connection.execute("VACUUM ANALYZE")
        row = connection.execute("SELECT count(*) FROM messages").fetchone()
    assert row is not None  # noqa: S101  count answers a row
    return int(row[0])


def cursor(url: str, where: str, values: dict[str, object], offset: int) -> str | None:
    """Make the cursor behind which the page at an offset begins; None where there is none."""
    statement = f"SELECT request, n FROM messages WHERE {where} ORDER BY request DESC, n OFFSET %(skip)s LIMIT 1"  # noqa: S608
    with psycopg.connect(url) as connection:
        row = connection.execute(statement, {**values, "skip": offset - 1}).fetchone()
    if row is None:
        return None
    return base64.urlsafe_b64encode(row[0].bytes + row[1].to_bytes(4, "big")).rstrip(b"=").decode()
