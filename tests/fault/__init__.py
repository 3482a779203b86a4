# SPDX-License-Identifier: MIT
"""Faults under load, and the count of what they have done."""
