"""The command line: `python -m lsq_service_async` or `lsq-service`. Needs the extra `cli`.

    main.py          the group of commands                                   <- start reading here
    calls.py         ticket, lead, fields, sub-types: one call each, with its result as JSON
    bulk/            bulk: one ticket per row of a file, with a journal
    doctor.py        doctor: check the settings with one request
    learn.py         doctor: find out how an account differs from others
    emulator.py      emulator: serve a local emulator of the service
    demo/            demo: a bulk run against the emulator, without an account
    progress.py      progress bar or progress lines
    shell.py         exit codes, options, and stdout and stderr in any condition

Commands import the emulator only when they run, so `--help` works without its extra.
"""
