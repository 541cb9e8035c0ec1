"""A release with a migration, and back with both ways."""

from conftest import ARCHIVED, COMPATIBLE, EXPANDED, HOST, PRESET, RENAMED, archived, databases, ids, last, since

CAREFUL = ("backup", "dropped", "quiesced", "job", "ran", "switching")


def test_a_migration_comes_behind_a_backup_that_misses_nothing(shop, running, writer):
    shop.edit(
        db={"backup": PRESET},
        archive={"backup": PRESET},
        migrate={"job": "before", "compatible": "{{ shop_compatible | bool }}", "deadline": 60},
        backend={"rehearse": True, "health": ["http://127.0.0.1:8000/api/v1/health"], "names_release": True, "deadline": 20},
    )
    before, seen = databases(), last()
    assert "ROLLOUT SUCCEEDED: sha-adda002 runs on 1 host" in shop.rollout(EXPANDED).said
    assert [one["event"] for one in since(seen, *CAREFUL)] == ["quiesced", "backup", "backup", "job", "ran", "switching"]
    assert databases() == before
    # What a person sees first: the page of the application has every order that it ever confirmed.
    assert writer.all() <= writer.rows()
    shop.run("status.yml", "-e", "strict=true")


def test_a_rollback_across_it_asks_what_the_data_may_do(shop, writer):
    before, seen = ids(), last()
    said = shop.rollback(rc=2).said
    assert "ROLLBACK REFUSED: nothing was touched" in said
    assert "-e data=keep" in said
    assert "-e data=restore" in said
    assert (ids(), last()) == (before, seen)


def test_with_the_data_kept_every_row_stays(shop, writer):
    before = databases()
    assert "ROLLBACK SUCCEEDED: sha-aaaaaa1 runs on 1 host" in shop.rollback("data=keep").said
    assert writer.all() <= writer.rows()
    assert databases() == before
    # There it has run already, and is in effect.
    seen = last()
    shop.rollout(EXPANDED, COMPATIBLE)
    assert not since(seen, "job", "quiesced", "restoring")


def test_with_the_data_restored_no_row_of_before_the_backup_is_missing(shop, writer):
    seen = last()
    shop.rollout(RENAMED)
    (ran,) = since(seen, "ran")
    writer.goes_on()
    back = last()
    said = shop.rollback("data=restore").said
    assert "ROLLBACK SUCCEEDED: sha-adda002" in said
    came, rows = writer.all(), writer.rows()
    # Between the stop of what writes and the start of the new release nothing was acknowledged.
    kept = writer.before(ran)
    assert kept
    assert kept <= rows
    assert archived() == ARCHIVED
    # What was acknowledged since is not in the data, and not gone: a backup of the present was taken first.
    lost = came - rows
    assert lost
    writer.given_up |= lost
    taken = [one for one in since(back, "backup") if one["service"] == "db"]
    restored = [one["seq"] for one in since(back, "restoring")]
    assert taken[0]["seq"] < min(restored)
    file = f"{HOST.state}/backups/{taken[0]['file']}"
    found = HOST.exec("sh", "-c", f"zcat {file} | grep -o 'order-[0-9]*'").split()
    assert lost <= set(found)
    assert taken[0]["backup"] in said
