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
    "PUT /windows": ("windows",),
    "PUT /holidays": ("holidays",),
    "POST /templates": ("template_added",),
    "PATCH /templates/{name}": ("template_changed",),
    "POST /templates/{name}/publish": ("template_published",),
    "DELETE /templates/{name}": ("template_deleted",),
    "POST /groups": ("group_created",),
    "PATCH /groups/{name}": ("group_changed",),
    "DELETE /groups/{name}": ("group_deleted",),
    "POST /groups/{name}/members": ("group_members_added",),
    "POST /groups/{name}/members/remove": ("group_members_removed",),
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
    "POST /providers": ("provider_added",),
    "PATCH /providers/{method}/{name}": ("provider_switched", "provider_changed"),
    "POST /providers/{method}/{name}/restore": ("provider_restored",),
    "DELETE /providers/{method}/{name}": ("provider_removed",),
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
    "PATCH /requests/{id}": ("move",),
    "POST /requests/{id}/release": ("release",),
    "POST /requests/release": ("release",),
    "POST /requests/{id}/cancel": ("cancel",),
    "POST /requests/cancel": ("cancel",),
    "POST /messages/{id}/cancel": ("cancel",),
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

FIELDS = frozenset({
    "role", "available", "per_hour", "per_day", "recipients_per_day", "may_send_codes", "senders", "sms_countries",
    "default_category", "department", "email", "phone", "wechat", "password", "reason",
    "quotas", "id", "counts", "per", "limit", "method", "caps", "category", "scope",
    "windows", "methods", "categories", "zone", "days", "from", "to", "holidays",
    "prices", "provider", "country", "amount", "currency", "since",
    "key", "name", "kind", "scopes", "networks", "expires_at", "old_valid_s",
    "enabled", "weight", "version", "paused", "account",
    "published", "shared", "note", "members", "added", "changed",
    "host", "events", "until", "event", "address", "agent",
    "due_at", "released", "cancelled", "too_late", "settled",
    "format", "username", "people",
})  # fmt: skip
"""The fields of `before` and `after`, for which the page has words; the settings of providers have titles of their own.

Of a row in a list too. Dates, channels and what is masked of a person are no fields.
"""

UNAUDITED: Mapping[str, str] = {
    "POST /messages": "the request itself is kept, with its user and key",
    "POST /messages/check": "it changes nothing",
    "POST /templates/{name}/preview": "it changes nothing",
    "POST /providers/check": "it changes nothing",
    "POST /providers/{method}/{name}/check": "it changes nothing",
    "POST /sessions": "it follows a log-in, which is written",
    "POST /sessions/resume": "it goes on with a session whose log-in is written",
}
"""Operation that is no GET and writes none → why."""
