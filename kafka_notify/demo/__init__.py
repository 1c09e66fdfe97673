# SPDX-License-Identifier: Apache-2.0
"""What ``kafka-notify demo`` does: notifications like Nova's through pools of listeners, judged.

Uses the library as any service would; knows neither terminal nor broker.
"""
