/* SPDX-License-Identifier: MIT */
#include "shadow.h"

#include <stdlib.h>

#include "base/mem.h"

void shadow_release(struct shadow *s)
{
    free(s->items);
    *s = (struct shadow){0};
}

static void push(struct shadow *s, struct shadow_entry entry)
{
    s->items = mem_grow(s->items, &s->cap, s->n + 1, sizeof(*s->items));
    s->items[s->n++] = entry;
}

void shadow_call(struct shadow *s, uint64_t slot, uint64_t stack_end)
{
    push(s, (struct shadow_entry){.slot = slot, .stack_end = stack_end});
}

/* struct rt_sigframe begins with the handler's return address (arch/x86/include/asm/sigframe.h). */
void shadow_signal(struct shadow *s, uint64_t rsp, uint64_t stack_end)
{
    push(s, (struct shadow_entry){.slot = rsp + 8, .stack_end = stack_end, .signal = true});
    shadow_call(s, rsp, stack_end);
}

void shadow_signal_over(struct shadow *s)
{
    while (s->n && !s->items[--s->n].signal)
        ;
}

static bool is_below(const struct shadow *s, size_t n, uint64_t stack_end)
{
    while (n)
        if (s->items[--n].stack_end == stack_end)
            return true;
    return false;
}

void shadow_moved(struct shadow *s, uint64_t rsp, uint64_t stack_end)
{
    while (s->n) {
        const struct shadow_entry *top = &s->items[s->n - 1];
        if (top->stack_end == stack_end ? top->slot >= rsp : !is_below(s, s->n - 1, stack_end))
            return;
        s->n--;
    }
}

static bool is_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e: /* notrack */
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf2: /* bnd */
    case 0xf3:
        return true;
    default:
        return byte >= 0x40 && byte <= 0x4f; /* REX */
    }
}

/* ModRM, SIB and displacement in 64-bit mode (Intel SDM volume 2, 2.1.5). */
static size_t modrm_bytes(const uint8_t *code)
{
    unsigned mod = code[0] >> 6, rm = code[0] & 7;
    size_t sib = mod != 3 && rm == 4;
    if (mod == 1)
        return 2 + sib;
    if (mod == 2 || (mod == 0 && (rm == 5 || (sib && (code[1] & 7) == 5))))
        return 5 + sib;
    return 1 + sib;
}

size_t shadow_call_bytes(const uint8_t *code, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && is_prefix(code[at]))
        at++;
    if (bytes < at + 7)
        return 0;
    if (code[at] == 0xe8)
        return at + 5;
    if (code[at] == 0xff && (code[at + 1] >> 3 & 7) == 2)
        return at + 1 + modrm_bytes(code + at + 1);
    return 0;
}
