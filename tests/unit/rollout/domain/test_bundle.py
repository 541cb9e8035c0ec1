from __future__ import annotations

import base64

import pytest
from ansible.module_utils.rollout.domain import bundle as bundles
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

SAID = {
    "files": {
        "docker-compose.yml": {"text": "services: {}\n", "mode": "0644"},
        "conf/run.sh": {"base64": base64.b64encode(b"\0\xff").decode(), "mode": "0755"},
        "conf/l": {"link": "run.sh"},
    },
    "compose": ["docker-compose.yml"],
    "profiles": ["gpu"],
    "environment": {"PORT": 80},
    "secrets": {"PW": "x"},
    "services": {"db": {"keep": True}},
    "allow_unset": ["A"],
    "tag_variable": "IMMICH_VERSION",
    "data": "/srv/data",
    "project": "immich",
    "new_data": True,
    "folder": "/src/immich",
    "paths": ["conf"],
}


def test_a_bundle_is_what_the_controller_sent():
    assert bundles.bundle("core", SAID) == Bundle(
        files={
            "docker-compose.yml": File(b"services: {}\n"),
            "conf/run.sh": File(b"\0\xff", "0755"),
            "conf/l": File(link="run.sh"),
        },
        compose=("docker-compose.yml",),
        profiles=("gpu",),
        environment={"PORT": 80},
        secrets={"PW": "x"},
        services={"db": {"keep": True}},
        allow_unset=("A",),
        tag_variable="IMMICH_VERSION",
        data="/srv/data",
        project="immich",
        new_data=True,
        folder="/src/immich",
        paths=("conf",),
    )


def test_what_is_not_said_has_its_default():
    assert bundles.bundle("core", {"compose": ["a.yml"], "files": None, "data": None}) == Bundle({}, ("a.yml",))
    assert Bundle({}, ()).tag_variable == "IMAGE_TAG"


@pytest.mark.parametrize(
    ("about", "file"),
    [
        ({"text": "é"}, File("é".encode())),
        ({"text": ""}, File()),
        ({}, File()),
        ({"text": "x", "mode": "0600"}, File(b"x", "0600")),
        ({"text": "x", "mode": "0700"}, File(b"x", "0700")),
        # A mode that is not known is not opened.
        ({"text": "x", "mode": "0640"}, File(b"x", "0600")),
        ({"text": "x", "mode": "4755"}, File(b"x", "0600")),
        # A link has no mode and no content of its own.
        ({"link": "x", "mode": "0755", "text": "y"}, File(link="x")),
    ],
)
def test_a_file(about, file):
    assert bundles.bundle("core", {"files": {"f": about}}).files == {"f": file}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "..", "../x", "a/../../x", "a/../x", "./x", ".", "", "a//b", "a/", "a/.", "a/./b"]
)
@pytest.mark.parametrize("key", ["files", "compose", "paths"])
def test_a_path_that_leaves_the_source_is_refused(key, path):
    with pytest.raises(RolloutError) as error:
        bundles.bundle("core", {key: {path: {"text": ""}} if key == "files" else [path]})
    assert str(error.value) == (
        f"Stack core has the path '{path}', which leaves its folder. Put that file beside the Compose file, or name it absolutely."
    )


@pytest.mark.parametrize("path", ["a", "a/b", ".env", "..a", "a/..b/c", "...", "a b/ü"])
def test_a_path_that_stays_in_the_source(path):
    assert set(bundles.bundle("core", {"files": {path: {"text": ""}}}).files) == {path}


def of(*paths, **facts):
    return Bundle({path: File(path.encode()) for path in paths}, ("c.yml",), **facts)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", {"": "a"}),
        ("d", {"x": "d/x", "y/z": "d/y/z"}),
        ("d/y", {"z": "d/y/z"}),
        ("d/y/z", {"": "d/y/z"}),
        ("none", {}),
        # Its name begins with that of a folder.
        ("d.", {}),
    ],
)
def test_the_files_below_a_path(path, found):
    one = of("a", "d/y/z", "d/x", "dd/x")
    assert {name: file.text for name, file in one.below(path).items()} == found


def test_compose_reads_what_is_not_mounted():
    one = of("c.yml", "base.yml", "web.env", "conf/a", "conf/b/c", "s.txt", paths=("conf", "s.txt"))
    assert one.read == {name: name for name in ("c.yml", "base.yml", "web.env")}


def test_a_compose_file_is_read_also_where_it_is_mounted():
    assert set(of("conf/c.yml", "conf/a", paths=("conf",)).read) == set()
    one = Bundle(of("conf/c.yml", "conf/a").files, ("conf/c.yml",), paths=("conf",))
    assert one.read == {"conf/c.yml": "conf/c.yml"}


@pytest.mark.parametrize(
    ("links", "text"),
    [
        ({"l": "f"}, "x"),
        ({"l": "./f"}, "x"),
        ({"l": "m", "m": "f"}, "x"),
        ({"l": "a/m", "a/m": "../f"}, "x"),
        ({"l": "none"}, ""),
        ({"l": "l"}, ""),
        ({"l": "m", "m": "l"}, ""),
        ({"l": "../f"}, ""),
    ],
)
def test_compose_reads_what_a_link_points_to(links, text):
    one = Bundle({"f": File(b"x"), **{name: File(link=to) for name, to in links.items()}}, ("f",))
    assert one.read["l"] == text


def test_what_is_no_text_is_replaced():
    assert File(b"a\xffb").text == "a\ufffdb"


NAMES = st.text("ab", min_size=0, max_size=2)
FILE = st.builds(
    File,
    st.binary(max_size=2).map(lambda raw: raw.replace(b"\0", b"4")),
    st.sampled_from(bundles.MODES),
    st.sampled_from(["", "a", "0644"]),
)
FILES = st.dictionaries(NAMES, FILE, max_size=3)


@given(FILES, FILES)
def test_two_folders_have_one_digest_only_if_they_are_the_same(one, other):
    assert (bundles.digest(one) == bundles.digest(other)) is (one == other)


@given(FILES)
def test_the_digest_does_not_depend_on_the_order(files):
    assert bundles.digest(files) == bundles.digest(dict(reversed(files.items())))


def test_the_digest_stays_what_it_was():
    """It is in the configuration of containers: another one would restart every service that mounts a file."""
    found = bundles.digest({"": File(b"x"), "a": File(b"", "0755"), "b": File(link="a")})
    assert found == "180fec4f6b1a6a9207922ccd85401bbd4dc4dcfd1884d5ed2a67f271f5b07054"
