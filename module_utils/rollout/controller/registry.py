"""The registry, asked by the controller: what a tag is, and which tags there are (OCI distribution specification)."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from typing import Any, Collection

from ansible.module_utils.rollout.controller.registry_session import MissingError, Session
from ansible.module_utils.rollout.domain import oci, reference
from ansible.module_utils.rollout.domain.answer import document
from ansible.module_utils.rollout.errors import Refusal

NO_TAG = Refusal(
    "The registry",
    "Registry {registry} has no tag {tag} of image {image}. Tags there that are nearest: {near}. Build and push it (make images "
    "SHA=…), or choose another.",
    "build and push it, or choose one of the tags that it names",
)
AMBIGUOUS = Refusal(
    "What was typed",
    "{tag} means several tags of image {image}: {tags}. Give more digits.",
    "give more digits of the commit",
)
UNLISTED = Refusal(
    "The registry",
    "Registry {registry} has no tag {tag} of image {image}, and does not list those that it has (HTTP {status}). Give the tag as "
    "it was pushed, or build and push it (make images SHA=…).",
    "give the tag as it was pushed: a shorter or longer form of a commit is found only where the login may list tags",
)
NO_DIGEST = Refusal(
    "The registry",
    "Registry {registry} has no image {image}@{digest}: it was removed there. Name a digest that is there, or a tag.",
    "correct the digest in the Compose file",
)
INCOMPLETE = Refusal(
    "The registry",
    "Registry {registry} has tag {tag} of image {image}, but not all of it: {part} is gone (a clean-up?). Build and push it "
    "again (make images SHA=…), or choose another.",
    "build and push it again: a clean-up of the registry took a part of the image, so it cannot be pulled anywhere",
)
NO_IMAGE = Refusal(
    "The registry",
    "Registry {registry} has no image {image} (asked for {reference}). Correct its name in the Compose file, or build and "
    "push it (make images).",
    "correct the name in the Compose file; or build and push it",
)
NOT_JSON = Refusal(
    "The registry",
    "Registry {registry} answers for image {image} with something that is not a JSON document; a proxy or a login page may be in "
    "the way.",
    "ask the URL with curl from the controller: a proxy or a login page may answer",
)
WRONG_DIGEST = Refusal(
    "The registry",
    "Registry {registry} answers for {reference} with something whose digest is {digest}, not {named}: it is damaged, or is not "
    "what was pushed. Build and push it again, or look at what answers.",
    "look at what answers: a proxy or a cache on the way, or the registry's storage. Then build and push it again",
)
WRONG = Refusal(
    "The registry",
    "Registry {registry} describes image {image} as no image can be: {why}. Build and push it again, or look at what answers.",
    "build and push it again; or something else than a registry answers",
)

# RFC 8288. The lengths keep a search short.
_NEXT = re.compile(r'<([^<>]{1,4096})>\s{0,9};\s{0,9}rel="?next')
# Pages of a list of tags, and tags in all.
_PAGES, _TAGS = 100, 100_000
# Statuses of a registry that does not list its tags: refused, or not made for it.
_UNLISTED = (400, 401, 403, 405)


class Registry:
    """One registry host, asked about one image; the arguments are those of `Session`."""

    def __init__(  # nosec B107 # empty: no login
        self,
        host: str,
        username: str = "",
        password: str = "",
        insecure: bool = False,
        timeout: float = 20.0,
        authority: str = "",
    ) -> None:
        self.host = host
        self.session = Session(host, username, password, insecure, timeout, authority)

    def resolve(self, path: str, tag: str, platforms: Collection[str] = (), before: str = "", after: str = "") -> dict[str, Any]:
        """What ``path:tag`` is now. It is asked for as it is; only where it is absent, another form of its commit is looked for.

        Args:
            before, after: what the image's own tag has around ``tag``, for example ``-cuda``.
            platforms: those (``os/arch``) that are wanted; of an index's others only the names are told. All where none is.

        Returns:
            tag (as it is there, without what is around it), digest (of the index, where there is one), revision (label, or
            None), platforms: ``os/arch`` -> list of layers, each with diff_id and size (compressed bytes).

        Raises:
            RolloutError: no such tag (names those nearby), or the registry does not answer as it should.
        """
        self.session.begin()
        found: dict[str, Any] = {}
        revision = None
        try:
            try:
                top, digest = self._manifest(path, before + tag + after)
            except MissingError:
                tag = self._other(path, tag, before, after)
                top, digest = self._manifest(path, before + tag + after)
            listed = oci.listed(top)
            wanted, left = oci.chosen(listed or [], platforms)
            for one in [top] if listed is None else (self._manifest(path, entry)[0] for entry in wanted):
                if listed is None or oci.is_image(one):
                    config = self._verified(path, "blobs", oci.configuration(one), "*/*")[0]
                    name, layers, commit = oci.image(one, config)
                    found.setdefault(name, layers)
                    revision = revision or commit
        except MissingError as error:
            raise INCOMPLETE(registry=self.host, tag=before + tag + after, image=path, part=error) from None
        except oci.WrongError as error:
            raise WRONG(registry=self.host, image=path, why=error) from None
        # The names of those that were not asked for are for a sentence.
        others: dict[str, Any] = {name: [] for name in left if name not in found}
        return {"tag": tag, "digest": digest, "revision": revision, "platforms": {**found, **others}}

    def digest(self, path: str, tag: str) -> str:
        """The digest that a tag means now, as the registry says it; empty if it does not.

        Raises:
            MissingError: there is no such tag.
            RolloutError: the registry does not answer as it should.
        """
        self.session.begin()
        headers = self.session.head(path, f"/v2/{path}/manifests/{tag}", ", ".join(oci.INDEX + oci.MANIFEST))
        named = headers.get("Docker-Content-Digest")
        return str(named) if reference.is_digest(named) else ""

    def tags(self, path: str) -> tuple[list[str], bool]:
        """The tags of a repository, and whether they are all. A name that is not a tag by its grammar is left out.

        Raises:
            MissingError: the repository is absent, or its tags are not listed.
            RolloutError: the registry does not answer as it should.
        """
        found: list[str] = []
        target = f"/v2/{path}/tags/list?n=1000"
        for _page in range(_PAGES):
            try:
                body, headers = self.session.get(path, target, "application/json", (404, *_UNLISTED))
            except MissingError:
                if found:
                    break
                raise
            try:
                page = [tag for tag in oci.tags(self._document(path, body)) if reference.is_tag(tag)]
            except oci.WrongError as error:
                raise WRONG(registry=self.host, image=path, why=error) from None
            found += page[: _TAGS - len(found)]
            following = _NEXT.search(headers.get("Link") or "")
            if not following:
                return found, True
            if len(found) >= _TAGS:
                break
            # The host that the link names is ignored: the next page comes from this registry.
            parts = urllib.parse.urlsplit(urllib.parse.urljoin(target, following[1]))
            target = f"/{parts.path.lstrip('/')}?{parts.query}"
        return found, False

    def _other(self, path: str, tag: str, before: str, after: str) -> str:
        """The tag that means the same commit as one that is absent; of both what is between ``before`` and ``after``.

        Raises:
            RolloutError: there is none, or several.
        """
        whole = before + tag + after
        if reference.is_digest(whole):
            raise NO_DIGEST(registry=self.host, image=path, digest=whole)
        try:
            tags, complete = self.tags(path)
        except MissingError as error:
            if error.status != 404:
                raise UNLISTED(registry=self.host, tag=whole, image=path, status=error.status) from None
            tags, complete = [], True
        if not tags:
            raise NO_IMAGE(registry=self.host, image=path, reference=f"{self.host}/{path}:{whole}")
        mine = [one[len(before) : len(one) - len(after)] for one in tags if one.startswith(before) and one.endswith(after)]
        # Of a list that is not whole nobody knows whether a shorter form of a commit means another tag too.
        found = reference.matching_tags(tag, mine) if complete else []
        if not found:
            raise NO_TAG(registry=self.host, tag=whole, image=path, near=", ".join(reference.nearby(whole, tags)))
        if len(found) > 1:
            raise AMBIGUOUS(tag=tag, image=path, tags=", ".join(reference.nearby(tag, found)))
        return found[0]

    def _manifest(self, path: str, name: str) -> tuple[dict[str, Any], str]:
        return self._verified(path, "manifests", name, ", ".join(oci.INDEX + oci.MANIFEST))

    def _verified(self, path: str, kind: str, name: str, accept: str) -> tuple[dict[str, Any], str]:
        """A document and its digest: sha256 of what came, which nothing that names it may contradict."""
        body, headers = self.session.get(path, f"/v2/{path}/{kind}/{name}", accept)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for named in (name if kind == "blobs" or reference.is_digest(name) else None, headers.get("Docker-Content-Digest")):
            if named and named != digest:
                said = named if reference.is_digest(named) else "what its header says"
                at = "@" if reference.is_digest(name) else ":"
                raise WRONG_DIGEST(registry=self.host, reference=f"{path}{at}{name}", digest=digest, named=said)
        return self._document(path, body), digest

    def _document(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            found = document(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NOT_JSON(registry=self.host, image=path)
        return found
