/* SPDX-License-Identifier: MIT */
/* What the files of the module share. */
#ifndef MODULES_MOVED_MOVED_H
#define MODULES_MOVED_MOVED_H

#include "core/module.h"

#define MOVED_NODE "urn:xmpp:moved:1"

extern const struct command moved_commands[];

#endif
