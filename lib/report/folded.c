/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/lookup.h"
#include "base/mem.h"
#include "report/stack.h"

/*
 * A second trie, over what frames are called, so that stacks which read the same become one line
 * and the lines come out sorted without ever being all in memory.
 */
struct fold_node {
    uint32_t parent, label;
    uint32_t child, sibling; /* 0: none; the root is nobody's child */
    uint64_t hits;
};

struct indices {
    uint32_t *items; /* owned */
    size_t n, cap;
};

/* A stack's own line, or the lines of all stacks above it. */
struct fold_item {
    uint32_t node;
    bool line;
};

/* Where a node of the profile was last put; processes may share it. 0: nowhere yet. */
struct place {
    uint32_t root, at;
};

struct fold {
    const struct profile *p;
    const struct report_options *opt;
    struct intern *labels;   /* owned */
    uint32_t *label_of;      /* owned; by line */
    struct fold_node *nodes; /* owned */
    size_t n_nodes, nodes_cap;
    struct lookup by_label; /* a child by its parent and label */
    struct map processes;   /* pid -> thread, as stack_processes() */
    struct map roots;       /* root_key() -> the fold node under which its stacks stand */
    struct place *places;   /* owned; by node of the profile */
    struct indices path;
};

static void push(struct indices *v, uint32_t item)
{
    v->items = mem_grow(v->items, &v->cap, v->n + 1, sizeof(*v->items));
    v->items[v->n++] = item;
}

/*
 * Readers split a line at its last blank, and flamegraph.pl takes a second number, with a point
 * too, for the count of a difference: no label may end in a blank and digits.
 */
static void protect_count(char *label)
{
    char *blank = strrchr(label, ' ');
    if (blank && strspn(blank + 1, "0123456789.") == strlen(blank + 1))
        *blank = '_';
}

/* Takes the text. */
static uint32_t put_label(struct fold *f, char *text)
{
    for (char *s = text; *s; s++)
        if (*s == ';')
            *s = ':';
    protect_count(text);
    uint32_t label = intern_put(f->labels, text);
    free(text);
    return label;
}

static uint32_t line_label(struct fold *f, const struct profile_frame *frame, uint32_t line)
{
    struct report_row row = report_row_of(f->p, f->opt, frame, line);
    OX_FREE char *function = report_function(f->p, row.function, NULL);
    bool placed = f->opt->lines || f->opt->addresses || row.kind == KIND_PYTHON;
    OX_FREE char *place = placed ? report_place(f->p, f->opt, &row) : mem_strdup("");
    return put_label(f, *place ? mem_printf("%s (%s)", function, place) : OX_TAKE(function));
}

static uint32_t child_of(struct fold *f, uint32_t parent, uint32_t label)
{
    uint32_t hash = lookup_hash(&f->by_label, parent, label), known;
    for (size_t pos = 0; (known = lookup_next(&f->by_label, hash, &pos)) != LOOKUP_NONE;)
        if (f->nodes[known].parent == parent && f->nodes[known].label == label)
            return known;
    uint32_t child = (uint32_t)f->n_nodes;
    f->nodes = mem_grow(f->nodes, &f->nodes_cap, f->n_nodes + 1, sizeof(*f->nodes));
    f->nodes[f->n_nodes++] =
        (struct fold_node){.parent = parent, .label = label, .sibling = f->nodes[parent].child};
    f->nodes[parent].child = child;
    lookup_put(&f->by_label, hash, child);
    return child;
}

static bool several_processes(const struct profile *p)
{
    pid_t first = 0;
    for (size_t i = 0; i < p->n_tallies; i++) {
        pid_t pid = p->tallies[i].hits ? p->threads[p->tallies[i].thread].pid : 0;
        if (first && pid && pid != first)
            return true;
        first = pid ? pid : first;
    }
    return false;
}

/* Its process, or where that is not known, the thread itself. */
static uint64_t root_key(const struct profile *p, uint32_t thread)
{
    pid_t pid = p->threads[thread].pid;
    return pid ? (uint64_t)pid : (uint64_t)1 << 32 | thread;
}

static void add_roots(struct fold *f)
{
    const struct profile *p = f->p;
    if (!several_processes(p))
        return;
    stack_processes(p, &f->processes);
    for (size_t i = 0; i < p->n_threads; i++) {
        uint64_t key = root_key(p, (uint32_t)i);
        pid_t pid = p->threads[i].pid;
        const uint64_t *leader = map_find(&f->processes, (uint64_t)pid, 0);
        if (map_find(&f->roots, key, 0))
            continue;
        OX_FREE char *name = report_escaped(p, p->threads[leader ? *leader : i].name, NULL);
        char *text = pid ? mem_printf("%s (pid %d)", name, pid) : mem_strdup(name);
        map_put(&f->roots, key, 0, child_of(f, 0, put_label(f, text)));
    }
}

/* The place of a frame below `at`: the functions inlined in it stand one below the other. */
static uint32_t frame_place(struct fold *f, uint32_t at, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->opt, frame);
    for (uint32_t line = shown.end; line-- > shown.first;)
        at = child_of(f, at, f->label_of[line]);
    return at;
}

/* Where the stack of a profile's node stands, below the process's own root. */
static uint32_t place_of(struct fold *f, uint32_t root, uint32_t node)
{
    f->path.n = 0;
    while (node && !(f->places[node].at && f->places[node].root == root)) {
        push(&f->path, node);
        node = f->p->nodes[node].parent;
    }
    uint32_t at = node ? f->places[node].at : root;
    while (f->path.n) {
        node = f->path.items[--f->path.n];
        at = frame_place(f, at, f->p->nodes[node].frame);
        f->places[node] = (struct place){.root = root, .at = at};
    }
    return at;
}

static void add_stacks(struct fold *f)
{
    const struct profile *p = f->p;
    for (size_t i = 0; i < p->n_tallies; i++) {
        const struct profile_tally *t = &p->tallies[i];
        if (!t->hits)
            continue;
        const uint64_t *root = map_find(&f->roots, root_key(p, t->thread), 0);
        uint32_t at = place_of(f, root ? (uint32_t)*root : 0, t->node);
        if (!t->node)
            at = frame_place(f, at, PROFILE_NO_FRAME);
        f->nodes[at].hits += t->hits;
    }
}

static void label_lines(struct fold *f)
{
    const struct profile *p = f->p;
    f->label_of = mem_alloc(p->n_lines * sizeof(*f->label_of));
    for (uint32_t i = 0; i < p->n_frames; i++) {
        struct shown_lines shown = report_lines(p, f->opt, i);
        for (uint32_t line = shown.first; line < shown.end; line++)
            f->label_of[line] = line_label(f, &p->frames[i], line);
    }
}

static void fold_init(struct fold *f, const struct profile *p, const struct report_options *opt)
{
    *f = (struct fold){.p = p, .opt = opt, .labels = intern_new(SIZE_MAX)};
    lookup_init(&f->by_label);
    f->nodes = mem_grow(NULL, &f->nodes_cap, 1, sizeof(*f->nodes));
    f->nodes[f->n_nodes++] = (struct fold_node){0};
    label_lines(f);
    f->places = mem_alloc(p->n_nodes * sizeof(*f->places));
    add_roots(f);
    add_stacks(f);
}

static void fold_release(struct fold *f)
{
    intern_free(f->labels);
    free(f->label_of);
    free(f->nodes);
    free(f->path.items);
    lookup_release(&f->by_label);
    free(f->places);
    map_release(&f->processes);
    map_release(&f->roots);
}

/* What follows the label in a line. */
static void item_end(const struct fold *f, const struct fold_item *item, char end[24])
{
    if (item->line)
        snprintf(end, 24, " %" PRIu64, f->nodes[item->node].hits);
    else
        snprintf(end, 24, ";");
}

/* Bytewise by label and end, as if they stood in one string. Descending: the stack is taken from
 * its top. */
static int compare_items(const void *va, const void *vb, void *fold)
{
    const struct fold *f = fold;
    const struct fold_item *a = va, *b = vb;
    const char *s = intern_get(f->labels, f->nodes[a->node].label);
    const char *t = intern_get(f->labels, f->nodes[b->node].label);
    size_t s_len = strlen(s), t_len = strlen(t), both = s_len < t_len ? s_len : t_len;
    int order = memcmp(s, t, both);
    if (order)
        return -order;
    char s_end[24], t_end[24];
    item_end(f, a, s_end);
    item_end(f, b, t_end);
    if (s_len == t_len)
        return -strcmp(s_end, t_end);
    /* The rest of the longer label is compared with the other's end; it can't equal that. */
    return s_len < t_len ? -strcmp(s_end, t + both) : -strcmp(s + both, t_end);
}

struct fold_items {
    struct fold_item *items; /* owned */
    size_t n, cap;
};

static void push_item(struct fold_items *v, uint32_t node, bool line)
{
    v->items = mem_grow(v->items, &v->cap, v->n + 1, sizeof(*v->items));
    v->items[v->n++] = (struct fold_item){.node = node, .line = line};
}

static void push_children(const struct fold *f, struct fold_items *v, uint32_t node)
{
    size_t first = v->n;
    for (uint32_t c = f->nodes[node].child; c; c = f->nodes[c].sibling) {
        if (f->nodes[c].hits)
            push_item(v, c, true);
        if (f->nodes[c].child)
            push_item(v, c, false);
    }
    if (v->n - first > 1)
        qsort_r(&v->items[first], v->n - first, sizeof(*v->items), compare_items, (void *)f);
}

static void write_line(struct fold *f, uint32_t leaf, FILE *out)
{
    f->path.n = 0;
    for (uint32_t node = leaf; node; node = f->nodes[node].parent)
        push(&f->path, f->nodes[node].label);
    while (f->path.n) {
        fputs(intern_get(f->labels, f->path.items[--f->path.n]), out);
        if (f->path.n)
            fputc(';', out);
    }
    fprintf(out, " %" PRIu64 "\n", f->nodes[leaf].hits);
}

int report_folded(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct fold f;
    struct fold_items todo = {0};
    fold_init(&f, p, opt);
    push_children(&f, &todo, 0);
    while (todo.n && !ferror(out)) {
        struct fold_item item = todo.items[--todo.n];
        if (item.line)
            write_line(&f, item.node, out);
        else
            push_children(&f, &todo, item.node);
    }
    int rc = report_finish(out);
    free(todo.items);
    fold_release(&f);
    return rc;
}
