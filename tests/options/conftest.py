# SPDX-License-Identifier: Apache-2.0
"""Confs to read options from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config.cfg import ConfigOpts

from kafka_notify import options


@pytest.fixture
def conf_of(tmp_path: Path) -> Callable[[str], ConfigOpts]:
    """Return a function that makes a conf of a file with the given text."""

    def make(text: str) -> ConfigOpts:
        path = tmp_path / "service.conf"
        path.write_text(text)
        return options.make_conf([str(path)])

    return make
