# SPDX-License-Identifier: Apache-2.0
"""The sample configuration file is the one that the options give."""

from __future__ import annotations

import io
import re
from importlib import metadata
from pathlib import Path

import pytest
from oslo_config import cfg, generator

from kafka_notify import options
from kafka_notify.core.settings import NotifierSettings, Settings
from kafka_notify.core.url import TransportURL

ETC = Path(__file__).parents[2] / "etc"


@pytest.mark.parametrize("name", ["kafka-notify", "listener", "notifier", "secured"])
def test_sample_is_current(name: str) -> None:
    """Each etc/*.conf.sample is what `tox -e genconfig` would write now."""
    if not metadata.entry_points(group="oslo.config.opts", name="kafka_notify"):
        pytest.skip("kafka-notify is not installed, so oslo.config cannot find its options")
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(
        [],
        default_config_files=[str(ETC / "oslo-config-generator" / f"{name}.conf")],
        default_config_dirs=[],
    )
    written = io.StringIO()

    generator.generate(conf, written)

    assert written.getvalue() == (ETC / f"{name}.conf.sample").read_text()


def test_every_line_of_the_sample_is_legal(tmp_path: Path) -> None:
    """With every line switched on the sample says what no file at all says."""
    sample = (ETC / "kafka-notify.conf.sample").read_text()
    path = tmp_path / "service.conf"
    path.write_text(re.sub(r"^#(\w+ =)", r"\1", sample, flags=re.MULTILINE))

    settings = options.load(options.make_conf([str(path)]), TransportURL())

    # An empty driver is the one default that a file cannot spell: it means none.
    assert settings == Settings(notifications=NotifierSettings(driver=()))
    names = {opt.dest for _, opts in options.list_opts() for opt in opts}
    assert names == set(re.findall(r"^#(\w+) =", sample, flags=re.MULTILINE))
