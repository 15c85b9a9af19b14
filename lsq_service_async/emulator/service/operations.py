"""What can be called: a table of operations, a handler for each, and the desk that finds the one that is meant.

A further operation is a row of `OPERATIONS` and a handler: a plain function of the store and what was asked, which
returns an answer or raises a `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from re import Pattern

from starlette.routing import compile_path

from .answers import (
    Answer,
    RefusedError,
    json_answer,
    not_per_spec,
    text_answer,
    unknown_ticket,
)
from .bodies import FORM_TYPE, Body
from .drafts import read_new_ticket, read_update
from .shapes import printed, receipt
from .store import StoredTicket, TicketStore


@dataclass(frozen=True)
class Asked:
    """One call, read: what stands for ``{...}`` in its path, and its body."""

    names: Mapping[str, str]
    body: Body


Handler = Callable[[TicketStore, Asked], Answer]


@dataclass(frozen=True)
class Operation:
    """``path`` is what follows the tenant; ``{name}`` in it stands for one segment."""

    method: str
    path: str
    handler: Handler

    @cached_property
    def _pattern(self) -> Pattern[str]:
        return compile_path(self.path)[0]

    def names_in(self, method: str, path: str) -> Mapping[str, str] | None:
        """What the path says for each ``{name}``; None when another operation is meant."""
        match = self._pattern.match(path) if method == self.method else None
        return match and match.groupdict()


def create(store: TicketStore, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/create-tickets/, or with a form /create-ticket-with-attachments/."""
    with_files = asked.body.media_type == FORM_TYPE
    text = _form_text(asked.body) if with_files else _json_text(asked.body)
    ticket = store.create(read_new_ticket(text), asked.body.files)
    message = "Ticket has been created successfully" if with_files else None
    return json_answer(receipt(ticket, message, ticket.ticket_id))


def update(store: TicketStore, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/update-a-ticket-with-attachments/: always a form."""
    ticket = _ticket(store, asked)
    draft = read_update(_form_text(asked.body), ticket.number)
    ticket = store.update(ticket, draft, asked.body.files)
    return json_answer(receipt(ticket, "Ticket properties have been updated successfully", None))


def get(store: TicketStore, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/get-a-tickets-details-by-id/: by number, or by GUID (an inference)."""
    return json_answer(printed(_ticket(store, asked)))


OPERATIONS = (
    Operation("POST", "/tickets", create),
    Operation("PUT", "/tickets/{ticket}/update", update),
    Operation("GET", "/tickets/{ticket}", get),
)


@dataclass(frozen=True)
class Desk:
    """Answers calls out of a store: who may call (both keys), what exists (the tenant's operations)."""

    store: TicketStore
    access_key: str
    secret_key: str
    org_id: str

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Body) -> Answer:
        """Carry the call out, or say why not; ``headers`` are looked up in lower case."""
        try:
            self._check_keys(headers)
            return self._carry_out(method, self._within_tenant(path), body)
        except RefusedError as refusal:
            return refusal.answer

    def _check_keys(self, headers: Mapping[str, str]) -> None:
        given = headers.get("x-lsq-access-key"), headers.get("x-lsq-secret-key")
        if given != (self.access_key, self.secret_key):
            raise RefusedError(text_answer(401))

    def _within_tenant(self, path: str) -> str:
        tenant = f"/api/tenants/{self.org_id}"
        if not path.startswith(f"{tenant}/"):
            raise RefusedError(text_answer(404))
        return path.removeprefix(tenant)

    def _carry_out(self, method: str, path: str, body: Body) -> Answer:
        for operation in OPERATIONS:
            names = operation.names_in(method, path)
            if names is not None:
                return operation.handler(self.store, Asked(names, body))
        raise RefusedError(text_answer(404))


def _ticket(store: TicketStore, asked: Asked) -> StoredTicket:
    name = asked.names["ticket"]
    ticket = store.find(name)
    if ticket is None:
        raise unknown_ticket(name)
    return ticket


def _json_text(body: Body) -> bytes:
    if body.media_type != "application/json":
        raise not_per_spec("the content type must be application/json or multipart/form-data")
    return _text(body)


def _form_text(body: Body) -> bytes:
    if body.media_type != FORM_TYPE:
        raise not_per_spec(f"the content type must be {FORM_TYPE}")
    return _text(body)


def _text(body: Body) -> bytes:
    if body.problem is not None:
        raise not_per_spec(body.problem)
    if body.text is None:
        raise not_per_spec("the part ticketDTO is missing")
    return body.text
