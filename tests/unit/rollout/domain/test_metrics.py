from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import ledger, metrics
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

RUN = {"run": "20261123T101500Z-a1b2", "action": "rollout", "release": "sha-bbbbbbb", "verdict": "succeeded", "seconds": 61.5}
WHO = {"application": "app", "host": "h1"}


def parsed(text):
    """(name, labels without WHO) -> value, as both formats read it."""
    both = []
    for read in (prometheus, openmetrics):
        families = list(read(text))
        assert {f.type for f in families} == {"gauge"}, "all that both formats know under one name"
        assert all(f.documentation for f in families)
        samples = [s for f in families for s in f.samples]
        assert all(s.timestamp is None for s in samples)
        found = {(s.name, tuple(sorted((k, v) for k, v in s.labels.items() if k not in WHO))): s.value for s in samples}
        assert len(found) == len(samples), "a sample that stands twice costs the whole scrape"
        both.append(found)
    assert both[0] == both[1]
    return both[0]


def service(name, action, seconds, **facts):
    return {"stack": "core", "service": name, "action": action, "seconds": seconds, "gap": seconds, "torch": None, **facts}


def told(result=None, run=(), entries=()):
    return parsed(metrics.text("app", "h1", {**RUN, **dict(run)}, result or {}, ledger.fold(list(entries))))


def entry(seq, event, **facts):
    return {"seq": seq, "event": event, "run": f"r{seq}", "name": "v1", "release": "v1", "at": "1970-01-01T00:01:00Z", **facts}


def test_a_first_run():
    found = told()
    assert found["rollout_last_run_info", (("action", "rollout"), ("release", "sha-bbbbbbb"), ("run", RUN["run"]))] == 1
    assert found["rollout_last_run_start_timestamp_seconds", ()] == 1795428900
    assert found["rollout_last_run_duration_seconds", ()] == 61.5
    assert found["rollout_stable_releases", ()] == 0
    assert not [name for name, _labels in found if name.startswith(("rollout_release", "rollout_last_run_service"))]


@pytest.mark.parametrize("verdict", metrics.VERDICTS)
def test_one_verdict_of_all(verdict):
    found = {labels[0][1]: value for (name, labels), value in told(run={"verdict": verdict}).items() if name.endswith("_verdict")}
    assert found == {word: float(word == verdict) for word in metrics.VERDICTS}


def test_the_ledger():
    entries = [
        entry(1, "confirmed"),
        entry(2, "reverted"),
        entry(3, "reverted", by="guard"),
        entry(4, "confirmed", name="v2", release="v2"),
        entry(5, "confirmed", action="rollback"),
    ]
    found = told(entries=entries)
    assert found["rollout_release_info", (("release", "v1"), ("run", "r5"))] == 1
    assert found["rollout_release_confirmed_timestamp_seconds", ()] == 60
    assert found["rollout_stable_releases", ()] == 2
    runs = {labels[0][1]: value for (name, labels), value in found.items() if name == "rollout_runs"}
    assert runs == {"rollout": 2, "rollback": 1, "reverted": 1, "reverted by guard": 1}


def test_services():
    torch = {"verdict": "pass", "torch": {"version": "2.5.1+cpu"}}
    services = [
        service("db", "keep", 0.0),
        service("web", "recreate", 2.34, torch=torch),
        service("new", "create", 1.5),
        service("old", "remove", 0.5),
    ]
    found = {
        (name, dict(labels)["service"]): value
        for (name, labels), value in told({"services": services}).items()
        if "_service_" in name
    }
    assert found == {
        ("rollout_last_run_service_outage_seconds", "db"): 0,
        ("rollout_last_run_service_duration_seconds", "web"): 2.34,
        ("rollout_last_run_service_outage_seconds", "web"): 2.34,
        ("rollout_last_run_service_torch_pass", "web"): 1,
        ("rollout_last_run_service_duration_seconds", "new"): 1.5,
        ("rollout_last_run_service_duration_seconds", "old"): 0.5,
    }


def test_a_run_that_went_back_tells_no_outage_and_which_torch_was_wrong():
    fault = {"phase": "switch", "host": "h1", "msg": "x", "gate": "torch", "service": "job", "stack": "core"}
    result = {"services": [service("web", "recreate", 2.34)], "fault": fault}
    found = told(result, {"verdict": "reverted"})
    names = {name for name, _labels in found}
    assert "rollout_last_run_service_outage_seconds" not in names
    labels = (("found", "not what it should be"), ("service", "job"), ("stack", "core"))
    assert found["rollout_last_run_service_torch_pass", labels] == 0


def test_how_often_a_service_crashed():
    found = told({"services": [service("web", "keep", 0.0, restarts=3), service("job", "recreate", 1.0, restarts=0)]})
    name, stack = "rollout_last_run_service_restarts", ("stack", "core")
    assert found[name, (("service", "web"), stack)] == 3
    assert found[name, (("service", "job"), stack)] == 0
    fault = {"phase": "settle", "host": "h1", "msg": "x", "gate": "container", "service": "web", "stack": "core", "restarts": 4}
    assert told({"fault": fault}, {"verdict": "refused"})[name, (("service", "web"), stack)] == 4


def test_what_is_unknown_is_left_out():
    found = told(run={"run": "odd"}, entries=[entry(1, "confirmed", at="yesterday")])
    assert not [name for name, _labels in found if name.endswith("timestamp_seconds")]


def test_the_same_service_twice_is_one_sample():
    twice = [service("web", "recreate", 1.0), service("web", "recreate", 2.0)]
    assert told({"services": twice})["rollout_last_run_service_outage_seconds", (("service", "web"), ("stack", "core"))] == 2


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), min_size=1))
def test_any_name_comes_through(name):
    found = told({"services": [service(name, "recreate", 1.0)]}, entries=[entry(1, "confirmed", release=name)])
    assert found["rollout_release_info", (("release", name), ("run", "r1"))] == 1
    assert found["rollout_last_run_service_outage_seconds", (("service", name), ("stack", "core"))] == 1


def test_every_metric_has_its_help():
    source = metrics.text("app", "h1", RUN, {}, ledger.fold([]))
    assert source.endswith("# EOF\n")
    assert all(text.endswith(".") and "\n" not in text for text in metrics.HELP.values())


@pytest.mark.parametrize(("verdict", "passed"), [("succeeded", 1), ("refused", 0)])
def test_a_drill(verdict, passed):
    run = {"run": "20261123T101500Z-a1b2", "action": "drill", "verdict": verdict, "seconds": 12.5}
    assert parsed(metrics.drill("app", "h1", run)) == {
        ("rollout_drill_passed", ()): passed,
        ("rollout_drill_duration_seconds", ()): 12.5,
        ("rollout_drill_timestamp_seconds", ()): 1795428900,
    }


def test_the_newest_backup_of_each_service():
    facts = {"stack": "core", "file": "f", "sha256": ""}
    entries = [
        entry(1, "backup", backup="db-1", service="db", bytes=5, **facts),
        entry(2, "backup", backup="db-2", service="db", bytes=7, **facts),
        entry(3, "backup", backup="files-1", service="files", bytes=9, **facts),
        entry(4, "dropped", backup="db-1"),
    ]
    found = told(entries=entries)
    sizes = {dict(labels)["service"]: value for (name, labels), value in found.items() if name == "rollout_backup_bytes"}
    assert sizes == {"db": 7.0, "files": 9.0}
    assert found["rollout_backup_timestamp_seconds", (("service", "db"), ("stack", "core"))] == 60.0
