/* SPDX-License-Identifier: MIT */
#include "report_profile.h"

static const char documented_report[] =
    "# oxprof 0.1.0: pid 4242 (app), 5 threads, wall clock, 100 Hz, 5.02 s\n"
    "# 2484 samples: 492 on CPU (0.98 CPUs busy), 1992 waiting; 4 lost (3 unwind, 1 thread gone); "
    "3 stacks truncated; 2 Python stacks torn; 2 Python stacks without their place\n"
    "# cost: 412 stops, 17 us mean, 61 us max, 0.14% of the target's running time; "
    "0 system calls disturbed; oxprof 0.9% of a CPU, 14 MiB\n"
    "#\n"
    "# on CPU\n"
    "#  SELF   SELF%   TOTAL  TOTAL%  KIND    FUNCTION\n"
    "    212   43.09     212   43.09  native  crunch (app)\n"
    "    161   32.72     161   32.72  python  parse (/srv/app.py:22)\n"
    "    119   24.19     331   67.28  native  work(int, std::vector<int> const&) (app)\n"
    "      0    0.00     492  100.00  native  main (app)\n"
    "#\n"
    "# waiting\n"
    "#  SELF   SELF%   TOTAL  TOTAL%  KIND    FUNCTION\n"
    "   1485   74.55    1485   74.55  native  pthread_cond_wait (libc.so.6)\n"
    "    507   25.45     507   25.45  native  epoll_wait (libc.so.6)\n"
    "      0    0.00     507   25.45  native  main (app)\n";

Test(text, is_as_documented)
{
    struct profile *p = documented_profile();
    expect(report_text, p, &plain, documented_report);
    profile_free(p);
}

Test(text, head_of_nothing)
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, "pid 1 (\033[31mred)");
    p->mode = intern_put(p->strings, "wall clock");
    p->threads_seen = 1;
    expect(report_text, p, &plain,
           "# oxprof 0.1.0: pid 1 (\\x1b[31mred), 1 thread, wall clock, 0 Hz, 0.00 s\n"
           "# 0 samples: 0 on CPU (0.00 CPUs busy), 0 waiting; 0 lost; 0 stacks "
           "truncated\n" NOTHING_COST "#\n# on CPU\n" COLUMNS "# none\n#\n# waiting\n" COLUMNS
           "# none\n");
    profile_free(p);
}

Test(text, head_tells_what_limits_did)
{
    struct profile *p = profile_new(&(struct profile_limits){.nodes = 1, .threads = 1});
    uint32_t f = frame(p, "f", "app"), g = frame(p, "g", "app");
    p->title = intern_put(p->strings, "pid 4242 (app)");
    p->mode = intern_put(p->strings, "CPU");
    p->cpu_only = true;
    p->interval_ns = 1000000;
    p->duration_ns = 1000000000;
    p->ticks = 1000;
    p->ticks_missed = 7;
    p->threads_seen = 2;
    p->truncated = p->python_torn = p->python_mismatches = 1;
    p->lost[LOSS_NOT_STOPPED] = 2;
    p->modules_folded = 37;
    p->mappings_cut = 3;
    p->cfi_cut = 5;
    p->tables_cut = 2;
    p->jit_lines_skipped = 9;
    p->names_folded = 8;
    p->cost.stops = p->cost.calls_disturbed = 1;
    p->cost.calls_repaired = 3;
    p->cost.perf_samples = 1234;
    p->cost.perf_refused = 1;
    p->cost.max_overhead_ppm = 15000;
    p->cost.looks = 250;
    p->cost.stop_ns_sum = p->cost.stop_ns_max = 3400;
    p->cost.target_cpu_ns = 1000000000;
    HIT(p, PROFILE_CPU, 4, f, g);
    HIT(p, PROFILE_CPU, 1, g);
    hit_thread(p, PROFILE_CPU, 5, profile_thread(p, 4242, 4243, "w"), (uint32_t[]){f, 0});
    expect(report_text, p, &plain,
           "# oxprof 0.1.0: pid 4242 (app), 2 threads, CPU, 1000 Hz, 1.00 s\n"
           "# 10 samples: 10 on CPU (0.01 CPUs busy); 2 lost (2 not stopped); 1 stack truncated; "
           "1 Python stack torn; 1 Python stack without its place; "
           "7 of 1000 ticks missed; 5 folded into their callers (memory limit); "
           "6 under thread [other] (memory limit); 37 mappings under module [other] (memory "
           "limit); 3 times a mapping was left out (memory limit); 5 modules' unwind information "
           "cut (memory limit); 2 symbol tables cut (memory limit); 9 lines of a JIT's map "
           "skipped; 8 times a name reads [other] "
           "(memory limit)\n"
           "# cost: 1 stop, 3.4 us mean, 3.4 us max, 0.00034% of the target's running time; "
           "1234 perf samples; perf_event refused; 1 system call disturbed, 3 put back; oxprof 0% "
           "of a CPU, 0 MiB; "
           "250 looks a second (--max-overhead 1.5%)\n"
           "#\n# on CPU\n"
           "#  SELF   SELF%   TOTAL  TOTAL%  KIND     FUNCTION\n"
           "      9   90.00       9   90.00  native   f (app)\n"
           "      1   10.00       1   10.00  unknown  [other]\n");
    profile_free(p);
}

Test(text, a_waiting_sample_shows_even_where_only_cpu_is_sampled)
{
    struct profile *p = new_profile();
    p->cpu_only = true;
    HIT(p, PROFILE_WAIT, 2, frame(p, "read", "libc.so.6"));
    char *text = written(report_text, p, &plain);
    cr_assert_eq(sum_of_self(text), 2);
    cr_assert_not_null(strstr(text, "# 2 samples: 0 on CPU (0.00 CPUs busy), 2 waiting;"));
    free(text);
    profile_free(p);
}

Test(text, names_from_the_target_stay_on_their_line)
{
    struct profile *p = new_profile();
    p->cpu_only = true;
    HIT(p, PROFILE_CPU, 4, frame(p, "a\n# b\t\033[2J", "x\r.so"));
    HIT(p, PROFILE_CPU, 3, frame(p, "", ""));
    HIT(p, PROFILE_CPU, 2, frame(p, "", "app"));
    HIT(p, PROFILE_CPU, 1, frame(p, "unknown", ""));
    expect_body(p, &plain,
                "#\n# on CPU\n" COLUMNS
                "      4   40.00       4   40.00  native  a\\x0a# b\\x09\\x1b[2J (x\\x0d.so)\n"
                "      3   30.00       3   30.00  native  [unknown]\n"
                "      2   20.00       2   20.00  native  [unknown] (app)\n"
                "      1   10.00       1   10.00  native  unknown\n");
    profile_free(p);
}

Test(text, large_numbers_widen_their_columns)
{
    struct profile *p = new_profile();
    p->cpu_only = true;
    HIT(p, PROFILE_CPU, 123456789, frame(p, "f", "app"), frame(p, "g", "app"));
    expect_body(p, &plain,
                "#\n# on CPU\n"
                "#    SELF   SELF%      TOTAL  TOTAL%  KIND    FUNCTION\n"
                "123456789  100.00  123456789  100.00  native  g (app)\n"
                "        0    0.00  123456789  100.00  native  f (app)\n");
    profile_free(p);
}

Test(text, orders)
{
    struct profile *p = new_profile();
    p->cpu_only = true;
    uint32_t b = frame(p, "b", "app"), a = frame(p, "a", "app"), c = frame(p, "c", "app");
    HIT(p, PROFILE_CPU, 1, b, a);
    HIT(p, PROFILE_CPU, 1, b);
    HIT(p, PROFILE_CPU, 2, c);
#define A "      1   25.00       1   25.00  native  a (app)\n"
#define B "      1   25.00       2   50.00  native  b (app)\n"
#define C "      2   50.00       2   50.00  native  c (app)\n"
    struct report_options opt = plain;
    expect_body(p, &opt, "#\n# on CPU\n" COLUMNS C B A);
    opt.sort = SORT_NAME;
    expect_body(p, &opt, "#\n# on CPU\n" COLUMNS A B C);
    HIT(p, PROFILE_CPU, 4, c, b);
    opt.sort = SORT_TOTAL;
    expect_body(p, &opt,
                "#\n# on CPU\n" COLUMNS "      5   62.50       6   75.00  native  b (app)\n"
                "      2   25.00       6   75.00  native  c (app)\n"
                "      1   12.50       1   12.50  native  a (app)\n");
    profile_free(p);
}

Test(text, what_a_limit_leaves_out_is_said)
{
    struct profile *p = documented_profile();
    struct report_options opt = plain;
    opt.top = 1;
    expect_body(p, &opt,
                "#\n# on CPU\n" COLUMNS "    212   43.09     212   43.09  native  crunch (app)\n"
                "# 3 more functions, 280 samples SELF, not shown: -N 1\n"
                "#\n# waiting\n" COLUMNS
                "   1485   74.55    1485   74.55  native  pthread_cond_wait (libc.so.6)\n"
                "# 2 more functions, 507 samples SELF, not shown: -N 1\n");
    opt.top = 2;
    opt.min_percent = 33.5;
    expect_body(
        p, &opt,
        "#\n# on CPU\n" COLUMNS "    212   43.09     212   43.09  native  crunch (app)\n"
        "    119   24.19     331   67.28  native  work(int, std::vector<int> const&) (app)\n"
        "# 2 more functions, 161 samples SELF, not shown: --min-percent 33.5, -N 2\n"
        "#\n# waiting\n" COLUMNS
        "   1485   74.55    1485   74.55  native  pthread_cond_wait (libc.so.6)\n"
        "# 2 more functions, 507 samples SELF, not shown: --min-percent 33.5\n");
    profile_free(p);
}

Test(text, on_a_terminal_names_are_cut_in_the_middle)
{
    struct profile *p = new_profile();
    p->cpu_only = true;
    HIT(p, PROFILE_CPU, 3, frame(p, "abcdefghijklmnop", "x"));
    HIT(p, PROFILE_CPU, 2, frame(p, "\u00e4\u00f6\u00fc\u00dfdefghijklmno\u00e9", ""));
    HIT(p, PROFILE_CPU, 1, frame(p, "\u4e2d\u6587\u51fd\u6570\u540d\u79f0\u5f88\u957f\u7684", ""));
    HIT(p, PROFILE_CPU, 1, frame(p, "abcdefghijklmn", ""));
    struct report_options opt = plain;
    opt.color = true;
    opt.width = 55;
    expect_body(
        p, &opt,
        "#\n# on CPU\n"
        "\033[1m#  SELF   SELF%   TOTAL  TOTAL%  KIND    FUNCTION\033[0m\n"
        "      3   42.86       3   42.86  native  abcdef\u2026nop (x)\n"
        "      2   28.57       2   28.57  native  \u00e4\u00f6\u00fc\u00dfde\u2026jklmno\u00e9\n"
        "      1   14.29       1   14.29  native  abcdefghijklmn\n"
        "      1   14.29       1   14.29  native  \u4e2d\u6587\u51fd\u2026\u5f88\u957f\u7684\n");
    profile_free(p);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

Test(text, on_a_terminal_the_report_is_a_screenful)
{
    struct profile *p = new_profile();
    for (unsigned i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%02u", i);
        HIT(p, PROFILE_CPU, 100 - i, frame(p, name, "app"));
        HIT(p, i < 3 ? PROFILE_WAIT : PROFILE_CPU, 1, frame(p, "w", name));
    }
    struct report_options opt = plain;
    opt.width = 200;
    opt.height = 24;
    char *text = written(report_text, p, &opt);
    cr_assert_eq(count_lines(text), 23 - 1, "nothing is left out of the second block");
    cr_assert_not_null(strstr(text, "native  f08 (app)\n# 68 more functions, 2393 samples SELF, "
                                    "not shown: a screenful (| cat shows all)\n#\n# waiting\n"),
                       "%s", text);
    cr_assert_not_null(strstr(text, "w (f02)\n"));
    free(text);
    opt.height = 0;
    text = written(report_text, p, &opt);
    cr_assert_eq(sum_of_self(text), 3260);
    free(text);
    profile_free(p);
}

Test(text, per_thread)
{
    struct profile *p = threaded_profile();
    struct report_options opt = plain;
    opt.threads = true;
    expect_body(p, &opt,
                "#\n# thread 4243 (work\\x0aer): 3 on CPU, 1 waiting\n"
                "#\n# on CPU\n" COLUMNS "      3  100.00       3  100.00  native  g (app)\n"
                "      0    0.00       3  100.00  native  f (app)\n"
                "#\n# waiting\n" COLUMNS "      1  100.00       1  100.00  native  f (app)\n"
                "#\n# thread 4242 (app): 0 on CPU, 9 waiting\n"
                "#\n# on CPU\n" COLUMNS "# none\n"
                "#\n# waiting\n" COLUMNS "      9  100.00       9  100.00  native  f (app)\n");
    opt.width = 200;
    opt.height = 18;
    char *text = written(report_text, p, &opt);
    cr_assert_not_null(
        strstr(text, "#\n# 1 more thread, 9 samples, not shown: a screenful (| cat shows all)\n"));
    cr_assert_null(strstr(text, "thread 4242"));
    free(text);
    profile_free(p);
}

/* main calls crunch, which has step inlined twice, the second time within turn. */
