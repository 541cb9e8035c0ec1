from __future__ import annotations

from ansible.module_utils.rollout.io import job_logs


def test_the_output_of_a_job_is_kept_for_its_user_alone(tmp_path):
    job_logs.write(tmp_path, "20261201T100000Z-aaaa", "core", "migrate", "one\ntwo\n\n")
    file = job_logs.path(tmp_path, "20261201T100000Z-aaaa", "core", "migrate")
    assert file == tmp_path / "jobs/20261201T100000Z-aaaa/core.migrate.log"
    assert file.read_text() == "one\ntwo\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_those_of_old_runs_go(tmp_path):
    runs = [f"20261201T1000{n:02}Z-aaaa" for n in range(job_logs.RUNS + 2)]
    for run in runs:
        job_logs.write(tmp_path, run, "core", "migrate", run)
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == runs[2:]


def test_where_it_cannot_be_kept_the_job_goes_on(tmp_path):
    (tmp_path / "jobs").write_text("in the way")
    job_logs.write(tmp_path, "run", "core", "migrate", "text")
    assert (tmp_path / "jobs").read_text() == "in the way"
