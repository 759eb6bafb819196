"""Work on many patients side by side: results in order, memory flat, the same numbers for any number of workers."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from theradose.errors import TheradoseError

Item = TypeVar("Item")
Result = TypeVar("Result")

THREAD_LIMITS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class _Fault:
    """A known error on its way between processes: pickle alone would call its class with the sentence as `what`."""

    kind: type[TheradoseError]
    args: tuple[Any, ...]
    state: dict[str, Any]

    def error(self) -> TheradoseError:
        """Return the error as it was raised, with its place, code and remedy."""
        error = self.kind.__new__(self.kind, *self.args)
        vars(error).update(self.state)
        return error


def _tried(function: Callable[[Item], Result], item: Item) -> Result | _Fault:
    """Return what the function says of an item, or the known error that it raised."""
    try:
        return function(item)
    except TheradoseError as error:
        return _Fault(type(error), error.args, vars(error))


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, killed or not; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _result(future: "Future[Result | _Fault]") -> Result:
    """Wait for a result and return it, or raise the error of the worker."""
    found = future.result()
    if isinstance(found, _Fault):
        raise found.error()
    return found


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yield `function(item)` of every item, in the order of the items, made by `workers` processes of one thread each.

    At most 2 * `workers` results are alive at once, and items are taken only as they are needed. One worker means this
    process itself. The function and its results must be picklable, and the function must stand in an importable module.
    The first error, in the order of the items, is raised as the function raised it, and what waits is given up.
    """
    if workers == 1:
        yield from map(function, items)
        return
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))  # read by the libraries of a worker when it loads them
    context = multiprocessing.get_context("forkserver")  # a clean process that holds the module already is forked
    context.set_forkserver_preload([getattr(function, "func", function).__module__])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    waiting: deque[Future[Result | _Fault]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_tried, function, item))
            if len(waiting) == 2 * workers - 1:  # and the one that the caller still holds
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
