/* SPDX-License-Identifier: MIT */
#include "unwind/known_code.h"

#include <string.h>

#include "unwind/stack_words.h"

/* In struct ucontext (Linux, arch/x86/include/uapi/asm/ucontext.h and sigcontext.h): behind
 * uc_flags, uc_link and uc_stack. */
enum { GREGS_OFF = 40 };

/* Where in the ucontext's gregs they lie. */
enum { GREG_RSP = 15 };

/* mov $15, %rax; syscall: as glibc, musl and Go write it, and libunwind and gdb know it. */
static bool is_sigreturn(struct pages *pages, struct module *m, uint64_t vaddr)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    uint8_t found[sizeof(code)];
    return pages_read_vaddr(pages, m, found, sizeof(found), vaddr) == 0 &&
           !memcmp(found, code, sizeof(code));
}

/* mov $56 or $435, %eax; syscall; test %rax, %rax */
static bool is_clone(const uint8_t *code)
{
    static const uint8_t clone[] = {0xb8, 0x38, 0, 0, 0}, clone3[] = {0xb8, 0xb3, 1, 0, 0},
                         rest[] = {0x0f, 0x05, 0x48, 0x85, 0xc0};
    return (!memcmp(code, clone, sizeof(clone)) || !memcmp(code, clone3, sizeof(clone3))) &&
           !memcmp(code + sizeof(clone), rest, sizeof(rest));
}

/* At the system call, or at one of the instructions behind it: test, two jumps, ret. */
static bool is_in_clone(struct pages *pages, struct module *m, uint64_t vaddr)
{
    enum { MOV = 5, PATTERN = 10, LONGEST = MOV + 2 + 3 + 6 + 6 };
    uint8_t code[LONGEST + PATTERN];
    if (vaddr < LONGEST || pages_read_vaddr(pages, m, code, sizeof(code), vaddr - LONGEST) < 0)
        return false;
    for (unsigned back = MOV; back <= LONGEST; back++)
        if (is_clone(code + LONGEST - back))
            return true;
    return false;
}

enum known_code known_code_at(struct pages *pages, struct module *m, uint64_t vaddr)
{
    enum { MOV_BYTES = 7 };
    if (is_sigreturn(pages, m, vaddr + 1))
        return CODE_BEFORE_SIGRETURN;
    if (is_sigreturn(pages, m, vaddr) ||
        (vaddr >= MOV_BYTES && is_sigreturn(pages, m, vaddr - MOV_BYTES)))
        return CODE_SIGRETURN;
    return is_in_clone(pages, m, vaddr) ? CODE_CLONE : CODE_OTHER;
}

uint64_t sigreturn_sp_word(uint64_t sp)
{
    return sp + GREGS_OFF + GREG_RSP * sizeof(uint64_t);
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
