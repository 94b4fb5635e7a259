"""Runs ``pagewalk exec`` again and again without loading it each time, for the table of programs.

Started as a program. Each line of its standard input is a job in JSON: ``words`` of the command
line, the ``folder`` to be in, ``environment``, the files ``stdin``, ``stdout`` and ``stderr``. Its
answer is a line with the exit status, negative for a signal. Arguments are names of engines, which
are made once before the first job.
"""

import json
import os
import signal
import sys

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.cli.dispatch import dispatch
from pagewalk.sim.engine import create
from pagewalk.sim.exec.emulator import load_unicorn

SECONDS = 600  # of a job, then it is ended by SIGALRM


def carry_out(job):
    """Become the command: run it with files, folder and environment of a job; never return."""
    signal.alarm(SECONDS)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, name, how in ((0, "stdin", os.O_RDONLY), (1, "stdout", flags),
                              (2, "stderr", flags)):
        os.dup2(os.open(job[name], how), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
    try:
        status = dispatch(["exec", *job["words"]])
    except BaseException as error:  # what a traceback would be
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = 125
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve(engines):
    """Do all jobs, one after the other, each in a process of its own."""
    load_unicorn()
    for engine in engines:
        for mode in (X86_64, IA32):
            create(engine, Config(mode=mode))
    for line in sys.stdin:
        child = os.fork()
        if not child:
            carry_out(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
