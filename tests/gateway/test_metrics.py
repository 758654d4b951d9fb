"""GET /metrics on a real server."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.conftest import Served, Start

KEY = "0123456789abcdef"


def values(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = served.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {
        (one.name, tuple(one.labels[label] for label in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


def test_requests_tokens_feedback_and_swaps_are_counted(start: Start) -> None:
    served = start()
    for _ in range(3):
        trace = served.chat().json()["id"]
    served.http.post("/v1/feedback", json={"trace_id": trace, "rating": -1})
    served.chat(messages=[{"role": "user", "content": "word " * 200}])
    served.deploy("ver_1")
    served.chat()
    found = values(served)
    assert found["sharpen_requests_total", ("answered", "ver_0")] == 3
    assert found["sharpen_requests_total", ("refused", "ver_0")] == 1
    assert found["sharpen_requests_total", ("answered", "ver_1")] == 1
    assert found["sharpen_tokens_total", ("completion", "ver_0")] == 6
    assert found["sharpen_feedback_total", ("bad",)] == 1
    assert found["sharpen_swaps_total", ()] == 2
    assert found["sharpen_live_version", ("ver_1",)] == 1.0
    assert found["sharpen_http_responses_total", ("/v1/chat/completions", "400")] == 1


def test_what_clients_write_is_in_no_label(start: Start) -> None:
    served = start()
    served.http.get("/wp-login.php")
    served.chat(model="evil-model", user="evil-user")
    served.chat(user="evil-user")
    text = served.http.get("/metrics").text
    assert "evil" not in text and "wp-login" not in text
    assert 'route="other",status="404"' in text


def test_with_a_key_metrics_need_the_key(start: Start) -> None:
    served = start(key=KEY)
    assert served.http.get("/metrics").status_code == 200
    assert served.http.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert values(served)["sharpen_http_responses_total", ("/metrics", "401")] == 1


def test_a_session_stays_with_its_version_while_a_canary_has_a_share(start: Start) -> None:
    from sharpen.records import Deployment
    from sharpen.serving.shares import place

    served = start()
    served.deploy("ver_1")
    served.deploy("ver_0")
    now = served.store.champion()
    shares = {"ver_0": 0.75, "ver_1": 0.25}
    served.store.deploy(Deployment(id="dep_c", version_id="ver_0", shares=shares, reason="a test"), now.version_id)
    names = [f"user-{number}" for number in range(40)]
    while values(served).get(("sharpen_live_version", ("ver_1",))) != 0.25:
        pass
    for _ in range(2):
        met = {name: served.chat(user=name).headers["x-sharpen-version"] for name in names}
        assert met == {name: "ver_1" if place(name, "ver_1") < 0.25 else "ver_0" for name in names}
    assert set(met.values()) == {"ver_0", "ver_1"}
