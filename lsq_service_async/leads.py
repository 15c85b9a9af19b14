"""Finds leads through the vendor's marketing API, which has its own host, header names and rate limit."""

from __future__ import annotations

import re

from ._wire.call import Api, Call, Idempotency, Send
from ._wire.parse import parse_first_lead
from .errors import InvalidRequestError
from .records import Lead


class Leads:
    """The lead operations of a client, available as ``client.leads``. They are retried like ``client.tickets.get``."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def find_by_email(self, email: str) -> Lead | None:
        """Return the lead with this e-mail address, or None. Text that is not an address raises InvalidRequestError.

        Page: apidocs.leadsquared.com/get-a-lead-by-email-id
        """
        is_text = isinstance(email, str) and email.isprintable()  # a URL cannot contain a lone surrogate
        if not is_text or not re.fullmatch(r"[^\s@]{1,64}@[^\s@]{1,255}", email):
            raise InvalidRequestError("email must be an address such as wim@example.com")
        return await self._find("find_by_email", "Leads.GetByEmailaddress", emailaddress=email)

    async def find_by_phone(self, phone: str) -> Lead | None:
        """Return the lead with this phone number, or None. The number may include the country code.

        Spaces, hyphens, dots and parentheses are removed, because the service does not accept them. If several leads
        have the number, the service returns the most recently active lead. Text that is not a phone number raises
        InvalidRequestError.

        Page: apidocs.leadsquared.com/get-lead-by-phone
        """
        plain = re.sub(r"[\s().-]", "", phone) if isinstance(phone, str) else ""
        if not re.fullmatch(r"\+?[0-9]{3,20}", plain):
            raise InvalidRequestError("phone must be a number such as +91-5550100001")
        return await self._find("find_by_phone", "RetrieveLeadByPhoneNumber", phone=plain)

    async def _find(self, operation: str, function: str, **params: str) -> Lead | None:
        return await self._send(
            Call(
                operation=f"leads.{operation}",
                method="GET",
                path=f"/v2/LeadManagement.svc/{function}",
                api=Api.LEADS,
                idempotency=Idempotency.SAFE,
                parse=parse_first_lead,
                params=params,
            )
        )
