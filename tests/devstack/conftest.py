# SPDX-License-Identifier: Apache-2.0
"""Runs functions of the plug-in's lib/ in bash, with what they need of DevStack beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests on the real DevStack out of every run that does not ask for them."""
    asked = "devstack" in config.option.markexpr or any("test_stack" in a for a in config.args)
    return True if collection_path.name == "test_stack.py" and not asked else None


CHECKOUT = Path(__file__).parents[2]
PLUGIN = CHECKOUT / "devstack"

Bash = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def bash() -> Bash:
    """Return ``run(script, **local_conf)``: the script after the settings that local_conf gives.

    The script runs with errexit and nounset, as no DevStack is stricter.
    """
    absent = [tool for tool in ("bash", "ss", "hostname", "getent") if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")

    def run(script: str, **local_conf: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "bash",
                "-c",
                f'. "$FAKES"\n. "$PLUGIN/override-defaults"\n. "$PLUGIN/settings"\n{script}',
            ],
            env={
                "PATH": os.environ["PATH"],
                "FAKES": str(Path(__file__).with_name("devstack.bash")),
                "PLUGIN": str(PLUGIN),
                **local_conf,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
