/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "capture/snapfile.h"
#include "cmd/dump.h"
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
    struct symbols *symbols;
    struct stack stack;
};

static void show_frame(struct replay *r, const struct mappings *maps, const struct frame *f)
{
    bool exact = f->how == FRAME_LEAF || f->how == FRAME_SIGNAL;
    uint64_t addr = exact ? f->addr : f->addr - 1, vaddr = addr;
    const struct mapping *map = mappings_find(maps, addr);
    const struct module *m = map ? map->module : NULL;
    struct symbol symbol;
    char text[32], buf[256] = "";
    if (m && mapping_vaddr(map, addr, &vaddr) && r->named[m->id] &&
        symbols_find(r->symbols, r->named[m->id], vaddr, &symbol) == 0) {
        dump_frame(symbol.name, module_short_name(m, buf, sizeof(buf)));
        return;
    }
    snprintf(text, sizeof(text), "0x%" PRIx64, vaddr);
    dump_frame(text, m ? module_short_name(m, buf, sizeof(buf)) : "");
}

static void show_thread(struct replay *r, const struct snapfile_item *item)
{
    const struct mappings *maps = snapfile_maps(&r->file, item->snap.pid);
    if (!maps)
        return;
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &item->snap, maps, &r->stack);
    puts("#");
    dump_thread(item->snap.tid, item->name ? item->name : "", item->snap.state == STATE_WAIT,
                item->snap.syscall);
    for (size_t i = 0; i < r->stack.n; i++)
        show_frame(r, maps, &r->stack.frames[i]);
    unwinder_free(u);
}

static void show(struct replay *r, const struct options *opt)
{
    struct symbols_options names = {.demangle = opt->session.demangle};
    size_t n = r->file.modules.n;
    r->named = mem_alloc(n * sizeof(struct module *));
    r->symbols = symbols_new(&names);
    for (size_t i = 0; i < n; i++)
        r->named[i] = same_module_here(&r->here, r->file.modules.items[i]);
    printf("# oxprof %s: %zu saved snapshot%s\n", OX_VERSION, r->file.n_items,
           r->file.n_items == 1 ? "" : "s");
    for (size_t i = 0; i < r->file.n_items; i++)
        show_thread(r, &r->file.items[i]);
    symbols_free(r->symbols);
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
