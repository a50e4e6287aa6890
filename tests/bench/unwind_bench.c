/* SPDX-License-Identifier: MIT */
/*
 * What a frame costs: unwinds all snapshots of a file (oxprof dump --save) again and again, by
 * rows, by libunwind and by libdw, and compiles rows for random places of the modules that were
 * seen.
 *
 *     unwind_bench FILE [ROUNDS]
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../oracles/oracles.h"
#include "base/clock.h"
#include "base/mem.h"
#include "capture/snapfile.h"
#include "unwind/libunwind_space.h"
#include "unwind/pages.h"
#include "unwind/rows.h"
#include "unwind/stack_words.h"
#include "unwind/unwind.h"

enum { ENDS = STACK_UNMAPPED + 1, HOWS = FRAME_KNOWN_CODE + 1, PLACES = 1000 };

struct counts {
    uint64_t frames, ends[ENDS], hows[HOWS];
};

struct result {
    struct counts counts;
    double ns_per_frame;
};

static void count(struct counts *c, const struct stack *s)
{
    c->frames += s->n;
    c->ends[s->end]++;
    for (size_t i = 0; i < s->n; i++)
        c->hows[s->frames[i].how]++;
}

static struct result by_rows(const struct snapfile *file, unsigned rounds)
{
    struct result r = {0};
    static struct stack stack;
    struct unwinder *u = unwinder_new();
    uint64_t frames = 0, start = 0;
    for (unsigned round = 0; round <= rounds; round++) {
        if (round == 1)
            start = clock_own_cpu_ns();
        for (size_t i = 0; i < file->n_items; i++) {
            const struct snapshot *snap = &file->items[i].snap;
            unwinder_walk(u, snap, snapfile_maps(file, snap->pid), &stack);
            while (stack.end == STACK_UNMAPPED && stack.miss_addr) /* there is nobody to ask */
                unwinder_walk_on(u, snap, snapfile_maps(file, snap->pid), &stack);
            if (round)
                frames += stack.n;
            else
                count(&r.counts, &stack);
        }
    }
    r.ns_per_frame = (double)(clock_own_cpu_ns() - start) / (double)(frames ? frames : 1);
    unwinder_free(u);
    return r;
}

/* ---- libunwind as a remote unwinder is usually written, over the same bytes */

struct remote {
    const struct snapshot *snap;
    const struct mappings *maps;
    struct pages *pages;
    struct module *module; /* of the frame, and how far it is moved */
    uint64_t bias;
};

/* Words that can't be read are pointers to personality routines, in data: nobody needs them. */
static int access_mem(unw_addr_space_t space, unw_word_t addr, unw_word_t *word, int write,
                      void *arg)
{
    struct remote *r = arg;
    (void)space;
    if (write)
        return -UNW_EINVAL;
    if (stack_read(r->snap, addr, word))
        return 0;
    if (!r->module)
        return -UNW_EINVAL;
    if (pages_read_vaddr(r->pages, r->module, word, sizeof(*word), addr - r->bias) < 0)
        *word = 0;
    return 0;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
                      void *arg)
{
    struct remote *r = arg;
    (void)space;
    if (write || reg < 0 || reg >= DWREG_N || !(r->snap->regs.known & (1u << reg)))
        return -UNW_EBADREG;
    *value = r->snap->regs.value[reg];
    return 0;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg)
{
    struct remote *r = arg;
    uint64_t vaddr;
    uint8_t head[12];
    const struct mapping *m = mappings_find(r->maps, ip);
    if (!m || !mapping_vaddr(m, ip, &vaddr) || !m->module->eh_frame_hdr_bytes)
        return -UNW_ENOINFO;
    uint64_t hdr = m->module->eh_frame_hdr_vaddr;
    r->module = m->module;
    r->bias = ip - vaddr;
    uint32_t count = 0;
    if (pages_read_vaddr(r->pages, m->module, head, sizeof(head), hdr) < 0)
        return -UNW_ENOINFO;
    memcpy(&count, head + 8, sizeof(count));
    unw_dyn_info_t di = {.format = UNW_INFO_FORMAT_REMOTE_TABLE,
                         .start_ip = m->start,
                         .end_ip = m->end,
                         .u.rti = {.segbase = r->bias + hdr,
                                   .table_data = r->bias + hdr + sizeof(head),
                                   .table_len = count * 8 / sizeof(unw_word_t)}};
    return _Ux86_64_dwarf_search_unwind_table(space, ip, &di, pi, need, arg);
}

static uint64_t libunwind_walk(unw_addr_space_t space, struct remote *r)
{
    unw_cursor_t cursor;
    uint64_t n = 0;
    r->module = NULL;
    if (unw_init_remote(&cursor, space, r) < 0)
        return 0;
    do {
        unw_word_t ip;
        unw_get_reg(&cursor, UNW_REG_IP, &ip);
        n++;
    } while (n < UNWIND_FRAMES_MAX && unw_step(&cursor) > 0);
    return n;
}

static struct result by_libunwind(const struct snapfile *file, unsigned rounds)
{
    const struct libunwind_access access = {
        .find_proc_info = find_proc_info, .access_mem = access_mem, .access_reg = access_reg};
    struct result r = {0};
    struct remote remote = {.pages = pages_new()};
    unw_addr_space_t space = libunwind_space_new(&access);
    unw_set_caching_policy(space, UNW_CACHE_GLOBAL);
    uint64_t frames = 0, start = 0;
    for (unsigned round = 0; round <= rounds; round++) {
        if (round == 1)
            start = clock_own_cpu_ns();
        for (size_t i = 0; i < file->n_items; i++) {
            remote.snap = &file->items[i].snap;
            remote.maps = snapfile_maps(file, remote.snap->pid);
            uint64_t n = libunwind_walk(space, &remote);
            if (round)
                frames += n;
            else
                r.counts.frames += n;
        }
    }
    r.ns_per_frame = (double)(clock_own_cpu_ns() - start) / (double)(frames ? frames : 1);
    unw_destroy_addr_space(space);
    pages_free(remote.pages);
    return r;
}

static struct result by_libdw(const struct snapfile *file, unsigned rounds)
{
    struct result r = {0};
    static struct oracle_stack stack;
    struct by_elfutils *o = by_elfutils_new();
    uint64_t frames = 0, start = 0;
    for (unsigned round = 0; round <= rounds; round++) {
        if (round == 1)
            start = clock_own_cpu_ns();
        for (size_t i = 0; i < file->n_items; i++) {
            const struct snapshot *snap = &file->items[i].snap;
            by_elfutils_walk(o, snap, snapfile_maps(file, snap->pid), &stack);
            if (round)
                frames += stack.n;
            else
                r.counts.frames += stack.n;
        }
    }
    r.ns_per_frame = (double)(clock_own_cpu_ns() - start) / (double)(frames ? frames : 1);
    by_elfutils_free(o);
    return r;
}

/* ---- cold */

static void compile_module(struct module *m)
{
    const struct module_load *code = NULL;
    for (size_t i = 0; i < m->n_loads; i++)
        if ((m->loads[i].flags & 1) && (!code || m->loads[i].file_bytes > code->file_bytes))
            code = &m->loads[i];
    if (!code || !code->file_bytes)
        return;
    uint64_t seed = 1, compiled = 0, start = clock_own_cpu_ns();
    struct pages *pages = pages_new();
    struct cfi *cfi = cfi_new(pages);
    struct go_stacks *go_stacks = go_stacks_new();
    struct rows *rows = rows_new(cfi, go_stacks, pages);
    for (int i = 0; i < PLACES; i++) {
        uint64_t vaddr = code->vaddr + clock_random_next(&seed) % code->file_bytes;
        compiled += rows_find(rows, m, vaddr)->how != ROW_NONE;
    }
    double ms = (double)(clock_own_cpu_ns() - start) / 1e6;
    rows_free(rows);
    go_stacks_free(go_stacks);
    cfi_free(cfi);
    pages_free(pages);
    printf("compile\t%s\t%" PRIu64 " of %d places\t%.2f ms\n", m->path, compiled, PLACES, ms);
}

static void show_counts(const struct counts *c)
{
    static const char *const ends[ENDS] = {"complete",    "cut",       "no CFI",
                                           "no register", "elsewhere", "bad",
                                           "too deep",    "too much",  "unmapped"};
    static const char *const hows[HOWS] = {"leaf",      "row", "signal",    "frame pointer",
                                           "libunwind", "go",  "known code"};
    for (int i = 0; i < ENDS; i++)
        printf("stacks\t%s\t%" PRIu64 "\n", ends[i], c->ends[i]);
    for (int i = 0; i < HOWS; i++)
        printf("frames\t%s\t%" PRIu64 "\n", hows[i], c->hows[i]);
}

static int run(const struct snapfile *file, unsigned rounds)
{
    unsigned few = rounds / 50 + 1;
    struct result rows = by_rows(file, rounds), libunwind = by_libunwind(file, rounds),
                  libdw = by_libdw(file, few);
    show_counts(&rows.counts);
    printf("rows\t%" PRIu64 " frames\t%.1f ns a frame\n", rows.counts.frames, rows.ns_per_frame);
    printf("libunwind\t%" PRIu64 " frames\t%.1f ns a frame\n", libunwind.counts.frames,
           libunwind.ns_per_frame);
    printf("libdw\t%" PRIu64 " frames\t%.1f ns a frame\n", libdw.counts.frames, libdw.ns_per_frame);
    printf("ratio\t%.1f\n", libunwind.ns_per_frame / rows.ns_per_frame);
    for (size_t i = 0; i < file->modules.n; i++)
        compile_module(file->modules.items[i]);
    return 0;
}

int main(int argc, char **argv)
{
    struct snapfile file;
    struct error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: unwind_bench FILE [ROUNDS]\n");
        return 2;
    }
    FILE *f = fopen(argv[1], "re");
    int rc = f ? snapfile_read(f, &file, &err) : -1;
    if (f)
        fclose(f);
    if (rc < 0) {
        fprintf(stderr, "unwind_bench: %s: cannot be read\n", argv[1]);
        return 1;
    }
    rc = run(&file, argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100);
    snapfile_release(&file);
    return rc;
}
