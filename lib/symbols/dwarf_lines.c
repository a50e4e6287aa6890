/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_lines.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "symbols/dwarf_die.h"

enum { NAMES_MAX = 1 << 20, FORMATS_MAX = 255, PATH_MAX_BYTES = 16 * 1024 };

struct row {
    uint64_t vaddr;
    uint32_t file;
    uint32_t line;
    uint32_t order; /* of its sequence and within it */
    bool ends;      /* nothing is known from here on */
};

/* A directory or file. */
struct entry {
    struct dwarf_value name; /* DW_FORM_string: in .debug_line */
    uint64_t dir;
};

struct entries {
    struct entry *items; /* owned */
    size_t n, cap;
};

struct dwarf_lines {
    struct row *rows; /* owned; by vaddr */
    size_t n, cap;
    struct entries dirs, files;
    uint16_t version;
};

struct header {
    struct dwarf_unit unit; /* stands for the table in dwarf_value_read() */
    uint64_t end, program;
    uint8_t min_bytes, line_range, opcode_base;
    int8_t line_base;
    uint8_t operands[256]; /* of each standard opcode */
};

static bool add_entry(struct entries *list, struct debug_reader *r, const struct entry *e)
{
    if (r->failed || list->n == NAMES_MAX || !debug_room_work(r->d->room, 1) ||
        !debug_room_may_grow(r->d->room))
        return false;
    list->items = mem_grow(list->items, &list->cap, list->n + 1, sizeof(*e));
    list->items[list->n++] = *e;
    return true;
}

/* DWARF 2 to 4: strings until an empty one; files with directory, time and size. Directory 0 is
 * the unit's, and files count from 1. */
static bool read_names_2(struct debug_reader *r, struct entries *list, bool files)
{
    if (!add_entry(list, r, &(struct entry){0}))
        return false;
    for (;;) {
        struct entry e = {.name = {.form = DW_FORM_string, .u = debug_skip_string(r)}};
        if (r->pos - e.name.u <= 1)
            return !r->failed;
        if (files) {
            e.dir = debug_read_uleb(r);
            debug_read_uleb(r);
            debug_read_uleb(r);
        }
        if (!add_entry(list, r, &e))
            return false;
    }
}

struct format {
    uint64_t content;
    struct dwarf_attribute attribute;
};

static bool read_entry(struct debug_reader *r, const struct header *h, const struct format *formats,
                       unsigned n, struct entry *e)
{
    for (unsigned i = 0; i < n; i++) {
        struct dwarf_value v;
        if (!dwarf_value_read(&h->unit, r, &formats[i].attribute, &v))
            return false;
        if (formats[i].content == DW_LNCT_path)
            e->name = v;
        else if (formats[i].content == DW_LNCT_directory_index)
            e->dir = v.u;
    }
    return true;
}

/* DWARF 5: a list that says first what its entries are made of. */
static bool read_names_5(struct debug_reader *r, const struct header *h, struct entries *list)
{
    struct format formats[FORMATS_MAX];
    unsigned n = (unsigned)debug_read_fixed(r, 1);
    for (unsigned i = 0; i < n; i++) {
        formats[i].content = debug_read_uleb(r);
        formats[i].attribute = (struct dwarf_attribute){.form = (uint16_t)debug_read_uleb(r)};
    }
    uint64_t count = debug_read_uleb(r);
    for (uint64_t i = 0; i < count; i++) {
        struct entry e = {0};
        if (!n || !debug_room_work_parts(r->d->room, n) || !read_entry(r, h, formats, n, &e) ||
            !add_entry(list, r, &e))
            return false;
    }
    return !r->failed;
}

static void read_opcodes(struct debug_reader *r, struct header *h)
{
    h->min_bytes = (uint8_t)debug_read_fixed(r, 1);
    if (h->unit.version >= 4)
        debug_skip(r, 1); /* operations in an instruction: 1 on x86 */
    debug_skip(r, 1);     /* whether lines are statements from the start */
    h->line_base = (int8_t)debug_read_fixed(r, 1);
    h->line_range = (uint8_t)debug_read_fixed(r, 1);
    h->opcode_base = (uint8_t)debug_read_fixed(r, 1);
    for (unsigned i = 1; i < h->opcode_base; i++)
        h->operands[i] = (uint8_t)debug_read_fixed(r, 1);
}

static bool read_header(struct dwarf_file *f, uint64_t off, struct header *h, struct dwarf_lines *t)
{
    struct debug_data *d = &f->sections[DEBUG_LINE];
    struct debug_reader r = debug_reader_at(d, off, d->bytes);
    uint64_t length = debug_read_length(&r, &h->unit.dwarf64);
    if (r.failed || length > r.end - r.pos)
        return false;
    r.end = h->end = r.pos + length;
    t->version = h->unit.version = (uint16_t)debug_read_fixed(&r, 2);
    if (t->version < 2 || t->version > 5)
        return false;
    if (t->version >= 5)
        debug_skip(&r, 2); /* sizes of addresses and segments */
    uint64_t header_bytes = debug_read_fixed(&r, h->unit.dwarf64 ? 8 : 4);
    if (r.failed || header_bytes > r.end - r.pos)
        return false;
    h->program = r.pos + header_bytes;
    read_opcodes(&r, h);
    if (r.failed || !h->line_range || !h->opcode_base)
        return false;
    if (t->version >= 5)
        return read_names_5(&r, h, &t->dirs) && read_names_5(&r, h, &t->files);
    return read_names_2(&r, &t->dirs, false) && read_names_2(&r, &t->files, true);
}

/* DWARF 5 6.2.2: the registers that matter here. */
struct machine {
    uint64_t vaddr, file;
    int64_t line;
    uint64_t start; /* of this sequence */
    size_t first;   /* its first row */
    bool has_start;
};

static const struct machine initial = {.file = 1, .line = 1};

static bool emit(struct dwarf_file *f, struct dwarf_lines *t, struct machine *m, bool ends)
{
    if (!m->has_start)
        m->start = m->vaddr;
    m->has_start = true;
    if (t->n == UINT32_MAX || !debug_room_work(f->room, 1) || !debug_room_may_grow(f->room))
        return false;
    size_t cap = t->cap;
    t->rows = mem_grow(t->rows, &t->cap, t->n + 1, sizeof(*t->rows));
    f->room->bytes += (t->cap - cap) * sizeof(*t->rows);
    bool sane = m->line >= 0 && m->line <= UINT32_MAX;
    t->rows[t->n] = (struct row){.vaddr = m->vaddr,
                                 .file = m->file <= UINT32_MAX ? (uint32_t)m->file : UINT32_MAX,
                                 .line = sane ? (uint32_t)m->line : 0,
                                 .order = (uint32_t)t->n,
                                 .ends = ends};
    t->n++;
    return true;
}

/* What linkers dropped starts at 0 or -1, and would cover real code; so would one without an end.
 */
static bool end_sequence(struct dwarf_file *f, struct dwarf_lines *t, struct machine *m)
{
    bool whole = emit(f, t, m, true);
    if (!whole || !dwarf_file_is_code(f, m->start))
        t->n = m->first;
    *m = initial;
    m->first = t->n;
    return whole;
}

static bool run_extended(struct dwarf_file *f, struct debug_reader *r, struct dwarf_lines *t,
                         struct machine *m)
{
    uint64_t bytes = debug_read_uleb(r), next = r->pos + bytes;
    if (r->failed || !bytes || bytes > r->end - r->pos)
        return false;
    switch (debug_read_fixed(r, 1)) {
    case DW_LNE_end_sequence:
        if (!end_sequence(f, t, m))
            return false;
        break;
    case DW_LNE_set_address:
        if (bytes != 9)
            return false;
        m->vaddr = debug_read_fixed(r, 8);
        break;
    default: /* discriminators and what nobody writes */
        break;
    }
    if (r->pos > next)
        return false;
    debug_skip(r, next - r->pos);
    return !r->failed;
}

static void skip_operands(struct debug_reader *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        debug_read_uleb(r);
}

static bool run_standard(struct dwarf_file *f, struct debug_reader *r, const struct header *h,
                         struct dwarf_lines *t, struct machine *m, uint8_t opcode)
{
    switch (opcode) {
    case DW_LNS_copy:
        return emit(f, t, m, false);
    case DW_LNS_advance_pc:
        m->vaddr += debug_read_uleb(r) * h->min_bytes;
        break;
    case DW_LNS_advance_line:
        m->line = (int64_t)((uint64_t)m->line + (uint64_t)debug_read_sleb(r));
        break;
    case DW_LNS_set_file:
        m->file = debug_read_uleb(r);
        break;
    case DW_LNS_const_add_pc:
        m->vaddr += (uint64_t)((255 - h->opcode_base) / h->line_range) * h->min_bytes;
        break;
    case DW_LNS_fixed_advance_pc:
        m->vaddr += debug_read_fixed(r, 2);
        break;
    default:
        skip_operands(r, h->operands[opcode]);
        return debug_room_work_parts(f->room, h->operands[opcode]);
    }
    return true;
}

static bool step(struct dwarf_file *f, struct debug_reader *r, const struct header *h,
                 struct dwarf_lines *t, struct machine *m)
{
    uint8_t opcode = (uint8_t)debug_read_fixed(r, 1);
    if (opcode >= h->opcode_base) {
        unsigned special = opcode - h->opcode_base;
        m->vaddr += (uint64_t)(special / h->line_range) * h->min_bytes;
        m->line = (int64_t)((uint64_t)m->line +
                            (uint64_t)(int64_t)(h->line_base + (int)(special % h->line_range)));
        return emit(f, t, m, false);
    }
    return opcode ? run_standard(f, r, h, t, m, opcode) : run_extended(f, r, t, m);
}

/* A sequence that does not end is not kept: where its last line ends is not known. */
static void run(struct dwarf_file *f, const struct header *h, struct dwarf_lines *t)
{
    struct debug_reader r = debug_reader_at(&f->sections[DEBUG_LINE], h->program, h->end);
    struct machine m = initial;
    while (r.pos < r.end && debug_room_work(f->room, 1) && step(f, &r, h, t, &m) && !r.failed)
        ;
    t->n = m.first;
}

/* Where one sequence ends and the next begins, the latter has the address. */
static int compare(const void *pa, const void *pb)
{
    const struct row *a = pa, *b = pb;
    if (a->vaddr != b->vaddr)
        return a->vaddr < b->vaddr ? -1 : 1;
    if (a->ends != b->ends)
        return a->ends ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static uint64_t bytes_of_names(const struct dwarf_lines *t)
{
    return sizeof(*t) + (t->dirs.cap + t->files.cap) * sizeof(struct entry);
}

static struct dwarf_lines *read_table(struct dwarf_file *f, const struct dwarf_unit *u)
{
    OX_FREE struct header *h = mem_alloc(sizeof(*h));
    struct dwarf_lines *t = mem_alloc(sizeof(*t));
    if (read_header(f, u->stmt_list, h, t))
        run(f, h, t);
    f->room->bytes += bytes_of_names(t);
    if (t->n)
        qsort(t->rows, t->n, sizeof(*t->rows), compare);
    return t;
}

struct dwarf_lines *dwarf_lines_of(struct dwarf_file *f, struct dwarf_unit *u)
{
    if (u->stmt_list == UINT64_MAX || (u->lines && !debug_cut_retry(&u->lines_cut, f->room)))
        return u->lines;
    dwarf_lines_free(u->lines, f->room);
    uint64_t refusals = f->room->refusals;
    u->lines = read_table(f, u);
    u->lines_cut.cut = f->room->refusals != refusals;
    return u->lines;
}

void dwarf_lines_free(struct dwarf_lines *t, struct debug_room *room)
{
    if (!t)
        return;
    room->bytes -= bytes_of_names(t) + t->cap * sizeof(*t->rows);
    free(t->rows);
    free(t->dirs.items);
    free(t->files.items);
    free(t);
}

bool dwarf_lines_find(const struct dwarf_lines *t, uint64_t vaddr, uint32_t *ret_file,
                      uint32_t *ret_line)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->rows[mid].vaddr <= vaddr)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low || t->rows[low - 1].ends)
        return false;
    *ret_file = t->rows[low - 1].file;
    *ret_line = t->rows[low - 1].line;
    return true;
}

static const char *text_of(struct dwarf_file *f, const struct dwarf_unit *u,
                           const struct dwarf_value *v)
{
    if (v->form == DW_FORM_string)
        return debug_data_string(&f->sections[DEBUG_LINE], v->u);
    return dwarf_value_string(f, u, v);
}

/* Each part counts only if those behind it are relative. */
static char *join(const char *base, const char *dir, const char *name)
{
    if (name[0] == '/' || ((!dir || !dir[0]) && (!base || !base[0])))
        return mem_strdup(name);
    if (!dir || !dir[0])
        return mem_printf("%s/%s", base, name);
    if (dir[0] == '/' || !base || !base[0])
        return mem_printf("%s/%s", dir, name);
    return mem_printf("%s/%s/%s", base, dir, name);
}

char *dwarf_lines_path(struct dwarf_file *f, const struct dwarf_unit *u,
                       const struct dwarf_lines *t, uint64_t file)
{
    if (file >= t->files.n)
        return NULL;
    const struct entry *e = &t->files.items[file];
    const char *name = text_of(f, u, &e->name);
    if (!name)
        return NULL;
    const char *dir = e->dir < t->dirs.n ? text_of(f, u, &t->dirs.items[e->dir].name) : NULL;
    char *path = join(dwarf_value_string(f, u, &u->comp_dir), dir, name);
    if (strlen(path) < PATH_MAX_BYTES)
        return path;
    free(path);
    return NULL;
}
