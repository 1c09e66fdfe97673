# SPDX-License-Identifier: Apache-2.0
"""Builds the compiled parts, where there is a compiler; all metadata is in setup.cfg."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            f"kafka_notify.{name}",
            sources=[f"kafka_notify/{name.replace('.', '/')}.c"],
            define_macros=[("Py_LIMITED_API", "0x030A0000")],
            py_limited_api=True,
            optional=True,  # without it the same is done in Python
        )
        for name in ("core._decoder", "core._encoder", "runtime._stamps")
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
