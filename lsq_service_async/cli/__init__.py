"""The command line: ``python -m lsq_service_async``, or ``lsq-service``. Needs the extra ``cli``.

    main.py          the group of commands                                 <- start reading here
    endings.py       what the process ends with
    ticket.py        ticket: one to create, show or change
    bulk/            bulk: a file of rows, with a journal
    doctor.py        doctor: whether a program with these settings would work
    columns.py       names and values, from a file or from options, become a ticket
    emulator.py      emulator: a stand-in for the service, until Ctrl-C
    demo/            demo: all of it in half a minute, without an account
    screen.py        how far a run is: a bar, or plain lines

A command imports what it needs when it is called: ``--help`` does without the emulator's libraries.
"""
