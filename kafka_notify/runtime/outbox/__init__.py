# SPDX-License-Identifier: Apache-2.0
"""The outbox: notifications that wait on disk for Kafka, and the thread that sends them.

``Outbox`` is what the sender calls; ``Valve`` decides whether a send goes straight to the client
or into a ``Backlog``, which is one file of the ``Folder``; ``Pump`` is the thread that empties it.
"""
