/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_GO_STACKS_H
#define UNWIND_GO_STACKS_H

#include "target/gotable.h"

/*
 * What Go's own table tells of its stacks. Above all where it changes them: functions of its
 * runtime that leave one stack for another, or at which one begins. No CFI describes that
 * (src/runtime/asm_amd64.s, sys_linux_amd64.s and the cases of gentraceback() in traceback.go,
 * Go 1.16 to 1.24).
 */
struct go_stacks;

enum go_role {
    GO_ORDINARY, /* also what is not Go's */
    GO_BOTTOM,   /* whatever it has called runs at the bottom of a stack */
    GO_KEEPS_SP, /* calls the vDSO, perhaps on another stack; keeps its own RSP in R12 */
    GO_SIGNAL    /* the trampoline that a signal's handler returns to */
};

struct go_stacks *go_stacks_new(void);
void go_stacks_free(struct go_stacks *g);
void go_stacks_forget(struct go_stacks *g);

enum go_role go_stacks_role(struct go_stacks *g, struct module *m, uint64_t vaddr);

/* What the function of Go's at vaddr covers (vaddr); false where there is none. */
bool go_stacks_function(struct go_stacks *g, struct module *m, uint64_t vaddr, uint64_t *ret_start,
                        uint64_t *ret_end);

/* As gotable_sp_deltas(), of that function. */
void go_stacks_deltas(struct go_stacks *g, struct module *m, uint64_t vaddr, gotable_visit *visit,
                      void *arg);

#endif
