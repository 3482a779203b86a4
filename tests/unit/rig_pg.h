/* SPDX-License-Identifier: MIT */
/* A PostgreSQL server of the test's own, behind a Unix socket. */
#ifndef TESTS_RIG_PG_H
#define TESTS_RIG_PG_H

#include "base/arena.h"

/* Makes and starts one; false, having said so, when there is none here. */
bool rig_pg_begin(void);
void rig_pg_end(void);
/* Ends all of its processes at this very moment; or orderly. */
void rig_pg_kill(void);
void rig_pg_stop(void);
/* Starts it again, and waits until it answers. */
void rig_pg_start(void);
/* The connection string for what a test keeps in that folder. */
const char *rig_pg_dsn(struct arena *a, const char *dir);
/* Runs statements there; the first column of the first row, as a number. */
int64_t rig_pg_number(const char *dir, const char *sql);

#endif
