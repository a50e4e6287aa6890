/* SPDX-License-Identifier: MIT */
#include "target/locks.h"

#include <linux/futex.h>
#include <stddef.h>

enum {
    /* struct __pthread_mutex_s, in words */
    MUTEX_LOCK = 0,
    MUTEX_OWNER = 2,
    MUTEX_USERS = 3,
    MUTEX_KIND = 4,
    /* nptl/pthreadP.h: types 0 to 3 and the flags robust, PI, PP, shared, elision yes and no */
    MUTEX_KINDS = 0x3ff,
    MUTEX_ROBUST = 0x10,
    MUTEX_USERS_MAX = 1 << 16,
    MUTEX_TAKEN = 1,
    MUTEX_CONTENDED = 2, /* what __lll_lock_wait() sets, and waits on */
    /* struct __pthread_rwlock_arch_t, in words */
    RWLOCK_READERS = 0,
    RWLOCK_PHASE = 2,        /* a futex; and the next one, which writers wait on */
    RWLOCK_WRITER = 6,       /* __cur_writer */
    RWLOCK_READER_SHIFT = 3, /* nptl/pthread_rwlock_common.c: PTHREAD_RWLOCK_READER_SHIFT */
    /* struct pthread: tid at 720 since 2.4 (nptl/descr.h); as in lib/session/interpreter.c */
    PTHREAD_TID = 720,
};

struct futex_call futex_call_of(const uint64_t args[6])
{
    return (struct futex_call){.addr = args[0],
                               .op = (uint32_t)args[1],
                               .value = (uint32_t)args[2],
                               .timeout_addr = args[3]};
}

static uint32_t command_of(const struct futex_call *call)
{
    return call->op & (uint32_t)FUTEX_CMD_MASK;
}

static bool is_pi(const struct futex_call *call)
{
    return command_of(call) == FUTEX_LOCK_PI || command_of(call) == FUTEX_LOCK_PI2;
}

/* __lll_lock_wait() waits plainly, and for ever; with a limit, glibc gives it as a time of day. */
static bool waits_as_lll(const struct futex_call *call)
{
    return call->timeout_addr ? command_of(call) == FUTEX_WAIT_BITSET
                              : command_of(call) == FUTEX_WAIT;
}

uint64_t lock_words_addr(const struct futex_call *call, enum lock_function in)
{
    const uint64_t phase = RWLOCK_PHASE * sizeof(uint32_t);
    uint64_t addr = call->addr & ~7ull; /* of the lock's two futexes the first is aligned to 8 */
    if (in == FUNCTION_RWLOCK && !is_pi(call))
        return addr > phase ? addr - phase : 0;
    return call->addr;
}

static struct lock_state pi_state(const uint32_t *words, unsigned n)
{
    struct lock_state s = {.kind = LOCK_PI};
    if (n)
        s.holder = words[0] & FUTEX_TID_MASK;
    return s.holder ? s : (struct lock_state){0};
}

static bool is_mutex(const uint32_t *words, unsigned n)
{
    return n > MUTEX_KIND && !(words[MUTEX_KIND] & ~(uint32_t)MUTEX_KINDS) &&
           words[MUTEX_USERS] <= MUTEX_USERS_MAX;
}

/* Its word holds the holder and a flag, so that the kernel can tell the next one of its death. */
static struct lock_state robust_state(const struct futex_call *call, const uint32_t *words,
                                      unsigned n)
{
    struct lock_state s = {.kind = LOCK_MUTEX};
    if (!is_mutex(words, n) || !(words[MUTEX_KIND] & MUTEX_ROBUST) ||
        words[MUTEX_LOCK] != call->value || !(call->value & FUTEX_WAITERS) ||
        (call->value & FUTEX_TID_MASK) != words[MUTEX_OWNER] || !words[MUTEX_USERS])
        return (struct lock_state){0};
    s.holder = words[MUTEX_OWNER];
    return s;
}

/* Waiting for a condition is no wait for its mutex, but for the end of it: pthread_cond_wait()
 * takes the mutex again, always without a limit. */
static struct lock_state mutex_state(const struct futex_call *call, enum lock_function in,
                                     const uint32_t *words, unsigned n)
{
    struct lock_state s = {.kind = LOCK_MUTEX};
    if (call->value != MUTEX_CONTENDED || !waits_as_lll(call) || !is_mutex(words, n) ||
        (in == FUNCTION_COND && call->timeout_addr))
        return (struct lock_state){0};
    /* On its way from one holder to the next it has none. Whoever takes it before the one that was
     * woken, leaves the others asleep and sets it to 1. */
    if ((words[MUTEX_LOCK] == MUTEX_CONTENDED || words[MUTEX_LOCK] == MUTEX_TAKEN) &&
        words[MUTEX_USERS])
        s.holder = words[MUTEX_OWNER] & FUTEX_TID_MASK;
    return s;
}

static struct lock_state rwlock_state(const struct futex_call *call, const uint32_t *words,
                                      unsigned n)
{
    struct lock_state s = {.kind = LOCK_RWLOCK};
    uint32_t command = command_of(call);
    if (n <= RWLOCK_WRITER || (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET))
        return (struct lock_state){0};
    s.holder = words[RWLOCK_WRITER] & FUTEX_TID_MASK;
    s.readers = !s.holder && words[RWLOCK_READERS] >> RWLOCK_READER_SHIFT;
    return s;
}

struct lock_state lock_state_of(const struct futex_call *call, enum lock_function in,
                                const uint32_t *words, unsigned n)
{
    if (is_pi(call))
        return pi_state(words, n);
    if (in == FUNCTION_RWLOCK)
        return rwlock_state(call, words, n);
    struct lock_state s = {0};
    if (in == FUNCTION_MUTEX || in == FUNCTION_COND)
        s = mutex_state(call, in, words, n);
    return s.kind ? s : robust_state(call, words, n);
}

uint64_t lock_joined_addr(const struct futex_call *call)
{
    uint32_t command = command_of(call);
    bool waits = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
    if (!waits || call->op & FUTEX_PRIVATE_FLAG || call->addr <= PTHREAD_TID || !call->value ||
        call->value > FUTEX_TID_MASK)
        return 0;
    return call->addr - PTHREAD_TID;
}

bool lock_is_pthread(uint64_t addr, const uint64_t head[3])
{
    return head[0] == addr && head[2] == addr;
}
