"""Simulated generate and verify processes, many in one process of the system, and the faults that they meet.

Each has its own name, heartbeats and claims, and runs the statements of a real one. It takes real messages. They share
threads and connections, and an engine that answers from memory after a simulated time.
"""

import asyncio
import json
import os
import random
import re
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import redis
from sqlalchemy import text

from db.heartbeat import Heartbeat, beat_seconds
from db.session import transaction
from producer.messages import questions_of
from tracemill.engines import Completion, Engine, Generation
from tracemill.prompts import Message
from tracemill.queues import generate_queue, verify_queue
from tracemill.sampling import Sampling
from tracemill.settings import model, settings
from workers import generate, verify
from workers.claims import ClaimKey, end_all_but
from workers.job import worker_job
from workers.visit import Sampler

T = TypeVar("T")

#: Verify processes for each generate process.
VERIFIERS = 2
#: Questions that a generate process asks at a time, and questions a second that the engines of a fleet can answer.
IN_FLIGHT, RATE = 4, 400
#: Simulated seconds: of an answer, and on average between two kills of one generate process.
ANSWER_SECONDS, LIFE_SECONDS = 10.0, 1200.0
#: Of each kind, one process in so many is frozen at any time, but at least one. It is frozen for so many leases.
FROZEN_OF, FROZEN_LEASES = 100, 1.5


class Memory:
    """An engine that answers a sum from memory, in about 500 characters. It is no model."""

    def __init__(self, seconds: float, counts: Counter[str]) -> None:
        self._seconds = seconds
        self._counts = counts

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        self._counts["asked"] += 1
        await asyncio.sleep(self._seconds)
        a, b = map(int, re.findall(r"\d+", messages[-1]["content"])[-2:])
        batches = (f"After batch {k} there are {a} + {b * k // 10} = {a + b * k // 10} loaves." for k in range(1, 11))
        answer = "\n".join([*batches, f"The answer is {a + b}."])
        return Generation((Completion(answer, len(answer) // 4, "stop"),) * n, 60, self._seconds)


class Process:
    """A simulated process: its heartbeats, its claims, and tasks that work until it is killed."""

    def __init__(self, fleet: "Fleet", kind: str, queue: "Queue", n_tasks: int) -> None:
        name = f"{kind}.{os.getpid()}.{uuid4().hex[:8]}@fleet"
        state = {"concurrency": n_tasks, "leads": False, "trouble": None}
        self.fleet, self.kind, self.queue = fleet, kind, queue
        self.heartbeat = Heartbeat(name, kind, [queue.name], lambda: state)
        self.held: set[ClaimKey] = set()
        self.awake = asyncio.Event()
        self.awake.set()
        work = self._generate if kind == "generate" else self._verify
        self._tasks = [fleet.start(each) for each in (self._beat(), self._end_forgotten())]
        self._tasks += [fleet.start(work()) for _ in range(n_tasks)]

    def kill(self) -> None:
        """End at once: nothing is handed back."""
        for task in self._tasks:
            task.cancel()

    async def freeze(self, seconds: float) -> None:
        """Stop for a while, and then continue as if nothing had happened."""
        self.awake.clear()
        await asyncio.sleep(seconds)
        self.awake.set()

    async def _run(self, function: Callable[..., T], *values: Any) -> T:
        """Run a function of the product in a thread. A frozen process neither starts one nor sees its result."""
        await self.awake.wait()
        result = await asyncio.get_running_loop().run_in_executor(self.fleet.statements, function, *values)
        await self.awake.wait()
        return result

    async def _beat(self) -> None:
        await asyncio.sleep(random.uniform(0, beat_seconds()))
        while True:
            await self.awake.wait()
            await asyncio.get_running_loop().run_in_executor(self.fleet.beats, self.heartbeat.send)
            await asyncio.sleep(beat_seconds())

    async def _end_forgotten(self) -> None:
        interval = settings().feeder.running_lease_seconds
        await asyncio.sleep(random.uniform(0, interval))
        while True:
            await asyncio.sleep(interval)
            await self._run(end_all_but, self.held, self.heartbeat.name)

    async def _messages(self) -> AsyncIterator[list[ClaimKey]]:
        """Yield the keys of the questions of each message, and hold them meanwhile."""
        while True:
            questions = await self.queue.message()
            await self._run(self.heartbeat.refresh)
            claim_id = uuid4()
            keys = [ClaimKey(job_id, question_id, claim_id) for job_id, question_id in questions]
            self.held.update(keys)
            yield keys
            self.held.difference_update(keys)

    async def _generate(self) -> None:
        async for keys in self._messages():
            claims = [claim for claim in await self._run(generate.claim_all, keys, self.heartbeat.name) if claim]
            self.fleet.counts["claimed"] += len(claims)
            asking = [
                self.fleet.sampler.visit(each.chains, each.missing, {"question": each.question}) for each in claims
            ]
            visits = await asyncio.gather(*asking)
            if claims:
                await self._run(generate.store_all, list(zip(claims, visits, strict=True)), self.heartbeat.name)

    async def _verify(self) -> None:
        async for keys in self._messages():
            if claimed := await self._run(verify.claim, keys, self.heartbeat.name):
                self.fleet.counts["claimed"] += len(claimed)
                await self._run(verify.verify_claimed, worker_job(keys[0].job_id), claimed)


class Queue:
    """Gives the messages of a queue in Redis to the tasks that wait for one, in turn."""

    def __init__(self, client: "redis.Redis", name: str) -> None:
        self.name = name
        self._client = client
        self._waiting: deque[asyncio.Future[list[tuple[int, int]]]] = deque()

    async def message(self) -> list[tuple[int, int]]:
        """The questions of the next message. The message is lost if its task is cancelled meanwhile."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        return await self._waiting[-1]

    async def deliver(self) -> None:
        """Read messages without end, only for tasks that wait."""
        while True:
            self._waiting = deque(each for each in self._waiting if not each.done())
            messages: Any = self._client.rpop(self.name, len(self._waiting)) if self._waiting else None
            for message in messages or ():
                self._waiting.popleft().set_result(questions_of(json.loads(message)))
            await asyncio.sleep(0.01)


class Fleet:
    """Simulated processes, and those who kill and freeze them."""

    def __init__(self, size: int, statements: ThreadPoolExecutor, beats: ThreadPoolExecutor) -> None:
        answer_seconds = IN_FLIGHT * size / RATE
        self.size, self.statements, self.beats = size, statements, beats
        #: Real seconds between two kills of one process, on average.
        self.life_seconds = LIFE_SECONDS * answer_seconds / ANSWER_SECONDS
        self.counts: Counter[str] = Counter()
        self.max_connections = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        memory = cast(Engine, Memory(answer_seconds, self.counts))
        self.sampler = Sampler(memory, model("teacher"), Sampling(), None)

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task. Its fault ends the benchmark."""

        def end(task: "asyncio.Task[None]") -> None:
            if not task.cancelled() and task.exception():
                traceback.print_exception(task.exception())
                os.kill(os.getpid(), signal.SIGTERM)

        task = self._loop.create_task(work)
        task.add_done_callback(end)
        self._tasks.append(task)
        return task

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let all processes work in another thread until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever)
        self.start(self._begin())
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            thread.join()

    async def _begin(self) -> None:
        url = settings().redis_url
        assert url is not None
        client = redis.Redis.from_url(url.get_secret_value())
        queues = [Queue(client, generate_queue("teacher")), Queue(client, verify_queue(None))]
        generators = [Process(self, "generate", queues[0], IN_FLIGHT) for _ in range(self.size)]
        verifiers = [Process(self, "verify", queues[1], 1) for _ in range(VERIFIERS * self.size)]
        n_frozen = max(1, self.size // FROZEN_OF)
        freezers = [self._freeze(kind) for kind in (generators, verifiers) for _ in range(n_frozen)]
        for work in (*map(Queue.deliver, queues), self._kill(generators), self._watch(), *freezers):
            self.start(work)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loop.stop()

    async def _kill(self, processes: list[Process]) -> None:
        while True:
            await asyncio.sleep(random.expovariate(self.size / self.life_seconds))
            index = random.randrange(self.size)
            killed, processes[index] = processes[index], Process(self, "generate", processes[index].queue, IN_FLIGHT)
            killed.kill()
            self.counts["killed"] += 1
            self.counts["cut off"] += len(killed.held)

    async def _freeze(self, processes: Sequence[Process]) -> None:
        seconds = FROZEN_LEASES * settings().feeder.running_lease_seconds
        await asyncio.sleep(random.uniform(0, seconds))
        while True:
            process = random.choice(processes)
            self.counts["frozen"] += 1
            self.counts["cut off"] += len(process.held) if process.kind == "generate" else 0
            await process.freeze(seconds)

    async def _watch(self) -> None:
        """Count the sessions of Postgres."""
        sessions = text("select count(*) from pg_stat_activity where datname = current_database()")

        def count() -> int:
            with transaction() as connection:
                return int(connection.execute(sessions).scalar_one())

        while True:
            n_connections = await asyncio.get_running_loop().run_in_executor(self.beats, count)
            self.max_connections = max(self.max_connections, n_connections)
            await asyncio.sleep(1)
