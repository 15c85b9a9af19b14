"""Many calls: finish, stop or resume without doing one of them twice.

job.py            the run: what is done for a row, and in which order                   <- start reading here
outcomes.py       what it tells: a plan, an outcome for each row, a summary
crew.py           the workers that pull rows
rows.py           rows of any iterable, each with a key and a digest
journal.py        what is known of each row, on disk before its first byte is sent
journal_file.py   the file in which that stands, and who may have it
review.py         what a journal says between runs, and the user's word on unknown rows
breaker.py        when to pause a run, and how to find out that it may go on
speed.py          how fast it sends
"""

from .job import Bulk, BulkJob, Setup
from .journal_file import State
from .outcomes import Plan, RowOutcome, Summary
from .review import settle, states_in, unknown_in
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
    "settle",
    "states_in",
    "unknown_in",
]
