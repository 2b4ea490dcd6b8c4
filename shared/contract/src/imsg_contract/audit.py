"""Which action of the audit each operation of the API writes."""

from collections.abc import Mapping

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "POST /login": ("login", "login_failed"),
    "POST /logout": ("logout", "logout_everywhere"),
    "POST /password": ("password",),
    "POST /register": ("register",),
    "POST /modify/{username}": ("modify",),
    "PATCH /users/{username}": ("update",),
    "DELETE /users/{username}": ("delete",),
    "PUT /users/{username}/quotas": ("quotas",),
    "PUT /quotas": ("quotas",),
    "PUT /caps": ("caps",),
    "PUT /prices": ("prices",),
    "POST /me/totp": ("totp_begun",),
    "POST /me/totp/confirm": ("totp_on",),
    "DELETE /me/totp": ("totp_off",),
    "DELETE /users/{username}/totp": ("totp_off",),
    "DELETE /sessions/{id}": ("session_ended",),
    "POST /keys": ("key_added",),
    "PATCH /keys/{id}": ("key_changed",),
    "POST /keys/{id}/rotate": ("key_rotated",),
    "DELETE /keys/{id}": ("key_ended",),
    "POST /keys/leaked": ("key_leaked",),
    "PATCH /providers/{method}/{name}": ("provider_switched",),
    "POST /providers/{method}/{name}/test": ("provider_tested",),
    "PATCH /channels/{method}": ("channel_paused", "channel_resumed"),
    "POST /suppressions": ("suppressions_added",),
    "DELETE /suppressions/{id}": ("suppression_removed",),
    "POST /followers/bind": ("binding_begun",),
    "POST /followers/bind/{id}/confirm": ("update",),
    "POST /followers/{tag}/renew": ("tag_renewed",),
    "DELETE /followers/{tag}": ("tag_revoked",),
    "POST /callbacks": ("callback_added",),
    "PATCH /callbacks/{id}": ("callback_changed",),
    "DELETE /callbacks/{id}": ("callback_removed",),
    "POST /callbacks/{id}/rotate": ("callback_secret_rotated",),
    "POST /callbacks/{id}/test": ("callback_tested",),
    "POST /callbacks/{id}/recover": ("callback_recovered",),
    "POST /callbacks/{id}/deliveries/{event}/resend": ("callback_resent",),
    "GET /messages": ("content_read",),
    "GET /requests": ("content_read",),
    "GET /replies": ("content_read",),
    "GET /dead/{id}": ("dead_letter_read",),
    "DELETE /dead/{id}": ("dead_letter_removed",),
    "POST /resend": ("resend",),
    "POST /dead/{id}/resend": ("dead_letter_resend",),
    "POST /reports": ("report",),
    "GET /reports/{id}/file": ("report_fetched",),
    "POST /exports": ("export",),
    "GET /exports/{id}/file": ("export_fetched",),
    "GET /audit": ("audit_read",),
    "POST /erasures": ("erasure",),
}
"""Operation of v2 (`modify` is of v1) → its actions: each change, and what is read of other people.

Reading is written once in ten minutes. Reading and resending of messages are written where these are another user's.
"""

UNAUDITED: Mapping[str, str] = {
    "POST /messages": "the request itself is kept, with its user and key",
    "POST /messages/check": "it changes nothing",
    "POST /sessions": "it follows a log-in, which is written",
    "POST /sessions/resume": "it goes on with a session whose log-in is written",
}
"""Operation that is no GET and writes none → why."""
