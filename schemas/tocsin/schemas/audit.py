"""An entry of the audit trail: something that was changed through the API, by whom; lies on `audit`, keyed by actor."""

import msgspec

from tocsin.schemas.instant import Integer


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change that was accepted. `at` is RFC 3339 in UTC.

    `action` is the route, such as `PUT /rules/{id}`, `target` the names in it, `status` that of the answer, and `after`
    the answer itself, which never holds a credential; null of one that is long, or no JSON.

    Entries of one process are a chain: `number` counts them from 1, `previous` is the seal of the one before. `seen` is
    that of the last entry on the topic, as far as the process knew, so that chains hold each other. `seal` is an
    HMAC-SHA256 over everything else.
    """

    at: str
    actor: str
    action: str
    target: dict[str, str]
    status: Integer
    after: msgspec.Raw
    chain: str
    number: Integer
    previous: str
    seen: str
    seal: str = ""
