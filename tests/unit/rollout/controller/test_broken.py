from __future__ import annotations

import pytest
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.module_utils.rollout.controller import broken
from ansible.parsing.dataloader import DataLoader

TEXT = "a:\n  b: 1\n c: 2\n"


@pytest.fixture
def error(tmp_path):
    (tmp_path / "a.yml").write_text(TEXT)
    with pytest.raises(AnsibleError) as found:
        DataLoader().load_from_file(str(tmp_path / "a.yml"))
    return found.value


def test_file_and_line_are_named_also_where_another_error_wraps_that(error, tmp_path):
    said = f"{tmp_path}/a.yml, line 3: YAML parsing failed: While parsing a block mapping did not find expected key."
    assert broken.sentence(error) == said
    with pytest.raises(AnsibleParserError) as outer:
        raise AnsibleParserError("outer") from error
    assert broken.sentence(outer.value) == said


def test_what_has_no_file_is_said_as_it_is():
    assert broken.sentence(AnsibleError("no such thing", obj="x")) == "no such thing"


def test_the_broken_files_among_inventories(tmp_path, error):
    (tmp_path / "b.yaml").write_text("b: 1\n")
    (tmp_path / "c.ini").write_text("[a\n:")
    (tmp_path / "group_vars").mkdir()
    assert len(broken.among([str(tmp_path)])) == 1
    assert broken.among([str(tmp_path / "a.yml")]) == broken.among([str(tmp_path)])
    assert broken.among([str(tmp_path / "b.yaml"), str(tmp_path / "c.ini"), "h1,h2", str(tmp_path / "absent.yml")]) == []
