# SPDX-License-Identifier: Apache-2.0
"""Builds the compiled part, where there is a compiler; all metadata is in setup.cfg."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "kafka_notify.core._encoder",
            sources=["kafka_notify/core/_encoder.c"],
            define_macros=[("Py_LIMITED_API", "0x030A0000")],
            py_limited_api=True,
            optional=True,  # without it core/envelope.py does the same in Python
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
