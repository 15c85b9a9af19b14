"""The command line: `python -m lsq_service_async` or `lsq-service`. Needs the extra `cli`.

    main.py          the group of commands                                   <- start reading here
    calls.py         ticket, lead, fields, sub-types: each runs one operation and prints the result as JSON
    bulk/            bulk: one ticket per row of a file, with a journal
    doctor.py        doctor: check the settings with one read
    learn.py         doctor --learn, doctor --burst: find out how the service behaves for an account
    emulator.py      emulator: serve a local emulator of the service
    demo/            demo: a bulk run against the emulator, without an account
    progress.py      shows progress as a bar or as lines
    shell.py         exit codes, shared options, and output to streams that may be closed or full

Commands import the emulator only when they run, so `--help` works without the extra `emulator`.
"""
