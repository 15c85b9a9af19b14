"""Rows, faults, and short ways to run them."""

from lsq_service_async import BulkRow, NewTicket, RetryPolicy
from lsq_service_async.emulator.faults import AnswerLost

CAREFUL = RetryPolicy(repeat_creates=False)


def tickets(count, start=0):
    return [NewTicket(lead_id="45b5", title=f"row {number}") for number in range(start, start + count)]


def keyed(count):
    return [BulkRow(f"key-{number}", ticket) for number, ticket in enumerate(tickets(count))]


async def run(job):
    return [outcome async for outcome in job]


def titles(emulator):
    return sorted(ticket.fields["Title"] for ticket in emulator.tickets.values())


def lost(count=1):
    return AnswerLost(times=count)


def changed(row):
    return BulkRow(row.key, NewTicket(lead_id="45b5", title=f"{row.ticket.title}, mended"))
