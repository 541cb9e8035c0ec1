"""What the check said of each case, and what it left behind."""

import json
import os
from pathlib import Path

import pytest
import yaml

TABLE = yaml.safe_load((Path(__file__).parent.parent / "inventory/group_vars/all/cases.yml").read_text())
REAL, SIMULATED = TABLE["torch_cases_real"], TABLE["torch_cases_simulated"]
NIGHTLY = os.environ.get("SCENARIO_TESTS") == "nightly"
MODES = TABLE["torch_modes"] if NIGHTLY else TABLE["torch_modes"][:1]
TRIES = [(case, mode) for case in REAL + SIMULATED for mode in case.get("modes", MODES)]
# At night everything here runs again, with every mode.
pytestmark = [pytest.mark.nightly] if NIGHTLY else []


def name(case, mode):
    """The name of a test: what differs between cases."""
    image = "" if case["service"] in TABLE["torch_services"] else "simulated "
    return " ".join([image + case["service"], case["expect"], *(case[k] for k in ("python", "card") if k in case), mode])


@pytest.fixture(scope="module")
def results(host):
    """Name -> what the check returned."""
    found = zip(*json.loads(host.file("/opt/torch/results.json").content_string))
    return {name(case, mode): result for case, mode, result in found}


def noted(host, when):
    """Name of a container, or host -> what there was, and for a container what its image did not have."""
    return json.loads(host.file(f"/opt/torch/{when}").content_string)


@pytest.mark.parametrize(("case", "mode"), TRIES, ids=[name(*each) for each in TRIES])
def test_verdict(results, case, mode):
    result = results[name(case, mode)]
    verdict = case.get("verdict", "pass" if case["reason"] == "ok" else "fail")
    said = result["observed"] if verdict == "pass" else result.get("msg", "")
    got = [result.get(key) for key in ("verdict", "reason", "fault")]
    assert got == [verdict, case["reason"], case.get("fault")], said
    assert case["says"] in said
    assert "Traceback" not in said
    if verdict != "pass":
        wanted = "no torch" if case["expect"] == "absent" else f"torch for {case['expect']}"
        assert f"expected {wanted}, found " in said
        assert f" ({case['reason']}). The fault is the {case['fault']}'s. " in said
        assert said.endswith(result["remedy"])
    assert "+forged" not in json.dumps(result)


@pytest.mark.parametrize(("case", "mode"), TRIES, ids=[name(*each) for each in TRIES])
def test_ends_in_time(results, case, mode):
    took, limit = results[name(case, mode)]["duration_ms"], TABLE["torch_limit" if case in SIMULATED else "torch_limit_real"]
    if case["reason"] == "no_python":
        assert took is None
    else:
        # A second to look around and to end what hangs, on a machine that does other things too.
        assert (limit * 1000 if case["reason"] == "hang" else 0) <= took < limit * 1000 + 1000


def test_simulated_torch_says_so(results):
    versions = {results[name(c, m)]["torch"]["version"] for c, m in TRIES if c in SIMULATED and c["reason"] == "ok"}
    assert versions == {"2.13.0+simulated"}


def test_absent_torch_costs_little(results):
    took = [results[name(c, m)]["duration_ms"] for c, m in TRIES if c in REAL and c["reason"] == "ok" and c["expect"] == "absent"]
    print(f"absent torch: {took} ms")
    assert min(took) < 200


def test_good_card_on_a_host_without_driver_is_warned_of(results):
    assert any("a restart of this container would fail" in w for w in results["simulated cuda cuda container"]["torch_warnings"])


@pytest.mark.parametrize("container", ["host", *(f"torch-{s}-1" for s in sorted({c["service"] for c, _ in TRIES}))])
def test_nothing_is_left_behind(host, container):
    assert noted(host, "after")[container] == noted(host, "before")[container]
