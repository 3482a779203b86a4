/* SPDX-License-Identifier: MIT */
/* The PostgreSQL backend: order, groups, failures, durability. */
#include "test_store_commit.c"
