/* SPDX-License-Identifier: MIT */
/*
 * Accounts of a directory (LDAP). With `user_dn` the user's name makes the
 * entry's, and a bind with the password decides; without, a search finds the
 * entry first. The connection that searches is kept; binds with passwords have
 * one each. TLS is demanded beyond this machine.
 */
#include "modules/auth_ldap/auth_ldap.h"
#include "modules/auth_ldap/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum tls { TLS_STARTTLS, TLS_NONE };

struct link {
	LDAP *ld;
	struct str made_of; /* what it was made of; heap */
};

/* ---- connections ------------------------------------------------------- */

int
ldap_down(struct auth_ask *ask, const char *what, int code)
{
	snprintf(ask->why, sizeof(ask->why), "the directory: %s: %s", what,
	    ldap_err2string(code));
	return ERR_CLOSED;
}

static bool
is_local(struct str url)
{
	static const char *const ours[] = { "ldap://localhost",
		"ldap://127.0.0.1", "ldap://[::1]", NULL };

	/* Several would be tried in turn. */
	if (str_find(url, ' ') < url.n || str_find(url, ',') < url.n)
		return false;
	if (str_has_prefix(url, STR("ldapi://")))
		return true;
	for (size_t i = 0; ours[i] != NULL; i++) {
		struct str rest = str_skip(url, strlen(ours[i]));

		if (str_has_prefix(url, str_c(ours[i])) &&
		    (rest.n == 0 || rest.p[0] == ':' || rest.p[0] == '/'))
			return true;
	}
	return false;
}

/*
 * libldap sets no limit to TLS's handshake where it stands on GnuTLS: so a
 * thread watches a connection being made, and shuts its socket when that takes
 * too long. It has a descriptor of its own, which stays good.
 */
struct guard {
	struct ldap_conncb callback; /* first */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct timespec due;
	int fd; /* -1: not yet connected */
	bool is_over, is_late;
};

static int
on_connected(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *addr,
    struct ldap_conncb *ctx)
{
	struct guard *g = (struct guard *)ctx;
	ber_socket_t fd = -1;

	ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd);
	pthread_mutex_lock(&g->lock);
	if (g->fd >= 0)
		close(g->fd);
	g->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (g->is_late && g->fd >= 0)
		shutdown(g->fd, SHUT_RDWR);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static void
on_closed(LDAP *ld, Sockbuf *sb, struct ldap_conncb *ctx)
{
}

static void *
guard_watch(void *arg)
{
	struct guard *g = arg;

	pthread_mutex_lock(&g->lock);
	while (!g->is_over && !g->is_late)
		g->is_late = pthread_cond_timedwait(
				 &g->changed, &g->lock, &g->due) == ETIMEDOUT;
	if (!g->is_over && g->fd >= 0)
		shutdown(g->fd, SHUT_RDWR);
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static bool
guard_start(struct guard *g, LDAP *ld, uint64_t timeout_ms)
{
	*g = (struct guard){
		.callback = { on_connected, on_closed, NULL },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.fd = -1,
	};
	clock_gettime(CLOCK_REALTIME, &g->due);
	g->due.tv_sec += (time_t)(timeout_ms / 1000) + 1;
	if (pthread_create(&g->thread, NULL, guard_watch, g) != 0)
		return false;
	ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &g->callback);
	return true;
}

static void
guard_stop(struct guard *g, LDAP *ld)
{
	/* To get a callback is to remove it. */
	ldap_get_option(ld, LDAP_OPT_CONNECT_CB, &g->callback);
	pthread_mutex_lock(&g->lock);
	g->is_over = true;
	pthread_cond_signal(&g->changed);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->thread, NULL);
	if (g->fd >= 0)
		close(g->fd);
}

static void
link_set(LDAP *ld, const struct directory *o)
{
	struct timeval tv = {
		.tv_sec = (time_t)(o->timeout_ms / 1000),
		.tv_usec = (suseconds_t)(o->timeout_ms % 1000 * 1000),
	};
	int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, ours = 0;

	ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &tv);
	ldap_set_option(ld, LDAP_OPT_TIMEOUT, &tv);
	/* Passwords follow no referral. */
	ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
	if (o->ca_file.n > 0)
		ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, o->ca_file.p);
	ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &ours);
}

static int
link_open(struct auth_ask *ask, LDAP **ld_r)
{
	const struct directory *o = ask->options;
	bool is_tls = str_has_prefix(o->url, STR("ldaps://"));
	struct guard guard;
	int code;

	*ld_r = NULL;
	if (!is_tls && o->tls == TLS_NONE && !is_local(o->url))
		return ldap_down(ask, "'tls: none' is for this machine only",
		    LDAP_CONFIDENTIALITY_REQUIRED);
	code = ldap_initialize(ld_r, o->url.p);
	if (code != LDAP_SUCCESS)
		return ldap_down(ask, "'url'", code);
	link_set(*ld_r, o);
	if (!guard_start(&guard, *ld_r, o->timeout_ms)) {
		code = LDAP_NO_MEMORY;
	} else {
		code = !is_tls && o->tls == TLS_STARTTLS
			   ? ldap_start_tls_s(*ld_r, NULL, NULL)
			   : ldap_connect(*ld_r);
		guard_stop(&guard, *ld_r);
	}
	if (code == LDAP_SUCCESS)
		return 0;
	ldap_unbind_ext(*ld_r, NULL, NULL);
	*ld_r = NULL;
	return ldap_down(ask, "connecting", code);
}

static int
bind_as(LDAP *ld, const char *dn, struct str password)
{
	struct berval cred = { password.n, (char *)(uintptr_t)password.p };

	return ldap_sasl_bind_s(
	    ld, dn, LDAP_SASL_SIMPLE, &cred, NULL, NULL, NULL);
}

static void
link_free(void *state)
{
	struct link *l = state;

	ldap_unbind_ext(l->ld, NULL, NULL);
	str_free(&l->made_of);
	xfree(l);
}

/* The connection that searches, bound as `bind_dn` if that is given. */
int
link_get(struct auth_ask *ask, LDAP **ld_r)
{
	const struct directory *o = ask->options;
	struct link *l = ask->state;
	struct str made_of = str_printf(ask->arena,
	    STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%u",
	    STR_ARG(o->url), STR_ARG(o->bind_dn), STR_ARG(o->bind_password),
	    STR_ARG(o->ca_file), o->tls);
	int code, err;

	if (l != NULL && str_eq(l->made_of, made_of)) {
		*ld_r = l->ld;
		return 0;
	}
	if (l != NULL)
		link_free(l);
	ask->state = NULL;
	err = link_open(ask, ld_r);
	if (err < 0)
		return err;
	code = o->bind_dn.n > 0 ? bind_as(*ld_r, o->bind_dn.p, o->bind_password)
				: LDAP_SUCCESS;
	if (code != LDAP_SUCCESS) {
		ldap_unbind_ext(*ld_r, NULL, NULL);
		return ldap_down(ask, "'bind_dn' and 'bind_password'", code);
	}
	l = xzalloc(sizeof(*l));
	l->ld = *ld_r;
	l->made_of = str_heap(made_of);
	ask->state = l;
	return 0;
}

void
link_drop(struct auth_ask *ask)
{
	if (ask->state != NULL)
		link_free(ask->state);
	ask->state = NULL;
}

/* ---- finding ----------------------------------------------------------- */

static int
search(struct auth_ask *ask, LDAP *ld, LDAPMessage **found_r)
{
	const struct directory *o = ask->options;
	char nothing[] = LDAP_NO_ATTRS;
	char *attrs[] = { nothing, NULL };
	const char *filter =
	    ldap_fill(ask->arena, o->filter, ask->user, ask->host);

	*found_r = NULL;
	/* Two would be one too many, and more need not come. */
	return ldap_search_ext_s(ld, o->base.p, LDAP_SCOPE_SUBTREE, filter,
	    attrs, 0, NULL, NULL, NULL, 2, found_r);
}

/* The name of the user's entry. ERR_ABSENT when there isn't just one. */
static int
entry_read(struct auth_ask *ask, LDAP *ld, LDAPMessage *found, int code,
    const char **dn_r)
{
	char *dn;

	if (code == LDAP_NO_SUCH_OBJECT ||
	    (code == LDAP_SUCCESS && ldap_count_entries(ld, found) == 0))
		return ERR_ABSENT;
	if (code == LDAP_SIZELIMIT_EXCEEDED ||
	    (code == LDAP_SUCCESS && ldap_count_entries(ld, found) > 1)) {
		snprintf(ask->why, sizeof(ask->why),
		    "the directory has more than one such entry");
		return ERR_ABSENT;
	}
	if (code != LDAP_SUCCESS)
		return ldap_down(ask, "searching", code);
	dn = ldap_get_dn(ld, ldap_first_entry(ld, found));
	if (dn == NULL)
		return ERR_ABSENT;
	*dn_r = arena_printf(ask->arena, "%s", dn);
	ldap_memfree(dn);
	return 0;
}

static int
entry_find(struct auth_ask *ask, const char **dn_r)
{
	LDAPMessage *found = NULL;
	LDAP *ld;
	int err = link_get(ask, &ld), code;

	if (err < 0)
		return err;
	code = search(ask, ld, &found);
	/* A directory closes connections that idle. */
	if (code == LDAP_SERVER_DOWN) {
		ldap_msgfree(found);
		found = NULL;
		link_drop(ask);
		err = link_get(ask, &ld);
		if (err < 0)
			return err;
		code = search(ask, ld, &found);
	}
	err = entry_read(ask, ld, found, code, dn_r);
	ldap_msgfree(found);
	if (err == ERR_CLOSED)
		link_drop(ask);
	return err;
}

/* ---- questions --------------------------------------------------------- */

static int
password_try(struct auth_ask *ask, const char *dn)
{
	LDAP *ld;
	int err = link_open(ask, &ld), code;

	if (err < 0)
		return err;
	code = bind_as(ld, dn, ask->password);
	ldap_unbind_ext(ld, NULL, NULL);
	switch (code) {
	case LDAP_SUCCESS:
		return 0;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INAPPROPRIATE_AUTH:
	case LDAP_INVALID_DN_SYNTAX:
	case LDAP_INSUFFICIENT_ACCESS:
	case LDAP_CONSTRAINT_VIOLATION:
		return ERR_DENIED;
	default:
		return ldap_down(ask, "a user's bind", code);
	}
}

static int
password_set(struct auth_ask *ask, const char *dn)
{
	const struct link *l = ask->state;
	struct berval user = { strlen(dn), (char *)(uintptr_t)dn };
	struct berval new = { ask->password.n,
		(char *)(uintptr_t)ask->password.p };
	struct berval made = { 0, NULL };
	int code = ldap_passwd_s(l->ld, &user, NULL, &new, &made, NULL, NULL);

	if (made.bv_val != NULL)
		ldap_memfree(made.bv_val);
	return code == LDAP_SUCCESS ? 0
				    : ldap_down(ask, "a new password", code);
}

static int
answer(struct auth_ask *ask)
{
	const struct directory *o = ask->options;
	const char *dn = NULL;
	int err;

	if (ask->what == AUTH_GROUPS)
		return ldap_groups(ask);
	if (o->url.n == 0 || (o->user_dn.n == 0 && o->base.n == 0))
		return ldap_down(
		    ask, "'url', and 'base' or 'user_dn'", LDAP_PARAM_ERROR);
	/* A bind without a password always goes well (RFC 4513, 5.1.2). */
	if (ask->what == AUTH_CHECK && ask->password.n == 0)
		return ERR_DENIED;
	if (o->user_dn.n > 0) {
		if (ask->what != AUTH_CHECK)
			return ask->what == AUTH_EXISTS ? ERR_UNKNOWN
							: ERR_ABSENT;
		dn = ldap_fill(ask->arena, o->user_dn, ask->user, ask->host);
		return password_try(ask, dn);
	}
	err = entry_find(ask, &dn);
	if (err < 0 || ask->what == AUTH_EXISTS)
		return err;
	if (ask->what == AUTH_SET)
		return o->can_change ? password_set(ask, dn) : ERR_DENIED;
	return password_try(ask, dn);
}

static const struct auth_backend backend = {
	.can = AUTH_CAN(AUTH_CHECK) | AUTH_CAN(AUTH_EXISTS) |
	       AUTH_CAN(AUTH_SET) | AUTH_CAN(AUTH_GROUPS),
	.answer = answer,
	.state_free = link_free,
};

static const char *const tls_choices[] = { "starttls", "none", NULL };

static const struct option options[] = {
	OPT_TEXT("url", struct directory, url, "", 1000,
	    "ldaps://HOST or ldap://HOST; several with spaces between"),
	OPT_CHOICE("tls", struct directory, tls, "starttls", tls_choices,
	    "for ldap://; none is for this machine only"),
	OPT_TEXT("ca_file", struct directory, ca_file, "", 4096,
	    "the authorities of its certificate; empty: the system's"),
	OPT_TEXT("user_dn", struct directory, user_dn, "", 1000,
	    "the name of a user's entry, such as uid=%u,ou=people,dc=example: "
	    "%u is the user, %d the host, %j both; empty: it is searched for"),
	OPT_TEXT(
	    "base", struct directory, base, "", 1000, "below which to search"),
	OPT_TEXT("filter", struct directory, filter, "(uid=%u)", 2000,
	    "what an entry must match to be the user's"),
	OPT_TEXT("bind_dn", struct directory, bind_dn, "", 1000,
	    "who searches; empty: nobody in particular"),
	{
	    .name = "bind_password",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct directory, bind_password),
	    .max = 1000,
	    .value = "",
	    .is_secret = true,
	    .help = "the password of that entry",
	},
	OPT_SPAN("timeout", struct directory, timeout_ms, "5s", 100,
	    SECONDS(30), "how long each step may take"),
	OPT_BOOL("changes", struct directory, can_change, "false",
	    "whether users may change their passwords there, by the rights of "
	    "'bind_dn'"),
	OPT_TEXT("groups_base", struct directory, groups_base, "", 1000,
	    "below which there are groups, for shared_roster; empty: there "
	    "are none"),
	OPT_TEXT("groups_filter", struct directory, groups_filter,
	    "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)"
	    "(objectClass=posixGroup))",
	    2000, "which entries are groups"),
	OPT_TEXT("group_attribute", struct directory, group_attribute, "cn",
	    100, "what has a group's name"),
	OPT_LIST("member_attributes", struct directory, member_attributes,
	    "member, uniqueMember, memberUid", 10,
	    "what has its members: names of entries, or users"),
	OPT_TEXT("users_filter", struct directory, users_filter,
	    "(objectClass=person)", 2000,
	    "which entries below 'base' may be members"),
	OPT_TEXT("user_attribute", struct directory, user_attribute, "uid", 100,
	    "what has a user's name"),
	OPT_LIST("name_attributes", struct directory, name_attributes,
	    "displayName, cn", 10,
	    "what has the name that is shown: the first that is there"),
	OPTIONS_END,
};

MODULE(auth_ldap) = {
	.summary = "accounts of a directory (LDAP)",
	.is_optional = true,
	.options_size = sizeof(struct directory),
	.options = options,
	.auth = &backend,
};
