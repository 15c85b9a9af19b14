"""Bulk runs. A run can be stopped or killed at any time. The next run skips the rows that are done.

job.py               the run: the steps of each row, in order                           <- start reading here
workers.py           the tasks that process rows
journal.py           the state of each row, and the user's decisions about unknown rows
_journal_file.py     the SQLite file, and the checks that detect damage
lookup.py            the queue of a run, with the rows that wait for a look-up
rows.py              reads rows from any iterable, and makes the digest of each row
columns.py           makes rows from the columns of a file, a database or a DataFrame
progress.py          plan, outcomes, summary, rate and time left
circuit_breaker.py   pauses the run while the service fails
"""

from ._journal_file import State
from .columns import rows_from
from .job import Bulk, BulkJob, Setup
from .journal import account_in, operation_in, possible_duplicates_in, ranges_in, resolve, states_in, unknown_in
from .progress import Plan, RowOutcome, Summary
from .rows import BulkRow, row_of

__all__ = [
    "Bulk",
    "BulkJob",
    "BulkRow",
    "Plan",
    "RowOutcome",
    "Setup",
    "State",
    "Summary",
    "account_in",
    "operation_in",
    "possible_duplicates_in",
    "ranges_in",
    "resolve",
    "row_of",
    "rows_from",
    "states_in",
    "unknown_in",
]
