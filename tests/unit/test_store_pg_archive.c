/* SPDX-License-Identifier: MIT */
/* The PostgreSQL backend: archives. */
#include "test_store_archive.c"
