/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "session/state.h"

/* How often the children of a process are asked for: reading them costs 5 us a thread. */
static uint64_t period_ns(const struct target *t)
{
    uint64_t ns = t->threads.n * 500 * 1000;
    return ns < 10 * 1000 * 1000 ? 10 * 1000 * 1000 : ns;
}

/*
 * A child that can't be opened has ended already, or may not be read; either way it is not sampled.
 * Nor is one whose parent is another: it has the number of a child that has ended meanwhile.
 */
static void add_child(struct session *s, const struct target *parent, pid_t pid)
{
    struct error err;
    if (pid == getpid() || session_target(s, pid))
        return;
    int rc = session_add(s, pid, 0, &err);
    if (rc < 0 && rc != -ESRCH)
        session_warn(s, "child not sampled: %s", err.text);
    struct target *child = rc == 0 ? session_target(s, pid) : NULL;
    if (child && child->process.ppid != parent->process.pid)
        ticks_end_target(s, child, s->tick);
}

/* /proc/PID/task/TID/children: numbers with a blank behind each (proc(5), since Linux 3.5) */
static void children_of_thread(struct session *s, struct target *t, pid_t tid)
{
    char name[64], text[8192];
    snprintf(name, sizeof(name), "task/%d/children", tid);
    ssize_t n = process_read_file(&t->process, name, text, sizeof(text));
    uint64_t pid;
    for (const char *p = text; n > 0 && parse_number_at(&p, text + n, 10, &pid);)
        if (pid <= INT32_MAX && p < text + n) /* a cut number is another's */
            add_child(s, t, (pid_t)pid);
}

void children_find(struct session *s, struct target *t)
{
    uint64_t now = clock_now_ns();
    if (now - t->children_read_ns < period_ns(t))
        return;
    t->children_read_ns = now;
    for (size_t i = 0; i < t->threads.n; i++)
        if (!t->threads.items[i]->gone)
            children_of_thread(s, t, t->threads.items[i]->tid);
}
