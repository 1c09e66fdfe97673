# SPDX-License-Identifier: Apache-2.0
"""Downloads what jgo resolves: every file whole, checked, and in place at once.

jgo decides which artifacts belong to a coordinate. Its own download opens a TLS connection per
file, leaves part of a file behind when it is cut off, and only logs a wrong checksum.
Imports the [broker] extra: import this module where it is used.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import requests  # comes with jgo
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Endpoint

from kafka_notify.errors import BrokerUnavailable, ConfigurationError

if TYPE_CHECKING:
    from jgo.maven import Artifact, Dependency, Resolver

_ATTEMPTS = 3
_RETRY_WAIT_S = 0.5
_READ_TIMEOUT_S = 20.0
_CHUNK_BYTES = 1 << 16
_NOT_FOUND = 404


def repositories() -> dict[str, str]:
    """Return name and URL of the Maven repositories: Central, and those of the user's jgo.conf.

    A mirror is used in place of Central if jgo.conf names it ``central``.
    """
    configured: dict[str, str] = GlobalSettings.load().repositories
    return {"central": MAVEN_CENTRAL_URL, **configured}


def download_jars(
    coordinates: str,
    *,
    into: Path,
    timeout_s: float,
    on_progress: Callable[[str], None],
) -> list[Path]:
    """Download the jars of ``coordinates`` and of all that they need at run time.

    Coordinates are ``group:artifact:version``, several joined by ``+``; ``into`` becomes a local
    Maven repository. A logging binding is added: Kafka's artifacts name none, and would log
    nothing at all.

    Raises:
        ConfigurationError: if no repository has one of the artifacts.
        BrokerUnavailable: if a repository cannot be reached or sends damaged files.

    Blocks: at most ``timeout_s`` and the time of one read.
    """
    with requests.Session() as session:
        fetcher = _Fetcher(session, deadline=time.monotonic() + timeout_s)
        context = MavenContext(
            resolver=cast("Resolver", fetcher),
            repo_cache=into,
            local_repos=[],
            remote_repos=repositories(),
        )
        artifacts = list(_artifacts(context, coordinates))
        jars = []
        for number, artifact in enumerate(artifacts, start=1):
            on_progress(f"jar {number} of {len(artifacts)}: {artifact.filename}")
            jars.append(Path(artifact.resolve()))
        return jars


def _artifacts(context: MavenContext, coordinates: str) -> Iterator[Artifact]:
    asked = [context.create_dependency(c) for c in Endpoint.parse(coordinates).coordinates]
    inputs, transitive = context.resolver.resolve(asked)
    found = [*inputs, *(d for d in transitive if d.scope in ("compile", "runtime"))]
    for dependency in found:
        yield dependency.artifact
        if dependency.artifactId == "log4j-core":
            binding = context.project(dependency.groupId, "log4j-slf4j-impl")
            yield binding.at_version(dependency.version).artifact()


class _Fetcher:
    """A resolver for jgo that leaves the resolving to jgo and does the downloads."""

    def __init__(self, session: requests.Session, *, deadline: float) -> None:
        self._session = session
        self._deadline = deadline
        self._resolver = PythonResolver()

    def resolve(
        self, dependencies: list[Dependency], transitive: bool = True, optional_depth: int = 0
    ) -> tuple[list[Dependency], list[Dependency]]:
        """Leave it to jgo; it calls :meth:`download` for the POMs."""
        return self._resolver.resolve(dependencies, transitive, optional_depth)

    def download(self, artifact: Artifact) -> Path:
        """Return the path of the artifact's file, which is whole."""
        folder = Path(artifact.component.path_prefix).as_posix()
        target = Path(artifact.context.repo_cache, folder, artifact.filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        for base in artifact.context.remote_repos.values():
            if self._fetch(f"{base.rstrip('/')}/{folder}/{artifact.filename}", target):
                return target
        names = ", ".join(artifact.context.remote_repos)
        raise ConfigurationError(
            f"no Maven repository ({names}) has {artifact}: give a version that is published"
        )

    def _fetch(self, url: str, target: Path) -> bool:
        """Download one file; False if the repository does not have it."""
        attempt = 1
        while True:
            try:
                return self._fetch_once(url, target)
            except requests.RequestException as exc:
                if attempt == _ATTEMPTS or time.monotonic() >= self._deadline:
                    raise BrokerUnavailable(
                        f"cannot download {target.name} ({type(exc).__name__}): check the network "
                        f"and the proxy settings, or give a folder of jars that you have"
                    ) from exc
            time.sleep(_RETRY_WAIT_S * attempt)
            attempt += 1

    def _fetch_once(self, url: str, target: Path) -> bool:
        part = target.with_name(target.name + ".part")
        with self._session.get(url, stream=True, timeout=_READ_TIMEOUT_S) as response:
            if response.status_code == _NOT_FOUND:
                return False
            response.raise_for_status()
            digest = hashlib.sha1(usedforsecurity=False)  # what Maven repositories publish
            with part.open("wb") as file:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    if time.monotonic() >= self._deadline:
                        raise requests.Timeout("the time for all downloads is over")
                    digest.update(chunk)
                    file.write(chunk)
        self._check(url, digest.hexdigest())
        os.replace(part, target)
        return True

    def _check(self, url: str, actual: str) -> None:
        """Compare with the published checksum; a private mirror may have none."""
        response = self._session.get(f"{url}.sha1", timeout=_READ_TIMEOUT_S)
        if response.status_code == _NOT_FOUND:
            return
        response.raise_for_status()
        # Either the digest alone or followed by the file's name.
        if response.text.split()[:1] != [actual]:
            raise requests.exceptions.ContentDecodingError("the checksum does not match")
