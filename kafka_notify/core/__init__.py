# SPDX-License-Identifier: Apache-2.0
"""Decides and never acts: no I/O, thread, clock or logging in this package.

It may import the standard library's pure parts, orjson and ``kafka_notify.errors``.
"""
