/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/mem.h"
#include "target/mappings.h"

static int parse(const char *line, struct mapping *m)
{
    return mapping_parse(line, strlen(line), m);
}

Test(mapping, every_field)
{
    struct mapping m;
    cr_assert_eq(parse("7f1c2a000000-7f1c2a1d5000 r-xp 00026000 fd:01 1835027"
                       "                    /usr/lib/x86_64-linux-gnu/libc.so.6",
                       &m),
                 0);
    cr_assert_eq(m.start, 0x7f1c2a000000);
    cr_assert_eq(m.end, 0x7f1c2a1d5000);
    cr_assert_eq(m.prot, PROT_READ | PROT_EXEC);
    cr_assert(!m.shared);
    cr_assert_eq(m.off, 0x26000);
    cr_assert_eq(m.dev, makedev(0xfd, 1));
    cr_assert_eq(m.ino, 1835027);
    cr_assert_str_eq(m.path, "/usr/lib/x86_64-linux-gnu/libc.so.6");
    cr_assert_null(m.module);
    free(m.path);
}

Test(mapping, names_that_surprise)
{
    static const struct {
        const char *written, *path;
    } cases[] = {
        {"/tmp/a b  c", "/tmp/a b  c"},
        {"/tmp/new\\012line", "/tmp/new\nline"},
        {"/tmp/tail\\012", "/tmp/tail\n"},
        {"/tmp/back\\01", "/tmp/back\\01"},
        {"/tmp/gone (deleted)", "/tmp/gone (deleted)"},
        {"/memfd:x y (deleted)", "/memfd:x y (deleted)"},
        {"[vdso]", "[vdso]"},
        {"[anon: a name]", "[anon: a name]"},
        {"//anon", "//anon"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *line = mem_printf("1000-2000 rw-s 00000000 00:00 7      %s", cases[i].written);
        struct mapping m;
        cr_assert_eq(parse(line, &m), 0, "%s", line);
        cr_assert_str_eq(m.path, cases[i].path);
        cr_assert(m.shared);
        free(m.path);
        free(line);
    }
}

Test(mapping, without_a_name)
{
    static const char *const lines[] = {
        "1000-2000 ---p 00000000 00:00 0",
        "1000-2000 ---p 00000000 00:00 0 ",
        "1000-2000 ---p 00000000 00:00 0                          ",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct mapping m;
        cr_assert_eq(parse(lines[i], &m), 0, "%s", lines[i]);
        cr_assert_null(m.path);
        cr_assert_eq(m.prot, 0);
    }
}

Test(mapping, vsyscall_at_the_top)
{
    struct mapping m;
    cr_assert_eq(parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]", &m),
                 0);
    cr_assert_eq(m.end, 0xffffffffff601000);
    cr_assert_eq(m.prot, PROT_EXEC);
    free(m.path);
}

Test(mapping, hostile_lines)
{
    static const char *const bad[] = {
        "",
        " ",
        "-",
        "1000",
        "1000-",
        "1000-2000",
        "1000-2000 r-xp",
        "1000-2000 r-xp 0",
        "1000-2000 r-xp 0 08:01",
        "1000-2000 r-xp 0 08:01 ",
        "1000-2000 r-xp 0 08: 5 /a",
        "1000-2000 r-xp 0 0801 5 /a",
        "1000-2000 r-xp 0 100000000:01 5 /a",
        "1000-2000 r-xp 0 08:01 5/a",
        "1000-2000 r-xp 0 08:01 0x5 /a",
        "1000-2000 r-x 0 08:01 5 /a",
        "1000-2000 r-xq 0 08:01 5 /a",
        "1000-2000 rxwp 0 08:01 5 /a",
        "1000-2000 r-xpp 0 08:01 5 /a",
        "2000-1000 r-xp 0 08:01 5 /a",
        "1000-1000 r-xp 0 08:01 5 /a",
        " 1000-2000 r-xp 0 08:01 5 /a",
        "1000- 2000 r-xp 0 08:01 5 /a",
        "0x1000-0x2000 r-xp 0 08:01 5 /a",
        "1000-10000000000000000 r-xp 0 08:01 5 /a",
        "1000-2000 r-xp fffffffffffff001 08:01 5 /a",
        "1000-2000 r-xp 0 08:01 99999999999999999999 /a",
        "1000-2000 r-xp 0 08:01 5 /a\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mapping m = {.start = 42};
        cr_assert_eq(parse(bad[i], &m), -EBADMSG, "'%s'", bad[i]);
        cr_assert_eq(m.start, 42, "written on failure: '%s'", bad[i]);
    }
}

Test(mapping, every_prefix_of_a_line_is_refused_until_the_inode)
{
    static const char line[] = "1000-2000 r-xp 00001000 08:01 5 /a";
    size_t least = strlen("1000-2000 r-xp 00001000 08:01 5");
    for (size_t n = 0; n < sizeof(line); n++) {
        struct mapping m = {0};
        /* an exact copy, so that a read past the end is seen */
        char *copy = malloc(n ? n : 1);
        memcpy(copy, line, n);
        int rc = mapping_parse(copy, n, &m);
        /* the last n holds the terminating zero: no path has one */
        cr_assert_eq(rc, n < least || n == sizeof(line) ? -EBADMSG : 0, "%zu", n);
        free(m.path);
        free(copy);
    }
}

Test(mapping, endless_name_is_refused)
{
    char line[8192] = "1000-2000 r-xp 0 08:01 5 /";
    memset(line + strlen(line), 'a', sizeof(line) - strlen(line));
    struct mapping m;
    cr_assert_eq(mapping_parse(line, sizeof(line), &m), -EBADMSG);
}

static void put(struct mappings *t, uint64_t start, uint64_t end, const char *path)
{
    struct mapping m = {.start = start, .end = end, .off = start, .path = mem_strdup(path)};
    mappings_put(t, &m);
    cr_assert_null(m.path, "not taken");
}

static void assert_item(const struct mappings *t, size_t i, uint64_t start, uint64_t end,
                        const char *path)
{
    cr_assert_lt(i, t->n);
    cr_assert_eq(t->items[i].start, start);
    cr_assert_eq(t->items[i].end, end);
    cr_assert_eq(t->items[i].off, start, "the offset moves with the start");
    cr_assert_str_eq(t->items[i].path, path);
}

Test(mappings, find_at_the_edges)
{
    struct mappings t = {0};
    cr_assert_null(mappings_find(&t, 0));
    put(&t, 0x3000, 0x4000, "c");
    put(&t, 0x1000, 0x2000, "a");
    cr_assert_null(mappings_find(&t, 0xfff));
    cr_assert_str_eq(mappings_find(&t, 0x1000)->path, "a");
    cr_assert_str_eq(mappings_find(&t, 0x1fff)->path, "a");
    cr_assert_null(mappings_find(&t, 0x2000));
    cr_assert_str_eq(mappings_find(&t, 0x3fff)->path, "c");
    cr_assert_null(mappings_find(&t, 0x4000));
    cr_assert_null(mappings_find(&t, UINT64_MAX));
    mappings_release(&t);
}

Test(mappings, a_new_one_inside_an_old_one)
{
    struct mappings t = {0};
    put(&t, 0x1000, 0x9000, "old");
    put(&t, 0x3000, 0x4000, "new");
    cr_assert_eq(t.n, 3);
    assert_item(&t, 0, 0x1000, 0x3000, "old");
    assert_item(&t, 1, 0x3000, 0x4000, "new");
    assert_item(&t, 2, 0x4000, 0x9000, "old");
    mappings_release(&t);
}

Test(mappings, a_new_one_across_several)
{
    struct mappings t = {0};
    put(&t, 0x1000, 0x3000, "a");
    put(&t, 0x3000, 0x4000, "b");
    put(&t, 0x5000, 0x8000, "c");
    put(&t, 0x9000, 0xa000, "d");
    put(&t, 0x2000, 0x6000, "new");
    cr_assert_eq(t.n, 4);
    assert_item(&t, 0, 0x1000, 0x2000, "a");
    assert_item(&t, 1, 0x2000, 0x6000, "new");
    assert_item(&t, 2, 0x6000, 0x8000, "c");
    assert_item(&t, 3, 0x9000, 0xa000, "d");
    mappings_release(&t);
}

Test(mappings, the_same_place_again)
{
    struct mappings t = {0};
    put(&t, 0x1000, 0x2000, "old");
    put(&t, 0x2000, 0x3000, "next");
    put(&t, 0x1000, 0x2000, "new");
    cr_assert_eq(t.n, 2);
    assert_item(&t, 0, 0x1000, 0x2000, "new");
    assert_item(&t, 1, 0x2000, 0x3000, "next");
    mappings_release(&t);
}

Test(mappings, vaddr_goes_through_the_segments)
{
    struct modules mods = {0};
    struct module *mod = modules_add(&mods, 1, 2, "/bin/x");
    mod->n_loads = 1;
    mod->loads[0] = (struct module_load){.off = 0x1000, .file_bytes = 0x800, .vaddr = 0x401000};
    struct mapping m = {.start = 0x7000, .end = 0x8000, .off = 0x1000};
    uint64_t vaddr = 0;
    cr_assert(!mapping_vaddr(&m, 0x7010, &vaddr), "no module");
    m.module = mod;
    cr_assert(mapping_vaddr(&m, 0x7010, &vaddr));
    cr_assert_eq(vaddr, 0x401010);
    cr_assert(!mapping_vaddr(&m, 0x7800, &vaddr), "behind the segment's bytes");
    cr_assert(!mapping_vaddr(&m, 0x8000, &vaddr), "outside of the mapping");
    modules_release(&mods);
}

Test(mappings, past_the_limit_they_are_dropped)
{
    struct mappings t = {0};
    char path[4096];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    size_t most = MAPPINGS_PATH_BYTES_MAX / sizeof(path);
    for (uint64_t i = 1; i <= most + 10; i++)
        put(&t, i << 12, (i + 1) << 12, path);
    cr_assert_eq(t.n, most);
    cr_assert_null(mappings_find(&t, (most + 1) << 12));
    cr_assert_not_null(mappings_find(&t, most << 12));
    cr_assert_eq(t.path_bytes, MAPPINGS_PATH_BYTES_MAX);
    mappings_release(&t);
    cr_assert_eq(t.path_bytes, 0);
    for (uint64_t i = 1; i <= MAPPINGS_MAX + 10; i++) {
        struct mapping m = {.start = i << 12, .end = (i + 1) << 12};
        mappings_put(&t, &m);
    }
    cr_assert_eq(t.n, MAPPINGS_MAX);
    mappings_release(&t);
}
