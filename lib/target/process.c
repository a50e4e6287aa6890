/* SPDX-License-Identifier: MIT */
#include "target/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "target/diagnose.h"

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void process_close(struct process *p)
{
    if (!p)
        return;
    close_fd(&p->pidfd);
    close_fd(&p->proc_fd);
    close_fd(&p->task_fd);
    close_fd(&p->root_fd);
    close_fd(&p->mem_fd);
    close_fd(&p->maps_fd);
    close_fd(&p->stat_fd);
    mappings_release(&p->maps);
}

bool process_alive(const struct process *p)
{
    /* pidfd_open(2): readable once the whole thread group has terminated */
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    return poll(&pfd, 1, 0) <= 0; /* a failed poll says nothing of the process */
}

ssize_t process_read_file(const struct process *p, const char *name, char *buf, size_t bytes)
{
    int fd OX_CLOSE = openat(p->proc_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n = 0;
    while (n < bytes - 1) {
        ssize_t got = read(fd, buf + n, bytes - 1 - n);
        if (got < 0)
            return -errno;
        if (!got)
            break;
        n += (size_t)got;
    }
    buf[n] = '\0';
    return (ssize_t)n;
}

ssize_t process_read(const struct process *p, void *dst, size_t bytes, uint64_t addr)
{
    if (addr > INT64_MAX - bytes)
        return -EFAULT;
    ssize_t n = pread(p->mem_fd, dst, bytes, (off_t)addr);
    if (n > 0)
        return n;
    /* mem_rw() in fs/proc/base.c answers 0 once the address space has no user left */
    return n == 0 ? -ESRCH : -EFAULT;
}

/* Of a thread that has exited, maps opens and is empty, and mem reads as 0 bytes. */
static bool shows_memory(int fd)
{
    char probe;
    ssize_t n = pread(fd, &probe, 1, 0);
    return n > 0 || (n < 0 && errno == EIO);
}

/* The leader's own files are empty once it has exited; any living thread's show the same memory. */
static int open_of_any_thread(const struct process *p, const char *name, int flags)
{
    int dir = openat(p->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *tasks = dir < 0 ? NULL : fdopendir(dir);
    if (!tasks) {
        int failed = errno;
        close_fd(&dir);
        return -failed;
    }
    int fd = -ESRCH;
    for (struct dirent *e; fd < 0 && (e = readdir(tasks));) {
        char path[300];
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", e->d_name, name);
        fd = openat(dirfd(tasks), path, flags);
        if (fd < 0)
            fd = errno == ENOENT ? -ESRCH : -errno;
        else if (!(flags & O_PATH) && !shows_memory(fd)) {
            close(fd);
            fd = -ESRCH;
        }
    }
    closedir(tasks);
    return fd;
}

static int open_of_process(const struct process *p, const char *name)
{
    int fd = openat(p->proc_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return -errno;
    if (fd >= 0 && shows_memory(fd))
        return fd;
    close_fd(&fd);
    return open_of_any_thread(p, name, O_RDONLY | O_CLOEXEC);
}

/* The leader's own: /proc/PID/stat adds up the times of all threads, 100 us for 2,000. An exec
 * gives the leader's number to the thread that called it, and this file with it. */
static int open_stat(struct process *p)
{
    char name[64];
    snprintf(name, sizeof(name), "task/%d/stat", p->pid);
    p->stat_fd = openat(p->proc_fd, name, O_RDONLY | O_CLOEXEC);
    return p->stat_fd < 0 ? -errno : 0;
}

static int read_stat(const struct process *p, struct proc_stat *ret)
{
    char text[1024];
    ssize_t n = pread(p->stat_fd, text, sizeof(text), 0);
    return n < 0 ? -errno : proctext_stat(text, (size_t)n, ret);
}

/* What changes with an exec. */
static int open_program(struct process *p)
{
    struct proc_stat stat = {0};
    struct proc_status status;
    char text[8192];
    int rc = read_stat(p, &stat);
    if (rc < 0)
        return rc;
    ssize_t n = process_read_file(p, "status", text, sizeof(text));
    if (n < 0 || proctext_status(text, (size_t)n, &status) < 0)
        return -ESRCH;
    int mem = open_of_process(p, "mem");
    if (mem < 0)
        return mem;
    int maps = open_of_process(p, "maps");
    if (maps < 0) {
        close(mem);
        return maps;
    }
    close_fd(&p->mem_fd);
    close_fd(&p->maps_fd);
    close_fd(&p->root_fd);
    p->root_fd = open_of_any_thread(p, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    p->mem_fd = mem;
    p->maps_fd = maps;
    p->ppid = stat.ppid;
    p->start_ticks = stat.start_ticks;
    p->start_stack = stat.start_stack;
    memcpy(p->comm, stat.comm, sizeof(p->comm));
    p->ns_pid = status.ns_pid ? status.ns_pid : p->pid;
    p->euid = status.euid;
    uint64_t start, end;
    bool anonymous;
    p->maps_query = true;
    rc = process_query_memory(p, 0, &start, &end, &anonymous);
    p->maps_query = rc == 0 || rc == -ENODATA;
    return 0;
}

int process_open(struct process *p, pid_t pid, struct error *err)
{
    char path[64];
    *p = (struct process){.pid = pid,
                          .pidfd = -1,
                          .proc_fd = -1,
                          .task_fd = -1,
                          .root_fd = -1,
                          .mem_fd = -1,
                          .maps_fd = -1,
                          .stat_fd = -1};
    int rc = diagnose_before(pid, err);
    if (rc < 0)
        return rc;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->pidfd < 0)
        return diagnose_refusal(pid, -errno, err);
    snprintf(path, sizeof(path), "/proc/%d", pid);
    p->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->proc_fd >= 0)
        p->task_fd = openat(p->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = p->task_fd < 0 ? -errno : open_stat(p);
    if (rc == 0)
        rc = open_program(p);
    /* Alive after the descriptors were opened: they belong to the process of the pidfd. */
    if (rc == 0 && !process_alive(p))
        rc = -ESRCH;
    if (rc == 0)
        rc = diagnose_program(pid, err);
    else
        rc = diagnose_refusal(pid, rc, err);
    if (rc < 0)
        process_close(p);
    return rc;
}

bool process_check_exec(struct process *p)
{
    struct proc_stat stat = {0};
    bool read = read_stat(p, &stat) == 0;
    p->state = stat.state;
    if (!read || !stat.start_stack || stat.start_stack == p->start_stack)
        return false;
    if (open_program(p) < 0)
        return false;
    mappings_release(&p->maps);
    p->maps_read_ns = 0;
    return true;
}
