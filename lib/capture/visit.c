/* SPDX-License-Identifier: MIT */
#include "capture/visit.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { NICE = -10, SLICE_NS = 100 * 1000, NAP_NS = 25 * 1000 };

/* linux/sched/types.h; glibc has it since 2.41 */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int set_scheduling(pid_t tid, int policy, int nice, uint64_t slice_ns)
{
    struct scheduling attr = {
        .size = sizeof(attr), .policy = (uint32_t)policy, .nice = nice, .runtime = slice_ns};
    return (int)syscall(SYS_sched_setattr, tid, &attr, 0);
}

static void nap_ns(uint64_t ns)
{
    struct timespec wait = clock_timespec(ns);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
}

/* --- the usher */

enum usher_word {
    USHER_RESTS,
    USHER_CALLED, /* the sampler is about to step aside */
    USHER_ASIDE,  /* it has; until the usher has brought it back */
    USHER_ENDS
};

struct usher {
    pthread_t thread;
    sem_t called, back, ready;
    _Atomic int word; /* enum usher_word */
    bool able;        /* after `ready` */
    pid_t sampler;
    int nice;            /* the sampler's */
    cpu_set_t elsewhere; /* where to bring it */
};

static void await(sem_t *sem)
{
    while (sem_wait(sem) < 0)
        continue;
}

/* First off the CPU, then to its right: the other way round it would take the CPU back. */
static void bring_back(const struct usher *u)
{
    sched_setaffinity(u->sampler, sizeof(u->elsewhere), &u->elsewhere);
    set_scheduling(u->sampler, SCHED_OTHER, u->nice, SLICE_NS);
}

/* Called, the sampler is about to step aside: at once, or, if another takes its CPU just then, not
 * before it is back. */
static void serve(struct usher *u)
{
    while (atomic_load(&u->word) == USHER_CALLED) {
        nap_ns(NAP_NS);
        bring_back(u);
    }
    if (atomic_load(&u->word) == USHER_ASIDE) {
        bring_back(u);
        atomic_store(&u->word, USHER_RESTS);
        sem_post(&u->back);
    }
}

static void *usher_main(void *arg)
{
    struct usher *u = arg;
    prctl(PR_SET_NAME, "oxprof-usher");
    u->able = set_scheduling(0, SCHED_IDLE, 0, SLICE_NS) == 0 &&
              set_scheduling(0, SCHED_OTHER, u->nice, SLICE_NS) == 0;
    sem_post(&u->ready);
    while (u->able && atomic_load(&u->word) != USHER_ENDS) {
        await(&u->called);
        serve(u);
    }
    return NULL;
}

static void usher_free(struct usher *u)
{
    if (!u)
        return;
    atomic_store(&u->word, USHER_ENDS);
    sem_post(&u->called);
    pthread_join(u->thread, NULL);
    sem_destroy(&u->called);
    sem_destroy(&u->back);
    sem_destroy(&u->ready);
    free(u);
}

/* NULL where it can't do its work, or there is nothing for it to do. */
static struct usher *usher_new(const cpu_set_t *cpus, int nice)
{
    if (CPU_COUNT(cpus) < 2)
        return NULL;
    sigset_t all, before;
    struct usher *u = mem_alloc(sizeof(*u));
    *u = (struct usher){.sampler = gettid(), .nice = nice};
    sem_init(&u->called, 0, 0);
    sem_init(&u->back, 0, 0);
    sem_init(&u->ready, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* they are the sampler's */
    int rc = pthread_create(&u->thread, NULL, usher_main, u);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(u);
        return NULL;
    }
    await(&u->ready);
    if (u->able)
        return u;
    usher_free(u);
    return NULL;
}

/* --- the sampler's side */

/* A short slice lets a task that wakes up have the CPU at once (EEVDF, since Linux 6.12). */
static void raise_priority(struct visit *v)
{
    set_scheduling(0, SCHED_OTHER, v->nice, SLICE_NS);
    if (v->nice > NICE)
        set_scheduling(0, SCHED_OTHER, NICE, SLICE_NS);
}

void visit_init(struct visit *v)
{
    *v = (struct visit){
        .cpu = -1, .nice = getpriority(PRIO_PROCESS, 0), .random = clock_random_seed()};
    v->cpus_online = sysconf(_SC_NPROCESSORS_ONLN);
    v->loadavg_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    CPU_ZERO(&v->cpus);
    sched_getaffinity(0, sizeof(v->cpus), &v->cpus);
    if (sched_getscheduler(0) != SCHED_OTHER)
        return;
    raise_priority(v);
    v->usher = usher_new(&v->cpus, v->nice < NICE ? v->nice : NICE);
}

void visit_release(struct visit *v)
{
    usher_free(v->usher);
    v->usher = NULL;
    if (v->loadavg_fd > 0)
        close(v->loadavg_fd);
    v->loadavg_fd = -1;
}

void visit_calm(struct visit *v)
{
    if (sched_getscheduler(0) == SCHED_OTHER)
        set_scheduling(0, SCHED_OTHER, v->nice, 0);
}

/*
 * Are more threads ready to run than there are CPUs? Then none of them is idle, and where we went
 * we would have to wait. Of the one that we visit, one of its two counts. "0.20 0.18 0.12 1/80 11":
 * the fourth field is running/all (proc(5)).
 */
static bool is_crowded(const struct visit *v)
{
    char text[128];
    ssize_t n = pread(v->loadavg_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    const char *running = text;
    for (int i = 0; running && i < 3; i++)
        if ((running = strchr(running, ' ')))
            running++;
    return running && strtol(running, NULL, 10) > v->cpus_online;
}

/* The usher is called once at a time: it must have brought us back before it is called again. */
static void come_back(struct visit *v)
{
    if (v->aside)
        await(&v->usher->back);
    v->aside = false;
}

bool visit_go(struct visit *v, int cpu, uint64_t tick)
{
    cpu_set_t there;
    CPU_ZERO(&there);
    CPU_SET(cpu, &there);
    come_back(v);
    v->crowded = is_crowded(v);
    if (sched_setaffinity(0, sizeof(there), &there) < 0)
        return false;
    v->cpu = cpu;
    v->tick = tick;
    nap_ns(NAP_NS + clock_random_next(&v->random) % NAP_NS);
    return true;
}

static bool elsewhere(const struct visit *v, cpu_set_t *ret)
{
    *ret = v->cpus;
    if (v->cpu >= 0)
        CPU_CLR(v->cpu, ret);
    return v->cpu >= 0 && CPU_COUNT(ret) > 0;
}

void visit_make_room(struct visit *v)
{
    cpu_set_t others;
    if (!v->usher && !v->crowded && elsewhere(v, &others))
        sched_setaffinity(0, sizeof(others), &others);
}

void visit_step_aside(struct visit *v)
{
    struct usher *u = v->usher;
    if (!u || v->aside || v->crowded || !elsewhere(v, &u->elsewhere))
        return;
    atomic_store(&u->word, USHER_CALLED);
    sem_post(&u->called); /* first: we might lose the CPU at once */
    set_scheduling(0, SCHED_IDLE, 0, SLICE_NS);
    v->aside = true; /* also where that failed: the usher comes */
    atomic_store(&u->word, USHER_ASIDE);
}

void visit_rescue(pid_t sampler)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        sched_setaffinity(sampler, sizeof(cpus), &cpus);
    if (sched_getscheduler(sampler) == SCHED_IDLE)
        set_scheduling(sampler, SCHED_OTHER, NICE, SLICE_NS);
}

void visit_end(struct visit *v)
{
    come_back(v);
    if (v->cpu >= 0)
        sched_setaffinity(0, sizeof(v->cpus), &v->cpus);
    v->cpu = -1;
}
