/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "target/gotable.h"

/* An ELF file with a .gopclntab made here, in each of the formats. */
enum {
    FILE_BYTES = 8192,
    NAMES_AT = 1024,
    SECTIONS_AT = 2048,
    RELA_AT = 3072,
    TABLE_AT = 4096,
    TABLE_VADDR = 0x600000,
    PC_DATA = 1000, /* in the section */
    TEXT = 0x401000,
    HEAD_BYTES = 80,
    FUNCTION_NAMES = 128, /* in the section */
    FUNCTIONS = 512,
    RECORDS = 256, /* from FUNCTIONS on */
    MODULE_AT = 6144,
    MODULE_VADDR = 0x700000,
    TEXT_IN_MODULE = 176, /* of Go 1.26 */
    N = 3
};

static const char section_names[] = "\0.gopclntab\0.rela.dyn\0.text\0.go.module";
enum { NAME_TABLE = 1, NAME_RELA = 12, NAME_TEXT = 22, NAME_MODULE = 28 };

static const char *const names[N] = {"runtime.mcall", "main.main", "runtime.goexit"};
static const uint64_t starts[N + 1] = {TEXT, TEXT + 0x40, TEXT + 0x100, TEXT + 0x110};

struct made {
    uint8_t file[FILE_BYTES];
    struct modules table;
    struct module *m;
};

static void put(struct made *t, uint64_t at, uint64_t v, size_t bytes)
{
    memcpy(t->file + at, &v, bytes);
}

static void put_section(struct made *t, unsigned i, Elf64_Shdr h)
{
    memcpy(t->file + SECTIONS_AT + i * sizeof(h), &h, sizeof(h));
}

static void put_elf(struct made *t)
{
    Elf64_Ehdr e = {.e_ident = ELFMAG "\x02\x01\x01",
                    .e_type = ET_DYN,
                    .e_machine = EM_X86_64,
                    .e_phoff = sizeof(e),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = 1,
                    .e_shoff = SECTIONS_AT,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = 6,
                    .e_shstrndx = 1};
    Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = TABLE_VADDR};
    memcpy(t->file, &e, sizeof(e));
    memcpy(t->file + sizeof(e), &ph, sizeof(ph));
    memcpy(t->file + NAMES_AT, section_names, sizeof(section_names));
    put_section(t, 1, (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = NAMES_AT, .sh_size = 64});
    put_section(t, 2,
                (Elf64_Shdr){.sh_name = NAME_TABLE,
                             .sh_type = SHT_PROGBITS,
                             .sh_addr = TABLE_VADDR,
                             .sh_offset = TABLE_AT,
                             .sh_size = 1024});
    put_section(t, 3,
                (Elf64_Shdr){.sh_name = NAME_RELA, .sh_type = SHT_RELA, .sh_offset = RELA_AT});
    put_section(
        t, 4, (Elf64_Shdr){.sh_name = NAME_TEXT, .sh_type = SHT_PROGBITS, .sh_addr = TEXT - 0x100});
}

static void put_functions(struct made *t, uint64_t base, unsigned width)
{
    uint64_t name = 0;
    for (unsigned i = 0; i <= N; i++) {
        uint64_t at = TABLE_AT + FUNCTIONS + i * 2 * width, record = RECORDS + i * 64;
        put(t, at, starts[i] - base, width);
        if (i == N)
            break;
        put(t, at + width, record, width);
        put(t, TABLE_AT + FUNCTIONS + record, starts[i] - base, width);
        put(t, TABLE_AT + FUNCTIONS + record + width, name, 4);
        memcpy(t->file + TABLE_AT + FUNCTION_NAMES + name, names[i], strlen(names[i]) + 1);
        name += strlen(names[i]) + 1;
        put(t, TABLE_AT + FUNCTIONS + record + width + 12, i == 1, 4);
    }
    /* of main.main: 0 for 4 bytes, then 0x108, then 0 for the last one */
    static const uint8_t deltas[] = {0, 2, 4, 0x90, 4, 0xbb, 1, 0x8f, 4, 1, 0};
    memcpy(t->file + TABLE_AT + PC_DATA, deltas, sizeof(deltas));
}

static void put_table(struct made *t, uint32_t magic, uint64_t text)
{
    bool old = magic == 0xfffffffa;
    const uint64_t words_116[] = {N, 0, FUNCTION_NAMES, 0, 0, PC_DATA, FUNCTIONS};
    const uint64_t words_118[] = {N, 0, text, FUNCTION_NAMES, 0, 0, PC_DATA, FUNCTIONS};
    put(t, TABLE_AT, magic | UINT64_C(0x0801) << 48, 8);
    memcpy(t->file + TABLE_AT + 8, old ? words_116 : words_118,
           old ? sizeof(words_116) : sizeof(words_118));
    put_functions(t, old ? 0 : TEXT, old ? 8 : 4);
}

static int made_open(struct made *t, struct gotable **ret_table)
{
    t->m = modules_add(&t->table, 1, 1, "/made");
    t->m->pieces = mem_alloc(sizeof(*t->m->pieces));
    t->m->n_pieces = 1;
    t->m->pieces[0] = (struct module_piece){.bytes = FILE_BYTES, .data = mem_alloc(FILE_BYTES)};
    memcpy(t->m->pieces[0].data, t->file, FILE_BYTES);
    t->m->file_bytes = FILE_BYTES;
    (void)module_read_headers(t->m);
    return gotable_open(t->m, ret_table);
}

static void expect_functions(struct made *t)
{
    struct gotable *table;
    struct gofunction f;
    cr_assert_eq(made_open(t, &table), 0);
    for (unsigned i = 0; i < N; i++)
        for (uint64_t vaddr = starts[i]; vaddr < starts[i + 1]; vaddr++) {
            cr_assert_eq(gotable_find(table, vaddr, &f), 0, "%#lx", vaddr);
            cr_assert_str_eq(f.name, names[i]);
            cr_assert_eq(f.start, starts[i]);
            cr_assert_eq(f.bytes, starts[i + 1] - starts[i]);
        }
    cr_assert_eq(gotable_find(table, starts[0] - 1, &f), -ENODATA);
    cr_assert_eq(gotable_find(table, starts[N], &f), -ENODATA);
    cr_assert_eq(gotable_find(table, UINT64_MAX, &f), -ENODATA);
    gotable_close(table);
    modules_release(&t->table);
}

static const uint32_t magics[] = {0xfffffffa, 0xfffffff0, 0xfffffff1};

Test(gotable, every_format)
{
    for (size_t i = 0; i < 3; i++) {
        struct made t = {0};
        put_elf(&t);
        put_table(&t, magics[i], TEXT);
        expect_functions(&t);
    }
}

/* What holds at one address; gaps and overlaps are no answer. */
struct wanted {
    uint64_t vaddr, next;
    uint32_t delta;
    bool found;
};

static bool want_delta(void *arg, uint64_t start, uint64_t end, uint32_t delta)
{
    struct wanted *w = arg;
    cr_assert(start < end && (!w->next || start == w->next));
    w->next = end;
    w->found = w->vaddr >= start && w->vaddr < end;
    w->delta = delta;
    return !w->found;
}

static int sp_delta(struct gotable *t, uint64_t vaddr, uint32_t *ret_delta)
{
    struct wanted w = {.vaddr = vaddr};
    int rc = gotable_sp_deltas(t, vaddr, want_delta, &w);
    if (w.found)
        *ret_delta = w.delta;
    return w.found ? 0 : rc;
}

Test(gotable, how_far_the_stack_pointer_has_moved)
{
    for (size_t i = 0; i < 3; i++) {
        struct made t = {0};
        struct gotable *table;
        uint32_t delta;
        put_elf(&t);
        put_table(&t, magics[i], TEXT);
        cr_assert_eq(made_open(&t, &table), 0);
        for (uint64_t vaddr = starts[1]; vaddr < starts[2]; vaddr++) {
            bool framed = vaddr >= starts[1] + 4 && vaddr < starts[2] - 1;
            cr_assert_eq(sp_delta(table, vaddr, &delta), 0, "%#lx", vaddr);
            cr_assert_eq(delta, framed ? 0x108 : 0, "%#x at %#lx", delta, vaddr);
        }
        cr_assert_eq(sp_delta(table, starts[0], &delta), -ENODATA);
        cr_assert_eq(sp_delta(table, starts[N], &delta), -ENODATA);
        gotable_close(table);
        modules_release(&t.table);
    }
}

Test(gotable, the_start_of_text_stands_in_a_relocation)
{
    struct made t = {0};
    put_elf(&t);
    put_table(&t, magics[1], 0);
    Elf64_Rela rela[2] = {
        {.r_offset = TABLE_VADDR, .r_info = R_X86_64_RELATIVE, .r_addend = 1},
        {.r_offset = TABLE_VADDR + 24, .r_info = R_X86_64_RELATIVE, .r_addend = TEXT}};
    memcpy(t.file + RELA_AT, rela, sizeof(rela));
    put_section(&t, 3,
                (Elf64_Shdr){.sh_name = NAME_RELA,
                             .sh_type = SHT_RELA,
                             .sh_offset = RELA_AT,
                             .sh_size = sizeof(rela)});
    expect_functions(&t);
}

static void put_module(struct made *t, uint64_t table, uint64_t text)
{
    put_section(t, 5,
                (Elf64_Shdr){.sh_name = NAME_MODULE,
                             .sh_type = SHT_PROGBITS,
                             .sh_addr = MODULE_VADDR,
                             .sh_offset = MODULE_AT,
                             .sh_size = 512});
    put(t, MODULE_AT, table, 8);
    put(t, MODULE_AT + TEXT_IN_MODULE, text, 8);
}

Test(gotable, since_1_26_the_start_of_text_stands_in_moduledata)
{
    struct made t = {0};
    put_elf(&t);
    put_table(&t, magics[2], 0);
    put_module(&t, TABLE_VADDR, TEXT);
    expect_functions(&t);
}

Test(gotable, moduledata_may_be_filled_in_by_relocations)
{
    struct made t = {0};
    put_elf(&t);
    put_table(&t, magics[2], 0);
    put_module(&t, 0, 0);
    Elf64_Rela rela[2] = {
        {.r_offset = MODULE_VADDR, .r_info = R_X86_64_RELATIVE, .r_addend = TABLE_VADDR},
        {.r_offset = MODULE_VADDR + TEXT_IN_MODULE, .r_info = R_X86_64_RELATIVE, .r_addend = TEXT}};
    memcpy(t.file + RELA_AT, rela, sizeof(rela));
    put_section(&t, 3,
                (Elf64_Shdr){.sh_name = NAME_RELA,
                             .sh_type = SHT_RELA,
                             .sh_offset = RELA_AT,
                             .sh_size = sizeof(rela)});
    expect_functions(&t);
}

/* .text begins earlier where C code is linked in, so the section tells nothing. */
Test(gotable, without_the_start_of_text_nothing_is_known)
{
    for (int i = 0; i < 2; i++) {
        struct made t = {0};
        struct gotable *table;
        put_elf(&t);
        put_table(&t, magics[2], 0);
        if (i) /* of another table */
            put_module(&t, TABLE_VADDR + 8, TEXT);
        cr_assert_eq(made_open(&t, &table), -EBADMSG);
        modules_release(&t.table);
    }
}

static void expect_refused(uint64_t at, uint64_t v, size_t bytes, int rc)
{
    struct made t = {0};
    struct gotable *table = NULL;
    put_elf(&t);
    put_table(&t, magics[1], TEXT);
    put(&t, at, v, bytes);
    cr_assert_eq(made_open(&t, &table), rc, "%#lx at %#lx", v, at);
    modules_release(&t.table);
}

Test(gotable, heads_that_make_no_sense)
{
    expect_refused(0, 0, 4, -ENODATA);
    expect_refused(TABLE_AT, 0xfffffffb, 4, -EBADMSG); /* Go 1.2 to 1.15 */
    expect_refused(TABLE_AT + 4, 1, 1, -EBADMSG);
    expect_refused(TABLE_AT + 7, 4, 1, -EBADMSG); /* 32-bit */
    expect_refused(TABLE_AT + 8, 0, 8, -EBADMSG); /* no functions */
    expect_refused(TABLE_AT + 8, UINT64_MAX, 8, -EBADMSG);
    expect_refused(TABLE_AT + 8, UINT64_C(1) << 61, 8, -EBADMSG);
    expect_refused(TABLE_AT + 8, 64, 8, -EBADMSG);              /* more than there is */
    expect_refused(TABLE_AT + 32, UINT64_MAX, 8, -EBADMSG);     /* names */
    expect_refused(TABLE_AT + 64, UINT64_MAX - 3, 8, -EBADMSG); /* the table */
}

/* Whatever stands there: an answer, and no read outside of the file. */
Test(gotable, every_word_spoilt)
{
    static const uint64_t values[] = {0, 1, 0x7fffffff, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (uint64_t at = TABLE_AT; at + 8 <= TABLE_AT + 1024; at += 4)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            struct made t = {0};
            struct gotable *table;
            struct gofunction f;
            put_elf(&t);
            put_table(&t, magics[i % 3], TEXT);
            put(&t, at, values[i], 8);
            if (made_open(&t, &table) == 0) {
                uint32_t delta;
                for (uint64_t vaddr = TEXT; vaddr < TEXT + 0x120; vaddr += 32)
                    (void)sp_delta(table, vaddr, &delta);
                for (uint64_t vaddr = TEXT - 8; vaddr < TEXT + 0x120; vaddr += 8)
                    if (gotable_find(table, vaddr, &f) == 0)
                        cr_assert_lt(strlen(f.name), GOTABLE_NAME_BYTES);
                gotable_close(table);
            }
            modules_release(&t.table);
        }
}
