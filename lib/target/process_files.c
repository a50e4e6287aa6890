/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "target/process.h"

/*
 * The server of a FUSE file system may take a request and never answer it: whoever made it hangs in
 * the kernel, and not even SIGKILL frees him (Linux 6.18, request_wait_answer()). Looking a name
 * up, fstat, statfs, open and read make such requests. What makes none: O_PATH of a name in a
 * folder of another file system, and /proc/self/fdinfo. So whatever is opened is first held with
 * O_PATH, and its mount looked up in mountinfo.
 */
enum { DEPTH_MAX = 256 };

/* The ID of the mount that it lies on, or a negative errno. */
static int64_t mount_of(int fd)
{
    char path[64], text[512];
    uint64_t id;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    int info OX_CLOSE = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    const char *found = strstr(text, "mnt_id:"), *end = text + n;
    if (!found)
        return -ENOTSUP;
    found += strlen("mnt_id:");
    return parse_number_at(&found, end, 10, &id) ? (int64_t)id : -ENOTSUP;
}

/* proc(5), mountinfo: the mount's ID first, its type behind " - ". */
static bool is_line_of(const char *line, size_t bytes, int64_t mount)
{
    uint64_t id;
    return parse_number_at(&line, line + bytes, 10, &id) && (int64_t)id == mount;
}

/* 0: served by the kernel; -ENOTSUP: by a process; -ENODATA: no such mount there. */
static int look_up(FILE *mounts, int64_t mount)
{
    char *line OX_FREE = NULL;
    size_t cap = 0;
    for (ssize_t n; mounts && (n = getline(&line, &cap, mounts)) > 0;) {
        const char *type = strstr(line, " - ");
        if (is_line_of(line, (size_t)n, mount) && type)
            return strncmp(type + 3, "fuse", 4) ? 0 : -ENOTSUP;
    }
    return -ENODATA;
}

static int look_up_in(int dir, const char *name, int64_t mount)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? -errno : -ENODATA;
    FILE *mounts = fdopen(fd, "re");
    int rc = look_up(mounts, mount);
    if (mounts)
        fclose(mounts);
    else
        close(fd);
    return rc;
}

/* Files of memfd_create(2) lie on a mount of the kernel's own, which no list shows. */
static bool is_memfd_mount(int64_t mount)
{
    int fd OX_CLOSE = memfd_create("oxprof", MFD_CLOEXEC);
    return fd >= 0 && mount_of(fd) == mount;
}

/* What this O_PATH descriptor holds is served by the kernel itself: 0. What can't be told, is not.
 * `known`: a mount that is, -1 none yet. */
static int answers(const struct process *p, int fd, int64_t *known)
{
    int64_t mount = mount_of(fd);
    if (mount < 0)
        return (int)mount;
    if (mount == *known)
        return 0;
    int rc = look_up_in(p->proc_fd, "mountinfo", mount);
    if (rc == -ENODATA)
        rc = look_up_in(AT_FDCWD, "/proc/self/mountinfo", mount);
    if (rc == -ENODATA)
        rc = is_memfd_mount(mount) ? 0 : -ENOTSUP;
    if (rc == 0)
        *known = mount;
    return rc;
}

static int reopen(const struct process *p, int path_fd, int64_t *known, struct stat *ret_st)
{
    char path[64];
    int rc = answers(p, path_fd, known);
    if (rc < 0)
        return rc;
    if (fstat(path_fd, ret_st) < 0)
        return -errno;
    /* Before it is opened: a FIFO's writer would take us for its reader. */
    if (!S_ISREG(ret_st->st_mode))
        return -EINVAL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int process_reopen_file(const struct process *p, int path_fd, struct stat *ret_st)
{
    int64_t known = -1;
    return reopen(p, path_fd, &known, ret_st);
}

/* One step, from a folder whose file system answers. */
static int step(const struct process *p, int dir, const char *name, bool last, int64_t *known)
{
    struct open_how how = {
        .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (last ? 0 : (unsigned)O_DIRECTORY),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    int rc = last ? 0 : answers(p, fd, known);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

/* The next name of a path, which is cut up; NULL at its end. */
static char *next_name(char **rest)
{
    char *name;
    do
        name = strsep(rest, "/");
    while (name && !*name);
    return name;
}

int process_open_file(const struct process *p, const char *path, struct stat *ret_st)
{
    char *names OX_FREE = mem_strdup(path), *rest = names;
    int at OX_CLOSE = fcntl(p->root_fd, F_DUPFD_CLOEXEC, 0);
    int64_t known = -1;
    int rc = at < 0 ? -errno : answers(p, at, &known);
    char *name = next_name(&rest);
    for (int depth = 0; rc == 0 && name; depth++) {
        char *next = next_name(&rest);
        int fd = depth < DEPTH_MAX ? step(p, at, name, !next, &known) : -ELOOP;
        if (fd < 0)
            return fd;
        close(at);
        at = fd;
        name = next;
    }
    return rc < 0 ? rc : reopen(p, at, &known, ret_st);
}
