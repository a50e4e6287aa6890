/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "python/frames.h"
#include "python/lines.h"
#include "python/text.h"
#include "python/thread_names.h"
#include "python_image.h"

/* ---- saved interpreters: what they say of their own stacks is what we read */

struct reading {
    uint8_t *file;
    struct python_image image;
    struct python_memory memory;
    struct python_moment moment;
    struct python_runtime runtime;
    struct python_thread *threads;
    size_t n_threads;
    struct python_names names;
    struct python_codes codes;
    struct python_stack *stack;
};

static char *load(const char *name, const char *suffix, size_t *ret_bytes)
{
    char *path OX_FREE = mem_printf("%s/%s.%s", PYTHON_IMAGES, name, suffix);
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s: %s", path, strerror(errno));
    size_t cap = 4 << 20;
    char *bytes = mem_alloc(cap);
    *ret_bytes = fread(bytes, 1, cap - 1, f);
    fclose(f);
    return bytes;
}

static void open_image(struct reading *r, const char *name)
{
    uint64_t addr;
    unsigned hint, minor;
    size_t cap = 0;
    *r = (struct reading){0};
    r->file = (uint8_t *)load(name, "image", &r->image.n);
    r->image.bytes = r->file;
    cr_assert_eq(python_image_open(&r->image, &addr, &hint), 0);
    r->memory = python_image_memory(&r->image);
    r->moment = python_image_moment(&r->memory);
    int rc = python_runtime_open(&r->memory, addr, hint, &r->runtime, &minor);
    cr_assert_eq(rc, 0, "%s: %d", name, rc);
    cr_assert_eq(minor, hint);
    rc = python_runtime_threads(&r->memory, &r->runtime, &r->threads, &cap);
    cr_assert_gt(rc, 0);
    r->n_threads = (size_t)rc;
    python_names_init(&r->names);
    python_codes_init(&r->codes, &r->names);
    r->stack = mem_alloc(sizeof(*r->stack));
}

static void close_image(struct reading *r)
{
    python_codes_release(&r->codes);
    python_names_release(&r->names);
    free(r->threads);
    free(r->stack);
    free(r->file);
}

/* "IDENT\tNAME\tFILE\tLINE\tNAME\tFILE\tLINE..." as python_blocked.py writes it. */
static char *stack_text(struct reading *r, uint64_t ident)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    fprintf(f, "%llu", (unsigned long long)ident);
    for (size_t i = 0; i < r->stack->n; i++) {
        const struct python_frame *frame = &r->stack->frames[i];
        const char *file = python_names_file(&r->names, frame->function);
        const char *base = strrchr(file, '/');
        fprintf(f, "\t%s\t%s\t%u", python_names_name(&r->names, frame->function),
                base ? base + 1 : file, frame->line);
    }
    fputc('\n', f);
    fclose(f);
    return text;
}

static size_t lines_in(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

struct name_check {
    const char *expected;
    size_t found;
};

static void check_name(void *arg, uint64_t ident, const char *name)
{
    struct name_check *c = arg;
    char *line OX_FREE = mem_printf("thread\t%llu\t%s\n", (unsigned long long)ident, name);
    c->found += strstr(c->expected, line) != NULL;
}

static const char *const versions[] = {"3.8",  "3.9",  "3.10", "3.11",
                                       "3.12", "3.13", "3.14", "3.14t"};

static void check_image(const char *version)
{
    struct reading r;
    size_t bytes, found = 0;
    open_image(&r, version);
    char *expected OX_FREE = load(version, "expected", &bytes);
    for (size_t i = 0; i < r.n_threads; i++) {
        python_walk(&r.moment, &r.runtime, r.threads[i].addr, &r.codes, r.stack);
        cr_expect_eq(r.stack->end, PYTHON_COMPLETE, "%s: thread %zu", version, i);
        cr_expect(r.stack->n && r.stack->frames[r.stack->n - 1].last);
        char *text OX_FREE = stack_text(&r, r.threads[i].pthread_addr);
        found += strstr(expected, text) != NULL;
    }
    cr_expect_eq(found, 9, "%s: %zu stacks are as the interpreter says", version, found);
    struct name_check names = {.expected = expected};
    uint64_t dict = 0;
    cr_expect_eq(python_thread_names(&r.memory, &r.runtime, &dict, check_name, &names), 0);
    cr_expect_eq(names.found, 9, "%s: %zu names", version, names.found);
    cr_expect_eq(lines_in(expected), 18, "nine stacks, nine names");
    close_image(&r);
}

Test(python, stacks_are_as_the_interpreter_says)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
        check_image(versions[i]);
}

/* The n-th read fails, n = 1, 2, 3 ... until all is read: nothing is made up. */
struct failing {
    struct python_memory below;
    uint64_t left;
    const uint8_t *words; /* unless NULL: what lies at `at` instead */
    uint64_t at;
};

static int read_failing(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct failing *f = arg;
    if (!f->left--)
        return -EFAULT;
    if (f->words && addr == f->at && bytes == 8 * 81) {
        memcpy(dst, f->words, bytes);
        return 0;
    }
    return f->below.read(f->below.arg, dst, bytes, addr);
}

static size_t reads_until_complete(struct reading *r, uint64_t thread, size_t n_whole)
{
    for (size_t n = 0;; n++) {
        struct failing failing = {.below = r->memory, .left = n};
        struct python_memory m = {.read = read_failing, .arg = &failing};
        struct python_moment at = python_image_moment(&m);
        at.codes_copied = false; /* what then fails is not read a second time */
        python_codes_forget(&r->codes);
        python_walk(&at, &r->runtime, thread, &r->codes, r->stack);
        cr_assert_leq(r->stack->n, n_whole);
        if (r->stack->end == PYTHON_COMPLETE && r->stack->n == n_whole)
            return n;
        cr_assert_lt(n, 100000);
    }
}

Test(python, each_read_may_fail)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        struct reading r;
        open_image(&r, versions[i]);
        python_walk(&r.moment, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
        size_t whole = r.stack->n;
        cr_expect_gt(reads_until_complete(&r, r.threads[0].addr, whole), whole);
        close_image(&r);
    }
}

/* Every pointer to this frame's caller leads back to the frame itself. */
struct cyclic {
    struct python_memory below;
    const struct python_layout *layout;
    uint64_t frame;
};

static int read_cyclic(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct cyclic *c = arg;
    int rc = c->below.read(c->below.arg, dst, bytes, addr);
    if (rc == 0 && addr == c->frame && bytes == c->layout->frame_bytes)
        memcpy((uint8_t *)dst + c->layout->frame_previous, &c->frame, sizeof(c->frame));
    return rc;
}

static uint64_t first_frame(const struct reading *r, uint64_t thread)
{
    uint64_t frame;
    const struct python_layout *l = &r->runtime.layout;
    cr_assert_eq(python_read_u64(&r->memory, thread + l->thread_frame, &frame), 0);
    if (l->cframe_frame != OX_PYTHON_NONE)
        cr_assert_eq(python_read_u64(&r->memory, frame + l->cframe_frame, &frame), 0);
    return frame;
}

Test(python, cycles_end)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        struct reading r;
        open_image(&r, versions[i]);
        struct cyclic cyclic = {.below = r.memory,
                                .layout = &r.runtime.layout,
                                .frame = first_frame(&r, r.threads[0].addr)};
        struct python_memory m = {.read = read_cyclic, .arg = &cyclic};
        struct python_moment at = python_image_moment(&m);
        python_walk(&at, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
        cr_expect_neq(r.stack->end, PYTHON_COMPLETE, "%s", versions[i]);
        close_image(&r);
    }
}

/* Another code object at the same address: its names are the new ones. */
struct changed {
    struct python_memory below;
    uint64_t from, to;
    size_t bytes, after; /* so many reads of it */
};

static int read_changed(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct changed *c = arg;
    if (bytes == c->bytes && addr == c->from && !(c->after && c->after--))
        addr = c->to;
    return c->below.read(c->below.arg, dst, bytes, addr);
}

Test(python, another_code_object_at_the_same_address)
{
    struct reading r;
    const struct python_code *code;
    open_image(&r, "3.11");
    for (size_t i = 0; i < r.n_threads; i++)
        python_walk(&r.moment, &r.runtime, r.threads[i].addr, &r.codes, r.stack);
    cr_assert_gt(r.codes.n, 2);
    uint64_t from = r.codes.items[0].addr, to = r.codes.items[1].addr;
    uint32_t before = r.codes.items[0].function, after = r.codes.items[1].function;
    struct changed changed = {
        .below = r.memory, .from = from, .to = to, .bytes = r.runtime.layout.code_bytes};
    struct python_memory m = {.read = read_changed, .arg = &changed};
    struct python_moment at = python_image_moment(&m);
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, from, &code), 0);
    cr_expect_eq(code->function, before, "within an epoch nothing is compared");
    r.codes.epoch++;
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, from, &code), 0);
    cr_expect_eq(code->function, after);
    cr_expect_eq(r.codes.replaced, 1);
    close_image(&r);
}

/* Another name where the one of the first code object lies; all its pointers are as they were. */
struct renamed {
    struct python_memory below;
    uint64_t text; /* addr of its first character */
};

static int read_renamed(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct renamed *r = arg;
    int rc = r->below.read(r->below.arg, dst, bytes, addr);
    if (rc == 0 && addr <= r->text && r->text - addr < bytes)
        ((uint8_t *)dst)[r->text - addr] = '#';
    return rc;
}

static int read_nothing(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    (void)arg;
    (void)dst;
    (void)bytes;
    (void)addr;
    return -EFAULT;
}

static struct renamed rename_first(struct reading *r, uint32_t *ret_before)
{
    struct renamed renamed = {.below = r->memory};
    uint64_t name;
    const struct python_layout *l = &r->runtime.layout;
    for (size_t i = 0; i < r->n_threads; i++)
        python_walk(&r->moment, &r->runtime, r->threads[i].addr, &r->codes, r->stack);
    cr_assert_gt(r->codes.n, 1);
    cr_assert_eq(python_read_u64(&r->memory, r->codes.items[0].addr + l->code_qualname, &name), 0);
    renamed.text = name + l->unicode_ascii;
    *ret_before = r->codes.items[0].function;
    return renamed;
}

/* Made anew, code objects and their names come to lie where others lay: of the copy of that moment
 * it is seen each time, of the process as it runs on when it is its turn. */
Test(python, another_name_behind_the_same_pointers)
{
    struct reading r;
    const struct python_code *code;
    uint32_t before;
    open_image(&r, "3.12");
    struct renamed renamed = rename_first(&r, &before);
    struct python_memory m = {.read = read_renamed, .arg = &renamed};
    struct python_moment at = r.moment;
    uint64_t addr = r.codes.items[0].addr;
    at.codes_copied = false;
    at.now = m;
    r.codes.epoch++;
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, addr, &code), 0);
    cr_expect_eq(code->function, before, "it is not its turn yet");
    at = (struct python_moment){.then = m, .now = r.memory, .codes_copied = true, .whole = true};
    r.codes.epoch++;
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, addr, &code), 0);
    cr_expect_eq(*python_names_name(&r.names, code->function), '#');
    cr_expect_eq(r.codes.replaced, 1);
    close_image(&r);
}

/* Where code objects were copied, one that is not among them is not taken from the living. */
Test(python, what_was_not_copied_is_not_believed)
{
    struct reading r;
    open_image(&r, "3.12");
    struct python_memory nothing = {.read = read_nothing};
    struct python_moment at = {
        .then = nothing, .now = r.memory, .codes_copied = true, .whole = true};
    const struct python_code *code;
    python_walk(&r.moment, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
    cr_assert_gt(r.codes.n, 0);
    r.codes.epoch++;
    int rc = python_codes_get(&r.codes, &at, &r.runtime.layout, r.codes.items[0].addr, &code);
    cr_expect_eq(rc, -EFAULT);
    python_walk(&at, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
    cr_expect_eq(r.stack->end, PYTHON_TORN, "nor is a frame");
    cr_expect_eq(r.stack->n, 0);
    close_image(&r);
}

/* Where there was no room for all, the others are compared with the living, name by name. */
Test(python, what_had_no_room_is_looked_at_later)
{
    struct reading r;
    const struct python_code *code;
    uint32_t before;
    open_image(&r, "3.12");
    struct renamed renamed = rename_first(&r, &before);
    struct python_moment at = {.then = {.read = read_nothing},
                               .now = {.read = read_renamed, .arg = &renamed},
                               .codes_copied = true};
    uint64_t first = r.codes.items[0].addr, second = r.codes.items[1].addr;
    uint32_t other = r.codes.items[1].function;
    r.codes.epoch++;
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, second, &code), 0);
    cr_expect_eq(code->function, other);
    cr_assert_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, first, &code), 0);
    cr_expect_eq(*python_names_name(&r.names, code->function), '#');
    cr_expect_eq(r.codes.replaced, 1);
    python_walk(&at, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
    cr_expect_eq(r.stack->n, 0, "but no frame is");
    close_image(&r);
}

/* It was another one when its names had been read: neither is believed. */
Test(python, a_code_object_that_changes_while_it_is_read)
{
    struct reading r;
    const struct python_code *code;
    open_image(&r, "3.11");
    python_walk(&r.moment, &r.runtime, r.threads[0].addr, &r.codes, r.stack);
    cr_assert_gt(r.codes.n, 1);
    uint64_t from = r.codes.items[0].addr, to = r.codes.items[1].addr;
    struct changed changed = {
        .below = r.memory, .from = from, .to = to, .bytes = r.runtime.layout.code_bytes};
    changed.after = 1;
    struct python_memory m = {.read = read_changed, .arg = &changed};
    struct python_moment at = {.then = m, .now = m, .whole = true};
    python_codes_forget(&r.codes);
    cr_expect_eq(python_codes_get(&r.codes, &at, &r.runtime.layout, from, &code), -EAGAIN);
    close_image(&r);
}

/* 3.8 to 3.12 without a name that tells the version. */
Test(python, the_version_by_its_own_account)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        struct reading r;
        struct python_runtime runtime;
        unsigned minor = 0, want;
        open_image(&r, versions[i]);
        want = r.runtime.layout.minor;
        int rc = python_runtime_open(&r.memory, r.runtime.addr, 0, &runtime, &minor);
        cr_expect_eq(rc, 0, "%s: %d", versions[i], rc);
        cr_expect_eq(minor, want, "%s: taken for 3.%u", versions[i], minor);
        close_image(&r);
    }
}

Test(python, a_version_that_is_not_known)
{
    uint8_t words[8 * 128] = "xdebugpy";
    uint64_t version = 0x030f00f0; /* 3.15.0 */
    memcpy(words + 8, &version, sizeof(version));
    uint8_t *file OX_FREE = mem_alloc(24 + 16 + sizeof(words));
    uint64_t head[5] = {0, 0x10000, 0, 0x10000, sizeof(words)};
    memcpy(file, head, sizeof(head));
    memcpy(file + sizeof(head), words, sizeof(words));
    struct python_image image = {.bytes = file, .n = sizeof(head) + sizeof(words)};
    struct python_memory m = python_image_memory(&image);
    struct python_runtime runtime;
    unsigned minor = 0;
    cr_expect_eq(python_runtime_open(&m, 0x10000, 0, &runtime, &minor), -ENOTSUP);
    cr_expect_eq(minor, 15);
    version = 0x030d00f0; /* 3.13.0, all of whose offsets are 0 */
    memcpy(file + sizeof(head) + 8, &version, sizeof(version));
    cr_expect_eq(python_runtime_open(&m, 0x10000, 0, &runtime, &minor), -EBADMSG);
    cr_expect_eq(python_runtime_open(&m, 0x90000, 0, &runtime, &minor), -EFAULT);
}

/* Figures of 3.13's own image, each in turn beyond what is read: refused, or of no harm. */
Test(python, hostile_figures)
{
    struct reading r;
    open_image(&r, "3.13");
    uint64_t addr = r.runtime.addr;
    for (size_t word = 3; word <= 70; word++) {
        uint8_t words[8 * 81];
        struct python_layout layout;
        unsigned minor;
        uint64_t figure = 4000000;
        cr_assert_eq(python_read(&r.memory, words, sizeof(words), addr), 0);
        memcpy(words + 8 * word, &figure, sizeof(figure));
        struct failing one = {.below = r.memory, .words = words, .at = addr, .left = UINT64_MAX};
        struct python_memory m = {.read = read_failing, .arg = &one};
        if (python_layout_read(&m, addr, &layout, &minor) < 0)
            continue;
        struct python_runtime runtime = {.addr = addr, .layout = layout};
        struct python_moment at = python_image_moment(&m);
        at.codes_copied = false; /* what then fails is not read a second time */
        python_codes_forget(&r.codes);
        python_walk(&at, &runtime, r.threads[0].addr, &r.codes, r.stack);
    }
    close_image(&r);
}

/* ---- line tables */

static void expect_lines(enum python_lines how, const char *table, size_t bytes, uint32_t first,
                         const uint32_t *at_line, size_t n)
{
    struct python_line_table t;
    python_lines_decode(how, (const uint8_t *)table, bytes, first, &t);
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(python_lines_find(&t, at_line[2 * i], first), at_line[2 * i + 1],
                     "at %u: line %u, want %u", at_line[2 * i],
                     python_lines_find(&t, at_line[2 * i], first), at_line[2 * i + 1]);
    cr_expect_eq(python_lines_find(&t, -2, first), first, "before the first instruction");
    python_lines_release(&t);
}
#define EXPECT_LINES(how, table, first, ...)                                            \
    expect_lines(how, table, sizeof(table) - 1, first, (const uint32_t[]){__VA_ARGS__}, \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t) / 2)

/* Objects/lnotab_notes.txt of 3.9: its own example of a jump of 300 bytes and lines */
Test(python, lnotab)
{
    EXPECT_LINES(PYTHON_LNOTAB, "\x06\x01\x2c\x05\xff\x00\x2d\x7f\x00\x7f\x00\x2e", 1, 0, 1, 5, 1,
                 6, 2, 49, 2, 50, 7, 349, 7, 350, 307);
    EXPECT_LINES(PYTHON_LNOTAB, "\x02\x05\x04\xfd", 10, 0, 10, 2, 15, 5, 15, 6, 12);
    EXPECT_LINES(PYTHON_LNOTAB, "", 7, 0, 7, 100, 7);
    EXPECT_LINES(PYTHON_LNOTAB, "\x02", 7, 0, 7, 100, 7);
}

/* Objects/lnotab_notes.txt of 3.10: its table for "for i in range(50): if i: ..." */
Test(python, linetable_3_10)
{
    EXPECT_LINES(PYTHON_LINETABLE_3_10, "\x02\x00\x04\x01\x06\x80\x02\x02", 5, 0, 5, 1, 5, 2, 6, 5,
                 6, 8, 6, 12, 8);
    EXPECT_LINES(PYTHON_LINETABLE_3_10, "\x00\x7f\x00\x7f\x02\x01", 1, 0, 256);
}

/* Objects/locations.md of 3.11: kinds 0 to 9 on the same line, 10 to 12 on one of the next, 13 and
 * 14 with a signed line, 15 without a line */
Test(python, locations)
{
    EXPECT_LINES(PYTHON_LOCATIONS, "\x80\x00\xd9\x01\x02\xe0\x00\x00", 3, 0, 3, 2, 4, 4, 4, 6, 6);
    EXPECT_LINES(PYTHON_LOCATIONS, "\xe8\x06\xf8\xe8\x05", 3, 0, 6, 2, 6, 4, 4);
    EXPECT_LINES(PYTHON_LOCATIONS, "\xf0\x48\x03\x00\x00\x00", 3, 0, 103);
    EXPECT_LINES(PYTHON_LOCATIONS, "\xff\xe8", 3, 0, 3, 16, 3);
}

Test(python, lines_that_go_nowhere)
{
    char table[4096];
    memset(table, 0xf0, sizeof(table));
    struct python_line_table t;
    for (int how = PYTHON_LNOTAB; how <= PYTHON_LOCATIONS; how++) {
        python_lines_decode((enum python_lines)how, (const uint8_t *)table, sizeof(table), 1, &t);
        cr_expect_leq(t.n, sizeof(table));
        cr_expect_gt(python_lines_find(&t, 5000, 1), 0);
        python_lines_release(&t);
    }
}

/* ---- text */

static int one_str(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    const uint8_t *object = arg;
    if (addr < 0x10000 || addr - 0x10000 + bytes > 256)
        return -EFAULT;
    memcpy(dst, object + (addr - 0x10000), bytes);
    return 0;
}

/* A compact str of 3.11, whose characters have this many bytes; 0: ASCII. */
static void expect_text(unsigned kind, uint64_t length, const void *data, int want_rc,
                        const char *want)
{
    uint8_t object[256] = {0};
    char text[PYTHON_TEXT_BYTES_MAX] = "";
    const struct python_layout *l = python_layout_find(11);
    uint32_t state = (kind ? kind : 1) << 2 | 1 << 5 | (kind ? 0 : 1 << 6);
    memcpy(object + l->unicode_length, &length, sizeof(length));
    memcpy(object + l->unicode_state, &state, sizeof(state));
    if (length < 100)
        memcpy(object + (kind ? l->unicode_compact : l->unicode_ascii), data,
               length * (kind ? kind : 1));
    struct python_memory m = {.read = one_str, .arg = object};
    cr_expect_eq(python_text(&m, l, 0x10000, text), want_rc);
    cr_expect_str_eq(text, want);
}

Test(python, text)
{
    expect_text(0, 5, "parse", 0, "parse");
    expect_text(0, 0, "", 0, "");
    expect_text(1, 3, "a\xe9z", 0, "aéz");
    expect_text(2, 2, (const uint16_t[]){0x65e5, 0x672c}, 0, "日本");
    expect_text(4, 2, (const uint32_t[]){0x1f600, 'x'}, 0, "😀x");
    expect_text(2, 2, (const uint16_t[]){0xdcff, 'x'}, 0, "\xffx"); /* PEP 383 */
    expect_text(2, 1, (const uint16_t[]){0xd800}, 0, "\ufffd");
    expect_text(4, 1, (const uint32_t[]){0x7fffffff}, 0, "\ufffd");
    expect_text(0, 3, "a\0b", 0,
                "a\ufffd"
                "b");
    expect_text(3, 1, "abc", -EBADMSG, "");
    expect_text(0, UINT64_MAX, "", -EBADMSG, "");
    expect_text(0, 100000, "", -EFAULT, "");
}
