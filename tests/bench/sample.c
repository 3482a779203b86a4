/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 32768

struct process {
	int pid, parent;
	bool is_server;
};

static struct process processes[PROCESSES_MAX];

/* Of all CPUs, with what strangers use. */
static double
machine_cpu(void)
{
	unsigned long long v[7] = { 0 };
	FILE *f = fopen("/proc/stat", "r");
	double ticks = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1],
		&v[2], &v[3], &v[4], &v[5], &v[6]) == 7)
		ticks = (double)(v[0] + v[1] + v[2] + v[5] + v[6]);
	fclose(f);
	return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* The field `name` of a file of /proc/PID. */
static double
proc_field(int pid, const char *file, const char *name)
{
	char path[64], line[256];
	size_t n = strlen(name);
	double value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, n) == 0 && line[n] == ':') {
			value = strtod(line + n + 1, NULL);
			break;
		}
	}
	fclose(f);
	return value;
}

/* Its clock has nanoseconds, and counts threads that have ended. */
static double
process_cpu(int pid)
{
	clockid_t clock;
	struct timespec t;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool
is_named(int pid)
{
	for (int i = 0; i < opt.pid_count; i++)
		if (opt.pids[i] == pid)
			return true;
	return false;
}

static int
processes_list(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (dir != NULL && n < PROCESSES_MAX && (e = readdir(dir)) != NULL) {
		struct process *p = &processes[n];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		p->pid = atoi(e->d_name);
		p->parent = (int)proc_field(p->pid, "status", "PPid");
		p->is_server = is_named(p->pid);
		n++;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* Children of the server's are the server's, however deep. */
static void
processes_mark(int n)
{
	bool has_changed = true;

	for (int round = 0; has_changed && round < 64; round++) {
		has_changed = false;
		for (int i = 0; i < n; i++) {
			struct process *p = &processes[i];

			for (int j = 0; j < n && !p->is_server; j++) {
				if (processes[j].is_server &&
				    processes[j].pid == p->parent) {
					p->is_server = true;
					has_changed = true;
				}
			}
		}
	}
}

static double
own_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct sample
sample_take(void)
{
	struct sample s = { .machine_cpu = machine_cpu() };
	int n = opt.pid_count > 0 ? processes_list() : 0;

	processes_mark(n);
	for (int i = 0; i < n; i++) {
		int pid = processes[i].pid;

		if (!processes[i].is_server)
			continue;
		s.server_cpu += process_cpu(pid);
		s.pss_kb += proc_field(pid, "smaps_rollup", "Pss");
		s.rss_kb += proc_field(pid, "status", "VmRSS");
		s.threads += (int)proc_field(pid, "status", "Threads");
		s.processes++;
	}
	s.own_cpu = own_cpu();
	s.at = now_ns();
	return s;
}
