"""A circuit breaker on its own, with a probe that fails as often as a test wants."""

import asyncio

import pytest
from virtual_clock import virtual

from lsq_service_async import (
    AuthenticationError,
    BadRequestError,
    MalformedResponseError,
    NoAnswerError,
    NotFoundError,
    NotSentError,
    PermissionDeniedError,
    QueueTimeoutError,
    ServerError,
)
from lsq_service_async.bulk.circuit_breaker import CircuitBreaker


def breaker(*answers):
    """A circuit breaker whose probe raises these errors, one after the other, and the times of the probes."""
    times, answers = [], list(answers)

    async def probe():
        times.append(round(asyncio.get_running_loop().time() - 1000))
        if answers and (error := answers.pop(0)):
            raise error

    return CircuitBreaker(probe, threshold=2, first_pause=5, longest_pause=15), times


@virtual
async def test_a_breaker_probes_until_the_service_works():
    """The pauses between the probes double, up to the longest."""
    errors = [NotSentError("x"), NoAnswerError("x"), MalformedResponseError("x"), ServerError("x")]
    circuit, times = breaker(*errors, NotFoundError("x"))
    circuit.record(ServerError("x"))
    await circuit.wait_until_closed()
    assert times == []
    circuit.record(NotSentError("x"))
    await circuit.wait_until_closed()
    assert times == [0, 5, 15, 30, 45]
    await circuit.wait_until_closed()
    assert len(times) == 5


@virtual
async def test_one_worker_at_a_time_probes_the_service():
    """Workers that wait at the same time share the probes: the first success lets all of them continue."""
    circuit, times = breaker(NotSentError("x"), NotSentError("x"), None)
    for _ in range(2):
        circuit.record(NotSentError("x"))
    await asyncio.gather(*(circuit.wait_until_closed() for _ in range(25)))
    assert times == [0, 5, 15]


@virtual
@pytest.mark.parametrize(
    "error",
    [None, BadRequestError("x"), ServerError("x", exception_type="MX"), QueueTimeoutError("x")],
    ids=lambda error: type(error).__name__,
)
async def test_failures_that_the_row_caused_do_not_open_a_breaker(error):
    """A success, or a failure that a row caused, resets the count of failures of the service."""
    circuit, times = breaker()
    for failure in (NotSentError("x"), error, NotSentError("x")):
        circuit.record(failure)
        await circuit.wait_until_closed()
    assert times == []


@virtual
async def test_a_breaker_opens_if_the_backend_of_the_limit_is_unavailable():
    """Calls that miss their deadlines because Redis is down open the breaker, as an outage of the service does."""
    outage = QueueTimeoutError("x")
    outage.__cause__ = ConnectionError("refused")
    circuit, times = breaker(outage, None)
    for _ in range(2):
        circuit.record(outage)
    await circuit.wait_until_closed()
    assert times == [0, 5]


@virtual
@pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError])
async def test_wrong_keys_open_a_breaker_at_once(kind):
    """The run continues if the probe is answered, and stops if the probe fails with the same error."""
    circuit, times = breaker(None, kind("x"))
    circuit.record(kind("x"))
    await circuit.wait_until_closed()
    circuit.record(kind("x"))
    with pytest.raises(kind):
        await circuit.wait_until_closed()
    assert times == [0, 0]
