"""Leads of the marketing API, to name the lead of a ticket. It has a host, header names and a limit of its own."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from ._wire.call import Api, Call, Idempotency, Send
from ._wire.parse import from_wire
from .errors import InvalidRequestError
from .records import Lead


class Leads:
    """The lead look-ups of a client; reached as ``client.leads``."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def find_by_email(self, email: str) -> Lead | None:
        """The lead with this e-mail address, or None. Repeated whenever that can help.

        Page: apidocs.leadsquared.com/get-a-lead-by-email-id
        """
        if not isinstance(email, str) or not re.fullmatch(r"[^\s@]{1,64}@[^\s@]{1,255}", email):
            raise InvalidRequestError("this is no e-mail address; it reads like wim@example.com")
        return await self._find("find_by_email", "Leads.GetByEmailaddress", emailaddress=email)

    async def find_by_phone(self, phone: str) -> Lead | None:
        """The lead with this phone number, with or without its country code, or None. Repeated whenever that can help.

        The service wants neither blanks nor hyphens, so they are taken out. Of several leads it shows the one with
        the most recent activity.

        Page: apidocs.leadsquared.com/get-lead-by-phone
        """
        plain = re.sub(r"[\s().-]", "", phone) if isinstance(phone, str) else ""
        if not re.fullmatch(r"\+?[0-9]{3,20}", plain):
            raise InvalidRequestError("this is no phone number; it reads like +91-5550100001")
        return await self._find("find_by_phone", "RetrieveLeadByPhoneNumber", phone=plain)

    async def _find(self, operation: str, function: str, **params: str) -> Lead | None:
        call = Call(
            operation=f"leads.{operation}",
            method="GET",
            path=f"/v2/LeadManagement.svc/{function}",
            api=Api.LEADS,
            idempotency=Idempotency.SAFE,
            parse=_first,
            params=params,
        )
        return await self._send(call)


def _first(answer: Any) -> Lead | None:
    if not isinstance(answer, list):
        raise TypeError("a list was expected")
    return next(map(partial(from_wire, Lead), answer), None)
