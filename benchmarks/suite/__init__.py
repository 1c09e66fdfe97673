# SPDX-License-Identifier: Apache-2.0
"""The comparison of ``benchmarks/run.py``: what is measured, of whom, and what is told of it.

``systems``, ``cases`` and ``curves`` are data; ``measuring`` runs them; ``results`` keeps the
figures; ``targets`` and ``lines`` judge them; ``report`` and ``plots`` show them.
"""
