"""Text from other sources in messages: invisible characters are escaped, and long texts are cut."""

from functools import partial

import pytest

from lsq_service_async import (
    APIStatusError,
    Attachment,
    BulkRow,
    Config,
    ConfigurationError,
    InvalidRequestError,
    NewTicket,
    RateLimit,
    RetryPolicy,
    ServiceClient,
    TicketUpdate,
)
from lsq_service_async.bulk import rows_from
from lsq_service_async.errors import printable, shown
from lsq_service_async.limits import HostLimiter

READABLE = "क्\u200dष 家族👨\u200d👩\u200d👧 ❤\ufe0f \xa0 é \ufffd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00\t\n\r\x1b[2J\x7f", r"\u0000\u0009\u000a\u000d\u001b[2J\u007f"),
        ("\x80\x85\x9b31m\xad", r"\u0080\u0085\u009b31m\u00ad"),
        ("a\u202egpj.exe\u2066\u200e\u061c", r"a\u202egpj.exe\u2066\u200e\u061c"),
        ("\u2028\u2029\u200b\ufeff\u3164", r"\u2028\u2029\u200b\ufeff\u3164"),
        ("\ud800 \udce9 \U000e0041", r"\ud800 \udce9 \udb40\udc41"),
        (READABLE, READABLE),
        (r"C:\new \u001b", r"C:\new \u001b"),
    ],
)
def test_invisible_characters_are_escaped(text, shown):
    """Controls, bidi and other invisible characters become escapes of JSON. Readable text stays as it is."""
    assert printable(text) == printable(shown) == shown


def test_a_long_text_is_cut():
    """With a limit, a longer text ends with three dots."""
    assert (printable("abcd", 4), printable("abcde", 4), printable("\nabc", 1)) == ("abcd", "abcd...", r"\u000a...")


@pytest.mark.parametrize("kind", [ConfigurationError, APIStatusError])
def test_no_message_can_forge_a_log_line(kind):
    """The message of every error is one line of printable text."""
    assert str(kind("no\n2026-01-01 ERROR \x9b31m")) == r"no\u000a2026-01-01 ERROR \u009b31m"
    assert len(str(kind("x" * 100_000))) < 5000


class Unprintable:
    """An object whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("not loaded yet")


HUGE = 10**5000
SETTINGS = {"access_key": "a", "secret_key": "b", "org_id": "22824"}


def test_every_argument_can_be_shown():
    """A message shows a wrong argument, cut, even if it is too long to be written or its repr raises."""
    assert shown("x" * 200) == repr("x" * 200)[:80]
    assert (shown(HUGE), shown(Unprintable())) == ("an object of type int", "an object of type Unprintable")


@pytest.mark.parametrize("value", [HUGE, [HUGE], Unprintable()], ids=["huge", "list", "unprintable"])
@pytest.mark.parametrize(
    "use",
    [
        RateLimit,
        lambda value: RateLimit(25, per=value),
        lambda value: RateLimit(25, per=5.0, window=value),
        lambda value: RetryPolicy(attempts=value),
        lambda value: RetryPolicy(repeat_creates=value),
        *(
            partial(lambda name, value: Config(**{**SETTINGS, name: value}), name)
            for name in ("org_id", "timeout", "time_zone", "marker_field", "retry", "allow_http", "attachment_digests")
        ),
        lambda value: HostLimiter(value),
    ],
)
def test_a_wrong_setting_raises_configuration_error(use, value):
    """Whatever a setting is set to, the error is the documented one."""
    with pytest.raises(ConfigurationError, match=r"must be|is required"):
        use(value)


@pytest.mark.parametrize("value", [HUGE, [HUGE], Unprintable()], ids=["huge", "list", "unprintable"])
@pytest.mark.parametrize(
    "use",
    [
        lambda client, value, path: client.tickets.get(value),
        lambda client, value, path: client.tickets.trash([value]),
        lambda client, value, path: client.tickets.create(NewTicket(lead_id="x", title=value)),
        lambda client, value, path: client.tickets.create(NewTicket(lead_id="x", fields={"A": value})),
        lambda client, value, path: client.tickets.create(NewTicket(lead_id="x"), reference=value),
        lambda client, value, path: client.tickets.create(NewTicket(lead_id="x"), attachments=[value]),
        lambda client, value, path: client.tickets.look_up(value),
        lambda client, value, path: client.request("GET", "x", params={"a": value}),
        lambda client, value, path: anext(aiter(client.bulk.create([BulkRow(value, NewTicket())], journal=path))),
        lambda client, value, path: anext(
            aiter(client.bulk.update([BulkRow("a", TicketUpdate(), value)], journal=path))
        ),
        lambda client, value, path: client.bulk.create([], journal=path, on_unknown=value),
        lambda client, value, path: list(rows_from([{"title": "a", "key": value}])),
        lambda client, value, path: Attachment.from_bytes(b"", name="a", content_type=value),
    ],
)
async def test_a_wrong_argument_raises_invalid_request_error(use, value, tmp_path):
    """Whatever an argument is, the error is the documented one, and nothing is sent."""
    async with ServiceClient(Config(**SETTINGS, base_url="http://127.0.0.1:9")) as client:

        async def call() -> None:
            await use(client, value, tmp_path / "journal")

        with pytest.raises(InvalidRequestError):
            await call()
