/* SPDX-License-Identifier: MIT */
/*
 * The programs talk over a socket at their standard input and output. Each
 * leads a process group, so that what it started dies with it.
 */
#include "core/auth_program.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 65535
#define PAUSE SECONDS(1)
#define PAUSES 64

struct program {
	pid_t pid;
	int fd;
	struct str command; /* with NULs between; heap */
};

/* When programs last failed, by a hash of their commands; atomic. */
static uint64_t failed[PAUSES];

static uint64_t *
failed_at(struct str command)
{
	return &failed[str_hash(command) % PAUSES];
}

static int
down(struct auth_ask *ask, const char *text, int err)
{
	snprintf(ask->why, sizeof(ask->why), "the program %s%s%s", text,
	    err != 0 ? ": " : "", err != 0 ? strerror(err) : "");
	return ERR_CLOSED;
}

/* ---- its life ---------------------------------------------------------- */

static struct str
command_join(struct arena *a, const struct str_list *command)
{
	struct buf b = { 0 };
	struct str text;

	for (size_t i = 0; i < command->count; i++) {
		buf_add_str(&b, command->item[i]);
		buf_add_c(&b, '\0');
	}
	text = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return text;
}

static int
spawn(const struct str_list *command, struct arena *a, int fd, pid_t *pid_r)
{
	char **argv = arena_zalloc(a, (command->count + 1) * sizeof(*argv));
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	for (size_t i = 0; i < command->count; i++)
		argv[i] = (char *)(uintptr_t)str_dup_c(a, command->item[i]);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
					    POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	err = posix_spawn(pid_r, argv[0], &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return err;
}

void
auth_program_free(void *state)
{
	struct program *p = state;

	close(p->fd);
	kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	str_free(&p->command);
	xfree(p);
}

static int
program_start(
    struct auth_ask *ask, const struct str_list *command, struct str text)
{
	struct program *p;
	int fd[2], err;
	pid_t pid;

	if (clock_mono() < __atomic_load_n(failed_at(text), __ATOMIC_RELAXED))
		return down(ask, "has failed a moment ago", 0);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return down(ask, "could not be given a socket", errno);
	err = spawn(command, ask->arena, fd[1], &pid);
	close(fd[1]);
	if (err != 0) {
		close(fd[0]);
		return down(ask, "could not be started", err);
	}
	p = xzalloc(sizeof(*p));
	p->pid = pid;
	p->fd = fd[0];
	p->command = str_heap(text);
	ask->state = p;
	return 0;
}

/* ---- talking ----------------------------------------------------------- */

/* Waits until it can be read from or written to. */
static bool
is_ready(int fd, short what, uint64_t due)
{
	struct pollfd p = { .fd = fd, .events = what };
	uint64_t now = clock_mono();

	while (now < due) {
		int n = poll(&p, 1, (int)(due - now));

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
		now = clock_mono();
	}
	return false;
}

/* Sends or receives all of it; false when that doesn't come to an end. */
static bool
transfer(int fd, char *p, size_t n, bool is_out, uint64_t due)
{
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	while (n > 0) {
		ssize_t some;

		if (!is_ready(fd, is_out ? POLLOUT : POLLIN, due))
			return false;
		some = is_out ? send(fd, p, n, flags) : recv(fd, p, n, flags);
		if (some == 0 ||
		    (some < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (some > 0) {
			p += some;
			n -= (size_t)some;
		}
	}
	return true;
}

static struct str
question_text(struct auth_ask *ask)
{
	static const char *const words[] = {
		[AUTH_CHECK] = "auth",
		[AUTH_EXISTS] = "isuser",
		[AUTH_SET] = "setpass",
		[AUTH_CREATE] = "tryregister",
		[AUTH_REMOVE] = "removeuser",
	};
	bool has_password =
	    ask->what != AUTH_EXISTS && ask->what != AUTH_REMOVE;
	struct str text = str_printf(ask->arena,
	    "??%s:" STR_FMT ":" STR_FMT "%s" STR_FMT, words[ask->what],
	    STR_ARG(ask->user), STR_ARG(ask->host), has_password ? ":" : "",
	    STR_ARG(has_password ? ask->password : STR("")));
	char *p = (char *)(uintptr_t)text.p;

	p[0] = (char)((text.n - 2) >> 8);
	p[1] = (char)((text.n - 2) & 0xff);
	return text;
}

static int
program_talk(struct auth_ask *ask, uint64_t timeout_ms)
{
	struct program *p = ask->state;
	struct str text = question_text(ask);
	uint64_t due = clock_mono() + timeout_ms;
	unsigned char answer[4];
	bool is_done;

	if (text.n - 2 > TEXT_MAX)
		return ERR_DENIED;
	is_done = transfer(p->fd, (char *)(uintptr_t)text.p, text.n, true, due);
	OPENSSL_cleanse((void *)(uintptr_t)text.p, text.n);
	if (!is_done || !transfer(p->fd, (char *)answer, 4, false, due))
		return down(ask,
		    clock_mono() < due ? "has ended" : "did not answer in time",
		    0);
	if (answer[0] != 0 || answer[1] != 2 || answer[2] != 0 || answer[3] > 1)
		return down(ask, "gave an answer that is none", 0);
	return answer[3] == 1 ? 0 : ERR_DENIED;
}

/* It has nothing to say unasked. */
static bool
has_ended(const struct program *p)
{
	struct pollfd fd = { .fd = p->fd, .events = POLLIN };

	return poll(&fd, 1, 0) != 0;
}

int
auth_program_answer(
    struct auth_ask *ask, const struct str_list *command, uint64_t timeout_ms)
{
	struct str text = command_join(ask->arena, command);
	struct program *p = ask->state;
	int err = 0;

	/* Another command since, or one that has ended meanwhile. */
	if (p != NULL && (!str_eq(p->command, text) || has_ended(p))) {
		auth_program_free(p);
		ask->state = NULL;
	}
	if (ask->state == NULL)
		err = program_start(ask, command, text);
	if (err == 0)
		err = program_talk(ask, timeout_ms);
	if (err != 0 && err != ERR_DENIED) {
		if (ask->state != NULL) {
			auth_program_free(ask->state);
			__atomic_store_n(failed_at(text), clock_mono() + PAUSE,
			    __ATOMIC_RELAXED);
		}
		ask->state = NULL;
	}
	return err;
}
