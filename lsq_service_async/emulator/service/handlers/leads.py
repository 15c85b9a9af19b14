"""Leads, looked up on the marketing API: an array with one flat object, or an empty one."""

from __future__ import annotations

from ..account.account import Account
from ..account.leads import Lead
from ..answers import Answer, json_answer, missing_parameter
from ..asked import Asked


def by_email(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/get-a-lead-by-email-id/."""
    return _found(account.store.leads.by_email(_given(asked, "emailaddress")))


def by_phone(account: Account, asked: Asked) -> Answer:
    """https://apidocs.leadsquared.com/get-lead-by-phone/."""
    return _found(account.store.leads.by_phone(_given(asked, "phone")))


def _given(asked: Asked, name: str) -> str:
    value = asked.query.get(name)
    if not value:
        raise missing_parameter(name)
    return value


def _found(lead: Lead | None) -> Answer:
    return json_answer([] if lead is None else [lead])
