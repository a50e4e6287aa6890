/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "target/module.h"
#include "unwind/cfi.h"
#include "unwind/debug_frame.h"
#include "unwind/rows.h"

/*
 * A file made here: an ELF header, one loaded segment, and a section .debug_frame (or
 * .zdebug_frame) that the test fills.
 */
enum {
    FILE_BYTES = 16384,
    FRAME_AT = 4096,
    NAMES_AT = 2048,
    SECTIONS_AT = 3072,
    CODE = 0x1000, /* vaddr of what the FDE covers */
    CODE_BYTES = 0x100
};

struct made {
    struct modules table;
    struct module *m;
    uint8_t file[FILE_BYTES];
    uint8_t frame[4096];
    size_t n;
    struct pages *pages;
    struct cfi *cfi;
    struct go_stacks *go_stacks;
    struct rows *rows;
};

static void put(struct made *t, const void *bytes, size_t n)
{
    memcpy(t->frame + t->n, bytes, n);
    t->n += n;
}

static void put_uint(struct made *t, uint64_t v, size_t bytes)
{
    put(t, &v, bytes);
}

/* An entry's length, in the 32-bit or the 64-bit form; filled in by end_entry(). */
static size_t begin_entry(struct made *t, bool wide)
{
    if (wide)
        put_uint(t, 0xffffffff, 4);
    size_t at = t->n;
    put_uint(t, 0, wide ? 8 : 4);
    return at;
}

static void end_entry(struct made *t, size_t at, bool wide)
{
    size_t width = wide ? 8 : 4;
    while ((t->n - at - width) % 8)
        put_uint(t, 0, 1);
    uint64_t bytes = t->n - at - width;
    memcpy(t->frame + at, &bytes, width);
}

/* CFA = RSP + 8, the return address at CFA - 8: what every CIE of x86-64 says. */
static void put_cie(struct made *t, unsigned version, bool wide)
{
    size_t at = begin_entry(t, wide);
    put_uint(t, UINT64_MAX, wide ? 8 : 4);
    put_uint(t, version, 1);
    put_uint(t, 0, 1);
    if (version == 4)
        put_uint(t, 8, 2);
    put(t, "\x01\x78\x10\x0c\x07\x08\x90\x01", 8);
    end_entry(t, at, wide);
}

static void put_fde(struct made *t, uint64_t start, const void *program, size_t n, bool wide)
{
    size_t at = begin_entry(t, wide);
    put_uint(t, 0, wide ? 8 : 4);
    put_uint(t, start, 8);
    put_uint(t, CODE_BYTES, 8);
    put(t, program, n);
    end_entry(t, at, wide);
}

static void put_section(struct made *t, unsigned i, uint32_t name, uint32_t type, uint64_t off,
                        uint64_t bytes, uint64_t flags)
{
    Elf64_Shdr h = {
        .sh_name = name, .sh_type = type, .sh_offset = off, .sh_size = bytes, .sh_flags = flags};
    memcpy(t->file + SECTIONS_AT + i * sizeof(h), &h, sizeof(h));
}

static void put_headers(struct made *t)
{
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
    Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = CODE};
    ph.p_filesz = 2048;
    memcpy(t->file, &e, sizeof(e));
    memcpy(t->file + sizeof(e), &ph, sizeof(ph));
}

/* Takes the frame section as it is now. Returns false where the file does not fit. */
static void made_open(struct made *t, const char *name, const void *section, size_t n,
                      uint64_t flags)
{
    cr_assert_leq(n, FILE_BYTES - FRAME_AT);
    put_headers(t);
    memcpy(t->file + NAMES_AT + 1, name, strlen(name) + 1);
    put_section(t, 1, 0, SHT_STRTAB, NAMES_AT, 64, 0);
    put_section(t, 2, 1, SHT_PROGBITS, FRAME_AT, n, flags);
    memcpy(t->file + FRAME_AT, section, n);
    t->m = modules_add(&t->table, 1, 1, "/made");
    t->m->pieces = mem_alloc(sizeof(*t->m->pieces));
    t->m->n_pieces = 1;
    t->m->pieces[0] = (struct module_piece){.bytes = FILE_BYTES, .data = mem_alloc(FILE_BYTES)};
    memcpy(t->m->pieces[0].data, t->file, FILE_BYTES);
    t->m->file_bytes = FILE_BYTES;
    cr_assert_eq(module_read_headers(t->m), 0);
    t->pages = pages_new();
    t->cfi = cfi_new(t->pages);
    t->go_stacks = go_stacks_new();
    t->rows = rows_new(t->cfi, t->go_stacks, t->pages);
}

static void made_close(struct made *t)
{
    rows_free(t->rows);
    go_stacks_free(t->go_stacks);
    cfi_free(t->cfi);
    pages_free(t->pages);
    modules_release(&t->table);
}

static struct row row_at(struct made *t, uint64_t offset)
{
    return *rows_find(t->rows, t->m, CODE + offset);
}

static void expect_cfa(struct made *t, uint64_t offset, unsigned reg, int cfa_offset)
{
    struct row row = row_at(t, offset);
    cr_assert_eq(row.how, ROW_PLAIN, "at %lu: %d", offset, row.how);
    cr_assert_eq(row.cfa_reg, reg, "at %lu: %d", offset, row.cfa_reg);
    cr_assert_eq(row.cfa_offset, cfa_offset, "at %lu: %d", offset, row.cfa_offset);
    cr_assert_eq(row.where >> 2 * ROW_RA & 3, ROW_SAVED);
    cr_assert_eq(row.saved[ROW_RA], -1);
}

static enum row_where where(struct row row, unsigned i)
{
    return row.where >> 2 * i & 3;
}

/* push %rbp; mov %rsp, %rbp; …; leave; ret; and a second way out after it */
static const uint8_t usual[] = {
    0x41, 0x0e, 0x10, 0x86, 0x02, /* +1: CFA = RSP + 16, RBP at CFA - 16 */
    0x43, 0x0d, 0x06,             /* +4: CFA = RBP + 16 */
    0x4c, 0x0a,                   /* +16: remember */
    0x0c, 0x07, 0x08, 0xc6,       /* CFA = RSP + 8, RBP restored */
    0x41, 0x0b,                   /* +17: as remembered */
};

static void expect_usual(struct made *t)
{
    expect_cfa(t, 0, DWREG_RSP, 8);
    expect_cfa(t, 1, DWREG_RSP, 16);
    expect_cfa(t, 3, DWREG_RSP, 16);
    expect_cfa(t, 4, DWREG_RBP, 16);
    expect_cfa(t, 15, DWREG_RBP, 16);
    expect_cfa(t, 16, DWREG_RSP, 8);
    expect_cfa(t, 17, DWREG_RBP, 16);
    expect_cfa(t, CODE_BYTES - 1, DWREG_RBP, 16);
    cr_assert_eq(where(row_at(t, 0), ROW_RBP), ROW_KEPT);
    cr_assert_eq(where(row_at(t, 1), ROW_RBP), ROW_SAVED);
    cr_assert_eq(row_at(t, 1).saved[ROW_RBP], -2);
    cr_assert_eq(where(row_at(t, 16), ROW_RBP), ROW_KEPT);
    cr_assert_eq(where(row_at(t, 17), ROW_RBP), ROW_SAVED);
    cr_assert_eq(row_at(t, CODE_BYTES).how, ROW_NONE);
    cr_assert_eq(rows_find(t->rows, t->m, CODE - 1)->how, ROW_NONE);
}

Test(debug_frame, every_version_and_width)
{
    for (unsigned version = 1; version <= 5; version++)
        for (int wide = 0; wide < 2; wide++) {
            struct made t = {0};
            put_cie(&t, version, wide);
            put_fde(&t, CODE, usual, sizeof(usual), wide);
            made_open(&t, ".debug_frame", t.frame, t.n, 0);
            if (version == 2 || version == 5)
                cr_assert_eq(row_at(&t, 0).how, ROW_NONE, "there is no version %u", version);
            else
                expect_usual(&t);
            made_close(&t);
        }
}

static size_t pack(struct made *t, uint8_t *to, size_t room)
{
    uLongf n = room;
    cr_assert_eq(compress(to, &n, t->frame, t->n), Z_OK);
    return n;
}

Test(debug_frame, compressed_as_elf_says)
{
    struct made t = {0};
    uint8_t packed[4096];
    put_cie(&t, 4, false);
    put_fde(&t, CODE, usual, sizeof(usual), false);
    Elf64_Chdr head = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = t.n, .ch_addralign = 1};
    memcpy(packed, &head, sizeof(head));
    size_t n = sizeof(head) + pack(&t, packed + sizeof(head), sizeof(packed) - sizeof(head));
    made_open(&t, ".debug_frame", packed, n, SHF_COMPRESSED);
    expect_usual(&t);
    made_close(&t);
}

Test(debug_frame, compressed_as_go_did_up_to_1_18)
{
    struct made t = {0};
    uint8_t packed[4096] = "ZLIB";
    put_cie(&t, 3, false);
    put_fde(&t, CODE, usual, sizeof(usual), false);
    uint64_t bytes = __builtin_bswap64(t.n);
    memcpy(packed + 4, &bytes, sizeof(bytes));
    size_t n = 12 + pack(&t, packed + 12, sizeof(packed) - 12);
    made_open(&t, ".zdebug_frame", packed, n, 0);
    expect_usual(&t);
    made_close(&t);
}

/* A size in the header that is not the data's: more (a bomb is cut off), less, far too much. */
Test(debug_frame, compressed_bytes_that_lie)
{
    const uint64_t sizes[] = {0, 1, 4095, (uint64_t)65 << 20, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct made t = {0};
        uint8_t packed[4096];
        put_cie(&t, 3, false);
        put_fde(&t, CODE, usual, sizeof(usual), false);
        Elf64_Chdr head = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = sizes[i]};
        memcpy(packed, &head, sizeof(head));
        size_t n = sizeof(head) + pack(&t, packed + sizeof(head), sizeof(packed) - sizeof(head));
        made_open(&t, ".debug_frame", packed, n, SHF_COMPRESSED);
        cr_assert_eq(row_at(&t, 0).how, ROW_NONE);
        uint8_t *bytes = NULL;
        cr_assert_lt(debug_frame_read(t.m, UINT64_MAX, &bytes, &n), 0);
        cr_assert(!bytes && n < sizeof(packed), "%zu bytes of nothing", n);
        made_close(&t);
    }
}

/* A section that fits the file, and not what is left for all modules. */
Test(debug_frame, no_more_than_there_is_room_for)
{
    struct made t = {0};
    uint8_t *bytes;
    size_t n;
    put_cie(&t, 3, false);
    put_fde(&t, CODE, usual, sizeof(usual), false);
    made_open(&t, ".debug_frame", t.frame, t.n, 0);
    cr_assert_eq(debug_frame_read(t.m, t.n - 1, &bytes, &n), -E2BIG);
    cr_assert_eq(debug_frame_read(t.m, t.n, &bytes, &n), 0);
    cr_assert_eq(n, t.n);
    free(bytes);
    made_close(&t);
}

/* A module counts once, however often what was read of it is forgotten. */
Test(debug_frame, a_section_left_out_is_counted)
{
    struct made t = {0};
    Elf64_Chdr head = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = DEBUG_FRAME_BYTES_MAX + 1};
    made_open(&t, ".debug_frame", &head, sizeof(head), SHF_COMPRESSED);
    cr_assert_eq(cfi_cut(t.cfi), 0);
    for (int i = 0; i < 3; i++) {
        rows_forget(t.rows);
        cfi_forget(t.cfi);
        cr_assert_eq(row_at(&t, 0).how, ROW_NONE);
        cr_assert_eq(cfi_cut(t.cfi), 1, "%lu the %d. time", cfi_cut(t.cfi), i);
    }
    made_close(&t);
}

static struct row row_of(const void *program, size_t n, uint64_t offset)
{
    struct made t = {0};
    put_cie(&t, 3, false);
    put_fde(&t, CODE, program, n, false);
    made_open(&t, ".debug_frame", t.frame, t.n, 0);
    struct row row = row_at(&t, offset);
    made_close(&t);
    return row;
}

#define ROW_OF(offset, ...) \
    row_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), offset)

Test(rows, rules)
{
    cr_assert_eq(where(ROW_OF(0, 0x07, 0x10), ROW_RA), ROW_LOST, "undefined: the first function");
    cr_assert_eq(where(ROW_OF(0, 0x07, 0x03), ROW_RBX), ROW_LOST);
    cr_assert_eq(where(ROW_OF(0, 0x08, 0x03), ROW_RBX), ROW_KEPT);
    struct row row = ROW_OF(0, 0x11, 0x0f, 0x7e); /* offset_extended_sf R15, -2 */
    cr_assert_eq(where(row, ROW_R15), ROW_SAVED);
    cr_assert_eq(row.saved[ROW_R15], 2);
    row = ROW_OF(0, 0x2f, 0x0c, 0x03); /* GNU_negative_offset_extended R12, 3 */
    cr_assert_eq(row.saved[ROW_R12], 3);
    row = ROW_OF(0, 0x12, 0x06, 0x7f); /* def_cfa_sf RBP, -1 */
    cr_assert_eq(row.cfa_reg, DWREG_RBP);
    cr_assert_eq(row.cfa_offset, 8);
    row = ROW_OF(0, 0x13, 0x7d); /* def_cfa_offset_sf -3 */
    cr_assert_eq(row.cfa_offset, 24);
    row = ROW_OF(0x20, 0x04, 0x20, 0, 0, 0, 0x0e, 0x30); /* advance_loc4 */
    cr_assert_eq(row.cfa_offset, 48);
    row = ROW_OF(0x20, 0x01, 0x20, 0x10, 0, 0, 0, 0, 0, 0, 0x0e, 0x30); /* set_loc */
    cr_assert_eq(row.cfa_offset, 48);
}

Test(rows, what_a_row_can_not_say)
{
    cr_assert_eq(ROW_OF(0, 0x09, 0x10, 0x05).how, ROW_LIBUNWIND, "RA in RDI, as in vfork()");
    cr_assert_eq(ROW_OF(0, 0x0f, 0x02, 0x77, 0x08).how, ROW_LIBUNWIND, "CFA by expression");
    cr_assert_eq(ROW_OF(0, 0x10, 0x03, 0x02, 0x77, 0x08).how, ROW_LIBUNWIND);
    cr_assert_eq(ROW_OF(0, 0x16, 0x06, 0x02, 0x77, 0x08).how, ROW_LIBUNWIND);
    cr_assert_eq(ROW_OF(0, 0x14, 0x06, 0x02).how, ROW_LIBUNWIND, "RBP is CFA - 16");
    cr_assert_eq(ROW_OF(0, 0x15, 0x07, 0x01).how, ROW_LIBUNWIND, "RSP is CFA - 8");
    cr_assert_eq(ROW_OF(0, 0x14, 0x07, 0x00).how, ROW_PLAIN, "RSP is the CFA, as always");
    cr_assert_eq(ROW_OF(0, 0x80, 0x04).how, ROW_LIBUNWIND, "RAX saved");
    cr_assert_eq(ROW_OF(0, 0x07, 0x07).how, ROW_LIBUNWIND, "RSP undefined");
    cr_assert_eq(ROW_OF(0, 0x08, 0x10).how, ROW_LIBUNWIND, "RA same");
    cr_assert_eq(ROW_OF(0, 0x83, 0xff, 0xff, 0x7f).how, ROW_LIBUNWIND, "RBX far away");
    cr_assert_eq(ROW_OF(0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x1f).how, ROW_LIBUNWIND, "a huge CFA");
    cr_assert_eq(ROW_OF(0, 0x0c, 0x10, 0x08).how, ROW_LIBUNWIND, "CFA by RIP");
}

Test(rows, programs_that_make_no_sense)
{
    cr_assert_eq(ROW_OF(0, 0x17).how, ROW_NONE, "unknown opcode");
    cr_assert_eq(ROW_OF(0, 0x07, 0x11).how, ROW_NONE, "register out of range");
    cr_assert_eq(ROW_OF(0, 0x91, 0x01).how, ROW_NONE, "register out of range");
    cr_assert_eq(ROW_OF(0, 0x0b).how, ROW_NONE, "nothing was remembered");
    cr_assert_eq(ROW_OF(0, 0x0f, 0x7f, 0x77).how, ROW_NONE, "a block past the end");
    cr_assert_eq(ROW_OF(0, 0x0f, 0x03, 0x2f, 0xfd, 0xff).how, ROW_NONE, "an endless loop");
    cr_assert_eq(ROW_OF(0, 0x0f, 0x02, 0x77, 0x08, 0x0e, 0x08).how, ROW_NONE,
                 "an offset to an expression");
    cr_assert_eq(ROW_OF(0, 0x44, 0x01, 0, 0x10, 0, 0, 0, 0, 0, 0).how, ROW_NONE, "back in code");
    uint8_t deep[64];
    memset(deep, 0x0a, sizeof(deep));
    cr_assert_eq(row_of(deep, sizeof(deep), 0).how, ROW_NONE, "remembered without end");
}

Test(rows, functions_are_told_apart_and_found_again)
{
    enum { N = 12 };
    struct made t = {0};
    put_cie(&t, 3, false);
    for (unsigned i = N; i-- > 0;) {
        uint8_t program[] = {0x0e, (uint8_t)(16 + 8 * i)};
        put_fde(&t, CODE + i * CODE_BYTES, program, sizeof(program), false);
    }
    made_open(&t, ".debug_frame", t.frame, t.n, 0);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N * CODE_BYTES; i += 7)
            expect_cfa(&t, i * 5 % (N * CODE_BYTES), DWREG_RSP,
                       (int)(16 + 8 * (i * 5 % (N * CODE_BYTES) / CODE_BYTES)));
        if (round == 1)
            rows_forget(t.rows);
    }
    made_close(&t);
}

/* All bytes of every length: nothing may be read past the program's end (ASan), or loop. */
Test(rows, programs_cut_off_anywhere)
{
    for (size_t n = 0; n <= sizeof(usual); n++)
        for (unsigned op = 0; op < 256; op++) {
            uint8_t program[sizeof(usual) + 1];
            memcpy(program, usual, n);
            program[n] = (uint8_t)op;
            (void)row_of(program, n + 1, 40);
        }
}
