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
#include "base/escape.h"
#include "base/intern.h"
#include "base/mem.h"
#include "symbols/namer_process.h"
#include "symbols/namer_wire.h"

enum {
    NAMES_MAX_BYTES = 64 << 20,
    WINDOW =
        512, /* questions that are sent without an answer: they are asked again after a death */
    STARVED_TIMES = 5,
    FRAME_MAX_BYTES = NAMER_STRING_MAX_BYTES,
    RECEIVE_BYTES = 64 * 1024,
    OUT_BYTES = 64 * 1024, /* no more questions on their way than that, and one */
    IN_BYTES = sizeof(struct namer_head) + FRAME_MAX_BYTES + RECEIVE_BYTES,
    NS_PER_MS = 1000 * 1000,
};

struct question {
    enum namer_kind kind;
    uint32_t module; /* its id */
    uint64_t vaddr, tag;
    char *text;        /* owned; NAMER_DEMANGLE */
    bool unanswerable; /* its text is too long, or has killed a process */
};

/* A module that processes have died of. */
struct trouble {
    uint32_t module;
    enum namer_level level;
    char how[80]; /* "crashed (SIGSEGV)" */
};

struct namer {
    struct namer_job job;
    char *debug_dir; /* owned */
    struct intern *strings;
    struct namer_process process;
    pid_t owner;
    size_t modules_known; /* by the process */

    struct question
        *questions; /* owned; [first, asked) await answers, up to `sent` they were sent */
    size_t first, sent, asked, cap;
    uint8_t *out; /* requests on their way */
    size_t out_done, out_bytes, out_cap;
    uint8_t *in; /* IN_BYTES */
    size_t in_done, in_bytes;
    uint32_t *numbers; /* owned; a string's number, less 1 -> its place in strings */
    size_t n_numbers, numbers_cap;
    struct symbol_line lines[SYMBOL_LINES_MAX];

    uint64_t looked_ns, waited_ns; /* since the last sign of progress */
    uint64_t cpu_then_ns;          /* of the process, at its beginning */
    int deaths, hangs;
    struct trouble *troubles; /* owned */
    size_t n_troubles, troubles_cap;
    char general[160]; /* why there are no names at all; "" */
    uint64_t tables_cut, lines_cut, names_folded;
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
    n->strings = intern_new(NAMES_MAX_BYTES);
    n->in = mem_alloc(IN_BYTES);
    n->process = (struct namer_process){.pidfd = -1, .fd = -1, .err_fd = -1};
    return n;
}

static void clear_streams(struct namer *n)
{
    n->out_done = n->out_bytes = n->in_done = n->in_bytes = n->n_numbers = 0;
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
    free(n->out);
    free(n->in);
    free(n->numbers);
    free(n->troubles);
    free(n->debug_dir);
    intern_free(n->strings);
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

static struct trouble *trouble_of(const struct namer *n, uint32_t module)
{
    for (size_t i = 0; i < n->n_troubles; i++)
        if (n->troubles[i].module == module)
            return &n->troubles[i];
    return NULL;
}

static enum namer_level level_of(const struct namer *n, const struct question *q)
{
    if (n->general[0] || q->unanswerable)
        return NAMER_NONE;
    if (q->kind == NAMER_DEMANGLE || !n->n_troubles)
        return NAMER_ALL;
    const struct trouble *t = trouble_of(n, q->module);
    if (t && q->kind == NAMER_ADVICE)
        return NAMER_NONE; /* it is said here what is wrong */
    return t ? t->level : NAMER_ALL;
}

/* What hangs is a file more often than a reader: the next try is without any other file. */
static void blame(struct namer *n, struct question *q, const char *how, bool hung)
{
    if (q->kind == NAMER_DEMANGLE) {
        q->unanswerable = true;
        return;
    }
    struct trouble *t = trouble_of(n, q->module);
    if (!t) {
        n->troubles =
            mem_grow(n->troubles, &n->troubles_cap, n->n_troubles + 1, sizeof(*n->troubles));
        t = &n->troubles[n->n_troubles++];
        *t = (struct trouble){.module = q->module};
    }
    if (t->level < NAMER_NONE)
        t->level = hung && t->level < NAMER_OWN ? NAMER_OWN : t->level + 1;
    snprintf(t->how, sizeof(t->how), "%s", how);
}

static void describe(const struct namer *n, const struct trouble *t, char *buf, size_t buf_bytes)
{
    static const struct {
        const char *what, *reader;
    } texts[] = {
        [NAMER_TABLES] = {"neither lines nor inlined functions", "its debug information"},
        [NAMER_OWN] = {"no names but the file's own", "its debug files"},
        [NAMER_NONE] = {"no names", "its symbols"},
    };
    char name[256], shown[512];
    const struct module *m = n->job.modules->items[t->module];
    escape_text(shown, sizeof(shown), module_short_name(m, name, sizeof(name)), NULL);
    snprintf(buf, buf_bytes, "%s for %s: the reader of %s %s", texts[t->level].what, shown,
             texts[t->level].reader, t->how);
}

bool namer_trouble(const struct namer *n, size_t i, char *buf, size_t buf_bytes)
{
    if (i < n->n_troubles)
        describe(n, &n->troubles[i], buf, buf_bytes);
    else if (i == n->n_troubles && n->general[0])
        snprintf(buf, buf_bytes, "%s", n->general);
    else
        return false;
    return true;
}

/* --- the process */

static void progressed(struct namer *n)
{
    n->waited_ns = 0;
    n->looked_ns = clock_now_ns();
}

static void give_up(struct namer *n, const char *how)
{
    snprintf(n->general, sizeof(n->general), "no more names: the process that looks them up %s",
             how);
}

/* Its word for it: answers to those before may not have been sent. */
static struct question *present_question(const struct namer *n)
{
    uint64_t at = n->process.pid ? atomic_load(n->process.at) : UINT64_MAX;
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
    blame(n, present, verdict ? verdict : how, hung);
    if (++n->deaths >= NAMER_DEATHS_MAX || n->hangs >= NAMER_HANGS_MAX)
        give_up(n, "failed too often");
}

static void bury_late(struct namer *n)
{
    char verdict[80];
    snprintf(verdict, sizeof(verdict), "took over %g s", n->job.opt.patience_ms / 1000.0);
    n->hangs++;
    bury(n, verdict, true);
}

static bool is_late(struct namer *n)
{
    uint64_t now = clock_now_ns(), past = now - n->looked_ns;
    uint64_t patience_ns = (uint64_t)n->job.opt.patience_ms * NS_PER_MS;
    uint64_t look_ns = (uint64_t)NAMER_LOOK_MS * NS_PER_MS;
    if (!n->waited_ns)
        n->cpu_then_ns = namer_process_cpu_ns(&n->process);
    n->looked_ns = now;
    n->waited_ns += past < look_ns ? past : look_ns;
    if (n->waited_ns < patience_ns)
        return false;
    bool starved = namer_process_runs(&n->process) &&
                   namer_process_cpu_ns(&n->process) - n->cpu_then_ns < patience_ns / 2;
    return !starved || n->waited_ns >= STARVED_TIMES * patience_ns;
}

static void start(struct namer *n)
{
    char how[80];
    n->modules_known = n->job.modules->n;
    n->owner = n->job.parent = getpid();
    int rc = namer_process_start(&n->process, &n->job);
    if (rc < 0) {
        snprintf(how, sizeof(how), "can't be started: %s", strerror(-rc));
        give_up(n, how);
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
    if (n->process.pid && q->kind != NAMER_DEMANGLE && q->module >= n->modules_known) {
        if (n->sent > n->first)
            return false; /* it has questions to answer first */
        end_process(n, how, sizeof(how));
    }
    if (!n->process.pid)
        start(n);
    return n->process.pid != 0;
}

/* --- sending */

static void encode(struct namer *n, size_t number)
{
    const struct question *q = &n->questions[number];
    struct namer_request r = {.kind = q->kind,
                              .level = level_of(n, q),
                              .module = q->module,
                              .text_bytes = q->text ? (uint32_t)strlen(q->text) : 0,
                              .number = number,
                              .vaddr = q->vaddr};
    size_t bytes = sizeof(r) + r.text_bytes;
    n->out = mem_grow(n->out, &n->out_cap, n->out_bytes + bytes, 1);
    memcpy(n->out + n->out_bytes, &r, sizeof(r));
    if (r.text_bytes)
        memcpy(n->out + n->out_bytes + sizeof(r), q->text, r.text_bytes);
    n->out_bytes += bytes;
}

/* What can't be sent now can be when answers have come: its socket is full of questions. That it
 * has died is noticed when we read. */
static void flush(struct namer *n)
{
    ssize_t sent = 1;
    while (n->out_done < n->out_bytes && sent > 0) {
        sent = send(n->process.fd, n->out + n->out_done, n->out_bytes - n->out_done,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
        n->out_done += sent > 0 ? (size_t)sent : 0;
    }
    if (n->out_done == n->out_bytes)
        n->out_done = n->out_bytes = 0;
}

static void send_questions(struct namer *n)
{
    if (n->sent == n->first) {
        bury_idle(n);
        progressed(n);
        if (n->process.pid)
            atomic_store(n->process.at, UINT64_MAX); /* numbers begin anew */
    }
    /* Not one more for each answer: each would wake it up. */
    size_t most = n->sent - n->first > WINDOW / 2 ? 0 : WINDOW;
    for (; n->sent < n->asked && n->sent - n->first < most && n->out_bytes < OUT_BYTES; n->sent++) {
        const struct question *q = &n->questions[n->sent];
        if (level_of(n, q) == NAMER_NONE)
            continue;
        if (!ready_for(n, q))
            break;
        encode(n, n->sent);
    }
    flush(n);
}

/* --- receiving; nothing that comes is trusted */

static const char *string_of(const struct namer *n, uint32_t number)
{
    return number && number <= n->n_numbers ? intern_get(n->strings, n->numbers[number - 1]) : NULL;
}

static int take_string(struct namer *n, const uint8_t *text, size_t bytes)
{
    if (n->n_numbers == NAMER_STRINGS_MAX)
        return -EBADMSG;
    n->numbers = mem_grow(n->numbers, &n->numbers_cap, n->n_numbers + 1, sizeof(*n->numbers));
    n->numbers[n->n_numbers++] = intern_put_n(n->strings, (const char *)text, bytes);
    return 0;
}

static int take_line(struct namer *n, const uint8_t *from, struct symbol_line *ret)
{
    struct namer_line line;
    memcpy(&line, from, sizeof(line));
    if (!line.name || !line.linkage_name || line.name > n->n_numbers ||
        line.linkage_name > n->n_numbers || line.file > n->n_numbers)
        return -EBADMSG;
    *ret = (struct symbol_line){.name = string_of(n, line.name),
                                .linkage_name = string_of(n, line.linkage_name),
                                .file = string_of(n, line.file),
                                .line = line.line,
                                .start_line = line.start_line};
    return 0;
}

static bool is_sound(const struct namer *n, const struct namer_result *r, size_t bytes)
{
    bool lines = n->questions[n->first].kind == NAMER_LINES;
    if (n->sent == n->first || r->number != n->first || r->n_lines > SYMBOL_LINES_MAX ||
        bytes != sizeof(*r) + r->n_lines * sizeof(struct namer_line))
        return false;
    if (lines)
        return !r->text && (r->rc > 0 ? r->n_lines == (uint32_t)r->rc : r->rc < 0 && !r->n_lines);
    return r->text && r->text <= n->n_numbers && !r->rc && !r->n_lines;
}

/* 1, or -EBADMSG. */
static int take_result(struct namer *n, const uint8_t *from, size_t bytes, struct namer_answer *ret)
{
    struct namer_result r;
    if (bytes < sizeof(r))
        return -EBADMSG;
    memcpy(&r, from, sizeof(r));
    if (!is_sound(n, &r, bytes))
        return -EBADMSG;
    for (uint32_t i = 0; i < r.n_lines; i++)
        if (take_line(n, from + sizeof(r) + i * sizeof(struct namer_line), &n->lines[i]) < 0)
            return -EBADMSG;
    n->tables_cut = r.tables_cut > n->tables_cut ? r.tables_cut : n->tables_cut;
    n->lines_cut = r.lines_cut > n->lines_cut ? r.lines_cut : n->lines_cut;
    n->names_folded = r.names_folded > n->names_folded ? r.names_folded : n->names_folded;
    *ret = (struct namer_answer){.rc = r.rc == 0 || r.rc > 0 || r.rc == -ENODATA ? r.rc : -EBADMSG,
                                 .lines = n->lines,
                                 .text = r.text ? string_of(n, r.text) : ""};
    return 1;
}

/* 1 with the next answer, 0 where it has not come yet, -EBADMSG. */
static int parse(struct namer *n, struct namer_answer *ret)
{
    struct namer_head head;
    int rc = 0;
    while (rc == 0 && n->in_bytes - n->in_done >= sizeof(head)) {
        const uint8_t *from = n->in + n->in_done + sizeof(head);
        memcpy(&head, n->in + n->in_done, sizeof(head));
        if (head.bytes > FRAME_MAX_BYTES)
            return -EBADMSG;
        if (n->in_bytes - n->in_done - sizeof(head) < head.bytes)
            break;
        n->in_done += sizeof(head) + head.bytes;
        if (head.frame == NAMER_STRING)
            rc = take_string(n, from, head.bytes);
        else
            rc = head.frame == NAMER_ANSWER ? take_result(n, from, head.bytes, ret) : -EBADMSG;
    }
    return rc;
}

/* How many bytes have come; 0 where it has ended, -EAGAIN. */
static ssize_t receive(struct namer *n)
{
    memmove(n->in, n->in + n->in_done, n->in_bytes - n->in_done);
    n->in_bytes -= n->in_done;
    n->in_done = 0;
    ssize_t got = recv(n->process.fd, n->in + n->in_bytes, IN_BYTES - n->in_bytes, MSG_DONTWAIT);
    if (got > 0)
        n->in_bytes += (size_t)got;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
    return got;
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
    const struct trouble *t = q->kind == NAMER_ADVICE ? trouble_of(n, q->module) : NULL;
    if (t)
        describe(n, t, text, sizeof(text));
    uint32_t kept = intern_put(n->strings, q->text ? q->text : text);
    *ret = (struct namer_answer){
        .tag = q->tag, .rc = -ENOTRECOVERABLE, .text = intern_get(n->strings, kept)};
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
    else if (rc == 0 && is_late(n))
        bury_late(n);
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
    progressed(n);
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
    return n->tables_cut;
}

uint64_t namer_lines_cut(const struct namer *n)
{
    return n->lines_cut;
}

uint64_t namer_names_folded(const struct namer *n)
{
    return n->names_folded + intern_overflowed(n->strings);
}

void namer_cost(struct namer *n, uint64_t *ret_cpu_ns, uint64_t *ret_peak_bytes)
{
    forget_parents(n);
    namer_process_account(&n->process);
    *ret_cpu_ns = n->process.cpu_ns;
    *ret_peak_bytes = n->process.peak_bytes;
}
