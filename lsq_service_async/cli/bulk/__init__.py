"""The commands ``bulk``: a file of rows, a journal beside it, and a result for each row.

commands.py   plan, run, retry, status, unknown              <- start reading here
run.py        one run: results, report, signals, and what it ends with
unknown.py    rows in doubt, shown and settled
check.py      --dry-run: every row validated, nothing sent
reading.py    a file, or what comes through a pipe, becomes rows
formats.py    CSV and JSONL, as records with the number of their line
writing.py    results on stdout, and the report of failed rows
"""
