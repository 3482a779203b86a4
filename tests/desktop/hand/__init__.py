# SPDX-License-Identifier: MIT
# Gajim takes the first class that it finds here.
from hand.plugin import Hand  # noqa: F401
