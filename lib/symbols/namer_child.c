/* SPDX-License-Identifier: MIT */
#include "symbols/namer_child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "symbols/kallsyms.h"
#include "symbols/namer_wire.h"

enum { OUT_BYTES = 16 * 1024, OUT_NS = 10 * 1000 * 1000 }; /* how long answers may be kept */

struct child {
    const struct namer_job *job;
    struct symbols *with[NAMER_NONE]; /* for each enum namer_level; made when first needed */
    struct kallsyms *kernel;          /* made when first needed */
    struct map numbers; /* (string, 0) -> its number; strings of a struct symbols stay */
    uint32_t n_strings;
    uint8_t *out; /* what goes out next */
    size_t out_bytes, out_cap;
    uint64_t sent_ns;
    uint8_t in[sizeof(struct namer_request) + NAMER_TEXT_MAX_BYTES];
    size_t in_done, in_bytes;
    int fd;
    struct namer_page *page;
};

/* --- becoming one */

/* The sampler's signals are not for us, least of all those of its terminal; our own faults are. */
static void set_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        sigaction(faults[i], &by_default, NULL);
        sigdelset(&set, faults[i]);
    }
    sigaction(SIGCHLD, &by_default, NULL);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

/* The sampler goes from CPU to CPU, ahead of others, or behind them all, just as it samples. */
static void set_scheduling(const struct namer_job *job)
{
    sched_setaffinity(0, sizeof(job->cpus), &job->cpus);
    if (job->policy != SCHED_OTHER)
        return;
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
    setpriority(PRIO_PROCESS, 0, job->nice);
}

/* The kernel counts what is mapped, not what is used (may_expand_vm() in mm/mmap.c): much of the
 * sampler's is reserved only. */
static void limit_memory(void)
{
    char line[256] = "";
    const char *at = line;
    struct rlimit data, core = {0};
    setrlimit(RLIMIT_CORE, &core);
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || !fgets(line, sizeof(line), f))
        _exit(1);
    fclose(f);
    /* "size resident shared text lib data dt" (proc(5)), in pages */
    for (int field = 0; field < 5 && at; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        _exit(1);
    uint64_t pages = strtoull(at, NULL, 10);
    data.rlim_max = pages * (uint64_t)sysconf(_SC_PAGESIZE) + ((rlim_t)NAMER_DATA_MAX_MIB << 20);
    data.rlim_cur = data.rlim_max;
    if (setrlimit(RLIMIT_DATA, &data) < 0)
        _exit(1);
}

static int by_number(const void *a, const void *b)
{
    int x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

struct fds {
    int *items;
    size_t n, cap;
};

static void keep(struct fds *fds, int fd)
{
    if (fd <= STDERR_FILENO)
        return;
    fds->items = mem_grow(fds->items, &fds->cap, fds->n + 1, sizeof(*fds->items));
    fds->items[fds->n++] = fd;
}

/* A pipe whose other end we held would never end for its reader; and the target's memory and
 * threads are not ours to look at. */
static void close_others(const struct namer_job *job, int fd)
{
    struct fds kept = {0};
    unsigned next = STDERR_FILENO + 1;
    int more = -1;
    keep(&kept, fd);
    for (size_t i = 0; i < job->modules->n; i++)
        keep(&kept, job->modules->items[i]->fd);
    for (size_t i = 0; job->opt.kept_fd && job->opt.kept_fd(job->opt.kept_arg, i, &more); i++)
        keep(&kept, more);
    if (kept.n)
        qsort(kept.items, kept.n, sizeof(*kept.items), by_number);
    for (size_t i = 0; i < kept.n; i++) {
        unsigned here = (unsigned)kept.items[i];
        if (here > next && close_range(next, here - 1, 0) < 0)
            _exit(1);
        next = here + 1;
    }
    if (close_range(next, ~0U, 0) < 0)
        _exit(1);
    free(kept.items);
}

static void set_files(const struct namer_job *job, int fd, int err_fd)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
        dup2(err_fd, STDERR_FILENO) < 0)
        _exit(1);
    close_others(job, fd);
}

static void become(const struct namer_job *job, int fd, int err_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != job->parent)
        _exit(1);
    prctl(PR_SET_NAME, "oxprof-names");
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setpgid(0, 0); /* not setsid(): see become_guardian() in capture/guardian.c */
    set_signals();
    set_scheduling(job);
    mallopt(M_ARENA_MAX, 1);
    set_files(job, fd, err_fd);
    limit_memory();
}

/* --- answering */

static void put(struct child *c, const void *data, size_t bytes)
{
    c->out = mem_grow(c->out, &c->out_cap, c->out_bytes + bytes, 1);
    if (bytes)
        memcpy(c->out + c->out_bytes, data, bytes);
    c->out_bytes += bytes;
}

static void put_frame(struct child *c, enum namer_frame frame, const void *data, size_t bytes)
{
    struct namer_head head = {.frame = frame, .bytes = (uint32_t)bytes};
    put(c, &head, sizeof(head));
    put(c, data, bytes);
}

static uint32_t new_string(struct child *c, const char *text)
{
    size_t bytes = strlen(text);
    put_frame(c, NAMER_STRING, text,
              bytes < NAMER_STRING_MAX_BYTES ? bytes : NAMER_STRING_MAX_BYTES);
    return ++c->n_strings;
}

static uint32_t number_of(struct child *c, const char *text)
{
    if (!text)
        return 0;
    const uint64_t *known = map_find(&c->numbers, (uintptr_t)text, 0);
    if (known)
        return (uint32_t)*known;
    uint32_t number = new_string(c, text);
    map_put(&c->numbers, (uintptr_t)text, 0, number);
    return number;
}

static void send_out(struct child *c)
{
    for (size_t done = 0; done < c->out_bytes;) {
        ssize_t n = send(c->fd, c->out + done, c->out_bytes - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            _exit(1);
        done += n > 0 ? (size_t)n : 0;
    }
    c->out_bytes = 0;
    c->sent_ns = clock_now_ns();
}

static struct symbols *symbols_of(struct child *c, enum namer_level level)
{
    struct symbols_options opt = c->job->opt.symbols;
    opt.heartbeat = &c->page->heartbeat;
    opt.tables_only = level != NAMER_ALL;
    if (level == NAMER_OWN) {
        opt.debug_dir = "/dev/null"; /* no debug file lies below it */
        opt.debuginfod = false;
        opt.open_in_target = NULL;
    }
    if (!c->with[level])
        c->with[level] = symbols_new(&opt);
    return c->with[level];
}

/* As many as result->rc says. */
static void put_lines(struct child *c, struct symbols *s, const struct symbol_line *lines,
                      struct namer_result *result)
{
    struct namer_line out[SYMBOL_LINES_MAX];
    result->n_lines = result->rc > 0 ? (uint32_t)result->rc : 0;
    for (uint32_t i = 0; i < result->n_lines; i++)
        out[i] = (struct namer_line){.name = number_of(c, lines[i].name),
                                     .linkage_name = number_of(c, lines[i].linkage_name),
                                     .file = number_of(c, lines[i].file),
                                     .line = lines[i].line,
                                     .start_line = lines[i].start_line};
    result->tables_cut = symbols_tables_cut(s);
    result->lines_cut = symbols_lines_cut(s);
    result->names_folded = symbols_names_folded(s);
    size_t bytes = result->n_lines * sizeof(*out);
    struct namer_head head = {.frame = NAMER_ANSWER, .bytes = (uint32_t)(sizeof(*result) + bytes)};
    put(c, &head, sizeof(head));
    put(c, result, sizeof(*result));
    put(c, out, bytes);
}

static void answer_lines(struct child *c, struct symbols *s, struct module *m, uint64_t vaddr,
                         struct namer_result *result)
{
    struct symbol_line lines[SYMBOL_LINES_MAX] = {0};
    int (*look_up)(struct symbols *, struct module *, uint64_t, struct symbol_line *) =
        c->job->opt.lines ? c->job->opt.lines : symbols_lines;
    result->rc = look_up(s, m, vaddr, lines);
    put_lines(c, s, lines, result);
}

static void answer_kernel(struct child *c, struct symbols *s, uint64_t addr,
                          struct namer_result *result)
{
    struct symbol_line line = {0};
    struct kernel_symbol found;
    if (!c->kernel)
        c->kernel = kallsyms_read();
    result->rc = kallsyms_find(c->kernel, addr, &found) ? 1 : -ENODATA;
    if (result->rc > 0)
        line = (struct symbol_line){.name = symbols_demangle(s, found.name),
                                    .linkage_name = found.name,
                                    .file = found.module};
    put_lines(c, s, &line, result);
}

static void answer(struct child *c, const struct namer_request *r, const char *text)
{
    struct symbols *s = symbols_of(c, r->level);
    struct namer_result result = {.number = r->number};
    struct module *m = r->module < c->job->modules->n ? c->job->modules->items[r->module] : NULL;
    char advice[400];
    if (r->kind == NAMER_LINES && m) {
        answer_lines(c, s, m, r->vaddr, &result);
    } else if (r->kind == NAMER_KERNEL) {
        answer_kernel(c, s, r->vaddr, &result);
    } else {
        if (r->kind == NAMER_DEMANGLE)
            result.text = number_of(c, symbols_demangle(s, text));
        if (r->kind == NAMER_ADVICE && m) {
            symbols_advice(s, m, advice, sizeof(advice));
            result.text = new_string(c, advice);
        }
        result.tables_cut = symbols_tables_cut(s);
        result.names_folded = symbols_names_folded(s);
        put_frame(c, NAMER_ANSWER, &result, sizeof(result));
    }
    /* One by one, each would wake up who asks. But the next question about a module that is known
     * to kill may do so, and the module will be read no more: what there is of it must be out. */
    if (r->level != NAMER_ALL || c->out_bytes >= OUT_BYTES || clock_now_ns() - c->sent_ns >= OUT_NS)
        send_out(c);
}

/* The next bytes of what is asked, which hold until the next call. */
static const uint8_t *receive(struct child *c, size_t bytes)
{
    while (c->in_bytes - c->in_done < bytes) {
        send_out(c);
        memmove(c->in, c->in + c->in_done, c->in_bytes - c->in_done);
        c->in_bytes -= c->in_done;
        c->in_done = 0;
        ssize_t n = read(c->fd, c->in + c->in_bytes, sizeof(c->in) - c->in_bytes);
        if (n == 0 || (n < 0 && errno != EINTR))
            _exit(0); /* nobody asks any more */
        c->in_bytes += n > 0 ? (size_t)n : 0;
    }
    c->in_done += bytes;
    return c->in + c->in_done - bytes;
}

static _Noreturn void serve(struct child *c)
{
    for (;;) {
        struct namer_request r;
        memcpy(&r, receive(c, sizeof(r)), sizeof(r));
        if (r.text_bytes > NAMER_TEXT_MAX_BYTES || r.level >= NAMER_NONE)
            _exit(1);
        char *text = mem_strndup((const char *)receive(c, r.text_bytes), r.text_bytes);
        heartbeat_beat(&c->page->heartbeat);
        atomic_store(&c->page->at, r.number);
        answer(c, &r, text);
        free(text);
    }
}

void namer_child_main(const struct namer_job *job, int fd, int err_fd, struct namer_page *page)
{
    become(job, fd, err_fd);
    if (job->opt.serve) {
        job->opt.serve(fd);
        _exit(0);
    }
    struct child *c = mem_alloc(sizeof(*c));
    c->job = job;
    c->fd = fd;
    c->page = page;
    serve(c);
}
