"""Who may go, decided: pure, with times as arguments, and the same for one process, one host and many hosts.

rule.py       when one more call may go
state.py      what is known of the calls, and what is granted on it
line.py       which process is before which
share.py      what refusals teach about the allowance
ask.py        what a process says in one exchange, and what it is told
text.py       a state, and an exchange, as text
decide.lua    state, line and share again, for a Redis server
forecast.py   when those who wait will go
"""
