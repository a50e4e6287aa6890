/* SPDX-License-Identifier: MIT */
/*
 * What a stop of a running thread takes, as we do it and by the bare system calls in their order
 * (seize, interrupt, wait, registers, 16 KiB of the stack, detach), one after the other, again and
 * again. Each as we see it, from before it is seized to its release, and as the target does: the
 * longest gap between two units of its work around it (shares.cc). Prints medians and 90 % points
 * in us. usage: stops PROGRESS-FILE PID ROUNDS
 */
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "capture/stopper.h"
#include "progress.h"

enum { COPY_BYTES = 16 << 10, SETTLE_NS = 2000000, AFTER_NS = 500000, WAIT_NS = 100000000 };

struct figures {
    double *own_us, *gap_us; /* owned */
    size_t n;
};

static void pass_time(uint64_t ns)
{
    struct timespec t = clock_timespec(ns);
    nanosleep(&t, NULL);
}

static uint64_t bare_stop(pid_t tid)
{
    static uint8_t copy[COPY_BYTES];
    struct user_regs_struct regs;
    struct iovec iov = {.iov_base = &regs, .iov_len = sizeof(regs)};
    siginfo_t info;
    uint64_t start = clock_now_ns(); /* as the stopper does */
    ptrace(PTRACE_SEIZE, tid, NULL, NULL);
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    waitid(P_PID, (id_t)tid, &info, WSTOPPED | WEXITED | WNOWAIT | __WALL);
    ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov);
    struct iovec here = {copy, sizeof(copy)},
                 there = {(void *)(uintptr_t)(regs.rsp - SNAPSHOT_RED_ZONE_BYTES), sizeof(copy)};
    process_vm_readv(tid, &here, 1, &there, 1, 0);
    ptrace(PTRACE_DETACH, tid, NULL, NULL);
    return clock_now_ns() - start;
}

static void stop_done(void *arg, const struct stop *stop)
{
    int *ended = arg;
    stop->watch->stopping = false;
    *ended += stop->result == STOP_TAKEN;
}

/* 0 where it was not stopped. */
static uint64_t our_stop(struct stopper *s, struct watch *w, uint64_t tick)
{
    sigset_t chld;
    struct timespec wait = clock_timespec(WAIT_NS);
    int ended = 0;
    uint64_t sum = s->ns_sum;
    thread_run(w->threads, w->process, w->thread, &w->run);
    int rc = stopper_start(s, w, tick);
    stopper_await(s);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    for (int tries = 0; rc == 0 && s->n + s->n_ended && tries < 10; tries++) {
        sigtimedwait(&chld, NULL, &wait);
        stopper_collect(s, stop_done, &ended);
    }
    return ended ? s->ns_sum - sum : 0;
}

static void note(struct figures *f, uint64_t own_ns, const struct progress *page)
{
    pass_time(AFTER_NS);
    if (!own_ns)
        return;
    f->own_us[f->n] = (double)own_ns / 1e3;
    f->gap_us[f->n++] = (double)__atomic_load_n(&page->longest_ns, __ATOMIC_RELAXED) / 1e3;
}

static void begin_gap(struct progress *page)
{
    pass_time(SETTLE_NS);
    __atomic_store_n(&page->longest_ns, 0, __ATOMIC_RELAXED);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show(const char *what, double *us, size_t n)
{
    qsort(us, n, sizeof(*us), compare);
    if (n)
        printf("%s\t%.1f\t%.1f\t%zu\n", what, us[n / 2], us[n * 9 / 10], n);
}

static struct figures figures_of(size_t rounds)
{
    return (struct figures){.own_us = mem_alloc(rounds * sizeof(double)),
                            .gap_us = mem_alloc(rounds * sizeof(double))};
}

static void run(struct stopper *s, struct watch *w, struct progress *page, size_t rounds)
{
    struct figures none = figures_of(rounds), ours = figures_of(rounds), bare = figures_of(rounds);
    for (size_t i = 0; i < rounds; i++) {
        begin_gap(page);
        note(&none, 1, page);
        begin_gap(page);
        note(&ours, our_stop(s, w, i + 1), page);
        begin_gap(page);
        note(&bare, bare_stop(w->thread->tid), page);
    }
    show("ours", ours.own_us, ours.n);
    show("bare", bare.own_us, bare.n);
    show("gap without", none.gap_us, none.n);
    show("gap ours", ours.gap_us, ours.n);
    show("gap bare", bare.gap_us, bare.n);
}

int main(int argc, char **argv)
{
    static struct stopper stopper;
    struct guardian guardian;
    struct process process;
    struct threads threads;
    struct fd_budget fds;
    struct error err = {0};
    uint64_t pid, rounds;
    sigset_t chld;
    struct progress *page = argc == 4 ? progress_open(argv[1]) : NULL;
    if (!page || parse_u64(argv[2], &pid) < 0 || parse_u64(argv[3], &rounds) < 0)
        return 2;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    if (guardian_start(&guardian) < 0 || process_open(&process, (pid_t)pid, &err) < 0)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1);
    fd_budget_init(&fds);
    threads_init(&threads, &fds);
    threads_rescan(&threads, &process);
    stopper_init(&stopper, &guardian);
    struct watch watch = {.process = &process,
                          .threads = &threads,
                          .thread = threads.items[0],
                          .copy_bytes = COPY_BYTES};
    run(&stopper, &watch, page, rounds);
    stopper_release(&stopper);
    guardian_end(&guardian);
    return 0;
}
