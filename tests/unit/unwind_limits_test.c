/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "target/module.h"
#include "unwind/unwind.h"

/* A program of which each function is described by 100 KiB of nothing, and a stack of one call of
 * each: reading all that takes more than one walk may read. */
enum {
    FUNCTIONS = 16,
    NOPS = 100 * 1024,
    CODE = 0x400000,
    FUNCTION_BYTES = 4096,
    FRAME_AT = 4096,
    FILE_BYTES = FRAME_AT + FUNCTIONS * (NOPS + 64),
    STACK_AT = 0x20000000
};

struct made {
    uint8_t *file; /* owned by its module */
    size_t n;
    struct modules modules;
    struct module *m;
    struct mappings maps;
    uint64_t words[FUNCTIONS];
    struct snapshot snap;
};

static void put(struct made *t, uint64_t v, size_t bytes)
{
    memcpy(t->file + t->n, &v, bytes);
    t->n += bytes;
}

static void put_debug_frame(struct made *t)
{
    static const uint8_t cie[] = {3,   0, 1, 0x78, 16, /* version 3; RA is RIP, in units of -8 */
                                  0xc, 7, 8, 0x90, 1}; /* CFA = RSP + 8, RA at CFA - 8 */
    t->n = FRAME_AT;
    put(t, 4 + sizeof(cie), 4);
    put(t, UINT32_MAX, 4);
    memcpy(t->file + t->n, cie, sizeof(cie));
    t->n += sizeof(cie);
    for (uint64_t i = 0; i < FUNCTIONS; i++) {
        put(t, 4 + 16 + NOPS, 4);
        put(t, 0, 4);
        put(t, CODE + i * FUNCTION_BYTES, 8);
        put(t, FUNCTION_BYTES, 8);
        t->n += NOPS; /* DW_CFA_nop is 0 */
    }
}

static void put_elf(struct made *t)
{
    static const char names[] = "\0.debug_frame";
    enum { SECTIONS_AT = 512, NAMES_AT = 1024 };
    Elf64_Ehdr e = {.e_ident = ELFMAG "\x02\x01\x01",
                    .e_type = ET_EXEC,
                    .e_machine = EM_X86_64,
                    .e_phoff = sizeof(e),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 1,
                    .e_shoff = SECTIONS_AT,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = 3,
                    .e_shstrndx = 1};
    Elf64_Phdr ph = {.p_type = PT_LOAD,
                     .p_flags = PF_R | PF_X,
                     .p_vaddr = CODE,
                     .p_filesz = FUNCTIONS * FUNCTION_BYTES,
                     .p_memsz = FUNCTIONS * FUNCTION_BYTES};
    Elf64_Shdr s[3] = {
        {0},
        {.sh_type = SHT_STRTAB, .sh_offset = NAMES_AT, .sh_size = sizeof(names)},
        {.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = FRAME_AT, .sh_size = t->n - FRAME_AT}};
    memcpy(t->file, &e, sizeof(e));
    memcpy(t->file + sizeof(e), &ph, sizeof(ph));
    memcpy(t->file + SECTIONS_AT, s, sizeof(s));
    memcpy(t->file + NAMES_AT, names, sizeof(names));
}

/* Functions from `from` on, `n` of them. */
static void map_functions(struct made *t, unsigned from, unsigned n)
{
    uint64_t off = (uint64_t)from * FUNCTION_BYTES;
    struct mapping map = {.start = CODE + off,
                          .end = CODE + off + n * FUNCTION_BYTES,
                          .off = off,
                          .dev = 1,
                          .ino = 1,
                          .prot = PROT_READ | PROT_EXEC,
                          .module = t->m};
    cr_assert(mappings_put(&t->maps, &map));
}

static void made_init(struct made *t)
{
    *t = (struct made){.file = mem_alloc(FILE_BYTES)};
    put_debug_frame(t);
    put_elf(t);
    t->m = modules_add(&t->modules, 1, 1, "/made");
    t->m->pieces = mem_alloc(sizeof(*t->m->pieces));
    t->m->n_pieces = 1;
    t->m->pieces[0] = (struct module_piece){.bytes = FILE_BYTES, .data = t->file};
    t->m->file_bytes = FILE_BYTES;
    cr_assert_eq(module_read_headers(t->m), 0);
    for (uint64_t i = 0; i + 1 < FUNCTIONS; i++)
        t->words[i] = CODE + (i + 1) * FUNCTION_BYTES + 16;
    t->snap = (struct snapshot){.stack = (const uint8_t *)t->words,
                                .stack_addr = STACK_AT,
                                .stack_bytes = sizeof(t->words),
                                .regs.known = 1u << DWREG_RIP | 1u << DWREG_RSP};
    t->snap.regs.value[DWREG_RIP] = CODE + 16;
    t->snap.regs.value[DWREG_RSP] = STACK_AT;
}

static void made_release(struct made *t)
{
    mappings_release(&t->maps);
    modules_release(&t->modules);
}

/* An end of its own; what was read is kept, so the next walk gets further. */
Test(unwind_limits, one_walk_reads_no_more_than_it_may)
{
    struct made t;
    struct stack stack;
    made_init(&t);
    map_functions(&t, 0, FUNCTIONS);
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &t.snap, &t.maps, &stack);
    cr_assert_eq(stack.end, STACK_TOO_MUCH, "end %d after %zu", stack.end, stack.n);
    cr_assert(stack.n > 8 && stack.n < FUNCTIONS, "%zu", stack.n);
    unwinder_walk(u, &t.snap, &t.maps, &stack);
    cr_assert_eq(stack.end, STACK_COMPLETE, "end %d after %zu", stack.end, stack.n);
    cr_assert_eq(stack.n, FUNCTIONS);
    unwinder_free(u);
    made_release(&t);
}

Test(unwind_limits, nor_when_it_goes_on_with_another_mapping)
{
    struct made t;
    struct stack stack;
    size_t asked = 0;
    made_init(&t);
    map_functions(&t, 0, 1);
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &t.snap, &t.maps, &stack);
    for (; stack.end == STACK_UNMAPPED && stack.miss_addr; asked++) {
        map_functions(&t, (unsigned)(stack.miss_addr - CODE) / FUNCTION_BYTES, 1);
        unwinder_walk_on(u, &t.snap, &t.maps, &stack);
    }
    cr_assert_eq(stack.end, STACK_TOO_MUCH, "end %d after %zu", stack.end, stack.n);
    cr_assert(stack.n > 8 && asked + 1 == stack.n, "%zu frames, %zu asked", stack.n, asked);
    unwinder_free(u);
    made_release(&t);
}
