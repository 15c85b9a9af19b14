"""What can be called: the table of operations, and the two APIs that they belong to.

A further operation is a row of `OPERATIONS` and a handler: a plain function of the account and what was asked, which
returns an answer or raises a `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from re import Pattern

from starlette.routing import compile_path

from .account.account import Account
from .answers import Answer
from .asked import Asked
from .handlers import conversations, leads, metadata, tickets

Handler = Callable[[Account, Asked], Answer]


@dataclass(frozen=True)
class Api:
    """Where its paths begin, and the headers of the access key and the secret key, in lower case."""

    root: str
    key_headers: tuple[str, str]


SERVICE = Api("/api/tenants/{org_id}", ("x-lsq-access-key", "x-lsq-secret-key"))
MARKETING = Api("/v2/LeadManagement.svc", ("x-lsq-accesskey", "x-lsq-secretkey"))


def api_of(path: str) -> Api:
    return MARKETING if path.startswith("/v2/") else SERVICE


@dataclass(frozen=True)
class Operation:
    """``path`` is what follows the root of its API; ``{name}`` in it stands for one segment."""

    method: str
    path: str
    handler: Handler
    admin: bool = False
    api: Api = SERVICE

    @cached_property
    def _pattern(self) -> Pattern[str]:
        return compile_path(self.api.root + self.path)[0]

    def names_in(self, method: str, path: str, org_id: str) -> Mapping[str, str] | None:
        """What the path says for each ``{name}``; None when another operation or another tenant is meant."""
        match = self._pattern.match(path) if method == self.method else None
        names = match.groupdict() if match else None
        return names if names is not None and names.pop("org_id", org_id) == org_id else None


OPERATIONS = (
    Operation("POST", "/tickets", tickets.create),
    Operation("PUT", "/tickets/{ticket}/update", tickets.update),
    Operation("GET", "/tickets/{ticket}", tickets.get),
    Operation("PUT", "/tickets/trash", tickets.trash, admin=True),
    Operation("POST", "/conversation/filter", conversations.of_ticket),
    Operation("POST", "/internalnote/upload", conversations.add_note),
    Operation("POST", "/ticket/{ticket}/portal/activity", conversations.add_portal_activity),
    Operation("POST", "/ticket-types/1/fields/filter", metadata.fields, admin=True),
    Operation("GET", "/lookups/SubType/values", metadata.sub_types, admin=True),
    Operation("GET", "/Leads.GetByEmailaddress", leads.by_email, api=MARKETING),
    Operation("GET", "/RetrieveLeadByPhoneNumber", leads.by_phone, api=MARKETING),
)
