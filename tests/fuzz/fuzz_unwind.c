/* SPDX-License-Identifier: MIT */
/*
 * A stack and the file whose CFI unwinds it. The input: which registers are known (1 byte), what
 * they hold (16 bytes, spread over the mapping or the stack), the stack (512 bytes), the file. Of
 * some inputs half of the stack is another one.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "fuzz.h"
#include "unwind/unwind.h"

enum { HEAD_BYTES = 1 + DWREG_RIP, STACK_BYTES = 512 };
#define CODE_ADDR UINT64_C(0x400000)
#define STACK_ADDR UINT64_C(0x7ffd00000000)
#define OTHER_STACK_ADDR UINT64_C(0x7ffc00000000)

static void map_module(struct mappings *maps, struct module *m)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct module_load *load = &m->loads[i];
        uint64_t start = CODE_ADDR + load->vaddr % CODE_ADDR, bytes = load->file_bytes;
        if (bytes == 0 || bytes > 0x1000000)
            continue;
        struct mapping map = {.start = start & ~UINT64_C(4095),
                              .end = (start + bytes + 4095) & ~UINT64_C(4095),
                              .off = load->off & ~UINT64_C(4095),
                              .dev = 1,
                              .ino = 1,
                              .prot = PROT_READ | PROT_EXEC,
                              .path = mem_strdup(m->path),
                              .module = m};
        mappings_put(maps, &map);
    }
}

static void fill_registers(struct regs *regs, const uint8_t *head)
{
    for (unsigned i = 0; i < DWREG_RIP; i++) {
        uint64_t byte = head[1 + i];
        regs->value[i] = byte & 1 ? CODE_ADDR + byte * 16 : STACK_ADDR + byte * 2;
    }
    regs->value[DWREG_RSP] = STACK_ADDR + SNAPSHOT_RED_ZONE_BYTES;
    regs->value[DWREG_RIP] = CODE_ADDR + head[0] * 4 + (head[1] & 3);
    regs->known = 1u << DWREG_RSP | 1u << DWREG_RIP | (head[0] & 1 ? (1u << DWREG_N) - 1 : 0);
}

static void split_stack(struct snapshot *snap)
{
    snap->stack_bytes = STACK_BYTES / 2;
    snap->stack_cut = true;
    snap->interrupted = (struct snapshot_piece){
        .addr = OTHER_STACK_ADDR, .bytes = STACK_BYTES / 2, .data = snap->stack + STACK_BYTES / 2};
    snap->interrupted_cut = true;
}

static void walk(struct module *m, const uint8_t *data)
{
    struct mappings maps = {0};
    struct snapshot snap = {.pid = 1,
                            .tid = 1,
                            .source = SOURCE_STOPPED,
                            .syscall = -1,
                            .stack_addr = STACK_ADDR,
                            .stack_bytes = STACK_BYTES,
                            .stack = data + HEAD_BYTES};
    struct stack *stack = mem_alloc(sizeof(*stack));
    struct unwinder *u = unwinder_new();

    if (data[0] & 2)
        split_stack(&snap);
    fill_registers(&snap.regs, data);
    map_module(&maps, m);
    unwinder_walk(u, &snap, &maps, stack);
    while (stack->end == STACK_UNMAPPED && stack->miss_addr)
        unwinder_walk_on(u, &snap, &maps, stack);
    if (stack->n < 1 || stack->n > UNWIND_FRAMES_MAX)
        abort();
    unwinder_free(u);
    free(stack);
    mappings_release(&maps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < HEAD_BYTES + STACK_BYTES)
        return 0;
    struct modules table = {0};
    size_t before = HEAD_BYTES + STACK_BYTES;
    struct module *m = fuzz_module(&table, data + before, bytes - before);
    walk(m, data);
    modules_release(&table);
    return 0;
}
