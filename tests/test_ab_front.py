"""A front end without an engine: settings that change under it, outcomes, guardrails, the request log."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from latticework.plugins.ab.facts import RequestFacts
from latticework.plugins.ab.front import FrontEnd, Seen, Ticket
from latticework.plugins.ab.live import LiveSettings
from latticework.plugins.ab.outcome import Result
from latticework.plugins.request_log import RequestLog
from latticework.structured.errors import LatticeworkError

EXPERIMENT: dict[str, Any] = {
    "identity": ["user"],
    "arms": {"control": {"weight": 0}, "fusion": {"weight": 1, "options": {"lw_drafter": "fusion"}}},
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Deployment:
    """A settings file and a front end that obeys it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "settings.json"
        self.clock = Clock()

    def write(self, text: str | None = None, **sections: Any) -> None:
        """Replace the file at once, as a careful operator does, and let time pass."""
        new = self.path.with_name("new")
        new.write_text(json.dumps(sections) if text is None else text)
        os.replace(new, self.path)
        self.clock.now += 2.0

    def start(self) -> FrontEnd:
        return FrontEnd(LiveSettings(clock=self.clock), self.clock)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    made = Deployment(tmp_path)
    monkeypatch.setenv("LATTICEWORK_CONFIG", str(made.path))
    return made


def ab(**fields: Any) -> dict[str, Any]:
    return {"experiments": {"x": {**EXPERIMENT, **fields}}}


def fine(extra: Mapping[str, Any]) -> None:
    return


def admit(front: FrontEnd, user: str | None = "anna", **fields: Any) -> Ticket | None:
    return front.admit(RequestFacts("r1", user=user, **fields), fine)


def admitted(front: FrontEnd, user: str | None = "anna", **fields: Any) -> Ticket:
    ticket = admit(front, user, **fields)
    assert ticket is not None
    return ticket


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Engine:
    """Outputs of a request, and a reader of them."""

    def __init__(self, *outputs: Seen | BaseException) -> None:
        self.outputs = outputs
        self.tokens = 0
        self._last = Seen()

    def note(self, output: Seen) -> bool:
        self._last, self.tokens = output, output.tokens
        return output.finish is not None

    def seen(self) -> Seen:
        return self._last

    def result_of(self, error: BaseException) -> Result:
        return Result.REFUSED if isinstance(error, ValueError) else Result.ERROR

    async def stream(self) -> AsyncIterator[Seen]:
        for output in self.outputs:
            if isinstance(output, BaseException):
                raise output
            yield output

    def serve(self, ticket: Ticket, take: int = 100) -> list[Seen]:
        async def consume() -> list[Seen]:
            taken = []
            async with aclosing(ticket.watch(self.stream(), self)) as outputs:
                async for output in outputs:
                    taken.append(output)
                    if len(taken) == take:
                        break
            return taken

        return asyncio.run(consume())


DONE = Seen(tokens=5, finish="stop")


class TestLiveSettings:
    def test_a_change_is_obeyed_from_the_next_look_on(self, deployment: Deployment) -> None:
        deployment.write(ab={})
        front = deployment.start()
        assert admit(front) is None
        deployment.write(ab=ab())
        assert admitted(front).extra["lw_drafter"] == "fusion"
        deployment.write(ab={**ab(), "enabled": False})
        assert admit(front) is None

    def test_it_is_looked_at_no_more_often_than_asked(self, deployment: Deployment) -> None:
        deployment.write(ab={**ab(), "reload_seconds": 60})
        front = deployment.start()
        deployment.write(ab={"enabled": False, "reload_seconds": 60})
        assert admit(front) is not None
        deployment.clock.now += 60
        assert admit(front) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            '{"ab": {"experiments": {"x": {"arms": {}}}}}',
            '{"nothing": {}}',
            json.dumps(
                {"ab": {"experiments": {"x": {"arms": {"control": {}, "a": {"options": {"lw_drafter": "?"}}}}}}}
            ),
        ],
    )
    def test_a_broken_file_keeps_the_last_good_one_and_says_so(
        self, deployment: Deployment, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        deployment.write(ab=ab())
        front = deployment.start()
        before = metric("latticework_settings_loads_total", outcome="broken")
        deployment.write(text)
        for _ in range(3):
            assert admitted(front).extra["lw_drafter"] == "fusion"
            deployment.clock.now += 2
        assert [record.levelname for record in caplog.records].count("ERROR") == 1
        assert "last good" in caplog.text
        assert metric("latticework_settings_broken") == 1
        assert metric("latticework_settings_loads_total", outcome="broken") == before + 1
        deployment.write(ab={"enabled": False})
        assert admit(front) is None
        assert metric("latticework_settings_broken") == 0

    def test_a_file_that_vanishes_keeps_the_last_good_one(self, deployment: Deployment) -> None:
        deployment.write(ab=ab())
        front = deployment.start()
        deployment.path.unlink()
        deployment.clock.now += 2
        assert admit(front) is not None

    def test_a_server_that_starts_with_a_broken_file_takes_part_in_nothing(self, deployment: Deployment) -> None:
        deployment.write("{")
        front = deployment.start()
        assert admit(front) is None
        deployment.write(ab=ab())
        assert admit(front) is not None

    def test_what_needs_a_restart_is_named(self, deployment: Deployment, caplog: pytest.LogCaptureFixture) -> None:
        deployment.write(ab=ab())
        front = deployment.start()
        deployment.write(ab=ab(), drafter={"default": "off"})
        admit(front)
        assert "need a restart: drafter" in caplog.text

    def test_a_link_to_the_newest_file_is_followed(self, deployment: Deployment, tmp_path: Path) -> None:
        """How Kubernetes mounts configuration."""
        for name, sections in (("one", {"ab": {}}), ("two", {"ab": ab()})):
            (tmp_path / name).write_text(json.dumps(sections))
        deployment.path.symlink_to(tmp_path / "one")
        front = deployment.start()
        assert admit(front) is None
        (tmp_path / "link").symlink_to(tmp_path / "two")
        os.replace(tmp_path / "link", deployment.path)
        deployment.clock.now += 2
        assert admit(front) is not None

    def test_environment_variables_alone_configure_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LATTICEWORK_CONFIG", raising=False)
        monkeypatch.setenv("LATTICEWORK_AB__EXPERIMENTS", json.dumps({"x": EXPERIMENT}))
        assert admit(FrontEnd(LiveSettings())) is not None


def labels(**fields: str) -> dict[str, str]:
    return {"experiment": "x", "arm": "fusion", **fields}


class TestOutcomes:
    @pytest.fixture
    def front(self, deployment: Deployment) -> FrontEnd:
        deployment.write(ab=ab())
        return deployment.start()

    @pytest.mark.parametrize(
        ("outputs", "take", "result"),
        [
            ((Seen(tokens=1), DONE), 100, "ok"),
            ((DONE,), 1, "ok"),
            ((Seen(tokens=1), Seen(tokens=2)), 1, "cancelled"),
            ((Seen(tokens=1), RuntimeError("x")), 100, "error"),
            ((ValueError("x"),), 100, "refused"),
            ((Seen(tokens=1, finish="error", result=Result.ERROR),), 100, "error"),
        ],
    )
    def test_each_request_is_counted_once(
        self, front: FrontEnd, outputs: tuple[Any, ...], take: int, result: str
    ) -> None:
        def counts() -> dict[str, float]:
            return {r: metric("latticework_ab_requests_total", **labels(result=r)) for r in Result}

        before = counts()
        ticket = admitted(front)
        with suppress(RuntimeError, ValueError):
            Engine(*outputs).serve(ticket, take)
        assert {r: n - before[r] for r, n in counts().items() if n != before[r]} == {result: 1}

    def test_outputs_pass_unchanged(self, front: FrontEnd) -> None:
        outputs = (Seen(tokens=1), Seen(tokens=2), DONE)
        assert Engine(*outputs).serve(admitted(front)) == list(outputs)

    def test_a_reader_that_fails_harms_no_request(self, front: FrontEnd) -> None:
        class Broken(Engine):
            def note(self, output: Seen) -> bool:
                raise KeyError("gone")

        assert Broken(Seen(tokens=1), DONE).serve(admitted(front)) == [Seen(tokens=1), DONE]

    def test_moments_are_those_of_the_logarithms(self, front: FrontEnd) -> None:
        name = "latticework_ab_measure_{}_total"
        before = [metric(name.format(what), **labels(measure="first_token")) for what in ("count", "sum", "squares")]
        Engine(Seen(tokens=5, finish="stop", first_token=1e-6 * 2.718281828459045**3)).serve(admitted(front))
        after = [metric(name.format(what), **labels(measure="first_token")) for what in ("count", "sum", "squares")]
        assert [a - b for a, b in zip(after, before, strict=True)] == pytest.approx([1, 3, 9])

    def test_the_clock_tells_the_first_token_of_streams_only(self, deployment: Deployment) -> None:
        deployment.write(ab=ab(), telemetry={"request_log": str(deployment.path.with_name("log"))})
        front = deployment.start()

        class Slow(Engine):
            async def stream(self) -> AsyncIterator[Seen]:
                for output in self.outputs:
                    deployment.clock.now += 0.25
                    yield output  # type: ignore[misc]

        Slow(Seen(tokens=1), Seen(tokens=2), DONE).serve(admitted(front))
        Slow(DONE).serve(admitted(front))
        assert front.log is not None
        front.log.close()
        lines = [json.loads(line) for line in deployment.path.with_name("log").read_text().splitlines()]
        assert [(line["first_token"], line["seconds"]) for line in lines] == [(0.25, 0.75), (None, 0.25)]

    def test_an_arm_that_trips_is_served_by_control_until_reset(self, deployment: Deployment) -> None:
        deployment.write(ab=ab(guardrails={"error_rate": 0.1, "min_requests": 5}))
        front = deployment.start()
        trips = metric("latticework_ab_trips_total", **labels(guardrail="error_rate"))
        for _ in range(5):
            with suppress(RuntimeError):
                Engine(RuntimeError("x")).serve(admitted(front))
        ticket = admitted(front)
        assert (ticket.route.header, ticket.extra.get("lw_drafter")) == ("x=control", None)
        assert metric("latticework_ab_tripped", experiment="x", arm="fusion") == 1
        assert metric("latticework_ab_trips_total", **labels(guardrail="error_rate")) == trips + 1
        deployment.write(ab=ab(guardrails={"error_rate": 0.1, "min_requests": 5}, reset=1))
        assert admitted(front).extra["lw_drafter"] == "fusion"
        assert metric("latticework_ab_tripped", experiment="x", arm="fusion") == 0

    def test_a_new_state_of_the_settings_keeps_the_windows_of_what_has_not_changed(
        self, deployment: Deployment
    ) -> None:
        watched = ab(guardrails={"error_rate": 0.1, "min_requests": 5})
        deployment.write(ab=watched)
        front = deployment.start()
        for number in range(5):
            with suppress(RuntimeError):
                Engine(RuntimeError("x")).serve(admitted(front))
            deployment.write(ab={**watched, "reload_seconds": 1 + number / 10})
        assert admitted(front).route.header == "x=control"


class TestRequestLog:
    def lines(self, front: FrontEnd, path: Path) -> list[dict[str, Any]]:
        assert front.log is not None
        front.log.close()
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_it_says_what_happened_and_no_text(self, deployment: Deployment, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        deployment.write(ab=ab(), telemetry={"request_log": str(path)})
        front = deployment.start()
        ticket = admitted(front, endpoint="/v1/chat/completions", model="m", constrained=True)
        ticket.prompt_is("a secret question")
        assert ticket.extra["latticework_id"] == "r1"
        Engine(Seen(tokens=7, prompt_tokens=3, finish="length", complete=False, answer="a secret")).serve(ticket)
        with suppress(ValueError):
            Engine(ValueError("a secret schema")).serve(admitted(front))
        done, refused = self.lines(front, path)
        assert (done["tokens"], done["prompt_tokens"], done["finish"]) == (7, 3, "length")
        assert (done["constrained"], done["complete"], done["result"]) == (True, False, "ok")
        arm = done["arms"]["x"]
        assert (arm["arm"], arm["share"], arm["why"], arm["source"]) == ("fusion", 1.0, "assigned", "user")
        assert "anna" not in json.dumps(done)
        assert refused["error"] == {"type": "ValueError", "field": None}
        assert "secret" not in path.read_text()

    def test_text_is_written_if_asked_for(self, deployment: Deployment, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        deployment.write(telemetry={"request_log": str(path), "log_text": True})
        front = deployment.start()
        ticket = admitted(front)
        ticket.prompt_is("question")
        Engine(Seen(tokens=7, finish="stop", answer="answer")).serve(ticket)
        assert self.lines(front, path)[0]["text"] == {"prompt": "question", "answer": "answer"}

    def test_options_are_logged_by_the_names_of_plugins_alone(self, deployment: Deployment, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        deployment.write(telemetry={"request_log": str(path)})
        front = deployment.start()
        extra = {"lw_search": "off", "lw_grammar": "closed_ie", "lw_grammar_catalogue": "a client's text"}
        Engine(DONE).serve(admitted(front, extra=extra))
        assert self.lines(front, path)[0]["plugins"] == {"lw_search": "off", "lw_grammar": "closed_ie"}

    def test_many_writers_keep_lines_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        logs = [RequestLog(str(path)) for _ in range(4)]
        for number in range(500):
            logs[number % 4].write({"n": number, "pad": "x" * 3000})
        for log in logs:
            log.close()
        assert sorted(json.loads(line)["n"] for line in path.read_text().splitlines()) == list(range(500))

    def test_a_file_that_was_moved_away_is_opened_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        for number in range(2):
            log = RequestLog(str(path))
            log.write({"n": number})
            log.close()
            if number == 0:
                path.rename(tmp_path / "old")
        assert json.loads(path.read_text()) == {"n": 1}
        log = RequestLog(str(path))
        log.write({"n": 2})
        while path.read_text().count("\n") < 2:
            pass
        path.rename(tmp_path / "older")
        log.write({"n": 3})
        log.close()
        assert json.loads(path.read_text()) == {"n": 3}

    def test_a_log_that_cannot_be_written_is_counted(self, tmp_path: Path) -> None:
        before = metric("latticework_request_log_dropped_total")
        log = RequestLog(str(tmp_path / "missing" / "log"))
        log.write({})
        log.write({})
        log.close()
        assert metric("latticework_request_log_dropped_total") == before + 2


def test_own_options_that_are_wrong_are_refused(deployment: Deployment) -> None:
    deployment.write(ab=ab())

    def refuse(extra: Mapping[str, Any]) -> None:
        raise LatticeworkError("lw_search", "no")

    with pytest.raises(LatticeworkError):
        deployment.start().admit(RequestFacts("r", user="u", extra={"lw_search": "?"}), refuse)


class TestTracing:
    @pytest.fixture
    def spans(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Spans that were recorded, without the process-wide provider, which can be set once only."""
        trace = pytest.importorskip("opentelemetry.sdk.trace")
        export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        processors = pytest.importorskip("opentelemetry.sdk.trace.export")
        api = pytest.importorskip("opentelemetry.trace")
        exporter = export.InMemorySpanExporter()
        provider = trace.TracerProvider()
        provider.add_span_processor(processors.SimpleSpanProcessor(exporter))
        monkeypatch.setattr(api, "get_tracer", provider.get_tracer)
        return exporter

    def test_a_traced_request_is_a_span_under_the_clients(self, deployment: Deployment, spans: Any) -> None:
        deployment.write(ab=ab())
        front = deployment.start()
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        Engine(DONE).serve(admitted(front, traced=True, headers={"traceparent": parent}))
        Engine(DONE).serve(admitted(front))
        (span,) = spans.get_finished_spans()
        assert span.name == "latticework.request"
        assert format(span.parent.span_id, "016x") == "b7ad6b7169203331"
        assert span.attributes["latticework.arm"] == "x/fusion"
        assert span.attributes["latticework.drafter"] == "fusion"
        assert span.attributes["latticework.tokens"] == 5
        assert span.end_time >= span.start_time
