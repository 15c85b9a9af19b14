"""The leads: an invented handful, and those that tickets have described."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

Lead = Mapping[str, str | None]
"""Flat, as the marketing API prints it: every value is a text or null."""

# Some of what https://apidocs.leadsquared.com/get-a-lead-by-email-id/ prints, in its order.
_BLANK: Lead = {
    "ProspectID": None,
    "ProspectAutoId": None,
    "FirstName": None,
    "LastName": None,
    "EmailAddress": None,
    "Company": None,
    "Origin": "API",
    "Phone": None,
    "Mobile": None,
    "Website": None,
    "TimeZone": None,
    "Source": None,
    "SourceMedium": None,
    "Notes": None,
    "SourceCampaign": None,
    "SourceContent": None,
    "DoNotEmail": "0",
    "DoNotCall": "0",
    "ProspectStage": "Prospect",
    "Score": "0",
    "Revenue": None,
    "EngagementScore": "0",
    "TotalVisits": None,
}


def _invented(lead_id: str, first: str, last: str, email: str | None, phone: str | None, **more: str) -> Lead:
    return {"ProspectID": lead_id, "FirstName": first, "LastName": last, "EmailAddress": email, "Phone": phone, **more}


INVENTED = (
    _invented("8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a01", "Wim", "Sample", "wim@example.com", "+91-5550100001"),
    _invented("8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a02", "Asha", "Sample", "asha@example.com", "+91-5550100002"),
    _invented("8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a03", "Noor", "Sample", "noor@example.com", None),
    _invented("8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a04", "Ravi", "Sample", None, "+91-5550100004"),
    _invented(
        "8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a05",
        "Zoë",
        "Sample",
        "zoe+tickets@example.com",
        "+91-5550100005",
        Mobile="+91-5550100055",
        Company="Example Company",
    ),
)


class LeadBook:
    """Leads by GUID, e-mail and phone; where two have the same phone, the one described last is found."""

    def __init__(self, leads: Iterable[Lead] = INVENTED) -> None:
        self._leads: dict[str, Lead] = {}
        self._by_email: dict[str, str] = {}
        self._by_phone: dict[str, str] = {}
        for lead in leads:
            self._keep(str(lead["ProspectID"]), lead)

    def by_email(self, email: str) -> Lead | None:
        """Without regard to case (an inference)."""
        return self._leads.get(self._by_email.get(email.lower(), ""))

    def by_phone(self, phone: str) -> Lead | None:
        """By the fields Phone and Mobile: as they are stored, or their digits, with or without the country code."""
        return self._leads.get(self._by_phone.get(phone, ""))

    def described(self, details: Lead, new_id: str) -> str:
        """The GUID of the lead that a ticket describes: a known one, else a new one with ``new_id``.

        A known lead gets what it lacked, and keeps what it had (an inference, as all of this).
        """
        known = self.by_email(details.get("EmailAddress") or "") or self.by_phone(details.get("Phone") or "") or {}
        lead_id = known.get("ProspectID") or new_id
        self._keep(lead_id, {**details, **{name: value for name, value in known.items() if value is not None}})
        return lead_id

    def _keep(self, lead_id: str, lead: Lead) -> None:
        auto_id = str(len(self._leads) + 1)
        kept = self._leads[lead_id] = {**_BLANK, "ProspectAutoId": auto_id, **lead, "ProspectID": lead_id}
        if kept["EmailAddress"]:
            self._by_email[kept["EmailAddress"].lower()] = lead_id
        for phone in filter(None, (kept["Phone"], kept["Mobile"])):
            self._by_phone.update(dict.fromkeys(_written(phone), lead_id))


def _written(phone: str) -> Iterator[str]:
    """The ways to write a phone number: "+91-5550100001", "+915550100001", "915550100001", "5550100001"."""
    country, hyphen, number = phone.partition("-")
    digits = re.sub("[^0-9]", "", phone)
    yield from (phone, digits, f"+{digits}")
    if country.startswith("+") and hyphen:
        yield re.sub("[^0-9]", "", number)
