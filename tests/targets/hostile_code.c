/* SPDX-License-Identifier: MIT */
#include "hostile_code.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

void hostile_work_at(struct hostile_work *w, uint64_t sp)
{
    register struct hostile_work *work __asm__("rbx") = w;
    register uint64_t stack __asm__("r13") = sp;
    /* A signal would need the stack, and all are blocked; interrupts have stacks of their own. */
    __asm__ volatile(
        "mov %%rsp, %%r12\n\t"
        "mov %[sp], %%rsp\n"
        "1:\n\t"
        "mov $20000, %%ecx\n"
        "2:\n\t"
        "dec %%ecx\n\t"
        "jnz 2b\n\t"
        "lea %c[nap](%[w]), %%rdi\n\t"
        "xor %%esi, %%esi\n\t"
        "mov %[nr], %%eax\n\t"
        "syscall\n\t"
        "neg %%rax\n\t"
        "setne %%al\n\t"
        "movzbl %%al, %%eax\n\t"
        "add %%rax, %c[bad](%[w])\n\t"
        "incq %c[rounds](%[w])\n\t"
        "cmpl $0, %c[stop](%[w])\n\t"
        "je 1b\n\t"
        "mov %%r12, %%rsp"
        : [sp] "+r"(stack)
        : [w] "r"(work), [nr] "i"(SYS_nanosleep), [nap] "i"(offsetof(struct hostile_work, nap)),
          [bad] "i"(offsetof(struct hostile_work, slept_badly)),
          [rounds] "i"(offsetof(struct hostile_work, rounds)),
          [stop] "i"(offsetof(struct hostile_work, stop))
        : "rax", "rcx", "rdi", "rsi", "r11", "r12", "memory", "cc");
}

__attribute__((always_inline)) static inline long raw_nap(const struct timespec *t)
{
    long rc = SYS_nanosleep;
    __asm__ volatile("syscall" : "+a"(rc) : "D"(t), "S"(NULL) : "rcx", "r11", "memory");
    return rc;
}

NOINLINE static void hostile_leaf(struct hostile_work *w)
{
    /* registers to save: room for call frame instructions */
    __asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15");
    uint64_t x = fixture_steps(w->rounds + 1, 5000);
    w->slept_badly += raw_nap(&w->nap) != 0;
    w->rounds += x != 0;
    __asm__ volatile("" ::: "memory");
}

NOINLINE static void hostile_middle(struct hostile_work *w)
{
    volatile char room[200];
    __asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15");
    room[0] = 1;
    hostile_leaf(w);
    room[1] = room[0];
}

static void hostile_work_here(struct hostile_work *w)
{
    while (!w->stop)
        hostile_middle(w);
}

/* The executable segment that this function lies in. */
static const ElfW(Phdr) * code_segment(uint64_t *ret_base)
{
    const ElfW(Phdr) *ph = (const void *)getauxval(AT_PHDR);
    uint64_t n = getauxval(AT_PHNUM), base = 0;
    for (uint64_t i = 0; i < n; i++)
        if (ph[i].p_type == PT_PHDR)
            base = (uintptr_t)ph - ph[i].p_vaddr;
    for (uint64_t i = 0; i < n; i++) {
        if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X)) {
            *ret_base = base;
            return &ph[i];
        }
    }
    return NULL;
}

hostile_worker *hostile_code_map(int fd)
{
    uint64_t base;
    const ElfW(Phdr) *ph = code_segment(&base);
    if (!ph)
        return NULL;
    uint64_t page_off = ph->p_offset & ~4095ull;
    uint8_t *code = mmap(NULL, ph->p_filesz + (ph->p_offset - page_off), PROT_READ | PROT_EXEC,
                         MAP_PRIVATE | MAP_POPULATE, fd, (off_t)page_off);
    if (code == MAP_FAILED)
        return NULL;
    uint64_t in_segment = (uintptr_t)hostile_work_here - (base + ph->p_vaddr);
    return (hostile_worker *)(uintptr_t)(code + (ph->p_offset - page_off) + in_segment);
}

size_t hostile_code_copy(uint8_t *dst, size_t bytes)
{
    extern const uint8_t hostile_jit[], hostile_jit_end[];
    /* void work(struct hostile_work *w), in bytes that may lie anywhere */
    __asm__(".pushsection .rodata\n"
            "hostile_jit:\n\t"
            "push %%rbp\n\t"
            "mov %%rsp, %%rbp\n\t"
            "mov %%rdi, %%r8\n"
            "1:\n\t"
            "mov $20000, %%ecx\n"
            "2:\n\t"
            "dec %%ecx\n\t"
            "jnz 2b\n\t"
            "lea %c[nap](%%r8), %%rdi\n\t"
            "xor %%esi, %%esi\n\t"
            "mov %[nr], %%eax\n\t"
            "syscall\n\t"
            "incq %c[rounds](%%r8)\n\t"
            "cmpl $0, %c[stop](%%r8)\n\t"
            "je 1b\n\t"
            "pop %%rbp\n\t"
            "ret\n"
            "hostile_jit_end:\n"
            ".popsection" ::[nr] "i"(SYS_nanosleep),
            [nap] "i"(offsetof(struct hostile_work, nap)),
            [rounds] "i"(offsetof(struct hostile_work, rounds)),
            [stop] "i"(offsetof(struct hostile_work, stop)));
    size_t n = (size_t)(hostile_jit_end - hostile_jit);
    if (n > bytes)
        return 0;
    memcpy(dst, hostile_jit, n);
    return n;
}
