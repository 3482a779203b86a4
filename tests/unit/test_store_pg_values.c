/* SPDX-License-Identifier: MIT */
/* The PostgreSQL backend: accounts and keyed values. */
#include "test_store_values.c"
