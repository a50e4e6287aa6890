/* SPDX-License-Identifier: MIT */
/*
 * usage: step PROGRAM [bare]
 *
 * Executes a program (tests/targets/stepped.c) one instruction at a time, from its entry point to
 * its end, and walks its stack before each. The walk must reach the entry point's function, and
 * give the very frames that the instructions seen so far have made (shadow.h). "bare": the program
 * has a C library without CFI: a walk need not get further than its first function.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "base/mem.h"
#include "stepper.h"

enum {
    STEPS_MAX = 1000 * 1000,
    SIGNAL_EVERY = 7, /* instructions, in regions that are called signals... */
    PR_SET_NAME_ = 15
};

static void walk(struct stepper *s)
{
    living_walk(&s->living, &s->snap, &s->walked);
    if (stepper_take_other_stack(s))
        living_walk(&s->living, &s->snap, &s->walked);
}

static bool at_syscall(const struct stepper *s, uint64_t nr)
{
    return s->code[0] == 0x0f && s->code[1] == 0x05 && s->regs.rax == nr;
}

static void note_region(struct stepper *s)
{
    char name[16] = "";
    if (!at_syscall(s, SYS_prctl) || s->regs.rdi != PR_SET_NAME_)
        return;
    process_read(&s->living.process, name, sizeof(name) - 1, s->regs.rsi);
    stepper_region_begin(s, name);
}

/* Names of interrupted frames are looked up where they stand, and so is the trampoline's, which
 * nobody called either. */
static bool marked(const struct stepper *s)
{
    for (size_t i = 0; i < s->walked.n; i++) {
        bool trampoline = i + 1 < s->walked.n && stepper_is_exact(s, i + 1);
        bool exact =
            s->walked.frames[i].how == FRAME_LEAF || s->walked.frames[i].how == FRAME_SIGNAL;
        if (exact != (stepper_is_exact(s, i) || trampoline))
            return false;
    }
    return true;
}

/* What a sleeper shows may be too little for the whole stack, but no frame may be invented. */
static void look_with_two(struct stepper *s)
{
    struct snapshot two = s->snap;
    struct stack *st = &s->with_two;
    two.regs.known = 1u << DWREG_RSP | 1u << DWREG_RIP;
    unwinder_walk(s->untaught, &two, &s->living.process.maps, st);
    bool wrong = st->n > s->wanted.n || (st->end == STACK_COMPLETE && st->n < s->wanted.n);
    for (size_t i = 0; i < st->n && i < s->wanted.n; i++)
        wrong |= st->frames[i].addr != s->wanted.addrs[i];
    stepper_region(s)->two_wrong += wrong;
    /* A signal's frame shows all registers, and teaches. In a function with alloca that calls
     * itself an old return address of the same call can pass for the caller's. */
    for (size_t i = 0; i < s->shadow.n; i++)
        if (s->shadow.items[i].signal)
            unwinder_forget(s->untaught);
}

static void addresses_of(const struct stack *walked, struct oracle_stack *ret)
{
    ret->n = walked->n;
    for (size_t i = 0; i < walked->n; i++)
        ret->addrs[i] = walked->frames[i].addr;
}

static void look(struct stepper *s)
{
    static struct oracle_stack ours, found[2];
    bool ok[2];
    stepper_want(s);
    walk(s);
    addresses_of(&s->walked, &ours);
    s->steps++;
    stepper_region(s)->steps++;
    bool leapt = stepper_landed(s);
    bool whole = s->walked.end == STACK_COMPLETE;
    bool right = whole && stepper_same(&ours, &s->wanted) && (leapt || marked(s));
    if (!right && !(stepper_jumped(s) && whole && stepper_same(&ours, &s->wanted))) {
        stepper_note_wrong(s, &ours);
        return;
    }
    look_with_two(s);
    if (s->ask_all && s->steps % ASK_EVERY == 0)
        stepper_ask_oracles(s, ok, found);
}

/* The kernel has made a handler's frame, on the alternate stack perhaps. */
static void entered_handler(struct stepper *s)
{
    shadow_signal(&s->shadow, s->regs.rsp, s->stack_end);
}

static void executed(struct stepper *s, uint64_t ip, uint64_t sp, size_t call_bytes, bool sigreturn)
{
    if (sigreturn)
        shadow_signal_over(&s->shadow);
    shadow_moved(&s->shadow, s->regs.rsp, s->stack_end);
    if (call_bytes && s->regs.rsp == sp - 8 && stepper_word_at(s, s->regs.rsp) == ip + call_bytes)
        shadow_call(&s->shadow, s->regs.rsp, s->stack_end);
}

static int signal_to_send(struct stepper *s)
{
    for (size_t i = 0; i < s->shadow.n; i++)
        if (s->shadow.items[i].signal)
            return 0;
    if (strncmp(stepper_region(s)->name, "signals", 7) != 0 || ++s->since_signal < SIGNAL_EVERY)
        return 0;
    s->since_signal = 0;
    return SIGUSR2;
}

static int step_all(struct stepper *s);

/* The new thread first, to its end; its creator stands still meanwhile. */
static void step_thread(struct stepper *s)
{
    unsigned long tid;
    int code;
    pid_t creator = s->tid;
    struct shadow shadow = s->shadow;
    if (ptrace(PTRACE_GETEVENTMSG, s->tid, NULL, &tid) < 0)
        stepper_fail("PTRACE_GETEVENTMSG");
    s->tid = (pid_t)tid;
    s->shadow = (struct shadow){0};
    if (stepper_await(s, &code) != SIGSTOP)
        stepper_fail("a new thread does not stop");
    step_all(s);
    shadow_release(&s->shadow);
    s->shadow = shadow;
    s->tid = creator;
    /* that was a stop within the system call: now to its end */
    if (ptrace(PTRACE_SINGLESTEP, s->tid, NULL, NULL) < 0 || stepper_await(s, &code) != SIGTRAP)
        stepper_fail("clone");
}

/* Runs the thread to its end; its exit code. */
static int step_all(struct stepper *s)
{
    int code = 0, sig = 0;
    stepper_take_snapshot(s);
    while (s->steps < STEPS_MAX) {
        uint64_t ip = s->regs.rip, sp = s->regs.rsp;
        if (!sig) {
            look(s);
            sig = signal_to_send(s);
        }
        if (!sig)
            note_region(s);
        size_t call_bytes = shadow_call_bytes(s->code, sizeof(s->code));
        bool sigreturn = at_syscall(s, SYS_rt_sigreturn);
        if (ptrace(PTRACE_SINGLESTEP, s->tid, NULL, (long)sig) < 0)
            stepper_fail("PTRACE_SINGLESTEP");
        int stopped = stepper_await(s, &code);
        if (!stopped)
            return code;
        if (stopped == NEW_THREAD) {
            step_thread(s);
            stopped = SIGTRAP;
        }
        stepper_take_snapshot(s);
        if (sig)
            entered_handler(s);
        else if (stopped == SIGTRAP)
            executed(s, ip, sp, call_bytes, sigreturn);
        sig = stopped == SIGTRAP ? 0 : stopped;
    }
    printf("it does not end\n");
    kill(s->pid, SIGKILL);
    return 1;
}

int main(int argc, char **argv)
{
    struct error err;
    int code;
    static struct stepper stepper;
    struct stepper *s = &stepper;
    if (argc < 2) {
        fprintf(stderr,
                "usage: step PROGRAM [bare]\nskipped: the program's compiler is not here\n");
        return 77;
    }
    s->bare = argc > 2;
    argv[2] = NULL;
    s->pid = s->tid = stepper_launch(argv + 1);
    if (stepper_await(s, &code) != SIGTRAP)
        stepper_fail("no exec");
    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (long)(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE));
    stepper_run_to_entry(s);
    if (living_open(&s->living, s->pid, &err) < 0) {
        fprintf(stderr, "step: %s\n", err.text);
        return 2;
    }
    const char *how = getenv("ORACLES");
    s->ask_all = how && !strcmp(how, "full");
    s->stack = mem_alloc(SNAPSHOT_STACK_MAX_BYTES);
    s->interrupted = mem_alloc(SNAPSHOT_STACK_MAX_BYTES);
    s->untaught = unwinder_new();
    s->libunwind = by_libunwind_new();
    s->elfutils = by_elfutils_new();
    stepper_region_begin(s, "start");
    code = step_all(s);
    bool good = stepper_show_regions(s);
    stepper_show_places(s);
    if (code)
        printf("the program ended with %d\n", code);
    unwinder_free(s->untaught);
    by_libunwind_free(s->libunwind);
    by_elfutils_free(s->elfutils);
    living_close(&s->living);
    shadow_release(&s->shadow);
    free(s->stack);
    free(s->interrupted);
    return !good || code;
}
