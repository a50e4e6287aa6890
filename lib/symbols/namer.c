/* SPDX-License-Identifier: MIT */
#include "symbols/namer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "symbols/namer_reader.h"
#include "symbols/namer_troubles.h"
#include "symbols/namer_watch.h"
#include "symbols/namer_wire.h"
#include "symbols/namer_writer.h"

/* questions that are sent without an answer: they are asked again after a death */
enum { WINDOW = 512 };

struct question {
    enum namer_kind kind;
    uint32_t module; /* its id */
    uint64_t vaddr, tag;
    char *text;        /* owned; NAMER_DEMANGLE */
    bool unanswerable; /* its text is too long, or it has killed a process */
};

static bool is_of_module(const struct question *q)
{
    return q->kind == NAMER_LINES || q->kind == NAMER_ADVICE;
}

struct namer {
    struct namer_job job;
    char *debug_dir; /* owned */
    struct namer_reader reader;
    struct namer_process process;
    pid_t owner;
    size_t modules_known; /* by the process */

    struct question
        *questions; /* owned; [first, asked) await answers, up to `sent` they were sent */
    size_t first, sent, asked, cap;
    struct namer_writer writer;
    struct namer_watch watch;
    int deaths, hangs;
    struct namer_troubles troubles;
};

struct namer *namer_new(const struct namer_options *opt, const struct modules *modules)
{
    struct namer *n = mem_alloc(sizeof(*n));
    n->job = (struct namer_job){.opt = *opt, .modules = modules};
    n->debug_dir = opt->symbols.debug_dir ? mem_strdup(opt->symbols.debug_dir) : NULL;
    n->job.opt.symbols.debug_dir = n->debug_dir;
    if (!opt->patience_ms)
        n->job.opt.patience_ms = NAMER_PATIENCE_MS;
    CPU_ZERO(&n->job.cpus);
    sched_getaffinity(0, sizeof(n->job.cpus), &n->job.cpus);
    n->job.policy = sched_getscheduler(0);
    n->job.nice = getpriority(PRIO_PROCESS, 0);
    n->troubles.modules = modules;
    namer_reader_init(&n->reader);
    n->process = (struct namer_process){.pidfd = -1, .fd = -1, .err_fd = -1};
    return n;
}

static void clear_streams(struct namer *n)
{
    namer_writer_reset(&n->writer);
    namer_reader_reset(&n->reader);
}

/* After a fork of ours, the process is our parent's; we start one of our own. */
static void forget_parents(struct namer *n)
{
    if (!n->process.pid || n->owner == getpid())
        return;
    namer_process_disown(&n->process);
    n->process.past_cpu_ns = n->process.cpu_ns = 0;
    n->sent = n->first;
    clear_streams(n);
}

static void end_process(struct namer *n, char *how, size_t how_bytes)
{
    how[0] = '\0';
    forget_parents(n);
    namer_process_end(&n->process, how, how_bytes);
    clear_streams(n);
}

void namer_free(struct namer *n)
{
    char how[80];
    if (!n)
        return;
    end_process(n, how, sizeof(how));
    for (size_t i = n->first; i < n->asked; i++)
        free(n->questions[i].text);
    free(n->questions);
    free(n->troubles.items);
    free(n->debug_dir);
    namer_writer_release(&n->writer);
    namer_reader_release(&n->reader);
    free(n);
}

/* --- questions */

static void ask(struct namer *n, const struct question *q)
{
    n->questions = mem_grow(n->questions, &n->cap, n->asked + 1, sizeof(*n->questions));
    n->questions[n->asked++] = *q;
}

void namer_ask(struct namer *n, const struct module *m, uint64_t vaddr, uint64_t tag)
{
    ask(n, &(struct question){.kind = NAMER_LINES, .module = m->id, .vaddr = vaddr, .tag = tag});
}

void namer_ask_advice(struct namer *n, const struct module *m, uint64_t tag)
{
    ask(n, &(struct question){.kind = NAMER_ADVICE, .module = m->id, .tag = tag});
}

void namer_ask_demangled(struct namer *n, const char *linkage_name, uint64_t tag)
{
    ask(n, &(struct question){.kind = NAMER_DEMANGLE,
                              .tag = tag,
                              .text = mem_strdup(linkage_name),
                              .unanswerable = strlen(linkage_name) > NAMER_TEXT_MAX_BYTES});
}

void namer_ask_kernel(struct namer *n, uint64_t addr, uint64_t tag)
{
    ask(n, &(struct question){.kind = NAMER_KERNEL, .vaddr = addr, .tag = tag});
}

size_t namer_pending(const struct namer *n)
{
    return n->asked - n->first;
}

int namer_fd(const struct namer *n)
{
    return n->owner == getpid() ? n->process.fd : -1;
}

pid_t namer_pid(const struct namer *n)
{
    return n->owner == getpid() ? n->process.pid : 0;
}

void namer_ended(struct namer *n, int status)
{
    n->process.ended = true;
    n->process.status = status;
}

/* --- troubles */

static enum namer_level level_of(const struct namer *n, const struct question *q)
{
    if (n->troubles.general[0] || q->unanswerable)
        return NAMER_NONE;
    if (!is_of_module(q) || !n->troubles.n)
        return NAMER_ALL;
    enum namer_level level = namer_troubles_level(&n->troubles, q->module);
    if (level != NAMER_ALL && q->kind == NAMER_ADVICE)
        return NAMER_NONE; /* it is said here what is wrong */
    return level;
}

bool namer_trouble(const struct namer *n, size_t i, char *buf, size_t buf_bytes)
{
    return namer_troubles_get(&n->troubles, i, buf, buf_bytes);
}

/* --- the process */

/* Its word for it: answers to those before may not have been sent. */
static struct question *present_question(const struct namer *n)
{
    uint64_t at = n->process.pid ? atomic_load(&n->process.page->at) : UINT64_MAX;
    return &n->questions[at >= n->first && at < n->sent ? at : n->first];
}

/* `verdict`: what we ended it for; NULL: it ended by itself, as it had to be found out. */
static void bury(struct namer *n, const char *verdict, bool hung)
{
    char how[80];
    struct question *present = n->sent > n->first ? present_question(n) : NULL;
    end_process(n, how, sizeof(how));
    n->sent = n->first;
    if (!present)
        return;
    if (!is_of_module(present))
        present->unanswerable = true;
    else
        namer_troubles_blame(&n->troubles, present->module, verdict ? verdict : how, hung);
    if (++n->deaths >= NAMER_DEATHS_MAX || n->hangs >= NAMER_HANGS_MAX)
        namer_troubles_give_up(&n->troubles, "failed too often");
}

static void bury_late(struct namer *n, uint64_t took_ns)
{
    char verdict[80];
    snprintf(verdict, sizeof(verdict), "took over %g s", (double)took_ns / OX_NS_PER_S);
    n->hangs++;
    bury(n, verdict, true);
}

static void start(struct namer *n)
{
    char how[80];
    n->modules_known = n->job.modules->n;
    n->owner = n->job.parent = getpid();
    int rc = namer_process_start(&n->process, &n->job);
    if (rc < 0) {
        snprintf(how, sizeof(how), "can't be started: %s", strerror(-rc));
        namer_troubles_give_up(&n->troubles, how);
    }
}

/* One that has nothing to do has nothing to say either: it has died meanwhile. */
static void bury_idle(struct namer *n)
{
    char how[80];
    struct pollfd pfd = {.fd = n->process.fd, .events = POLLIN};
    if (n->process.pid && poll(&pfd, 1, 0) > 0)
        end_process(n, how, sizeof(how));
}

/* There is one, and it knows the module. */
static bool ready_for(struct namer *n, const struct question *q)
{
    char how[80];
    if (n->process.pid && is_of_module(q) && q->module >= n->modules_known) {
        if (n->sent > n->first)
            return false; /* it has questions to answer first */
        end_process(n, how, sizeof(how));
    }
    if (!n->process.pid)
        start(n);
    return n->process.pid != 0;
}

/* --- sending */

static void send_question(struct namer *n, size_t number)
{
    const struct question *q = &n->questions[number];
    struct namer_request r = {.kind = q->kind,
                              .level = level_of(n, q),
                              .module = q->module,
                              .text_bytes = q->text ? (uint32_t)strlen(q->text) : 0,
                              .number = number,
                              .vaddr = q->vaddr};
    namer_writer_put(&n->writer, &r, q->text);
}

static void send_questions(struct namer *n)
{
    if (n->sent == n->first) {
        bury_idle(n);
        namer_watch_progress(&n->watch);
        if (n->process.pid)
            atomic_store(&n->process.page->at, UINT64_MAX); /* numbers begin anew */
    }
    /* Not one more for each answer: each would wake it up. */
    size_t most = n->sent - n->first > WINDOW / 2 ? 0 : WINDOW;
    for (; n->sent < n->asked && n->sent - n->first < most && !namer_writer_is_full(&n->writer);
         n->sent++) {
        const struct question *q = &n->questions[n->sent];
        if (level_of(n, q) == NAMER_NONE)
            continue;
        if (!ready_for(n, q))
            break;
        send_question(n, n->sent);
    }
    /* What does not go now does when answers have come: the socket is full of questions. */
    namer_writer_flush(&n->writer, n->process.fd);
}

/* --- receiving */

/* How many bytes have come; 0 where it has ended, -EAGAIN. */
static ssize_t receive(struct namer *n)
{
    size_t room;
    uint8_t *at = namer_reader_room(&n->reader, &room);
    ssize_t got = recv(n->process.fd, at, room, MSG_DONTWAIT);
    if (got > 0)
        namer_reader_put(&n->reader, (size_t)got);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
    return got;
}

static int parse(struct namer *n, struct namer_answer *ret)
{
    struct namer_expected expected = {
        .kind = n->questions[n->first].kind, .number = n->first, .asked = n->sent > n->first};
    return namer_reader_next(&n->reader, &expected, ret);
}

/* --- answers */

static void pop(struct namer *n)
{
    free(n->questions[n->first].text);
    n->sent += n->sent == n->first;
    if (++n->first == n->asked)
        n->first = n->sent = n->asked = 0;
}

static void refuse(struct namer *n, struct namer_answer *ret)
{
    const struct question *q = &n->questions[n->first];
    char text[512] = "";
    if (q->kind == NAMER_ADVICE)
        namer_troubles_of(&n->troubles, q->module, text, sizeof(text));
    uint32_t kept = intern_put(n->reader.strings, q->text ? q->text : text);
    *ret = (struct namer_answer){
        .tag = q->tag, .rc = -ENOTRECOVERABLE, .text = intern_get(n->reader.strings, kept)};
}

/* One step of getting the first question answered: 1 done, 0 it is to be waited for, -EAGAIN to be
 * tried once more. */
static int step(struct namer *n, struct namer_answer *ret)
{
    if (level_of(n, &n->questions[n->first]) == NAMER_NONE) {
        refuse(n, ret);
        return 1;
    }
    int rc = parse(n, ret);
    if (rc > 0)
        return 1;
    ssize_t got = -EAGAIN;
    uint64_t late_ns;
    if (rc == 0)
        send_questions(n);
    if (rc == 0 && !n->process.pid)
        return -EAGAIN; /* there will be none */
    if (rc == 0)
        got = receive(n);
    if (got > 0)
        rc = parse(n, ret);
    if (rc < 0)
        bury(n, "answered nonsense", false);
    else if (got == 0)
        bury(n, NULL, false);
    else if (rc == 0 && (late_ns = namer_watch_look(&n->watch, &n->job.opt, &n->process)))
        bury_late(n, late_ns);
    else
        return rc;
    return -EAGAIN;
}

bool namer_take(struct namer *n, struct namer_answer *ret)
{
    struct namer_answer answer = {0};
    int rc = -EAGAIN;
    forget_parents(n);
    while (rc == -EAGAIN && namer_pending(n))
        rc = step(n, &answer);
    if (rc != 1)
        return false;
    answer.tag = n->questions[n->first].tag;
    *ret = answer;
    namer_watch_progress(&n->watch);
    pop(n);
    return true;
}

bool namer_next(struct namer *n, struct namer_answer *ret, void (*meanwhile)(void *arg), void *arg)
{
    while (namer_pending(n)) {
        if (namer_take(n, ret))
            return true;
        struct pollfd pfd = {.fd = namer_fd(n), .events = POLLIN};
        if (poll(&pfd, 1, NAMER_LOOK_MS) <= 0 && meanwhile)
            meanwhile(arg);
    }
    return false;
}

/* --- figures */

uint64_t namer_tables_cut(const struct namer *n)
{
    return n->reader.tables_cut;
}

uint64_t namer_lines_cut(const struct namer *n)
{
    return n->reader.lines_cut;
}

uint64_t namer_names_folded(const struct namer *n)
{
    return n->reader.names_folded + intern_overflowed(n->reader.strings);
}

void namer_cost(struct namer *n, uint64_t *ret_cpu_ns, uint64_t *ret_peak_bytes)
{
    forget_parents(n);
    namer_process_account(&n->process);
    *ret_cpu_ns = n->process.cpu_ns;
    *ret_peak_bytes = n->process.peak_bytes;
}
