"""Who may go, decided: pure, with times as arguments, and the same for one process, one host and many hosts.

rule.py          when one more call may go
share.py         what refusals teach about the allowance
line.py          which process is before which
state.py         what is known of the calls, and what is granted on it
appointment.py   when a process that must wait does best to come back
ask.py           what a process says in one exchange, and what it is told
exchange.py      one exchange
text.py          a state, and an exchange, as text
forecast.py      when those who wait will go
"""
