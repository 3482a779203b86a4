/* SPDX-License-Identifier: MIT */
/*
 * Plays files to a fuzz target, where libFuzzer is not: each argument is a
 * file or a folder of files. Without one, $srcdir/tests/fuzz/corpus/NAME is
 * played, by the name of the program: fuzz_NAME.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A target may have this, as with libFuzzer; most need none. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What ran, and what could not be read. */
static unsigned played, failed;

static void
fail(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	failed++;
}

/*
 * The target gets a block of exactly `len` bytes, so that a sanitizer sees
 * the first one read past it.
 */
static void
play_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	played++;
}

static void
play_file(const char *path)
{
	static uint8_t buf[4 << 20];
	FILE *f = fopen(path, "rb");
	size_t len;

	if (f == NULL) {
		fail(path);
		return;
	}
	len = fread(buf, 1, sizeof(buf), f);
	if (ferror(f))
		fail(path);
	else
		play_bytes(buf, len);
	fclose(f);
}

static int
is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* In the order of names, so that two runs are the same. */
static void
play_dir(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, is_visible, alphasort);

	if (n < 0) {
		fail(path);
		return;
	}
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		play_file(file);
		free(list[i]);
	}
	free(list);
}

static void
play(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		fail(path);
	else if (S_ISDIR(st.st_mode))
		play_dir(path);
	else
		play_file(path);
}

/* The corpus that goes with this program, beside its source. */
static void
play_own_corpus(const char *argv0)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(argv0, '/');
	char path[PATH_MAX];

	name = name != NULL ? name + 1 : argv0;
	if (strncmp(name, "lt-", 3) == 0)
		name += 3;
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
	    srcdir != NULL ? srcdir : ".", name);
	play(path);
}

int
main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);

	if (argc < 2)
		play_own_corpus(argv[0]);
	for (int i = 1; i < argc; i++)
		play(argv[i]);

	printf("%u inputs played\n", played);
	return failed > 0 || played == 0;
}
