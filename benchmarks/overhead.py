"""The cost of the factory itself, from questions to verdicts, with a scripted server in place of the GPU.

`ms_per_trace`: the server answers at once. `ratio_to_ideal`: the server takes one second, and one worker has 256
requests in flight. The ideal is the time of the server alone.
"""

import psutil

from benchmarks.common import main
from benchmarks.scripted import questions, scripted
from benchmarks.stack import cpu_seconds, factory, scalar
from benchmarks.traces import SAMPLES

IN_FLIGHT = 256
LATENCY = 1.0

SETTINGS = """
generate_concurrency = {concurrency}
[feeder]
window = {window}
[local]
generate = ["teacher"]
judge = ""
train = false
flower = false
[models.teacher]
engine = "openai"
model = "scripted"
openai.base_url = "{url}"
"""


def measure(quick: bool) -> dict[str, float]:
    return _at_once(1_000 if quick else 10_000) | _in_flight((4 if quick else 40) * IN_FLIGHT)


def _at_once(count: int) -> dict[str, float]:
    """Wall and CPU milliseconds a trace. Prints a table of CPU time by process."""
    with (
        scripted(count) as server,
        factory(SETTINGS.format(url=server.base_url, concurrency=64 * SAMPLES, window=256)) as ours,
    ):
        problems = questions(count)
        ours.run("warm", problems[:200])
        idle, before = psutil.cpu_times().idle, ours.cpu() | {"scripted server": cpu_seconds(server.process)}
        seconds = ours.run("measured", problems)
        after = ours.cpu() | {"scripted server": cpu_seconds(server.process)}
        idle = psutil.cpu_times().idle - idle
    traces = count * SAMPLES
    spent = {name: 1000 * (after[name] - before[name]) for name in after}
    print(f"{'CPU ms':40} {'a question':>14} {'a trace':>14}")
    for name, milliseconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        print(f"  {name:38} {milliseconds / count:>14.2f} {milliseconds / traces:>14.3f}")
    print(f"  {'cores idle, on average':38} {idle / seconds:>14.2f}")
    return {
        "ms_per_trace": 1000 * seconds / traces,
        "cpu_ms_per_trace": sum(spent.values()) / traces,
        "server_cpu_ms_per_trace": spent["scripted server"] / traces,
    }


def _in_flight(count: int) -> dict[str, float]:
    """Wall time over the ideal: from the first request to the last trace, and from enqueue to the last verdict."""
    # The window includes the next questions. Otherwise the worker would wait for the feeder's next step.
    with (
        scripted(count, LATENCY) as server,
        factory(SETTINGS.format(url=server.base_url, concurrency=IN_FLIGHT * SAMPLES, window=4 * IN_FLIGHT)) as ours,
    ):
        problems = questions(count)
        ours.run("warm", problems[:IN_FLIGHT])
        whole = ours.run("measured", problems)
        requests = requests_seconds("measured")
    ideal = count / IN_FLIGHT * LATENCY
    return {"ratio_to_ideal": requests / ideal, "ratio_to_ideal_with_verdicts": whole / ideal}


def requests_seconds(job: str) -> float:
    """Seconds from a job's first request to its last trace in Postgres."""
    return float(
        scalar(
            "select extract(epoch from max(created_at) - min(created_at - make_interval(secs => latency_seconds))) "
            "from trace_scores where job = :job",
            job=job,
        )
    )


if __name__ == "__main__":
    main("overhead", measure)
