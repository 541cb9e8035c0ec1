"""Image references, tags and the release that a tag means. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Collection, Iterable, Optional

from ansible.module_utils.rollout.errors import Refusal, RolloutError

# The grammar of the OCI distribution specification and of github.com/distribution/reference.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")

DEFAULT_REGISTRY = "docker.io"
COMMIT = re.compile(r"[0-9a-f]{7,40}")
_COMMIT_TAG = re.compile(rf"sha-{COMMIT.pattern}")
SHORT = 7

NOT_AN_IMAGE = Refusal(
    "What was typed",
    "'{text}' is not an image reference: expected [registry/]path[:tag][@sha256:…], lower case, for example "
    "ghcr.io/kpiteira/ktrdr-backend:sha-abc1234.",
    "correct the image in the Compose file, or the variable in it: lower case, no scheme",
)
SHA_AND_TAG = Refusal(
    "What was typed",
    "sha={sha} and tag={tag} are both given: give one, sha for a commit or tag for any other tag.",
    "leave out `-e sha=…` or `-e tag=…`",
)
NOT_A_COMMIT = Refusal(
    "What was typed",
    "sha '{sha}' is not a commit: expected 7 to 40 characters 0-9 a-f, for example -e sha=abc1234. For any other tag use -e "
    "tag=…",
    "give a commit, or any other tag with `-e tag=…`",
)
NOT_A_TAG = Refusal(
    "What was typed",
    "tag '{tag}' is not an image tag: expected letters, digits, '_', '.', '-', at most 128.",
    "correct the tag: letters, digits, `_`, `.`, `-`, at most 128",
)
OTHER_COMMIT = Refusal(
    "The release",
    "{image}:{tag} was built from commit {commit}, says its label org.opencontainers.image.revision: the tag was put on another "
    "build. Build and push {tag} again.",
    "build and push that tag again",
)
LATEST_UNNAMED = Refusal(
    "The release",
    "{image}:{tag} does not say which commit it is (no label org.opencontainers.image.revision): name the release with -e sha=… "
    "or -e tag=…",
    "name the release with `-e sha=…` or `-e tag=…`, or build images with that label",
)


@dataclass(frozen=True)
class Reference:
    """A parsed image reference; ``tag`` and ``digest`` are None where the text has none."""

    registry: str
    path: str
    tag: Optional[str] = None
    digest: Optional[str] = None

    @property
    def repository(self) -> str:
        """Registry and path, without tag and digest: what identifies an image over all releases."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return self.repository + tag + digest


def registry_of(name: str) -> str:
    """The registry of a name: its first part if that has a dot or a colon or is ``localhost``, otherwise Docker Hub."""
    first = name.partition("/")[0]
    return first if "." in first or ":" in first or first == "localhost" else DEFAULT_REGISTRY


def is_registry(name: str) -> bool:
    """Whether it is the name of a registry, as `registry_of` reads it off an image."""
    return bool(_REGISTRY.fullmatch(name)) and registry_of(f"{name}/x") == name


def registry_of_image(image: str) -> str:
    """The registry of an image; a name without a path is on Docker Hub."""
    return registry_of(image) if "/" in image.partition("@")[0] else DEFAULT_REGISTRY


def parse(text: str) -> Reference:
    """Parse ``[registry/]path[:tag][@digest]`` as Docker does.

    The first part is a registry only if it has a dot or a colon or is ``localhost``; a bare name is
    ``docker.io/library/name``.

    Raises:
        RolloutError: the text is no image reference.
    """
    rest, at, digest = text.partition("@")
    head, slash, tail = rest.rpartition("/")
    name, colon, tag = tail.partition(":")
    path = head + slash + name
    first, _slash, remainder = path.partition("/")
    if remainder and registry_of(first) == first:
        registry, path = first, remainder
    else:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if (
        not _REGISTRY.fullmatch(registry)
        or not _PATH.fullmatch(path)
        or (colon and not _TAG.fullmatch(tag))
        or (at and not _DIGEST.fullmatch(digest))
    ):
        raise NOT_AN_IMAGE(text=text)
    return Reference(registry, path, tag or None, digest or None)


def repository(image: str) -> str:
    """The repository of an image, by which it is the same one whatever its tag; any other text as it is."""
    try:
        return parse(image).repository
    except RolloutError:
        return image


def is_tag(text: Any) -> bool:
    """Whether it is a text with the grammar of a tag."""
    return isinstance(text, str) and bool(_TAG.fullmatch(text))


def is_digest(text: Any) -> bool:
    """Whether it is a text with the grammar of a digest, by sha256: the only algorithm that is taken."""
    return isinstance(text, str) and bool(_DIGEST.fullmatch(text))


def wanted_tag(sha: Optional[str], tag: Optional[str], default: str = "latest") -> str:
    """The tag that the operator's ``sha`` or ``tag`` asks for; ``default`` where neither is given.

    Raises:
        RolloutError: both are given, or one is malformed.
    """
    if sha and tag:
        raise SHA_AND_TAG(sha=sha, tag=tag)
    if sha:
        if not COMMIT.fullmatch(sha):
            raise NOT_A_COMMIT(sha=sha)
        return f"sha-{sha}"
    if tag:
        if not _TAG.fullmatch(tag):
            raise NOT_A_TAG(tag=tag)
        return tag
    return default


def matching_tags(tag: str, tags: Iterable[str]) -> list[str]:
    """The tags of ``tags`` that mean ``tag``: itself, or for ``sha-…`` a shorter or longer form of that commit.

    Of two forms of one commit (CI pushes a short and the whole one) it is the longer.
    """
    known = sorted(set(tags))
    if tag in known:
        return [tag]
    if not _COMMIT_TAG.fullmatch(tag):
        return []
    found = [t for t in known if _COMMIT_TAG.fullmatch(t) and (t.startswith(tag) or tag.startswith(t))]
    # Sorted: each form stands directly before the next longer one.
    return [t for t, following in zip(found, [*found[1:], ""]) if not following.startswith(t)]


def nearby(tag: str, tags: Iterable[str], limit: int = 5) -> list[str]:
    """At most ``limit`` of ``tags``, those that look most like ``tag`` first."""

    def common(other: str) -> int:
        n = 0
        for a, b in zip(tag, other):
            if a != b:
                break
            n += 1
        return n

    return sorted(set(tags), key=lambda t: (-common(t), t))[:limit]


def one_release(names: Collection[str]) -> Optional[str]:
    """The release that these are; None if they are several. Forms of one commit are one release, by the shortest."""
    shortest = min(names, key=len)
    forms = _COMMIT_TAG.fullmatch(shortest) and all(_COMMIT_TAG.fullmatch(n) and n.startswith(shortest) for n in names)
    return shortest if forms or len({*names}) == 1 else None


def release_name(tag: str, revision: Optional[str], image: str, whole: str = "") -> str:
    """The release that ``tag`` of ``image`` is: ``sha-<short>`` from the tag, else from the revision label.

    ``whole`` is the image's own tag, if it has more than ``tag``.

    ``revision`` is the label org.opencontainers.image.revision (OCI image specification, annotations). A tag that
    never moves by convention (any but ``latest``) names its release itself where there is no such label.

    Raises:
        RolloutError: the label contradicts the tag, or ``latest`` has no label.
    """
    known = revision if revision and re.fullmatch(r"[0-9a-f]{7,64}", revision) else None
    if _COMMIT_TAG.fullmatch(tag):
        named = tag[4:]
        if known and not (known.startswith(named) or named.startswith(known)):
            raise OTHER_COMMIT(image=image, tag=whole or tag, commit=known[:SHORT])
        return tag
    if known:
        return f"sha-{known[:SHORT]}"
    if tag == "latest":
        raise LATEST_UNNAMED(image=image, tag=whole or tag)
    return tag


def choice(release: str) -> str:
    """A release as the operator types it behind ``-e``: ``sha=abc1234`` or ``tag=v1``.

    The ledger of a host may name one that is not a tag, which a shell would run or Ansible render: no quotes keep Ansible from
    a ``{{``, so it is left out.
    """
    if release.startswith("sha-") and COMMIT.fullmatch(release[4:]):
        return f"sha={release[4:]}"
    return f"tag={release if _TAG.fullmatch(release) else '…'}"
