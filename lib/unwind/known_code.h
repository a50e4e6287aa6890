/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_KNOWN_CODE_H
#define UNWIND_KNOWN_CODE_H

#include "target/module.h"
#include "target/snapshot.h"
#include "unwind/pages.h"

/* Code without CFI, or with one that does not tell, that is known by its bytes. */
enum known_code {
    CODE_OTHER,
    CODE_BEFORE_SIGRETURN, /* right before a signal's trampoline: where its handler returns to */
    CODE_SIGRETURN,        /* at one of its two instructions */
    CODE_CLONE /* around the system call of glibc's clone() or clone3(): the creator's RSP is as the
                  function was entered with, and the new thread begins behind the call, with RAX 0;
                  glibc leaves out the CFI of both (sysdeps/unix/sysv/linux/x86_64/clone.S and
                  clone3.S, 2.2 to 2.40) */
};

enum known_code known_code_at(struct pages *pages, struct module *m, uint64_t vaddr);

/* The interrupted code's registers: all of them, from what lies at the trampoline's RSP. False
 * where the copy of the stack does not have it. */
bool sigreturn_regs(const struct snapshot *snap, uint64_t sp, struct regs *ret_regs);
/* The address of the highest word that this takes, and of the one that holds RSP. */
uint64_t sigreturn_last_word(uint64_t sp);
uint64_t sigreturn_sp_word(uint64_t sp);

#endif
