# SPDX-License-Identifier: Apache-2.0
"""The command line: one file per command. Parse, call the library, print, exit code.

Needs the [cli] extra; knows no Kafka client.
"""
