/* SPDX-License-Identifier: MIT */
/*
 * Each folder of a test is a schema of the one database. The server gets
 * its own user if the test runs as root, and dies with the test.
 */
#include "rig_pg.h"

#include "modules/store_pg/pg.h"
#include "store_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	char *dir;
	char bin[200];
	struct passwd *user; /* to become, or NULL */
	pid_t pid;
} server;

/* ---- processes --------------------------------------------------------- */

static bool
bin_find(void)
{
	static const char *const places[] = {
		"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb",
		"/usr/local/pgsql/bin/initdb",
		"/usr/libexec/postgresql*/initdb", "/usr/local/bin/initdb",
		"/usr/bin/initdb"
	};
	bool is_found = false;

	for (size_t i = 0; i < ARRAY_LEN(places) && !is_found; i++) {
		glob_t g;

		if (glob(places[i], 0, NULL, &g) != 0)
			continue;
		snprintf(server.bin, sizeof(server.bin), "%.*s",
		    (int)(strrchr(g.gl_pathv[g.gl_pathc - 1], '/') -
			  g.gl_pathv[g.gl_pathc - 1]),
		    g.gl_pathv[g.gl_pathc - 1]);
		globfree(&g);
		is_found = true;
	}
	return is_found;
}

static _Noreturn void
child(char **argv, const char *log)
{
	char path[300];
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	sigset_t none;

	if (server.user != NULL && (setgid(server.user->pw_gid) < 0 ||
				       setuid(server.user->pw_uid) < 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(fd, 1);
	dup2(fd, 2);
	setenv("LC_ALL", "C", 1);
	unsetenv("LD_PRELOAD");
	if (chdir("/") < 0)
		_exit(126);
	/* They look for one another where their own name says they are. */
	snprintf(path, sizeof(path), "%s/%s", server.bin, argv[0]);
	argv[0] = path;
	execv(path, argv);
	_exit(127);
}

static pid_t
start(char **argv)
{
	char log[300];
	pid_t pid;

	snprintf(log, sizeof(log), "%s/log", server.dir);
	pid = fork();
	must(pid >= 0);
	if (pid == 0)
		child(argv, log);
	return pid;
}

static char *
text(const char *fmt, const char *arg)
{
	static char room[8][300];
	static unsigned n;
	char *p = room[n++ % 8];

	snprintf(p, 300, fmt, arg);
	return p;
}

/* ---- the server -------------------------------------------------------- */

static PGconn *
connect_to(const char *dsn)
{
	PGconn *conn = PQconnectdb(dsn);

	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	PQfinish(conn);
	return NULL;
}

void
rig_pg_start(void)
{
	char *argv[] = { text("%s", "postgres"), text("-D%s/data", server.dir),
		text("-k%s", server.dir), text("%s", "-clisten_addresses="),
		text("%s", "-cfsync=off"), text("%s", "-cmax_connections=40"),
		text("%s", "-cshared_buffers=32MB"), NULL };
	char dsn[400];
	PGconn *conn = NULL;

	must(server.pid == 0);
	server.pid = start(argv);
	snprintf(dsn, sizeof(dsn), "host=%s user=rookery dbname=postgres",
	    server.dir);
	for (int i = 0; i < 1200 && conn == NULL; i++) {
		/* Those that were killed may hold its memory a while. */
		if (waitpid(server.pid, NULL, WNOHANG) != 0)
			server.pid = start(argv);
		conn = connect_to(dsn);
		if (conn == NULL)
			usleep(50000);
	}
	must(conn != NULL);
	PQfinish(conn);
}

static void
end(int signo)
{
	if (server.pid == 0)
		return;
	kill(server.pid, signo);
	must(waitpid(server.pid, NULL, 0) == server.pid);
	server.pid = 0;
}

/* The children of a process, which have sessions of their own. */
static size_t
children_of(pid_t parent, pid_t *pids, size_t max)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;

	must(proc != NULL);
	while (n < max && (entry = readdir(proc)) != NULL) {
		char path[300];
		FILE *f;
		int ppid = 0;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		f = entry->d_name[0] > '0' && entry->d_name[0] <= '9'
			? fopen(path, "r")
			: NULL;
		if (f == NULL)
			continue;
		if (fscanf(f, "%*d (%*[^)]) %*c %d", &ppid) == 1 &&
		    ppid == parent)
			pids[n++] = (pid_t)atoi(entry->d_name);
		fclose(f);
	}
	closedir(proc);
	return n;
}

void
rig_pg_kill(void)
{
	pid_t pids[200];
	size_t n;

	kill(server.pid, SIGSTOP);
	n = children_of(server.pid, pids, ARRAY_LEN(pids));
	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	end(SIGKILL);
}

void
rig_pg_stop(void)
{
	end(SIGINT);
}

bool
rig_pg_begin(void)
{
	char *argv[] = { text("%s", "initdb"), NULL, text("%s", "-Urookery"),
		text("%s", "-Atrust"), text("%s", "-EUTF8"),
		text("%s", "--locale=C.UTF-8"), text("%s", "--no-sync"), NULL };
	int status = -1;
	pid_t pid;

	if (geteuid() == 0)
		server.user = getpwnam("postgres");
	if (!bin_find() || (geteuid() == 0 && server.user == NULL)) {
		printf("1..1\nok 1 - there is no PostgreSQL here # SKIP\n");
		return false;
	}
	server.dir = rig_folder();
	argv[1] = text("-D%s/data", server.dir);
	if (server.user != NULL)
		must(chown(server.dir, server.user->pw_uid,
			 server.user->pw_gid) == 0);
	pid = start(argv);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	rig_pg_start();
	return true;
}

void
rig_pg_end(void)
{
	end(SIGINT);
	rig_folder_remove(server.dir);
}

/* ---- schemas ----------------------------------------------------------- */

static const char *
schema_of(const char *dir)
{
	const char *name = strrchr(dir, '/');

	return name != NULL ? name + 1 : dir;
}

const char *
rig_pg_dsn(struct arena *a, const char *dir)
{
	return arena_printf(a,
	    "host=%s user=rookery dbname=postgres password=not-to-be-seen"
	    " options='-c search_path=\"%s\"'",
	    server.dir, schema_of(dir));
}

int64_t
rig_pg_number(const char *dir, const char *sql)
{
	struct arena *a = arena_new(0);
	PGconn *conn = connect_to(rig_pg_dsn(a, dir));
	PGresult *res;
	int64_t n = 0;

	must(conn != NULL);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) > 0)
		n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	else if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(conn)), abort();
	PQclear(res);
	PQfinish(conn);
	arena_free(&a);
	return n;
}

/* ---- as a kind of store ------------------------------------------------ */

static void
config_fill(struct arena *a, const char *dir, struct store_config *config)
{
	rig_pg_number(dir, arena_printf(a,
			       "SET client_min_messages = warning;"
			       "CREATE SCHEMA IF NOT EXISTS \"%s\"",
			       schema_of(dir)));
	config->dsn = rig_pg_dsn(a, dir);
}

static void
check(const char *dir)
{
}

const struct rig_kind rig_kind = {
	.backend = &pg_backend,
	.begin = rig_pg_begin,
	.end = rig_pg_end,
	.config = config_fill,
	.number = rig_pg_number,
	.check = check,
};
