/* SPDX-License-Identifier: MIT */
#include "target/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/parse.h"

enum { FDS_MAX = 1 << 20, FDS_PER_PROCESS = 7 };

void fd_budget_init(struct fd_budget *b)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    size_t most = limit.rlim_cur > FDS_MAX ? FDS_MAX : (size_t)limit.rlim_cur;
    *b = (struct fd_budget){.all = most / 4 * 3, .for_threads = most / 8 * 3};
}

bool fd_budget_allows(const struct fd_budget *b, size_t processes)
{
    return b->kept <= b->all && processes <= (b->all - b->kept) / FDS_PER_PROCESS;
}

void threads_init(struct threads *t, struct fd_budget *fds)
{
    *t = (struct threads){.fds = fds};
}

static void close_kept(struct threads *t, int *fd)
{
    if (*fd < 0)
        return;
    close(*fd);
    *fd = -1;
    t->fds->kept--;
}

static void free_thread(struct threads *t, struct thread *th)
{
    close_kept(t, &th->schedstat_fd);
    close_kept(t, &th->syscall_fd);
    close_kept(t, &th->status_fd);
    close_kept(t, &th->stat_fd);
    free(th);
}

void threads_release(struct threads *t)
{
    for (size_t i = 0; i < t->n; i++)
        free_thread(t, t->items[i]);
    free(t->items);
    map_release(&t->by_tid);
    *t = (struct threads){0};
}

static void forget_number(struct threads *t, struct thread *th)
{
    uint64_t *known = map_find(&t->by_tid, (uint64_t)th->tid, 0);
    if (known && *known == (uintptr_t)th)
        map_remove(&t->by_tid, (uint64_t)th->tid, 0);
    th->gone = true;
}

void threads_drop_gone(struct threads *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct thread *th = t->items[i];
        if (!th->gone || th->watch) {
            t->items[kept++] = th;
            continue;
        }
        forget_number(t, th);
        free_thread(t, th);
    }
    t->n = kept;
}

int thread_read_name(const struct process *p, struct thread *th)
{
    char path[64], name[sizeof(th->name)];
    snprintf(path, sizeof(path), "task/%d/comm", th->tid);
    ssize_t n = process_read_file(p, path, name, sizeof(name));
    if (n <= 0)
        return n < 0 ? (int)n : -ESRCH;
    name[n - 1] = '\0'; /* the kernel ends it with a newline */
    memcpy(th->name, name, sizeof(name));
    return 0;
}

static void saw(struct threads *t, const struct process *p, pid_t tid)
{
    const uint64_t *known = map_find(&t->by_tid, (uint64_t)tid, 0);
    struct thread *old = known ? (struct thread *)(uintptr_t)*known : NULL;
    if (old && !old->gone) {
        old->seen_in = t->rescans;
        return;
    }
    struct thread *th = mem_alloc(sizeof(*th));
    *th = (struct thread){.tid = tid,
                          .schedstat_fd = -1,
                          .syscall_fd = -1,
                          .status_fd = -1,
                          .stat_fd = -1,
                          .seen_in = t->rescans};
    thread_read_name(p, th);
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    t->items[t->n++] = th;
    map_put(&t->by_tid, (uint64_t)tid, 0, (uintptr_t)th);
}

static int read_folder(struct threads *t, const struct process *p)
{
    /* readdir() would allocate and copy; this is read up to a thousand times a second */
    union {
        char bytes[16384];
        struct dirent64 align;
    } buf;
    if (lseek(p->task_fd, 0, SEEK_SET) < 0)
        return -errno;
    for (;;) {
        long n = syscall(SYS_getdents64, p->task_fd, buf.bytes, sizeof(buf.bytes));
        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (long at = 0; at < n;) {
            const struct dirent64 *e = (const struct dirent64 *)(const void *)(buf.bytes + at);
            uint64_t tid;
            if (parse_u64(e->d_name, &tid) == 0 && tid <= INT32_MAX)
                saw(t, p, (pid_t)tid);
            at += e->d_reclen;
        }
    }
}

int threads_rescan(struct threads *t, const struct process *p)
{
    struct stat st;
    if (fstat(p->task_fd, &st) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    if (t->links && st.st_nlink == t->links)
        return 0;
    t->rescans++;
    int rc = read_folder(t, p);
    if (rc < 0)
        return rc == -ENOENT ? -ESRCH : rc;
    for (size_t i = 0; i < t->n; i++)
        if (!t->items[i]->gone && t->items[i]->seen_in != t->rescans)
            forget_number(t, t->items[i]);
    t->links = st.st_nlink;
    return 1;
}

/* Reads a small file of the thread from its beginning through a descriptor that is kept if it can
 * be. */
static ssize_t read_kept(struct threads *t, const struct process *p, struct thread *th, int *fd,
                         const char *name, char *buf, size_t bytes)
{
    int use = *fd;
    if (use < 0) {
        char path[64];
        snprintf(path, sizeof(path), "%d/%s", th->tid, name);
        use = openat(p->task_fd, path, O_RDONLY | O_CLOEXEC);
        if (use < 0)
            return errno == ENOENT ? -ESRCH : -errno;
        if (t->fds->kept < t->fds->for_threads) {
            t->fds->kept++;
            *fd = use;
        }
    }
    ssize_t n = pread(use, buf, bytes, 0);
    int failed = errno;
    if (*fd < 0)
        close(use);
    return n < 0 ? -failed : n;
}

/* What an unreadable or empty file means: the thread has ended, the list is out of date. */
static int ended(struct threads *t, struct thread *th, ssize_t n)
{
    if (n != -ESRCH && n != 0)
        return (int)n;
    t->links = 0;
    forget_number(t, th);
    return -ESRCH;
}

int thread_run(struct threads *t, const struct process *p, struct thread *th, struct proc_run *ret)
{
    char text[128];
    ssize_t n = read_kept(t, p, th, &th->schedstat_fd, "schedstat", text, sizeof(text));
    return n <= 0 ? ended(t, th, n) : proctext_schedstat(text, (size_t)n, ret);
}

int thread_where(struct threads *t, const struct process *p, struct thread *th,
                 struct proc_where *ret)
{
    char text[256];
    ssize_t n = read_kept(t, p, th, &th->syscall_fd, "syscall", text, sizeof(text));
    return n <= 0 ? ended(t, th, n) : proctext_syscall(text, (size_t)n, ret);
}

int thread_status(struct threads *t, const struct process *p, struct thread *th,
                  struct proc_status *ret)
{
    char text[8192];
    ssize_t n = read_kept(t, p, th, &th->status_fd, "status", text, sizeof(text));
    return n <= 0 ? ended(t, th, n) : proctext_status(text, (size_t)n, ret);
}

int thread_stat(struct threads *t, const struct process *p, struct thread *th,
                struct proc_stat *ret)
{
    char text[1024];
    ssize_t n = read_kept(t, p, th, &th->stat_fd, "stat", text, sizeof(text));
    return n <= 0 ? ended(t, th, n) : proctext_stat(text, (size_t)n, ret);
}
