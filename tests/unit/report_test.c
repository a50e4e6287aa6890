/* SPDX-License-Identifier: MIT */
#include "report/number.h"
#include "report_profile.h"

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
    hit_thread(p, PROFILE_CPU, 7, profile_named_thread(p, 0, "x"), (uint32_t[]){f, 0});
    hit_thread(p, PROFILE_CPU, 8, profile_other_thread(p), (uint32_t[]){f, 0});
    expect(report_folded, p, &plain,
           "[other];f 8\napp (pid 4242);f;g 5\ntwo (pid 50);f;g 1\nx;f 7\n");
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
