"""The command `demo`: the whole package in half a minute, without an account.

command.py    the command and its output                      <- start reading here
demo.py       a bulk run that is interrupted and continued, a read, an update
check.py      compares what the client reported with what the emulator stored
tickets.csv   the tickets
"""
