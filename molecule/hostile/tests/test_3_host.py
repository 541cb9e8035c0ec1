"""A host that lies: about itself, and about nothing else."""

import json

import pytest
from conftest import ASKED_FIRST, BOUND_S, EVIL, FIRST, GOOD, PREVIEW, SECOND, all_of, leaks, readable, runs_on_good

# These say nothing false of the host itself: what else they say is dropped, and the preview is made. The others are refused.
DROPPED = {"adds-a-host", "noise", "sets-stacks", "sets-registry", "sets-the-run", "sets-the-connection", "texts"}


@pytest.mark.parametrize("lie", ASKED_FIRST)
def test_a_preview_is_made_or_refused(runs, lie):
    result = runs[lie]
    said = readable(result)
    assert result.seconds < BOUND_S
    if lie in DROPPED:
        assert result.rc == 0, said[-2000:]
        assert "CHECK: the rollout would change evil. Nothing was touched." in said
    else:
        assert result.rc == 2, said[-2000:]
        assert "ROLLOUT REFUSED: nothing was touched" in said


@pytest.mark.nightly
def test_an_answer_of_100_mib_is_refused(runs):
    result = runs.type("flood", runs.first, "rollout.yml", *PREVIEW, "-e", "lie=flood")
    assert result.rc == 2
    assert "ROLLOUT REFUSED: nothing was touched" in readable(result)


def test_a_failure_is_no_success(runs):
    result = runs["sets-the-verdict"]
    assert result.rc == 2
    assert "the disk is full" in result.out
    assert "SUCCEEDED" not in result.out


def test_names_in_commands_are_quoted(runs):
    """Releases that a host's ledger names, in a command that is printed to be copied."""
    for name in ("ledger", "status", "status, json"):
        said = readable(runs[name])
        assert "-e tag=sha-$(" not in said
        assert "=sha-$(" not in said.replace("'tag=sha-$(", "").replace("'sha=$(", "")
    assert "--project-name $(" not in readable(runs["names"])
    assert runs["ledger"].rc == 2
    # The text for people goes to stderr, before.
    document = runs["status, json"].out
    assert json.loads(document[document.index("\n{\n") :])["hosts"]


def test_what_fails_there_is_reverted_everywhere(runs, stable):
    result = runs.type(
        "fails", runs.both, "rollout.yml", "-e", "sha=bbbbbb2", "-e", "lie=fails", "-e", "rollout_metrics_dir=/tmp"
    )
    said = readable(result)
    assert result.rc == 2
    assert f"ROLLOUT REVERTED: {SECOND}" in said or f"ROLLOUT REVERT FAILED: {SECOND}" in said
    assert "SUCCEEDED" not in said
    assert "it fell over" in said
    assert runs_on_good() == [FIRST]
    assert GOOD.ledger()[-1]["event"] == "reverted"


def test_what_is_silent_there_ends_in_time_and_the_other_host_goes_back(runs, stable):
    typed = ("-e", "sha=bbbbbb2", "-e", "lie=is-silent", "-e", "rollout_step_timeout=15")
    result = runs.type("is-silent", runs.both, "rollout.yml", *typed)
    said = readable(result)
    assert result.rc == 2
    assert "SUCCEEDED" not in said
    assert result.seconds < 2 * BOUND_S
    assert runs_on_good() == [FIRST]


@pytest.fixture(scope="module")
def heard(runs, stable):
    """The input of each of its Pythons."""
    for begun in list(runs.begun):
        runs[begun]
    return {lie: all_of(EVIL, f"cat /opt/evil/{lie}.heard") for lie in [*ASKED_FIRST, "ledger", "module", "honest", "fails"]}


def test_it_hears_its_own_secrets_and_no_others(heard, canaries):
    own = ("vault_registry_password", "vault_worker_token")
    asked_first = ("vault_registry_password", "vault_password", "vault_key", "vault_token")
    for lie, text in heard.items():
        assert len(text) > 1000, f"nothing was heard by {lie}"
        # Asked first it has the stack web; otherwise worker.
        assert leaks(text, canaries, own if lie in ("honest", "fails") else asked_first) == {}, lie


def test_it_hears_what_is_its_own(heard, canaries):
    """Otherwise the test above proves nothing."""
    assert set(leaks(heard["honest"], canaries)) == {"vault_registry_password", "vault_worker_token"}


def test_it_runs_nothing_here_and_writes_nothing(heard, place):
    assert list(place.pwned.iterdir()) == []
    assert {path.name for path in place.root.iterdir()} == {"pwned", "reports", "canary"}
    assert [path.name for path in place.reports.iterdir() if not path.name.startswith(("20", "index.html"))] == []


def test_nobody_else_is_told(heard, servers, canaries):
    _registry, elsewhere = servers
    told = "\n".join([*elsewhere.heard, *elsewhere.told])
    assert "attacker" not in told
    assert leaks(told, canaries) == {}
