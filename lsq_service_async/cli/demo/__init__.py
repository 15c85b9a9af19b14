"""The command `demo`: the whole package in half a minute, without an account.

command.py    the command and its output                      <- start reading here
demo.py       a bulk run that is interrupted and continued, a read, an update
check.py      compares the reports of the client with the records of the emulator
tickets.csv   the tickets
"""
