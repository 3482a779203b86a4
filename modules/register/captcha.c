/* SPDX-License-Identifier: MIT */
#include "modules/register/captcha.h"

#include "xep/0004-forms.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

#define CHALLENGES_MAX 10000
#define WORK_MAX 1024 /* bytes of an answer */
#define HASH_LEN 32

struct challenge {
	struct list node; /* in the order they were made */
	uint64_t made;	  /* loop_now() */
	struct str id, host;
	struct str answers; /* to the question; none: there is none */
	uint64_t label;
	unsigned bits; /* of it; 0: no work */
};

static struct {
	pthread_mutex_t lock; /* held for a look into the table only */
	struct map by_id;
	struct list all;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the table ---------------------------------------------------------- */

static void
challenge_free(struct challenge *c)
{
	str_free(&c->id);
	str_free(&c->host);
	str_free(&c->answers);
	xfree(c);
}

/* Takes it out; the lock is held. */
static void
table_del(struct challenge *c)
{
	map_del(&table.by_id, c->id);
	list_del(&c->node);
}

static struct challenge *
oldest(void)
{
	return CONTAINER_OF(table.all.next, struct challenge, node);
}

static void
table_add(struct challenge *c, uint64_t keep_ms)
{
	pthread_mutex_lock(&table.lock);
	if (table.all.next == NULL)
		list_init(&table.all);
	while (
	    table.by_id.count > 0 && (table.by_id.count >= CHALLENGES_MAX ||
					 c->made > oldest()->made + keep_ms)) {
		struct challenge *old = oldest();

		table_del(old);
		challenge_free(old);
	}
	map_set(&table.by_id, c->id, c);
	list_add(&table.all, &c->node);
	pthread_mutex_unlock(&table.lock);
}

static struct challenge *
table_take(struct str id)
{
	struct challenge *c;

	pthread_mutex_lock(&table.lock);
	c = map_get(&table.by_id, id);
	if (c != NULL)
		table_del(c);
	pthread_mutex_unlock(&table.lock);
	return c;
}

void
captcha_fini(void)
{
	pthread_mutex_lock(&table.lock);
	while (table.by_id.count > 0) {
		struct challenge *c = oldest();

		table_del(c);
		challenge_free(c);
	}
	map_fini(&table.by_id);
	pthread_mutex_unlock(&table.lock);
}

/* ---- questions ---------------------------------------------------------- */

/* "Question? = answer|answer"; the last "=" counts. */
static bool
question_parse(struct str text, struct str *question_r, struct str *answers_r)
{
	size_t at = text.n;

	while (at > 0 && text.p[at - 1] != '=')
		at--;
	if (at == 0)
		return false;
	*question_r = str_trim(str_sub(text, 0, at - 1));
	*answers_r = str_trim(str_skip(text, at));
	return question_r->n > 0 && answers_r->n > 0;
}

size_t
captcha_bad_questions(const struct captcha_options *o)
{
	struct str question, answers;
	size_t n = 0;

	for (size_t i = 0; i < o->questions.count; i++)
		n += !question_parse(o->questions.item[i], &question, &answers);
	return n;
}

static bool
has_questions(const struct captcha_options *o)
{
	return captcha_bad_questions(o) < o->questions.count;
}

bool
captcha_is_on(const struct captcha_options *o)
{
	return o->work_bits > 0 || o->questions.count > 0;
}

static void
add_question(
    const struct captcha_options *o, struct challenge *c, struct elem *form)
{
	size_t first = (size_t)(random_u64() % o->questions.count);
	struct str question, answers;

	/* The next that can be read; there is one. */
	while (!question_parse(
	    o->questions.item[first % o->questions.count], &question, &answers))
		first++;
	c->answers = str_heap(answers);
	form_add_field(form, "text-single", "qa",
	    str_dup_c(elem_arena(form), question), STR_NONE);
}

static bool
is_answer(const struct challenge *c, struct str given)
{
	struct str rest = c->answers;

	given = str_trim(given);
	while (given.n > 0 && rest.n > 0)
		if (str_eq_nocase(str_trim(str_cut(&rest, '|')), given))
			return true;
	return false;
}

/* ---- work --------------------------------------------------------------- */

/* A random number of just so many bits. */
static void
add_work(
    const struct captcha_options *o, struct challenge *c, struct elem *form)
{
	uint64_t top = (uint64_t)1 << (o->work_bits - 1);

	c->bits = (unsigned)o->work_bits;
	c->label = top | (random_u64() & (top - 1));
	form_add_field(form, "text-single", "SHA-256",
	    arena_printf(
		elem_arena(form), "%llx", (unsigned long long)c->label),
	    STR_NONE);
}

/* It begins with our address, and the last bits of its hash are the label. */
static bool
is_worked(const struct challenge *c, struct str given)
{
	unsigned char hash[HASH_LEN];
	uint64_t low = 0;

	if (c->bits == 0 || given.n > WORK_MAX ||
	    !str_has_prefix(given, c->host) ||
	    EVP_Digest(given.p, given.n, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	for (size_t i = HASH_LEN - sizeof(low); i < HASH_LEN; i++)
		low = low << 8 | hash[i];
	return (low & (((uint64_t)1 << c->bits) - 1)) == c->label;
}

/* ---- challenges --------------------------------------------------------- */

void
captcha_add(const struct captcha_options *o, const struct jid *at,
    struct elem *form, struct str sid)
{
	struct arena *a = elem_arena(form);
	struct challenge *c = xzalloc(sizeof(*c));
	struct str id = random_token(a, 18);
	unsigned offered = has_questions(o) + (o->work_bits > 0);

	c->made = loop_now();
	c->id = str_heap(id);
	c->host = str_heap(at->domain);
	form_add_field(form, "hidden", "challenge", NULL, id);
	form_add_field(form, "hidden", "sid", NULL, str_dup(a, sid));
	form_add_field(form, "hidden", "answers", NULL,
	    str_printf(a, "%u", MIN((unsigned)o->answers, offered)));
	if (has_questions(o))
		add_question(o, c, form);
	if (o->work_bits > 0)
		add_work(o, c, form);
	table_add(c, o->keep_ms);
}

enum captcha_verdict
captcha_check(const struct captcha_options *o, const struct jid *at,
    const struct elem *form)
{
	struct challenge *c = table_take(form_value(form, "challenge"));
	unsigned offered, right;
	bool is_good;

	if (c == NULL)
		return CAPTCHA_UNKNOWN;
	is_good =
	    str_eq(c->host, at->domain) && loop_now() <= c->made + o->keep_ms;
	offered = (c->answers.n > 0) + (c->bits > 0);
	right = is_answer(c, form_value(form, "qa")) +
		is_worked(c, form_value(form, "SHA-256"));
	challenge_free(c);
	if (!is_good)
		return CAPTCHA_UNKNOWN;
	return right > 0 && right >= MIN((unsigned)o->answers, offered)
		   ? CAPTCHA_RIGHT
		   : CAPTCHA_WRONG;
}
