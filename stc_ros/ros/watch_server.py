"""The service `~/watch`: standing conditions are added, removed and listed; wrong ones are refused with the reason."""

from __future__ import annotations

from concurrent.futures import Future as Job
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from stc_ros.engine.errors import describe
from stc_ros.ros.watch_messages import states, to_watch
from stc_ros.srv import Watch as WatchService
from stc_ros.watches.checks import WatchError
from stc_ros.watches.lookup import Watches
from stc_ros.watches.rule import Watch
from stc_ros.watches.watch_file import WatchFile, read_watches

PATIENCE_S = 20.0  # with the worker, which may be in the midst of a frame or of many


class WatchServer:
    """Serves the watches of a `StreamNode`. Its coroutines wait for the worker, so that the executor never does."""

    def __init__(self, node):
        self._node, self._kept = node, ()
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)  # real time, also in simulation
        # A coroutine holds its group until it ends: it must not share one with anything else.
        self._service = node.create_service(
            WatchService, '~/watch', self._serve, callback_group=ReentrantCallbackGroup()
        )

    def read_file(self) -> WatchFile:
        """The watches of the parameter watch.file. Raises `FileError`, which names file and line."""
        path = self._node.settings['watch.file']
        return read_watches(Path(path)) if path else WatchFile()

    def keep(self, watches: Watches) -> None:
        """Remember those of a worker that is replaced, for the next one."""
        self._kept = tuple(watch for watch, _ in watches.listed())

    def kept(self, but: tuple[Watch, ...]) -> tuple[Watch, ...]:
        """Those to be added again, `but` for others of the same names; forgotten from here on."""
        kept, self._kept, names = self._kept, (), {watch.name for watch in but}
        return tuple(watch for watch in kept if watch.name not in names)

    def add(self, watches: tuple[Watch, ...]) -> Job[list[str]]:
        """Have the worker add them, all or none. Raises, in the future, `WatchError` and what the model raises."""
        watching = self._node.watches
        return self._node.worker.do(lambda: watching.add(watches))

    async def _serve(self, request: WatchService.Request, response: WatchService.Response) -> WatchService.Response:
        response.success, response.message = await self._reply(request)
        response.watches = list(states(self._node.watches, self._node.camera_settings))
        return response

    async def _reply(self, request: WatchService.Request) -> tuple[bool, str]:
        watches, name = self._node.watches, request.watch.name
        if request.command == WatchService.Request.LIST:
            return True, f'{len(watches.listed())} watches'
        if request.command == WatchService.Request.REMOVE:
            if not name:
                watches.clear()
                return True, 'all watches removed'
            removed = watches.remove(name)
            return removed, f'{name} removed' if removed else f'there is no watch {name[:64]!r}'
        if request.command != WatchService.Request.ADD:
            return False, f'there is no command {request.command}: LIST is 0, ADD 1, REMOVE 2'
        job = self.add((to_watch(request.watch),))
        await self._done(job)
        return _result(job)

    async def _done(self, job: Job) -> None:
        """Wait for a job, or until patience ends: one that is still waiting then is given up."""
        executor = self._node.executor
        done = Future(executor=executor)

        def wake(_) -> None:
            if not done.done():
                done.set_result(None)
                executor.wake()

        deadline = self._node.create_timer(
            PATIENCE_S, lambda: wake(job.cancel()), callback_group=ReentrantCallbackGroup(), clock=self._clock
        )
        job.add_done_callback(wake)
        try:
            await done
        finally:
            self._node.destroy_timer(deadline)


def _result(job: Job) -> tuple[bool, str]:
    if job.cancelled():
        return False, f'the model had no time for it within {PATIENCE_S:g} s, or has ended: try again'
    if not job.done():
        return False, f'it is still being read after {PATIENCE_S:g} s: list the watches to see whether it was added'
    if (error := job.exception()) is None:
        return True, f'{job.result()[0]} added'
    return False, str(error) if isinstance(error, WatchError) else f'the model failed at it: {describe(error)}'
