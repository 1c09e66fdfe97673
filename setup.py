# SPDX-License-Identifier: Apache-2.0
"""Lets tools that still run ``setup.py`` build the package; all metadata is in setup.cfg."""

from setuptools import setup

setup()
