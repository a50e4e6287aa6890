/* SPDX-License-Identifier: MIT */
#ifndef ORACLES_H
#define ORACLES_H

#include "target/mappings.h"
#include "target/snapshot.h"
#include "unwind/unwind.h"

/*
 * Two other unwinders on the very same snapshot: memory is the copied stack and the modules' files,
 * registers are those that the snapshot has. Neither is given anything that ours has found out.
 */
struct oracle_stack {
    uint64_t addrs[UNWIND_FRAMES_MAX]; /* as struct stack's: leaf first, then return addresses */
    size_t n;
    bool failed;     /* it says that it could not go on, not that the stack ends */
    const char *why; /* static, or valid until its next walk */
};

/* libunwind's own unw_step(), its cache off. */
struct by_libunwind;
struct by_libunwind *by_libunwind_new(void);
void by_libunwind_free(struct by_libunwind *o);
void by_libunwind_walk(struct by_libunwind *o, const struct snapshot *snap,
                       const struct mappings *maps, struct oracle_stack *ret);

/* elfutils' libdwfl, with the modules' own files only: no separate debug files. */
struct by_elfutils;
struct by_elfutils *by_elfutils_new(void);
void by_elfutils_free(struct by_elfutils *o);
void by_elfutils_walk(struct by_elfutils *o, const struct snapshot *snap,
                      const struct mappings *maps, struct oracle_stack *ret);

/* How far the module of an executable mapping is moved: addr - vaddr. By its executable segment, as
 * a page of the file may be part of two. False without a module. */
bool oracle_bias(const struct mapping *m, uint64_t *ret_bias);

/* Does any CFI cover this place, as elfutils reads it? Of the mappings of its last walk. */
enum oracle_cfi { ORACLE_CFI_NONE, ORACLE_CFI_EH_FRAME, ORACLE_CFI_DEBUG_FRAME };
enum oracle_cfi by_elfutils_cfi(struct by_elfutils *o, uint64_t addr);

#endif
