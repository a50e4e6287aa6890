/* SPDX-License-Identifier: MIT */
#include "namer_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

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

static size_t open_files(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

void setup(struct fixture *f, const struct namer_options *opt)
{
    f->files = open_files();
    f->a = modules_add(&f->modules, 1, 1, "liba.so");
    f->b = modules_add(&f->modules, 1, 2, "libb.so");
    f->n = namer_new(opt, &f->modules);
}

const struct namer_options with_answer = {.lines = answer};
const struct namer_options impatient = {.lines = answer, .patience_ms = PATIENCE_MS};

void teardown(struct fixture *f)
{
    namer_free(f->n);
    modules_release(&f->modules);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
    cr_expect_eq(errno, ECHILD);
    cr_expect_eq(open_files(), f->files);
}

struct namer_answer next(struct fixture *f)
{
    struct namer_answer answer_to_it = {0};
    cr_assert(namer_next(f->n, &answer_to_it, NULL, NULL));
    return answer_to_it;
}

void expect_good(struct fixture *f, const struct module *m, uint32_t number)
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

void expect_none(struct fixture *f, uint64_t tag)
{
    struct namer_answer a = next(f);
    cr_assert_eq(a.tag, tag);
    cr_assert_eq(a.rc, -ENOTRECOVERABLE);
}

void expect_trouble(const struct fixture *f, size_t i, const char *want)
{
    char got[600];
    if (!want) {
        cr_expect_not(namer_trouble(f->n, i, got, sizeof(got)));
        return;
    }
    cr_assert(namer_trouble(f->n, i, got, sizeof(got)), "no trouble %zu, but: %s", i, want);
    cr_expect_str_eq(got, want);
}
