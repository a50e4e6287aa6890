/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/number.h"
#include "report/report.h"

#define NOTHING_COST                                                          \
    "# cost: 0 stops, 0 us mean, 0 us max, 0% of the target's running time; " \
    "0 system calls disturbed; oxprof 0% of a CPU, 0 MiB\n"
#define COLUMNS "#  SELF   SELF%   TOTAL  TOTAL%  KIND    FUNCTION\n"

static const struct report_options plain = {.version = "0.1.0"};

static uint32_t frame(struct profile *p, const char *function, const char *module)
{
    uint32_t f = profile_frame(p, 99, p->n_frames);
    uint32_t in = *module ? profile_module(p, module, module, "") : 0;
    struct profile_line line = {.function = intern_put(p->strings, function)};
    profile_name(p, f, KIND_NATIVE, in, &line, 1);
    return f;
}

static void source(struct profile *p, uint32_t frame, const char *file, uint32_t start_line)
{
    struct profile_line *l = &p->lines[p->frames[frame].first_line];
    l->file = intern_put(p->strings, file);
    l->start_line = start_line;
}

static uint32_t python(struct profile *p, const char *function, const char *file, uint32_t line)
{
    uint32_t f = frame(p, function, "");
    p->frames[f].kind = KIND_PYTHON;
    source(p, f, file, line);
    return f;
}

static void hit_thread(struct profile *p, enum profile_state state, uint64_t hits, uint32_t thread,
                       const uint32_t *frames)
{
    size_t n = 0;
    while (frames[n])
        n++;
    profile_hit(p, profile_stack(p, frames, n, thread, state), hits);
}

/* In the thread 4242 of the process 4242; frames root first. */
#define HIT(p, state, hits, ...)                                     \
    hit_thread(p, state, hits, profile_thread(p, 4242, 4242, "app"), \
               (const uint32_t[]){__VA_ARGS__, 0})

static struct profile *new_profile(void)
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, "pid 4242 (app)");
    p->mode = intern_put(p->strings, "wall clock");
    p->interval_ns = 10000000;
    p->duration_ns = 5020000000;
    p->threads_seen = 5;
    return p;
}

static char *written(report_writer *writer, const struct profile *p,
                     const struct report_options *opt)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_eq(writer(p, opt, out), 0);
    fclose(out);
    return text;
}

static void expect(report_writer *writer, const struct profile *p, const struct report_options *opt,
                   const char *wanted)
{
    char *text = written(writer, p, opt);
    cr_assert(!strcmp(text, wanted), "got:\n%s\nwanted:\n%s", text, wanted);
    free(text);
}

/* What follows the three lines of the head. */
static void expect_body(const struct profile *p, const struct report_options *opt,
                        const char *wanted)
{
    char *text = written(report_text, p, opt), *body = text;
    for (int i = 0; i < 3; i++)
        body = strchr(body, '\n') + 1;
    cr_assert(!strcmp(body, wanted), "got:\n%s\nwanted:\n%s", body, wanted);
    free(text);
}

static uint64_t sum_of_self(const char *text)
{
    uint64_t sum = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        if (*line != '#')
            sum += strtoull(line, NULL, 10);
    return sum;
}

static struct profile *documented_profile(void)
{
    struct profile *p = new_profile();
    uint32_t main_ = frame(p, "main", "app"), crunch = frame(p, "crunch", "app");
    uint32_t work = frame(p, "work(int, std::vector<int> const&)", "app");
    uint32_t parse = python(p, "parse", "/srv/app.py", 22);
    HIT(p, PROFILE_CPU, 212, main_, work, crunch);
    HIT(p, PROFILE_CPU, 119, main_, work);
    HIT(p, PROFILE_CPU, 161, main_, parse);
    HIT(p, PROFILE_WAIT, 1485, frame(p, "pthread_cond_wait", "libc.so.6"));
    HIT(p, PROFILE_WAIT, 507, main_, frame(p, "epoll_wait", "libc.so.6"));
    p->lost[LOSS_UNWIND] = 3;
    p->lost[LOSS_THREAD_GONE] = 1;
    p->truncated = 3;
    p->python_torn = p->python_mismatches = 2;
    p->cost = (struct profile_cost){.stops = 412,
                                    .stop_ns_sum = 7004000,
                                    .stop_ns_max = 61234,
                                    .target_cpu_ns = 5000000000,
                                    .profiler_cpu_ns = 45180000,
                                    .profiler_peak_bytes = 14 << 20};
    return p;
}

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

Test(number, fixed_and_significant)
{
    cr_assert_str_eq(number_fixed(100, 1, 3, 2).text, "33.33");
    cr_assert_str_eq(number_fixed(100, 2, 3, 2).text, "66.67");
    cr_assert_str_eq(number_fixed(1, 1, 200, 2).text, "0.01", "half up");
    cr_assert_str_eq(number_fixed(1, 0, 0, 2).text, "0.00");
    cr_assert_str_eq(number_fixed(1, 1, 0, 2).text, "?");
    cr_assert_str_eq(number_fixed(100, UINT64_MAX, UINT64_MAX, 2).text, "100.00");
    static const struct {
        uint64_t num, den;
        unsigned digits;
        const char *text;
    } cases[] = {{0, 7, 2, "0"},
                 {14, 10000, 2, "0.0014"},
                 {9, 10, 2, "0.9"},
                 {34, 10, 2, "3.4"},
                 {17, 1, 2, "17"},
                 {4126, 10, 2, "413"},
                 {999, 100, 2, "10"},
                 {100, 1, 2, "100"},
                 {1000000000, 333333333, 4, "3"},
                 {1000000000, 10101010, 4, "99"},
                 {1000000000, 8100000, 4, "123.5"},
                 {1000000000, 10000000000, 4, "0.1"},
                 {1000000000, 100000, 4, "10000"},
                 {1, UINT64_MAX, 2, "0"},
                 {1, 0, 2, "?"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        cr_assert_str_eq(number_significant(1, cases[i].num, cases[i].den, cases[i].digits).text,
                         cases[i].text, "case %zu: %s", i,
                         number_significant(1, cases[i].num, cases[i].den, cases[i].digits).text);
}

Test(report, formats_by_name)
{
    cr_assert_eq(report_find("text"), report_text);
    cr_assert_eq(report_find("tsv"), report_tsv);
    cr_assert_eq(report_find("folded"), report_folded);
    cr_assert_null(report_find("tex"));
}

Test(report, a_full_disk_is_an_error)
{
    static report_writer *const writers[] = {report_text, report_tsv, report_folded};
    struct profile *p = documented_profile();
    for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
        FILE *full = fopen("/dev/full", "w");
        cr_assert_eq(writers[i](p, &plain, full), -EIO, "%zu", i);
        cr_assert_eq(errno, ENOSPC);
        fclose(full);
    }
    profile_free(p);
}

Test(table, recursion_counts_once)
{
    struct profile *p = new_profile();
    uint32_t f = frame(p, "f", "app"), g = frame(p, "g", "app"), same = frame(p, "f", "app");
    HIT(p, PROFILE_CPU, 3, g, f, f, g, same);
    HIT(p, PROFILE_CPU, 2, f);
    HIT(p, PROFILE_WAIT, 50, g);
    struct report_table t;
    report_table_make(p, &plain, PROFILE_CPU, UINT32_MAX, &t);
    cr_assert_eq(t.n, 2);
    cr_assert_eq(t.samples, 5);
    cr_assert_eq(t.rows[0].self, 5);
    cr_assert_eq(t.rows[0].total, 5);
    cr_assert_eq(t.rows[0].function, p->lines[p->frames[f].first_line].function);
    cr_assert_eq(t.rows[1].self, 0);
    cr_assert_eq(t.rows[1].total, 3);
    report_table_release(&t);
    report_table_release(NULL);
    profile_free(p);
}

Test(table, rows_merge_by_kind_function_and_module)
{
    struct profile *p = new_profile();
    uint32_t a = frame(p, "init", "app"), b = frame(p, "init", "libx.so"),
             c = frame(p, "init", "app");
    uint32_t jit = frame(p, "init", "app");
    p->frames[jit].kind = KIND_JIT;
    HIT(p, PROFILE_CPU, 4, a);
    HIT(p, PROFILE_CPU, 2, b);
    HIT(p, PROFILE_CPU, 1, c);
    HIT(p, PROFILE_CPU, 1, jit);
    p->cpu_only = true;
    expect_body(p, &plain,
                "#\n# on CPU\n" COLUMNS "      5   62.50       5   62.50  native  init (app)\n"
                "      2   25.00       2   25.00  native  init (libx.so)\n"
                "      1   12.50       1   12.50  jit     init (app)\n");
    /* of two files and one module: neither file is the row's */
    source(p, a, "a.c", 1);
    source(p, c, "c.c", 0);
    struct report_table t;
    report_table_make(p, &plain, PROFILE_CPU, UINT32_MAX, &t);
    cr_assert_eq(t.n, 3);
    cr_assert_eq(t.rows[0].file + t.rows[0].line, 0);
    report_table_release(&t);
    profile_free(p);
}

Test(table, without_a_module_the_source_tells_functions_apart)
{
    struct profile *p = new_profile();
    HIT(p, PROFILE_CPU, 1, python(p, "__init__", "b.py", 3));
    HIT(p, PROFILE_CPU, 1, python(p, "__init__", "a.py", 3), python(p, "__init__", "b.py", 30));
    HIT(p, PROFILE_CPU, 1, python(p, "__init__", "b.py", 3));
    expect(report_tsv, p, &plain,
           "state\tself\ttotal\tkind\tfunction\tmodule\tfile\tline\ttid\n"
           "cpu\t2\t2\tpython\t__init__\t\tb.py\t3\t\n"
           "cpu\t1\t1\tpython\t__init__\t\tb.py\t30\t\n"
           "cpu\t0\t1\tpython\t__init__\t\ta.py\t3\t\n");
    profile_free(p);
}

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
    p->names_folded = 8;
    p->cost.stops = p->cost.calls_disturbed = 1;
    p->cost.calls_repaired = 3;
    p->cost.perf_samples = 1234;
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
           "cut (memory limit); 2 symbol tables cut (memory limit); 8 times a name reads [other] "
           "(memory limit)\n"
           "# cost: 1 stop, 1234 perf samples, 3.4 us mean, 3.4 us max, 0.00034% of the target's "
           "running time; "
           "1 system call disturbed, 3 put back; oxprof 0% of a CPU, 0 MiB\n"
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

static struct profile *threaded_profile(void)
{
    struct profile *p = new_profile();
    uint32_t f = frame(p, "f", "app"), g = frame(p, "g", "app");
    uint32_t idle = profile_thread(p, 4242, 4242, "app");
    uint32_t busy = profile_thread(p, 4242, 4243, "work\ner");
    profile_thread(p, 4242, 4244, "unseen");
    hit_thread(p, PROFILE_WAIT, 9, idle, (uint32_t[]){f, 0});
    hit_thread(p, PROFILE_CPU, 3, busy, (uint32_t[]){f, g, 0});
    hit_thread(p, PROFILE_WAIT, 1, busy, (uint32_t[]){f, 0});
    return p;
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
static struct profile *inlined_profile(void)
{
    struct profile *p = new_profile();
    uint32_t main_ = frame(p, "main", "app"), a = frame(p, "", "app"), b = frame(p, "", "app");
    uint32_t app = profile_module(p, "/srv/app", "app", "ab12"),
             c = intern_put(p->strings, "/s/a.c");
    uint32_t step = intern_put(p->strings, "step"), turn = intern_put(p->strings, "turn");
    uint32_t crunch = intern_put(p->strings, "crunch");
    struct profile_line outer = {.function = crunch, .file = c, .line = 12, .start_line = 10};
    profile_name(
        p, a, KIND_NATIVE, app,
        (struct profile_line[]){{.function = step, .file = c, .line = 3, .start_line = 2}, outer},
        2);
    profile_name(p, b, KIND_NATIVE, app,
                 (struct profile_line[]){{.function = step, .file = c, .line = 4, .start_line = 2},
                                         {.function = turn, .file = c, .line = 7, .start_line = 6},
                                         outer},
                 3);
    HIT(p, PROFILE_CPU, 3, main_, a);
    HIT(p, PROFILE_CPU, 5, main_, b);
    HIT(p, PROFILE_CPU, 2, main_);
    p->cpu_only = true;
    return p;
}

Test(inlines, each_is_a_function)
{
    struct profile *p = inlined_profile();
    expect_body(p, &plain,
                "#\n# on CPU\n" COLUMNS "      8   80.00       8   80.00  native  step (app)\n"
                "      2   20.00      10  100.00  native  main (app)\n"
                "      0    0.00       8   80.00  native  crunch (app)\n"
                "      0    0.00       5   50.00  native  turn (app)\n");
    expect(report_folded, p, &plain, "main 2\nmain;crunch;step 3\nmain;crunch;turn;step 5\n");
    struct report_options opt = plain;
    opt.no_inlines = true;
    expect_body(p, &opt,
                "#\n# on CPU\n" COLUMNS "      8   80.00       8   80.00  native  crunch (app)\n"
                "      2   20.00      10  100.00  native  main (app)\n");
    expect(report_folded, p, &opt, "main 2\nmain;crunch 8\n");
    profile_free(p);
}

Test(inlines, by_line_and_address)
{
    struct profile *p = inlined_profile();
    p->frames[2].address = 0x1a;
    p->frames[3].address = 0x2b;
    struct report_options opt = plain;
    opt.lines = true;
    expect_body(p, &opt,
                "#\n# on CPU\n" COLUMNS "      5   50.00       5   50.00  native  step (a.c:4)\n"
                "      3   30.00       3   30.00  native  step (a.c:3)\n"
                "      2   20.00      10  100.00  native  main (app)\n"
                "      0    0.00       8   80.00  native  crunch (a.c:12)\n"
                "      0    0.00       5   50.00  native  turn (a.c:7)\n");
    opt.addresses = opt.no_inlines = opt.full_paths = true;
    expect_body(p, &opt,
                "#\n# on CPU\n" COLUMNS
                "      5   50.00       5   50.00  native  crunch (/s/a.c:12, /srv/app+0x2b)\n"
                "      3   30.00       3   30.00  native  crunch (/s/a.c:12, /srv/app+0x1a)\n"
                "      2   20.00      10  100.00  native  main (app+0x1)\n");
    opt.lines = false;
    expect(report_folded, p, &opt,
           "main (app+0x1) 2\nmain (app+0x1);crunch (/srv/app+0x1a) 3\n"
           "main (app+0x1);crunch (/srv/app+0x2b) 5\n");
    profile_free(p);
}

static void expect_view(const struct profile *p, const char *focus, const char *ignore,
                        const char *folded, uint64_t hidden)
{
    struct report_options opt = plain;
    struct profile view;
    regex_t re[2];
    if (focus && regcomp(&re[0], focus, REG_EXTENDED | REG_NOSUB) == 0)
        opt.focus = &re[0];
    if (ignore && regcomp(&re[1], ignore, REG_EXTENDED | REG_NOSUB) == 0)
        opt.ignore = &re[1];
    report_view_init(&view, p, &opt);
    expect(report_folded, &view, &opt, folded);
    cr_assert_eq(view.hidden, hidden);
    report_view_release(&view);
    for (int i = 0; i < 2; i++)
        if (i ? ignore : focus)
            regfree(&re[i]);
}

Test(view, focus_and_ignore)
{
    struct profile *p = inlined_profile();
    expect_view(p, NULL, NULL, "main 2\nmain;crunch;step 3\nmain;crunch;turn;step 5\n", 0);
    expect_view(p, "^st", NULL, "main;crunch;step 3\nmain;crunch;turn;step 5\n", 2);
    expect_view(p, "step", "turn", "main;crunch;step 3\n", 7);
    expect_view(p, "/s/a\\.c", NULL, "main;crunch;step 3\nmain;crunch;turn;step 5\n", 2);
    expect_view(p, NULL, "/srv", "main 2\n", 8);
    expect_view(p, "main", NULL, "main 2\nmain;crunch;step 3\nmain;crunch;turn;step 5\n", 0);
    expect_view(p, "nothing", NULL, "", 10);
    report_view_release(NULL);
    profile_free(p);
}

Test(tsv, states_and_threads)
{
    struct profile *p = threaded_profile();
    uint32_t odd = frame(p, "a\tb\\n", "m\n");
    source(p, odd, "x.c", 0);
    HIT(p, PROFILE_CPU, 1, odd);
#define HEAD "state\tself\ttotal\tkind\tfunction\tmodule\tfile\tline\ttid\n"
#define ODD "cpu\t1\t1\tnative\ta\\x09b\\x5cn\tm\\x0a\tx.c\t\t"
    expect(report_tsv, p, &plain,
           HEAD "cpu\t3\t3\tnative\tg\tapp\t\t\t\n" ODD "\n"
                "cpu\t0\t3\tnative\tf\tapp\t\t\t\n"
                "wait\t10\t10\tnative\tf\tapp\t\t\t\n");
    struct report_options opt = plain;
    opt.threads = true;
    expect(report_tsv, p, &opt,
           HEAD "cpu\t3\t3\tnative\tg\tapp\t\t\t4243\n"
                "cpu\t0\t3\tnative\tf\tapp\t\t\t4243\n"
                "wait\t1\t1\tnative\tf\tapp\t\t\t4243\n" ODD "4242\n"
                "wait\t9\t9\tnative\tf\tapp\t\t\t4242\n");
    opt.threads = false;
    opt.top = 1;
    expect(report_tsv, p, &opt,
           HEAD "cpu\t3\t3\tnative\tg\tapp\t\t\t\nwait\t10\t10\tnative\tf\tapp\t\t\t\n");
    profile_free(p);
}

Test(folded, same_text_is_one_line)
{
    struct profile *p = documented_profile();
    /* another address and another module, but the same words; and a stack of nothing */
    HIT(p, PROFILE_CPU, 1, frame(p, "main", "app"), frame(p, "epoll_wait", "libother.so"));
    HIT(p, PROFILE_WAIT, 4, 0);
    expect(report_folded, p, &plain,
           "[other] 4\n"
           "main;epoll_wait 508\n"
           "main;parse (/srv/app.py:22) 161\n"
           "main;work(int, std::vector<int> const&) 119\n"
           "main;work(int, std::vector<int> const&);crunch 212\n"
           "pthread_cond_wait 1485\n");
    profile_free(p);
}

Test(folded, names_cant_be_taken_for_counts_or_frames)
{
    struct profile *p = new_profile();
    uint32_t root = frame(p, "[u8; 32]", "app");
    HIT(p, PROFILE_CPU, 1, root, frame(p, "operator 12", "app"));
    HIT(p, PROFILE_CPU, 2, root, frame(p, "x 1.5", "app"));
    HIT(p, PROFILE_CPU, 3, root, frame(p, "blank ", "app"));
    HIT(p, PROFILE_CPU, 4, root, frame(p, "", ""));
    HIT(p, PROFILE_CPU, 5, root, frame(p, "a\r\n\tb", ""));
    HIT(p, PROFILE_CPU, 6, root, frame(p, "12", ""));
    expect(report_folded, p, &plain,
           "[u8: 32];12 6\n"
           "[u8: 32];[unknown] 4\n"
           "[u8: 32];a\\x0d\\x0a\\x09b 5\n"
           "[u8: 32];blank_ 3\n"
           "[u8: 32];operator_12 1\n"
           "[u8: 32];x_1.5 2\n");
    profile_free(p);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

Test(folded, lines_are_sorted_bytewise)
{
    static const char *const names[] = {"a",  "a b", "a!", "a 5x",   "a;",  "a:b",  "a 12y",
                                        "aa", "~",   "A",  "\u00e4", "a 5", "a b c"};
    enum { N = sizeof(names) / sizeof(*names) };
    struct profile *p = new_profile();
    uint32_t f[N];
    for (size_t i = 0; i < N; i++)
        f[i] = frame(p, names[i], "app");
    for (size_t i = 0; i < N; i++) {
        HIT(p, PROFILE_CPU, 5, f[i]);
        for (size_t j = 0; j < N; j++)
            HIT(p, PROFILE_CPU, 1 + 7 * j, f[i], f[j]);
    }
    char *text = written(report_folded, p, &plain);
    char *lines[2 * N * N], *sorted[2 * N * N];
    size_t n = 0;
    for (char *save = NULL, *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
        lines[n++] = s;
    cr_assert_eq(n, N * (N + 1));
    memcpy(sorted, lines, sizeof(lines));
    qsort(sorted, n, sizeof(*sorted), compare_lines);
    for (size_t i = 0; i < n; i++)
        cr_assert_str_eq(lines[i], sorted[i], "line %zu", i);
    free(text);
    profile_free(p);
}

Test(folded, several_processes_are_told_apart)
{
    struct profile *p = new_profile();
    uint32_t f = frame(p, "f", "app"), g = frame(p, "g", "app");
    uint32_t worker = profile_thread(p, 50, 51, "worker");
    profile_thread(p, 50, 50, "two");
    hit_thread(p, PROFILE_CPU, 1, worker, (uint32_t[]){f, g, 0});
    expect(report_folded, p, &plain, "f;g 1\n");
    HIT(p, PROFILE_CPU, 2, f, g);
    HIT(p, PROFILE_WAIT, 3, f, g);
    expect(report_folded, p, &plain, "app (pid 4242);f;g 5\ntwo (pid 50);f;g 1\n");
    profile_free(p);
}

Test(folded, of_nothing_is_empty)
{
    struct profile *p = new_profile();
    HIT(p, PROFILE_CPU, 1, frame(p, "f", "app"));
    profile_reset(p);
    expect(report_folded, p, &plain, "");
    expect(report_tsv, p, &plain, "state\tself\ttotal\tkind\tfunction\tmodule\tfile\tline\ttid\n");
    profile_free(p);
}
