/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "symbols/namer.h"
#include "symbols/namer_wire.h"

/* What the process does is replaced by what the vaddr says; the name tells of the question. */
enum {
    GOOD,
    CRASH,
    HANG,
    SPIN,
    EAT,
    LEAVE,
    CRASH_ONCE,
    DIE_BADLY,
    SHOW_FILES,
    SHOW_SELF,
    SLOW,
    ENDLESSLY_SLOW
};
#define DO(what, number) ((uint64_t)(what) << 32 | (uint64_t)(number))

enum { PATIENCE_MS = 300 };

static char name_buf[256], names[100000][16];

/* In the process: what it reads the modules with. */
static struct symbols *with_all, *with_tables;

/* As mem_alloc() does, but without touching half a GiB. */
static void eat(void)
{
    while (mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED)
        continue;
    die("out of memory");
}

static void show_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    snprintf(name_buf, sizeof(name_buf), "%zu", n - 1);
}

static void show_self(void)
{
    struct rlimit core;
    sigset_t blocked;
    getrlimit(RLIMIT_CORE, &core);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    int on_death = 0;
    prctl(PR_GET_PDEATHSIG, &on_death);
    snprintf(name_buf, sizeof(name_buf), "death %d dump %d privs %d core %d int %d segv %d",
             on_death, prctl(PR_GET_DUMPABLE), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
             (int)core.rlim_cur, sigismember(&blocked, SIGINT), sigismember(&blocked, SIGSEGV));
}

/* It looks up one address after the other, each of which is a sign of life. */
static void be_slow(struct symbols *s, struct module *m, uint64_t ms)
{
    struct symbol_line lines[SYMBOL_LINES_MAX];
    uint64_t end = clock_now_ns() + ms * 1000 * 1000;
    while (clock_now_ns() < end)
        symbols_lines(s, m, 0, lines);
}

static void misbehave(int what, struct symbols *s, struct module *m)
{
    switch (what) {
    case SLOW:
        be_slow(s, m, 2 * PATIENCE_MS);
        break;
    case ENDLESSLY_SLOW:
        be_slow(s, m, 600 * 1000);
        break;
    case CRASH:
        raise(SIGSEGV);
        break;
    case HANG:
        pause();
        break;
    case SPIN:
        for (volatile int i = 0;; i = !i)
            continue;
    case EAT:
        eat();
        break;
    case LEAVE:
        _exit(3);
    case DIE_BADLY:
        raise(SIGKILL);
        break;
    default:
        break;
    }
}

/* A module that has crashed is read with another struct symbols than the others. */
static int answer(struct symbols *s, struct module *m, uint64_t vaddr,
                  struct symbol_line *ret_lines)
{
    int what = (int)(vaddr >> 32);
    uint32_t number = (uint32_t)vaddr;
    if (s == (what == CRASH_ONCE ? with_all : with_tables))
        raise(SIGSEGV);
    *(what == CRASH_ONCE ? &with_tables : &with_all) = s;
    misbehave(what, s, m);
    snprintf(names[number], sizeof(names[number]), "%s:%u", m->path, number);
    ret_lines[0] = (struct symbol_line){.name = names[number],
                                        .linkage_name = "linkage",
                                        .file = number % 2 ? "file.c" : NULL,
                                        .line = number,
                                        .start_line = 7};
    if (what == SHOW_FILES)
        show_files();
    if (what == SHOW_SELF)
        show_self();
    if (what == SHOW_FILES || what == SHOW_SELF)
        ret_lines[0].name = name_buf;
    ret_lines[1] = (struct symbol_line){.name = "outer", .linkage_name = "outer"};
    return number % 3 ? 1 : 2;
}

struct fixture {
    struct modules modules;
    struct module *a, *b;
    struct namer *n;
    size_t files;
};

static size_t open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void setup(struct fixture *f, const struct namer_options *opt)
{
    f->files = open_files();
    f->a = modules_add(&f->modules, 1, 1, "liba.so");
    f->b = modules_add(&f->modules, 1, 2, "libb.so");
    f->n = namer_new(opt, &f->modules);
}

static const struct namer_options with_answer = {.lines = answer};
static const struct namer_options impatient = {.lines = answer, .patience_ms = PATIENCE_MS};

/* Neither a process nor a descriptor is left. */
static void teardown(struct fixture *f)
{
    namer_free(f->n);
    modules_release(&f->modules);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
    cr_expect_eq(errno, ECHILD);
    cr_expect_eq(open_files(), f->files);
}

static struct namer_answer next(struct fixture *f)
{
    struct namer_answer answer_to_it = {0};
    cr_assert(namer_next(f->n, &answer_to_it, NULL, NULL));
    return answer_to_it;
}

static void expect_good(struct fixture *f, const struct module *m, uint32_t number)
{
    char want[32];
    struct namer_answer a = next(f);
    snprintf(want, sizeof(want), "%s:%u", m->path, number);
    cr_assert_eq(a.tag, number);
    cr_assert_eq(a.rc, number % 3 ? 1 : 2);
    cr_assert_str_eq(a.lines[0].name, want);
    cr_assert_str_eq(a.lines[0].linkage_name, "linkage");
    cr_assert_eq(a.lines[0].line, number);
    cr_assert_eq(a.lines[0].start_line, 7);
    cr_assert(number % 2 ? !strcmp(a.lines[0].file, "file.c") : !a.lines[0].file);
    cr_assert(number % 3 || !strcmp(a.lines[1].name, "outer"));
}

static void expect_none(struct fixture *f, uint64_t tag)
{
    struct namer_answer a = next(f);
    cr_assert_eq(a.tag, tag);
    cr_assert_eq(a.rc, -ENOTRECOVERABLE);
}

static void expect_trouble(const struct fixture *f, size_t i, const char *want)
{
    char got[600];
    if (!want) {
        cr_expect_not(namer_trouble(f->n, i, got, sizeof(got)));
        return;
    }
    cr_assert(namer_trouble(f->n, i, got, sizeof(got)), "no trouble %zu, but: %s", i, want);
    cr_expect_str_eq(got, want);
}

Test(namer, answers_come_in_order_with_what_was_found)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    for (uint32_t i = 0; i < 100000; i++)
        namer_ask(f.n, i % 2 ? f.a : f.b, DO(GOOD, i), i);
    cr_assert_eq(namer_pending(f.n), 100000);
    for (uint32_t i = 0; i < 100000; i++)
        expect_good(&f, i % 2 ? f.a : f.b, i);
    struct namer_answer none;
    cr_assert_not(namer_next(f.n, &none, NULL, NULL));
    expect_trouble(&f, 0, NULL);
    teardown(&f);
}

Test(namer, lives_on_between_batches_and_is_forked_anew_for_new_modules)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(GOOD, 1), 1);
    expect_good(&f, f.a, 1);
    pid_t first = namer_pid(f.n);
    namer_ask(f.n, f.b, DO(GOOD, 2), 2);
    expect_good(&f, f.b, 2);
    cr_assert_eq(namer_pid(f.n), first);
    struct module *c = modules_add(&f.modules, 1, 3, "libc.so");
    namer_ask(f.n, f.a, DO(GOOD, 3), 3);
    namer_ask(f.n, c, DO(GOOD, 4), 4);
    expect_good(&f, f.a, 3);
    expect_good(&f, c, 4);
    cr_assert_neq(namer_pid(f.n), first);
    expect_trouble(&f, 0, NULL);
    teardown(&f);
}

/* The others have their names, before and behind. */
static void one_bad(int what, const char *how)
{
    char want[200];
    struct fixture f = {0};
    setup(&f, what == HANG || what == SPIN || what == ENDLESSLY_SLOW ? &impatient : &with_answer);
    namer_ask(f.n, f.a, DO(GOOD, 0), 0);
    namer_ask(f.n, f.b, DO(GOOD, 1), 1);
    namer_ask(f.n, f.b, DO(what, 2), 2);
    namer_ask(f.n, f.b, DO(GOOD, 3), 3);
    for (uint32_t i = 4; i < 2000; i++)
        namer_ask(f.n, f.a, DO(GOOD, i), i);
    expect_good(&f, f.a, 0);
    expect_good(&f, f.b, 1);
    expect_none(&f, 2);
    expect_none(&f, 3);
    for (uint32_t i = 4; i < 2000; i++)
        expect_good(&f, f.a, i);
    snprintf(want, sizeof(want), "no names for libb.so: the reader of its symbols %s", how);
    expect_trouble(&f, 0, want);
    expect_trouble(&f, 1, NULL);
    teardown(&f);
}

Test(namer, one_that_crashes)
{
    one_bad(CRASH, "crashed (SIGSEGV)");
}

Test(namer, one_that_hangs)
{
    one_bad(HANG, "took over 0.3 s");
}

Test(namer, one_that_loops)
{
    one_bad(SPIN, "took over 0.3 s");
}

Test(namer, one_that_is_slow_has_its_time)
{
    struct fixture f = {0};
    setup(&f, &impatient);
    namer_ask(f.n, f.a, DO(SLOW, 1), 1);
    expect_good(&f, f.a, 1);
    expect_trouble(&f, 0, NULL);
    teardown(&f);
}

Test(namer, one_that_is_slow_without_end)
{
    one_bad(ENDLESSLY_SLOW, "took over 1.5 s");
}

Test(namer, one_that_eats_memory)
{
    one_bad(EAT, "needed over 512 MiB");
}

Test(namer, one_that_leaves)
{
    one_bad(LEAVE, "ended without an answer");
}

Test(namer, one_that_is_killed)
{
    one_bad(DIE_BADLY, "was killed (SIGKILL)");
}

Test(namer, the_second_try_is_without_debug_information)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(GOOD, 1), 1);
    namer_ask(f.n, f.b, DO(CRASH_ONCE, 2), 2);
    namer_ask(f.n, f.b, DO(CRASH_ONCE, 4), 4);
    namer_ask(f.n, f.a, DO(GOOD, 5), 5);
    static const char why[] = "neither lines nor inlined functions for libb.so: the reader of its "
                              "debug information crashed (SIGSEGV)";
    expect_good(&f, f.a, 1);
    expect_good(&f, f.b, 2);
    expect_good(&f, f.b, 4);
    expect_good(&f, f.a, 5);
    expect_trouble(&f, 0, why);
    expect_trouble(&f, 1, NULL);
    namer_ask_advice(f.n, f.b, 6);
    cr_expect_str_eq(next(&f).text, why);
    teardown(&f);
}

Test(namer, gives_up_after_many_deaths)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    struct module *m[100];
    for (uint32_t i = 0; i < 100; i++) {
        m[i] = modules_add(&f.modules, 2, i, "libbad.so");
        namer_ask(f.n, m[i], DO(CRASH, i), i);
    }
    namer_ask(f.n, f.a, DO(GOOD, 1), 1);
    for (uint32_t i = 0; i < 100; i++)
        expect_none(&f, i);
    expect_none(&f, 1);
    expect_trouble(&f, NAMER_DEATHS_MAX / 3 + 1,
                   "no more names: the process that looks them up failed too often");
    teardown(&f);
}

Test(namer, gives_up_after_few_hangs)
{
    struct fixture f = {0};
    setup(&f, &impatient);
    for (uint32_t i = 0; i < 10; i++)
        namer_ask(f.n, modules_add(&f.modules, 2, i, "libbad.so"), DO(HANG, i), i);
    uint64_t begin = clock_now_ns();
    for (uint32_t i = 0; i < 10; i++)
        expect_none(&f, i);
    cr_expect_lt(clock_now_ns() - begin,
                 (uint64_t)10 * NAMER_HANGS_MAX * PATIENCE_MS * 1000 * 1000);
    expect_trouble(&f, NAMER_HANGS_MAX / 2,
                   "no more names: the process that looks them up failed too often");
    teardown(&f);
}

Test(namer, killed_while_idle_is_nobodys_fault)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    for (uint32_t i = 1; i < 100; i++) {
        namer_ask(f.n, f.a, DO(GOOD, i), i);
        expect_good(&f, f.a, i);
        struct pollfd pfd = {.fd = namer_fd(f.n), .events = POLLRDHUP};
        kill(namer_pid(f.n), SIGKILL);
        cr_assert_eq(poll(&pfd, 1, 10000), 1);
    }
    expect_trouble(&f, 0, NULL);
    teardown(&f);
}

Test(namer, reaped_by_another_it_is_known_how_it_ended)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    struct namer_answer a;
    namer_ask(f.n, f.a, DO(LEAVE, 1), 1);
    int status;
    for (int i = 0; i < 3; i++) {
        cr_assert_not(namer_take(f.n, &a));
        cr_assert_eq(waitpid(-1, &status, 0), namer_pid(f.n));
        namer_ended(f.n, i == 2 ? SIGBUS : status);
    }
    expect_none(&f, 1);
    expect_trouble(&f, 0, "no names for liba.so: the reader of its symbols crashed (SIGBUS)");
    teardown(&f);
}

/* --- what it is not trusted with */

enum { ENDLESS = 13 };
static int hostile_kind;

static void send_frame(int fd, uint32_t frame, uint32_t bytes, const void *data, size_t data_bytes)
{
    struct namer_head head = {.frame = frame, .bytes = bytes};
    if (send(fd, &head, sizeof(head), MSG_NOSIGNAL) < 0 ||
        (data_bytes && send(fd, data, data_bytes, MSG_NOSIGNAL) < 0))
        _exit(1);
}

static void send_answer(int fd, const struct namer_result *r, const struct namer_line *line)
{
    struct {
        struct namer_result r;
        struct namer_line line;
    } all = {*r, *line};
    send_frame(fd, NAMER_ANSWER, sizeof(*r) + sizeof(*line), &all, sizeof(*r) + sizeof(*line));
}

/* Sound but for one thing. */
static void serve_nonsense(int fd)
{
    struct namer_request r;
    struct namer_line line = {.name = 1, .linkage_name = 2};
    if (read(fd, &r, sizeof(r)) != sizeof(r))
        _exit(1);
    struct namer_result result = {.number = r.number, .rc = 1, .n_lines = 1};
    send_frame(fd, NAMER_STRING, 3, "one", 3);
    send_frame(fd, NAMER_STRING, 9, "t\0w\033[31mo", 9);
    switch (hostile_kind) {
    case 1:
        line.name = 3;
        break;
    case 2:
        line.file = UINT32_MAX;
        break;
    case 3:
        line.linkage_name = 0;
        break;
    case 4:
        result.number++;
        break;
    case 5:
        result.rc = 2;
        break;
    case 6:
        result.n_lines = result.rc = 0x40000001; /* times 20: 20 */
        break;
    case 7:
        result.rc = -1;
        break;
    case 8:
        send_frame(fd, NAMER_STRING, UINT32_MAX, NULL, 0);
        break;
    case 9:
        send_frame(fd, 77, 0, NULL, 0);
        break;
    case 10:
        send_frame(fd, NAMER_ANSWER, 3, "abc", 3);
        break;
    case 11:
        result.rc = result.n_lines = 0;
        break;
    case 12: /* beside the lines, a text far out of all numbers */
        result.text = UINT32_MAX;
        break;
    case ENDLESS:
        for (;;)
            send_frame(fd, NAMER_STRING, 1, "x", 1);
    default:
        break;
    }
    send_answer(fd, &result, &line);
    for (;;)
        pause();
}

static void ask_hostile(int kind, const char *how)
{
    struct fixture f = {0};
    struct namer_options opt = {.serve = serve_nonsense,
                                .patience_ms = kind == ENDLESS ? PATIENCE_MS : 0};
    char want[200];
    hostile_kind = kind;
    setup(&f, &opt);
    namer_ask(f.n, f.a, 0, 5);
    struct namer_answer a = next(&f);
    cr_assert_eq(a.tag, 5);
    if (how) {
        cr_expect_eq(a.rc, -ENOTRECOVERABLE, "kind %d", kind);
        snprintf(want, sizeof(want), "no names for liba.so: the reader of its symbols %s", how);
        expect_trouble(&f, 0, want);
    } else {
        cr_expect_eq(a.rc, 1);
        cr_expect_str_eq(a.lines[0].name, "one");
        cr_expect_str_eq(a.lines[0].linkage_name, "t");
    }
    teardown(&f);
}

Test(namer, nonsense_is_refused)
{
    ask_hostile(0, NULL);
    for (int kind = 1; kind < ENDLESS; kind++)
        ask_hostile(kind, "answered nonsense");
}

Test(namer, talking_is_no_answer)
{
    ask_hostile(ENDLESS, "took over 0.3 s");
}

static void serve_noise(int fd)
{
    unsigned char noise[4096];
    uint64_t seed = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
    for (;;) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (unsigned char)(clock_random_next(&seed) % (i % 8 ? 3 : 256));
        if (send(fd, noise, sizeof(noise), MSG_NOSIGNAL) < 0)
            _exit(1);
    }
}

Test(namer, noise_is_refused)
{
    struct fixture f = {0};
    struct namer_options opt = {.serve = serve_noise};
    setup(&f, &opt);
    for (uint32_t i = 0; i < NAMER_DEATHS_MAX; i++)
        namer_ask(f.n, modules_add(&f.modules, 2, i, "libbad.so"), 0, i);
    for (uint32_t i = 0; i < NAMER_DEATHS_MAX; i++)
        expect_none(&f, i);
    teardown(&f);
}

/* --- what it is */

Test(namer, holds_only_the_files_of_modules)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    f.b->fd = open("/dev/null", O_RDONLY);
    namer_ask(f.n, f.a, DO(SHOW_FILES, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "5", "stdin, stdout, stderr, socket, module");
    close(fds[1]);
    char byte;
    cr_expect_eq(read(fds[0], &byte, 1), 0, "the pipe has ended for its reader");
    close(fds[0]);
    teardown(&f);
}

static bool first_kept(void *fd, size_t i, int *ret_fd)
{
    *ret_fd = *(int *)fd;
    return i == 0;
}

Test(namer, holds_what_it_is_told_to)
{
    struct fixture f = {0};
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct namer_options opt = {.lines = answer, .kept_fd = first_kept, .kept_arg = &fds[1]};
    setup(&f, &opt);
    namer_ask(f.n, f.a, DO(SHOW_FILES, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "5", "stdin, stdout, stderr, socket, pipe");
    teardown(&f);
    close(fds[0]);
    close(fds[1]);
}

Test(namer, is_harmless)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(SHOW_SELF, 1), 1);
    cr_expect_str_eq(next(&f).lines[0].name, "death 9 dump 0 privs 1 core 0 int 1 segv 0");
    teardown(&f);
}

Test(namer, dies_with_who_asked)
{
    int pid_pipe[2];
    pid_t pid = 0;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    cr_assert_eq(pipe(pid_pipe), 0);
    pid_t asker = fork();
    if (asker == 0) {
        struct fixture f = {0};
        setup(&f, &with_answer);
        namer_ask(f.n, f.a, DO(GOOD, 1), 1);
        expect_good(&f, f.a, 1);
        struct namer_answer none;
        namer_ask(f.n, f.a, DO(HANG, 2), 2); /* else it might end because nobody asks any more */
        cr_assert_not(namer_take(f.n, &none));
        pid = namer_pid(f.n);
        if (write(pid_pipe[1], &pid, sizeof(pid)) < 0)
            _exit(1);
        pause();
    }
    cr_assert_eq(read(pid_pipe[0], &pid, sizeof(pid)), sizeof(pid));
    kill(asker, SIGKILL);
    cr_assert_eq(waitpid(asker, NULL, 0), asker);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid); /* ours, as the next who adopts orphans */
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(pid_pipe[0]);
    close(pid_pipe[1]);
}

Test(namer, a_copy_of_the_asker_has_one_of_its_own)
{
    struct fixture f = {0};
    setup(&f, &with_answer);
    namer_ask(f.n, f.a, DO(GOOD, 1), 1);
    expect_good(&f, f.a, 1);
    pid_t ours = namer_pid(f.n);
    namer_ask(f.n, f.a, DO(GOOD, 2), 2);
    pid_t copy = fork();
    if (copy == 0) {
        expect_good(&f, f.a, 2);
        bool another = namer_pid(f.n) != ours && namer_pid(f.n) > 0;
        namer_free(f.n);
        _exit(another ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(copy, &status, 0), copy);
    cr_expect_eq(status, 0);
    expect_good(&f, f.a, 2);
    cr_expect_eq(namer_pid(f.n), ours);
    teardown(&f);
}

/* --- the real thing */

Test(namer, demangles_and_advises)
{
    struct fixture f = {0};
    setup(&f, &(struct namer_options){.symbols.demangle = DEMANGLE_SIMPLE});
    snprintf(f.a->trouble, sizeof(f.a->trouble), "not an ELF file");
    char *huge = mem_alloc(NAMER_TEXT_MAX_BYTES + 2);
    memset(huge, 'h', NAMER_TEXT_MAX_BYTES + 1);
    namer_ask_demangled(f.n, "_ZN3foo3barEi", 1);
    namer_ask_advice(f.n, f.a, 2);
    namer_ask_demangled(f.n, huge, 3);
    namer_ask_demangled(f.n, "plain", 4);
    namer_ask(f.n, f.a, 0x1000, 5);
    cr_expect_str_eq(next(&f).text, "foo::bar");
    cr_expect_str_eq(next(&f).text, "no symbols: not an ELF file");
    cr_expect_str_eq(next(&f).text, huge);
    cr_expect_str_eq(next(&f).text, "plain");
    cr_expect_eq(next(&f).rc, -EBADMSG);
    free(huge);
    teardown(&f);
}

static void count(void *n)
{
    ++*(int *)n;
}

Test(namer, meanwhile_is_called_while_it_waits)
{
    struct fixture f = {0};
    struct namer_answer a;
    int calls = 0;
    setup(&f, &impatient);
    namer_ask(f.n, f.a, DO(HANG, 1), 1);
    cr_assert(namer_next(f.n, &a, count, &calls));
    cr_expect_geq(calls, PATIENCE_MS / NAMER_LOOK_MS);
    uint64_t cpu_ns = 0, peak_bytes = 0;
    namer_cost(f.n, &cpu_ns, &peak_bytes);
    cr_expect_gt(cpu_ns, 0);
    cr_expect_gt(peak_bytes, 0);
    teardown(&f);
}
