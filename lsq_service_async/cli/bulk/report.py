"""An HTML page about one run: counts, the pace of the requests, and the rows that need attention."""

from __future__ import annotations

import os
import re
import time
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import click

from ... import RateLimit
from ..._private_files import open_private_file
from ...errors import printable
from ...events import AttemptStarted, Event
from ...limits import LimiterStats
from ..progress import format_duration

LISTED = 1000
"""The maximum number of rows in each list of the page."""

_KINDS = {
    "failed": ("Failed rows", "This run did not apply these rows."),
    "unknown": (
        "Unknown rows",
        "Each of these rows may have been applied. Look for its ticket, then record the result with bulk unknown.",
    ),
    "duplicate": ("Possible duplicates", "Each of these rows was applied, and may have been applied twice."),
}
_MARK = "<!doctype html>\n<!-- A report of a bulk run."
_BARS = 240


def lead_page(origin: str, lead_id: str) -> str:
    """Return the URL of a lead's tickets in the web application. *origin* is the origin of the API."""
    # The vendor's page "display support tickets on the lead details page" names only app.service-in.leadsquared.com.
    app = origin.replace("//apigw.", "//app.", 1) if "//apigw." in origin else "https://app.service-in.leadsquared.com"
    return f"{app}/services/ticket-list?LeadId={quote(lead_id)}"


class RunPage:
    """Collects the requests and results of a run, and returns them as HTML."""

    def __init__(self, name: str) -> None:
        self.limit: RateLimit | LimiterStats = RateLimit()
        self.origin: str = ""
        self._name = name
        self._began, self._start = datetime.now().astimezone(), time.monotonic()
        self._counts: Counter[str] = Counter()
        self._arrivals = array("d")
        self._rows: dict[str, list[str]] = {kind: [] for kind in _KINDS}

    def note(self, event: Event) -> None:
        """Record the time of an HTTP request."""
        if isinstance(event, AttemptStarted):
            self._arrivals.append(time.monotonic() - self._start)

    def add(self, result: Mapping[str, Any], cells: Mapping[str, Any]) -> None:
        """Count the result of a row, and list the row if it needs attention."""
        self._counts[result["state"]] += 1
        kind = "duplicate" if result["possible_duplicate"] else result["state"]
        if kind == "duplicate":
            self._counts[kind] += 1
        if kind in self._rows and len(self._rows[kind]) < LISTED:
            lead = str(cells.get("lead_id") or "")
            is_guid = re.fullmatch("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", lead)
            url = lead_page(self.origin, lead)
            link = f'<a href="{url}" rel="noreferrer">tickets of the lead</a>' if is_guid else ""
            texts = (result["line"] or "", result["key"] or "", result["number"] or "", result["error"] or "")
            shown = "".join(f"<td>{escape(printable(str(text), 1000))}</td>" for text in texts)
            self._rows[kind].append(f"<tr>{shown}<td>{link}</td></tr>")

    def html(self) -> str:
        took = format_duration(time.monotonic() - self._start)
        words = {"created": "created", "updated": "updated", "skipped": "skipped, known from an earlier run"}
        words |= {"failed": "failed", "unknown": "unknown", "duplicate": "possible duplicates"}
        counts = [
            f"<div><dt>{word}</dt><dd{' class=bad' * (state in _KINDS)}>{self._counts[state]:,}</dd></div>"
            for state, word in words.items()
            if self._counts[state] or state in ("created", "failed", "unknown")
        ]
        return Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8")).substitute(
            file=escape(printable(self._name, 200)),
            when=f"Started on {self._began:%Y-%m-%d at %H:%M:%S %Z}, took {took}.",
            counts="".join(counts),
            rows="".join(self._table(kind) for kind, rows in self._rows.items() if rows),
            **self._requests(),
        )

    def _table(self, kind: str) -> str:
        title, text = _KINDS[kind]
        rows, all_rows = self._rows[kind], self._counts[kind]
        more = f" The first {len(rows):,} of {all_rows:,} are listed." if all_rows > len(rows) else ""
        head = "".join(
            f'<th scope="col">{name}</th>' for name in ("Line", "Key", "Ticket", "Reason", "Web application")
        )
        return (
            f'<section aria-labelledby="{kind}"><h2 id="{kind}">{title}</h2><p>{text}{more}</p><div class="table" '
            f'tabindex="0" role="group" aria-label="{title}"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div></section>"
        )

    def _requests(self) -> dict[str, str]:
        """Return a sentence and a chart about the pace of the requests."""
        calls, per = self.limit.calls, self.limit.per
        if not self._arrivals:
            return {"pace": f"No request was sent. The limit is {calls} in {per:g} s.", "chart": ""}
        span = max(self._arrivals[-1], per)
        peak = max(self._in_window(time) for time in self._arrivals)
        heights = [self._in_window(span * (bar + 1) / _BARS) for bar in range(_BARS)]
        top = max(peak, calls)
        pace = f"{len(self._arrivals):,} requests, at most {peak} in any {per:g} s. The limit is {calls} in {per:g} s."
        bars = "".join(
            f'<rect x="{bar}" y="{top - height}" width="0.8" height="{height}"/>' for bar, height in enumerate(heights)
        )
        chart = (
            f'<svg role="img" aria-label="{pace}" viewBox="0 0 {_BARS} {top}" preserveAspectRatio="none">{bars}'
            f'<line x1="0" x2="{_BARS}" y1="{top - calls}" y2="{top - calls}"/></svg>'
            f'<div class="scale"><span>start</span><span>requests in the last {per:g} s, and the limit</span>'
            f"<span>{format_duration(span)}</span></div>"
        )
        return {"pace": pace, "chart": chart}

    def _in_window(self, end: float) -> int:
        """Return the number of requests in the window that ends at *end*."""
        return bisect_right(self._arrivals, end) - bisect_right(self._arrivals, end - self.limit.per)


@contextmanager
def open_page(path: Path, name: str) -> Iterator[RunPage]:
    """Write a page about the run at its end, even after an error. Replace an earlier page."""
    if path.suffix.lower() not in {".html", ".htm"}:
        raise click.UsageError(f"--report writes HTML: {printable(str(path))} must end with .html")
    try:
        descriptor = open_private_file(path, os.O_RDWR)
    except OSError as error:
        raise click.ClickException(f"cannot write the report {str(path)!r}: {error.strerror}") from None
    with open(descriptor, "r+", encoding="utf-8", errors="replace", newline="\n") as file:
        if (start := file.read(len(_MARK))) and start != _MARK:
            raise click.UsageError(f"{printable(str(path))} is not a report of a run; use another name")
        page = RunPage(name)
        try:
            yield page
        finally:
            file.seek(0)
            file.truncate()
            try:
                file.write(page.html())
                file.flush()
            except OSError as error:
                click.echo(f"Cannot write the report {printable(str(path))}: {error.strerror}.", err=True)
