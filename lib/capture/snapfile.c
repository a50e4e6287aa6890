/* SPDX-License-Identifier: MIT */
#include "capture/snapfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

static const char magic[8] = "OXSNAP\0\1";

enum { KIND_MODULE = 1, KIND_MAPPINGS, KIND_SNAPSHOT, KIND_END, KIND_SHOWN };

enum {
    REGS_N = sizeof((struct regs){0}.value) / sizeof(uint64_t),
    PAGE_BYTES = 4096,
    EH_FRAME_BYTES_MAX = 16 * 1024 * 1024,
    FILE_BYTES_MAX = 1024 * 1024 * 1024,
    READ_STEP_BYTES = 1024 * 1024,
    STRING_BYTES_MAX = 8192, /* of names and paths */
    MODULES_MAX = 65536,
    PROCESSES_MAX = 65536,
    ENC_PCREL_SDATA4 = 0x1b /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
};

static const uint32_t none = UINT32_MAX;

void snapfile_free_shown(struct snapfile_shown *shown, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(shown[i].function);
        free(shown[i].file);
    }
    free(shown);
}

void snapfile_release(struct snapfile *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_processes; i++)
        mappings_release(&s->processes[i].maps);
    for (size_t i = 0; i < s->n_items; i++) {
        free(s->items[i].name);
        free(s->items[i].wait);
        free(s->items[i].stack);
        snapfile_free_shown(s->items[i].shown, s->items[i].n_shown);
    }
    free(s->processes);
    free(s->items);
    modules_release(&s->modules);
    *s = (struct snapfile){0};
}

const struct mappings *snapfile_maps(const struct snapfile *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_processes; i++)
        if (s->processes[i].pid == pid)
            return &s->processes[i].maps;
    return NULL;
}

/* A record's payload, while it is put together. */
struct payload {
    uint8_t *data; /* owned */
    size_t n, cap;
};

static void put_bytes(struct payload *p, const void *bytes, size_t n)
{
    p->data = mem_grow(p->data, &p->cap, p->n + n, 1);
    if (n)
        memcpy(p->data + p->n, bytes, n);
    p->n += n;
}

static void put_u32(struct payload *p, uint32_t v)
{
    put_bytes(p, &v, sizeof(v));
}

static void put_u64(struct payload *p, uint64_t v)
{
    put_bytes(p, &v, sizeof(v));
}

static void put_string(struct payload *p, const void *bytes, size_t n)
{
    put_u32(p, (uint32_t)n);
    put_bytes(p, bytes, n);
}

static void put_text(struct payload *p, const char *s)
{
    if (s)
        put_string(p, s, strlen(s));
    else
        put_u32(p, none);
}

static bool record_write(FILE *to, uint32_t kind, struct payload *p)
{
    uint64_t bytes = p->n;
    bool ok = fwrite(&kind, sizeof(kind), 1, to) == 1 &&
              fwrite(&bytes, sizeof(bytes), 1, to) == 1 &&
              (!p->n || fwrite(p->data, p->n, 1, to) == 1);
    p->n = 0;
    return ok;
}

static size_t pages_of(const struct module *m)
{
    return (size_t)((m->file_bytes + PAGE_BYTES - 1) / PAGE_BYTES);
}

/* module_read() notes the pages that it is asked for, so asking is marking. */
static void mark(struct module *m, uint64_t off, uint64_t bytes)
{
    uint8_t page[PAGE_BYTES];
    for (uint64_t at = off; at < off + bytes && at < m->file_bytes; at += PAGE_BYTES)
        (void)module_read(m, page, 1, at);
    if (bytes)
        (void)module_read(m, page, 1, off + bytes - 1);
}

/* From the start of .eh_frame to the end of its segment: its size is in no program header. */
static void mark_eh_frame(struct module *m)
{
    uint8_t head[8];
    int32_t to_frame;
    uint64_t off, vaddr = m->eh_frame_hdr_vaddr;
    if (!m->eh_frame_hdr_bytes || !module_off_of_vaddr(m, vaddr, &off))
        return;
    mark(m, off, m->eh_frame_hdr_bytes);
    if (module_read(m, head, sizeof(head), off) < 0 || head[1] != ENC_PCREL_SDATA4)
        return;
    memcpy(&to_frame, head + 4, sizeof(to_frame));
    vaddr += 4 + (uint64_t)to_frame;
    for (size_t i = 0; i < m->n_loads; i++) {
        uint64_t at = vaddr - m->loads[i].vaddr, bytes = m->loads[i].file_bytes;
        if (vaddr >= m->loads[i].vaddr && at < bytes && bytes - at <= EH_FRAME_BYTES_MAX)
            mark(m, m->loads[i].off + at, bytes - at);
    }
}

/* Owned by the caller: which pages of m to save. m is as before afterwards. */
static uint8_t *pages_to_save(struct module *m)
{
    size_t bytes = pages_of(m) / 8 + 1;
    uint8_t *noted = m->touched, *pages = mem_alloc(bytes);
    if (noted)
        memcpy(pages, noted, bytes - (pages_of(m) % 8 == 0));
    m->touched = pages;
    if (m->n_loads && module_read_headers(m) == 0)
        mark_eh_frame(m);
    m->touched = noted;
    return pages;
}

static bool is_marked(const uint8_t *pages, size_t page)
{
    return pages[page / 8] >> (page % 8) & 1;
}

static void put_piece(struct payload *p, uint64_t off, const void *bytes, size_t n)
{
    put_u64(p, off);
    put_u64(p, n);
    put_bytes(p, bytes, n);
}

/* Pages that the file has lost since are left out. */
static uint32_t put_marked(struct payload *p, struct module *m, const uint8_t *pages)
{
    uint8_t page[PAGE_BYTES];
    uint32_t n = 0;
    for (size_t i = 0; i < pages_of(m); i++) {
        uint64_t off = (uint64_t)i * PAGE_BYTES, left = m->file_bytes - off;
        size_t bytes = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
        if (!is_marked(pages, i) || module_read(m, page, bytes, off) < 0)
            continue;
        put_piece(p, off, page, bytes);
        n++;
    }
    return n;
}

static uint32_t put_open_file(struct payload *p, struct module *m)
{
    OX_FREE uint8_t *pages = pages_to_save(m);
    uint8_t *noted = m->touched;
    m->touched = NULL;
    uint32_t n = put_marked(p, m, pages);
    m->touched = noted;
    return n;
}

static void put_module(struct payload *p, struct module *m)
{
    put_u64(p, m->dev);
    put_u64(p, m->ino);
    put_u64(p, m->file_bytes);
    put_text(p, m->path);
    put_string(p, m->build_id, m->build_id_bytes);
    size_t count_at = p->n;
    uint32_t n = 0;
    put_u32(p, n);
    if (m->fd >= 0)
        n = put_open_file(p, m);
    for (size_t i = 0; m->fd < 0 && i < m->n_pieces; i++, n++)
        put_piece(p, m->pieces[i].off, m->pieces[i].data, m->pieces[i].bytes);
    memcpy(p->data + count_at, &n, sizeof(n));
}

static void put_mapping(struct payload *p, const struct mapping *m)
{
    put_u64(p, m->start);
    put_u64(p, m->end);
    put_u64(p, m->off);
    put_u64(p, m->dev);
    put_u64(p, m->ino);
    put_u32(p, m->prot);
    put_u32(p, m->shared);
    put_u32(p, m->module ? m->module->id : none);
    put_text(p, m->path);
}

static void put_process(struct payload *p, const struct snapfile_process *process)
{
    put_u32(p, (uint32_t)process->pid);
    put_u32(p, (uint32_t)process->maps.n);
    for (size_t i = 0; i < process->maps.n; i++)
        put_mapping(p, &process->maps.items[i]);
}

static void put_item(struct payload *p, const struct snapfile_item *item)
{
    const struct snapshot *s = &item->snap;
    put_u32(p, (uint32_t)s->pid);
    put_u32(p, (uint32_t)s->tid);
    put_u32(p, s->state);
    put_u32(p, s->source);
    put_u64(p, (uint64_t)s->syscall);
    put_u32(p, s->regs.known);
    for (size_t i = 0; i < REGS_N; i++)
        put_u64(p, s->regs.value[i]);
    put_u64(p, s->stack_addr);
    put_u32(p, s->stack_cut);
    put_text(p, item->name);
    put_string(p, s->stack, s->stack_bytes);
    if (item->wait)
        put_text(p, item->wait);
}

static void put_shown(struct payload *p, const struct snapfile_item *item)
{
    put_u32(p, (uint32_t)item->n_shown);
    for (size_t i = 0; i < item->n_shown; i++) {
        const struct snapfile_shown *f = &item->shown[i];
        put_u32(p, f->native);
        put_text(p, f->function);
        put_text(p, f->file);
        put_u32(p, f->first_line);
        put_u32(p, f->line);
    }
}

static bool records_write(FILE *to, const struct snapfile *s, struct payload *p)
{
    bool ok = fwrite(magic, sizeof(magic), 1, to) == 1;
    for (size_t i = 0; ok && i < s->modules.n; i++) {
        put_module(p, s->modules.items[i]);
        ok = record_write(to, KIND_MODULE, p);
    }
    for (size_t i = 0; ok && i < s->n_processes; i++) {
        put_process(p, &s->processes[i]);
        ok = record_write(to, KIND_MAPPINGS, p);
    }
    for (size_t i = 0; ok && i < s->n_items; i++) {
        put_item(p, &s->items[i]);
        ok = record_write(to, KIND_SNAPSHOT, p);
        if (ok && s->items[i].shown) {
            put_shown(p, &s->items[i]);
            ok = record_write(to, KIND_SHOWN, p);
        }
    }
    return ok && record_write(to, KIND_END, p) && fflush(to) == 0;
}

int snapfile_write(FILE *to, const struct snapfile *s, struct error *err)
{
    struct payload p = {0};
    errno = 0;
    bool ok = records_write(to, s, &p);
    int rc = errno ? -errno : -EIO;
    free(p.data);
    return ok ? 0 : error_set(err, rc, "cannot write the snapshots: %s", strerror(-rc));
}

/* A record's payload, while it is taken apart. Past its end everything is 0, and bad is set. */
struct source {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *take_bytes(struct source *s, uint64_t n)
{
    if (s->bad || n > (uint64_t)(s->end - s->at)) {
        s->bad = true;
        return NULL;
    }
    s->at += n;
    return s->at - n;
}

static uint32_t take_u32(struct source *s)
{
    uint32_t v = 0;
    const uint8_t *bytes = take_bytes(s, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

static uint64_t take_u64(struct source *s)
{
    uint64_t v = 0;
    const uint8_t *bytes = take_bytes(s, sizeof(v));
    if (bytes)
        memcpy(&v, bytes, sizeof(v));
    return v;
}

static uint32_t take_u32_below(struct source *s, uint32_t limit)
{
    uint32_t v = take_u32(s);
    s->bad |= v >= limit;
    return s->bad ? 0 : v;
}

/* Owned by the caller; NULL where there is none. */
static char *take_text(struct source *s)
{
    uint32_t n = take_u32(s);
    if (n == none)
        return NULL;
    const uint8_t *bytes = n <= STRING_BYTES_MAX ? take_bytes(s, n) : NULL;
    if (!bytes || memchr(bytes, '\0', n)) {
        s->bad = true;
        return NULL;
    }
    return mem_strndup((const char *)bytes, n);
}

static void *copy_bytes(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = mem_alloc(n);
    memcpy(copy, bytes, n);
    return copy;
}

static void take_pieces(struct source *s, struct module *m)
{
    uint32_t n = take_u32(s);
    uint64_t least = 0;
    size_t cap = 0;
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        uint64_t off = take_u64(s), bytes = take_u64(s);
        if (off < least || off > m->file_bytes || bytes > m->file_bytes - off || !bytes)
            s->bad = true;
        const uint8_t *data = take_bytes(s, bytes);
        if (!data)
            return;
        least = off + bytes;
        m->pieces = mem_grow(m->pieces, &cap, m->n_pieces + 1, sizeof(*m->pieces));
        m->pieces[m->n_pieces++] =
            (struct module_piece){.off = off, .bytes = bytes, .data = copy_bytes(data, bytes)};
    }
}

static const char *take_module(struct source *s, struct snapfile *file)
{
    if (file->modules.n == MODULES_MAX)
        return "too many modules";
    uint64_t dev = take_u64(s), ino = take_u64(s), file_bytes = take_u64(s);
    OX_FREE char *path = take_text(s);
    (void)take_bytes(s, take_u32_below(s, MODULE_BUILD_ID_MAX + 1));
    if (s->bad || !path || file_bytes > INT64_MAX)
        return "a damaged module";
    struct module *m = modules_add(&file->modules, dev, ino, path);
    m->file_bytes = file_bytes;
    take_pieces(s, m);
    /* what is no ELF file stays in the table without segments, as it was when it was saved */
    if (!s->bad)
        (void)module_read_headers(m);
    return s->bad ? "a damaged module" : NULL;
}

static bool take_mapping(struct source *s, const struct snapfile *file, uint64_t least,
                         struct mapping *ret_mapping)
{
    struct mapping m = {.start = take_u64(s), .end = take_u64(s), .off = take_u64(s)};
    m.dev = take_u64(s);
    m.ino = take_u64(s);
    m.prot = take_u32_below(s, (PROT_READ | PROT_WRITE | PROT_EXEC) + 1);
    m.shared = take_u32_below(s, 2);
    uint32_t module = take_u32(s);
    if (s->bad || m.start < least || m.start >= m.end || m.off > UINT64_MAX - (m.end - m.start) ||
        (module != none && (module >= file->modules.n || !(m.prot & PROT_EXEC))))
        return false;
    m.module = module == none ? NULL : file->modules.items[module];
    m.path = take_text(s);
    *ret_mapping = m;
    return true;
}

static const char *take_process(struct source *s, struct snapfile *file)
{
    struct snapfile_process process = {.pid = (pid_t)take_u32_below(s, INT32_MAX)};
    uint32_t n = take_u32(s);
    uint64_t least = 0;
    if (file->n_processes == PROCESSES_MAX || snapfile_maps(file, process.pid))
        return "too many processes, or one twice";
    file->processes = mem_grow(file->processes, &file->cap_processes, file->n_processes + 1,
                               sizeof(*file->processes));
    file->processes[file->n_processes] = process;
    struct mappings *maps = &file->processes[file->n_processes++].maps;
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        struct mapping m;
        if (!take_mapping(s, file, least, &m))
            return "a damaged mapping";
        least = m.end;
        if (!mappings_put(maps, &m))
            return "too many mappings";
    }
    return s->bad ? "a damaged mapping" : NULL;
}

static bool take_snapshot(struct source *s, struct snapshot *snap)
{
    snap->pid = (pid_t)take_u32_below(s, INT32_MAX);
    snap->tid = (pid_t)take_u32_below(s, INT32_MAX);
    snap->state = take_u32_below(s, STATE_N);
    snap->source = take_u32_below(s, SOURCE_N);
    snap->syscall = (int64_t)take_u64(s);
    snap->regs.known = take_u32_below(s, 1u << REGS_N);
    for (size_t i = 0; i < REGS_N; i++)
        snap->regs.value[i] = take_u64(s);
    snap->stack_addr = take_u64(s);
    snap->stack_cut = take_u32_below(s, 2);
    return !s->bad;
}

static const char *take_item(struct source *s, struct snapfile *file)
{
    struct snapfile_item item = {0};
    if (!take_snapshot(s, &item.snap))
        return "a damaged snapshot";
    file->items = mem_grow(file->items, &file->cap_items, file->n_items + 1, sizeof(*file->items));
    item.name = take_text(s);
    uint32_t n = take_u32_below(s, SNAPSHOT_STACK_MAX_BYTES + 1);
    const uint8_t *bytes = take_bytes(s, n);
    s->bad |= n > UINT64_MAX - item.snap.stack_addr;
    if (!s->bad && n) {
        item.stack = copy_bytes(bytes, n);
        item.snap.stack = item.stack;
        item.snap.stack_bytes = n;
    }
    if (!s->bad && s->at != s->end)
        item.wait = take_text(s);
    file->items[file->n_items++] = item;
    return s->bad ? "a damaged snapshot" : NULL;
}

static const char *take_shown(struct source *s, struct snapfile *file)
{
    struct snapfile_item *item = file->n_items ? &file->items[file->n_items - 1] : NULL;
    uint32_t n = take_u32_below(s, SNAPFILE_SHOWN_MAX + 1);
    if (s->bad || !item || item->shown)
        return "a damaged list of functions";
    item->shown = mem_alloc((n + 1) * sizeof(*item->shown));
    for (uint32_t i = 0; i < n && !s->bad; i++) {
        struct snapfile_shown *f = &item->shown[item->n_shown++];
        f->native = take_u32(s);
        f->function = take_text(s);
        f->file = take_text(s);
        f->first_line = take_u32_below(s, INT32_MAX);
        f->line = take_u32_below(s, INT32_MAX);
        s->bad |= f->native == SNAPFILE_NOT_NATIVE && !f->function;
    }
    return s->bad ? "a damaged list of functions" : NULL;
}

static const char *take_record(uint32_t kind, struct source *s, struct snapfile *file)
{
    const char *trouble = "a record of an unknown kind";
    if (kind == KIND_MODULE)
        trouble = take_module(s, file);
    else if (kind == KIND_MAPPINGS)
        trouble = take_process(s, file);
    else if (kind == KIND_SNAPSHOT)
        trouble = take_item(s, file);
    else if (kind == KIND_SHOWN)
        trouble = take_shown(s, file);
    else if (kind == KIND_END)
        trouble = NULL;
    return !trouble && s->at != s->end ? "a record longer than its contents" : trouble;
}

/* Memory grows with what is really there, not with what the length field claims. */
static bool payload_read(FILE *from, struct payload *p, uint64_t bytes)
{
    for (p->n = 0; p->n < bytes;) {
        size_t step = bytes - p->n < READ_STEP_BYTES ? (size_t)(bytes - p->n) : READ_STEP_BYTES;
        p->data = mem_grow(p->data, &p->cap, p->n + step, 1);
        if (fread(p->data + p->n, step, 1, from) != 1)
            return false;
        p->n += step;
    }
    return true;
}

/* 1 behind the last record, 0 before another one. */
static int record_read(FILE *from, struct payload *p, uint64_t *left, struct snapfile *file,
                       struct error *err)
{
    uint32_t kind;
    uint64_t bytes;
    if (fread(&kind, sizeof(kind), 1, from) != 1 || fread(&bytes, sizeof(bytes), 1, from) != 1)
        return error_set(err, -EBADMSG, "the snapshot file is cut off");
    if (bytes > *left - sizeof(kind) - sizeof(bytes))
        return error_set(err, -E2BIG, "the snapshot file is larger than 1 GiB, or damaged");
    *left -= sizeof(kind) + sizeof(bytes) + bytes;
    if (!payload_read(from, p, bytes))
        return error_set(err, -EBADMSG, "the snapshot file is cut off");
    struct source s = {.at = p->data, .end = p->data + p->n};
    const char *trouble = take_record(kind, &s, file);
    if (trouble)
        return error_set(err, -EBADMSG, "the snapshot file holds %s", trouble);
    if (kind == KIND_END && fgetc(from) != EOF)
        return error_set(err, -EBADMSG, "the snapshot file goes on behind its end");
    return kind == KIND_END;
}

int snapfile_read(FILE *from, struct snapfile *ret_file, struct error *err)
{
    char head[sizeof(magic)];
    struct snapfile file = {0};
    struct payload p = {.data = mem_alloc(1), .cap = 1};
    uint64_t left = FILE_BYTES_MAX;
    int rc = 0;
    if (fread(head, sizeof(head), 1, from) != 1 || memcmp(head, magic, sizeof(magic)) != 0)
        rc = error_set(err, -EBADMSG, "this is no snapshot file of this version");
    while (rc == 0)
        rc = left < 64 ? error_set(err, -E2BIG, "the snapshot file is larger than 1 GiB")
                       : record_read(from, &p, &left, &file, err);
    free(p.data);
    if (rc < 0) {
        snapfile_release(&file);
        return rc;
    }
    *ret_file = file;
    return 0;
}
