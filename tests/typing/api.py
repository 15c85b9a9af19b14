"""Types of the public calls as mypy and pyright see them; this file is checked and never run."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, assert_type

from lsq_service_async import (
    ActivityReceipt,
    ActivityType,
    Attachment,
    Config,
    Conversation,
    FieldMetadata,
    Lane,
    Lead,
    NewTicket,
    Problem,
    RateLimit,
    RetryPolicy,
    ServiceClient,
    SubType,
    Ticket,
    TicketReceipt,
    TicketUpdate,
    TrashResult,
)
from lsq_service_async.events import AttemptEnded, CallEnded, Event
from lsq_service_async.records import Attempt, Outcome


async def tickets(client: ServiceClient, log: BinaryIO) -> None:
    new = NewTicket(lead_id="45b5", title="Router down", fields={"CustomData.SRC_CS_2": "Online"})
    receipt = await client.tickets.create(
        new,
        attachments=[Path("photo.jpg"), Attachment.from_bytes(b"hello", name="note.txt"), log],
        progress=lambda sent, total: None,
    )
    assert_type(receipt, TicketReceipt)
    assert_type(receipt.number, str)
    assert_type(receipt.ticket_id, str | None)
    assert_type(receipt.attempts, tuple[Attempt, ...])
    assert_type(receipt.attempts[0].outcome, Outcome)
    assert_type(receipt.attempts[0].digests, tuple[str, ...])
    ticket = await client.tickets.get(receipt)
    assert_type(ticket, Ticket)
    assert_type(ticket.due_date, datetime | None)
    assert_type(ticket.fields, Mapping[str, Any])
    assert_type(await client.tickets.update(ticket, TicketUpdate(status=None)), TicketReceipt)


async def activities(client: ServiceClient) -> None:
    assert_type(await client.tickets.trash(["160", 161]), TrashResult)
    assert_type(await client.tickets.conversations("143", types=["InboundEmail"]), list[Conversation])
    assert_type(await client.tickets.conversations(143, types=[ActivityType.INBOUND_EMAIL]), list[Conversation])
    assert_type(await client.tickets.add_note("143", "Resolve this ticket ASAP."), ActivityReceipt)
    assert_type(await client.tickets.add_portal_activity("143", "Any news?"), ActivityReceipt)
    assert_type(await client.request("GET", "tickets/143"), Any)


async def metadata(client: ServiceClient) -> None:
    async for field in client.metadata.fields(search="Status"):
        assert_type(field, FieldMetadata)
        assert_type(field.max_length, int | None)
    assert_type(await client.metadata.sub_types(), list[SubType])
    assert_type(await client.metadata.validate(NewTicket(title="x")), list[Problem])
    assert_type(await client.metadata.validate_many([NewTicket(title="x")]), list[list[Problem]])


async def leads(client: ServiceClient) -> None:
    lead = await client.leads.find_by_email("wim@example.com")
    assert_type(lead, Lead | None)
    assert_type(await client.leads.find_by_phone("+91-5550100001"), Lead | None)
    if lead is not None:
        assert_type(NewTicket.for_lead(lead, title="Router down"), NewTicket)


def hook(event: Event) -> None:
    if isinstance(event, AttemptEnded):
        assert_type(event.abandoned, bool)
    elif isinstance(event, CallEnded):
        assert_type(event.error, BaseException | None)


async def options(config: Config) -> None:
    async with ServiceClient(config, hooks=[hook, lambda event: None]) as client:
        view = client.with_options(lane=Lane.BULK, deadline=2.0, timeout=5.0, retry=RetryPolicy(attempts=1))
        assert_type(view, ServiceClient)
        assert_type(view.limiter.stats().free, int)
    assert_type(Config(access_key="a", secret_key="b", org_id="1"), Config)
    assert_type(Config.from_env(timeout=10.0), Config)
    assert_type(RateLimit(25, per=5.0).per, float)
