/* SPDX-License-Identifier: MIT */
#ifndef TARGET_SNAPSHOT_H
#define TARGET_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One thread at one moment: what capture produces and everything after it works on. Plain data. */

/* DWARF register numbers of x86-64 (psABI 1.0, figure 3.36); 16 is the return address column. */
enum dwarf_reg {
    DWREG_RAX,
    DWREG_RDX,
    DWREG_RCX,
    DWREG_RBX,
    DWREG_RSI,
    DWREG_RDI,
    DWREG_RBP,
    DWREG_RSP,
    DWREG_R8,
    DWREG_R9,
    DWREG_R10,
    DWREG_R11,
    DWREG_R12,
    DWREG_R13,
    DWREG_R14,
    DWREG_R15,
    DWREG_RIP,
    DWREG_N
};

struct regs {
    uint64_t value[DWREG_N];
    uint32_t known; /* bit 1 << DWREG_x: value is valid. A sleeper shows only RSP and RIP. */
};

enum thread_state {
    STATE_CPU,  /* ran, or was ready to run */
    STATE_WAIT, /* blocked, or found inside a blocking call at its stop */
    STATE_N
};

enum snapshot_source { SOURCE_ASLEEP, SOURCE_STOPPED, SOURCE_PERF, SOURCE_N };

enum {
    SNAPSHOT_RED_ZONE_BYTES = 128,          /* psABI: below RSP, may be used by leaf functions */
    SNAPSHOT_STACK_MAX_BYTES = 1024 * 1024, /* no more is ever copied, of both stacks */
    SNAPSHOT_KERNEL_MAX = 127,              /* PERF_MAX_STACK_DEPTH of linux/perf_event.h */
    SNAPSHOT_PIECES_MAX = 192,
    SNAPSHOT_PIECES_BYTES = 1024 * 1024,
    SNAPSHOT_BUF_BYTES = SNAPSHOT_STACK_MAX_BYTES + SNAPSHOT_PIECES_BYTES,
};

/* Other memory of the same moment, for whoever asked for it before. */
struct snapshot_piece {
    uint64_t addr;
    size_t bytes;
    const uint8_t *data; /* borrowed, as the stack */
};

struct snapshot {
    pid_t pid, tid;
    uint64_t taken_ns; /* CLOCK_MONOTONIC; 0 where it was saved */
    enum thread_state state;
    enum snapshot_source source;
    int64_t syscall;          /* number of the system call that it is in; -1 none */
    uint64_t syscall_args[6]; /* of the call */
    struct regs regs;
    uint64_t stack_addr;  /* of the first byte: RSP less the red zone, or 0 */
    size_t stack_bytes;   /* may be 0 */
    const uint8_t *stack; /* borrowed from whoever captured or loaded it */
    bool stack_cut;       /* the mapping has more bytes above than were copied */
    /* Where it was in the kernel, addr of the kernel's code: where it stood, then return addresses
     * outward. Borrowed; the registers are those with which it entered. */
    const uint64_t *kernel;
    size_t n_kernel;
    /* The stack of the code that a signal's handler has interrupted, where the handler runs on one
     * of its own; from there up, less the red zone. */
    struct snapshot_piece interrupted;
    bool interrupted_cut; /* as stack_cut */
    struct snapshot_piece pieces[SNAPSHOT_PIECES_MAX];
    size_t n_pieces;
    bool pieces_cut;  /* a limit left some out */
    bool refs_copied; /* what the lists' records refer to is among them */
};

#endif
