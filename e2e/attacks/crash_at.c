// SPDX-License-Identifier: Apache-2.0
//
// Preloaded into the agent: kills it by SIGKILL before its nth write to the kernel's maps, programs
// and links, or to files. The file RIPSTOP_CRASH_FILE (struct crash_at, crash_at.h) counts the
// writes, and says before which of them to die; others may change it at any time.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "e2e/attacks/crash_at.h"

static struct crash_at *place;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("RIPSTOP_CRASH_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	/* What the agent starts in its turn is not meant. */
	unsetenv("LD_PRELOAD");
	if (fd < 0)
		return;
	place = mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (place == MAP_FAILED)
		place = NULL;
	close(fd);
}

static void step(void)
{
	if (place && __atomic_add_fetch(&place->count, 1, __ATOMIC_SEQ_CST) == place->at)
		kill(getpid(), SIGKILL);
}

static int writes(long command)
{
	switch (command) {
	case BPF_MAP_CREATE:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_PROG_LOAD:
	case BPF_PROG_ATTACH:
	case BPF_PROG_DETACH:
	case BPF_OBJ_PIN:
	case BPF_LINK_CREATE:
	case BPF_LINK_UPDATE:
	case BPF_LINK_DETACH: return 1;
	default: return 0;
	}
}

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; ++i)
		a[i] = va_arg(list, long);
	va_end(list);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_bpf && writes(a[0]))
		step();
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Files: the store, what was last in force, the endpoints, BIRD's configuration. */
#define BEFORE(result, name, parameters, arguments)                                               \
	result name parameters                                                                    \
	{                                                                                         \
		static result(*next) parameters;                                                  \
		if (!next)                                                                        \
			next = (result(*) parameters)dlsym(RTLD_NEXT, #name);                     \
		step();                                                                           \
		return next arguments;                                                            \
	}

BEFORE(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t offset),
       (fd, data, size, offset))
BEFORE(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t offset),
       (fd, data, size, offset))
BEFORE(int, fsync, (int fd), (fd))
BEFORE(int, fdatasync, (int fd), (fd))
BEFORE(int, rename, (const char *from, const char *to), (from, to))
BEFORE(int, unlink, (const char *path), (path))
