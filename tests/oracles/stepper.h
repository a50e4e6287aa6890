/* SPDX-License-Identifier: MIT */
#ifndef STEPPER_H
#define STEPPER_H

#include <sys/types.h>
#include <sys/user.h>

#include "living.h"
#include "oracles.h"
#include "shadow.h"

/* What the files of "step" share: a program that is executed one instruction at a time. */

enum { REGIONS_MAX = 64, PLACES_MAX = 256, CODE_BYTES = 16, ASK_EVERY = 16 };

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

/* Says what and errno, and ends. */
void stepper_fail(const char *what);

/* stepper_process.c */
pid_t stepper_launch(char **argv);
enum { NEW_THREAD = 1000 };
/* The signal that it has stopped for, or NEW_THREAD; 0: it has ended, with *ret_code. */
int stepper_await(struct stepper *s, int *ret_code);
/* Lets the dynamic linker do its work, up to the program's first instruction. */
void stepper_run_to_entry(struct stepper *s);
void stepper_take_snapshot(struct stepper *s);
/* As the session: a stack that the walk was in want of is copied too. False: there is none. */
bool stepper_take_other_stack(struct stepper *s);

/* stepper_wanted.c: words of the process's stacks, as they are now. */
uint64_t stepper_word_at(struct stepper *s, uint64_t addr);
/* Of the wanted stack: does frame i stand at an instruction, not behind a call? */
bool stepper_is_exact(const struct stepper *s, size_t i);
bool stepper_is_in(struct stepper *s, size_t i, const char *function);
/* Fills s->wanted. */
void stepper_want(struct stepper *s);
/* Is this one of the instructions between two frames, in libgcc or __longjmp()? Then s->wanted is
 * what the CFI says it must be. */
bool stepper_landed(struct stepper *s);
bool stepper_jumped(struct stepper *s);

/* stepper_verdict.c */
struct region *stepper_region(struct stepper *s);
void stepper_region_begin(struct stepper *s, const char *name);
bool stepper_same(const struct oracle_stack *a, const struct oracle_stack *b);
void stepper_ask_oracles(struct stepper *s, bool ok[2], struct oracle_stack *found);
void stepper_note_wrong(struct stepper *s, const struct oracle_stack *ours);
/* Prints; true where all was right, or is known. */
bool stepper_show_regions(const struct stepper *s);
void stepper_show_places(const struct stepper *s);

#endif
