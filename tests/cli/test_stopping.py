"""Ctrl-C once stops the work in good order; twice ends the process, whatever it does."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, os, signal, sys
from sgdflow.cli.stopping import Stopper, run

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

async def work():
    try:
        interrupt()
        await asyncio.sleep(60)
    finally:
        {clean_up}

Stopper().listen()
try:
    run(work())
except KeyboardInterrupt:
    {afterwards}
"""


def ended(clean_up: str, afterwards: str) -> tuple[int, str, str]:
    program = PROGRAM.format(clean_up=clean_up, afterwards=afterwards)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_first_lets_the_work_clean_up() -> None:
    code, said, told = ended("await asyncio.sleep(0); print('tidy')", "sys.exit('stopped')")
    assert (code, said) == (1, "tidy\n")
    assert told == "\nStopping. Once more ends it at once.\nstopped\n"


def test_the_second_ends_a_process_that_does_not_stop() -> None:
    code, _, told = ended("interrupt(); await asyncio.sleep(60)", "sys.exit('stopped')")
    assert (code, told.splitlines()[-1]) == (130, "Ended at once.")


def test_the_second_ends_a_process_that_stopped_and_hangs_afterwards() -> None:
    code, _, told = ended("pass", "interrupt(); import time; time.sleep(60)")
    assert (code, told.splitlines()[-1]) == (130, "Ended at once.")
