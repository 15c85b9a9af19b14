"""Rows, faults and helpers of the tests of bulk runs."""

import itertools
import sqlite3

from lsq_service_async import BulkRow, NewTicket, RetryPolicy
from lsq_service_async.emulator.faults import AnswerLost

ACCOUNT = "https://service.test, org 22824"
CAREFUL = RetryPolicy(repeat_creates=False)


def tickets(count, start=0):
    return [NewTicket(lead_id="45b5", title=f"row {number}", status="Open") for number in range(start, start + count)]


def keyed(count):
    return [BulkRow(f"key-{number}", ticket) for number, ticket in enumerate(tickets(count))]


async def run(job):
    return [outcome async for outcome in job]


async def registered(journal, row, *, edited=False):
    """The entry of a row that has not changed, or may have changed."""
    entry, changed = await journal.register(row, edited=edited)
    assert changed is None
    return entry


def titles(emulator):
    return sorted(ticket.fields["Title"] for ticket in emulator.tickets.values())


def lost(count=1):
    return AnswerLost(times=count)


def changed(row):
    return BulkRow(row.key, NewTicket(lead_id="45b5", title=f"{row.ticket.title}, edited", status="Open"))


def watch_statements(monkeypatch, watch):
    """Call ``watch(statement)`` before each SQL statement. It may raise, or return another statement."""
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        def execute(self, statement, *parameters):
            return super().execute(watch(statement) or statement, *parameters)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Watched, **options))


def watch_commits(monkeypatch, watch):
    """Call ``watch(number)`` before each commit, with its number from 1 on. If it raises, the commit fails."""
    numbers = itertools.count(1)
    watch_statements(monkeypatch, lambda statement: watch(next(numbers)) if statement == "COMMIT" else None)
