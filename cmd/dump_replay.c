/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "capture/snapfile.h"
#include "cmd/cmd.h"
#include "cmd/dump.h"
#include "session/naming.h"
#include "symbols/namer.h"
#include "unwind/unwind.h"

/* A file of this machine serves for names if it is the very one: the same build-id. */
static struct module *same_module_here(struct modules *here, const struct module *m)
{
    struct stat st;
    int fd = m->build_id_bytes ? open(m->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return NULL;
    }
    struct module *local = modules_add(here, m->dev, m->ino, m->path);
    local->fd = fd;
    local->file_bytes = (uint64_t)st.st_size;
    bool same = module_read_headers(local) == 0 && local->build_id_bytes == m->build_id_bytes &&
                !memcmp(local->build_id, m->build_id, m->build_id_bytes);
    return same ? local : NULL;
}

struct replay {
    struct snapfile file;
    struct modules here;   /* this machine's copies of the file's modules */
    struct module **named; /* for each module of the file: where names come from, may be NULL */
    struct namer *namer;
    struct profile *profile; /* a frame's space is its module's id, or no_module */
    struct stack stack;
    uint32_t frames[UNWIND_FRAMES_MAX + SNAPFILE_SHOWN_MAX]; /* of the stack, root first */
};

static const uint64_t no_module = UINT32_MAX; /* no module's id */

static void name_by_address(struct profile *p, uint32_t frame, const struct module *m)
{
    char text[32];
    snprintf(text, sizeof(text), "0x%" PRIx64, p->frames[frame].address);
    struct profile_line line = {.function = intern_put(p->strings, text)};
    profile_name(p, frame, m ? KIND_NATIVE : KIND_UNKNOWN, m ? naming_module(p, m) : 0, &line, 1);
}

static uint32_t frame_of(struct replay *r, const struct mappings *maps, const struct frame *f)
{
    bool exact = f->how == FRAME_LEAF || f->how == FRAME_SIGNAL;
    uint64_t addr = exact ? f->addr : f->addr - 1, vaddr = addr;
    const struct mapping *map = mappings_find(maps, addr);
    const struct module *m = map ? map->module : NULL;
    bool placed = m && mapping_vaddr(map, addr, &vaddr);
    size_t known = r->profile->n_frames;
    uint32_t frame = profile_frame(r->profile, m ? m->id : no_module, vaddr);
    if (r->profile->n_frames == known)
        return frame;
    name_by_address(r->profile, frame, m);
    if (placed && r->named[m->id])
        namer_ask(r->namer, r->named[m->id], vaddr, frame);
    return frame;
}

/* A frame that was read from the interpreter when the snapshot was taken. */
static uint32_t interpreted_frame(struct replay *r, const struct snapfile_shown *f)
{
    struct profile *p = r->profile;
    struct profile_line line = {.function = intern_put(p->strings, f->function),
                                .file = f->file ? intern_put(p->strings, f->file) : 0,
                                .line = f->line,
                                .start_line = f->first_line};
    uint64_t space = no_module + 1 + line.function;
    uint64_t place = (uint64_t)line.file << 32 | f->line;
    size_t known = p->n_frames;
    uint32_t frame = profile_frame(p, space, place);
    if (p->n_frames != known)
        profile_name(p, frame, KIND_PYTHON, 0, &line, 1);
    return frame;
}

static size_t native_frames(struct replay *r, const struct mappings *maps)
{
    size_t n = r->stack.n;
    for (size_t i = 0; i < n; i++)
        r->frames[n - 1 - i] = frame_of(r, maps, &r->stack.frames[i]);
    return n;
}

static size_t shown_frames(struct replay *r, const struct mappings *maps,
                           const struct snapfile_item *item)
{
    size_t n = 0;
    for (size_t i = item->n_shown; i-- > 0;) {
        const struct snapfile_shown *f = &item->shown[i];
        if (f->native == SNAPFILE_NOT_NATIVE)
            r->frames[n++] = interpreted_frame(r, f);
        else if (f->native < r->stack.n)
            r->frames[n++] = frame_of(r, maps, &r->stack.frames[f->native]);
    }
    return n;
}

static void show_stack(struct replay *r, const struct mappings *maps,
                       const struct snapfile_item *item, const struct report_options *opt)
{
    struct namer_answer a;
    size_t n = item->shown ? shown_frames(r, maps, item) : native_frames(r, maps);
    while (namer_next(r->namer, &a, NULL, NULL)) {
        uint32_t frame = (uint32_t)a.tag;
        naming_apply(r->profile, frame, r->named[r->profile->frames[frame].space], &a);
    }
    dump_stack(r->profile, profile_stack(r->profile, r->frames, n, 0, PROFILE_CPU), opt);
}

static void show_thread(struct replay *r, const struct snapfile_item *item,
                        const struct report_options *opt)
{
    const struct mappings *maps = snapfile_maps(&r->file, item->snap.pid);
    if (!maps)
        return;
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &item->snap, maps, &r->stack);
    while (r->stack.end == STACK_UNMAPPED && r->stack.miss_addr) /* maps are all that there is */
        unwinder_walk_on(u, &item->snap, maps, &r->stack);
    puts("#");
    dump_thread(item->snap.tid, item->name ? item->name : "", item->snap.state == STATE_WAIT,
                item->snap.syscall);
    if (item->wait)
        dump_wait(item->wait);
    show_stack(r, maps, item, opt);
    unwinder_free(u);
}

static void show_troubles(const struct namer *n)
{
    char text[600];
    for (size_t i = 0; namer_trouble(n, i, text, sizeof(text)); i++)
        say("%s", text);
}

static void show(struct replay *r, const struct options *opt)
{
    struct namer_options names = {
        .symbols = {.demangle = opt->session.demangle, .debuginfod = opt->session.debuginfod}};
    size_t n = r->file.modules.n;
    r->named = mem_alloc(n * sizeof(struct module *));
    r->namer = namer_new(&names, &r->here);
    r->profile = profile_new(NULL);
    profile_thread(r->profile, 0, 0, "");
    for (size_t i = 0; i < n; i++)
        r->named[i] = same_module_here(&r->here, r->file.modules.items[i]);
    printf("# oxprof %s: %zu saved snapshot%s\n", OX_VERSION, r->file.n_items,
           r->file.n_items == 1 ? "" : "s");
    for (size_t i = 0; i < r->file.n_items; i++)
        show_thread(r, &r->file.items[i], &opt->report);
    show_troubles(r->namer);
    profile_free(r->profile);
    namer_free(r->namer);
    modules_release(&r->here);
    mem_cleanup_free(&r->named);
}

int dump_replay(const struct options *opt)
{
    struct error err;
    FILE *from = fopen(opt->replay, "re");
    if (!from) {
        say("%s can't be read: %s", opt->replay, strerror(errno));
        return EXIT_FAILED;
    }
    struct replay *r = mem_alloc(sizeof(*r));
    int rc = snapfile_read(from, &r->file, &err);
    fclose(from);
    if (rc < 0) {
        say("%s: %s", opt->replay, err.text);
        mem_cleanup_free(&r);
        return EXIT_FAILED;
    }
    show(r, opt);
    snapfile_release(&r->file);
    mem_cleanup_free(&r);
    if (fflush(stdout) == 0)
        return EXIT_DONE;
    say("standard output can't be written: %s", strerror(errno));
    return EXIT_FAILED;
}
