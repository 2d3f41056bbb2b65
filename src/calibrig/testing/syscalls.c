/* Records or spoils the file system calls of one process below one folder; loaded with LD_PRELOAD by
   calibrig.testing.syscalls. Modes: record every call, fail the n-th call, or let the disk be full after n bytes.
   Single-threaded use: the campaigns open backends without a watching thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096
static char root[PATH_MAX];
static size_t root_length;
static FILE *recording;
static long fail_at, calls, fail_errno;
static long long budget = -1;
static char *names[MAX_FD];

#define REAL(type, name, ...)                                      \
    static type (*real)(__VA_ARGS__);                              \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int below(const char *path) { return root_length && path && strncmp(path, root, root_length) == 0; }

static const char *named(int fd) { return fd >= 0 && fd < MAX_FD ? names[fd] : NULL; }

static void remember(int fd, const char *path) {
    if (fd < 0 || fd >= MAX_FD) return;
    free(names[fd]);
    names[fd] = below(path) ? strdup(path) : NULL;
}

/* One call that may fail: counts it, and says whether it is the one to fail. */
static int spoiled(void) {
    calls++;
    if (fail_at && calls == fail_at) {
        errno = (int)fail_errno;
        return 1;
    }
    return 0;
}

static void note(const char *what, const char *path, const char *other, long long offset, const void *data, size_t length) {
    if (!recording) return;
    uint32_t sizes[3] = {(uint32_t)strlen(path), other ? (uint32_t)strlen(other) : 0, (uint32_t)length};
    fwrite(what, 1, 1, recording);
    fwrite(sizes, sizeof sizes, 1, recording);
    fwrite(&offset, sizeof offset, 1, recording);
    fwrite(path, 1, sizes[0], recording);
    if (sizes[1]) fwrite(other, 1, sizes[1], recording);
    if (length) fwrite(data, 1, length, recording);
    fflush(recording);
}

void syscalls_begin(const char *folder, const char *record_to, long fail_nth, int number, long long bytes) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    if (recording) fclose(recording);
    recording = record_to && *record_to ? fopen(record_to, "wb") : NULL;
    fail_at = fail_nth;
    fail_errno = number;
    calls = 0;
    budget = bytes;
}

long syscalls_end(void) {
    if (recording) fclose(recording);
    recording = NULL;
    root_length = 0;
    fail_at = 0;
    budget = -1;
    return calls;
}

void syscalls_mark(long long number) {
    note("A", "", NULL, number, NULL, 0);
}

static int opened(int fd, const char *path, int flags, int existed) {
    if (fd >= 0) {
        remember(fd, path);
        if (below(path)) {
            if ((flags & O_CREAT) && !existed) note("C", path, NULL, 0, NULL, 0);
            if ((flags & O_TRUNC) && existed) note("T", path, NULL, 0, NULL, 0);
        }
    }
    return fd;
}

static int exists(const char *path) { return access(path, F_OK) == 0; }

#define OPEN(function)                                                               \
    int function(const char *path, int flags, ...) {                                 \
        va_list list;                                                                \
        va_start(list, flags);                                                       \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0;    \
        va_end(list);                                                                \
        REAL(int, #function, const char *, int, ...);                                \
        int existed = below(path) && exists(path);                                   \
        if (below(path) && spoiled()) return -1;                                     \
        return opened(real(path, flags, mode), path, flags, existed);                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(function)                                                             \
    int function(int at, const char *path, int flags, ...) {                         \
        va_list list;                                                                \
        va_start(list, flags);                                                       \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0;    \
        va_end(list);                                                                \
        REAL(int, #function, int, const char *, int, ...);                           \
        int existed = below(path) && exists(path);                                   \
        if (below(path) && spoiled()) return -1;                                     \
        return opened(real(at, path, flags, mode), path, flags, existed);            \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < MAX_FD) {
        free(names[fd]);
        names[fd] = NULL;
    }
    return real(fd);
}

/* Returns how many bytes may be written: fewer than asked, or -1 with ENOSPC, where the disk is full. */
static ssize_t allowed(size_t length) {
    if (budget < 0) return (ssize_t)length;
    if (budget == 0) {
        errno = ENOSPC;
        return -1;
    }
    if ((long long)length > budget) length = (size_t)budget;
    budget -= (long long)length;
    return (ssize_t)length;
}

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    const char *path = named(fd);
    if (!path) return real(fd, data, length);
    if (spoiled()) return -1;
    ssize_t part = allowed(length);
    if (part < 0) return -1;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (fcntl(fd, F_GETFL) & O_APPEND) offset = lseek(fd, 0, SEEK_END);
    ssize_t done = real(fd, data, (size_t)part);
    if (done > 0) note("W", path, NULL, offset, data, (size_t)done);
    return done;
}

#define PWRITE(function, kind)                                                       \
    ssize_t function(int fd, const void *data, size_t length, kind offset) {         \
        REAL(ssize_t, #function, int, const void *, size_t, kind);                   \
        const char *path = named(fd);                                                \
        if (!path) return real(fd, data, length, offset);                            \
        if (spoiled()) return -1;                                                    \
        ssize_t part = allowed(length);                                              \
        if (part < 0) return -1;                                                     \
        ssize_t done = real(fd, data, (size_t)part, offset);                         \
        if (done > 0) note("W", path, NULL, offset, data, (size_t)done);             \
        return done;                                                                 \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(function, kind)                                                     \
    int function(int fd, kind length) {                                              \
        REAL(int, #function, int, kind);                                             \
        const char *path = named(fd);                                                \
        if (path && spoiled()) return -1;                                            \
        int done = real(fd, length);                                                 \
        if (path && done == 0) note("T", path, NULL, length, NULL, 0);               \
        return done;                                                                 \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(function)                                                               \
    int function(int fd) {                                                           \
        REAL(int, #function, int);                                                   \
        const char *path = named(fd);                                                \
        if (path && spoiled()) return -1;                                            \
        int done = root_length ? 0 : real(fd);                                       \
        if (path && done == 0) note("S", path, NULL, 0, NULL, 0);                    \
        return done;                                                                 \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (below(from) && spoiled()) return -1;
    int done = real(from, to);
    if (below(from) && done == 0) note("R", from, to, 0, NULL, 0);
    return done;
}

int renameat(int a, const char *from, int b, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    if (below(from) && spoiled()) return -1;
    int done = real(a, from, b, to);
    if (below(from) && done == 0) note("R", from, to, 0, NULL, 0);
    return done;
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    if (below(from) && spoiled()) return -1;
    int done = real(a, from, b, to, flags);
    if (below(from) && done == 0) note(flags & 2 ? "X" : "R", from, to, 0, NULL, 0);
    return done;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (below(path) && spoiled()) return -1;
    int done = real(path);
    if (below(path) && done == 0) note("U", path, NULL, 0, NULL, 0);
    return done;
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    if (below(path) && spoiled()) return -1;
    int done = real(at, path, flags);
    if (below(path) && done == 0) note("U", path, NULL, 0, NULL, 0);
    return done;
}
