/* SPDX-License-Identifier: MIT */
#include "unwind/sigreturn.h"

#include <string.h>

#include "unwind/stack_words.h"

/* In struct ucontext (Linux, arch/x86/include/uapi/asm/ucontext.h and sigcontext.h): behind
 * uc_flags, uc_link and uc_stack. */
enum { GREGS_OFF = 40 };

bool sigreturn_at(struct pages *pages, struct module *m, uint64_t vaddr)
{
    /* mov $15, %rax; syscall: as glibc, musl and Go write it, and libunwind and gdb know it */
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    uint8_t found[sizeof(code)];
    return pages_read_vaddr(pages, m, found, sizeof(found), vaddr) == 0 &&
           !memcmp(found, code, sizeof(code));
}

uint64_t sigreturn_last_word(uint64_t sp)
{
    return sp + GREGS_OFF + (DWREG_N - 1) * sizeof(uint64_t);
}

bool sigreturn_regs(const struct snapshot *snap, uint64_t sp, struct regs *ret_regs)
{
    static const uint8_t order[DWREG_N] = {
        DWREG_R8,  DWREG_R9,  DWREG_R10, DWREG_R11, DWREG_R12, DWREG_R13,
        DWREG_R14, DWREG_R15, DWREG_RDI, DWREG_RSI, DWREG_RBP, DWREG_RBX,
        DWREG_RDX, DWREG_RAX, DWREG_RCX, DWREG_RSP, DWREG_RIP,
    };
    struct regs regs = {.known = (1u << DWREG_N) - 1};
    for (unsigned i = 0; i < DWREG_N; i++)
        if (!stack_read(snap, sp + GREGS_OFF + i * sizeof(uint64_t), &regs.value[order[i]]))
            return false;
    *ret_regs = regs;
    return true;
}
