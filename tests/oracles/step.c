/* SPDX-License-Identifier: MIT */
/*
 * usage: step PROGRAM [bare]
 *
 * Executes a program (tests/targets/stepped.c) one instruction at a time, from its entry point to
 * its end, and walks its stack before each. The walk must reach the entry point's function, and
 * give the very frames that the instructions seen so far have made (shadow.h). "bare": the program
 * has a C library without CFI: a walk need not get further than its first function.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "living.h"
#include "oracles.h"
#include "shadow.h"

enum {
    STEPS_MAX = 1000 * 1000,
    REGIONS_MAX = 64,
    PLACES_MAX = 256,
    PLACES_SHOWN = 200,
    CODE_BYTES = 16,
    ASK_EVERY = 16,
    SIGNAL_EVERY = 7,        /* instructions, in regions that are called signals... */
    SAVED_RIP = 40 + 16 * 8, /* in ucontext_t, with which a signal's frame goes on */
    PR_SET_NAME_ = 15
};

struct region {
    char name[16];
    uint64_t steps, incomplete, wrong, known;
    uint64_t two_wrong;                       /* with RIP and RSP alone: an invented frame */
    uint64_t libunwind_wrong, elfutils_wrong; /* of those where ours was wrong or incomplete */
};

/* Where a walk went astray: from this instruction, or the call before it, to a wrong frame. */
struct place {
    char text[256];
    uint64_t n;
    size_t region;
    char example[2000];
    const char *reason; /* static; "": not known */
};

struct stepper {
    pid_t pid, tid; /* the latter: who is stepped, the process's thread or one that it made */
    struct living living;
    struct shadow shadow;
    struct snapshot snap;
    uint8_t *stack;       /* owned; SNAPSHOT_STACK_MAX_BYTES */
    uint8_t *interrupted; /* owned; the same */
    uint64_t stack_start, stack_end;
    struct user_regs_struct regs;
    uint8_t code[CODE_BYTES];
    struct unwinder *untaught; /* owned; sees two registers only, as of a sleeper */
    struct by_libunwind *libunwind;
    struct by_elfutils *elfutils;
    bool bare;    /* see usage */
    bool ask_all; /* the oracles where ours is right as well, at every ASK_EVERYth instruction */
    uint64_t oracle_wrong[2];

    struct stack walked, with_two;
    struct oracle_stack wanted, oracle;
    struct region regions[REGIONS_MAX];
    size_t n_regions;
    struct place places[PLACES_MAX];
    size_t n_places;
    uint64_t places_lost;
    uint64_t steps, since_signal; /* the latter: outside of handlers */
};

static void fail(const char *what)
{
    fprintf(stderr, "step: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- the process */

static pid_t launch(char **argv)
{
    static char *environment[] = {"LANG=C", NULL};
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid)
        return pid;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execve(argv[0], argv, environment);
    _exit(127);
}

enum { NEW_THREAD = 1000 };

/* The signal that it has stopped for, or NEW_THREAD; 0: it has ended, with *ret_code. */
static int await(struct stepper *s, int *ret_code)
{
    int status;
    if (waitpid(s->tid, &status, __WALL) != s->tid)
        fail("waitpid");
    if (WIFSTOPPED(status))
        return status >> 16 == PTRACE_EVENT_CLONE ? NEW_THREAD : WSTOPSIG(status);
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

static uint64_t entry_point(pid_t pid)
{
    char path[64];
    uint64_t pair[2] = {0};
    snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
    FILE *f = fopen(path, "re");
    while (f && fread(pair, sizeof(pair), 1, f) == 1 && pair[0] != AT_ENTRY)
        ;
    if (!f || pair[0] != AT_ENTRY)
        fail("no entry point");
    fclose(f);
    return pair[1];
}

/* Lets the dynamic linker do its work, up to the program's first instruction. */
static void run_to_entry(struct stepper *s)
{
    int code;
    uint64_t entry = entry_point(s->pid);
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, s->tid, entry, NULL);
    if (errno || ptrace(PTRACE_POKETEXT, s->tid, entry, (word & ~0xffL) | 0xcc) < 0)
        fail("entry point");
    if (ptrace(PTRACE_CONT, s->tid, NULL, NULL) < 0 || await(s, &code) != SIGTRAP)
        fail("not reached: the entry point");
    ptrace(PTRACE_POKETEXT, s->tid, entry, word);
    ptrace(PTRACE_GETREGS, s->tid, NULL, &s->regs);
    s->regs.rip = entry;
    if (ptrace(PTRACE_SETREGS, s->tid, NULL, &s->regs) < 0)
        fail("registers");
}

static void find_stack(struct stepper *s, uint64_t rsp)
{
    bool anonymous;
    if (rsp >= s->stack_start && rsp < s->stack_end)
        return;
    if (process_query_memory(&s->living.process, rsp, &s->stack_start, &s->stack_end, &anonymous) <
        0)
        fail("no stack (PROCMAP_QUERY is since Linux 6.11)");
}

static void take_snapshot(struct stepper *s)
{
    const struct user_regs_struct *r = &s->regs;
    struct snapshot *snap = &s->snap;
    if (ptrace(PTRACE_GETREGS, s->tid, NULL, &s->regs) < 0)
        fail("PTRACE_GETREGS");
    find_stack(s, r->rsp);
    *snap = (struct snapshot){.pid = s->pid,
                              .tid = s->tid,
                              .state = STATE_CPU,
                              .source = SOURCE_STOPPED,
                              .syscall = -1,
                              .stack_addr = r->rsp - SNAPSHOT_RED_ZONE_BYTES,
                              .stack = s->stack,
                              .regs.known = (1u << DWREG_N) - 1};
    const uint64_t values[DWREG_N] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
                                      r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
                                      r->r12, r->r13, r->r14, r->r15, r->rip};
    memcpy(snap->regs.value, values, sizeof(values));
    if (snap->stack_addr < s->stack_start)
        snap->stack_addr = s->stack_start;
    size_t bytes = s->stack_end - snap->stack_addr;
    if (bytes > SNAPSHOT_STACK_MAX_BYTES)
        bytes = SNAPSHOT_STACK_MAX_BYTES;
    ssize_t got = process_read(&s->living.process, s->stack, bytes, snap->stack_addr);
    snap->stack_bytes = got > 0 ? (size_t)got : 0;
    memset(s->code, 0, sizeof(s->code));
    process_read(&s->living.process, s->code, sizeof(s->code), r->rip);
}

/* As the session: a stack that the walk was in want of is copied too. */
static bool take_other_stack(struct stepper *s)
{
    struct snapshot_piece *other = &s->snap.interrupted;
    const struct stack *st = &s->walked;
    uint64_t sp = st->frames[st->n - 1].sp, start, end;
    bool anonymous;
    if (st->end != STACK_ELSEWHERE)
        return false;
    if (st->elsewhere_at)
        process_read(&s->living.process, &sp, sizeof(sp), st->elsewhere_at);
    if (process_query_memory(&s->living.process, sp, &start, &end, &anonymous) < 0)
        return false;
    other->addr = sp - SNAPSHOT_RED_ZONE_BYTES < start ? start : sp - SNAPSHOT_RED_ZONE_BYTES;
    size_t bytes = end - other->addr;
    if (bytes > SNAPSHOT_STACK_MAX_BYTES)
        bytes = SNAPSHOT_STACK_MAX_BYTES;
    ssize_t got = process_read(&s->living.process, s->interrupted, bytes, other->addr);
    other->bytes = got > 0 ? (size_t)got : 0;
    other->data = s->interrupted;
    return got > 0;
}

static void walk(struct stepper *s)
{
    living_walk(&s->living, &s->snap, &s->walked);
    if (take_other_stack(s))
        living_walk(&s->living, &s->snap, &s->walked);
}

/* ---- regions */

static struct region *region(struct stepper *s)
{
    return &s->regions[s->n_regions - 1];
}

static void region_begin(struct stepper *s, const char *name)
{
    if (s->n_regions < REGIONS_MAX)
        s->n_regions++;
    snprintf(region(s)->name, sizeof(region(s)->name), "%s", name);
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
    region_begin(s, name);
}

/* ---- what is wanted, and what was found */

/* Words of return addresses are read where they lie: whoever overwrites one (the landing of an
 * exception) makes the function return elsewhere. On any stack. */
static uint64_t word_at(struct stepper *s, uint64_t addr)
{
    uint64_t word = 0, at = addr - s->snap.stack_addr;
    if (addr >= s->snap.stack_addr && at + sizeof(word) <= s->snap.stack_bytes)
        memcpy(&word, s->snap.stack + at, sizeof(word));
    else
        process_read(&s->living.process, &word, sizeof(word), addr);
    return word;
}

/* Of the wanted stack: does frame i stand at an instruction, not behind a call? */
static bool is_exact(const struct stepper *s, size_t i)
{
    return !i || s->shadow.items[s->shadow.n - i].signal;
}

static bool is_in(struct stepper *s, size_t i, const char *function)
{
    char buf[256];
    living_place(&s->living, s->wanted.addrs[i], is_exact(s, i), buf, sizeof(buf));
    size_t bytes = strlen(function);
    return !strncmp(buf, function, bytes) && (buf[bytes] == '+' || function[bytes - 1] == '_');
}

static void want(struct stepper *s)
{
    struct oracle_stack *w = &s->wanted;
    w->n = 0;
    w->addrs[w->n++] = s->regs.rip;
    for (size_t i = s->shadow.n; i > 0 && w->n < UNWIND_FRAMES_MAX; i--) {
        const struct shadow_entry *e = &s->shadow.items[i - 1];
        w->addrs[w->n++] = word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
}

/*
 * libgcc's last instructions on the way to a landing pad (__builtin_eh_return): mov %rcx,%rsp; pop
 * %rcx; jmp *%rcx. The pad's address stands where RCX or RSP points to, then in RCX.
 */
static bool landed(struct stepper *s)
{
    static const struct {
        uint8_t bytes, code[3];
    } last[] = {{3, {0x48, 0x89, 0xcc}}, {1, {0x59}}, {2, {0xff, 0xe1}}};
    const uint64_t at[] = {s->regs.rcx, s->regs.rsp, s->regs.rsp - 8};
    struct oracle_stack *w = &s->wanted;
    size_t i = 0;
    while (i < 3 && memcmp(s->code, last[i].code, last[i].bytes) != 0)
        i++;
    if (i == 3 || !is_in(s, 0, "_Unwind_"))
        return false;
    w->n = 1;
    w->addrs[w->n++] = i == 2 ? s->regs.rcx : word_at(s, at[i]);
    for (size_t k = s->shadow.n; k > 0 && w->n < UNWIND_FRAMES_MAX; k--) {
        const struct shadow_entry *e = &s->shadow.items[k - 1];
        if (e->slot > at[i])
            w->addrs[w->n++] = word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
    return true;
}

/* glibc's __longjmp, once it has the target's RSP, RBP and RIP in R8, R9 and RDX, says in its CFI
 * that it has arrived there (sysdeps/x86_64/__longjmp.S). */
static bool jumped(struct stepper *s)
{
    struct oracle_stack *w = &s->wanted;
    if (!is_in(s, 0, "__longjmp"))
        return false;
    w->n = 1;
    w->addrs[w->n++] = s->regs.rdx;
    for (size_t i = s->shadow.n; i > 0 && w->n < UNWIND_FRAMES_MAX; i--) {
        const struct shadow_entry *e = &s->shadow.items[i - 1];
        if (e->slot >= s->regs.r8)
            w->addrs[w->n++] = word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
    return true;
}

static bool same(const struct oracle_stack *a, const struct oracle_stack *b)
{
    return a->n == b->n && !memcmp(a->addrs, b->addrs, a->n * sizeof(a->addrs[0]));
}

static void addresses_of(const struct stack *walked, struct oracle_stack *ret)
{
    ret->n = walked->n;
    for (size_t i = 0; i < walked->n; i++)
        ret->addrs[i] = walked->frames[i].addr;
}

static size_t common(const struct oracle_stack *a, const struct oracle_stack *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->addrs[n] == b->addrs[n])
        n++;
    return n;
}

static void show_stack(struct stepper *s, const char *whose, const struct oracle_stack *st,
                       char **at, const char *end)
{
    char buf[256];
    *at += snprintf(*at, (size_t)(end - *at), "      %s:", whose);
    for (size_t i = 0; i < st->n && i < 6 && *at < end; i++)
        *at += snprintf(*at, (size_t)(end - *at), "%s %s", i ? "," : "",
                        living_place(&s->living, st->addrs[i], !i, buf, sizeof(buf)));
    if (*at < end)
        *at += snprintf(*at, (size_t)(end - *at), "%s [%zu]\n", st->n > 6 ? ", ..." : "", st->n);
    if (*at > end)
        *at = (char *)end;
}

/* The last frame that ours and the wanted stack share. */
struct astray {
    size_t at;
    bool ours_ends; /* there, and says that it is not whole */
    bool ok[2];     /* the oracles' */
};

/*
 * What is known to be wrong, by its place, and why. "": not known.
 */
static const char *reason_of(struct stepper *s, const struct astray *a)
{
    bool all_wrong = !a->ok[0] && !a->ok[1];
    bool edge = s->n_regions == 1 || !strcmp(region(s)->name, "after");
    bool bare = by_elfutils_cfi(s->elfutils, s->wanted.addrs[a->at] - !is_exact(s, a->at)) ==
                ORACLE_CFI_NONE;
    if (s->bare && (s->n_regions == 1 || (all_wrong && bare)))
        return "a C library without CFI";
    if (all_wrong && bare && edge)
        return "the compiler's crt files have no CFI";
    for (size_t i = 0; i < 3 && i < s->wanted.n; i++)
        if (all_wrong && is_in(s, i, "_Unwind_"))
            return "landing of an exception: return addresses and registers are being replaced";
    return "";
}

static struct place *place_of(struct stepper *s, const char *text, const char *reason)
{
    for (size_t i = 0; i < s->n_places; i++)
        if (!strcmp(s->places[i].text, text) && s->places[i].reason == reason)
            return &s->places[i];
    if (s->n_places == PLACES_MAX) {
        s->places_lost++;
        return NULL;
    }
    struct place *p = &s->places[s->n_places++];
    snprintf(p->text, sizeof(p->text), "%s", text);
    p->region = s->n_regions - 1;
    p->reason = reason;
    return p;
}

static void ask_oracles(struct stepper *s, bool ok[2], struct oracle_stack *found)
{
    by_libunwind_walk(s->libunwind, &s->snap, &s->living.process.maps, &found[0]);
    ok[0] = same(&found[0], &s->wanted);
    by_elfutils_walk(s->elfutils, &s->snap, &s->living.process.maps, &found[1]);
    ok[1] = same(&found[1], &s->wanted);
    s->oracle_wrong[0] += !ok[0];
    s->oracle_wrong[1] += !ok[1];
}

static void note_wrong(struct stepper *s, const struct oracle_stack *ours)
{
    static struct oracle_stack found[2];
    struct astray a = {0};
    char text[256], where[200];
    size_t n = common(ours, &s->wanted);
    a.at = n ? n - 1 : 0;
    a.ours_ends = n == ours->n && s->walked.end != STACK_COMPLETE;
    living_place(&s->living, s->wanted.addrs[a.at], is_exact(s, a.at), where, sizeof(where));
    snprintf(text, sizeof(text), "%s%s", where, a.at ? " called" : "");
    ask_oracles(s, a.ok, found);
    region(s)->libunwind_wrong += !a.ok[0];
    region(s)->elfutils_wrong += !a.ok[1];
    const char *reason = reason_of(s, &a);
    struct place *p = place_of(s, text, reason);
    if (reason[0])
        region(s)->known++;
    else if (s->walked.end != STACK_COMPLETE)
        region(s)->incomplete++;
    else
        region(s)->wrong++;
    if (!p || p->n++)
        return;
    char *at = p->example, *end = p->example + sizeof(p->example);
    at += snprintf(at, (size_t)(end - at), "      %s; libunwind %s, elfutils %s\n",
                   living_stack_end(s->walked.end), a.ok[0] ? "right" : "wrong",
                   a.ok[1] ? "right" : "wrong");
    show_stack(s, "wanted", &s->wanted, &at, end);
    show_stack(s, "ours", ours, &at, end);
    show_stack(s, "libunwind", &found[0], &at, end);
    show_stack(s, "elfutils", &found[1], &at, end);
}

/* Names of interrupted frames are looked up where they stand, and so is the trampoline's, which
 * nobody called either. */
static bool marked(const struct stepper *s)
{
    for (size_t i = 0; i < s->walked.n; i++) {
        bool trampoline = i + 1 < s->walked.n && is_exact(s, i + 1);
        bool exact =
            s->walked.frames[i].how == FRAME_LEAF || s->walked.frames[i].how == FRAME_SIGNAL;
        if (exact != (is_exact(s, i) || trampoline))
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
    region(s)->two_wrong += wrong;
    /* A signal's frame shows all registers, and teaches. In a function with alloca that calls
     * itself an old return address of the same call can pass for the caller's. */
    for (size_t i = 0; i < s->shadow.n; i++)
        if (s->shadow.items[i].signal)
            unwinder_forget(s->untaught);
}

static void look(struct stepper *s)
{
    static struct oracle_stack ours, found[2];
    bool ok[2];
    want(s);
    walk(s);
    addresses_of(&s->walked, &ours);
    s->steps++;
    region(s)->steps++;
    bool leapt = landed(s);
    bool whole = s->walked.end == STACK_COMPLETE;
    bool right = whole && same(&ours, &s->wanted) && (leapt || marked(s));
    if (!right && !(jumped(s) && whole && same(&ours, &s->wanted))) {
        note_wrong(s, &ours);
        return;
    }
    look_with_two(s);
    if (s->ask_all && s->steps % ASK_EVERY == 0)
        ask_oracles(s, ok, found);
}

/* ---- one instruction */

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
    if (call_bytes && s->regs.rsp == sp - 8 && word_at(s, s->regs.rsp) == ip + call_bytes)
        shadow_call(&s->shadow, s->regs.rsp, s->stack_end);
}

static int signal_to_send(struct stepper *s)
{
    for (size_t i = 0; i < s->shadow.n; i++)
        if (s->shadow.items[i].signal)
            return 0;
    if (strncmp(region(s)->name, "signals", 7) != 0 || ++s->since_signal < SIGNAL_EVERY)
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
        fail("PTRACE_GETEVENTMSG");
    s->tid = (pid_t)tid;
    s->shadow = (struct shadow){0};
    if (await(s, &code) != SIGSTOP)
        fail("a new thread does not stop");
    step_all(s);
    shadow_release(&s->shadow);
    s->shadow = shadow;
    s->tid = creator;
    /* that was a stop within the system call: now to its end */
    if (ptrace(PTRACE_SINGLESTEP, s->tid, NULL, NULL) < 0 || await(s, &code) != SIGTRAP)
        fail("clone");
}

/* Runs the thread to its end; its exit code. */
static int step_all(struct stepper *s)
{
    int code = 0, sig = 0;
    take_snapshot(s);
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
            fail("PTRACE_SINGLESTEP");
        int stopped = await(s, &code);
        if (!stopped)
            return code;
        if (stopped == NEW_THREAD) {
            step_thread(s);
            stopped = SIGTRAP;
        }
        take_snapshot(s);
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

/* ---- the report */

enum { KNOWN_AT_MOST = 40 }; /* one in so many */

static void show_region(const struct region *r)
{
    printf("%-16s %9" PRIu64 " %10" PRIu64 " %7" PRIu64 " %7" PRIu64 " %9" PRIu64 " %15" PRIu64
           " %14" PRIu64 "\n",
           r->name, r->steps, r->incomplete, r->wrong, r->known, r->two_wrong, r->libunwind_wrong,
           r->elfutils_wrong);
}

static bool show_regions(const struct stepper *s)
{
    struct region all = {.name = "all"};
    printf("%-16s %9s %10s %7s %7s %9s %15s %14s\n", "region", "steps", "incomplete", "wrong",
           "known", "two wrong", "libunwind wrong", "elfutils wrong");
    for (size_t i = 0; i < s->n_regions; i++) {
        const struct region *r = &s->regions[i];
        show_region(r);
        all.steps += r->steps, all.incomplete += r->incomplete, all.wrong += r->wrong;
        all.known += r->known, all.two_wrong += r->two_wrong;
        all.libunwind_wrong += r->libunwind_wrong, all.elfutils_wrong += r->elfutils_wrong;
    }
    show_region(&all);
    if (s->ask_all)
        printf("of those and one in %d of the others: libunwind %" PRIu64
               " wrong, elfutils %" PRIu64 " wrong\n",
               ASK_EVERY, s->oracle_wrong[0], s->oracle_wrong[1]);
    if (!s->bare && all.known > all.steps / KNOWN_AT_MOST)
        printf("more than is known: one in %d\n", KNOWN_AT_MOST);
    return all.incomplete + all.wrong + all.two_wrong == 0 &&
           (s->bare || all.known <= all.steps / KNOWN_AT_MOST);
}

/* One example for each function. */
static void show_places(const struct stepper *s)
{
    const char *before = "";
    for (size_t i = 0; i < s->n_places && i < PLACES_SHOWN; i++) {
        const struct place *p = &s->places[i];
        size_t function = strcspn(p->text, "+");
        printf("  %6" PRIu64 " times from %s, in %s%s%s\n%s", p->n, p->text,
               s->regions[p->region].name, p->reason[0] ? "; known: " : "", p->reason,
               strncmp(before, p->text, function + 1) ? p->example : "");
        before = p->text;
    }
    if (s->n_places > PLACES_SHOWN)
        printf("  and %zu other places\n", s->n_places - PLACES_SHOWN + (size_t)s->places_lost);
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
    s->pid = s->tid = launch(argv + 1);
    if (await(s, &code) != SIGTRAP)
        fail("no exec");
    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, (long)(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE));
    run_to_entry(s);
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
    region_begin(s, "start");
    code = step_all(s);
    bool good = show_regions(s);
    show_places(s);
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
