"""The command ``demo``: the whole package in half a minute, without an account.

command.py    the command, and what it ends with               <- start reading here
show.py       what it prints
run.py        what it does: a bulk run that is stopped once and resumed, a read, an update
report.py     whether that was right
tickets.py    what it works on, out of tickets.csv
"""
