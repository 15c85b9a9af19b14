"""Decides which call is sent next, and when. This package reads no clock: times are arguments.

window.py         when one more call fits into the window
adaptive_rate.py  the rate after refusals
fairness.py       the order of the processes
messages.py       the message of a process to the shared state, and the grant in the reply
state.py          the state of the limit, and which call gets the next slot
sync.py           applies a message to the shared state; the state as JSON
estimate.py       when waiting calls will be sent
"""
