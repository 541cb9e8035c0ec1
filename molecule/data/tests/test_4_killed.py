"""Controller and agent are killed in the middle; the same command, typed again, ends well, and no row is missing."""

from conftest import ARCHIVED, EXPANDED, HOST, RENAMED, archived, databases, last, release, since, slow


def test_in_the_middle_of_a_dump(shop, writer):
    before, seen = databases(), last()
    shop.edit(db={"backup": slow("dump", "restore")})
    shop.killed("rollout.yml", f"sha={RENAMED}", at="sleep 3; exec pg_dump")
    shop.rollout(RENAMED)
    # A restore took back what it had done here before.
    assert [one["job"] for one in since(seen, "job")] == ["migrate"]
    assert release() == f"sha-{RENAMED}"
    assert databases() == before
    assert writer.all() <= writer.rows()
    assert ".part" not in HOST.exec("ls", f"{HOST.state}/backups")


def test_in_the_middle_of_a_restore(shop, writer):
    before, seen = databases(), last()
    (ran,) = since(0, "ran")[-1:]
    writer.goes_on()
    # With the release named the command means the same, whatever the killed run has come to.
    back = (f"sha={EXPANDED}", "data=restore")
    shop.killed("rollback.yml", *back, at="sleep 3; exec pg_restore --username")
    assert since(seen, "restoring")
    shop.rollback(*back)
    assert release() == f"sha-{EXPANDED}"
    assert databases() == before
    came, rows = writer.all(), writer.rows()
    assert writer.before(ran) <= rows
    assert archived() == ARCHIVED
    writer.given_up |= came - rows


def test_in_the_middle_of_a_job(shop, writer):
    seen = last()
    shop.killed("rollout.yml", f"sha={RENAMED}", "shop_slow=5", at="alembic upgrade head")
    assert since(seen, "job")
    shop.rollout(RENAMED, "shop_slow=5")
    assert release() == f"sha-{RENAMED}"
    assert writer.all() <= writer.rows()
    shop.run("status.yml", "-e", "strict=true")
