/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_UNWIND_H
#define UNWIND_UNWIND_H

#include "target/mappings.h"
#include "target/snapshot.h"

/*
 * A snapshot and the mappings go in, the stack's addresses come out. Nothing live is read: memory
 * is the snapshot's copy of the stack and the modules' files, whatever else is asked for is not
 * there.
 */

/* How a frame was found from the one below it (the leaf: from the registers). */
enum frame_how {
    FRAME_LEAF,
    FRAME_CFI,    /* DWARF call frame information, compiled to a row */
    FRAME_SIGNAL, /* a signal's trampoline, and the code that it interrupted: exact, like a leaf */
    FRAME_FRAME_POINTER, /* code without CFI, by the saved RBP */
    FRAME_LIBUNWIND,     /* DWARF call frame information beyond what rows say, by libunwind */
    FRAME_GO,            /* code without CFI, by the table that Go's runtime has of its frames */
    FRAME_KNOWN_CODE,    /* code without CFI that is known by its bytes: glibc's clone() */
};

struct frame {
    uint64_t addr;      /* FRAME_LEAF and FRAME_SIGNAL: the instruction; else the return address */
    uint64_t sp;        /* stack pointer there: its C frame reaches up to that of its caller */
    enum frame_how how; /* names are looked up at addr - 1 for return addresses */
};

enum stack_end {
    STACK_COMPLETE,  /* reached the thread's first function: undefined return address, or RBP 0 */
    STACK_CUT,       /* needs stack bytes above those copied */
    STACK_NO_CFI,    /* code without CFI, and no valid frame pointer chain */
    STACK_NO_REG,    /* a register that the snapshot does not hold (a sleeper's RBP, say) */
    STACK_ELSEWHERE, /* goes on on another stack, which was not copied: a signal's handler had one
                        of its own */
    STACK_BAD,       /* CFI or stack contents make no sense (CFA does not grow, RA in no code) */
    STACK_TOO_DEEP,  /* more than UNWIND_FRAMES_MAX */
    STACK_TOO_MUCH,  /* more CFI than one walk may read */
    STACK_UNMAPPED,  /* an address that the mappings have no code for: miss_addr, if not 0; ask for
                        its mapping, and walk on */
};

enum { UNWIND_FRAMES_MAX = 1024 };

struct stack {
    struct frame frames[UNWIND_FRAMES_MAX]; /* leaf first */
    size_t n;                               /* at least 1: the leaf */
    enum stack_end end;
    uint64_t miss_addr; /* STACK_UNMAPPED; 0: it has been asked for, there is nothing */
    bool teachable; /* STACK_NO_REG: walking this stack once with all registers, of a stop, would
                       let later walks of sleepers pass this place */
    /* STACK_CUT: how many bytes beyond the copy the next word lies, at least 8 */
    uint64_t cut_bytes;
    /* STACK_ELSEWHERE: where in the copy the kernel keeps the RSP of what the handler has
     * interrupted, at the same place each time; 0: not known */
    uint64_t elsewhere_at;
};

/* One for each process; holds its compiled call frame information. Not for several threads. */
struct unwinder *unwinder_new(void);
void unwinder_free(struct unwinder *u);

/* Must be called after any change of the mappings other than an addition (exec, dlclose). */
void unwinder_forget(struct unwinder *u);

/* cfi_cut() of its modules, since it was made. */
uint64_t unwinder_cfi_cut(const struct unwinder *u);

/* Where the function around vaddr begins, as the module's CFI tells: what a function without a
 * symbol is known by. False where there is no CFI. */
bool unwinder_function_start(struct unwinder *u, struct module *m, uint64_t vaddr,
                             uint64_t *ret_start);

/* Always fills *ret_stack, with at least the leaf; how far it got is in ret_stack->end. */
void unwinder_walk(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                   struct stack *ret_stack);

/*
 * After STACK_UNMAPPED of this unwinder's last walk, once the kernel has been asked for the mapping
 * at miss_addr: the walk goes on where it stood. What maps now says of that address is taken for
 * true, be it that no code is there.
 */
void unwinder_walk_on(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                      struct stack *stack);

#endif
