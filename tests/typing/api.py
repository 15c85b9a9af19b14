"""What type checkers see of the public calls; checked by mypy, never run."""

from pathlib import Path
from typing import Any, BinaryIO, assert_type

from lsq_service_async import (
    Attachment,
    Config,
    Lane,
    NewTicket,
    RateLimit,
    RetryPolicy,
    ServiceClient,
    Ticket,
    TicketReceipt,
    TicketUpdate,
)


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
    ticket = await client.tickets.get(receipt)
    assert_type(ticket, Ticket)
    assert_type(ticket.fields["Title"], Any)
    assert_type(await client.tickets.update(ticket, TicketUpdate(status=None)), TicketReceipt)
    assert_type(await client.request("GET", "tickets/143"), Any)


async def options(config: Config) -> None:
    async with ServiceClient(config, hooks=[lambda event: None]) as client:
        view = client.with_options(lane=Lane.BULK, deadline=2.0, timeout=5.0, retry=RetryPolicy(attempts=1))
        assert_type(view, ServiceClient)
        assert_type(view.limiter.stats().free, int)
    assert_type(Config.from_env(), Config)
    assert_type(RateLimit(25, per=5.0).per, float)
