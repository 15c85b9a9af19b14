"""`doctor --learn` and `doctor --burst`: find out facts for the emulator, and answers that `doctor` prints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

import attrs
import click

from .. import (
    APIStatusError,
    AuthenticationError,
    Config,
    LSQServiceError,
    NewTicket,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimit,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ServiceClient,
    Ticket,
    TicketReceipt,
)
from ..events import Event
from ..limits import LocalLimiter

T = TypeVar("T")
_ABSENT = 999_999_999_999  # higher than any ticket number
_PROBES = (1, 10, 100, 1_000, 10_000, 100_000)
_NEIGHBOURS = (-4, -3, -2, -1, 1, 2)
_PAGES = 10
_PAUSE = 10.0  # seconds that automation in the account gets to change a new ticket


async def learn(config: Config, lead_email: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the facts and the answers. If ``lead_email`` is given, also create a ticket, and trash it at the end."""
    # Each client gets half of the limit, because both may call the same host.
    half = RateLimit(max(1, config.rate_limit.calls // 2), per=config.rate_limit.per)
    config = attrs.evolve(config, rate_limit=half, retry=RetryPolicy(attempts=1))
    async with (
        ServiceClient(config) as client,
        ServiceClient(attrs.evolve(config, base_url=config.metadata_url)) as metadata,
    ):
        learner = Learner(client, metadata, config.marker_field)
        await learner.learn_fields()
        await learner.learn_tickets(lead_email)
    return learner.facts, learner.answers


class Learner:
    """Finds out details of the service that the vendor's pages leave open."""

    def __init__(self, client: ServiceClient, metadata: ServiceClient, marker: str | None) -> None:
        self.facts: dict[str, Any] = {}
        self.answers: dict[str, str] = {}
        self._client = client
        self._metadata = metadata
        self._marker = marker

    async def learn_fields(self) -> None:
        """Learn from the field metadata what Offset counts, and which fields exist."""
        first, second, third = [await self._page(offset, 2) for offset in range(3)]
        if len(first) < 2:
            self.answers["field metadata"] = "cannot be read with these keys; they must belong to an admin"
            return
        reading = "from_zero" if second[:1] == first[1:] else "from_one" if third[:1] == first[1:] else "page"
        fields: dict[str, Any] = {}
        for number in range(_PAGES):
            page = await self._page(
                {"from_zero": 25 * number, "from_one": 25 * number + 1}.get(reading, number + 1), 25
            )
            fields |= {field["SchemaName"]: field for field in page}
            if len(page) < 25:
                break
        self.facts |= {"metadata_offset": reading, "fields": list(fields.values())}
        self.answers |= {"offset of field metadata": reading, "number of fields": str(len(fields))}
        if self._marker is not None:
            self.facts["marker_field"] = self._marker if self._marker in fields else None
            self.answers[f"field {self._marker}"] = "exists" if self._marker in fields else "does not exist"

    async def _page(self, offset: int, limit: int) -> list[dict[str, Any]]:
        body = {"Limit": limit, "Offset": offset, "SearchText": ""}
        answer = await _result(
            self._metadata.request("POST", "ticket-types/1/fields/filter", json=body, repeatable=True)
        )
        fields = answer.get("TicketsFields") if isinstance(answer, dict) else None
        return [field for field in fields or () if isinstance(field, dict) and "SchemaName" in field]

    async def learn_tickets(self, lead_email: str | None) -> None:
        """Learn which ids a URL can have, which tickets can be read, and which fields automation changes."""
        absent = await self._get(_ABSENT)
        if isinstance(absent, APIStatusError):
            body = absent.body if isinstance(absent.body, str) else json.dumps(absent.body)
            self.facts["unknown_ticket"] = {"status": absent.status_code, "body": body}
            self.answers["ticket that does not exist"] = f"status {absent.status_code}"
        receipt = await self._create(lead_email) if lead_email else None
        try:
            found = await self._get(receipt.number) if receipt else await self._probe()
            forms = ["number"] if isinstance(found, Ticket) else []
            guid = found.ticket_id if isinstance(found, Ticket) else receipt and receipt.ticket_id
            if guid and isinstance(await self._get(guid), Ticket):
                forms.append("guid")
            if forms:
                self.facts["ids_in_urls"] = forms
            self.answers["ids in URLs"] = " and ".join(forms) or "not known: no ticket could be read; use --write"
            if isinstance(found, Ticket):
                await self._learn_neighbours(int(found.number), is_new=receipt is not None)
            if receipt is not None:
                await self._learn_changes(receipt)
        finally:
            if receipt is not None:
                await self._trash(receipt.number)

    async def _trash(self, number: str) -> None:
        try:
            result = await self._client.with_options(retry=RetryPolicy()).tickets.trash([number])
            is_trashed = number in result.successful
        except LSQServiceError as error:
            is_trashed = False
            # Printed at once, because a later error would prevent the table.
            click.echo(f"Ticket {number} could not be trashed: {error}", err=True)
        self.answers[f"ticket {number}"] = "trashed" if is_trashed else "NOT TRASHED; trash it yourself"

    async def _create(self, lead_email: str) -> TicketReceipt | None:
        self._sent = NewTicket(
            lead_email=lead_email,
            title="Test of lsq-service doctor",
            description="This ticket can be deleted.",
            status="Open",
            priority="Low",
        )
        try:
            receipt = await _result(self._client.tickets.create(self._sent, reference="lsq-service-doctor"))
        except OutcomeUnknownError as error:
            self.answers["test ticket"] = f"MAY EXIST; trash it yourself if it does: {error}"
            return None
        if isinstance(receipt, APIStatusError):
            self.answers["test ticket"] = f"refused: {receipt}"
            return None
        return receipt

    async def _probe(self) -> Ticket | None:
        """Return a ticket that can be read, or None."""
        for number in _PROBES:
            if isinstance(found := await self._get(number), Ticket):
                return found
        return None

    async def _learn_neighbours(self, number: int, *, is_new: bool) -> None:
        near = {step: await self._get(number + step) for step in _NEIGHBOURS if number + step > 0}
        readable = [step for step, ticket in near.items() if isinstance(ticket, Ticket)]
        is_hidden = any(isinstance(ticket, APIStatusError) and ticket.status_code == 403 for ticket in near.values())
        self.facts["neighbours_readable"] = True if readable else False if is_hidden else None
        self.answers["near tickets that can be read"] = f"{len(readable)} of {len(near)} around ticket {number}"
        if is_new and max(readable, default=0) < 0:
            self.facts["numbers_ascend"] = True
            self.answers["numbers ascend"] = (
                f"yes: ticket {number} is new; lower numbers can be read, and higher numbers cannot"
            )
        else:
            self.answers["numbers ascend"] = "not known; use --write while no other program creates tickets"

    async def _learn_changes(self, receipt: TicketReceipt) -> None:
        await asyncio.sleep(_PAUSE)
        found = await self._get(receipt.number)
        if not isinstance(found, Ticket):
            return
        sent = {"Title": self._sent.title, "Description": self._sent.description, "Status": self._sent.status}
        sent |= {"Priority": self._sent.priority} | ({self._marker: "lsq-service-doctor"} if self._marker else {})
        changed = {name: found.fields.get(name) for name, value in sent.items() if found.fields.get(name) != value}
        self.facts["rewrites"] = {
            name: str(value).replace(str(sent[name]), "{value}").replace(receipt.number, "{number}")
            if isinstance(value, str)
            else value
            for name, value in changed.items()
        }
        shown = ", ".join(f"{name}: {value!r}" for name, value in changed.items())
        self.answers["fields changed after 10 s"] = shown or "none"

    async def _get(self, ticket: int | str) -> Ticket | APIStatusError:
        return await _result(self._client.tickets.get(ticket))


async def _result(call: Awaitable[T]) -> T | APIStatusError:
    """Return the result of a call, or its APIStatusError. AuthenticationError and RateLimitError are raised."""
    try:
        return await call
    except (AuthenticationError, RateLimitError):
        raise
    except APIStatusError as error:
        return error


class _SteadyLimiter(LocalLimiter):
    """A limiter that does not slow down after a 429, which the measurement causes on purpose."""

    def refused(self, *_: Any, **__: Any) -> list[Event]:
        return []


async def measure_window(config: Config) -> tuple[dict[str, Any], str]:
    """Send up to four groups of reads, each as large as the limit. Stop after a group with refusals.

    Some gateways, such as HAProxy, only estimate the number of recent calls. Such a gateway refuses some reads of the
    second or the fourth group, depending on when its counting periods begin.
    """
    calls, per = config.rate_limit.calls, config.rate_limit.per
    # A high limit, so that the limiter does not delay the reads.
    fast = attrs.evolve(config, rate_limit=RateLimit(4 * calls, per=per), retry=RetryPolicy(attempts=1))
    async with ServiceClient(fast, limiter=_SteadyLimiter()) as client:
        # The first wait is longer, because the service may still count earlier calls.
        for volley, windows in enumerate((2, 1, 1.5, 1)):
            await asyncio.sleep(windows * per)
            reads = [client.tickets.get(1) for _ in range(calls)]
            results = await asyncio.gather(*reads, return_exceptions=True)
            if lost := sum(isinstance(one, NotSentError | NoAnswerError | ServerError) for one in results):
                return {}, f"{lost} of {calls} reads failed, so nothing was measured. Run this again later"
            refused = sum(isinstance(one, RateLimitError) for one in results)
            if refused and not volley:
                return {}, (
                    f"{refused} of the first {calls} reads were refused: another program uses the account, or the "
                    "limit of your plan is lower. Stop other programs or correct LSQ_RATE_LIMIT, then run this again"
                )
            if refused:
                facts = {"rate_limit": [calls, per], "window": "estimate"}
                return facts, (
                    f"{refused} of {calls} reads were refused in a later window: the gateway estimates the number of "
                    f'calls. Set LSQ_RATE_LIMIT={calls}/{per:g}, without "sliding"'
                )
    return {"rate_limit": [calls, per], "window": "sliding"}, (
        f"All four groups of {calls} reads were answered: the gateway does not estimate the number of calls. "
        f'Set LSQ_RATE_LIMIT="{calls}/{per:g} sliding", or RateLimit({calls}, per={per:g}, window="sliding")'
    )
