# SPDX-License-Identifier: MIT
"""What the dialogues, the integration and the fault tests have in common:
XML as it comes over the wire, a client that hides nothing, and the server."""
