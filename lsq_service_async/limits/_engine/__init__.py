"""Decides which call is sent next, and when. Pure: times are arguments. One process, one host and many hosts use it.

window.py         when one more call fits into the window
adaptive_rate.py  the rate after refusals
fairness.py       the order of the processes
messages.py       what a process reports and requests in one exchange
state.py          what is known of all calls, and the grants that follow from it
sync.py           one exchange between a process and the shared state, and the state as JSON
estimate.py       when waiting calls will be sent
"""
