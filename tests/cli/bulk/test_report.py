"""`bulk run --report`: a page about the run, which is safe for rows with any text."""

from __future__ import annotations

import html
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from lsq_service_async.cli.bulk import report
from lsq_service_async.cli.bulk.report import RunPage
from lsq_service_async.emulator import AnswerLost, Emulator, Serve, Status

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b[2J"
LEAD = "8c1f0f4e-3d0b-4f53-9c1b-6a0d5b7e2a01"


def text_of(page: Path) -> str:
    """The text that a reader sees, without the style."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page.read_text().partition("</style>")[2]))


@pytest.fixture
def page(served: Emulator, file: Path, bulk: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a run with a failed row, an unknown row and a possible duplicate. Requests are sent one by one."""
    monkeypatch.setenv("LSQ_RATE_LIMIT", "1/0.01")
    file.write_text(f"key,title,lead_id\na,one,{LEAD}\nb,two,{LEAD}\nc,three,45b5\nd,four,{LEAD}\n")
    served.faults.add(Status(400, HOSTILE), AnswerLost(), Status(500), Serve())
    code, results, _ = bulk("run", "rows.csv", "--report", "run.html")
    assert (code, len(results)) == (1, 4)
    return file.with_name("run.html")


def test_the_page_has_counts_requests_and_rows_with_reasons(page: Path) -> None:
    """Each row that needs attention has its line, key, number, reason, and a link to the tickets of its lead."""
    text = " ".join(text_of(page).split())
    assert "Bulk run of rows.csv" in text
    assert "created 2 failed 1 unknown 1 possible duplicates 1" in text
    assert "5 requests, at most 1 in any 0.01 s. The limit is 1 in 0.01 s." in text
    assert re.search(r"Failed rows .* 2 a the service answered 400", text)
    assert re.search(r"Unknown rows .* 3 b ", text)
    assert re.search(r"Possible duplicates .* 4 c \d", text)
    links = re.findall('href="([^"]*)"', page.read_text())
    assert links == [f"https://app.service-in.leadsquared.com/services/ticket-list?LeadId={LEAD}"] * 2
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_the_page_runs_no_script_and_loads_nothing(page: Path) -> None:
    """Text of rows and of the service is shown as text, invisible characters are escaped, and a policy forbids more."""
    source = page.read_text()
    assert "default-src 'none'; style-src 'unsafe-inline'" in source
    assert re.findall("<(script|img|iframe|link|object|embed|base|form)", source) == []
    assert ("\u202e" in source, "\x1b" in source) == (False, False)
    assert "<script>alert(1)</script>" in text_of(page)
    assert [word for word in ("src=", "url(", "@import") if word in source.replace("&lt;img src=x", "")] == []


def test_hostile_cells_are_text(bulk: Any, file: Path) -> None:
    """A key, a file name and a lead of any text are escaped, and such a lead is not a link."""
    name = "rows<b>&.csv"
    file.with_name(name).write_text(f'key,title,lead_id\n"{HOSTILE[:-5]}",,"javascript:alert(1)"\n<i>&,x\n')
    bulk("run", name, "--report", "run.html")
    source = file.with_name("run.html").read_text()
    assert re.findall("<(script|img|b|i)>", source) == []
    assert "href=" not in source
    assert "Bulk run of rows<b>&.csv" in text_of(file.with_name("run.html"))


def test_a_second_run_replaces_the_page(page: Path, bulk: Any) -> None:
    """The new page counts the skipped rows, and states that no request was sent."""
    assert bulk("run", "rows.csv", "--report", "run.html")[0] == 1
    bulk("unknown", "rows.csv", "--applied", "b=1")
    assert bulk("run", "rows.csv", "--report", "run.html")[0] in (0, 1)
    text = " ".join(text_of(page).split())
    assert "skipped, known from an earlier run" in text
    assert "No request was sent. The limit is 1 in 0.01 s." in text


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("run.txt", None, 2, "run.txt must end with .html"),
        ("rows.csv", None, 2, "rows.csv must end with .html"),
        ("mine.html", "<!doctype html>\n<p>My own page", 2, "mine.html is not a report of a run"),
        ("no/run.html", None, 1, "cannot write the report 'no/run.html': No such file or directory"),
    ],
)
def test_a_file_that_is_not_a_report_is_not_overwritten(
    bulk: Any, file: Path, name: str, content: str | None, code: int, message: str, served: Emulator
) -> None:
    """Nothing is sent, and the file stays as it is."""
    if content:
        file.with_name(name).write_text(content)
        file.with_name(name).chmod(0o600)
    found, _, err = bulk("run", "rows.csv", "--report", name)
    assert (found, message in err, served.calls) == (code, True, ()), err
    assert content is None or file.with_name(name).read_text() == content


def test_an_empty_file_is_used(bulk: Any, file: Path) -> None:
    """A file without content is written like a new one."""
    file.with_name("run.HTM").touch(mode=0o600)
    assert bulk("run", "rows.csv", "--report", "run.HTM")[0] == 0
    assert "created 3" in " ".join(text_of(file.with_name("run.HTM")).split())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_page_that_cannot_be_written_does_not_change_the_run(
    bulk: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is printed, and the exit code is that of the run."""
    monkeypatch.setattr(report, "open_private_file", lambda path, flags: os.open("/dev/full", flags))
    monkeypatch.setattr("builtins.open", _no_read(open))
    code, results, err = bulk("run", "rows.csv", "--report", "run.html")
    assert (code, len(results), "Cannot write the report run.html: No space left on device." in err) == (0, 3, True)


def _no_read(original: Any) -> Any:
    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        made = original(file, *arguments, **options)
        if isinstance(file, int):
            made.read, made.truncate = lambda size: "", lambda: None
        return made

    return opened


def test_the_link_of_a_lead_has_the_region_of_the_account() -> None:
    """The host of the web application follows the host of the API."""
    page = RunPage("rows.csv")
    page.origin = "https://apigw.x.test"
    page.add(
        {"state": "unknown", "possible_duplicate": False, **dict.fromkeys(("line", "key", "number", "error"))},
        {"lead_id": LEAD},
    )
    assert f'href="https://app.x.test/services/ticket-list?LeadId={LEAD}"' in page.html()


def test_many_rows_are_counted_and_the_first_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page lists 1,000 rows of each kind and counts the others, so that the page of a long run stays small."""
    page = RunPage("rows.csv")
    for number in range(1500):
        result = {
            "state": "failed",
            "possible_duplicate": False,
            "key": str(number),
            "number": None,
            "error": "x" * 5000,
        }
        page.add({**result, "line": number}, {})
    text = page.html()
    assert ("The first 1,000 of 1,500 are listed." in text, text.count("<tr>"), len(text) < 2_000_000) == (
        True,
        1001,
        True,
    )


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_axe_finds_no_violation(page: Path, scheme: str, width: int) -> None:
    """The page is accessible, is not wider than a phone, and logs nothing."""
    from axe_playwright_python.async_playwright import Axe
    from playwright.async_api import async_playwright

    messages: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        shown.on("console", lambda message: messages.append(message.text))
        await shown.goto(page.as_uri())
        result = await Axe().run(shown)
        assert await shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await browser.close()
    assert (result.violations_count, messages) == (0, []), result.generate_report()
