"""After a rollback, with the registry out of reach of host and controller."""


def test_first_release_runs_again(runs, health, database_untouched, ledger):
    runs("sha-aaaaaa1")
    assert health["release"] == "sha-aaaaaa1"
    database_untouched()
    assert ledger[-1]["event"] == "confirmed"
    assert ledger[-1]["action"] == "rollback"
