"""The command `demo`: the whole package in half a minute, without an account.

command.py    the command and its output                      <- start reading here
demo.py       a bulk run that is interrupted and continued, a read, an update; then the checks
tickets.csv   the tickets
"""
