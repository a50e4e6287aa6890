/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "capture/snapfile.h"
#include "self_target.h"
#include "unwind/unwind.h"

/* A file in memory. */
struct buffer {
    char *data;
    size_t bytes;
};

static struct buffer write_all(const struct snapfile *s)
{
    struct buffer b = {0};
    struct error err = {0};
    FILE *f = open_memstream(&b.data, &b.bytes);
    cr_assert_eq(snapfile_write(f, s, &err), 0, "%s", err.text);
    fclose(f);
    return b;
}

static int read_all(const void *data, size_t bytes, struct snapfile *ret, struct error *err)
{
    /* an exact copy, so that a read past the end is seen; fmemopen() refuses 0 bytes */
    char *copy = mem_alloc(bytes);
    memcpy(copy, data, bytes);
    FILE *f = bytes ? fmemopen(copy, bytes, "r") : fopen("/dev/null", "re");
    int rc = snapfile_read(f, ret, err);
    fclose(f);
    free(copy);
    return rc;
}

static __attribute__((noinline)) uint8_t *shoot(struct snapshot *snap)
{
    ucontext_t uc;
    getcontext(&uc);
    snap->regs = regs_of(&uc);
    snap->pid = getpid();
    snap->tid = gettid();
    snap->syscall = -1;
    return copy_own_stack(snap);
}

static struct stack walk(const struct snapshot *snap, const struct mappings *m)
{
    struct unwinder *u = unwinder_new();
    struct stack stack;
    unwinder_walk(u, snap, m, &stack);
    unwinder_free(u);
    return stack;
}

static void assert_same_stack(const struct stack *a, const struct stack *b)
{
    cr_assert_eq(a->end, b->end);
    cr_assert_eq(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        cr_assert_eq(a->frames[i].addr, b->frames[i].addr, "frame %zu", i);
        cr_assert_eq(a->frames[i].how, b->frames[i].how, "frame %zu", i);
    }
}

Test(snapfile, a_replay_unwinds_to_the_same_frames, .init = load_self, .fini = release_self)
{
    struct snapshot snap = {0};
    uint8_t *stack_copy = shoot(&snap);
    struct stack live = walk(&snap, &maps), replayed;
    cr_assert_eq(live.end, STACK_COMPLETE);

    struct snapfile_process process = {.pid = getpid(), .maps = maps};
    struct snapfile_item item = {.snap = snap, .name = (char[]){"main thread"}};
    struct buffer b = write_all(&(struct snapfile){
        .modules = modules, .processes = &process, .n_processes = 1, .items = &item, .n_items = 1});
    struct snapfile file;
    cr_assert_eq(read_all(b.data, b.bytes, &file, NULL), 0);
    cr_assert_eq(file.n_items, 1);
    cr_assert_str_eq(file.items[0].name, "main thread");
    cr_assert_eq(file.modules.n, modules.n);
    cr_assert_eq(file.modules.items[0]->fd, -1, "a replay has no files");
    replayed = walk(&file.items[0].snap, snapfile_maps(&file, getpid()));
    assert_same_stack(&live, &replayed);

    /* and what was read writes the same file again */
    struct buffer again = write_all(&file);
    cr_assert_eq(again.bytes, b.bytes);
    cr_assert_arr_eq(again.data, b.data, b.bytes);
    snapfile_release(&file);
    free(again.data);
    free(b.data);
    free(stack_copy);
}

Test(snapfile, only_what_is_needed_of_a_module_is_saved, .init = load_self, .fini = release_self)
{
    struct buffer b = write_all(&(struct snapfile){.modules = modules});
    struct snapfile file;
    uint64_t whole = 0, saved = 0;
    cr_assert_eq(read_all(b.data, b.bytes, &file, NULL), 0);
    for (size_t i = 0; i < file.modules.n; i++) {
        const struct module *m = file.modules.items[i];
        whole += m->file_bytes;
        for (size_t k = 0; k < m->n_pieces; k++)
            saved += m->pieces[k].bytes;
        cr_assert_gt(m->n_loads, 0, "%s", m->path);
        cr_assert_eq(m->build_id_bytes, modules.items[i]->build_id_bytes);
    }
    cr_assert_lt(saved, whole / 2);
    snapfile_release(&file);
    free(b.data);
}

Test(snapfile, touched_pages_are_saved, .init = load_self, .fini = release_self)
{
    struct module *m = modules.items[0];
    uint8_t byte;
    cr_assert_gt(m->file_bytes, 8192);
    m->touched = mem_alloc(m->file_bytes / 4096 / 8 + 1);
    uint64_t off = m->file_bytes - 1; /* section headers: nothing else asks for them */
    cr_assert_eq(module_read(m, &byte, 1, off), 0);
    struct buffer b = write_all(&(struct snapfile){.modules = modules});
    struct snapfile file;
    cr_assert_eq(read_all(b.data, b.bytes, &file, NULL), 0);
    uint8_t replayed;
    cr_assert_eq(module_read(file.modules.items[0], &replayed, 1, off), 0);
    cr_assert_eq(replayed, byte);
    snapfile_release(&file);
    free(b.data);
}

/* A small one, of every kind of record. */
static struct buffer small_file(void)
{
    uint8_t bytes[24] = "no ELF file", stack[32] = {1, 2, 3};
    struct module_piece piece = {.off = 8, .bytes = sizeof(bytes), .data = bytes};
    struct module module = {.path = (char[]){"/a b"},
                            .dev = 1,
                            .ino = 2,
                            .file_bytes = 64,
                            .fd = -1,
                            .pieces = &piece,
                            .n_pieces = 1};
    struct module *list[] = {&module};
    struct mapping items[] = {
        {.start = 0x1000,
         .end = 0x2000,
         .prot = PROT_READ | PROT_EXEC,
         .path = module.path,
         .module = &module},
        {.start = 0x3000, .end = 0x4000, .prot = PROT_READ, .shared = true},
    };
    struct snapfile_process process = {.pid = 7, .maps = {.items = items, .n = 2}};
    struct snapfile_shown shown[] = {{.native = 0},
                                     {.native = SNAPFILE_NOT_NATIVE,
                                      .function = (char[]){"parse"},
                                      .file = (char[]){"/a.py"},
                                      .first_line = 3,
                                      .line = 5}};
    struct snapfile_item item = {.name = (char[]){"t"}, .shown = shown, .n_shown = 2};
    item.snap = (struct snapshot){.pid = 7,
                                  .tid = 8,
                                  .state = STATE_WAIT,
                                  .syscall = 230,
                                  .regs.known = 0x10080,
                                  .regs.value[7] = 0x3000,
                                  .regs.value[16] = 0x1010,
                                  .stack_addr = 0x3000,
                                  .stack_bytes = sizeof(stack),
                                  .stack = stack,
                                  .stack_cut = true};
    return write_all(&(struct snapfile){.modules = {.items = list, .n = 1},
                                        .processes = &process,
                                        .n_processes = 1,
                                        .items = &item,
                                        .n_items = 1});
}

Test(snapfile, every_field)
{
    struct buffer b = small_file();
    struct snapfile file;
    cr_assert_eq(read_all(b.data, b.bytes, &file, NULL), 0);
    const struct module *m = file.modules.items[0];
    cr_assert_str_eq(m->path, "/a b");
    cr_assert(m->dev == 1 && m->ino == 2 && m->file_bytes == 64 && m->n_loads == 0);
    const struct mappings *t = snapfile_maps(&file, 7);
    cr_assert_null(snapfile_maps(&file, 8));
    cr_assert_eq(t->n, 2);
    cr_assert_eq(t->items[0].module, m);
    cr_assert_eq(t->items[0].prot, PROT_READ | PROT_EXEC);
    cr_assert(t->items[1].shared && !t->items[1].path && !t->items[1].module);
    const struct snapshot *s = &file.items[0].snap;
    cr_assert(s->pid == 7 && s->tid == 8 && s->state == STATE_WAIT && s->syscall == 230);
    cr_assert(s->regs.known == 0x10080 && s->regs.value[16] == 0x1010 && s->stack_cut);
    cr_assert_eq(s->stack_bytes, 32);
    cr_assert_eq(s->stack[2], 3);
    const struct snapfile_shown *shown = file.items[0].shown;
    cr_assert(file.items[0].n_shown == 2 && shown[0].native == 0 && !shown[0].function);
    cr_assert_eq(shown[1].native, SNAPFILE_NOT_NATIVE);
    cr_assert_str_eq(shown[1].function, "parse");
    cr_assert_str_eq(shown[1].file, "/a.py");
    cr_assert(shown[1].first_line == 3 && shown[1].line == 5);
    snapfile_release(&file);
    free(b.data);
}

Test(snapfile, cut_anywhere_it_is_refused)
{
    struct buffer b = small_file();
    struct snapfile file;
    for (size_t n = 0; n < b.bytes; n++) {
        struct error err = {0};
        cr_assert_eq(read_all(b.data, n, &file, &err), -EBADMSG, "cut after %zu bytes", n);
        cr_assert_neq(err.text[0], 0);
    }
    free(b.data);
}

Test(snapfile, something_behind_the_end_is_refused)
{
    struct buffer b = small_file();
    struct snapfile file;
    char *longer = mem_alloc(b.bytes + 1);
    memcpy(longer, b.data, b.bytes);
    cr_assert_eq(read_all(longer, b.bytes + 1, &file, NULL), -EBADMSG);
    free(longer);
    free(b.data);
}

Test(snapfile, a_spoilt_byte_never_crashes)
{
    static const uint8_t spoil[] = {0x01, 0x80, 0xff};
    struct buffer b = small_file();
    for (size_t i = 0; i < b.bytes * sizeof(spoil); i++) {
        uint8_t *at = (uint8_t *)b.data + i / sizeof(spoil), was = *at;
        struct snapfile file;
        *at ^= spoil[i % sizeof(spoil)];
        int rc = read_all(b.data, b.bytes, &file, NULL);
        cr_assert(rc == 0 || rc == -EBADMSG || rc == -E2BIG, "%d", rc);
        if (rc == 0) {
            const struct mappings *t = snapfile_maps(&file, file.items[0].snap.pid);
            if (t)
                cr_assert_geq(walk(&file.items[0].snap, t).n, 1);
            snapfile_release(&file);
        }
        *at = was;
    }
    free(b.data);
}

Test(snapfile, lengths_that_lie)
{
    char head[20] = "OXSNAP\0\1\1\0\0\0";
    struct snapfile file;
    uint64_t bytes = UINT64_MAX;
    memcpy(head + 12, &bytes, sizeof(bytes));
    cr_assert_eq(read_all(head, sizeof(head), &file, NULL), -E2BIG);
    bytes = 1000 * 1000 * 1000;
    memcpy(head + 12, &bytes, sizeof(bytes));
    cr_assert_eq(read_all(head, sizeof(head), &file, NULL), -EBADMSG);
}

Test(snapfile, a_full_disk_is_told)
{
    struct error err = {0};
    FILE *f = fopen("/dev/full", "we");
    cr_assert_eq(snapfile_write(f, &(struct snapfile){0}, &err), -ENOSPC);
    cr_assert_neq(err.text[0], 0);
    fclose(f);
}
