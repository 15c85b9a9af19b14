"""The group `bulk`: one ticket for each row of a file, with a journal and a result for each row.

commands.py   plan, run, retry, look, status, unknown        <- start reading here
run.py        sends or looks up rows: results, progress, signals, exit code
dry_run.py    plan and run --dry-run: no row is sent
input.py      reads rows from a file or a pipe
formats.py    splits CSV, workbooks and JSONL into records
report.py     a page about a run
report.html   the template of the page
output.py     writes results, the report of failed rows and the list of unknown rows
"""
