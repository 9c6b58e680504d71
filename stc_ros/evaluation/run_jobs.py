"""Runs jobs one after the other, or several at once in processes of their own, with the time that is left."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from stc_ros.evaluation.evaluate import Job, run_job
from stc_ros.parent_watchdog import end_with_parent

KILLED = 'a process was killed, perhaps because memory ran out; the same command again goes on'


def run_jobs(jobs: Sequence[Job], processes: int = 1) -> dict[str, str]:
    """Run what is not finished yet -> by title of the run why it failed."""
    from tqdm import tqdm

    failed: dict[str, str] = {}
    below = int(len(jobs) > 1)  # the first row of the screen counts the runs
    with tqdm(total=len(jobs), desc='runs', unit='run', disable=None if below else True) as bar:
        if processes == 1 or len(jobs) == 1:
            for job in jobs:
                if error := run_job(replace(job, row=below)):
                    failed[job.title] = error
                bar.update()
            return failed
        pool = worker_pool(min(processes, len(jobs)))
        try:
            futures = {pool.submit(run_in_worker, job): job.title for job in jobs}
            for future in as_completed(futures):
                try:
                    error = future.result()
                except BrokenProcessPool:
                    error = KILLED
                if error:
                    failed[futures[future]] = error
                bar.update()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return failed


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """Processes for `run_in_worker`, which end with this one."""
    context = get_context('spawn')
    return ProcessPoolExecutor(processes, context, _start_worker, (context.Value('i', 0),))


def run_in_worker(job: Job) -> str:
    """`run_job`, its progress in the row of this process."""
    return run_job(replace(job, row=_row))


_row = 0  # of this process's progress bar; the parent's has row 0


def _start_worker(started: Any) -> None:
    global _row
    with started.get_lock():
        started.value += 1
        _row = started.value
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle: it ends, and this process with it
