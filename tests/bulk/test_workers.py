"""A pool of workers, tested with plain items and functions instead of bulk rows."""

import asyncio

import pytest
from virtual_clock import virtual

from lsq_service_async import LSQServiceError
from lsq_service_async.bulk.workers import WorkerPool


def numbers(count):
    """A function that returns the numbers from 1 and then None."""
    items = iter(range(1, count + 1))

    async def pull():
        return next(items, None)

    return pull


@virtual
async def test_results_are_delivered_in_order_of_completion():
    """A worker that is slow does not hold up the results of the others."""

    async def process(number):
        await asyncio.sleep(10 if number == 1 else 1)
        return number

    pool = WorkerPool(numbers(5), process, 2)
    assert [result async for result in pool.results()] == [2, 3, 4, 5, 1]


@virtual
async def test_a_slow_reader_slows_the_workers_down():
    """At most one result per worker and one in the queue wait for the reader."""
    begun = []

    async def process(number):
        begun.append(number)
        return number

    pool = WorkerPool(numbers(100), process, 3)
    results = pool.results()
    await anext(results)
    await asyncio.sleep(60)
    assert len(begun) <= 1 + 3 + 1
    await pool.aclose()


@virtual
async def test_stop_cancels_a_worker_unless_it_is_protected():
    """A protected worker finishes its item, and its result is delivered."""
    cancelled = []

    async def process(number):
        if number == 1:
            pool.protect()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    pool = WorkerPool(numbers(9), process, 3)
    asyncio.get_running_loop().call_later(1, pool.stop)
    assert [result async for result in pool.results()] == [1]
    assert sorted(cancelled) == [2, 3]


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
@virtual
async def test_a_cancellation_that_is_not_from_the_pool_is_an_error(error):
    """It does not look like the end of the items."""
    items = iter((1, 2, 3))

    async def pull():
        if (item := next(items)) == 3:
            raise error
        return item

    async def process(number):
        return number

    results = WorkerPool(pull, process, 2).results()
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises((LSQServiceError, GeneratorExit)) as caught:
        await anext(results)
    assert isinstance(caught.value.__cause__ or caught.value, error)


@virtual
async def test_an_error_of_a_worker_stops_the_pool_and_is_raised_at_the_end():
    """Results that were ready are delivered first."""

    async def process(number):
        if number == 4:
            raise ZeroDivisionError
        return number

    delivered = []

    async def read():
        async for result in WorkerPool(numbers(100), process, 1).results():
            delivered.append(result)

    with pytest.raises(ZeroDivisionError):
        await read()
    assert delivered == [1, 2, 3]
