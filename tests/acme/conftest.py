# SPDX-License-Identifier: MIT
"""Servers as the integration tests have them."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wildcard-import,unused-wildcard-import,wrong-import-position
from integration.conftest import *  # noqa: E402,F401,F403
