"""Images: the login to their registry, their pull, and their ids and layers on this host."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional

from ansible.module_utils.rollout.domain import pull_progress, retry
from ansible.module_utils.rollout.domain.pins import by_digest
from ansible.module_utils.rollout.domain.reference import registry_of, registry_of_image
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, logins, refusals
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.scratch import LOGIN
from ansible.module_utils.rollout.io.store import Store


@dataclass(frozen=True)
class Login:
    """How the host may pull; without a user as it is logged in itself. ``others`` are further registries: user and password."""

    registry: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    @property
    def accounts(self) -> dict[str, tuple[str, str]]:
        """Registry -> user and password. The first part of a Docker Hub name is not a registry."""
        own = {registry_of(self.registry): (self.username, self.password)} if self.username else {}
        return {**self.others, **own}


ANONYMOUS = Login()


@contextlib.contextmanager
def session(store: Store, engine: Engine, login: Login, images: Iterable[str]) -> Iterator[Engine]:
    """An engine that may pull ``images`` from a private registry, beside what this host is logged in to; the login leaves nothing
    behind."""
    if not login.accounts:
        yield engine
        return
    with store.temporary(LOGIN) as directory:
        registries = map(registry_of_image, images)
        credentials = logins.write(directory, login.accounts, registries)
        yield engine.configured(str(directory), credentials)


def pull_image(
    engine: Engine,
    reference: str,
    quiet: float = 300.0,
    told: Callable[[int], None] = lambda done: None,
    sizes: Mapping[str, int] = {},
) -> int:
    """Pull an image, again where that may help (`retry`): where the transfer broke, or stalled for ``quiet`` seconds.

    Args:
        told: gets the bytes that have come in this try.
        sizes: as `pull_progress.Pull` has them.

    Returns:
        The compressed bytes that came, in all tries.

    Raises:
        RolloutError: it did not arrive.
    """
    came, tried, waited = 0, 1, 0.0
    while True:
        progress = pull_progress.Pull(sizes)

        def seen(piece: str, progress: pull_progress.Pull = progress) -> None:
            progress.feed(piece)
            told(progress.done)

        code, err = engine.watch(["pull", reference], quiet, seen)
        came += progress.done
        if not code:
            return came
        pause = None if retry.final(err) else retry.pause(tried, waited, retry.after_pull(err))
        if pause is None:
            raise _not_pulled(engine.credentials, reference, err)
        clock.sleep(pause)
        tried, waited = tried + 1, waited + pause


def _not_pulled(credentials: logins.Credentials, reference: str, err: str) -> RolloutError:
    said, registry = last_words(err), registry_of_image(reference)
    if retry.refused(err):
        if registry in credentials.users:
            return refusals.NO_LOGIN(registry=registry, user=credentials.users[registry], image=reference, said=said)
        if registry in credentials.left_out:
            return refusals.NO_HELPER(registry=registry, image=reference, said=said, why=credentials.left_out[registry])
    if "x509:" in err:
        return refusals.NOT_TRUSTED(image=reference, said=said, registry=registry)
    return refusals.NOT_PULLED(image=reference, said=said)


def local_layers(engine: Engine) -> list[str]:
    """The ids of the layers that the images on this host have."""
    ids = engine.checked(["image", "ls", "--quiet", "--no-trunc"], "Listing images").split()
    return [layer for image in engine.inspect("image", sorted(set(ids))) for layer in image["RootFS"].get("Layers") or []]


def image_ids(engine: Engine, images: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Reference -> the id that the engine knows the image by at present; without those that are not here."""
    found = {reference: image_id(engine, by_digest(reference, image)) for reference, image in images.items()}
    return {reference: one for reference, one in found.items() if one}


def image_id(engine: Engine, reference: str) -> Optional[str]:
    """The id that the engine knows an image by at present; None if it is not here."""
    image = engine.image(reference)
    return image["Id"] if image else None
