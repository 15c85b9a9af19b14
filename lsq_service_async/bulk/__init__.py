"""Many calls: finish, stop or resume without doing one of them twice.

job.py       the run: what is done for a row, and in which order                   <- start reading here
crew.py      the workers that pull rows
journal.py   what is known of each row, on disk before its first byte is sent
rows.py      rows of any iterable, each with a key and a digest
breaker.py   when to pause a run, and how to find out that it may go on
"""

from .job import Bulk, BulkJob, Plan, RowOutcome, Setup, Summary
from .journal import State, states_in, unknown_in
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
    "row_of",
    "states_in",
    "unknown_in",
]
