/* SPDX-License-Identifier: MIT */
/*
 * XEP-0158: challenges that come with the form to sign up: a question of the
 * operator's, and work that a program can do (SHA-256 hashcash). Their table is
 * the process's: people take longer than a stream without a login lasts, and
 * their clients come back on another.
 */
#ifndef MODULES_REGISTER_CAPTCHA_H
#define MODULES_REGISTER_CAPTCHA_H

#include "core/module.h"

struct captcha_options {
	struct str_list questions; /* "Question? = answer|answer" */
	uint64_t work_bits;	   /* 0: none */
	uint64_t answers;	   /* how many are needed */
	uint64_t keep_ms;
	struct rate rate;
};

enum captcha_verdict {
	CAPTCHA_RIGHT,
	CAPTCHA_WRONG,
	CAPTCHA_UNKNOWN, /* over, used, or nobody's */
};

/* Are there any? */
bool captcha_is_on(const struct captcha_options *o);
/* How many questions can't be read. */
size_t captcha_bad_questions(const struct captcha_options *o);
/* A new challenge, with its fields; `sid` is the id of the request. */
void captcha_add(const struct captcha_options *o, const struct jid *at,
    struct elem *form, struct str sid);
/* Looks at the answers; whatever they are, the challenge is used. */
enum captcha_verdict captcha_check(const struct captcha_options *o,
    const struct jid *at, const struct elem *form);
/* Forgets all. */
void captcha_fini(void);

#endif
