/* SPDX-License-Identifier: MIT */
#include "symbols/symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SYMBOLS_MAX = 8 * 1024 * 1024, /* looked at in one table */
    CHUNK = 2048,                  /* symbols read at a time: 48 KiB */
    ALIASES_MAX = 1024,            /* looked at for one name */
    NESTED_MAX = 32,               /* starts looked at, back from an address */
    NAME_MAX_BYTES = 64 * 1024
};

enum rank { RANK_GLOBAL, RANK_WEAK, RANK_LOCAL };

struct entry {
    uint64_t vaddr;
    uint64_t bytes; /* reach of the symbol, also where the table gives no size */
    uint32_t name;  /* in the string table */
    uint16_t section;
    uint8_t rank;
    bool unsized;
};

struct symtab {
    struct module *m; /* borrowed */
    struct entry *items;
    size_t n, cap;
    bool full; /* there was one more */
    uint64_t names_off, names_bytes;
};

static enum rank rank_of(const Elf64_Sym *sym)
{
    switch (ELF64_ST_BIND(sym->st_info)) {
    case STB_GLOBAL:
    case STB_GNU_UNIQUE:
        return RANK_GLOBAL;
    case STB_WEAK:
        return RANK_WEAK;
    default:
        return RANK_LOCAL;
    }
}

/* Bytes from vaddr to the end of its section; 0 where it lies in none or not in code. */
static uint64_t code_left(const struct sections *s, unsigned section, uint64_t vaddr)
{
    if (section >= s->n)
        return 0;
    const Elf64_Shdr *h = &s->items[section];
    if (!(h->sh_flags & SHF_EXECINSTR) || vaddr < h->sh_addr || vaddr - h->sh_addr >= h->sh_size)
        return 0;
    return h->sh_size - (vaddr - h->sh_addr);
}

static bool is_function(const struct sections *s, const Elf64_Sym *sym)
{
    unsigned type = ELF64_ST_TYPE(sym->st_info);
    if (!sym->st_name || sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_COMMON)
        return false;
    if ((type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_size)
        return true;
    /* Assembly often gives its functions neither type nor size. */
    return (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
           code_left(s, sym->st_shndx, sym->st_value);
}

struct adding {
    struct symtab *t;
    const struct sections *s;
    struct heartbeat *heartbeat;
};

static bool add(void *arg, const Elf64_Sym *sym)
{
    const struct adding *to = arg;
    const struct sections *s = to->s;
    struct symtab *t = to->t;
    heartbeat_beat(to->heartbeat);
    if (!is_function(s, sym))
        return true;
    if (t->n == t->cap) {
        t->full = true;
        return false;
    }
    uint64_t left = code_left(s, sym->st_shndx, sym->st_value), bytes = sym->st_size;
    if (left && bytes > left)
        bytes = left;
    t->items[t->n++] = (struct entry){
        .vaddr = sym->st_value,
        .bytes = bytes,
        .name = sym->st_name,
        .section = sym->st_shndx,
        .rank = (uint8_t)rank_of(sym),
        .unsized = !bytes,
    };
    return true;
}

/* Sized ones first, the longest before the others: see drop_covered() and symtab_find(). */
static int compare(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    if (a->vaddr != b->vaddr)
        return a->vaddr < b->vaddr ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

static uint64_t end_of(const struct entry *e)
{
    uint64_t end;
    return __builtin_add_overflow(e->vaddr, e->bytes, &end) ? UINT64_MAX : end;
}

/* Labels inside a function that says how long it is do not cut it in two. */
static void drop_covered(struct symtab *t)
{
    uint64_t covered = 0;
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct entry *e = &t->items[i];
        if (e->unsized && e->vaddr < covered)
            continue;
        if (end_of(e) > covered)
            covered = end_of(e);
        t->items[kept++] = *e;
    }
    t->n = kept;
}

/* Symbols without size reach to the next start or to the end of their section. */
static void measure_unsized(struct symtab *t, const struct sections *s)
{
    uint64_t next = UINT64_MAX, current = UINT64_MAX;
    for (size_t i = t->n; i-- > 0;) {
        struct entry *e = &t->items[i];
        if (e->vaddr != current) {
            next = current;
            current = e->vaddr;
        }
        if (!e->unsized)
            continue;
        uint64_t left = code_left(s, e->section, e->vaddr);
        e->bytes = next - e->vaddr < left ? next - e->vaddr : left;
    }
}

int symtab_each(struct module *m, const Elf64_Shdr *table, uint64_t most, symtab_visit *visit,
                void *arg)
{
    uint64_t n = table->sh_size / sizeof(Elf64_Sym);
    OX_FREE Elf64_Sym *chunk = mem_alloc(CHUNK * sizeof(Elf64_Sym));
    if (table->sh_entsize != sizeof(Elf64_Sym))
        return -ENODATA;
    for (uint64_t done = 0; done < n && done < most;) {
        uint64_t left = (n < most ? n : most) - done;
        size_t take = left < CHUNK ? (size_t)left : CHUNK;
        if (module_read(m, chunk, take * sizeof(*chunk), table->sh_offset + done * sizeof(*chunk)) <
            0)
            return -ENODATA;
        for (size_t i = 0; i < take; i++)
            if (!visit(arg, &chunk[i]))
                return 0;
        done += take;
    }
    return 0;
}

static int read_entries(struct symtab *t, const struct sections *s, const Elf64_Shdr *table,
                        const struct symtab_room *room)
{
    struct adding to = {.t = t, .s = s, .heartbeat = room->heartbeat};
    uint64_t n = table->sh_size / sizeof(Elf64_Sym);
    uint8_t last;
    t->full = n > SYMBOLS_MAX;
    if (n > SYMBOLS_MAX)
        n = SYMBOLS_MAX;
    /* A size that the file does not have must not cost its memory. */
    if (!n || module_read(t->m, &last, 1, table->sh_offset + n * sizeof(Elf64_Sym) - 1) < 0)
        return -ENODATA;
    t->cap = n < room->left ? n : room->left;
    t->items = mem_alloc(t->cap * sizeof(*t->items));
    int rc = symtab_each(t->m, table, SYMBOLS_MAX, add, &to);
    return rc == 0 && t->n ? 0 : -ENODATA;
}

struct symtab *symtab_read(struct module *m, const struct sections *s, uint32_t type,
                           struct symtab_room *room)
{
    const Elf64_Shdr *table = sections_find(s, type, NULL);
    if (!table || table->sh_link >= s->n)
        return NULL;
    struct symtab *t = mem_alloc(sizeof(*t));
    t->m = m;
    t->names_off = s->items[table->sh_link].sh_offset;
    t->names_bytes = s->items[table->sh_link].sh_size;
    int rc = read_entries(t, s, table, room);
    room->cut += t->full;
    if (rc < 0) {
        symtab_free(t);
        return NULL;
    }
    qsort(t->items, t->n, sizeof(*t->items), compare);
    drop_covered(t);
    room->left -= t->n;
    measure_unsized(t, s);
    t->items = mem_resize(t->items, t->n * sizeof(*t->items));
    return t;
}

void symtab_free(struct symtab *t)
{
    if (!t)
        return;
    free(t->items);
    free(t);
}

/* How many entries start below vaddr. */
static size_t count_below(const struct symtab *t, uint64_t vaddr)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->items[mid].vaddr < vaddr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/*
 * The nearest start before vaddr whose function reaches it: functions written in assembly may
 * contain others (sized entry points in the middle), and end later than these.
 */
bool symtab_find(const struct symtab *t, uint64_t vaddr, struct symtab_hit *ret_hit)
{
    size_t end = vaddr == UINT64_MAX ? t->n : count_below(t, vaddr + 1);
    for (int tries = 0; end && tries < NESTED_MAX; tries++) {
        size_t first = count_below(t, t->items[end - 1].vaddr), n = 0;
        while (first + n < end && vaddr - t->items[first].vaddr < t->items[first + n].bytes &&
               n < ALIASES_MAX)
            n++;
        if (n) {
            *ret_hit = (struct symtab_hit){.first = (uint32_t)first, .n = (uint32_t)n};
            return true;
        }
        end = first;
    }
    return false;
}

static char *read_string(struct module *m, uint64_t table_off, uint64_t table_bytes, uint64_t at)
{
    if (at >= table_bytes)
        return NULL;
    uint64_t left = table_bytes - at;
    OX_FREE char *text = NULL;
    for (size_t bytes = 128;; bytes *= 8) {
        size_t take = bytes < NAME_MAX_BYTES ? bytes : NAME_MAX_BYTES;
        if (take > left)
            take = (size_t)left;
        text = mem_resize(text, take + 1);
        if (module_read(m, text, take, table_off + at) < 0)
            return NULL;
        text[take] = '\0';
        if (strlen(text) < take || take == left || take == NAME_MAX_BYTES)
            return OX_TAKE(text);
    }
}

struct candidate {
    char *name; /* owned */
    size_t index;
    size_t underscores, len;
    bool old_version;
};

/* "poll@@GLIBC_2.2.5" is what "poll" means today, "poll@GLIBC_2.0" what it once meant. Some debug
 * files have versions in .symtab; in PE files' names ("?f@@YAXXZ") @ is no version. */
static void cut_version(struct candidate *c)
{
    char *at = strchr(c->name, '@');
    if (!at || at == c->name || c->name[0] == '?')
        return;
    c->old_version = at[1] != '@';
    *at = '\0';
}

static bool better(const struct symtab *t, const struct candidate *a, const struct candidate *b)
{
    enum rank rank_a = t->items[a->index].rank, rank_b = t->items[b->index].rank;
    if (a->old_version != b->old_version)
        return b->old_version;
    if (a->underscores != b->underscores)
        return a->underscores < b->underscores;
    if (rank_a != rank_b)
        return rank_a < rank_b;
    if (a->len != b->len)
        return a->len < b->len;
    return strcmp(a->name, b->name) < 0;
}

/* Local labels that an assembler leaves behind name no function. */
static bool is_name(const char *name)
{
    return name[0] && name[0] != '$' && strncmp(name, ".L", 2) != 0;
}

int symtab_name(const struct symtab *t, const struct symtab_hit *hit,
                struct symtab_symbol *ret_symbol)
{
    struct candidate best = {0};
    for (size_t i = hit->first; i < hit->first + (size_t)hit->n && i < t->n; i++) {
        struct candidate c = {.index = i};
        c.name = read_string(t->m, t->names_off, t->names_bytes, t->items[i].name);
        if (!c.name)
            continue;
        cut_version(&c);
        c.len = strlen(c.name);
        c.underscores = strspn(c.name, "_");
        if (is_name(c.name) && (!best.name || better(t, &c, &best))) {
            struct candidate swap = best;
            best = c;
            c = swap;
        }
        free(c.name);
    }
    if (!best.name)
        return -ENODATA;
    const struct entry *e = &t->items[best.index];
    *ret_symbol = (struct symtab_symbol){
        .name = best.name, .vaddr = e->vaddr, .bytes = e->unsized ? 0 : e->bytes};
    return 0;
}

bool symtab_has_name(const struct symtab *t, const struct symtab_hit *hit, const char *name)
{
    for (size_t i = hit->first; i < hit->first + (size_t)hit->n && i < t->n; i++) {
        struct candidate c = {
            .name = read_string(t->m, t->names_off, t->names_bytes, t->items[i].name)};
        if (!c.name)
            continue;
        cut_version(&c);
        bool same = !strcmp(c.name, name);
        free(c.name);
        if (same)
            return true;
    }
    return false;
}

char *symtab_name_of_index(struct module *m, const struct sections *s, const Elf64_Shdr *table,
                           uint64_t index)
{
    Elf64_Sym sym;
    if (table->sh_link >= s->n || index >= table->sh_size / sizeof(sym) ||
        module_read(m, &sym, sizeof(sym), table->sh_offset + index * sizeof(sym)) < 0)
        return NULL;
    const Elf64_Shdr *names = &s->items[table->sh_link];
    struct candidate c = {.name = read_string(m, names->sh_offset, names->sh_size, sym.st_name)};
    if (c.name)
        cut_version(&c);
    return c.name;
}
