/* SPDX-License-Identifier: MIT */
/* Inlined functions and lines, from DWARF written out byte by byte. */
#include <criterion/criterion.h>
#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

#include "base/mem.h"
#include "symbols/dwarf_data.h"
#include "symbols/symbols.h"

enum { ENTRIES_FEW = 30 };
enum { NONE, NAMES, TEXT, SYMTAB, STRINGS, INFO, ABBREV, LINE, SECTIONS_N };
enum { PART_BYTES = 4096 };

/* A file with code at [0x1000, 0x2000) and three debug sections. */
struct image {
    Elf64_Ehdr e;
    Elf64_Phdr ph;
    Elf64_Shdr sh[SECTIONS_N];
    Elf64_Sym symbols[2];
    char strings[64], names[128];
    uint8_t parts[SECTIONS_N][PART_BYTES];
};

static void init(struct image *im)
{
    static const char names[] = "\0.debug_info\0.debug_abbrev\0.debug_line";
    memset(im, 0, sizeof(*im));
    memcpy(im->e.e_ident, ELFMAG "\2\1\1", 7);
    im->e.e_type = ET_DYN;
    im->e.e_machine = EM_X86_64;
    im->e.e_phoff = offsetof(struct image, ph);
    im->e.e_phentsize = sizeof(im->ph);
    im->e.e_phnum = 1;
    im->e.e_shoff = offsetof(struct image, sh);
    im->e.e_shentsize = sizeof(Elf64_Shdr);
    im->e.e_shnum = SECTIONS_N;
    im->e.e_shstrndx = NAMES;
    im->ph = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x1000, .p_filesz = 0x1000};
    memcpy(im->names, names, sizeof(names));
    im->sh[NAMES] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                                 .sh_offset = offsetof(struct image, names),
                                 .sh_size = sizeof(names)};
    im->sh[TEXT] = (Elf64_Shdr){.sh_type = SHT_NOBITS,
                                .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                .sh_addr = 0x1000,
                                .sh_size = 0x1000};
    im->sh[INFO].sh_name = 1;
    im->sh[ABBREV].sh_name = 13;
    im->sh[LINE].sh_name = 27;
    for (int i = INFO; i < SECTIONS_N; i++) {
        im->sh[i].sh_type = SHT_PROGBITS;
        im->sh[i].sh_offset = offsetof(struct image, parts) + (size_t)i * PART_BYTES;
    }
}

static void symbol(struct image *im, const char *name, uint64_t vaddr, uint64_t bytes)
{
    im->symbols[1] = (Elf64_Sym){.st_name = 1,
                                 .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                 .st_shndx = TEXT,
                                 .st_value = vaddr,
                                 .st_size = bytes};
    strncpy(im->strings + 1, name, sizeof(im->strings) - 2);
    im->sh[SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                  .sh_offset = offsetof(struct image, symbols),
                                  .sh_size = sizeof(im->symbols),
                                  .sh_link = STRINGS,
                                  .sh_entsize = sizeof(Elf64_Sym)};
    im->sh[STRINGS] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                                   .sh_offset = offsetof(struct image, strings),
                                   .sh_size = sizeof(im->strings)};
}

/* Appends a number; returns where. */
static uint64_t num(struct image *im, int part, uint64_t value, size_t bytes)
{
    uint64_t at = im->sh[part].sh_size;
    cr_assert_leq(at + bytes, PART_BYTES);
    memcpy(im->parts[part] + at, &value, bytes);
    im->sh[part].sh_size += bytes;
    return at;
}

/* Appends bytes up to a negative one; returns where. */
static uint64_t put(struct image *im, int part, ...)
{
    va_list list;
    uint64_t at = im->sh[part].sh_size;
    va_start(list, part);
    for (int byte; (byte = va_arg(list, int)) >= 0;)
        num(im, part, (uint64_t)byte, 1);
    va_end(list);
    return at;
}

static uint64_t str(struct image *im, int part, const char *text)
{
    uint64_t at = im->sh[part].sh_size;
    do
        num(im, part, (uint8_t)*text, 1);
    while (*text++);
    return at;
}

/* Codes of the entries below. */
enum { UNIT = 1, SPACE, ABSTRACT, FUNCTION, INLINED };

static void abbrevs(struct image *im)
{
    put(im, ABBREV, UNIT, DW_TAG_compile_unit, 1, DW_AT_language, DW_FORM_data1, DW_AT_comp_dir,
        DW_FORM_string, DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, DW_AT_stmt_list,
        DW_FORM_sec_offset, 0, 0, -1);
    put(im, ABBREV, SPACE, DW_TAG_namespace, 1, DW_AT_name, DW_FORM_string, 0, 0, -1);
    put(im, ABBREV, ABSTRACT, DW_TAG_subprogram, 0, DW_AT_name, DW_FORM_string, DW_AT_decl_line,
        DW_FORM_data1, DW_AT_abstract_origin, DW_FORM_ref4, 0, 0, -1);
    put(im, ABBREV, FUNCTION, DW_TAG_subprogram, 1, DW_AT_name, DW_FORM_string, DW_AT_low_pc,
        DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, 0, 0, -1);
    put(im, ABBREV, INLINED, DW_TAG_inlined_subroutine, 1, DW_AT_abstract_origin, DW_FORM_ref4,
        DW_AT_low_pc, DW_FORM_addr, DW_AT_high_pc, DW_FORM_data4, DW_AT_call_file, DW_FORM_data1,
        DW_AT_call_line, DW_FORM_data1, 0, 0, 0, -1);
}

/* Version 4; the length is set by end_unit(). */
static void begin_unit(struct image *im)
{
    num(im, INFO, 0, 4);
    num(im, INFO, 4, 2);
    num(im, INFO, 0, 4);
    put(im, INFO, 8, UNIT, DW_LANG_C_plus_plus, -1);
    str(im, INFO, "/src");
    num(im, INFO, 0x1000, 8);
    num(im, INFO, 0x1000, 4);
    num(im, INFO, 0, 4);
}

static void end_unit(struct image *im)
{
    num(im, INFO, 0, 1);
    uint32_t length = (uint32_t)im->sh[INFO].sh_size - 4;
    memcpy(im->parts[INFO], &length, 4);
}

/* app::NAME, declared in line 7; where its origin (which it should not have) is told. */
static uint64_t abstract(struct image *im, const char *name, uint32_t *ret_origin_at)
{
    put(im, INFO, SPACE, -1);
    str(im, INFO, "app");
    uint64_t at = put(im, INFO, ABSTRACT, -1);
    str(im, INFO, name);
    num(im, INFO, 7, 1);
    *ret_origin_at = (uint32_t)num(im, INFO, 0, 4);
    num(im, INFO, 0, 1);
    return at;
}

static void function(struct image *im, const char *name, uint64_t vaddr, uint64_t bytes)
{
    put(im, INFO, FUNCTION, -1);
    str(im, INFO, name);
    num(im, INFO, vaddr, 8);
    num(im, INFO, bytes, 4);
}

static void inlined(struct image *im, uint64_t origin, uint64_t vaddr, uint64_t bytes, int line)
{
    put(im, INFO, INLINED, -1);
    num(im, INFO, origin, 4);
    num(im, INFO, vaddr, 8);
    num(im, INFO, bytes, 4);
    put(im, INFO, 1, line, -1);
}

/* Line 10 at 0x1100, line 20 at 0x1110, up to 0x1140. */
static void lines(struct image *im)
{
    num(im, LINE, 0, 4);
    num(im, LINE, 3, 2);
    uint64_t at = num(im, LINE, 0, 4);
    put(im, LINE, 1, 1, 0xff, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, -1);
    str(im, LINE, "a.c");
    put(im, LINE, 0, 0, 0, 0, -1);
    uint32_t header = (uint32_t)(im->sh[LINE].sh_size - at - 4);
    memcpy(im->parts[LINE] + at, &header, 4);
    put(im, LINE, 0, 9, DW_LNE_set_address, -1);
    num(im, LINE, 0x1100, 8);
    put(im, LINE, DW_LNS_advance_line, 9, DW_LNS_copy, DW_LNS_advance_pc, 0x10, -1);
    put(im, LINE, DW_LNS_advance_line, 10, DW_LNS_copy, DW_LNS_advance_pc, 0x30, -1);
    put(im, LINE, 0, 1, DW_LNE_end_sequence, -1);
    uint32_t length = (uint32_t)im->sh[LINE].sh_size - 4;
    memcpy(im->parts[LINE], &length, 4);
}

struct fixture {
    struct image im;
    struct modules modules;
    struct symbols *s;
    struct module *m;
    struct symbol_line lines[SYMBOL_LINES_MAX];
};

static struct fixture *new_fixture(void)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    init(&f->im);
    abbrevs(&f->im);
    lines(&f->im);
    begin_unit(&f->im);
    return f;
}

static void load(struct fixture *f)
{
    f->s = symbols_new(&(struct symbols_options){.debug_dir = "/nonexistent"});
    f->m = modules_add(&f->modules, 0, 0, "/usr/bin/app");
    f->m->file_bytes = sizeof(f->im);
    f->m->pieces = mem_alloc(sizeof(*f->m->pieces));
    f->m->pieces[0].bytes = sizeof(f->im);
    f->m->pieces[0].data = mem_alloc(sizeof(f->im));
    memcpy(f->m->pieces[0].data, &f->im, sizeof(f->im));
    f->m->n_pieces = 1;
    cr_assert_eq(module_read_headers(f->m), 0);
}

static void free_fixture(struct fixture *f)
{
    symbols_free(f->s);
    modules_release(&f->modules);
    free(f);
}

static void expect(struct fixture *f, int at, const char *name, const char *file, uint32_t line)
{
    cr_assert_str_eq(f->lines[at].name, name);
    cr_assert_eq(f->lines[at].line, line, "%s: line %u", name, f->lines[at].line);
    cr_assert_eq(!f->lines[at].file, !file);
    if (file)
        cr_assert_str_eq(f->lines[at].file, file);
}

/* outer() has an app::middle() at 0x1108, which has an app::inner() at 0x1110. */
static void nest(struct image *im)
{
    uint32_t unused;
    uint64_t inner = abstract(im, "inner", &unused), middle = abstract(im, "middle", &unused);
    function(im, "outer", 0x1100, 0x40);
    inlined(im, middle, 0x1108, 0x20, 33);
    inlined(im, inner, 0x1110, 8, 44);
    put(im, INFO, 0, 0, 0, -1);
    end_unit(im);
}

Test(dwarf, inlined_functions_innermost_first)
{
    struct fixture *f = new_fixture();
    nest(&f->im);
    load(f);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1112, f->lines), 3);
    expect(f, 0, "app::inner", "/src/a.c", 20);
    expect(f, 1, "app::middle", "/src/a.c", 44);
    expect(f, 2, "outer", "/src/a.c", 33);
    cr_assert_eq(f->lines[0].start_line, 7);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1118, f->lines), 2);
    expect(f, 0, "app::middle", "/src/a.c", 20);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1100, f->lines), 1);
    expect(f, 0, "outer", "/src/a.c", 10);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1140, f->lines), -ENODATA);
    cr_assert_eq(symbols_lines_cut(f->s), 0);
    free_fixture(f);
}

/* Too few for the first address, which is counted; the next goes on from there. */
Test(dwarf, what_one_address_could_not_read_the_next_one_does)
{
    struct fixture *f = new_fixture();
    symbol(&f->im, "outer", 0x1100, 0x40);
    nest(&f->im);
    load(f);
    symbols_free(f->s);
    f->s = symbols_new(&(struct symbols_options){.entries_max = ENTRIES_FEW});
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1112, f->lines), 1, "the symbol table's");
    cr_assert_eq(symbols_lines_cut(f->s), 1);
    int n = 1;
    for (int i = 0; n < 3 && i < 8; i++)
        n = symbols_lines(f->s, f->m, 0x1112, f->lines);
    cr_assert_eq(n, 3);
    uint64_t cut = symbols_lines_cut(f->s);
    cr_assert_leq(cut, 4);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1118, f->lines), 2);
    cr_assert_eq(symbols_lines_cut(f->s), cut);
    free_fixture(f);
}

/* Wherever the limit strikes: no line reaches past the end of its sequence. */
Test(dwarf, what_is_cut_gives_no_wrong_line)
{
    struct fixture *f = new_fixture();
    symbol(&f->im, "outer", 0x1100, 0x80);
    nest(&f->im);
    load(f);
    for (uint64_t most = 1; most < 200; most++) {
        symbols_free(f->s);
        f->s = symbols_new(&(struct symbols_options){.entries_max = most});
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(symbols_lines(f->s, f->m, 0x1150, f->lines), 1);
            cr_assert_eq(f->lines[0].line, 0, "%lu entries: line %u", most, f->lines[0].line);
        }
    }
    free_fixture(f);
}

Test(dwarf, the_symbol_table_names_the_outermost)
{
    struct fixture *f = new_fixture();
    symbol(&f->im, "__alias", 0x1100, 0x80);
    nest(&f->im);
    load(f);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1108, f->lines), 2);
    expect(f, 0, "app::middle", "/src/a.c", 10);
    expect(f, 1, "__alias", "/src/a.c", 33);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1150, f->lines), 1, "no DWARF there");
    expect(f, 0, "__alias", NULL, 0);
    free_fixture(f);
}

Test(dwarf, origins_in_a_circle, .timeout = 10)
{
    struct fixture *f = new_fixture();
    uint32_t one_at, two_at;
    uint64_t one = abstract(&f->im, "", &one_at), two = abstract(&f->im, "", &two_at);
    memcpy(f->im.parts[INFO] + one_at, &two, 4);
    memcpy(f->im.parts[INFO] + two_at, &one, 4);
    function(&f->im, "outer", 0x1100, 0x40);
    inlined(&f->im, one, 0x1100, 8, 33);
    put(&f->im, INFO, 0, 0, -1);
    end_unit(&f->im);
    load(f);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1100, f->lines), 2);
    expect(f, 0, "[inlined]", "/src/a.c", 10);
    expect(f, 1, "outer", "/src/a.c", 33);
    free_fixture(f);
}

Test(dwarf, a_chain_over_the_limit_loses_its_outermost)
{
    struct fixture *f = new_fixture();
    uint32_t unused;
    uint64_t inner = abstract(&f->im, "f", &unused);
    symbol(&f->im, "outer", 0x1100, 0x40);
    function(&f->im, "outer", 0x1100, 0x40);
    for (int i = 0; i < SYMBOL_LINES_MAX + 1; i++)
        inlined(&f->im, inner, 0x1100, 8, 33);
    end_unit(&f->im);
    load(f);
    cr_assert_eq(symbols_lines(f->s, f->m, 0x1100, f->lines), SYMBOL_LINES_MAX);
    expect(f, SYMBOL_LINES_MAX - 1, "app::f", "/src/a.c", 33);
    free_fixture(f);
}

/* Cut anywhere: never more than there is, never a crash. */
Test(dwarf, sections_that_end_early, .timeout = 60)
{
    for (int part = INFO; part < SECTIONS_N; part++) {
        for (uint64_t bytes = 0; bytes < 140; bytes++) {
            struct fixture *f = new_fixture();
            symbol(&f->im, "outer", 0x1100, 0x40);
            nest(&f->im);
            if (bytes < f->im.sh[part].sh_size)
                f->im.sh[part].sh_size = bytes;
            load(f);
            int n = symbols_lines(f->s, f->m, 0x1112, f->lines);
            cr_assert(n == 1 || n == 3);
            cr_assert_str_eq(f->lines[n - 1].name, "outer");
            free_fixture(f);
        }
    }
}

static int init_packed(uint64_t file_bytes, uint64_t bytes)
{
    uint8_t data[256] = {0};
    struct module_piece piece = {.bytes = sizeof(data), .data = data};
    struct module m = {.fd = -1, .pieces = &piece, .n_pieces = 1, .file_bytes = UINT64_MAX};
    struct debug_room room = {.max_bytes = UINT64_MAX};
    struct debug_data d;
    Elf64_Chdr packed = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = bytes};
    memcpy(data, &packed, sizeof(packed));
    return debug_data_init(
        &d, &m, &(Elf64_Shdr){.sh_flags = SHF_COMPRESSED, .sh_size = sizeof(packed) + file_bytes},
        false, &room);
}

Test(dwarf, sections_that_unpack_to_too_much_are_refused)
{
    cr_assert_eq(init_packed(10 << 20, 100 << 20), 0);
    cr_assert_eq(init_packed(0, 1 << 20), 0);
    cr_assert_eq(init_packed(1 << 20, 200 << 20), -EBADMSG);
    cr_assert_eq(init_packed(1 << 30, (1 << 30) + 1), -EBADMSG);
    cr_assert_eq(init_packed(1 << 20, UINT64_MAX), -EBADMSG);
}

/* As in the namer's process, and a section of twice of what may be written to there. */
Test(dwarf, a_large_section_takes_what_is_read_of_it)
{
    enum { LIMIT = 512 << 20, PIECE = 1 << 20 };
    struct rlimit data = {.rlim_cur = LIMIT, .rlim_max = LIMIT};
    uint8_t *bytes = mem_alloc(PIECE);
    struct module_piece piece = {.off = LIMIT, .bytes = PIECE, .data = bytes};
    struct module m = {.fd = -1, .pieces = &piece, .n_pieces = 1, .file_bytes = UINT64_MAX};
    struct debug_room room = {.max_bytes = PIECE};
    struct debug_data d = {0};
    bytes[3] = 42;
    cr_assert_eq(setrlimit(RLIMIT_DATA, &data), 0);
    cr_assert_eq(
        debug_data_init(&d, &m, &(Elf64_Shdr){.sh_size = UINT64_C(2) * LIMIT}, false, &room), 0);
    for (int round = 0; round < 2; round++) {
        const uint8_t *got = debug_data_get(&d, LIMIT, 4);
        cr_assert(got && got[3] == 42);
        cr_assert_eq(room.refusals, 0);
        cr_assert_eq(room.bytes, 16 * 1024);
        debug_data_trim(&d, false);
        cr_assert_eq(room.bytes, 0);
    }
    debug_data_release(&d);
    free(bytes);
}

static struct debug_data packed_data(struct module *m, const struct module_piece *piece,
                                     uint64_t bytes, struct debug_room *room)
{
    m->fd = -1;
    m->pieces = (struct module_piece *)piece;
    m->n_pieces = 1;
    m->file_bytes = piece->bytes;
    return (struct debug_data){.m = m,
                               .room = room,
                               .file_bytes = piece->bytes,
                               .bytes = bytes,
                               .packing = ELFCOMPRESS_ZLIB};
}

/* For one of them only: the other one waits until the first is given back. */
Test(dwarf, what_found_no_room_finds_it_later)
{
    enum { BYTES = 1 << 20 };
    uint8_t *plain = mem_alloc(BYTES), packed[4096];
    uLongf n = sizeof(packed);
    plain[7] = 9;
    cr_assert_eq(compress(packed, &n, plain, BYTES), Z_OK);
    struct module_piece piece = {.bytes = n, .data = packed};
    struct module m = {0};
    struct debug_room room = {.max_bytes = BYTES + BYTES / 2};
    struct debug_data one = packed_data(&m, &piece, BYTES, &room), two = one;
    cr_assert(debug_data_get(&one, 7, 1));
    cr_assert_null(debug_data_get(&two, 7, 1));
    cr_assert(room.wanting);
    debug_data_trim(&one, false);
    cr_assert_null(debug_data_get(&two, 7, 1), "unpacking takes long: it is kept");
    debug_data_trim(&one, true);
    const uint8_t *got = debug_data_get(&two, 7, 1);
    cr_assert(got && *got == 9);
    debug_data_release(&one);
    debug_data_release(&two);
    cr_assert_eq(room.bytes, 0);
    free(plain);
}

Test(dwarf, a_number_of_endless_padding_is_none)
{
    uint8_t bytes[64];
    memset(bytes, 0x80, sizeof(bytes));
    struct module_piece piece = {.bytes = sizeof(bytes), .data = bytes};
    struct module m = {.fd = -1, .pieces = &piece, .n_pieces = 1, .file_bytes = sizeof(bytes)};
    struct debug_room room = {.max_bytes = 1 << 20};
    struct debug_data d = {0};
    cr_assert_eq(debug_data_init(&d, &m, &(Elf64_Shdr){.sh_size = sizeof(bytes)}, false, &room), 0);
    bytes[15] = 0;
    struct debug_reader r = debug_reader_at(&d, 0, sizeof(bytes));
    cr_assert_eq(debug_read_uleb(&r), 0);
    cr_assert_not(r.failed, "16 bytes are still a number");
    cr_assert_eq(debug_read_uleb(&r), 0);
    cr_assert(r.failed);
    r = debug_reader_at(&d, 16, sizeof(bytes));
    cr_assert_eq(debug_read_sleb(&r), 0);
    cr_assert(r.failed);
    debug_data_release(&d);
}

Test(dwarf, numbers)
{
    uint8_t bytes[] = {0xe5, 0x8e, 0x26, 0x9b, 0xf1, 0x59, 0x7f, 0xff, 0xff};
    struct module_piece piece = {.bytes = sizeof(bytes), .data = bytes};
    struct module m = {.fd = -1, .pieces = &piece, .n_pieces = 1, .file_bytes = sizeof(bytes)};
    struct debug_room room = {.max_bytes = 1 << 20};
    struct debug_data d = {0};
    cr_assert_eq(debug_data_init(&d, &m, &(Elf64_Shdr){.sh_size = sizeof(bytes)}, false, &room), 0);
    struct debug_reader r = debug_reader_at(&d, 0, sizeof(bytes));
    cr_assert_eq(debug_read_uleb(&r), 624485, "DWARF 5 7.6");
    cr_assert_eq(debug_read_sleb(&r), -624485);
    cr_assert_eq(debug_read_sleb(&r), -1);
    cr_assert_eq(debug_read_uleb(&r), 0, "it does not end");
    cr_assert(r.failed);
    cr_assert_eq(debug_read_fixed(&r, 1), 0);
    debug_data_release(&d);
    cr_assert_eq(room.bytes, 0);
}
