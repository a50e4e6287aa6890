/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "report/pprof_input.h"

/* "[python]", "[jit] /srv/a.jar", "/usr/bin/app", and perf's "[kernel.kallsyms]". Steps over the
 * kind. */
static enum frame_kind kind_of_file(const char **file)
{
    for (unsigned kind = 0; kind < KIND_N; kind++) {
        const char *name = frame_kind_name((enum frame_kind)kind);
        size_t len = strlen(name);
        if ((*file)[0] != '[' || strncmp(*file + 1, name, len) || (*file)[len + 1] != ']')
            continue;
        *file += len + 2 + ((*file)[len + 2] == ' ');
        return (enum frame_kind)kind;
    }
    return strncmp(*file, "[kernel.", 8) ? KIND_NATIVE : KIND_KERNEL;
}

void input_name_mappings(struct input *in)
{
    for (size_t i = 0; i < in->n_mappings; i++) {
        struct in_mapping *m = &in->mappings[i];
        const char *path = input_text(in, m->file);
        m->kind = kind_of_file(&path);
        if (!*path)
            continue;
        size_t len;
        const char *base = path_name(path, &len);
        OX_FREE char *name = mem_strndup(base, len);
        m->module = profile_module(in->p, path, name, input_text(in, m->build_id));
    }
}

static uint32_t clamp(uint64_t line)
{
    return line <= INT32_MAX ? (uint32_t)line : 0;
}

static struct profile_line line_of(struct input *in, const struct in_line *from)
{
    const struct in_function *f = input_function(in, from->function);
    struct profile_line l = {.line = clamp(from->line)};
    if (!f)
        return l;
    l.function = input_string(in, f->name);
    l.linkage_name = f->linkage_name == f->name ? 0 : input_string(in, f->linkage_name);
    l.file = input_string(in, f->file);
    l.start_line = clamp(f->start_line);
    return l;
}

static size_t name_lines(struct input *in, const struct in_location *l, uint64_t address)
{
    size_t n = l->n_lines ? l->n_lines : 1;
    in->named = mem_grow(in->named, &in->named_cap, n, sizeof(*in->named));
    for (size_t i = 0; i < l->n_lines; i++)
        in->named[i] = line_of(in, &in->lines[l->first_line + i]);
    if (!l->n_lines) {
        OX_FREE char *text = mem_printf("0x%" PRIx64, address);
        in->named[0] = (struct profile_line){.function = intern_put(in->p->strings, text)};
    }
    return n;
}

static enum frame_kind kind_of(const struct input *in, const struct in_mapping *m)
{
    const char *file = intern_get(in->p->strings, in->named[0].file);
    size_t len = strlen(file);
    if (m && (m->module || m->kind != KIND_NATIVE))
        return m->kind;
    if (len > 3 && !strcmp(file + len - 3, ".py"))
        return KIND_PYTHON;
    return in->named[0].file ? KIND_NATIVE : KIND_UNKNOWN;
}

static bool same_names(const struct input *in, const struct profile_frame *f, size_t n)
{
    return f->n_lines == n &&
           !memcmp(&in->p->lines[f->first_line], in->named, n * sizeof(*in->named));
}

/* A frame's key is what it is called: the files' numbers mean nothing outside of them. */
static uint32_t put_frame(struct input *in, uint64_t address, enum frame_kind kind, uint32_t module,
                          size_t n)
{
    uint64_t space = map_hash(in->r->seed, module, kind);
    for (size_t i = 0; i < n; i++) {
        const struct profile_line *l = &in->named[i];
        space = map_hash(space, (uint64_t)l->function << 32 | l->linkage_name,
                         (uint64_t)l->file << 32 | l->line);
        space = map_hash(space, l->start_line, i);
    }
    for (;; space++) {
        uint32_t frame = profile_frame(in->p, space, address);
        const struct profile_frame *f = &in->p->frames[frame];
        if (frame == PROFILE_NO_FRAME)
            return frame;
        if (!f->first_line) { /* new; or its lines did not fit */
            profile_name(in->p, frame, kind, module, in->named, n);
            return frame;
        }
        if (!f->wait && f->kind == kind && f->module == module && same_names(in, f, n))
            return frame;
    }
}

uint32_t input_frame(struct input *in, struct in_location *l)
{
    if (l->known)
        return l->frame;
    const struct in_mapping *m = input_mapping(in, l->mapping);
    uint64_t address = l->address;
    if (m && address >= m->start)
        address = address - m->start + m->offset;
    size_t n = name_lines(in, l, address);
    l->frame = put_frame(in, address, kind_of(in, m), m ? m->module : 0, n);
    l->known = true;
    return l->frame;
}

uint32_t input_waiting_frame(struct input *in, uint32_t frame, uint32_t wait)
{
    struct profile *p = in->p;
    const struct profile_frame place = p->frames[frame];
    if (frame == PROFILE_NO_FRAME || !place.first_line)
        return frame;
    in->named = mem_grow(in->named, &in->named_cap, place.n_lines, sizeof(*in->named));
    memcpy(in->named, &p->lines[place.first_line], place.n_lines * sizeof(*in->named));
    for (uint64_t space = map_hash(in->r->seed, place.space, wait);; space++) {
        frame = profile_frame(p, space, place.address);
        const struct profile_frame *f = &p->frames[frame];
        if (frame == PROFILE_NO_FRAME)
            return frame;
        if (!f->first_line) { /* new; or its lines did not fit */
            profile_name(p, frame, place.kind, place.module, in->named, place.n_lines);
            p->frames[frame].wait = wait;
            return frame;
        }
        if (f->wait == wait && f->kind == place.kind && f->module == place.module &&
            same_names(in, f, place.n_lines))
            return frame;
    }
}
