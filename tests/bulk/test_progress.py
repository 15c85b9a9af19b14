"""Plan, time left, rate, and the state of a row whose call raised an error."""

import asyncio
import sqlite3

import pytest
from bulk.samples import keyed, lost, run

from lsq_service_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BulkRow,
    InvalidRequestError,
    LSQServiceError,
    MalformedResponseError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueueTimeoutError,
    RateLimitError,
    ServerError,
    TicketUpdate,
)
from lsq_service_async.bulk import Plan, State, Summary
from lsq_service_async.bulk.progress import state_for_error
from lsq_service_async.emulator.faults import Status
from lsq_service_async.records import Attempt, Outcome


def test_a_plan_counts_the_rows_that_a_run_will_send(play, journal):
    """Failed rows count for a retry only, and unknown rows only if the run sends them or looks them up."""

    async def main(client, emulator):
        emulator.faults.add(Status(400), lost(2))
        await run(client.bulk.create(keyed(10), journal=journal))

        def calls(**options):
            plan = client.bulk.create(keyed(13), journal=journal, **options).plan()
            assert (plan.done, plan.seconds) == (7, plan.calls * 0.2)
            return plan.calls

        async def look(row):
            return None

        assert (calls(), calls(on_unknown="stop"), calls(retry_failed=True)) == (3, 3, 4)
        assert (calls(on_unknown="resend"), calls(on_unknown=look)) == (5, 5)
        assert calls(retry_failed=True, on_unknown="resend") == 6

    play(main)


def test_a_plan_counts_rows_that_a_dead_run_left_in_flight_as_unknown(play, journal):
    """A plan counts rows in flight of a dead run as unknown, as the run itself will do."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(2), journal=journal))
        database = sqlite3.connect(journal, isolation_level=None)
        database.execute("UPDATE rows SET state = 'in_flight' WHERE key = 'key-0'")
        database.close()
        assert client.bulk.create(keyed(3), journal=journal).plan() == Plan(calls=1, seconds=0.2, done=1)

    play(main)


def test_the_time_left_of_a_resumed_run_has_no_time_for_skipped_rows(play, journal):
    """From the first outcome on, the time left is the wait before the first call and the time of the calls."""

    async def main(client, emulator):
        await run(client.bulk.create(keyed(60), journal=journal))
        again = client.bulk.create(keyed(70), journal=journal)
        outcomes = aiter(again)
        assert (await anext(outcomes)).state == "skipped"
        first = again.eta()
        left = [outcome.state async for outcome in outcomes]
        assert (left.count("skipped"), left.count("created"), again.eta()) == (59, 10, 0.0)
        return first

    assert play(main) == pytest.approx(5 + 9 * 0.2, abs=0.1)


def test_the_rate_counts_rows_that_are_sent(play, journal):
    """The wait of a resumed run, skipped rows, invalid rows and the time after the end do not change it."""

    async def main(client, emulator):
        emulator.faults.add(Status(400))
        first = client.bulk.create(keyed(50), journal=journal)
        assert first.rate() == 0.0
        await run(first)
        no_tickets = [BulkRow(f"no ticket {number}", TicketUpdate()) for number in range(50)]
        second = client.bulk.create([*keyed(150), *no_tickets], journal=journal)
        rates = [second.rate() async for _ in second]
        assert second.summary() == Summary(created=100, skipped=49, failed=51)
        assert (rates[0], second.rate()) == (0.0, pytest.approx(5, rel=0.05))
        await asyncio.sleep(60)
        assert second.rate() > 4

    play(main)


@pytest.mark.parametrize("retry_failed", [False, True])
def test_the_time_left_agrees_with_the_plan(play, journal, retry_failed):
    """Rows that wait for a retry or a decision take no time."""

    async def main(client, emulator):
        emulator.faults.add(Status(400, times=10), lost(3))
        await run(client.bulk.create(keyed(20), journal=journal))
        job = client.bulk.create(keyed(20), journal=journal, retry_failed=retry_failed)
        assert job.plan() == Plan(calls=10 * retry_failed, seconds=pytest.approx(2.0 * retry_failed), done=7)
        left = [job.eta() async for outcome in job if outcome.state in ("skipped", "unknown", "failed")]
        assert bool(left[0]) == retry_failed
        assert job.eta() == 0.0

    play(main)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotSentError("x"), State.PENDING),
        (QueueTimeoutError("x"), State.PENDING),
        (BadRequestError("x"), State.FAILED),
        (AuthenticationError("x"), State.PENDING),
        (RateLimitError("x"), State.PENDING),
        (PermissionDeniedError("x"), State.FAILED),
        (ServerError("x", exception_type="MXException"), State.FAILED),
        (InvalidRequestError("x"), State.FAILED),
        (ServerError("x"), State.UNKNOWN),
        (OutcomeUnknownError("x"), State.UNKNOWN),
        (MalformedResponseError("x"), State.UNKNOWN),
        (LSQServiceError("x"), State.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_an_error_decides_the_state_of_its_row(error, state):
    """A row is pending if it was not sent, failed if it was refused, and else unknown."""
    assert state_for_error(error) is state


@pytest.mark.parametrize(
    ("error", "outcome", "state"),
    [
        (APIStatusError, Outcome.NOT_APPLIED, State.PENDING),
        (ServerError, Outcome.REFUSED, State.FAILED),
        (ServerError, Outcome.UNKNOWN, State.UNKNOWN),
    ],
)
def test_the_last_attempt_decides_the_state_of_its_row(error, outcome, state):
    """A row is pending after a 408, failed after a 501 and unknown after a 520, none of which has an exception type."""
    attempt = Attempt(number=1, outcome=outcome, status=500, seconds=0.1)
    assert state_for_error(error("x", attempts=(attempt,))) is state


@pytest.mark.parametrize("kind", [NotSentError, BadRequestError, InvalidRequestError])
def test_one_unknown_attempt_leaves_the_row_unknown(kind):
    """A later attempt that was refused or not sent does not change that."""
    attempts = [
        Attempt(number=1, outcome=Outcome.UNKNOWN, status=500, seconds=0.1),
        Attempt(number=2, outcome=Outcome.NOT_APPLIED, status=None, seconds=0.1),
    ]
    assert state_for_error(kind("x", attempts=tuple(attempts))) is State.UNKNOWN
