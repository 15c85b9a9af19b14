"""The page in a real browser: requests, tickets, faults and the limit, keyboard and accessibility."""

import asyncio
import json
import shutil
import zlib
from struct import pack

import httpx
import pytest

from lsq_service_async.emulator import AnswerLost, Emulator, Status, TicketStore

pytestmark = pytest.mark.browser

WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}


@pytest.fixture
def store():
    return TicketStore()


@pytest.fixture
async def emulator(store):
    async with Emulator(store=store) as emulator:
        yield emulator


@pytest.fixture
async def page(emulator):
    """The page in Debian's chromium. Messages on its console fail the test, except those of lost connections."""
    from playwright.async_api import async_playwright

    messages = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        await page.goto(emulator.settings["base_url"])
        await page.get_by_text("Live", exact=True).wait_for()
        yield page
        await browser.close()
    assert [message for message in messages if "net::ERR_" not in message] == []


def cells(page, table):
    return page.locator(f"#{table} tr:first-child td").all_inner_texts()


async def shows(page, selector, text):
    await page.locator(selector).filter(has_text=text).first.wait_for()


def png(width=8, height=8):
    """A small red image."""

    def chunk(kind, content):
        return pack(">I", len(content)) + kind + content + pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress((b"\0" + b"\xd0\x20\x20" * width) * height)
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_title(ticket, title, status="Open"):
    fields = [{"SchemaName": "Title", "Value": title}, {"SchemaName": "Status", "Value": status}]
    return {**ticket, "Fields": fields}


async def test_a_create_a_fault_a_refusal_and_a_reset_are_seen(page, client, emulator, new_ticket):
    """The page shows each request and ticket without a reload, and is empty after a reset."""
    await shows(page, "#no-requests", "No request yet")
    await client.post("/tickets", json=with_title(new_ticket, "Router <b>down</b>"))
    await shows(page, "#requests tr", "200")
    await shows(page, "#tickets tr", "#001")
    assert (await cells(page, "tickets"))[:3] == ["#001", "Router <b>down</b>", "Open"]
    await page.get_by_role("button", name="503").click()
    await shows(page, "#pending", "Status 503")
    assert emulator.faults.pending == (Status(503),)
    await client.get("/tickets/1")
    await shows(page, "#requests tr", "503")
    assert (await cells(page, "requests"))[1:5] == ["GET", "/tickets/1", "503", "Status 503"]
    emulator.faults.add(AnswerLost())
    with pytest.raises(httpx.ReadError):
        await client.get("/tickets/1")
    await shows(page, "#requests tr", "none")
    await asyncio.gather(*(client.get("/tickets/1") for _ in range(23)))
    await shows(page, "#requests tr", "over the limit")
    assert [await page.locator(f"#{name}").inner_text() for name in ("used", "free", "refused")] == ["25", "0", "1"]
    await page.get_by_role("button", name="Reset…").click()
    await page.get_by_role("button", name="Cancel").click()
    assert len(emulator.tickets) == 1
    await page.get_by_role("button", name="Reset…").click()
    await page.locator("#confirm").get_by_role("button", name="Reset").click()
    await shows(page, "#no-requests", "No request yet")
    await shows(page, "#no-tickets", "No ticket")
    assert (emulator.tickets, emulator.calls, await page.locator("#free").inner_text()) == ({}, (), "25")


async def test_a_fault_is_added_for_several_calls_of_a_method_and_removed(page, emulator):
    """The buttons use the number of calls and the method, and Clear removes all pending faults."""
    await page.get_by_label("Calls", exact=True).last.fill("3")
    await page.get_by_label("Method").select_option("POST")
    for name in await page.locator("#kinds button").all_inner_texts():
        await page.get_by_role("button", name=name, exact=True).click()
        await shows(page, "#toast", name)
    assert {(fault.times, fault.method) for fault in emulator.faults.pending} == {(3, "POST")}
    assert len(emulator.faults.pending) == 9
    await shows(page, "#pending", "AppliedLater 5 s \N{MULTIPLICATION SIGN} 3, POST")
    await page.get_by_role("button", name="Clear").click()
    await shows(page, "#pending", "No fault is pending.")
    assert emulator.faults.pending == ()


async def test_the_limit_is_changed(page, emulator):
    """The form shows the limit, changes it, and shows a limit that was changed elsewhere."""
    form = page.locator("#limit")
    await form.get_by_label("Calls").fill("7")
    await form.get_by_label("in seconds").fill("2.5")
    await form.get_by_label("counted").select_option("estimate")
    await form.get_by_role("button").click()
    await shows(page, "#free", "7")
    assert repr(emulator.window) == "<TwoBucketEstimate 7 in 2.5 s>"
    emulator.set_limit((9, 5.0), None)
    await shows(page, "#free", "∞")
    assert await form.get_by_label("counted").input_value() == ""


async def test_a_ticket_has_fields_files_and_history(page, client, emulator, new_ticket):
    """A click shows the details as text, an image and a text file with a preview, and Escape returns the focus."""
    hostile = "<img src=x onerror=alert(1)>"
    files = [("files", ("a.png", png(), "image/png")), ("files", ("n.txt", b"<i>hello</i>", "text/plain"))]
    files += [("files", ("page.html", f"<script>{hostile}</script>".encode(), "text/html"))]
    dto = json.dumps(with_title(new_ticket, hostile))
    await client.post("/tickets", files=[("ticketDTO", (None, dto)), *files])
    emulator.converse("1", text=hostile, html=hostile)
    await page.locator("#tickets button").click()
    detail = page.locator("#detail")
    await shows(page, "#detail pre", "<i>hello</i>")
    assert await detail.locator("img").count() == 1
    assert await detail.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    text = await detail.inner_text()
    assert text.count(hostile) == 4  # title, field, page.html and message
    assert ("InboundEmail added" in text, emulator.tickets["1"].files[0].sha256 in text) == (True, True)
    await page.keyboard.press("Escape")
    assert not await detail.is_visible()
    assert await page.evaluate("document.activeElement.dataset.number") == "1"
    await page.locator("#requests tr").first.click()
    await shows(page, "#detail pre", '"Status": "Success"')
    assert '"SchemaName": "Title"' in await detail.inner_text()
    await page.get_by_role("button", name="Close").click()


async def test_tickets_are_searched_and_paged_by_keyboard(page, store):
    """10,000 tickets are shown 50 at a time, and a search finds one of them."""
    for number in range(10_000):
        store.create("45b5", {"Title": f"Device {number:05}", "Status": "Open"})
    await shows(page, "#tickets-foot", "1 to 50 of 10,000")
    await page.get_by_role("button", name="Older").focus()
    await page.keyboard.press("Enter")
    await shows(page, "#tickets-foot", "51 to 100 of 10,000")
    assert (await cells(page, "tickets"))[:2] == ["#9950", "Device 09949"]
    await page.get_by_label("Find").press_sequentially("device 00041")
    await shows(page, "#tickets-foot", "1 to 1 of 1")
    assert (await cells(page, "tickets"))[0] == "#042"


async def test_requests_can_be_filtered_and_paused(page, client, emulator, new_ticket):
    """A filter shows the requests that it names, also during a pause, which counts new ones until it ends."""
    emulator.faults.add(Status(500))
    await client.get("/tickets/1")
    await client.post("/tickets", json=new_ticket)
    await shows(page, "#requests tr", "200")
    await page.get_by_label("Show").select_option("fault")
    assert await page.locator("#requests tr").count() == 1
    await page.get_by_label("Show").select_option("all")
    await page.get_by_role("button", name="Pause").click()
    await client.get("/tickets/1")
    await shows(page, "#pause", "Resume (1 new)")
    for shown, number in (("refused", 0), ("fault", 1), ("all", 2)):
        await page.get_by_label("Show").select_option(shown)
        assert await page.locator("#requests tr").count() == number
        assert await page.locator("#no-matches").is_visible() is (number == 0)
        assert await page.locator("#no-requests").is_hidden()
    await page.get_by_role("button", name="Resume (1 new)").click()
    assert await page.locator("#requests tr").count() == 3


async def test_the_page_connects_again_to_an_emulator_that_was_restarted(page, client, emulator, new_ticket):
    """The page shows that the emulator cannot be reached, and later its new state and nothing of the old one."""
    await client.post("/tickets", json=new_ticket)
    await shows(page, "#requests tr", "200")
    port = int(emulator.settings["base_url"].rpartition(":")[2])
    await emulator.aclose()
    await shows(page, "#live", "Not reachable")
    async with Emulator(port=port):
        await shows(page, "#live", "Live")
        await shows(page, "#no-requests", "No request yet")
        await shows(page, "#no-tickets", "No ticket")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_axe_finds_no_violation(page, client, emulator, new_ticket, scheme, width):
    """Full lists, open details and the question before a reset are accessible, and nothing is wider than a phone."""
    from axe_playwright_python.async_playwright import Axe

    await page.set_viewport_size(dict(zip(("width", "height"), WIDTHS[width], strict=True)))
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    emulator.faults.add(Status(503))
    form = [("ticketDTO", (None, json.dumps(new_ticket))), ("files", ("n.txt", b"hello", "text/plain"))]
    for _ in range(28):
        await client.post("/tickets", files=form)
    emulator.faults.add(Status(500, times=2))
    await shows(page, "#requests tr", "over the limit")
    await shows(page, "#pending", "Status 500 \N{MULTIPLICATION SIGN} 2")
    await shows(page, "#tickets tr", "#024")

    async def check():
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        result = await Axe().run(page, options=options)
        assert result.violations_count == 0, result.generate_report()

    await check()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.locator("#tickets button").first.click()
    await shows(page, "#detail pre", "hello")
    await check()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Reset…").click()
    await check()


async def test_the_page_keeps_drawing(page, client, emulator, store):
    """With 10,000 tickets and 100 requests a second it draws at least ten times a second, and its tables stay short."""
    emulator.set_limit((100_000, 1.0))
    for number in range(10_000):
        store.create("45b5", {"Title": f"Device {number}", "Status": "Open"})
    await page.evaluate("frames = 0; (function count() { frames++; requestAnimationFrame(count); })()")
    async with asyncio.TaskGroup() as group:
        for number in range(300):
            group.create_task(client.get(f"/tickets/{number + 1}"))
            await asyncio.sleep(0.01)
    await shows(page, "#totals", "300 requests")
    assert await page.evaluate("frames") >= 30
    assert await page.locator("tbody tr").count() == 150
