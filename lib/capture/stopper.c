/* SPDX-License-Identifier: MIT */
#include "capture/stopper.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "capture/asleep.h"
#include "capture/repair.h"
#include "capture/seize.h"

enum { EXPIRE_NS = 200 * 1000 * 1000 };

void stopper_release(struct stopper *s)
{
    for (size_t i = 0; i < STOPPER_MAX; i++)
        if (s->stops[i].buf)
            munmap(s->stops[i].buf, SNAPSHOT_BUF_BYTES);
    visit_release(&s->visit);
    *s = (struct stopper){0};
}

static void ready_buffer(struct stop *stop)
{
    if (stop->buf)
        return;
    void *p = mmap(NULL, SNAPSHOT_BUF_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        die("out of memory");
    stop->buf = p;
}

/* The kernel says EPERM also of a thread that has just exited (ptrace_attach() in kernel/ptrace.c),
 * and of one that we trace already: after its exec it has the number of another. */
static int why_refused(struct watch *w)
{
    struct proc_status status;
    int rc = thread_status(w->threads, w->process, w->thread, &status);
    if (rc < 0)
        return rc;
    if (status.state == 'Z' || status.state == 'X')
        return -ESRCH;
    if (status.tracer)
        return status.tracer == gettid() ? -EBUSY : -EPERM;
    return -EACCES;
}

void stopper_init(struct stopper *s, struct guardian *g)
{
    *s = (struct stopper){.guardian = g};
    seize_prepare();
    visit_init(&s->visit);
}

void stopper_calm(struct stopper *s)
{
    visit_calm(&s->visit);
}

static void end_stops(struct stopper *s);

/*
 * To the CPU that the thread runs on, or waits for. Meanwhile it may be moved elsewhere, so look
 * again. Real-time threads are left alone: pinned beside one, we might not get the CPU back to end
 * a stop.
 */
static int visit_cpu_of(struct stopper *s, struct watch *w, uint64_t tick)
{
    enum { TRIES = 4 };
    struct proc_stat stat;
    for (int i = 0; i < TRIES; i++) {
        int rc = thread_stat(w->threads, w->process, w->thread, &stat);
        if (rc < 0)
            return rc;
        if (stat.state == 'Z' || stat.state == 'X')
            return -ESRCH;
        /* D may last for ever, as a parent's in vfork. One that writes the core dump would take our
         * interruption for an end of its pipe. */
        if (stat.state == 'D' || stat.flags & PROC_FLAG_DUMPCORE)
            return -EBUSY;
        if (stat.state == 'S' && !w->teach)
            return -EALREADY;
        w->cpu = stat.cpu;
        bool here = s->visit.cpu == (int)stat.cpu && s->visit.tick == tick;
        bool fair = stat.policy == SCHED_OTHER || stat.policy == SCHED_BATCH;
        if (here || !fair || stat.cpu >= CPU_SETSIZE || !CPU_ISSET(stat.cpu, &s->visit.cpus) ||
            !visit_go(&s->visit, (int)stat.cpu, tick))
            break;
        if (s->n)
            end_stops(s); /* of the CPUs visited before */
    }
    return 0;
}

/*
 * A thread that is not the leader calls exec while its stop is under way: it goes on under the
 * process's number, seized, but may have lost the interruption (seen on Linux 6.18). Interrupted
 * again it stops, and let_go() has it.
 */
static void interrupt_heir(const struct process *p)
{
    ptrace(PTRACE_INTERRUPT, p->pid, NULL, NULL); /* fails where we have not seized it */
}

static int take_hold(struct stopper *s, struct watch *w, uint64_t now)
{
    _Atomic uint64_t *open_since = &s->guardian->page->open_since_ns;
    atomic_fetch_add_explicit(&s->guardian->page->heartbeat, 1, memory_order_relaxed);
    if (!s->n)
        atomic_store(open_since, now);
    int rc = seize(w->thread->tid);
    if (rc == 0)
        return 0;
    if (rc == -EINTR) {
        end_stops(s);
        rc = -EBUSY;
    } else if (rc != -ESRCH) {
        rc = why_refused(w);
        if (rc == -EBUSY)
            interrupt_heir(w->process);
    }
    if (!s->n)
        atomic_store(open_since, 0);
    return rc;
}

int stopper_start(struct stopper *s, struct watch *w, uint64_t tick)
{
    /* Suspended by the user, and continued by the guardian only to end what is under way. */
    if (s->n + s->n_ended == STOPPER_MAX || atomic_load(&s->guardian->page->stop_again))
        return -EAGAIN;
    s->interrupting = true;
    int rc = visit_cpu_of(s, w, tick);
    if (rc < 0)
        return rc;
    struct stop *stop = &s->stops[s->n];
    ready_buffer(stop);
    stop->watch = w;
    stop->tick = tick;
    stop->visited = s->visit.cpu == (int)w->cpu && s->visit.tick == tick;
    stop->interrupted_ns = clock_now_ns();
    rc = take_hold(s, w, stop->interrupted_ns);
    if (rc < 0)
        return rc;
    s->n++;
    w->stopping = true;
    /* Fails only where the thread has just ended; its exit is collected like any other. */
    ptrace(PTRACE_INTERRUPT, w->thread->tid, NULL, NULL);
    return 0;
}

void stopper_await(struct stopper *s)
{
    s->interrupting = false;
    if (s->n)
        visit_make_room(&s->visit);
    end_stops(s); /* seize() may have taken the signal that told of them, or of a child's end */
    if (!s->n)
        visit_end(&s->visit);
    if (s->n_ended)
        raise(SIGCHLD); /* so that the caller comes to collect them */
}

static void repair(struct stopper *s, pid_t tid, struct watch *w, const struct user_regs_struct *r)
{
    enum repair done = repair_call(tid, w, r);
    s->repaired += done == REPAIR_DONE;
    s->disturbed += done == REPAIR_DISTURBED;
}

static void take_registers(const struct user_regs_struct *r, struct regs *ret)
{
    *ret = (struct regs){
        .known = (1u << DWREG_N) - 1,
        .value = {[DWREG_RAX] = r->rax,
                  [DWREG_RDX] = r->rdx,
                  [DWREG_RCX] = r->rcx,
                  [DWREG_RBX] = r->rbx,
                  [DWREG_RSI] = r->rsi,
                  [DWREG_RDI] = r->rdi,
                  [DWREG_RBP] = r->rbp,
                  [DWREG_RSP] = r->rsp,
                  [DWREG_R8] = r->r8,
                  [DWREG_R9] = r->r9,
                  [DWREG_R10] = r->r10,
                  [DWREG_R11] = r->r11,
                  [DWREG_R12] = r->r12,
                  [DWREG_R13] = r->r13,
                  [DWREG_R14] = r->r14,
                  [DWREG_R15] = r->r15,
                  [DWREG_RIP] = r->rip},
    };
}

static int get_registers(pid_t tid, struct user_regs_struct *ret)
{
    enum { CS_64BIT = 0x33 }; /* __USER_CS, arch/x86/include/asm/segment.h */
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof(*ret)};
    if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov) < 0)
        return -errno;
    return iov.iov_len == sizeof(*ret) && ret->cs == CS_64BIT ? 0 : -ENOTSUP;
}

/* The thread stands still. `ours`: what it interrupted is to be put back. */
static void take(struct stopper *s, struct stop *stop, bool ours)
{
    struct user_regs_struct r;
    struct watch *w = stop->watch;
    int rc = get_registers(w->thread->tid, &r);
    if (rc < 0) {
        stop->result = rc == -ESRCH ? STOP_GONE : STOP_UNREADABLE;
        return;
    }
    if (ours)
        repair(s, w->thread->tid, w, &r);
    struct snapshot *snap = &stop->snapshot;
    bool blocked = repair_was_blocked(&r);
    snap->taken_ns = clock_now_ns();
    snap->pid = w->process->pid;
    snap->tid = w->thread->tid;
    snap->state = blocked ? STATE_WAIT : STATE_CPU;
    snap->source = SOURCE_STOPPED;
    snap->syscall = blocked ? (int64_t)r.orig_rax : -1;
    take_registers(&r, &snap->regs);
    memcpy(snap->syscall_args, (uint64_t[]){r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9},
           sizeof(snap->syscall_args));
    asleep_copy_stack(w, r.rsp, stop->buf, snap);
    plan_copy(w->plan, w->process, stop->buf + SNAPSHOT_STACK_MAX_BYTES, snap);
    stop->result = STOP_TAKEN;
}

/* The last one under way, and interrupted where we are? */
static bool is_last_here(const struct stopper *s, const struct stop *stop)
{
    return s->n == 1 && !s->interrupting && s->visit.cpu == (int)stop->watch->cpu &&
           s->visit.tick == stop->tick;
}

uint64_t stopper_release_run(const struct stop *stop, const struct proc_run *looked)
{
    return stop->visited && stop->result == STOP_TAKEN ? looked->switches_in + 1 : 0;
}

/*
 * How long the thread stood still, at most: from its interruption to its release. Of that a wait
 * for the CPU of over a millisecond is not our doing: other threads had it, and it stopped when its
 * turn came.
 */
static void account(struct stopper *s, const struct stop *stop, uint64_t noticed_ns,
                    uint64_t released_ns)
{
    enum { NOT_OURS_NS = 1000 * 1000 };
    struct watch *w = stop->watch;
    uint64_t ns = released_ns - stop->interrupted_ns;
    struct proc_run run;
    if (ns > NOT_OURS_NS && thread_run(w->threads, w->process, w->thread, &run) == 0) {
        uint64_t queued = run.delay_ns - w->run.delay_ns;
        if (queued > NOT_OURS_NS)
            ns = queued < ns ? ns - queued : 0;
    }
    if (ns < released_ns - noticed_ns)
        ns = released_ns - noticed_ns;
    s->count++;
    s->ns_sum += ns;
    if (ns > s->ns_max)
        s->ns_max = ns;
    size_t bucket = 0;
    while (bucket < STOP_BOUNDS && ns > stop_bounds_ns[bucket])
        bucket++;
    s->histogram.counts[bucket]++;
    s->histogram.ns_sum += ns;
}

static struct stop *stop_of(struct stopper *s, pid_t tid)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->stops[i].watch->thread->tid == tid)
            return &s->stops[i];
    return NULL;
}

static void tell_guardian(struct stopper *s)
{
    uint64_t oldest = s->n ? s->stops[0].interrupted_ns : 0;
    for (size_t i = 1; i < s->n; i++)
        if (s->stops[i].interrupted_ns < oldest)
            oldest = s->stops[i].interrupted_ns;
    atomic_store(&s->guardian->page->open_since_ns, oldest);
}

/* From those under way, at the array's beginning, to those that wait to be handed over, at its end.
 */
static void finish(struct stopper *s, struct stop *stop)
{
    struct stop ended = *stop;
    struct stop *last = &s->stops[--s->n], *place = &s->stops[STOPPER_MAX - 1 - s->n_ended++];
    *stop = *last;
    *last = *place; /* the buffer in it is free */
    *place = ended;
    tell_guardian(s);
}

static void reap(struct stopper *s, pid_t pid)
{
    int status;
    if (waitpid(pid, &status, __WALL | WNOHANG) != pid)
        return;
    if (pid == s->child && (WIFEXITED(status) || WIFSIGNALED(status))) {
        s->child_status = status;
        s->child_ended = true;
    } else if (pid == s->guardian->pid && (WIFEXITED(status) || WIFSIGNALED(status))) {
        s->guardian->pid = 0;
    } else if (pid == s->namer && (WIFEXITED(status) || WIFSIGNALED(status))) {
        s->namer_status = status;
        s->namer_ended = true;
    }
}

/*
 * Is what the stop interrupted to be put back? Where a signal came at the same moment too: if it
 * has a handler, the call reports EINTR all the same, and if it has none, or is ignored, an
 * untraced thread would not even have been woken. A group stop's interruption is the target's own.
 */
static bool is_ours(unsigned event, unsigned sig)
{
    return event != PTRACE_EVENT_STOP || sig == SIGTRAP;
}

/*
 * A stop that belongs to no thread that we know: a thread that called exec while its stop was under
 * way, which made its number that of the process. It must not stand still a moment longer.
 */
static void let_go(struct stopper *s, pid_t tid, bool ours, unsigned pass_on)
{
    struct user_regs_struct r;
    if (ours && get_registers(tid, &r) == 0)
        repair(s, tid, NULL, &r);
    ptrace(PTRACE_DETACH, tid, NULL, (long)pass_on);
}

static void handle_trap(struct stopper *s, const siginfo_t *si)
{
    unsigned event = (unsigned)si->si_status >> 8, sig = (unsigned)si->si_status & 0xff;
    unsigned pass_on = event ? 0 : sig; /* a signal that stopped it goes on to where it was sent */
    struct stop *stop = stop_of(s, si->si_pid);
    if (!stop) {
        let_go(s, si->si_pid, is_ours(event, sig), pass_on);
        return;
    }
    uint64_t noticed_ns = clock_now_ns();
    take(s, stop, is_ours(event, sig));
    if (is_last_here(s, stop))
        visit_step_aside(&s->visit);
    uint64_t released_ns = clock_now_ns(); /* not after: the thread takes the CPU from us */
    if (ptrace(PTRACE_DETACH, si->si_pid, NULL, (long)pass_on) < 0)
        return; /* killed meanwhile: its exit comes next */
    account(s, stop, noticed_ns, released_ns);
    finish(s, stop);
}

static void handle_exit(struct stopper *s, pid_t pid)
{
    struct stop *stop = stop_of(s, pid);
    reap(s, pid);
    if (!stop)
        return;
    stop->result = STOP_GONE;
    finish(s, stop);
}

/* One event of waitid(2). */
static void handle(struct stopper *s, const siginfo_t *si)
{
    switch (si->si_code) {
    case CLD_TRAPPED:
        handle_trap(s, si);
        break;
    case CLD_STOPPED: /* job control of a launched command: not a stop of ours, only to be noted */
        waitpid(si->si_pid, NULL, __WALL | WNOHANG | WUNTRACED);
        break;
    default:
        handle_exit(s, si->si_pid);
    }
}

/* Ends every stop that has come; they are handed over later. */
static void end_stops(struct stopper *s)
{
    for (;;) {
        siginfo_t si = {0};
        /* WNOWAIT: should we die now, the signal that stopped the thread is not lost. */
        if (waitid(P_ALL, 0, &si, WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL) < 0 ||
            !si.si_pid)
            return;
        handle(s, &si);
    }
}

static void hand_over(struct stopper *s, void (*done)(void *arg, const struct stop *stop),
                      void *arg)
{
    for (; s->n_ended; s->n_ended--) {
        struct stop *stop = &s->stops[STOPPER_MAX - s->n_ended];
        stop->watch->stopping = false;
        done(arg, stop);
    }
}

void stopper_collect(struct stopper *s, void (*done)(void *arg, const struct stop *stop), void *arg)
{
    end_stops(s);
    visit_end(&s->visit); /* what follows takes longer than the stop did */
    guardian_honour(s->guardian, !s->n);
    hand_over(s, done, arg);
}

/* Not so if this number is another thread's by now: that of one that called exec. */
static bool is_ours_still(struct watch *w)
{
    struct proc_status status;
    return thread_status(w->threads, w->process, w->thread, &status) < 0 ||
           status.tracer == gettid();
}

void stopper_expire(struct stopper *s, void (*done)(void *arg, const struct stop *stop), void *arg)
{
    uint64_t now = clock_now_ns();
    for (size_t i = s->n; i-- > 0;) {
        struct watch *w = s->stops[i].watch;
        struct proc_where where;
        if (now - s->stops[i].interrupted_ns < EXPIRE_NS)
            continue;
        int rc = thread_where(w->threads, w->process, w->thread, &where);
        bool exited = rc == 0 && !where.running && !where.sp && !where.pc;
        if (rc != -ESRCH && !exited && is_ours_still(w))
            continue;
        if (rc == -ESRCH)
            interrupt_heir(w->process);
        s->stops[i].result = STOP_GONE;
        finish(s, &s->stops[i]);
    }
    guardian_honour(s->guardian, !s->n);
    hand_over(s, done, arg);
}
