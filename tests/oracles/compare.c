/* SPDX-License-Identifier: MIT */
/*
 * usage: compare SNAPSHOTS SECONDS PID...
 *
 * Three unwinders on the same snapshots of living processes. Equal means: the same list of frame
 * addresses. Each difference is put into a class by where the two part: at which function, what CFI
 * that has, who goes on. A class is explained where a rule says why both did what they did (see
 * kinds), and it is not that ours is wrong; known where ours is wrong, and it is known why. An
 * example of each class is shown, and where ORACLES_SAVE names a folder, a snapshot of each that is
 * neither is left there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "capture/snapfile.h"
#include "oracles.h"
#include "sampling.h"

enum kind {
    EQUAL,
    NO_CFI,         /* there, or on the way, is code without CFI: each guesses, or stops */
    NO_DEBUG_FRAME, /* the same for libunwind, which is not given .debug_frame */
    NO_REGISTER,    /* a sleeper shows two registers; the oracle has not learnt the others */
    ORACLE_SHORT,   /* the oracle ends earlier, ours reaches the thread's first function */
    GO_BOTTOM,      /* Go's runtime has changed stacks: it goes on with words of the other one */
    ORACLE_BEYOND,  /* the oracle goes on behind the thread's first function, to no code */
    LANDING,        /* an exception's: return addresses and registers are being replaced */
    OURS_SHORT,     /* not explained, as all below */
    APART,
    KINDS
};

enum standing { STANDING_EQUAL, STANDING_EXPLAINED, STANDING_KNOWN, STANDING_DIFFERENT, STANDINGS };
static const char *const standings[] = {"equal", "explained", "known", "different"};

static const struct {
    const char *text;
    enum standing standing;
} kinds[KINDS] = {
    [EQUAL] = {"equal", STANDING_EQUAL},
    [NO_CFI] = {"no CFI there", STANDING_EXPLAINED},
    [NO_DEBUG_FRAME] = {".debug_frame only", STANDING_EXPLAINED},
    [NO_REGISTER] = {"a sleeper's register", STANDING_EXPLAINED},
    [ORACLE_SHORT] = {"it stops, ours is whole", STANDING_EXPLAINED},
    [GO_BOTTOM] = {"Go has changed stacks there", STANDING_EXPLAINED},
    [ORACLE_BEYOND] = {"it goes on into no code", STANDING_EXPLAINED},
    [LANDING] = {"landing of an exception, nobody is right", STANDING_EXPLAINED},
    [OURS_SHORT] = {"OURS STOPS", STANDING_DIFFERENT},
    [APART] = {"THEY PART", STANDING_DIFFERENT},
};

enum { CLASSES_MAX = 512, CLASSES_SHOWN = 60, FRAMES_SHOWN = 5 };

struct class
{
    char text[300];
    uint64_t n;
    enum kind kind;
    char example[2400];
};

enum { BY_LIBUNWIND, BY_ELFUTILS, ORACLES };

struct oracle {
    const char *name;
    uint64_t counts[STANDINGS];
    struct oracle_stack stack;
};

struct comparison {
    uint64_t n, running, asleep, complete, wanted;
    uint64_t as_asleep, as_asleep_less, as_asleep_different;
    struct map distinct; /* hashes of our stacks */
    struct by_libunwind *libunwind;
    struct by_elfutils *elfutils;
    struct oracle oracles[ORACLES];
    struct stack walked, again;
    struct oracle_stack ours;
    struct class classes[CLASSES_MAX];
    size_t n_classes;
    uint64_t classes_lost;
};

static bool same(const struct oracle_stack *a, const struct oracle_stack *b)
{
    return a->n == b->n && !memcmp(a->addrs, b->addrs, a->n * sizeof(a->addrs[0]));
}

static size_t common(const struct oracle_stack *a, const struct oracle_stack *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->addrs[n] == b->addrs[n])
        n++;
    return n;
}

static void addresses_of(const struct stack *walked, struct oracle_stack *ret)
{
    ret->n = walked->n;
    for (size_t i = 0; i < walked->n; i++)
        ret->addrs[i] = walked->frames[i].addr;
}

static bool is_exact(const struct comparison *c, size_t i)
{
    return c->walked.frames[i].how == FRAME_LEAF || c->walked.frames[i].how == FRAME_SIGNAL;
}

static bool is_code(const struct living *l, uint64_t addr)
{
    const struct mapping *m = mappings_find(&l->process.maps, addr);
    return m && (m->prot & PROT_EXEC);
}

/* The poorest CFI of the frames that the two share: after a guess nobody knows his registers. */
static enum oracle_cfi cfi_below(struct comparison *c, size_t shared)
{
    bool debug_frame = false;
    for (size_t i = 0; i < shared; i++) {
        enum oracle_cfi cfi = by_elfutils_cfi(c->elfutils, c->ours.addrs[i] - !is_exact(c, i));
        if (cfi == ORACLE_CFI_NONE)
            return cfi;
        debug_frame |= cfi == ORACLE_CFI_DEBUG_FRAME;
    }
    return debug_frame ? ORACLE_CFI_DEBUG_FRAME : ORACLE_CFI_EH_FRAME;
}

static bool is_in(struct comparison *c, struct living *l, size_t i, const char *prefix)
{
    char function[200];
    if (i >= c->ours.n)
        return false;
    living_function(l, c->ours.addrs[i], is_exact(c, i), function, sizeof(function));
    return !strncmp(function, prefix, strlen(prefix));
}

/* While an exception or a longjmp goes to its target. */
static enum kind kind_of_jump(struct comparison *c, struct living *l, const struct oracle_stack *it)
{
    bool lost = it->failed || !is_code(l, it->addrs[it->n - 1] - 1);
    bool landing =
        is_in(c, l, 0, "_Unwind_") || is_in(c, l, 1, "_Unwind_") || is_in(c, l, 2, "_Unwind_");
    return landing && lost && c->walked.end != STACK_COMPLETE ? LANDING : APART;
}

static bool is_go_bottom(struct comparison *c, struct living *l)
{
    static const char *const names[] = {"runtime.mcall", "runtime.systemstack", "runtime.mstart",
                                        "runtime.morestack"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (is_in(c, l, c->ours.n - 1, names[i]))
            return true;
    return false;
}

static enum kind kind_of(struct comparison *c, struct living *l, const struct snapshot *snap,
                         size_t which)
{
    const struct oracle_stack *it = &c->oracles[which].stack;
    size_t n = common(&c->ours, it);
    bool whole = c->walked.end == STACK_COMPLETE;
    if (same(&c->ours, it))
        return EQUAL;
    enum oracle_cfi cfi = cfi_below(c, n ? n : 1);
    if (cfi == ORACLE_CFI_NONE)
        return NO_CFI;
    if (cfi == ORACLE_CFI_DEBUG_FRAME && which == BY_LIBUNWIND)
        return NO_DEBUG_FRAME;
    if (snap->source == SOURCE_ASLEEP && n == it->n)
        return NO_REGISTER;
    if (whole && n == it->n)
        return ORACLE_SHORT;
    if (whole && n == c->ours.n && is_go_bottom(c, l))
        return GO_BOTTOM;
    if (whole && n == c->ours.n && !is_code(l, it->addrs[n] - 1))
        return ORACLE_BEYOND;
    enum kind jump = kind_of_jump(c, l, it);
    return jump == APART && n == c->ours.n ? OURS_SHORT : jump;
}

/* ---- classes */

static struct class *class_of(struct comparison *c, enum kind kind, const char *text)
{
    for (size_t i = 0; i < c->n_classes; i++)
        if (!strcmp(c->classes[i].text, text))
            return &c->classes[i];
    if (c->n_classes == CLASSES_MAX) {
        c->classes_lost++;
        return NULL;
    }
    struct class *k = &c->classes[c->n_classes++];
    snprintf(k->text, sizeof(k->text), "%s", text);
    k->kind = kind;
    return k;
}

static void show_frames(struct living *l, const char *whose, const struct oracle_stack *st,
                        size_t from, char **at, const char *end)
{
    char buf[256];
    *at += snprintf(*at, (size_t)(end - *at), "        %s [%zu]:", whose, st->n);
    for (size_t i = from; i < st->n && i < from + FRAMES_SHOWN && *at < end; i++)
        *at += snprintf(*at, (size_t)(end - *at), "%s %s", i > from ? "," : "",
                        living_place(l, st->addrs[i], !i, buf, sizeof(buf)));
    if (*at < end)
        *at += snprintf(*at, (size_t)(end - *at), "\n");
    if (*at > end)
        *at = (char *)end;
}

/* With what unwinding it needs of the modules. */
static void save(struct living *l, const struct snapshot *snap, const char *folder, size_t number)
{
    struct snapfile_process process = {.pid = snap->pid, .maps = l->process.maps};
    struct snapfile_item item = {.snap = *snap};
    struct snapfile file = {.modules = l->modules,
                            .processes = &process,
                            .n_processes = 1,
                            .items = &item,
                            .n_items = 1};
    struct stack *stack = mem_alloc(sizeof(*stack));
    struct unwinder *fresh = unwinder_new();
    struct error err;
    char path[4096];
    for (size_t i = 0; i < l->modules.n; i++)
        if (!l->modules.items[i]->touched && l->modules.items[i]->file_bytes)
            l->modules.items[i]->touched =
                mem_alloc(l->modules.items[i]->file_bytes / 4096 / 8 + 1);
    unwinder_walk(fresh, snap, &l->process.maps, stack);
    snprintf(path, sizeof(path), "%s/%d-%zu.snap", folder, snap->pid, number);
    FILE *out = fopen(path, "we");
    if (out && snapfile_write(out, &file, &err) < 0)
        fprintf(stderr, "compare: %s\n", err.text);
    if (out)
        fclose(out);
    unwinder_free(fresh);
    free(stack);
}

static void note_class(struct comparison *c, struct living *l, const struct snapshot *snap,
                       size_t which, enum kind kind)
{
    char text[300], function[200];
    const struct oracle_stack *it = &c->oracles[which].stack;
    size_t n = common(&c->ours, it), last = n ? n - 1 : 0;
    living_function(l, c->ours.addrs[last], is_exact(c, last), function, sizeof(function));
    snprintf(text, sizeof(text), "%s, %s: at %s%s", c->oracles[which].name, kinds[kind].text,
             function, same(&c->ours, &c->oracles[!which].stack) ? "; the other agrees" : "");
    struct class *k = class_of(c, kind, text);
    if (!k || k->n++)
        return;
    const char *end = k->example + sizeof(k->example), *folder = getenv("ORACLES_SAVE");
    char *at = k->example;
    at += snprintf(at, (size_t)(end - at), "        thread %d, %s; ours: %s, %s: %s\n", snap->tid,
                   snap->source == SOURCE_ASLEEP ? "asleep" : "stopped",
                   living_stack_end(c->walked.end), c->oracles[which].name,
                   it->failed ? it->why : "the end");
    size_t from = last > 1 ? last - 1 : 0;
    show_frames(l, "ours", &c->ours, from, &at, end);
    show_frames(l, c->oracles[which].name, it, from, &at, end);
    show_frames(l, c->oracles[!which].name, &c->oracles[!which].stack, from, &at, end);
    if (kinds[kind].standing == STANDING_DIFFERENT && folder)
        save(l, snap, folder, (size_t)(k - c->classes));
}

/* ---- one snapshot */

enum { TEACH_EVERY = 16 }; /* sleepers */

/* Stopped for all its registers: where ours wants them, as the session does, and now and then to
 * see whether what was learnt is true. In calls that a stop leaves no trace in. */
static bool wants_registers(const struct comparison *c, const struct snapshot *snap)
{
    if (snap->source != SOURCE_ASLEEP)
        return false;
    switch (snap->syscall) {
    case SYS_futex:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_clock_nanosleep:
    case SYS_accept4:
    case SYS_read:
    case SYS_recvfrom:
        return c->walked.teachable || c->n % TEACH_EVERY == 0;
    default:
        return false;
    }
}

/* A thread that was stopped in a system call, walked again as if it had been seen asleep: with two
 * registers and what was learnt, the frames may be fewer, never others. */
static void walk_as_asleep(struct comparison *c, struct living *l, const struct snapshot *snap)
{
    struct snapshot asleep = *snap;
    asleep.regs.known = 1u << DWREG_RSP | 1u << DWREG_RIP;
    living_walk(l, &asleep, &c->again);
    c->as_asleep++;
    if (c->again.n > c->walked.n || (c->again.n < c->walked.n && c->again.end == STACK_COMPLETE))
        c->as_asleep_different++;
    else if (c->again.n < c->walked.n)
        c->as_asleep_less++;
    for (size_t i = 0; i < c->again.n && i < c->walked.n; i++)
        if (c->again.frames[i].addr != c->walked.frames[i].addr) {
            c->as_asleep_different++;
            return;
        }
}

static uint64_t hash_of(const struct oracle_stack *st)
{
    uint64_t hash = st->n;
    for (size_t i = 0; i < st->n; i++)
        hash = map_hash(hash, st->addrs[i], i);
    return hash;
}

static void take(void *arg, struct sampled *p, const struct snapshot *snap, bool *teach)
{
    struct comparison *c = arg;
    if (c->n == c->wanted)
        return;
    living_walk(&p->living, snap, &c->walked);
    addresses_of(&c->walked, &c->ours);
    *teach = wants_registers(c, snap);
    by_libunwind_walk(c->libunwind, snap, &p->living.process.maps, &c->oracles[0].stack);
    by_elfutils_walk(c->elfutils, snap, &p->living.process.maps, &c->oracles[1].stack);
    c->n++;
    c->running += snap->source == SOURCE_STOPPED;
    c->asleep += snap->source == SOURCE_ASLEEP;
    c->complete += c->walked.end == STACK_COMPLETE;
    map_put(&c->distinct, hash_of(&c->ours), 0, 1);
    for (size_t i = 0; i < ORACLES; i++) {
        struct oracle *o = &c->oracles[i];
        enum kind kind = kind_of(c, &p->living, snap, i);
        o->counts[kinds[kind].standing]++;
        if (kind != EQUAL)
            note_class(c, &p->living, snap, i, kind);
    }
    if (snap->source == SOURCE_STOPPED && snap->state == STATE_WAIT)
        walk_as_asleep(c, &p->living, snap);
}

/* ---- the report */

static int by_count(const void *a, const void *b)
{
    const struct class *x = a, *y = b;
    if (kinds[x->kind].standing != kinds[y->kind].standing)
        return kinds[x->kind].standing < kinds[y->kind].standing ? 1 : -1;
    return (x->n < y->n) - (x->n > y->n);
}

static void show(struct comparison *c)
{
    qsort(c->classes, c->n_classes, sizeof(*c->classes), by_count);
    for (size_t i = 0; i < c->n_classes && i < CLASSES_SHOWN; i++)
        printf("  %6" PRIu64 " %s\n%s", c->classes[i].n, c->classes[i].text, c->classes[i].example);
    if (c->n_classes > CLASSES_SHOWN)
        printf("  and %zu other classes\n", c->n_classes - CLASSES_SHOWN + (size_t)c->classes_lost);
    printf("snapshots=%" PRIu64 " running=%" PRIu64 " asleep=%" PRIu64
           " distinct=%zu whole=%" PRIu64,
           c->n, c->running, c->asleep, c->distinct.n, c->complete);
    for (size_t i = 0; i < ORACLES; i++)
        for (size_t k = 0; k < STANDINGS; k++)
            printf(" %s_%s=%" PRIu64, c->oracles[i].name, standings[k], c->oracles[i].counts[k]);
    printf(" as_asleep=%" PRIu64 " as_asleep_less=%" PRIu64 " as_asleep_different=%" PRIu64 "\n",
           c->as_asleep, c->as_asleep_less, c->as_asleep_different);
}

static bool add_all(struct sampling *s, char **pids)
{
    struct error err;
    uint64_t pid;
    for (; *pids; pids++)
        if (parse_u64(*pids, &pid) < 0 || sampling_add(s, (pid_t)pid, &err) < 0)
            fprintf(stderr, "compare: %s: %s\n", *pids, err.text);
    return s->n > 0;
}

int main(int argc, char **argv)
{
    static struct comparison comparison = {
        .oracles = {{.name = "libunwind"}, {.name = "elfutils"}}};
    struct comparison *c = &comparison;
    struct sampling sampling;
    uint64_t seconds;
    if (argc < 4 || parse_u64(argv[1], &c->wanted) < 0 || parse_u64(argv[2], &seconds) < 0) {
        fputs("usage: compare SNAPSHOTS SECONDS PID...\n", stderr);
        return 2;
    }
    if (sampling_init(&sampling) < 0 || !add_all(&sampling, argv + 3))
        return 2;
    c->libunwind = by_libunwind_new();
    c->elfutils = by_elfutils_new();
    uint64_t end = clock_now_ns() + seconds * OX_NS_PER_S;
    while (c->n < c->wanted && clock_now_ns() < end && sampling_tick(&sampling, take, c))
        ;
    show(c);
    sampling_release(&sampling);
    by_libunwind_free(c->libunwind);
    by_elfutils_free(c->elfutils);
    map_release(&c->distinct);
    return 0;
}
