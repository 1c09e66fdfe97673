# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from kafka_notify.broker.jars import find_jars
from kafka_notify.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_folder_of_jars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_NOTIFY_JARS", raising=False)


def silent(text: str) -> None:
    raise AssertionError(f"nothing takes time here: {text}")


def test_jars_in_the_cache_are_used_as_they_are(tmp_path: Path) -> None:
    """Once downloaded, neither the network nor the extra is needed; the order is fixed."""
    home = tmp_path / "kafka-4.3.1"
    home.mkdir()
    for name in ("b.jar", "a.jar", "java.aot"):
        (home / name).touch()
    jars = find_jars(cache=tmp_path, on_progress=silent)
    assert [file.name for file in jars.files] == ["a.jar", "b.jar"]
    assert jars.ours


def test_a_folder_of_jars_is_used_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument or variable; it is not ours to write to, and the cache is not looked at."""
    (tmp_path / "kafka_2.13-4.1.0.jar").touch()
    by_argument = find_jars(cache=Path("/none"), folder=tmp_path, on_progress=silent)
    monkeypatch.setenv("KAFKA_NOTIFY_JARS", str(tmp_path))
    by_variable = find_jars(cache=Path("/none"), on_progress=silent)
    assert by_argument == by_variable
    assert by_argument.folder == tmp_path
    assert not by_argument.ours


def test_a_folder_without_kafka_is_refused(tmp_path: Path) -> None:
    """The message names the folder, what it lacks and the variable."""
    (tmp_path / "other.jar").touch()
    with pytest.raises(
        ConfigurationError, match=f"{tmp_path} holds no kafka_2.*KAFKA_NOTIFY_JARS"
    ):
        find_jars(cache=tmp_path, folder=tmp_path, on_progress=silent)


@pytest.mark.parametrize("version", ["3.9.1", "latest", "4", "4.3.1/../../x", ""])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    """Before anything is looked up; the message has a version that works."""
    with pytest.raises(ConfigurationError, match=r"4\.3\.1"):
        find_jars(version, cache=tmp_path, on_progress=silent)


def test_an_unwritable_cache_is_named(tmp_path: Path) -> None:
    """With the variable that moves it and the one that makes it needless."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as caught:
        find_jars(cache=tmp_path / "file" / "x", on_progress=silent)
    message = str(caught.value)
    assert f"{tmp_path}/file/x: Not a directory" in message
    assert "KAFKA_NOTIFY_CACHE" in message
    assert "KAFKA_NOTIFY_JARS" in message
