/* SPDX-License-Identifier: MIT */
/*
 * What looking at a process whose threads sleep takes: at all of its threads, is one of them new,
 * and has it run; a whole snapshot of each, with 16 KiB of its stack; and the four bare system
 * calls of that. Prints ns a thread, and how many threads there are. usage: sleepers PID ROUNDS
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "capture/asleep.h"

enum { COPY_BYTES = 16 << 10 };

struct sleepers {
    struct process process;
    struct threads threads;
    struct fd_budget fds;
    struct watch *watches; /* owned, one for each thread */
    uint8_t *buf;          /* owned */
};

static int sleepers_open(struct sleepers *s, pid_t pid)
{
    struct error err = {0};
    if (process_open(&s->process, pid, &err) < 0)
        return -1;
    fd_budget_init(&s->fds);
    threads_init(&s->threads, &s->fds);
    threads_rescan(&s->threads, &s->process);
    s->watches = mem_alloc(s->threads.n * sizeof(*s->watches));
    s->buf = mem_alloc(SNAPSHOT_BUF_BYTES);
    for (size_t i = 0; i < s->threads.n; i++)
        s->watches[i] = (struct watch){.process = &s->process,
                                       .threads = &s->threads,
                                       .thread = s->threads.items[i],
                                       .copy_bytes = COPY_BYTES};
    return 0;
}

static uint64_t look(struct sleepers *s, struct watch *w)
{
    return thread_run(&s->threads, &s->process, w->thread, &w->run) == 0;
}

static uint64_t snapshot(struct sleepers *s, struct watch *w)
{
    struct snapshot snap;
    return look(s, w) && asleep_capture(w, s->buf, &snap) == 0 && snap.stack_bytes;
}

/* With the stack pointer known beforehand: the reads alone. */
static uint64_t bare(struct sleepers *s, struct watch *w)
{
    char text[256];
    const struct thread *th = w->thread;
    ssize_t got = pread(th->schedstat_fd, text, sizeof(text), 0);
    got += pread(th->syscall_fd, text, sizeof(text) - 1, 0);
    got += pread(s->process.mem_fd, s->buf, COPY_BYTES, (off_t)w->run_first_ns);
    got += pread(th->schedstat_fd, text, sizeof(text), 0);
    return got > COPY_BYTES;
}

/* Notes for bare() where the copied stack begins. */
static uint64_t find_stack(struct sleepers *s, struct watch *w)
{
    struct snapshot snap;
    if (!look(s, w) || asleep_capture(w, s->buf, &snap) < 0)
        return 0;
    w->run_first_ns = snap.stack_addr;
    return 1;
}

static void measure(const char *what, struct sleepers *s, uint64_t rounds,
                    uint64_t (*act)(struct sleepers *s, struct watch *w))
{
    uint64_t done = 0, best = UINT64_MAX;
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t start = clock_own_cpu_ns();
        threads_rescan(&s->threads, &s->process);
        done = 0;
        for (size_t i = 0; i < s->threads.n; i++)
            done += act(s, &s->watches[i]);
        uint64_t ns = clock_own_cpu_ns() - start;
        best = ns < best ? ns : best;
    }
    printf("%s\t%.0f\t%" PRIu64 "\n", what, (double)best / (double)(done ? done : 1), done);
}

int main(int argc, char **argv)
{
    static struct sleepers s;
    uint64_t pid, rounds;
    if (argc != 3 || parse_u64(argv[1], &pid) < 0 || parse_u64(argv[2], &rounds) < 0)
        return 2;
    if (sleepers_open(&s, (pid_t)pid) < 0 || !s.threads.n)
        return 1;
    measure("look", &s, rounds, look);
    measure("snapshot", &s, rounds, snapshot);
    for (size_t i = 0; i < s.threads.n; i++)
        find_stack(&s, &s.watches[i]);
    if (s.threads.items[0]->schedstat_fd >= 0) /* few enough for the limit of open files */
        measure("bare", &s, rounds, bare);
    return 0;
}
