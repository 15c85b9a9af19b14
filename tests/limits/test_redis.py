"""The limiter of many hosts, with a real Redis server."""

from __future__ import annotations

import asyncio
import importlib
import secrets
import socket
import sys
import time

import pytest
from test_secrecy import everything_shown

from limits.conftest import RedisServer, free_port
from limits.limiters import NAME, RATE, TOKEN, spend, take
from lsq_service_async.config import Lane, RateLimit
from lsq_service_async.errors import ConfigurationError, NotSentError

pytest.importorskip("redis", reason="no redis-py here; it comes with the extra redis")
import redis
import redis.asyncio as asyncio_redis

from lsq_service_async.limits.redis import RedisBackend, RedisLimiter

pytestmark = pytest.mark.redis


@pytest.fixture
def name():
    """The name of a limit that no other test uses."""
    return secrets.token_hex(8)


async def test_two_limiters_share_one_limit(redis_server, name):
    """Two limiters use one limit by the server's clock, and its key expires after ten minutes."""
    client = asyncio_redis.from_url(redis_server.url, decode_responses=True)
    one, other = RedisLimiter(redis_server.url, name=name), RedisLimiter(client, name=name)
    await one.open(RateLimit(25, per=1.0), NAME)
    await other.open(RateLimit(25, per=1.0), "another host/1")
    began = time.monotonic()
    await spend(one, 13)
    await spend(other, 12)
    await spend(other, 1)
    assert time.monotonic() - began > 1.0
    assert 600_000 - 2000 < await client.pttl(f"lsq_service_async:limit:{name}") <= 600_000

    await one.aclose()
    await other.aclose()
    assert await client.ping()
    await client.aclose()


async def test_without_a_name_the_processes_of_one_account_share_a_limit(redis_server):
    """Two clients of one account share a key, which contains the host and the org."""
    limiter = RedisLimiter(redis_server.url)
    await limiter.open(RATE, "one.example/1")
    await spend(limiter, 2)
    await limiter.aclose()
    async with asyncio_redis.from_url(redis_server.url) as client:
        assert await client.exists("lsq_service_async:limit:one.example/1")


async def test_a_server_that_lost_the_scripts_gets_them_again(redis_server, name):
    """A server that lost its scripts, as after a restart, gets them with the next call."""
    limiter = RedisLimiter(redis_server.url, name=name)
    await limiter.open(RATE, NAME)
    async with asyncio_redis.from_url(redis_server.url) as client:
        await client.script_flush()
    await limiter.acquire(Lane.INTERACTIVE)
    await limiter.aclose()


async def test_while_redis_is_stopped_calls_wait_or_fail(redis_server, name, caplog):
    """Calls wait or fail as configured, and a warning is logged when Redis stops and when it is back."""
    waits, fails = (
        RedisLimiter(redis_server.url, name=name),
        RedisLimiter(redis_server.url, name=name, when_down="fail"),
    )
    rate = RateLimit(25, per=1.0)
    await waits.open(rate, NAME)
    await fails.open(rate, NAME)
    redis_server.stop()
    waiting = asyncio.create_task(waits.acquire(Lane.INTERACTIVE))
    with pytest.raises(NotSentError, match="backend unavailable, so the call was not sent: Redis: "):
        await fails.acquire(Lane.INTERACTIVE)
    await asyncio.sleep(1)
    assert not waiting.done()
    redis_server.start()
    began = time.monotonic()
    await waiting
    assert time.monotonic() - began > 0.9
    await waits.aclose()
    await fails.aclose()
    warnings = [record.getMessage()[:28] for record in caplog.records if record.levelname == "WARNING"]
    assert sorted(warnings) == ["Rate-limit backend available"] * 2 + ["Rate-limit backend unavailab"] * 2


@pytest.fixture
def old_primary(redis_server, tmp_path):
    """Start a second server."""
    server = RedisServer(redis_server.program, tmp_path)
    yield server
    server.stop()


async def test_after_a_failover_new_connections_find_the_new_primary(redis_server, old_primary, name):
    """The old one still answers, but is read-only, so its connections must be closed."""
    primary = [old_primary]

    class Named(asyncio_redis.Connection):
        async def connect(self):
            self.port = primary[0].port
            await super().connect()

    client = asyncio_redis.Redis.from_pool(asyncio_redis.ConnectionPool(Named))
    limiter = RedisLimiter(client, name=name)
    await limiter.open(RateLimit(25, per=0.2), NAME)
    primary[0] = redis_server
    async with asyncio_redis.from_url(old_primary.url) as admin:
        await admin.replicaof("127.0.0.1", free_port())
    async with asyncio.timeout(3):
        await limiter.acquire(Lane.INTERACTIVE)
    await limiter.aclose()
    await client.aclose()


async def test_a_client_without_a_connection_pool_can_be_used(name):
    """A limiter accepts a client without a connection pool, such as that of a Redis cluster."""

    class Client:
        def register_script(self, text):
            return self.refuse

        async def script_load(self, text):
            pass

        async def refuse(self, **about):
            raise redis.exceptions.ReadOnlyError("You can't write against a read only replica.")

    limiter = RedisLimiter(Client(), name=name, when_down="fail")
    await limiter.open(RATE, NAME)
    with pytest.raises(NotSentError, match="Redis: You can't write against a read only replica"):
        await limiter.acquire(Lane.INTERACTIVE)
    await limiter.aclose()


@pytest.mark.parametrize(
    ("is_ours", "seconds", "reason"), [(True, 0.6, "Timeout reading"), (False, 2.0, "no reply in time")]
)
async def test_a_server_that_hangs_costs_seconds_at_most(name, is_ours, seconds, reason):
    """The limiter has its own timeouts, shorter ones if it made the client. They count for opening and for calls."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = asyncio_redis.Redis(port=port, socket_timeout=None)
        limiter = RedisLimiter(f"redis://127.0.0.1:{port}" if is_ours else client, name=name, when_down="fail")
        began = time.monotonic()
        await limiter.open(RATE, NAME)
        assert time.monotonic() - began < seconds + 3
        with pytest.raises(NotSentError, match=f"Redis: {reason}"):
            await limiter.acquire(Lane.INTERACTIVE)
        await limiter.aclose()
        await client.aclose()


async def test_a_server_that_is_80_ms_away_can_be_used(redis_server, name):
    """A distant server can be used, because connecting, which takes several round trips, has a separate timeout."""

    async def slowly(reader, writer):
        while data := await reader.read(65536):
            await asyncio.sleep(0.08)
            writer.write(data)
        writer.close()

    async def connected(reader, writer):
        there = await asyncio.open_connection("127.0.0.1", redis_server.port)
        await asyncio.gather(slowly(reader, there[1]), slowly(there[0], writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as far:
        limiter = RedisLimiter(f"redis://127.0.0.1:{far.sockets[0].getsockname()[1]}", name=name, when_down="fail")
        await limiter.open(RATE, NAME)
        await spend(limiter, 2)
        await limiter.aclose()


async def test_while_the_key_holds_something_else_no_call_is_sent(redis_server, name):
    """No call is sent while the key has another type or content, and the message names the key."""
    async with asyncio_redis.from_url(redis_server.url) as client:
        await client.set(f"lsq_service_async:limit:{name}", "[1, 2]")
    limiter = RedisLimiter(redis_server.url, name=name, when_down="fail")
    await limiter.open(RATE, NAME)
    with pytest.raises(NotSentError, match=r"limit:.*: not the state of a rate limit"):
        await limiter.acquire(Lane.INTERACTIVE)
    await limiter.aclose()


ADDRESSES = [
    "redis://:pass/CANARY@h:6379/0",
    "redis://:CANARY#x@h:6379/0",
    "redis://:pass?CANARY@h:6379/0",
    "redis://user:p@CANARY/word@h:1/0",
    "redis://u:CANARY@h:63x79",
    "redis://u:CANARY@h:99999",
    "redis://u:CANARY@[::1",
    "redis://u:CANARY@h:6379/CANARY",
    "redis://u:CANARY@h:6379/?socket_timeout=CANARY",
    "redis://u:CANARY@h:6379/?CANARY=1",
    "redis://u:CANARY@h:6379/?encoding=CANARY",
    "rediss://u:CANARY@h:6379/?ssl_cert_reqs=CANARY",
    "redis://u:CANARY\udcff@h",
    "http://u:CANARY@h",
    "CANARY",
    "CANARY@h:6379",
    b"redis://u:CANARY@h",
    {"password": "CANARY"},
    redis.Redis.from_url("redis://u:CANARY@h"),
]


def shown(caught):
    """Everything that a crash reporter sends, without the frame of the test, which knows the address."""
    return everything_shown(caught.value.with_traceback(caught.tb.tb_next))


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_address_that_is_not_valid_is_shown_nowhere(address):
    """A part of such an address may be the password. The message has the valid forms instead."""
    limiter = RedisLimiter(address)
    with pytest.raises(ConfigurationError, match="an address like redis://host") as caught:
        await limiter.open(RATE, NAME)
    assert "CANARY" not in shown(caught)
    with pytest.raises(ConfigurationError, match='when_down must be "wait" or "fail"') as caught:
        RedisLimiter(address, when_down="explode")
    assert "CANARY" not in shown(caught)


@pytest.mark.parametrize("name", ["\ud800", ["x"], 5])
def test_a_name_that_redis_cannot_store_is_a_configuration_error(name):
    """The address, which may hold a password, is not shown."""
    with pytest.raises(ConfigurationError, match="name of a limit must be printable text, not") as caught:
        RedisLimiter("redis://u:CANARY@h", name=name)
    assert "CANARY" not in shown(caught)


VALID = ["redis://", "rediss://u:p%40%2Fw@[::1]:7/15", "unix://:p@/run/redis.sock?db=1", "redis://h?socket_timeout=2"]


@pytest.mark.parametrize("address", VALID)
async def test_all_forms_of_an_address_are_accepted(address):
    """Host, port, database and login are optional."""
    backend = RedisBackend(address, "name")
    await backend.open(NAME)
    assert str(backend) == "Redis"
    await backend.aclose()


async def one_call(limiter):
    await limiter.open(RATE, NAME)
    try:
        await spend(limiter, 1)
    finally:
        await limiter.aclose()


WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair\r\n"
UNKNOWN_COMMAND = b"-ERR \x1b[31munknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'CANARY'\r\n"


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (WRONG_PASSWORD, ConfigurationError, r"Redis refused the login: .* Check the user and the password"),
        (UNKNOWN_COMMAND, NotSentError, r"Redis: \\u001b\[31munknown command 'HELLO'$"),
    ],
    ids=["wrong password", "unknown command"],
)
async def test_a_login_that_fails_shows_no_password(reply, error, message, caplog):
    """A server that does not know a command repeats its arguments, and frames of redis-py hold the password."""

    async def answer(reader, writer):
        while await reader.read(65536):
            writer.write(reply)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = f"redis://:CANARY@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(error, match=message) as caught:
            await one_call(RedisLimiter(address, when_down="fail"))
    assert "CANARY" not in shown(caught) + caplog.text
    assert "\x1b" not in f"{caught.value.__cause__}{caplog.text}"


RIGHTS = ["+evalsha", "+script|load", "+get", "+set", "+time", "~lsq_service_async:limit:*"]


@pytest.mark.parametrize("missing", [*RIGHTS, None])
async def test_a_user_needs_exactly_the_rights_that_the_error_names(redis_server, name, missing):
    """Without one of the rights, opening raises ConfigurationError, even if another process has loaded the scripts."""
    what = "Redis does not permit .* The limiter needs the commands"
    async with asyncio_redis.from_url(redis_server.url) as admin:
        rights = [right for right in RIGHTS if right != missing]
        await admin.execute_command("ACL", "SETUSER", name, "on", ">pw", *rights)
        limiter = RedisLimiter(redis_server.url.replace("//", f"//{name}:pw@"), name=name)
        if missing is None:
            await one_call(limiter)
        else:
            with pytest.raises(ConfigurationError, match=what) as caught:
                await limiter.open(RATE, NAME)
            assert set(RIGHTS) < set(str(caught.value).split())
        await admin.execute_command("ACL", "DELUSER", name)


async def test_a_process_alone_needs_one_round_trip_for_each_call(redis_server, name):
    """Requests and reports share a message, and the state that this process wrote last is not read again."""
    rate = RateLimit(25, per=0.5)
    async with asyncio_redis.from_url(redis_server.url) as client:
        await client.config_resetstat()
        limiter = RedisLimiter(redis_server.url, name=name)
        await limiter.open(rate, NAME)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(spend(limiter, 1))
        await limiter.aclose()
        stats = await client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] <= 1.1 * 200


async def test_slots_of_a_limiter_that_was_closed_return_when_their_leases_end(redis_server, name):
    """Calls in flight keep their slots after closing, until their leases end."""
    one, other = (RedisLimiter(redis_server.url, name=name) for _ in range(2))
    await one.open(RATE, NAME)
    await other.open(RATE, NAME)
    await take(one, 5)
    await one.aclose()
    await take(other, 1)
    assert other.stats().used == 6
    assert other.stats().estimated_wait[Lane.INTERACTIVE] < TOKEN
    await other.aclose()


def test_without_redis_py_the_import_error_says_what_to_install(monkeypatch):
    """Without redis-py only this import fails, and its error names the extra."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "lsq_service_async.limits.redis")
    with pytest.raises(ImportError, match=r"pip install 'lsq-service-async\[redis\]'"):
        importlib.import_module("lsq_service_async.limits.redis")
