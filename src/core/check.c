/* SPDX-License-Identifier: MIT */
/*
 * The command `check`. What is to be known of configuration and modules is
 * copied on the loop; then a thread of the pool looks, since that waits for
 * others, and it is over after a minute, whatever they do. One at a time.
 */
#include "base/clock.h"
#include "base/err.h"
#include "core/check_impl.h"
#include "core/commands.h"
#include "core/mods.h"
#include "core/module.h"
#include "net/probe.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#define LIMIT_MS SECONDS(50)
#define REPORT_MAX 16384 /* of the lines about one host */
#define FILES_WANTED 10000
#define GIB (1024ull * 1024 * 1024)

static bool is_running;

/* Lines --------------------------------------------------------------------*/

void
check_say(struct check *c, enum check_state state, const char *advice,
    const char *what, const char *fmt, ...)
{
	static const char *const words[] = { "ok     ", "warning", "FAIL   " };
	struct buf *text = c->now != NULL ? &c->now->text : &c->text;
	va_list ap;

	c->count[state]++;
	if (text->n > REPORT_MAX)
		return;
	va_start(ap, fmt);
	buf_printf(text, "%s %s: %s\n", words[state], what,
	    arena_vprintf(c->arena, fmt, ap));
	va_end(ap);
	if (advice != NULL && state != CHECK_OK)
		buf_printf(text, "        -> %s\n", advice);
}

void
check_relay(struct check *c, struct str host, uint16_t port, bool is_udp)
{
	struct check_host *h = c->now;

	if (h->relay_count < CHECK_RELAYS_MAX)
		h->relays[h->relay_count++] = (struct check_relay){
			.host = str_dup(c->arena, host),
			.port = port,
			.is_udp = is_udp,
		};
}

/* The machine --------------------------------------------------------------*/

static void
check_files(struct check *c)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < FILES_WANTED)
		check_say(c, CHECK_WARNING,
		    "systemd: LimitNOFILE=65536; else ulimit -n 65536 before "
		    "the start",
		    "open files", "only %llu, each connection takes one",
		    (unsigned long long)limit.rlim_cur);
	else
		check_say(c, CHECK_OK, NULL, "open files", "up to %llu",
		    (unsigned long long)limit.rlim_cur);
}

static void
check_disk(struct check *c)
{
	struct statvfs fs;
	unsigned long long left;
	enum check_state state = CHECK_OK;

	if (statvfs(c->data_dir, &fs) < 0) {
		check_say(c, CHECK_FAIL, "data_dir: a folder that is there",
		    "disk", "cannot look at %s", c->data_dir);
		return;
	}
	left = (unsigned long long)fs.f_bavail * fs.f_frsize;
	if (left < GIB / 10)
		state = CHECK_FAIL;
	else if (left < GIB || fs.f_bavail < fs.f_blocks / 20)
		state = CHECK_WARNING;
	check_say(c, state, "make room, or move data_dir to a larger disk",
	    "disk", "%llu MiB left in %s", left >> 20, c->data_dir);
}

/*
 * Those in use may be older: a file that is bad (another's key, too weak) is
 * left out by a reload, which the log tells.
 */
static void
check_files_of_certificates(struct check *c)
{
	struct tls_certs *certs = NULL;
	const char *why = NULL;
	int err;

	if (c->certificates[0] == NULL)
		return;
	err = tls_certs_load(c->arena, c->certificates, NULL, &certs, &why);
	tls_certs_unref(&certs);
	if (err < 0 || why != NULL)
		check_say(c, CHECK_FAIL,
		    "certificates: each file with chain and key, see "
		    "docs/certificates.md",
		    "certificates", "%s", why != NULL ? why : err_text(err));
}

/* The kernel knows whether somebody keeps its clock in step. */
static void
check_clock(struct check *c)
{
	struct timex t = { .modes = 0 };

	if (adjtimex(&t) < 0)
		return;
	if (t.status & STA_UNSYNC)
		check_say(c, CHECK_WARNING,
		    "timedatectl set-ntp true, or run chrony: credentials for "
		    "calls and certificates depend on the time",
		    "clock", "nothing keeps it in step");
	else
		check_say(c, CHECK_OK, NULL, "clock", "it is kept in step");
}

/* The configuration --------------------------------------------------------*/

static void
note_ports(struct check *c, const struct conf *conf)
{
	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];
		bool is_tls = l->policy.is_direct_tls;
		uint16_t port = addr_port(&l->addr);

		if (l->type == LISTEN_C2S)
			*(is_tls ? &c->tls_port : &c->starttls_port) = port;
		else if (l->type == LISTEN_S2S)
			*(is_tls ? &c->s2s_tls_port : &c->s2s_port) = port;
		else if (l->type == LISTEN_HTTP && is_tls)
			c->https_port = port;
		else if (l->type == LISTEN_MUX)
			c->tls_port = c->s2s_tls_port = c->https_port = port;
	}
}

static void
check_listeners(struct check *c, const struct conf *conf)
{
	unsigned before = c->count[CHECK_WARNING];

	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];

		if (l->type == LISTEN_C2S && !l->policy.is_direct_tls &&
		    l->policy.starttls != STARTTLS_REQUIRED &&
		    !addr_is_loopback(&l->addr))
			check_say(c, CHECK_WARNING, "starttls: required",
			    "configuration",
			    "line %u: clients may log in without TLS", l->line);
	}
	if (conf->auth.allow_plain_without_tls)
		check_say(c, CHECK_WARNING,
		    "auth: {allow_plain_without_tls: false}", "configuration",
		    "passwords may be sent without TLS");
	if (conf->admins.count == 0)
		check_say(c, CHECK_WARNING, "admins: [you@your.host]",
		    "configuration", "nobody is told of reports of abuse");
	for (size_t i = 0; i < conf->kept.count; i++)
		check_say(c, CHECK_WARNING, "rookeryctl restart",
		    "configuration",
		    "the new value of '" STR_FMT "' waits for a restart",
		    STR_ARG(conf->kept.item[i]));
	if (c->count[CHECK_WARNING] == before)
		check_say(c, CHECK_OK, NULL, "configuration", "%s",
		    conf->path != NULL ? conf->path : "the built-in one");
}

static void
note_service(void *ctx, const struct jid *domain)
{
	struct check *c = (struct check *)ctx;
	struct check_host *h = c->now;

	if (h->service_count < CHECK_SERVICES_MAX)
		h->services[h->service_count++] =
		    str_dup(c->arena, domain->full);
}

static void
note_feature(void *ctx, struct str var)
{
	struct check *c = (struct check *)ctx;

	if (str_is(var, "urn:xmpp:extdisco:2"))
		c->now->tells_relays = true;
}

static void
check_modules(struct check *c, const struct host *host)
{
	const struct host_mods *all = worker_host(worker, host);

	for (size_t i = 0; i < all->sorted_count; i++) {
		struct mod *m = all->sorted[i];

		if (m->host == host && m->table->check != NULL)
			m->table->check(m, c);
	}
}

/* The thread ---------------------------------------------------------------*/

static void
check_work(void *arg)
{
	struct check *c = (struct check *)arg;

	check_files(c);
	check_disk(c);
	check_clock(c);
	check_files_of_certificates(c);
	c->dns = probe_dns_new(c->dns_servers, c->until);
	for (size_t i = 0; i < c->host_count; i++) {
		c->now = &c->hosts[i];
		check_certificates(c);
		if (c->dns == NULL) {
			check_say(c, CHECK_FAIL,
			    "dns: {servers: [IP]}, or look at "
			    "/etc/resolv.conf",
			    "DNS", "there is nobody to ask");
			continue;
		}
		if (!c->is_dns_dead)
			check_names(c);
		check_relays(c);
	}
	probe_dns_free(&c->dns);
}

static void
check_done(void *arg)
{
	struct check *c = (struct check *)arg;

	__atomic_clear(&is_running, __ATOMIC_RELEASE);
	for (size_t i = 0; i < c->host_count; i++) {
		struct check_host *h = &c->hosts[i];

		buf_printf(&c->text, "\n" STR_FMT "\n", STR_ARG(h->name));
		buf_add_str(&c->text, buf_str(&h->text));
		buf_fini(&h->text);
	}
	buf_printf(&c->text, "\n%u ok, %u warnings, %u failed",
	    c->count[CHECK_OK], c->count[CHECK_WARNING], c->count[CHECK_FAIL]);
	if (c->count[CHECK_FAIL] > 0)
		cmd_fail(c->cmd, CMD_FAILED, 0, "something is wrong\n" STR_FMT,
		    STR_ARG(buf_str(&c->text)));
	else
		cmd_result(c->cmd, json_stringn(c->text.p, c->text.n));
	buf_fini(&c->text);
	arena_free(&c->arena);
	xfree(c);
}

/* The command --------------------------------------------------------------*/

static void
begin_host(struct check *c, struct host *host)
{
	c->now = &c->hosts[c->host_count++];
	c->now->name = str_dup(c->arena, host->jid.domain);
	mod_each_service(host, note_service, c);
	mod_each_feature(host, TO_HOST, note_feature, c);
	check_modules(c, host);
}

static void
begin(struct check *c, struct host *only)
{
	const struct conf *conf = conf_now();

	c->arena = arena_new(0);
	c->until = clock_mono() + LIMIT_MS;
	c->dns_servers =
	    conf->dns.servers_text != NULL
		? str_dup_c(c->arena, str_c(conf->dns.servers_text))
		: NULL;
	c->data_dir = str_dup_c(c->arena, str_c(conf->data_dir));
	c->is_federated = conf->is_federated;
	c->certificates = (const char **)arena_zalloc(c->arena,
	    (conf->certificates.count + 1) * sizeof(*c->certificates));
	for (size_t i = 0; i < conf->certificates.count; i++)
		c->certificates[i] =
		    str_dup_c(c->arena, conf->certificates.item[i]);
	c->hosts = (struct check_host *)arena_zalloc(
	    c->arena, host_count() * sizeof(*c->hosts));
	note_ports(c, conf);
	check_listeners(c, conf);
	for (size_t i = 0; i < host_count(); i++)
		if (only == NULL || only == host_at(i))
			begin_host(c, host_at(i));
	c->now = NULL;
}

static void
run_check(struct cmd *cmd)
{
	struct host *only = NULL;
	struct check *c;

	if (cmd_str(cmd, "host").n > 0) {
		only = cmd_host(cmd, "host");
		if (only == NULL)
			return;
	}
	if (__atomic_test_and_set(&is_running, __ATOMIC_ACQUIRE)) {
		cmd_fail(cmd, CMD_CONFLICT, 0, "another check is under way");
		return;
	}
	c = (struct check *)xzalloc(sizeof(*c));
	c->cmd = cmd;
	begin(c, only);
	loop_work(check_work, check_done, c);
}

const struct command commands_check[] = {
	{ .name = "check",
	    .tag = "server",
	    .help = "Look for what may have been forgotten: configuration, "
		    "DNS, certificates, ports, TURN, clock, limits",
	    .args = { { .name = "host", .type = "string", .fallback = "" } },
	    .result_name = "report",
	    .result = "string",
	    .run = run_check },
	COMMANDS_END,
};
