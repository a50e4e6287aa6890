/* SPDX-License-Identifier: MIT */
#ifndef TARGET_LOCKS_H
#define TARGET_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Who holds what a thread waits for in futex(2), told from the call's arguments and the memory
 * around its word, by the layouts of glibc on x86-64 (sysdeps/nptl/bits/thread-shared-types.h,
 * struct_mutex.h, struct_rwlock.h; unchanged from 2.4 to 2.41) and the futex ABI for PI locks
 * (include/uapi/linux/futex.h). Plain data. A wrong holder is worse than none: whatever does not
 * fit in every word is not answered.
 */
struct futex_call {
    uint64_t addr;
    uint32_t op, value;
    uint64_t timeout_addr; /* 0: it waits for ever */
};

/* The first four and the sixth argument of the system call are what matters: arguments 0 to 3. */
struct futex_call futex_call_of(const uint64_t args[6]);

enum lock_kind {
    LOCK_NONE,   /* not told */
    LOCK_MUTEX,  /* pthread_mutex_t */
    LOCK_PI,     /* the kernel itself knows the holder: FUTEX_LOCK_PI */
    LOCK_RWLOCK, /* pthread_rwlock_t */
    LOCK_THREAD, /* the end of a thread: pthread_join() */
};

/* What function of the C library it waits in, as far as its callers tell. */
enum lock_function { FUNCTION_OTHER, FUNCTION_MUTEX, FUNCTION_COND, FUNCTION_RWLOCK };

/* The memory that must be read for the answer: LOCK_WORDS words from lock_words_addr(). */
enum { LOCK_WORDS = 9 };
uint64_t lock_words_addr(const struct futex_call *call, enum lock_function in);

struct lock_state {
    enum lock_kind kind;
    uint32_t holder; /* TID as the program itself sees it; 0: none is told */
    bool readers;    /* LOCK_RWLOCK: readers hold it, who are not known */
};

/*
 * `words`: from lock_words_addr(), n of them (fewer where memory ends). LOCK_NONE where the words,
 * the call and the function don't fit together. LOCK_THREAD is not told here: see
 * lock_joined_thread().
 */
struct lock_state lock_state_of(const struct futex_call *call, enum lock_function in,
                                const uint32_t *words, unsigned n);

/* Where the struct pthread lies whose end the call would wait for; 0: it waits for no such thing.
 * The kernel clears the TID there and wakes the waiters (CLONE_CHILD_CLEARTID). */
uint64_t lock_joined_addr(const struct futex_call *call);
/* The head of that struct, 3 words of 64 bits, fits: its first and third are its own address. */
bool lock_is_pthread(uint64_t addr, const uint64_t head[3]);

#endif
