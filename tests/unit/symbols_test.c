/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "symbols/heartbeat.h"
#include "symbols/locate.h"
#include "symbols/symbols.h"
#include "symbols/symtab.h"

enum { TEXT = 1, DATA, SYMTAB, STRTAB, NOTE, PLT, RELA, SECTIONS_N };
enum { SYMBOLS_MAX = 32, STRINGS_BYTES = 2048 };

/* An ELF file with code at [0x1000, 0x2000), data behind it, and a symbol table. */
struct image {
    Elf64_Ehdr e;
    Elf64_Phdr ph;
    Elf64_Shdr sh[SECTIONS_N];
    struct {
        Elf64_Nhdr n;
        char owner[4];
        uint8_t id[4];
    } note;
    uint8_t plt[48]; /* shown at its offset in the file */
    Elf64_Rela rela[2];
    Elf64_Sym symbols[SYMBOLS_MAX];
    char strings[STRINGS_BYTES];
    size_t n_symbols, strings_bytes;
};

static void image_init(struct image *im, uint8_t build)
{
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
    im->ph = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 0x3000};
    im->sh[TEXT] = (Elf64_Shdr){.sh_type = SHT_NOBITS,
                                .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                                .sh_addr = 0x1000,
                                .sh_size = 0x1000};
    im->sh[DATA] = (Elf64_Shdr){
        .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC, .sh_addr = 0x2000, .sh_size = 0x1000};
    im->sh[SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                  .sh_offset = offsetof(struct image, symbols),
                                  .sh_link = STRTAB,
                                  .sh_entsize = sizeof(Elf64_Sym)};
    im->sh[STRTAB] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = offsetof(struct image, strings)};
    im->sh[NOTE] = (Elf64_Shdr){.sh_type = SHT_NOTE,
                                .sh_offset = offsetof(struct image, note),
                                .sh_size = sizeof(im->note)};
    im->note.n = (Elf64_Nhdr){4, 4, NT_GNU_BUILD_ID};
    memcpy(im->note.owner, ELF_NOTE_GNU, 4);
    memset(im->note.id, build, 4);
    im->strings_bytes = im->n_symbols = 1;
}

static void put(struct image *im, const char *name, unsigned bind, unsigned type, uint16_t section,
                uint64_t vaddr, uint64_t bytes)
{
    cr_assert_lt(im->n_symbols, SYMBOLS_MAX);
    cr_assert_lt(im->strings_bytes + strlen(name), STRINGS_BYTES);
    im->symbols[im->n_symbols++] = (Elf64_Sym){.st_name = (uint32_t)im->strings_bytes,
                                               .st_info = (unsigned char)ELF64_ST_INFO(bind, type),
                                               .st_shndx = section,
                                               .st_value = vaddr,
                                               .st_size = bytes};
    memcpy(im->strings + im->strings_bytes, name, strlen(name) + 1);
    im->strings_bytes += strlen(name) + 1;
    im->sh[SYMTAB].sh_size = im->n_symbols * sizeof(Elf64_Sym);
    im->sh[STRTAB].sh_size = im->strings_bytes;
}

static void function(struct image *im, const char *name, uint64_t vaddr, uint64_t bytes)
{
    put(im, name, STB_GLOBAL, STT_FUNC, TEXT, vaddr, bytes);
}

static struct module *module_of(struct modules *t, const struct image *im)
{
    struct module *m = modules_add(t, 0, 0, "/usr/bin/app");
    m->file_bytes = sizeof(*im);
    m->pieces = mem_alloc(sizeof(*m->pieces));
    m->pieces[0].bytes = sizeof(*im);
    m->pieces[0].data = mem_alloc(sizeof(*im));
    memcpy(m->pieces[0].data, im, sizeof(*im));
    m->n_pieces = 1;
    cr_assert_eq(module_read_headers(m), 0);
    return m;
}

struct fixture {
    struct image im;
    struct modules modules;
    struct symbols *s;
    struct module *m;
    char dir[64];
};

static void setup(struct fixture *f, enum demangle how)
{
    if (!f->dir[0])
        strcpy(f->dir, "/nonexistent");
    f->s = symbols_new(&(struct symbols_options){.demangle = how, .debug_dir = f->dir});
    f->m = module_of(&f->modules, &f->im);
}

static void teardown(struct fixture *f)
{
    symbols_free(f->s);
    modules_release(&f->modules);
}

static const char *name_at(struct fixture *f, uint64_t vaddr)
{
    struct symbol symbol;
    int rc = symbols_find(f->s, f->m, vaddr, &symbol);
    cr_assert(rc == 0 || rc == -ENODATA);
    return rc ? "(none)" : symbol.name;
}

Test(symbols, sized_functions_and_the_gaps_between)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    function(&f.im, "second", 0x1200, 0x10);
    function(&f.im, "first", 0x1100, 0x20);
    put(&f.im, "chosen", STB_GLOBAL, STT_GNU_IFUNC, TEXT, 0x1300, 8);
    put(&f.im, "table", STB_GLOBAL, STT_OBJECT, DATA, 0x2000, 8);
    put(&f.im, "elsewhere", STB_GLOBAL, STT_FUNC, SHN_UNDEF, 0x1400, 8);
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, 0x10ff), "(none)");
    cr_assert_str_eq(name_at(&f, 0x1100), "first");
    cr_assert_str_eq(name_at(&f, 0x111f), "first");
    cr_assert_str_eq(name_at(&f, 0x1120), "(none)");
    cr_assert_str_eq(name_at(&f, 0x120f), "second");
    cr_assert_str_eq(name_at(&f, 0x1307), "chosen");
    cr_assert_str_eq(name_at(&f, 0x2000), "(none)");
    cr_assert_str_eq(name_at(&f, 0x1400), "(none)");
    cr_assert_str_eq(name_at(&f, UINT64_MAX), "(none)");
    struct symbol symbol;
    cr_assert_eq(symbols_find(f.s, f.m, 0x1110, &symbol), 0);
    cr_assert_eq(symbol.vaddr, 0x1100);
    cr_assert_eq(symbol.bytes, 0x20);
    teardown(&f);
}

Test(symbols, functions_without_size_reach_to_the_next_one)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    put(&f.im, "asm_a", STB_LOCAL, STT_NOTYPE, TEXT, 0x1100, 0);
    function(&f.im, "asm_b", 0x1180, 0);
    function(&f.im, "c", 0x1200, 0x80);
    put(&f.im, "label_in_c", STB_LOCAL, STT_NOTYPE, TEXT, 0x1240, 0);
    put(&f.im, "last", STB_GLOBAL, STT_NOTYPE, TEXT, 0x1f00, 0);
    put(&f.im, "etext", STB_GLOBAL, STT_NOTYPE, TEXT, 0x2000, 0);
    put(&f.im, "no_code", STB_GLOBAL, STT_NOTYPE, DATA, 0x2100, 0);
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, 0x117f), "asm_a");
    cr_assert_str_eq(name_at(&f, 0x11ff), "asm_b");
    cr_assert_str_eq(name_at(&f, 0x1250), "c");
    cr_assert_str_eq(name_at(&f, 0x1280), "(none)");
    cr_assert_str_eq(name_at(&f, 0x1fff), "last");
    cr_assert_str_eq(name_at(&f, 0x2000), "(none)");
    cr_assert_str_eq(name_at(&f, 0x2100), "(none)");
    struct symbol symbol;
    cr_assert_eq(symbols_find(f.s, f.m, 0x1101, &symbol), 0);
    cr_assert_eq(symbol.bytes, 0, "the table does not say");
    teardown(&f);
}

Test(symbols, the_innermost_function_wins)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    function(&f.im, "outer", 0x1100, 0x100);
    function(&f.im, "inner", 0x1140, 0x10);
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, 0x113f), "outer");
    cr_assert_str_eq(name_at(&f, 0x1140), "inner");
    cr_assert_str_eq(name_at(&f, 0x1150), "outer");
    teardown(&f);
}

Test(symbols, aliases)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    function(&f.im, "__poll", 0x1100, 8);
    put(&f.im, "poll", STB_WEAK, STT_FUNC, TEXT, 0x1100, 8);
    put(&f.im, "__GI___poll", STB_LOCAL, STT_FUNC, TEXT, 0x1100, 8);
    put(&f.im, "___pthread_cond_wait", STB_LOCAL, STT_FUNC, TEXT, 0x1200, 8);
    function(&f.im, "pthread_cond_wait@@GLIBC_2.3.2", 0x1200, 8);
    function(&f.im, "fork@GLIBC_2.0", 0x1300, 8);
    put(&f.im, "_fork_today", STB_LOCAL, STT_FUNC, TEXT, 0x1300, 8);
    put(&f.im, "a", STB_LOCAL, STT_FUNC, TEXT, 0x1400, 8);
    put(&f.im, "weak", STB_WEAK, STT_FUNC, TEXT, 0x1400, 8);
    put(&f.im, "longer", STB_GLOBAL, STT_FUNC, TEXT, 0x1400, 8);
    put(&f.im, "globb", STB_GLOBAL, STT_FUNC, TEXT, 0x1400, 8);
    put(&f.im, "globa", STB_GLOBAL, STT_FUNC, TEXT, 0x1400, 8);
    put(&f.im, ".L12", STB_GLOBAL, STT_FUNC, TEXT, 0x1400, 8);
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, 0x1101), "poll");
    cr_assert_str_eq(name_at(&f, 0x1207), "pthread_cond_wait");
    cr_assert_str_eq(name_at(&f, 0x1300), "_fork_today");
    cr_assert_str_eq(name_at(&f, 0x1400), "globa");
    teardown(&f);
}

Test(symbols, pieces_of_functions_are_shown_as_the_function)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    function(&f.im, "_ZN3app4workEi.part.0.cold", 0x1100, 8);
    setup(&f, DEMANGLE_SIMPLE);
    struct symbol symbol;
    cr_assert_eq(symbols_find(f.s, f.m, 0x1100, &symbol), 0);
    cr_assert_str_eq(symbol.name, "app::work");
    cr_assert_str_eq(symbol.linkage_name, "_ZN3app4workEi.part.0.cold");
    teardown(&f);
}

Test(symbols, tables_that_lie)
{
    static const uint64_t odd[] = {0, 1, 23, 1ull << 20, 1ull << 40, UINT64_MAX - 7, UINT64_MAX};
    const size_t n = sizeof(odd) / sizeof(*odd);
    for (size_t i = 0; i < 6 * n; i++) {
        struct fixture f = {0};
        image_init(&f.im, 1);
        function(&f.im, "f", 0x1100, 8);
        uint64_t v = odd[i % n];
        Elf64_Shdr *h = &f.im.sh[i / n < 3 ? SYMTAB : STRTAB];
        uint64_t *fields[] = {&h->sh_offset, &h->sh_size, &h->sh_entsize};
        *fields[i / n % 3] = v;
        setup(&f, DEMANGLE_SIMPLE);
        const char *name = name_at(&f, 0x1100);
        bool harmless = i / n == 5 || (i / n == 4 && v >= 23);
        cr_assert(harmless || strcmp(name, "f"), "field %zu = %#lx: %s", i / n, v, name);
        teardown(&f);
    }
}

Test(symbols, no_elf_file_is_no_table)
{
    struct fixture f = {0};
    struct symbol symbol;
    image_init(&f.im, 1);
    f.im.e.e_shoff = 0;
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_eq(symbols_find(f.s, f.m, 0x1100, &symbol), -ENODATA);
    struct module *gone = modules_add(&f.modules, 0, 1, "/gone");
    cr_assert_eq(symbols_find(f.s, gone, 0x1100, &symbol), -EBADMSG);
    char advice[200];
    snprintf(gone->trouble, sizeof(gone->trouble), "not an ELF file");
    symbols_advice(f.s, gone, advice, sizeof(advice));
    cr_assert_str_eq(advice, "no symbols: not an ELF file");
    teardown(&f);
}

/* Writes DIR/.build-id/01/010101.debug with the debug image; the module has build-id 01010101. */
static void with_debug_file(struct fixture *f, const struct image *debug)
{
    char path[128];
    image_init(&f->im, 1);
    strcpy(f->dir, "/tmp/symbols_test.XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    snprintf(path, sizeof(path), "%s/.build-id", f->dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/.build-id/01", f->dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/.build-id/01/010101.debug", f->dir);
    if (debug) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_eq(write(fd, debug, sizeof(*debug)), (ssize_t)sizeof(*debug));
        close(fd);
    } else {
        cr_assert_eq(mkfifo(path, 0600), 0);
    }
    setup(f, DEMANGLE_SIMPLE);
    memset(f->m->build_id, 1, 4);
    f->m->build_id_bytes = 4;
}

static void remove_debug_file(struct fixture *f)
{
    static const char *const rest[] = {"/.build-id/01/010101.debug", "/.build-id/01", "/.build-id",
                                       ""};
    char path[128];
    for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++) {
        snprintf(path, sizeof(path), "%s%s", f->dir, rest[i]);
        cr_assert_eq(remove(path), 0);
    }
    teardown(f);
}

Test(symbols, separate_debug_file_by_build_id)
{
    struct fixture f = {0};
    struct image debug;
    char advice[200];
    image_init(&debug, 1);
    function(&debug, "from_debug_file", 0x1100, 8);
    with_debug_file(&f, &debug);
    cr_assert_str_eq(name_at(&f, 0x1104), "from_debug_file");
    symbols_advice(f.s, f.m, advice, sizeof(advice));
    cr_assert_str_eq(advice, "");
    remove_debug_file(&f);
}

Test(symbols, debug_file_of_another_build_is_not_believed)
{
    struct fixture f = {0};
    struct image debug;
    char advice[200];
    image_init(&debug, 2);
    function(&debug, "wrong", 0x1100, 8);
    with_debug_file(&f, &debug);
    cr_assert_str_eq(name_at(&f, 0x1104), "(none)");
    symbols_advice(f.s, f.m, advice, sizeof(advice));
    cr_assert(strstr(advice, "is of another build"), "%s", advice);
    remove_debug_file(&f);
}

Test(symbols, a_fifo_as_debug_file_does_not_hang, .timeout = 10)
{
    struct fixture f = {0};
    with_debug_file(&f, NULL);
    cr_assert_str_eq(name_at(&f, 0x1104), "(none)");
    remove_debug_file(&f);
}

Test(symbols, advice_names_the_build_id)
{
    struct fixture f = {0};
    char advice[200];
    image_init(&f.im, 1);
    setup(&f, DEMANGLE_SIMPLE);
    symbols_advice(f.s, f.m, advice, sizeof(advice));
    cr_assert_str_eq(advice, "no symbols: it is stripped and has no build-id; build it unstripped");
    memcpy(f.m->build_id, (uint8_t[]){0xab, 0x12}, 2);
    f.m->build_id_bytes = 2;
    symbols_advice(f.s, f.m, advice, sizeof(advice));
    cr_assert_str_eq(
        advice, "no symbols: install its debug symbols (Debian: the package's -dbgsym or -dbg; "
                "build-id ab12; or --debuginfod)");
    teardown(&f);
}

/* Three entries: pushes for the resolver, malloc's slot 0x2018, a slot that nothing fills. */
static void put_plt(struct image *im)
{
    const uint64_t at = offsetof(struct image, plt);
    const int32_t slots[] = {0x2010, 0x2018, 0x2020};
    put(im, ".plt", STB_LOCAL, STT_SECTION, SHN_UNDEF, 0, 0);
    im->sh[PLT] = (Elf64_Shdr){.sh_name = im->symbols[im->n_symbols - 1].st_name,
                               .sh_type = SHT_PROGBITS,
                               .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                               .sh_addr = at,
                               .sh_offset = at,
                               .sh_size = sizeof(im->plt)};
    for (int i = 0; i < 3; i++) {
        int32_t disp = slots[i] - (int32_t)at - 16 * i - 10;
        memcpy(im->plt + (size_t)16 * i, "\xf3\x0f\x1e\xfa\xff\x25", 6);
        memcpy(im->plt + (size_t)16 * i + 6, &disp, 4);
    }
    put(im, ".rela.plt", STB_LOCAL, STT_SECTION, SHN_UNDEF, 0, 0);
    im->sh[RELA] = (Elf64_Shdr){.sh_name = im->symbols[im->n_symbols - 1].st_name,
                                .sh_type = SHT_RELA,
                                .sh_link = SYMTAB,
                                .sh_offset = offsetof(struct image, rela),
                                .sh_size = sizeof(im->rela)};
    put(im, "_Znwm", STB_GLOBAL, STT_FUNC, SHN_UNDEF, 0, 0);
    im->rela[1] = (Elf64_Rela){.r_offset = 0x2018,
                               .r_info = ELF64_R_INFO(im->n_symbols - 1, R_X86_64_JUMP_SLOT)};
    im->e.e_shstrndx = STRTAB;
}

Test(symbols, entries_of_the_linkage_table)
{
    const uint64_t at = offsetof(struct image, plt);
    struct fixture f = {0};
    image_init(&f.im, 1);
    put_plt(&f.im);
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, at - 1), "(none)");
    cr_assert_str_eq(name_at(&f, at), "[plt]");
    cr_assert_str_eq(name_at(&f, at + 20), "operator new@plt");
    cr_assert_str_eq(name_at(&f, at + 40), "[plt]");
    cr_assert_str_eq(name_at(&f, at + 48), "(none)");
    struct symbol symbol;
    cr_assert_eq(symbols_find(f.s, f.m, at + 31, &symbol), 0);
    cr_assert_str_eq(symbol.linkage_name, "_Znwm@plt");
    cr_assert_eq(symbol.vaddr, at + 16);
    cr_assert_eq(symbol.bytes, 16);
    teardown(&f);
}

Test(symbols, dots_belong_to_the_names_of_go)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    function(&f.im, "main.cold", 0x1100, 8);
    put_plt(&f.im);
    put(&f.im, ".gopclntab", STB_LOCAL, STT_SECTION, SHN_UNDEF, 0, 0);
    f.im.sh[DATA].sh_type = SHT_PROGBITS;
    f.im.sh[DATA].sh_name = f.im.symbols[f.im.n_symbols - 1].st_name;
    setup(&f, DEMANGLE_SIMPLE);
    cr_assert_str_eq(name_at(&f, 0x1100), "main.cold");
    teardown(&f);
}

Test(demangle, each_language_and_style)
{
    static const char *const names[][3] = {
        {"main", "main", "main"},
        {"_ZN3app4workEi", "app::work", "app::work(int)"},
        {"_Z3fooIiEvT_", "foo<int>", "void foo<int>(int)"},
        {"_ZN3app4workEi.cold.12", "app::work", "app::work(int)"},
        {"_ZN1r4busy17h360dd7fd88952c63E", "r::busy", "r::busy"},
        {"_RNvCs6GmmlP4bgsG_1r4busy", "r::busy", "r::busy"},
        {"_D3app4workFiZv", "app.work", "app.work(int)"},
        {"_D3app__T4workTiZQiFiZv", "app.work!(int).work", "app.work!(int).work(int)"},
        {"work.constprop.0.isra.1", "work", "work"},
        {"work.llvm.123456", "work", "work"},
        {"main.part", "main.part", "main.part"},
        {".cold", ".cold", ".cold"},
        {"_Zbad", "_Zbad", "_Zbad"},
        {"", "", ""},
    };
    struct symbols *s[3];
    for (int how = 0; how < 3; how++)
        s[how] = symbols_new(&(struct symbols_options){.demangle = (enum demangle)how});
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        cr_assert_str_eq(symbols_demangle(s[DEMANGLE_SIMPLE], names[i][0]), names[i][1]);
        cr_assert_str_eq(symbols_demangle(s[DEMANGLE_FULL], names[i][0]), names[i][2]);
        cr_assert_str_eq(symbols_demangle(s[DEMANGLE_NONE], names[i][0]), names[i][0]);
    }
    for (int how = 0; how < 3; how++)
        symbols_free(s[how]);
}

/* Each level is a pair of the level before: 2^40 times "int" written out. */
static char *bomb(void)
{
    char *text = mem_strdup("_Z1f1AIiiE");
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char *previous = mem_strdup("S0_");
    for (int i = 1; i < 34; i++) {
        char *more = mem_printf("%sS_I%s%sE", text, previous, previous);
        free(text);
        free(previous);
        text = more;
        previous = mem_printf("S%c_", digits[i]);
    }
    free(previous);
    return text;
}

Test(demangle, what_would_grow_without_bound_stays_as_linked, .timeout = 10)
{
    struct symbols *s = symbols_new(&(struct symbols_options){.demangle = DEMANGLE_FULL});
    char *deep = mem_alloc(100000);
    memset(deep, 'P', 99999);
    memcpy(deep, "_Z1f", 4);
    cr_assert_str_eq(symbols_demangle(s, deep), deep);
    deep[60000] = '\0';
    cr_assert_str_eq(symbols_demangle(s, deep), deep);
    free(deep);
    char *growing = bomb();
    cr_assert_str_eq(symbols_demangle(s, growing), growing);
    free(growing);
    symbols_free(s);
}

static struct perfmap *parse(const char *text)
{
    return perfmap_parse(text, strlen(text));
}

Test(perfmap, lines)
{
    struct perfmap *p = parse("7f0010 20 LazyCompile:*f /srv/a b.js:1\n"
                              "0x7f0000 0x10 g\n"
                              "\n"
                              "zz 10 bad\n"
                              "7f0040 0 empty\n"
                              "7f0050 10\n"
                              "7f0050 10 \n"
                              "-1 10 negative\n"
                              "ffffffffffffffff 2 wraps\n"
                              "11112222333344445 2 too wide\n"
                              "7f0060 10 half-writt");
    cr_assert_str_eq(perfmap_find(p, 0x7f0010), "LazyCompile:*f /srv/a b.js:1");
    cr_assert_str_eq(perfmap_find(p, 0x7f002f), "LazyCompile:*f /srv/a b.js:1");
    cr_assert_null(perfmap_find(p, 0x7f0030));
    cr_assert_str_eq(perfmap_find(p, 0x7f000f), "g");
    cr_assert_null(perfmap_find(p, 0x7effff));
    cr_assert_null(perfmap_find(p, 0x7f0050));
    cr_assert_null(perfmap_find(p, 0x7f0060));
    cr_assert_eq(perfmap_skipped(p), 9);
    perfmap_free(p);
    p = perfmap_parse("10 10 a\0b\n", 10);
    cr_assert_null(perfmap_find(p, 0x10));
    perfmap_free(p);
    p = parse("");
    cr_assert_null(perfmap_find(p, 0));
    perfmap_free(p);
    perfmap_free(NULL);
}

/* Against the plain definition: the last line that covers an address. */
Test(perfmap, later_lines_win)
{
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 200; round++) {
        int expected[64];
        char text[1024];
        size_t n = 0;
        memset(expected, -1, sizeof(expected));
        for (int line = 0; line < 12; line++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            unsigned start = (unsigned)state % 48, bytes = 1 + (unsigned)(state >> 20) % 16;
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%x %x %d\n", start, bytes, line);
            for (unsigned at = start; at < start + bytes; at++)
                expected[at] = line;
        }
        struct perfmap *p = perfmap_parse(text, n);
        for (uint64_t at = 0; at < 64; at++) {
            const char *name = perfmap_find(p, at);
            cr_assert_eq(name ? atol(name) : -1, expected[at], "%lu in\n%s", at, text);
        }
        perfmap_free(p);
    }
}

Test(syscalls, numbers_of_x86_64)
{
    cr_assert_str_eq(syscall_name(0), "read");
    cr_assert_str_eq(syscall_name(202), "futex");
    cr_assert_str_eq(syscall_name(232), "epoll_wait");
    cr_assert_str_eq(syscall_name(334), "rseq");
    cr_assert_null(syscall_name(-1));
    cr_assert_null(syscall_name(400), "a hole between two tables");
    cr_assert_null(syscall_name(100000));
    cr_assert_null(syscall_name(INT64_MIN));
}

Test(symbols, a_table_takes_what_there_is_room_for)
{
    struct fixture f = {0};
    image_init(&f.im, 1);
    for (uint64_t i = 0; i < 5; i++)
        function(&f.im, "f", 0x1000 + 16 * i, 16);
    setup(&f, DEMANGLE_FULL);
    struct sections sections;
    struct symtab_room room = {.left = 8};
    struct symtab_hit hit;
    cr_assert_eq(sections_read(&sections, f.m), 0);
    struct symtab *whole = symtab_read(f.m, &sections, SHT_SYMTAB, &room);
    cr_assert(symtab_find(whole, 0x1040, &hit));
    cr_assert_eq(room.left, 3);
    cr_assert_eq(room.cut, 0);
    struct symtab *cut = symtab_read(f.m, &sections, SHT_SYMTAB, &room);
    cr_assert(symtab_find(cut, 0x1020, &hit));
    cr_assert(!symtab_find(cut, 0x1040, &hit));
    cr_assert_eq(room.left, 0);
    cr_assert_eq(room.cut, 1);
    cr_assert_null(symtab_read(f.m, &sections, SHT_SYMTAB, &room));
    cr_assert_eq(room.cut, 2);
    symtab_free(whole);
    symtab_free(cut);
    sections_release(&sections);
    teardown(&f);
}

/* More symbols than are looked at: those before the limit have their names, and it is counted. */
Test(symbols, of_a_huge_table_the_first_have_names)
{
    enum { LOOKED_AT = 8 * 1024 * 1024, TABLE_OFF = 1 << 20 };
    struct fixture f = {0};
    struct heartbeat heartbeat = {0};
    image_init(&f.im, 1);
    function(&f.im, "first", 0x1000, 16);
    f.im.sh[SYMTAB].sh_offset = TABLE_OFF;
    f.im.sh[SYMTAB].sh_size = (LOOKED_AT + 1) * sizeof(Elf64_Sym);
    setup(&f, DEMANGLE_FULL);
    symbols_free(f.s);
    f.s = symbols_new(&(struct symbols_options){.heartbeat = &heartbeat});
    f.m->fd = memfd_create("huge", MFD_CLOEXEC);
    cr_assert_geq(f.m->fd, 0);
    f.m->file_bytes = TABLE_OFF + f.im.sh[SYMTAB].sh_size;
    cr_assert_eq(ftruncate(f.m->fd, (off_t)f.m->file_bytes), 0);
    cr_assert_eq(pwrite(f.m->fd, &f.im, sizeof(f.im), 0), sizeof(f.im));
    cr_assert_eq(pwrite(f.m->fd, f.im.symbols, sizeof(f.im.symbols), TABLE_OFF),
                 sizeof(f.im.symbols));
    cr_expect_str_eq(name_at(&f, 0x1008), "first");
    cr_expect_eq(symbols_tables_cut(f.s), 1);
    cr_expect_eq(heartbeat.beats, LOOKED_AT, "each is a sign of life");
    teardown(&f);
}

Test(locate, finds_names_with_what_compilers_append)
{
    static const char *const names[] = {"eval", "version"};
    struct fixture f = {0};
    struct located found[LOCATED_MAX];
    image_init(&f.im, 1);
    function(&f.im, "evaluate", 0x1000, 16);
    function(&f.im, "eval", 0x1010, 16);
    function(&f.im, "eval.cold", 0x1020, 16);
    function(&f.im, "eval@@V1", 0x1010, 16);
    put(&f.im, "version", STB_GLOBAL, STT_OBJECT, DATA, 0x2000, 8);
    put(&f.im, "version", STB_GLOBAL, STT_OBJECT, SHN_UNDEF, 0x2008, 8);
    setup(&f, DEMANGLE_FULL);
    cr_assert_eq(locate_symbols(f.m, names, 2, found), 3);
    cr_expect_eq(found[0].vaddr, 0x1010);
    cr_expect_eq(found[1].vaddr, 0x1020);
    cr_expect_eq(found[2].vaddr, 0x2000);
    cr_expect_eq(found[2].name, 1);
    teardown(&f);
}
