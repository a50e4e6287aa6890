/* SPDX-License-Identifier: MIT */
#include "report/firefox.h"

#include "base/map.h"
#include "base/mem.h"

static uint32_t entries_of(struct firefox *f, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->opt, frame);
    if (f->entry_of[frame])
        return f->entry_of[frame] - 1;
    f->entry_of[frame] = (uint32_t)f->n_frames + 1;
    for (uint32_t line = shown.first; line < shown.end; line++) {
        f->frames = mem_grow(f->frames, &f->frames_cap, f->n_frames + 1, sizeof(*f->frames));
        f->frames[f->n_frames++] =
            (struct frame_entry){.frame = frame, .line = line, .depth = shown.end - 1 - line};
    }
    uint32_t module = f->p->frames[frame].module;
    if (module && !f->library_of[module]) {
        f->libraries[f->n_libraries++] = module;
        f->library_of[module] = (uint32_t)f->n_libraries;
    }
    return f->entry_of[frame] - 1;
}

/* Below a stack (its index + 1) one more frame; the outermost of its functions first. */
static uint32_t add_stack(struct firefox *f, uint32_t prefix, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->opt, frame);
    uint32_t first = entries_of(f, frame);
    for (uint32_t i = shown.end - shown.first; i--;) {
        f->stacks = mem_grow(f->stacks, &f->stacks_cap, f->n_stacks + 1, sizeof(*f->stacks));
        f->stacks[f->n_stacks++] = (struct stack_entry){.frame = first + i, .prefix = prefix};
        prefix = (uint32_t)f->n_stacks;
    }
    return prefix;
}

static void add_stacks(struct firefox *f)
{
    const struct profile *p = f->p;
    for (size_t i = 0; i < p->n_tallies; i++) {
        uint32_t n = p->tallies[i].node;
        bool shown = p->tallies[i].hits > 0;
        if (shown && !n)
            f->stack_of[0] = 1;
        for (; shown && n && !f->stack_of[n]; n = p->nodes[n].parent)
            f->stack_of[n] = 1;
    }
    if (f->stack_of[0])
        f->stack_of[0] = add_stack(f, 0, PROFILE_NO_FRAME);
    for (uint32_t n = 1; n < p->n_nodes; n++) { /* parents come first */
        uint32_t parent = p->nodes[n].parent;
        if (f->stack_of[n])
            f->stack_of[n] = add_stack(f, parent ? f->stack_of[parent] : 0, p->nodes[n].frame);
    }
}

static void add_sources(struct firefox *f)
{
    struct map known = {0};
    for (size_t i = 0; i < f->tab.n_functions; i++) {
        uint32_t file = f->tab.functions[i].row.file;
        const uint64_t *at = file ? map_find(&known, file, 0) : NULL;
        if (!file)
            continue;
        if (!at) {
            f->sources[f->n_sources++] = file;
            map_put(&known, file, 0, f->n_sources);
        }
        f->source_of[i] = at ? (uint32_t)*at : (uint32_t)f->n_sources;
    }
    map_release(&known);
}

static uint32_t put_text(struct firefox *f, const char *text)
{
    return intern_put(f->strings, text);
}

static uint32_t put_string(struct firefox *f, uint32_t string)
{
    return put_text(f, intern_get(f->p->strings, string));
}

/* --- columns: one value for each row of a table */

void firefox_put_column(struct firefox *f, const char *key, size_t n, put_cell *put)
{
    json_key(&f->json, key);
    json_open(&f->json, '[');
    for (size_t i = 0; i < n; i++)
        put(f, i);
    json_close(&f->json, ']');
}

void firefox_put_table(struct firefox *f, const char *key, size_t n, const struct column *columns,
                       size_t n_columns)
{
    json_key(&f->json, key);
    json_open(&f->json, '{');
    json_number_at(&f->json, "length", n);
    for (size_t i = 0; i < n_columns; i++)
        firefox_put_column(f, columns[i].key, n, columns[i].put);
    json_close(&f->json, '}');
    fputc('\n', f->json.out);
}

void firefox_put_null(struct firefox *f, size_t row)
{
    (void)row;
    json_word(&f->json, "null");
}

static void put_false(struct firefox *f, size_t row)
{
    (void)row;
    json_word(&f->json, "false");
}

void firefox_put_zero(struct firefox *f, size_t row)
{
    (void)row;
    json_number(&f->json, 0);
}

static void put_one(struct firefox *f, size_t row)
{
    (void)row;
    json_number(&f->json, 1);
}

static void put_index(struct firefox *f, size_t row)
{
    json_number(&f->json, row);
}

/* 0: none */
void firefox_put_or_null(struct firefox *f, uint64_t value_and_1)
{
    if (value_and_1)
        json_number(&f->json, value_and_1 - 1);
    else
        json_word(&f->json, "null");
}

static void stack_frame(struct firefox *f, size_t row)
{
    json_number(&f->json, f->stacks[row].frame);
}

static void stack_prefix_offset(struct firefox *f, size_t row)
{
    uint32_t prefix = f->stacks[row].prefix;
    json_number(&f->json, prefix ? row - (prefix - 1) : 0);
}

static void frame_address(struct firefox *f, size_t row)
{
    const struct profile_frame *frame = &f->p->frames[f->frames[row].frame];
    bool known = frame->module && frame->address <= INT64_MAX;
    json_signed(&f->json, known ? (int64_t)frame->address : -1);
}

static void frame_depth(struct firefox *f, size_t row)
{
    json_number(&f->json, f->frames[row].depth);
}

static void frame_category(struct firefox *f, size_t row)
{
    json_number(&f->json, f->p->frames[f->frames[row].frame].kind);
}

static void frame_function(struct firefox *f, size_t row)
{
    json_number(&f->json, f->tab.function_of[f->frames[row].line]);
}

static void frame_line(struct firefox *f, size_t row)
{
    uint64_t line = f->p->lines[f->frames[row].line].line;
    firefox_put_or_null(f, line ? line + 1 : 0);
}

static void function_name(struct firefox *f, size_t row)
{
    const struct report_row *function = &f->tab.functions[row].row;
    const char *name = intern_get(f->p->strings, function->function);
    json_number(&f->json, put_text(f, *name ? name : "[unknown]"));
}

static void function_resource(struct firefox *f, size_t row)
{
    uint32_t library = f->library_of[f->module_of[row]];
    json_signed(&f->json, (int64_t)library - 1);
}

static void function_source(struct firefox *f, size_t row)
{
    firefox_put_or_null(f, f->source_of[row]);
}

static void function_line(struct firefox *f, size_t row)
{
    uint64_t line = f->tab.functions[row].row.line;
    firefox_put_or_null(f, line ? line + 1 : 0);
}

static void library_name(struct firefox *f, size_t row)
{
    json_number(&f->json, put_string(f, f->p->modules[f->libraries[row]].name));
}

static void source_name(struct firefox *f, size_t row)
{
    json_number(&f->json, put_string(f, f->sources[row]));
}

static void string_text(struct firefox *f, size_t row)
{
    json_text(&f->json, intern_get(f->strings, (uint32_t)row));
}

void firefox_put_shared(struct firefox *f)
{
    json_key(&f->json, "shared");
    json_open(&f->json, '{');
    OX_TABLE(f, "stackTable", f->n_stacks, {"frame", stack_frame},
             {"prefixOffset", stack_prefix_offset});
    OX_TABLE(f, "frameTable", f->n_frames, {"address", frame_address}, {"inlineDepth", frame_depth},
             {"category", frame_category}, {"subcategory", firefox_put_zero},
             {"func", frame_function}, {"nativeSymbol", firefox_put_null},
             {"innerWindowID", firefox_put_zero}, {"line", frame_line},
             {"column", firefox_put_null}, {"originalLocation", firefox_put_null});
    OX_TABLE(f, "funcTable", f->tab.n_functions, {"name", function_name}, {"isJS", put_false},
             {"relevantForJS", put_false}, {"resource", function_resource},
             {"source", function_source}, {"lineNumber", function_line},
             {"columnNumber", firefox_put_null}, {"originalLocation", firefox_put_null});
    OX_TABLE(f, "resourceTable", f->n_libraries, {"lib", put_index}, {"name", library_name},
             {"host", firefox_put_null}, {"type", put_one});
    OX_TABLE(f, "nativeSymbols", 0, {"libIndex", firefox_put_zero}, {"address", firefox_put_zero},
             {"name", firefox_put_zero}, {"functionSize", firefox_put_null});
    OX_TABLE(f, "sources", f->n_sources, {"id", firefox_put_null}, {"filename", source_name},
             {"startLine", put_one}, {"startColumn", put_one}, {"sourceMapURL", firefox_put_null},
             {"content", firefox_put_null});
    OX_TABLE(f, "sourceLocationTable", 0, {"source", firefox_put_zero}, {"line", firefox_put_zero},
             {"column", firefox_put_zero});
    firefox_put_column(f, "stringArray", intern_count(f->strings), string_text);
    json_close(&f->json, '}');
}

void firefox_add_rows(struct firefox *f)
{
    add_stacks(f);
    add_sources(f);
}
