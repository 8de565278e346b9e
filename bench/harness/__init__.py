# SPDX-License-Identifier: MIT
"""Runs programs on several allocators side by side, and judges what was measured."""
