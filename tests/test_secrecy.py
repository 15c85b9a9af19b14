"""API keys appear in no message, log record, event, traceback or request that is kept."""

import asyncio
import traceback

import attrs
import httpcore
import httpx
import pytest
from raw_server import CREATED, RawServer, ok, request_of
from scripted import AfterBody, BeforeBody, Script, created

from lsq_service_async import (
    Attachment,
    Config,
    ConfigurationError,
    LSQServiceError,
    NewTicket,
    RateLimit,
    RetryPolicy,
    ServiceClient,
    errors,
)

TICKET = NewTicket(lead_id="45b5")


def everything_shown(error):
    """Return all texts, attributes and local variables of an error and of all errors that it is linked to."""
    shown, waiting, seen = [], [error], []
    while waiting:
        link = waiting.pop()
        if link is None or any(link is known for known in seen):
            continue
        seen.append(link)
        waiting += [link.__cause__, link.__context__, *getattr(link, "exceptions", ())]
        shown += [str(link), repr(link), repr(vars(link))]
        for frame, _ in traceback.walk_tb(link.__traceback__):
            shown += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(shown)


def test_a_key_in_a_local_variable_is_found():
    """The check of this file finds a key in the frames of a context that is not the cause."""

    def leaking():
        key = "CANARY-" + "secret"
        raise KeyError(len(key))

    def failing_twice():
        try:
            leaking()
        except KeyError:
            raise ValueError("x") from OSError()

    with pytest.raises(ValueError, match="x") as caught:
        failing_twice()
    assert "CANARY-secret" in everything_shown(caught.value)


async def failing(config, origin, http=None):
    settings = attrs.evolve(config, base_url=origin, retry=RetryPolicy(attempts=1), timeout=0.3)
    async with ServiceClient(settings, http_client=http) as client:
        with pytest.raises(LSQServiceError) as caught:
            await client.tickets.create(TICKET)
        return caught.value


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
        None,
    ],
    ids=["closed", "garbage", "cut", "500", "silent"],
)
async def test_no_key_is_in_any_error(config, reply):
    """An error of a failed attempt has no key in its texts, causes and frames."""

    async def talk(reader, writer):
        await request_of(reader)
        if reply is None:
            await asyncio.sleep(1)
        writer.write(reply or b"")

    async with RawServer(talk).running() as server:
        error = await failing(config, server.origin)
    assert "CANARY" not in everything_shown(error)


class BrokenWire(httpcore.AsyncNetworkBackend):
    """Connects, and fails while the head of a request is written."""

    async def connect_tcp(self, *args, **kwargs):
        return self

    def get_extra_info(self, info):
        return None

    async def write(self, data, timeout=None):
        raise OSError("the wire broke")

    async def aclose(self):
        pass


async def test_no_key_is_in_the_frames_of_a_broken_write(config):
    """The frames of h11, whose events show every header, are dropped from an error."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(network_backend=BrokenWire())
    async with httpx.AsyncClient(transport=transport) as http:
        error = await failing(config, config.base_url, http)
    assert "the wire broke" in str(error)
    assert "CANARY" not in everything_shown(error)


async def test_no_key_is_in_the_error_of_a_broken_connection(config):
    """The error of a refused connection has no key."""
    error = await failing(config, "http://127.0.0.1:9")
    assert "CANARY" not in everything_shown(error)


@pytest.mark.parametrize(
    "wrong",
    [{"LSQ_RATE_LIMIT": "25"}, {"LSQ_BASE_URL": "x"}, {"LSQ_ACCESS_KEY": "CANARY-a\n"}],
    ids=["rate", "url", "key"],
)
def test_no_key_is_in_the_error_of_wrong_settings(monkeypatch, wrong):
    """The error of a wrong setting has no key in its frames."""
    named = {"LSQ_ACCESS_KEY": "CANARY-a", "LSQ_SECRET_KEY": "CANARY-b", "LSQ_ORG_ID": "7"}
    for name, value in (named | wrong).items():
        monkeypatch.setenv(name, value)
    del named, wrong, name, value
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env()
    shown = traceback.TracebackException(
        caught.type, caught.value, caught.value.__traceback__.tb_next, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())


@pytest.mark.parametrize("depth", [1, 63, 64, 600, 100_000])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_no_key_is_in_the_error_of_a_nested_answer(config, status, depth):
    """A key is redacted at every depth of a response."""
    body = b"[" * depth + b'{"CANARY-secret": "CANARY-access-u$r"}' + b"]" * depth
    async with httpx.AsyncClient(transport=Script(httpx.Response(status, content=body))) as http:
        error = await failing(config, config.base_url, http)
    assert "CANARY" not in everything_shown(error)


@pytest.mark.parametrize("form", ["CANARY-access-u%24r", "CANARY-access-u$r", '"CANARY-access-u$r"'])
@pytest.mark.parametrize("before", range(60, 310, 10))
async def test_a_key_at_the_cut_of_a_message_is_hidden(config, form, before):
    """Texts are redacted before they are cut, so that no part of a key stays."""
    for status in (200, 400):
        answer = httpx.Response(status, text="x" * before + form)
        async with httpx.AsyncClient(transport=Script(answer)) as http:
            assert "CANARY" not in everything_shown(await failing(config, config.base_url, http))


@pytest.mark.parametrize("wrap", [BeforeBody, AfterBody])
async def test_a_key_in_the_error_of_a_library_is_hidden(config, wrap):
    """An error of a library that quotes a key, or is linked to one that does, is not kept as the cause."""

    class Quoting(Exception):
        pass

    def quoting(*links):
        error = Quoting("x" * 190 + "CANARY-secret", 5)
        error.header = "CANARY-secret"
        error.__cause__, error.__context__ = links or (None, None)
        return error

    error = quoting(quoting(), ExceptionGroup("CANARY-secret", [quoting()]))
    async with httpx.AsyncClient(transport=Script(wrap(error))) as http:
        raised = await failing(config, config.base_url, http)
    assert raised.__cause__ is None
    assert "CANARY" not in everything_shown(raised)


def test_no_key_is_in_the_frames_of_an_interrupt(config):
    """A SystemExit during a request passes without the frames of httpx."""

    class Leaving(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            headers = request.headers.raw
            raise SystemExit(len(headers))

    async def main():
        http = httpx.AsyncClient(transport=Leaving())
        async with http, ServiceClient(config, http_client=http) as client:
            await client.tickets.create(TICKET)

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    shown = everything_shown(caught.value)
    assert "CANARY" not in shown


ECHO = "no such key CANARY-access-u$r / CANARY-secret"
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in "CANARY-access-u$r CANARY-secret")


def echo(status, name="ExceptionMessage", **more):
    """Return an answer that repeats both keys in a value, in the name of a value and in its headers."""
    body = {name: ECHO, "CANARY-secret": ["CANARY-access-u$r"], **more}
    return httpx.Response(status, headers={"X-Echo": f"{ECHO} {ESCAPED}", "CANARY-secret": "x"}, json=body)


async def create(client):
    await client.tickets.create(TICKET)


async def read(client):
    await client.tickets.get("143")


async def create_with_a_wrong_value(client):
    await client.tickets.create(NewTicket(lead_id="1", fields={"X": float("nan")}))


async def create_in_a_full_queue(client):
    for _ in range(2):
        await client.with_options(deadline=5.0).tickets.create(TICKET)


async def read_with_a_closed_client(client):
    await client.aclose()
    await client.tickets.get("143")


async def make_another_client(client):
    ServiceClient(client._session.config, hooks=[1])


CASES = {
    errors.ConfigurationError: (make_another_client, created()),
    errors.InvalidRequestError: (create_with_a_wrong_value, created()),
    errors.NotSentError: (create, BeforeBody(httpx.ConnectError(f"refused {ECHO} {ESCAPED}"))),
    errors.QueueTimeoutError: (create_in_a_full_queue, created()),
    errors.OutcomeUnknownError: (create, echo(500)),
    errors.NoAnswerError: (read, AfterBody(httpx.ReadError(f"lost {ECHO} {ESCAPED}"))),
    errors.APIStatusError: (create, echo(409)),
    errors.BadRequestError: (create, httpx.Response(400, text=f"<p>{ECHO} {ESCAPED}")),
    errors.AuthenticationError: (create, echo(401, name="Message")),
    errors.PermissionDeniedError: (create, echo(403, name="error")),
    errors.NotFoundError: (read, echo(404, ExceptionType=ECHO)),
    errors.RateLimitError: (create, echo(429, name="message")),
    errors.ServerError: (create, echo(500, ExceptionType=f"MX{ESCAPED}")),
    errors.OperationFailedError: (create, echo(200, name="ReasonForFailure", Status="Error")),
    errors.MalformedResponseError: (read, echo(200)),
    errors.LSQServiceError: (read_with_a_closed_client, created()),
}


def error_classes(root=errors.LSQServiceError):
    return [root, *(found for kind in root.__subclasses__() for found in error_classes(kind))]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
async def test_no_key_is_in_an_error_of_any_class(config, kind):
    """An error of each class has no key, also if the service or a library repeats both keys, escaped or not."""
    call, events = CASES[kind][0], []
    settings = attrs.evolve(config, rate_limit=RateLimit(1, per=60.0), retry=RetryPolicy(attempts=1))
    async with httpx.AsyncClient(transport=Script(CASES[kind][1])) as http:
        async with ServiceClient(settings, http_client=http, hooks=[events.append]) as client:
            with pytest.raises(errors.LSQServiceError) as caught:
                await call(client)
    assert type(caught.value) is kind
    shown = everything_shown(caught.value) + repr(events)
    assert "CANARY" not in shown
    assert ESCAPED[:12] not in shown


async def test_no_key_is_in_any_event(config):
    """Events and reprs have no key."""
    events = []
    async with httpx.AsyncClient(transport=Script(429, BeforeBody(httpx.ConnectError("x")), created())) as http:
        settings = attrs.evolve(config, rate_limit=RateLimit(25, per=0.01))
        async with ServiceClient(settings, http_client=http, hooks=[events.append]) as client:
            await client.with_options(retry=RetryPolicy(backoff=0.001)).tickets.create(TICKET)
            assert "CANARY" not in repr(client) + repr(vars(client)) + repr(client.limiter)
    assert len(events) == 10
    assert "CANARY" not in repr(events)


async def test_no_key_is_in_the_log_of_httpx(config, caplog):
    """httpx logs URLs and steps, which have no key."""

    async def talk(reader, writer):
        while True:
            head, _ = await request_of(reader)
            assert b"CANARY-secret" in head
            writer.write(ok(b"[]" if head.startswith(b"GET") else CREATED))

    async with RawServer(talk).running() as server:
        settings = attrs.evolve(config, base_url=server.origin, metadata_url=server.origin, leads_url=server.origin)
        async with ServiceClient(settings) as client:
            await client.tickets.create(TICKET, attachments=[Attachment.from_bytes(b"x", name="a.txt")])
            await client.metadata.sub_types()
            await client.leads.find_by_email("wim@example.com")
    assert {"httpx", "httpcore.connection", "httpcore.http11"} <= {record.name for record in caplog.records}
    assert "emailaddress=wim%40example.com" in caplog.text
    assert "CANARY" not in caplog.text


async def test_the_keys_are_removed_from_the_request(config):
    """The keys are removed from a request after it was sent."""
    kept = []

    class Keeping(Script):
        async def handle_async_request(self, request):
            kept.append((request, "X-LSQ-ACCESS-KEY" in request.headers))
            return await super().handle_async_request(request)

    async with httpx.AsyncClient(transport=Keeping(created())) as http:
        async with ServiceClient(config, http_client=http) as client:
            await client.tickets.create(TICKET)
    [(request, had_keys)] = kept
    assert had_keys
    assert "CANARY" not in repr(request.headers.raw)
