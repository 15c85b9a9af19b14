"""Text from other sources in messages: invisible characters are escaped, and long texts are cut."""

import pytest

from lsq_service_async import APIStatusError, ConfigurationError
from lsq_service_async.errors import printable

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
