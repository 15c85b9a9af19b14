"""Keys are found in every encoding, and in time that is proportional to the length of the text."""

import html
import itertools
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from test_secrecy import everything_shown

from lsq_service_async._transport.redact import Redactor
from lsq_service_async.config import Secret

KEY = 'u$r/C+A&N"A\\RY<0123>'
ENCODINGS = {
    "none": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, all": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "JSON, ALL": lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "repr": lambda text: text.replace("\\", "\\\\").replace('"', '\\"'),
    "repr, all": lambda text: "".join(f"\\x{ord(character):02x}" for character in text),
    "url": quote,
    "form": quote_plus,
    "url, all": lambda text: "".join(f"%{ord(character):02X}" for character in text),
    "javascript": lambda text: "".join(f"%u{ord(character):04x}" for character in text),
    "html": html.escape,
    "html, all": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "html, no ends": lambda text: "".join(f"&#{ord(character)}" for character in text),
    "html, hex": lambda text: "".join(f"&#X{ord(character):X};" for character in text),
    "html, zeros": lambda text: "".join(f"&#{ord(character):07};" for character in text),
    "html, names": lambda text: text.replace("$", "&dollar;").replace("+", "&plus;"),
    "mixed": lambda text: "".join(
        form.format(ord(character)) for form, character in zip(itertools.cycle(("\\u{:04x}", "%{:02x}", "&#{};")), text)
    ),
}


def redact(text, *keys):
    return Redactor(*map(Secret, keys or ("other-secret", KEY)))(text)


@pytest.mark.parametrize("first", ENCODINGS)
@pytest.mark.parametrize("second", ENCODINGS)
def test_a_key_is_found_in_every_encoding(first, second):
    """A key is replaced if its characters are escaped, even twice, and the text around it stays as it is."""
    encoded = ENCODINGS[second](ENCODINGS[first](KEY))
    assert redact(f"\\n 5%25 {encoded}&lt;{encoded} \\") == "\\n 5%25 ***&lt;*** \\"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_key_is_found_in_another_case(encoding):
    """Gateways and logs may change the case of the text that they repeat."""
    assert redact(f"İ {ENCODINGS[encoding](KEY.swapcase())} Ab") == "İ *** Ab"


def test_every_character_can_be_escaped_alone():
    """A key is found if one of its characters is escaped, whichever it is."""
    for index, form in itertools.product(range(len(KEY)), ("\\u{:04x}", "%{:02x}", "&#{};")):
        escaped = KEY[:index] + form.format(ord(KEY[index])) + KEY[index + 1 :]
        assert redact(escaped) == "***"


@pytest.mark.parametrize("key", ['p%41"q\\xyz0', '"\\\\\\xyzabcdefg', "%%%%%%%%", "%41", "&lt;abc&gt;"])
@pytest.mark.parametrize("encoding", ["none", "json", "url", "html", "html, all"])
def test_a_key_that_looks_escaped_is_found(key, encoding):
    """A key that contains text like an escape is found. Its decoded form is not searched below 8 characters."""
    assert redact(f"A ab {ENCODINGS[encoding](key)}", key) == "A ab ***"


def test_no_local_variable_has_a_key_that_looks_escaped(monkeypatch):
    """If the preparation of a key is interrupted, no frame of the error shows the key."""

    def interrupted(escape):
        raise KeyboardInterrupt

    monkeypatch.setattr("lsq_service_async._transport.redact._character", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        Redactor(Secret("CANARY%41-secret"))
    shown = everything_shown(caught.value)
    assert "CANARY" not in shown


def test_places_that_overlap_are_replaced_together():
    """If two keys overlap in a text, all of it is replaced."""
    assert redact("-abcdef-", "abcd", "cdef") == "-***-"


@pytest.mark.parametrize(
    "unit", ["a", "\\", "%", "&", "%25", "%41", "&#65;", "&#38;#38;#65;", "\\u0061", '\\"', KEY, KEY[:-1]]
)
def test_the_time_is_proportional_to_the_text(unit):
    """No text takes longer than its length justifies, whatever the key is."""
    started = time.process_time()
    redact(unit * (200_000 // len(unit)), "a" * 511 + "b", "\\" * 40 + "x", KEY)
    assert time.process_time() - started < 2.0
