"""The registry, asked by the controller: what a tag is, and which tags there are (OCI distribution specification)."""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Iterator, Optional

from ansible.module_utils.rollout import reference
from ansible.module_utils.rollout.errors import RolloutError

_INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_REVISION = "org.opencontainers.image.revision"


class MissingError(Exception):
    """The registry answers, but has no such thing; says what it was asked for."""


_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:|$)")


class Registry:
    """One registry host.

    ``insecure`` asks it over http, as the engine's insecure-registries do; loopback always is.
    """

    def __init__(self, host: str, username: str = "", password: str = "", insecure: bool = False, timeout: float = 20.0) -> None:
        self.host, self.username, self.password, self.timeout = host, username, password, timeout
        loopback = _LOOPBACK.match(host)
        api = "registry-1.docker.io" if host == reference.DEFAULT_REGISTRY else host
        self.base = f"{'http' if insecure or loopback else 'https'}://{api}"
        self._authorization: dict[str, str] = {}

    def resolve(self, path: str, tag: str) -> dict[str, Any]:
        """What ``path:tag`` is now.

        Returns:
            digest (of the index, where there is one), revision (label, or None), platforms: ``os/arch`` ->
            list of layers, each with diff_id and size (compressed bytes).

        Raises:
            RolloutError: no such tag (names those nearby), or the registry does not answer as it should.
        """
        try:
            document, digest = self._manifest(path, tag)
        except MissingError:
            raise RolloutError(self._absent(path, tag)) from None
        platforms, revision = {}, None
        try:
            for manifest in self._manifests(path, document):
                name, layers, labels = self._image(path, manifest)
                platforms[name] = layers
                revision = revision or labels.get(_REVISION)
        except MissingError as error:
            raise RolloutError(
                f"Registry {self.host} has tag {tag} of image {path}, but not all of it: {error} is gone (a clean-up?). Build "
                "and push it again (make images SHA=…), or choose another."
            ) from None
        return {"digest": digest, "revision": revision or None, "platforms": platforms}

    def _manifests(self, path: str, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The image that a document is, or those that it lists, without attestations."""
        if document.get("mediaType") not in _INDEX and "manifests" not in document:
            yield document
            return
        for entry in document.get("manifests", []):
            platform = entry.get("platform") or {}
            if platform.get("os") not in (None, "unknown") and platform.get("architecture") not in (None, "unknown"):
                yield self._manifest(path, entry["digest"])[0]

    def tags(self, path: str) -> list[str]:
        """All tags of a repository, over all pages; empty where the repository is absent."""
        found: list[str] = []
        url = f"/v2/{path}/tags/list?n=1000"
        for _page in range(100):
            try:
                body, headers = self._get(path, url, "application/json")
            except MissingError:
                return found
            found += self._document(path, body).get("tags") or []
            following = re.search(r'<([^>]+)>;\s*rel="?next', headers.get("Link") or "")
            if not following:
                break
            parts = urllib.parse.urlsplit(following[1])
            url = f"{parts.path}?{parts.query}"
        return found

    def _absent(self, path: str, tag: str) -> str:
        tags = self.tags(path)
        image = f"{self.host}/{path}"
        if not tags:
            return f"Registry {self.host} has no image {path} (asked for {image}:{tag}): build and push it (make images)."
        near = ", ".join(reference.nearby(tag, tags))
        return (
            f"Registry {self.host} has no tag {tag} of image {path}. Tags there that are nearest: {near}. "
            "Build and push it (make images SHA=…), or choose another."
        )

    def _manifest(self, path: str, name: str) -> tuple[dict[str, Any], str]:
        body, headers = self._get(path, f"/v2/{path}/manifests/{name}", ", ".join(_INDEX + _MANIFEST))
        digest = headers.get("Docker-Content-Digest") or ""
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise RolloutError(f"Registry {self.host} does not say the digest of {path}:{name}; a proxy may be in the way.")
        return self._document(path, body), digest

    def _document(self, path: str, body: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(body))
        except (TypeError, ValueError):
            raise RolloutError(
                f"Registry {self.host} answers for image {path} with something that is no JSON document; a proxy or a "
                "login page may be in the way."
            ) from None

    def _image(self, path: str, manifest: dict[str, Any]) -> tuple[str, list[dict[str, Any]], dict[str, str]]:
        body, _headers = self._get(path, f"/v2/{path}/blobs/{manifest['config']['digest']}", "*/*")
        config = self._document(path, body)
        diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
        layers = [{"diff_id": d, "size": layer["size"]} for d, layer in zip(diff_ids, manifest.get("layers") or [])]
        labels = (config.get("config") or {}).get("Labels") or {}
        return f"{config.get('os', 'linux')}/{config.get('architecture', 'amd64')}", layers, labels

    def _get(self, path: str, url: str, accept: str) -> tuple[bytes, Any]:
        for attempt in (1, 2):
            request = urllib.request.Request(self.base + url, headers={"Accept": accept, **self._authorization})
            try:
                # urllib drops no header on a redirect to a blob store; a foreign host must not see the credentials.
                with _opener().open(request, timeout=self.timeout) as response:
                    return response.read(), response.headers
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 401 and attempt == 1:
                        self._authorize(path, error.headers.get("WWW-Authenticate") or "")
                        continue
                    if error.code == 404:
                        raise MissingError(url.rpartition("/")[2]) from None
                    raise RolloutError(self._status(path, error.code)) from None
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise RolloutError(
                    f"Registry {self.host} does not answer ({reason}), asked for image {path}. Check that it runs and "
                    f"that this controller reaches {self.base}; nothing was touched."
                ) from None
        raise RolloutError(self._status(path, 401))

    def _status(self, path: str, code: int) -> str:
        if code in (401, 403):
            whose = f"as user {self.username}" if self.username else "without a user"
            return (
                f"Registry {self.host} refuses access to image {path} {whose} (HTTP {code}): set "
                "rollout_registry_username and rollout_registry_password (vaulted) to a token that may read it."
            )
        if code == 429:
            return f"Registry {self.host} says too many requests for image {path} (HTTP 429): wait, or log in."
        return f"Registry {self.host} fails on image {path} (HTTP {code}): look at the registry's own log."

    def _authorize(self, path: str, challenge: str) -> None:
        """Answer the challenge of a 401 (RFC 6750 as the distribution specification uses it, or basic)."""
        scheme, _space, rest = challenge.partition(" ")
        basic = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if scheme.lower() == "basic":
            if self.username:
                self._authorization = {"Authorization": basic}
            return
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "bearer" or not fields.get("realm", "").startswith(("https://", self.base)):
            return
        query = urllib.parse.urlencode({"service": fields.get("service", ""), "scope": f"repository:{path}:pull"})
        headers = {"Authorization": basic} if self.username else {}
        request = urllib.request.Request(f"{fields['realm']}?{query}", headers=headers)
        try:
            with _opener().open(request, timeout=self.timeout) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RolloutError(self._status(path, error.code)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise RolloutError(f"The token service of registry {self.host} does not answer ({error}).") from None
        self._authorization = {"Authorization": f"Bearer {answer.get('token') or answer.get('access_token')}"}


class _SameHostRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Optional[Any]:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            new.remove_header("Authorization")
        return new


class _Proxies(urllib.request.ProxyHandler):
    """Those of the environment, and as docker has it none for this machine itself (golang.org/x/net/http/httpproxy)."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        return None if _LOOPBACK.match(req.host) else super().proxy_open(req, proxy, type)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SameHostRedirect(), _Proxies())
