"""Tickets: created, updated, read, trashed."""

from __future__ import annotations

import re

from ..account.account import Account
from ..answers import Answer, json_answer, not_per_spec
from ..asked import JSON_BODY, Asked
from ..bodies import FORM_TYPE
from ..drafts import read_new_ticket, read_update
from ..reading import texts_of
from .shapes import printed, receipt


def create(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/create-tickets/, or with a form /create-ticket-with-attachments/."""
    draft = read_new_ticket(asked.text(JSON_BODY, FORM_TYPE))
    account.check_mandatory(draft.fields)
    ticket = account.store.create(draft, asked.body.files)
    message = "Ticket has been created successfully" if asked.is_form else None
    return json_answer(receipt(ticket, message, ticket.ticket_id))


def update(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/update-a-ticket-with-attachments/: always a form."""
    ticket = account.ticket(asked.names["ticket"])
    draft = read_update(asked.text(FORM_TYPE), ticket.number)
    ticket = account.store.update(ticket, draft, asked.body.files)
    return json_answer(receipt(ticket, "Ticket properties have been updated successfully", None))


def get(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/get-a-tickets-details-by-id/: by number, or by GUID (an inference)."""
    return json_answer(printed(account.ticket(asked.names["ticket"])))


def trash(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/delete-tickets/: texts in, numbers out.

    What is not there, or no more, is among the failed ones of a 200 (an inference: the page shows an empty list).
    """
    numbers = texts_of(asked.json(), "TicketIds")
    # A number that is too long for a ticket is not turned into an int: the interpreter refuses that at some length.
    if not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        raise not_per_spec("TicketIds must be numbers of tickets, as texts")
    trashed = [(int(number), account.store.trash(number)) for number in numbers]
    return json_answer(
        {
            "SuccessfulIds": [number for number, done in trashed if done],
            "FailedIds": [number for number, done in trashed if not done],
        }
    )
