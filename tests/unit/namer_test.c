/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "namer_fixture.h"
#include "symbols/kallsyms.h"
#include "symbols/namer_watch.h"
#include "symbols/namer_wire.h"

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

/* Of no module; where nothing is, the kernel has no name. */
Test(namer, code_of_the_kernel)
{
    struct fixture f = {0};
    setup(&f, &(struct namer_options){.symbols.demangle = DEMANGLE_SIMPLE});
    namer_ask_kernel(f.n, 0, 1);
    namer_ask_demangled(f.n, "plain", 2);
    struct kallsyms *k = kallsyms_read();
    struct kernel_symbol symbol;
    uint64_t addr = 0xffffffff80000000;
    while (addr < 0xffffffffff000000 && !kallsyms_find(k, addr, &symbol))
        addr += 1 << 16;
    namer_ask_kernel(f.n, addr, 3);
    cr_expect_eq(next(&f).rc, -ENODATA);
    cr_expect_str_eq(next(&f).text, "plain");
    struct namer_answer answer = next(&f);
    cr_expect_eq(answer.rc, kallsyms_shown() ? 1 : -ENODATA);
    if (answer.rc > 0)
        cr_expect_str_eq(answer.lines[0].linkage_name, symbol.name);
    kallsyms_free(k);
    teardown(&f);
}

/* A look after the longest time that counts. */
static uint64_t look_again(struct namer_watch *w, const struct namer_process *p)
{
    static const struct namer_options opt = {.symbols.debuginfod = true, .patience_ms = 100};
    heartbeat_beat(&p->page->heartbeat);
    w->looked_ns -= (uint64_t)NAMER_LOOK_MS * 1000 * 1000;
    return namer_watch_look(w, &opt, p);
}

/* Nor has a download no end, whoever says that it is one. */
Test(namer, what_a_download_took_is_not_held_against_it_afterwards)
{
    struct namer_watch w = {0};
    struct namer_page page = {0};
    struct namer_process p = {.page = &page};
    namer_watch_progress(&w);
    page.heartbeat.downloads = true;
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(look_again(&w, &p), 0);
    page.heartbeat.downloads = false;
    for (int i = 0; i < NAMER_SLOW_TIMES * 100 / NAMER_LOOK_MS - 1; i++)
        cr_assert_eq(look_again(&w, &p), 0, "after %d looks", i);
    cr_assert_eq(look_again(&w, &p), (uint64_t)NAMER_SLOW_TIMES * 100 * 1000 * 1000);
    namer_watch_progress(&w);
    page.heartbeat.downloads = true;
    for (int i = 0; i < NAMER_SLOW_TIMES * NAMER_DOWNLOAD_MS / NAMER_LOOK_MS - 1; i++)
        cr_assert_eq(look_again(&w, &p), 0);
    cr_assert_neq(look_again(&w, &p), 0);
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
