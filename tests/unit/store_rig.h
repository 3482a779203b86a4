/* SPDX-License-Identifier: MIT */
/*
 * For tests of storage: a backend over real loops, and its calls as if they
 * blocked. Everything is asked from the test's thread, which waits.
 */
#ifndef TESTS_STORE_RIG_H
#define TESTS_STORE_RIG_H

#include "store/backend.h"

#define RIG_LOOPS 2

/* A fresh folder for a test, and its removal with all that is in it. */
char *rig_folder(void);
void rig_folder_remove(char *dir);

/* Whom the test is about: the program is linked with one of them. */
extern const struct rig_kind {
	const struct store_backend *backend;
	bool is_embedded; /* writes files of this process */
	/* Before and after all tests; false: it isn't there, which was said. */
	bool (*begin)(void);
	void (*end)(void);
	/* Fills in what opens the database of that folder. */
	void (*config)(
	    struct arena *a, const char *dir, struct store_config *config);
	/* Runs SQL there from outside; the first column of the first row. */
	int64_t (*number)(const char *dir, const char *sql);
	/* Is it sound inside? */
	void (*check)(const char *dir);
} rig_kind;

/* For main: the tests between begin and end. */
#define rig_main(tests) \
	(!rig_kind.begin() \
		? 0 \
		: rig_ended(cmocka_run_group_tests(tests, NULL, NULL)))
int rig_ended(int status);

/* The folder of the test, and memory that lasts as long. */
extern struct rig {
	char *dir;
	struct arena *a;
} rig;

/* Opens the database in `dir`, and runs the loops. */
void rig_open(const char *dir);
void rig_close(void);
/* For cmocka: a fresh database, open, in rig.dir. */
int rig_setup(void **state);
int rig_teardown(void **state);
void rig_reopen(void);

/* Runs SQL in rig.dir. */
int64_t rig_number(const char *sql);
/* Waits until it answers this. */
void rig_await_number(const char *sql, int64_t expected);
void rig_assert_str(struct str s, const char *text);
void rig_assert_value(
    const char *owner, const char *store, const char *key, const char *value);
void rig_assert_absent(const char *owner, const char *store, const char *key);

/* Runs fn(arg) on a loop and waits for rig_done(), 30 s at most. */
void rig_run(unsigned loop, void (*fn)(void *arg), void *arg);
void rig_done(void);
/* Waits for that many rig_done()s. */
void rig_start(unsigned loop, void (*fn)(void *arg), void *arg);
void rig_wait(unsigned count);

/*
 * Results are copied into `a`. Each returns what the callback heard as err.
 */
int rig_put(unsigned loop, const char *owner, const char *store,
    const char *key, const char *value);
int rig_get(unsigned loop, struct arena *a, const char *owner,
    const char *store, const char *key, struct str *value_r);
int rig_list(unsigned loop, struct arena *a, struct str owner, struct str store,
    struct str after, bool is_reverse, size_t limit, struct kv_item **items_r,
    size_t *count_r);
int rig_stores(unsigned loop, struct arena *a, const char *owner,
    struct str after, size_t limit, struct str **names_r, size_t *count_r);
int rig_kv_count(
    unsigned loop, const char *owner, const char *store, uint64_t *count_r);
int rig_owners(unsigned loop, struct arena *a, const char *store,
    struct str after, size_t limit, struct str **names_r, size_t *count_r);
int rig_account(
    unsigned loop, struct arena *a, const char *jid, struct account_row *row_r);
int rig_accounts(unsigned loop, struct arena *a, const char *host,
    struct str after, size_t limit, struct str **names_r, size_t *count_r);
int rig_account_count(unsigned loop, const char *host, uint64_t *count_r);
int rig_find(unsigned loop, struct arena *a, const char *owner,
    const struct archive_filter *filter, struct archive_page *page_r);
int rig_ends(unsigned loop, struct arena *a, const char *owner,
    struct archive_page *page_r);
int rig_archive_count(unsigned loop, const char *owner, uint64_t *count_r);
int rig_expire(
    unsigned loop, const char *host, int64_t before, uint64_t *count_r);
/* As long as the flag is not set. */
int rig_expire_until(unsigned loop, const char *host, int64_t before,
    const atomic_bool *is_aborted, uint64_t *count_r);
/* Fills a write by fill(w, arg), on the loop, and commits it. */
int rig_write(unsigned loop, const char *owner,
    void (*fill)(struct store_write *w, void *arg), void *arg);

#endif
