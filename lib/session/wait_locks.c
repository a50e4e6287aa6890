/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "session/state.h"
#include "symbols/locate.h"

/*
 * Who holds a lock. That a word of memory is one is told by the function that waits for it, found
 * by its name in the C library; then every word around it must fit (see target/locks.h).
 */
enum {
    CALLERS = 4, /* between the call and the function with a name there are some without */
};

static const struct {
    const char *name;
    enum lock_function function;
} functions[] = {
    {"pthread_mutex_lock", FUNCTION_MUTEX},
    {"__pthread_mutex_lock", FUNCTION_MUTEX},
    {"___pthread_mutex_lock", FUNCTION_MUTEX},
    {"pthread_mutex_timedlock", FUNCTION_MUTEX},
    {"__pthread_mutex_timedlock", FUNCTION_MUTEX},
    {"___pthread_mutex_timedlock64", FUNCTION_MUTEX},
    {"pthread_mutex_clocklock", FUNCTION_MUTEX},
    {"__pthread_mutex_clocklock", FUNCTION_MUTEX},
    {"___pthread_mutex_clocklock64", FUNCTION_MUTEX},
    {"pthread_cond_wait", FUNCTION_COND},
    {"__pthread_cond_wait", FUNCTION_COND},
    {"___pthread_cond_wait", FUNCTION_COND},
    {"pthread_cond_timedwait", FUNCTION_COND},
    {"__pthread_cond_timedwait", FUNCTION_COND},
    {"___pthread_cond_timedwait64", FUNCTION_COND},
    {"pthread_cond_clockwait", FUNCTION_COND},
    {"___pthread_cond_clockwait64", FUNCTION_COND},
    {"pthread_rwlock_rdlock", FUNCTION_RWLOCK},
    {"___pthread_rwlock_rdlock", FUNCTION_RWLOCK},
    {"pthread_rwlock_wrlock", FUNCTION_RWLOCK},
    {"___pthread_rwlock_wrlock", FUNCTION_RWLOCK},
    {"pthread_rwlock_timedrdlock", FUNCTION_RWLOCK},
    {"pthread_rwlock_timedwrlock", FUNCTION_RWLOCK},
    {"pthread_rwlock_clockrdlock", FUNCTION_RWLOCK},
    {"pthread_rwlock_clockwrlock", FUNCTION_RWLOCK},
};
enum { FUNCTIONS = sizeof(functions) / sizeof(*functions) };

/* Where they lie in a module. */
struct wait_functions {
    const struct module *module; /* borrowed */
    struct located *found;       /* owned; by name in functions */
    size_t n;
};

void wait_functions_release(struct waits *waits)
{
    for (size_t i = 0; i < waits->n_functions; i++)
        free(waits->functions[i].found);
    free(waits->functions);
}

/* NULL: they are still to be looked for, which may take long, and a thread may stand still for us.
 */
static const struct wait_functions *functions_of(struct session *s, struct module *m)
{
    struct waits *waits = &s->waits;
    for (size_t i = 0; i < waits->n_functions; i++)
        if (waits->functions[i].module == m)
            return &waits->functions[i];
    if (s->stopper.n)
        return NULL;
    const char *names[FUNCTIONS];
    struct located found[LOCATED_MAX];
    for (size_t i = 0; i < FUNCTIONS; i++)
        names[i] = functions[i].name;
    struct wait_functions f = {.module = m, .n = locate_symbols(m, names, FUNCTIONS, found)};
    f.found = mem_alloc(f.n * sizeof(*found) + 1);
    memcpy(f.found, found, f.n * sizeof(*found));
    waits->functions = mem_grow(waits->functions, &waits->functions_cap, waits->n_functions + 1,
                                sizeof(*waits->functions));
    waits->functions[waits->n_functions] = f;
    return &waits->functions[waits->n_functions++];
}

static enum lock_function function_at(const struct wait_functions *f, uint64_t vaddr)
{
    for (size_t i = 0; i < f->n; i++)
        if (vaddr >= f->found[i].vaddr && vaddr - f->found[i].vaddr < f->found[i].bytes)
            return functions[f->found[i].name].function;
    return FUNCTION_OTHER;
}

/* The lock's own function is in the file that makes the call; so a program's own futex(2), which
 * comes through syscall() of the C library, is none. */
static enum lock_function waits_in(struct session *s, const struct target *t,
                                   const struct stack *stack)
{
    uint64_t vaddr;
    const struct mapping *leaf = mappings_find(&t->process.maps, stack->frames[0].addr);
    struct module *m = leaf ? leaf->module : NULL;
    if (!m || m->fd < 0)
        return FUNCTION_OTHER;
    const struct wait_functions *f = functions_of(s, m);
    for (size_t i = 0; f && f->n && i < stack->n && i < CALLERS; i++) {
        uint64_t addr = stack->frames[i].addr - (stack->frames[i].how != FRAME_LEAF);
        const struct mapping *map = mappings_find(&t->process.maps, addr);
        if (!map || map->module != m || !mapping_vaddr(map, addr, &vaddr))
            return FUNCTION_OTHER;
        enum lock_function found = function_at(f, vaddr);
        /* A condition has a lock of its own, which is waited for in the same way, but by the
         * function itself; its mutex through __lll_lock_wait() and __pthread_mutex_cond_lock(). */
        if (found == FUNCTION_COND && i < 2)
            return FUNCTION_OTHER;
        if (found != FUNCTION_OTHER)
            return found;
    }
    return FUNCTION_OTHER;
}

/* Their numbers cost a file each, once: with thousands of threads too long while one stands still
 * for us. */
static struct thread *thread_of_ns(const struct session *s, struct target *t, uint64_t ns_tid)
{
    for (size_t i = 0; i < t->threads.n; i++) {
        struct thread *th = t->threads.items[i];
        struct watch *w = th->watch;
        if (!w || th->gone)
            continue;
        if (!w->ns_tid && !s->stopper.n)
            pythreads_ns_tid(w);
        if ((uint64_t)w->ns_tid == ns_tid)
            return th;
    }
    return NULL;
}

/* NULL where the process has no such thread, as far as we know them. */
static struct thread *thread_of(const struct session *s, struct target *t, uint64_t ns_tid)
{
    if (t->process.ns_pid != t->process.pid)
        return thread_of_ns(s, t, ns_tid);
    const uint64_t *known = map_find(&t->threads.by_tid, ns_tid, 0);
    return known ? (struct thread *)(uintptr_t)*known : NULL;
}

uint32_t wait_for_thread(struct session *s, struct target *t, struct watch *w, uint64_t ns_tid)
{
    struct thread *th = ns_tid && ns_tid <= INT32_MAX ? thread_of(s, t, ns_tid) : NULL;
    char label[THREAD_LABEL_BYTES];
    if (!th || th->gone)
        return OX_NO_THREAD;
    w->waits_for = th->tid;
    if (th->watch)
        return th->watch->profile_thread;
    ticks_label(th, label);
    return profile_thread(s->profile, t->process.pid, th->tid, label);
}

static bool joined_thread(struct session *s, struct target *t, struct watch *w,
                          const struct futex_call *call, struct wait_thing *ret)
{
    uint64_t head[3], addr = lock_joined_addr(call);
    if (!addr || wait_read(s, t, head, sizeof(head), addr) != sizeof(head) ||
        !lock_is_pthread(addr, head))
        return false;
    ret->thread = wait_for_thread(s, t, w, call->value);
    w->waits_kind = LOCK_THREAD;
    w->waits_at = addr;
    snprintf(ret->text, WAIT_TEXT_BYTES, "join of");
    return ret->thread != OX_NO_THREAD;
}

static void describe(const struct lock_state *state, struct wait_thing *ret)
{
    const char *what = state->kind == LOCK_RWLOCK ? "rwlock" : "mutex";
    snprintf(ret->text, WAIT_TEXT_BYTES, "%s%s", what,
             ret->thread != OX_NO_THREAD ? " held by"
             : state->readers            ? " held by readers"
                                         : "");
}

bool wait_lock(struct session *s, struct target *t, struct watch *w, const struct snapshot *snap,
               const struct stack *stack, struct wait_thing *ret)
{
    struct futex_call call = futex_call_of(snap->syscall_args);
    uint32_t words[LOCK_WORDS];
    w->waits_limited = call.timeout_addr != 0;
    if (joined_thread(s, t, w, &call, ret))
        return true;
    enum lock_function in = waits_in(s, t, stack);
    size_t got = wait_read(s, t, words, sizeof(words), lock_words_addr(&call, in));
    struct lock_state state = lock_state_of(&call, in, words, (unsigned)(got / sizeof(words[0])));
    if (state.kind == LOCK_NONE)
        return false;
    w->waits_at = call.addr;
    w->waits_kind = state.kind;
    ret->thread = wait_for_thread(s, t, w, state.holder);
    describe(&state, ret);
    return true;
}
