/* SPDX-License-Identifier: MIT */
#include "core/daemon_impl.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILES_WANTED 1048576

static struct {
	bool is_set;
	const char *name;
	uid_t uid;
	gid_t gid;
} become;

int
privilege_find(struct arena *a, const char *user, const char **why_r)
{
	const struct passwd *pw;

	if (user == NULL || geteuid() != 0)
		return 0;
	pw = getpwnam(user);
	if (pw == NULL) {
		*why_r = arena_printf(a, "there is no user '%s'", user);
		return ERR_ABSENT;
	}
	become.is_set = true;
	become.name = str_dup_c(a, str_c(user));
	become.uid = pw->pw_uid;
	become.gid = pw->pw_gid;
	return 0;
}

void
privilege_give(int fd)
{
	if (become.is_set && fchown(fd, become.uid, become.gid) < 0)
		log_notice(&log_daemon, "cannot give a file to %s: %s",
		    become.name, err_text(-errno));
}

void
privilege_give_path(const char *path)
{
	int fd =
	    become.is_set ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (fd < 0)
		return;
	privilege_give(fd);
	close(fd);
}

int
privilege_drop(struct arena *a, const char **why_r)
{
	/* Nothing that is started from here gets more than we have. */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!become.is_set)
		return 0;
	if (initgroups(become.name, become.gid) < 0 || setgid(become.gid) < 0 ||
	    setuid(become.uid) < 0) {
		*why_r = arena_printf(a, "cannot become user '%s': %s",
		    become.name, err_text(-errno));
		return -errno;
	}
	/* There must be no way back. */
	if (become.uid != 0 && setuid(0) == 0) {
		*why_r = "root cannot be given up";
		return ERR_DENIED;
	}
	return 0;
}

void
privilege_raise_files(void)
{
	struct rlimit lim, more;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (lim.rlim_max != RLIM_INFINITY && lim.rlim_max < FILES_WANTED) {
		more = (struct rlimit){ FILES_WANTED, FILES_WANTED };
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		log_notice(&log_daemon, "the limit of open files stays: %s",
		    err_text(-errno));
}
