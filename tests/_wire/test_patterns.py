"""Patterns of the account: the same answers as ``re``, in a time that no pattern can make long."""

import re
import time

import pytest

from lsq_service_async._wire.patterns import is_found

PATTERNS = [
    "", "a", "^a", "a$", "^a$", r"\Aa\Z", "^$", "ab|cd", "(ab|c)+d", "a.c", "[^a-c]", "[ab-]+c", "[^a]b", "a[^b]",
    r"\d{3}", r"^\d{2,4}$", r"\w+@\w+\.com", r"\s\S", r"\D\W", r"\bab\b", r"\Bb", "a{0}b", "(a?){3}c", "a+?b", "(a*)*b",
    "(?:a|ab)(?:c|bcd)", "(?P<name>a)b", "(?x) a  b # comment", r"^[A-Z]{2}[0-9]+$", "é", "[à-ü]", ".", "$",
    r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$", r"^\+?[0-9 ()-]{7,20}$", "((a|b)(c|d)?)+e",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "abc", "ba", "aab", "abcd", "acd", "cd", "cdd", "a\n", "a\nc", "\n", "abc abd", "x ab", "12",
    "123", "12345", "wim@example.com", "wim.de.vos@mail.example.com", "wim@@example", "AB12", "ab12", "aaaaac", "é",
    "a b", "-", "a-c", "+91 (80) 1234-567", "1", "ace", "aceabde", "1,", ". a", "û",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_found_where_re_finds_them(pattern):
    """Every supported part of a pattern has the same meaning as in ``re``."""
    assert {text: is_found(pattern, text) for text in TEXTS} == {
        text: re.search(pattern, text) is not None for text in TEXTS
    }


@pytest.mark.parametrize(
    "pattern",
    [r"(x)\1", "(?=x)x", "(?<!y)x", "(?i)x", "(?i:x)", "(?m)^x", "(?s)x", "(?a)x", "(?>x)", "x++", "(x)?(?(1)x|x)",
     "(", "x{99999999999}", r"\p{L}x", "x" * 1001, "(?:x{1,999}){1,999}"],
)  # fmt: skip
def test_a_pattern_that_cannot_be_decided_fits_every_text(pattern):
    """Parts that need more than one pass, other dialects and very large patterns reject no ticket."""
    assert is_found(pattern, "no such letter")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\w*\w*\w*\w*\w*\w*\w*\w*$", "a" * 255 + "!"),
        (r"(?x)^(a+) +$", "a" * 60 + "!"),
        (r"^(a+)(?#x)+$", "a" * 60 + "!"),
        (r"^(((((((.*)*)*)*)*)*)*)*x$", "a" * 16),
        (r"^((((a|a|a|a|a|a|a|a|a|a|a)+)+)+)+$", "a" * 15 + "!"),
        ("(?:" * 4 + "[a-z]" + "{1,999})" * 3 + "{1,999})", "a"),
        ("|".join(f"a{number}" for number in range(1_000_000)), "b"),
        (r"(a*)\1*\1*\1*b", "a" * 200),
        (".*?.*?.*?.*?.*?=", "x" * 250),
        ("[ab]{1,50}" * 5 + "c", "a" * 250),
        ("^(a?){1000}$", "a" * 100_000),
        ("(a|aa)+$", "a" * 100_000 + "!"),
        ("(?:" * 4 + "){60000}" * 4 + "x", "abc"),
        ("(?:(?:){60000}|){60000}x", "abc"),
    ],
)
def test_no_pattern_takes_long(pattern, text):
    """No pattern and no value keep the event loop busy."""
    started = time.process_time()
    is_found(pattern, text)
    assert time.process_time() - started < 0.5


def test_a_pattern_with_a_warning_fits_every_text_if_warnings_are_errors():
    """The parser of ``re`` warns about a pattern that may change its meaning, such as a nested set."""
    assert is_found("[[a]", "b")
