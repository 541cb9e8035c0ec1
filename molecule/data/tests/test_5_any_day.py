"""Backups on any day, and the proof that they are worth something."""

from conftest import ARCHIVED, HOST, archived, databases, ids, last, since, sql, variables


def test_a_backup_on_any_day_brings_back_what_somebody_deleted(shop, writer):
    seen, before = last(), databases()
    shop.run("playbooks/backup.yml")
    taken = {one["service"]: one["backup"] for one in since(seen, "backup")}
    assert set(taken) == {"db", "archive"}
    sql("archive", "DELETE FROM kept WHERE number > 10")
    said = shop.run("playbooks/restore.yml", *variables(f"backup={taken['archive']}")).said
    assert taken["archive"] in said
    assert archived() == ARCHIVED
    assert databases() == before


def test_a_drill_proves_the_way_back_and_touches_nothing(shop, writer):
    before, seen, failed = ids(), last(), len(writer.failed)
    shop.run("playbooks/drill.yml", *variables("restore=true"))
    assert ids() == before
    assert not since(seen, "restoring", "switching", "quiesced")
    assert len(writer.failed) == failed
    assert HOST.exec("docker", "ps", "--all", "--quiet", "--filter", "status=created") == ""
