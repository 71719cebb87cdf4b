"""The scripted server of the benchmarks knows the requests that the factory sends."""

import json
from urllib.request import Request, urlopen

from benchmarks.scripted import questions, scripted
from benchmarks.traces import SAMPLES
from tracemill.methods import named
from tracemill.prompts import render


def test_the_scripted_server_answers_the_default_prompt() -> None:
    template = named("cot").variants("math", [])[""][0].prompt
    with scripted(2) as server:
        for question in questions(2):
            body = json.dumps({"messages": render(template, {"question": question.text})}).encode()
            with urlopen(Request(f"{server.base_url}/chat/completions", body), timeout=30) as reply:
                assert len(json.load(reply)["choices"]) == SAMPLES
