/* SPDX-License-Identifier: MIT */
/*
 * usage: rookery-pam SERVICE [FOLDER]
 * Answers questions about users by PAM, in the protocol of auth_external:
 * "auth:USER:HOST:PASSWORD" and "isuser:USER:HOST", after their length in two
 * bytes. A program of its own, as PAM's modules may block, need rights that
 * the server has not, and share a process badly. FOLDER is read instead of
 * /etc/pam.d.
 */
#include <security/pam_appl.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *service, *folder;

/* ---- what PAM's modules ask -------------------------------------------- */

/* One question is for the password; what else they want, nobody is there for.
 */
static int
on_talk(int count, const struct pam_message **messages,
    struct pam_response **responses_r, void *password)
{
	/* PAM frees them: lint: malloc */
	struct pam_response *r = calloc((size_t)count, sizeof(*r));
	int err = r == NULL ? PAM_BUF_ERR : PAM_SUCCESS;

	for (int i = 0; i < count && err == PAM_SUCCESS; i++) {
		int style = messages[i]->msg_style;

		if (style == PAM_PROMPT_ECHO_OFF && password != NULL)
			r[i].resp = strdup(password); /* lint: malloc */
		else if (style == PAM_PROMPT_ECHO_OFF ||
			 style == PAM_PROMPT_ECHO_ON)
			err = PAM_CONV_ERR;
	}
	if (err != PAM_SUCCESS) {
		for (int i = 0; r != NULL && i < count; i++)
			free(r[i].resp); /* lint: malloc */
		free(r);		 /* lint: malloc */
		return err;
	}
	*responses_r = r;
	return PAM_SUCCESS;
}

/* Failures are delayed by the server, and without a thread that waits. */
static void
on_delay(int status, unsigned us, void *ctx)
{
	(void)status;
	(void)us;
	(void)ctx;
}

static int
start(const char *user, const struct pam_conv *conv, pam_handle_t **h)
{
	/* Linux-PAM hands the pointer on as data. */
	union {
		void (*fn)(int status, unsigned us, void *ctx);
		const void *p;
	} delay = { .fn = on_delay };
	int err;

	err = folder != NULL ? pam_start_confdir(service, user, conv, folder, h)
			     : pam_start(service, user, conv, h);
	if (err == PAM_SUCCESS) {
		pam_set_item(*h, PAM_FAIL_DELAY, delay.p);
		pam_set_item(*h, PAM_TTY, "rookery");
	}
	return err;
}

/* With a password: may he log in with it? Without: may he at all? */
static bool
is_welcome(const char *user, char *password)
{
	struct pam_conv conv = { on_talk, password };
	pam_handle_t *h = NULL;
	int err = start(user, &conv, &h);

	if (err == PAM_SUCCESS && password != NULL)
		err =
		    pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (err == PAM_SUCCESS)
		err = pam_acct_mgmt(h, PAM_SILENT);
	if (h != NULL)
		pam_end(h, err);
	return err == PAM_SUCCESS;
}

/* ---- questions --------------------------------------------------------- */

static bool
read_all(void *to, size_t n)
{
	char *p = to;

	while (n > 0) {
		ssize_t some = read(STDIN_FILENO, p, n);

		if (some <= 0)
			return false;
		p += some;
		n -= (size_t)some;
	}
	return true;
}

static bool
answer(char *text)
{
	char *what = strsep(&text, ":"), *user = strsep(&text, ":");
	bool has_user = user != NULL && user[0] != '\0';

	(void)strsep(&text, ":"); /* the host: a system has but one */
	if (has_user && strcmp(what, "auth") == 0 && text != NULL)
		return is_welcome(user, text);
	return has_user && strcmp(what, "isuser") == 0 &&
	       is_welcome(user, NULL);
}

int
main(int argc, char **argv)
{
	static char text[65536];
	unsigned char head[2], out[4] = { 0, 2, 0, 0 };

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: rookery-pam SERVICE [FOLDER]\n");
		return 2;
	}
	service = argv[1];
	/* With more rights than who called it, it takes the system's alone. */
	if (argc == 3 && getuid() == geteuid() && getgid() == getegid())
		folder = argv[2];
	while (read_all(head, 2)) {
		size_t n = (size_t)head[0] << 8 | head[1];

		if (!read_all(text, n))
			break;
		text[n] = '\0';
		out[3] = answer(text);
		explicit_bzero(text, n);
		if (write(STDOUT_FILENO, out, 4) != 4)
			break;
	}
	return 0;
}
