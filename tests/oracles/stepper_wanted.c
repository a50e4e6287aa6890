/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "stepper.h"

enum { SAVED_RIP = 40 + 16 * 8 }; /* in ucontext_t, with which a signal's frame goes on */

/* Words of return addresses are read where they lie: whoever overwrites one (the landing of an
 * exception) makes the function return elsewhere. On any stack. */
uint64_t stepper_word_at(struct stepper *s, uint64_t addr)
{
    uint64_t word = 0, at = addr - s->snap.stack_addr;
    if (addr >= s->snap.stack_addr && at + sizeof(word) <= s->snap.stack_bytes)
        memcpy(&word, s->snap.stack + at, sizeof(word));
    else
        process_read(&s->living.process, &word, sizeof(word), addr);
    return word;
}

bool stepper_is_exact(const struct stepper *s, size_t i)
{
    return !i || s->shadow.items[s->shadow.n - i].signal;
}

bool stepper_is_in(struct stepper *s, size_t i, const char *function)
{
    char buf[256];
    living_place(&s->living, s->wanted.addrs[i], stepper_is_exact(s, i), buf, sizeof(buf));
    size_t bytes = strlen(function);
    return !strncmp(buf, function, bytes) && (buf[bytes] == '+' || function[bytes - 1] == '_');
}

void stepper_want(struct stepper *s)
{
    struct oracle_stack *w = &s->wanted;
    w->n = 0;
    w->addrs[w->n++] = s->regs.rip;
    for (size_t i = s->shadow.n; i > 0 && w->n < UNWIND_FRAMES_MAX; i--) {
        const struct shadow_entry *e = &s->shadow.items[i - 1];
        w->addrs[w->n++] = stepper_word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
}

/*
 * libgcc's last instructions on the way to a landing pad (__builtin_eh_return): mov %rcx,%rsp; pop
 * %rcx; jmp *%rcx. The pad's address stands where RCX or RSP points to, then in RCX.
 */
bool stepper_landed(struct stepper *s)
{
    static const struct {
        uint8_t bytes, code[3];
    } last[] = {{3, {0x48, 0x89, 0xcc}}, {1, {0x59}}, {2, {0xff, 0xe1}}};
    const uint64_t at[] = {s->regs.rcx, s->regs.rsp, s->regs.rsp - 8};
    struct oracle_stack *w = &s->wanted;
    size_t i = 0;
    while (i < 3 && memcmp(s->code, last[i].code, last[i].bytes) != 0)
        i++;
    if (i == 3 || !stepper_is_in(s, 0, "_Unwind_"))
        return false;
    w->n = 1;
    w->addrs[w->n++] = i == 2 ? s->regs.rcx : stepper_word_at(s, at[i]);
    for (size_t k = s->shadow.n; k > 0 && w->n < UNWIND_FRAMES_MAX; k--) {
        const struct shadow_entry *e = &s->shadow.items[k - 1];
        if (e->slot > at[i])
            w->addrs[w->n++] = stepper_word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
    return true;
}

/* glibc's __longjmp, once it has the target's RSP, RBP and RIP in R8, R9 and RDX, says in its CFI
 * that it has arrived there (sysdeps/x86_64/__longjmp.S). */
bool stepper_jumped(struct stepper *s)
{
    struct oracle_stack *w = &s->wanted;
    if (!stepper_is_in(s, 0, "__longjmp"))
        return false;
    w->n = 1;
    w->addrs[w->n++] = s->regs.rdx;
    for (size_t i = s->shadow.n; i > 0 && w->n < UNWIND_FRAMES_MAX; i--) {
        const struct shadow_entry *e = &s->shadow.items[i - 1];
        if (e->slot >= s->regs.r8)
            w->addrs[w->n++] = stepper_word_at(s, e->signal ? e->slot + SAVED_RIP : e->slot);
    }
    return true;
}
