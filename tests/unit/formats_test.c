/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>

#include "made_profile.h"
#include "report/interval.h"

static void expect(report_writer *writer, const struct profile *p, const struct report_options *opt,
                   const char *wanted)
{
    char *got = made_text(writer, p, opt, NULL);
    cr_assert(!strcmp(got, wanted), "got:\n%s\nwanted:\n%s", got, wanted);
    free(got);
}

Test(formats, by_name_and_suffix)
{
    static const char *const cases[][2] = {{"a.txt", "text"},
                                           {"a.tsv", "tsv"},
                                           {"a.json", "json"},
                                           {"a.folded", "folded"},
                                           {"a.pb.gz", "pprof"},
                                           {"a.pprof", "pprof"},
                                           {"x.callgrind", "callgrind"},
                                           {"a.perf", "perf"},
                                           {"a.speedscope.json", "speedscope"},
                                           {"a.firefox.json", "firefox"},
                                           {"a.speedscope", "speedscope"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *format = report_format_of(cases[i][0]);
        cr_assert(format && !strcmp(format, cases[i][1]), "%s: %s", cases[i][0], format);
        cr_assert_not_null(report_find(format));
    }
    cr_assert_null(report_format_of("a.gz"));
    cr_assert_null(report_format_of("pprof"));
    cr_assert_eq(report_time_of("firefox"), TIME_NEEDED);
    cr_assert_eq(report_time_of("speedscope"), TIME_USED);
    cr_assert_eq(report_time_of("pprof"), TIME_NO_USE);
}

Test(formats, a_full_disk_is_an_error)
{
    static const char *const formats[] = {"json",    "pprof",     "speedscope",
                                          "firefox", "callgrind", "perf"};
    struct profile *p = made_profile(true);
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        FILE *full = fopen("/dev/full", "w");
        cr_assert_eq(report_find(formats[i])(p, &plain, full), -EIO, "%s", formats[i]);
        cr_assert_eq(errno, ENOSPC, "%s", formats[i]);
        fclose(full);
    }
    profile_free(p);
}

/* A profile of which a view shows nothing, or which never had anything. */
Test(formats, of_nothing)
{
    static const char *const formats[] = {"json",      "pprof", "speedscope", "firefox",
                                          "callgrind", "perf",  "folded",     "text"};
    struct profile *p = made_profile(true), *empty = profile_new(NULL);
    profile_reset(p);
    profile_keep_time(empty);
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        free(made_text(report_find(formats[i]), p, &plain, NULL));
        free(made_text(report_find(formats[i]), empty, &plain, NULL));
    }
    expect(report_perf, p, &plain, "");
    profile_free(empty);
    profile_free(p);
}

Test(text, intervals)
{
    struct profile *p = made_profile(false);
    struct report_options opt = plain;
    opt.ci = true;
    char *got = made_text(report_text, p, &opt, NULL), *body = got;
    for (int i = 0; i < 3; i++)
        body = strchr(body, '\n') + 1;
    cr_assert_str_eq(
        body,
        "#\n"
        "# on CPU\n"
        "#  SELF   SELF%         SELF95   TOTAL  TOTAL%        TOTAL95  KIND    FUNCTION\n"
        "      6   54.55    28.01-78.73       6   54.55    28.01-78.73  native  </script><img "
        "onerror"
        "=x>;\"\\ 1 (app)\n"
        "      3   27.27     9.75-56.56       3   27.27     9.75-56.56  native  step<int> (app)\n"
        "      2   18.18     5.14-47.70       2   18.18     5.14-47.70  python  parse "
        "(/srv/app.py:22"
        ")\n"
        "      0    0.00     0.00-25.88      11  100.00   74.12-100.00  native  main (app)\n"
        "      0    0.00     0.00-25.88       3   27.27     9.75-56.56  native  g (app)\n"
        "#\n"
        "# waiting\n"
        "#  SELF   SELF%         SELF95   TOTAL  TOTAL%        TOTAL95  KIND    FUNCTION\n"
        "      9  100.00   70.09-100.00       9  100.00   70.09-100.00  native  [futex] "
        "(libc.so.6)\n");
    free(got);
    profile_free(p);
}

Test(json, whole)
{
    struct profile *p = made_profile(false);
    struct report_options opt = plain;
    opt.ci = true;
    expect(
        report_json, p, &opt,
        "{\"schema\":\"oxprof.report/1\",\"version\":\"0.1.0\",\"title\":\"pid 7 (app)\","
        "\"mode\":\"wall clock\",\"began_ns\":1700000000000000000,\"interval_ns\":10000000,"
        "\"duration_ns\":150000000,\"samples\":{\"cpu\":11,\"wait\":9},\"threads_seen\":2,"
        "\"ticks\":15,\"ticks_missed\":1,\"truncated\":2,\"given_up\":0,\"python_torn\":0,"
        "\"python_mismatches\":0,\"folded\":0,\"hidden\":0,"
        "\"modules_folded\":0,\"mappings_cut\":0,\"cfi_cut\":0,\"tables_cut\":0,\"lines_cut\":0,"
        "\"jit_lines_skipped\":0,\"names_folded\":0,"
        "\"unattributed\":0,"
        "\"lost\":{\"unwind\":0,\"thread_gone\":4,\"late\":0,\"unseen\":0,\"traced_by_another\":0,"
        "\"refused\":0,\"did_not_stop\":0,\"unreadable\":0,\"not_stopped\":0,\"lost_by_perf\":0},"
        "\"cost\":{\"stops\":"
        "9,"
        "\"stop_ns_sum\":90,\"stop_ns_max\":20,\"calls_disturbed\":0,\"calls_repaired\":0,"
        "\"target_cpu_ns\":0,\"profiler_cpu_ns\":0,\"profiler_peak_bytes\":0,\"perf_samples\":0,"
        "\"max_overhead_ppm\":0,\"looks\":0,\"perf_refused\":0},"
        "\"functions\":[\n"
        "{\"state\":\"cpu\",\"self\":6,\"total\":6,\"kind\":\"native\","
        "\"function\":\"\\u003c/script\\u003e\\u003cimg onerror=x\\u003e;\\\"\\\\ 1\","
        "\"module\":\"app\",\"file\":null,\"line\":null,\"tid\":null,\"self_ci\":[28.01,78.73],"
        "\"total_ci\":[28.01,78.73]}\n"
        ",{\"state\":\"cpu\",\"self\":3,\"total\":3,\"kind\":\"native\","
        "\"function\":\"step\\u003cint\\u003e\",\"module\":\"app\",\"file\":\"/s/"
        "step.h\",\"line\":2,"
        "\"tid\":null,\"self_ci\":[9.75,56.56],\"total_ci\":[9.75,56.56]}\n"
        ",{\"state\":\"cpu\",\"self\":2,\"total\":2,\"kind\":\"python\",\"function\":\"parse\","
        "\"module\":null,\"file\":\"/srv/"
        "app.py\",\"line\":22,\"tid\":null,\"self_ci\":[5.14,47.70],"
        "\"total_ci\":[5.14,47.70]}\n"
        ",{\"state\":\"cpu\",\"self\":0,\"total\":11,\"kind\":\"native\",\"function\":\"main\","
        "\"module\":\"app\",\"file\":\"/s/"
        "app.c\",\"line\":10,\"tid\":null,\"self_ci\":[0.00,25.88],"
        "\"total_ci\":[74.12,100.00]}\n"
        ",{\"state\":\"cpu\",\"self\":0,\"total\":3,\"kind\":\"native\",\"function\":\"g\","
        "\"module\":\"app\",\"file\":\"/s/"
        "app.c\",\"line\":30,\"tid\":null,\"self_ci\":[0.00,25.88],"
        "\"total_ci\":[9.75,56.56]}\n"
        ",{\"state\":\"wait\",\"self\":9,\"total\":9,\"kind\":\"native\",\"function\":\"[futex]\","
        "\"module\":\"libc.so.6\",\"file\":null,\"line\":null,\"tid\":null,\"self_ci\":[70.09,"
        "100.00],\"total_ci\":[70.09,100.00]}\n"
        "]}\n");
    profile_free(p);
}

Test(json, any_bytes_are_text)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line =
        made_line(p, "a\n\x1b\x7f\xff\xc3\xa9\xe2\x80\xae\xf3\xa0\x80\xa1\"\\/", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "", &line, 1);
    MADE_HIT(p, profile_thread(p, 1, 1, ""), PROFILE_CPU, 1, 1, f);
    char *got = made_text(report_json, p, &plain, NULL);
    cr_assert_not_null(strstr(got, "\"function\":\"a\\u000a\\u001b\\u007f\\\\xff\xc3\xa9\\u202e"
                                   "\\udb40\\udc21\\\"\\\\/\","),
                       "%s", got);
    free(got);
    profile_free(p);
}

Test(callgrind, whole)
{
    struct profile *p = made_profile(false);
    expect(report_callgrind, p, &plain,
           "# callgrind format\n"
           "version: 1\n"
           "creator: oxprof-0.1.0\n"
           "cmd: pid 7 (app)\n"
           "part: 1\n"
           "positions: line\n"
           "event: Samples : all samples\n"
           "event: OnCPU : samples on CPU\n"
           "event: Waiting : samples that waited\n"
           "events: Samples OnCPU Waiting\n"
           "summary: 20 11 9\n"
           "\n"
           "ob=(1) app\n"
           "fl=(1) ???\n"
           "fn=(1) </script><img onerror=x>;\"\\ 1\n"
           "0 6 6 0\n"
           "\n"
           "ob=(2) libc.so.6\n"
           "fl=(1)\n"
           "fn=(2) [futex]\n"
           "0 9 0 9\n"
           "\n"
           "ob=(1)\n"
           "fl=(2) /s/app.c\n"
           "fn=(3) g\n"
           "30 0 0 0\n"
           "cob=(1)\n"
           "cfi=(3) /s/step.h\n"
           "cfn=(4) step<int>\n"
           "calls=3 2\n"
           "30 3 3 0\n"
           "\n"
           "ob=(1)\n"
           "fl=(2)\n"
           "fn=(5) g'2\n"
           "30 0 0 0\n"
           "cob=(1)\n"
           "cfi=(3)\n"
           "cfn=(6) step<int>'2\n"
           "calls=3 2\n"
           "30 3 3 0\n"
           "\n"
           "ob=(1)\n"
           "fl=(2)\n"
           "fn=(7) main\n"
           "10 0 0 0\n"
           "cob=(1)\n"
           "cfi=(1)\n"
           "cfn=(1)\n"
           "calls=6 0\n"
           "10 6 6 0\n"
           "cob=(1)\n"
           "cfi=(2)\n"
           "cfn=(3)\n"
           "calls=3 30\n"
           "10 3 3 0\n"
           "cob=(3) ???\n"
           "cfi=(4) /srv/app.py\n"
           "cfn=(8) parse\n"
           "calls=2 22\n"
           "10 2 2 0\n"
           "\n"
           "ob=(3)\n"
           "fl=(4)\n"
           "fn=(8)\n"
           "22 2 2 0\n"
           "\n"
           "ob=(1)\n"
           "fl=(3)\n"
           "fn=(4)\n"
           "2 0 0 0\n"
           "cob=(1)\n"
           "cfi=(2)\n"
           "cfn=(5)\n"
           "calls=3 30\n"
           "2 3 3 0\n"
           "\n"
           "ob=(1)\n"
           "fl=(3)\n"
           "fn=(6)\n"
           "2 3 3 0\n");
    profile_free(p);
}

/* a > b > a > b > c and b > a: the costs of each function's calls, and of the calls to it, are what
 * TOTAL is, but for what nobody calls. */
Test(callgrind, recursion_costs_once)
{
    struct profile *p = profile_new(NULL);
    uint32_t f[3], t = profile_thread(p, 1, 1, "t");
    for (uint32_t i = 0; i < 3; i++) {
        struct profile_line line = made_line(p, (char[]){(char)('a' + i), '\0'}, "", 0, 0);
        f[i] = made_frame(p, i, KIND_NATIVE, "app", &line, 1);
    }
    MADE_HIT(p, t, PROFILE_CPU, 5, 1, f[0], f[1], f[0], f[1], f[2]);
    MADE_HIT(p, t, PROFILE_CPU, 2, 1, f[1], f[0]);
    char *got = made_text(report_callgrind, p, &plain, NULL);
    cr_assert_str_eq(strstr(got, "summary"), "summary: 7 7 0\n\n"
                                             "ob=(1) app\nfl=(1) ???\nfn=(1) a\n0 2 2 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(2) b\ncalls=5 0\n0 5 5 0\n\n"
                                             "ob=(1)\nfl=(1)\nfn=(3) a'2\n0 0 0 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(4) b'2\ncalls=5 0\n0 5 5 0\n\n"
                                             "ob=(1)\nfl=(1)\nfn=(2)\n0 0 0 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(1)\ncalls=2 0\n0 2 2 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(3)\ncalls=5 0\n0 5 5 0\n\n"
                                             "ob=(1)\nfl=(1)\nfn=(4)\n0 0 0 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(5) c\ncalls=5 0\n0 5 5 0\n\n"
                                             "ob=(1)\nfl=(1)\nfn=(5)\n0 5 5 0\n");
    free(got);
    profile_free(p);
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

Test(perf, an_event_for_each_sample)
{
    struct profile *p = made_profile(false);
    char *got = made_text(report_perf, p, &plain, NULL);
    cr_assert_eq(count(got, ":          1 cpu-clock: \n"), 20);
    cr_assert_eq(count(got, "\tw"), 0);
    cr_assert_not_null(strstr(got,
                              "app              7/7 [000]     0.010000:          1 cpu-clock: \n"
                              "\t2000 </script><img onerror=x>;\"\\ 1+0x0 (/srv/app)\n"
                              "\t1000 main+0x0 (/srv/app)\n"
                              "\n"));
    cr_assert_not_null(strstr(got,
                              "app              7/7 [000]     0.070000:          1 cpu-clock: \n"
                              "\t3000 step<int>+0x0 (inlined)\n"
                              "\t3000 g+0x0 (/srv/app)\n"
                              "\t3000 step<int>+0x0 (inlined)\n"
                              "\t3000 g+0x0 (/srv/app)\n"
                              "\t1000 main+0x0 (/srv/app)\n"
                              "\n"));
    cr_assert_not_null(strstr(got,
                              "w_<1>_2          7/8 [000]     0.090000:          1 cpu-clock: \n"
                              "\t9000 [futex]+0x0 (/srv/libc.so.6)\n"
                              "\n"));
    free(got);
    profile_free(p);
}

/* What recurs more than once counts once where it recurs: no cost grows over the sample. */
Test(callgrind, deep_recursion_adds_nothing)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "app", &line, 1);
    MADE_HIT(p, profile_thread(p, 1, 1, "t"), PROFILE_CPU, 3, 1, f, f, f, f);
    char *got = made_text(report_callgrind, p, &plain, NULL);
    cr_assert_str_eq(strstr(got, "summary"), "summary: 3 3 0\n\n"
                                             "ob=(1) app\nfl=(1) ???\nfn=(1) f\n0 0 0 0\n"
                                             "cob=(1)\ncfi=(1)\ncfn=(2) f'2\ncalls=3 0\n0 3 3 0\n\n"
                                             "ob=(1)\nfl=(1)\nfn=(2)\n0 3 3 0\n");
    free(got);
    profile_free(p);
}

/* Of the function with this number: its own cost, that of its calls, that of the calls to it. */
struct costs {
    uint64_t own, calls, called;
};

static struct costs callgrind_costs(const char *text, const char *number)
{
    struct costs c = {0};
    bool here = false, call = false, to_it = false;
    char *copy = mem_strdup(strstr(text, "\n\n")), *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *value = strchr(line, '=');
        uint64_t cost;
        if (!strncmp(line, "fn=", 3))
            here = !strncmp(value + 1, number, strlen(number));
        else if (!strncmp(line, "cfn=", 4))
            to_it = !strncmp(value + 1, number, strlen(number));
        else if (!strncmp(line, "calls=", 6))
            call = true;
        else if (sscanf(line, "%*u %" SCNu64, &cost) == 1) {
            c.own += here && !call ? cost : 0;
            c.calls += here && call ? cost : 0;
            c.called += call && to_it ? cost : 0;
            call = false;
        }
    }
    free(copy);
    return c;
}

/* Each name costs the same to those who add up its calls and to those who add up the calls to it,
 * but for the root, which nobody calls. */
Test(callgrind, recursion_in_any_order)
{
    enum { R, F, G, H, NAMES_MAX = 40 };
    struct profile *p = profile_new(NULL);
    uint32_t f[4], t = profile_thread(p, 1, 1, "t");
    uint64_t own = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct profile_line line = made_line(p, (char[]){"rfgh"[i], '\0'}, "", 0, 0);
        f[i] = made_frame(p, i, KIND_NATIVE, "app", &line, 1);
    }
    MADE_HIT(p, t, PROFILE_CPU, 3, 1, f[R], f[F], f[G], f[F], f[G], f[F]);
    MADE_HIT(p, t, PROFILE_CPU, 5, 1, f[R], f[F], f[F], f[H], f[F], f[H], f[H]);
    MADE_HIT(p, t, PROFILE_CPU, 7, 1, f[R], f[G], f[F], f[G], f[F], f[H], f[G], f[F], f[F]);
    MADE_HIT(p, t, PROFILE_CPU, 9, 1, f[R], f[F], f[G], f[H], f[F], f[G], f[H], f[G]);
    char *got = made_text(report_callgrind, p, &plain, NULL);
    for (int i = 1; i < NAMES_MAX; i++) {
        char number[8];
        snprintf(number, sizeof(number), "(%d)", i);
        struct costs c = callgrind_costs(got, number);
        own += c.own;
        cr_assert(c.own + c.calls == c.called || (c.own + c.calls == 24 && !c.called), "%s:\n%s",
                  number, got);
    }
    cr_assert_eq(own, 24);
    cr_assert_not_null(strstr(got, ") f'3\n"));
    free(got);
    profile_free(p);
}

static const char *last_of(const char *text, const char *word)
{
    const char *last = NULL;
    for (; (text = strstr(text, word)); text++)
        last = text;
    return last;
}

/* More events than are written at a time, and times that grow by a digit. */
Test(perf, times_go_on_through_many_events)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "app", &line, 1);
    p->interval_ns = 1000000000;
    MADE_HIT(p, profile_thread(p, 5, 6, "t"), PROFILE_CPU, 100001, 1, f);
    char *got = made_text(report_perf, p, &plain, NULL);
    cr_assert_eq(count(got, "t                5/6 [000] "), 100001);
    cr_assert_eq(count(got, "\t1 f+0x0 (/srv/app)\n\n"), 100001);
    cr_assert_eq(count(got, "[000]      1.000000: "), 1);
    cr_assert_eq(count(got, "[000]  67890.000000: "), 1);
    cr_assert_eq(count(last_of(got, "[000]"), "[000] 100001.000000: "), 1);
    free(got);
    profile_free(p);
}

/* As "[other]" is; what a name ends in is not what stands before the time. */
Test(perf, times_of_a_thread_in_brackets)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "app", &line, 1);
    p->interval_ns = 10000000;
    MADE_HIT(p, profile_thread(p, 5, 6, "[w]"), PROFILE_CPU, 2, 1, f);
    expect(report_perf, p, &plain,
           "[w]              5/6 [000]     0.010000:          1 cpu-clock: \n"
           "\t1 f+0x0 (/srv/app)\n\n"
           "[w]              5/6 [000]     0.020000:          1 cpu-clock: \n"
           "\t1 f+0x0 (/srv/app)\n\n");
    profile_free(p);
}

Test(perf, too_many_events_are_refused)
{
    struct profile *p = made_profile(false);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    p->tallies[0].hits = REPORT_PERF_EVENTS_MAX;
    cr_assert_eq(report_perf(p, &plain, out), -EFBIG);
    fclose(out);
    cr_assert_eq(bytes, 0);
    free(text);
    profile_free(p);
}

Test(perf, names_that_readers_take_for_something_else)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f (x)\n", "", 0, 0);
    uint32_t vdso = made_frame(p, 1, KIND_NATIVE, "[vdso] (old)", &line, 1);
    uint32_t jit = made_frame(p, 2, KIND_JIT, "", &line, 1);
    uint32_t kernel = made_frame(p, 3, KIND_KERNEL, "", &line, 1);
    uint32_t unknown = made_frame(p, 4, KIND_UNKNOWN, "", &line, 1);
    uint32_t loadable = made_frame(p, 5, KIND_KERNEL, "[ext4]", &line, 1);
    uint32_t itself = made_frame(p, 6, KIND_KERNEL, "[kernel]", &line, 1);
    MADE_HIT(p, profile_thread(p, 5, 6, ""), PROFILE_CPU, 1, 1, unknown, kernel, jit, vdso, itself,
             loadable);
    expect(report_perf, p, &plain,
           ":6               5/6 [000]     0.010000:          1 cpu-clock: \n"
           "\t5 f (x)\\x0a+0x0 ([ext4])\n"
           "\t6 f (x)\\x0a+0x0 ([kernel.kallsyms])\n"
           "\t1 f (x)\\x0a+0x0 (/srv/_vdso___old_)\n"
           "\t2 f (x)\\x0a+0x0 (/tmp/perf.map)\n"
           "\t3 f (x)\\x0a+0x0 ([kernel.kallsyms])\n"
           "\t4 f (x)\\x0a+0x0 ([unknown])\n\n");
    profile_free(p);
}

Test(speedscope, without_time_weights_are_samples)
{
    struct profile *p = made_profile(false);
    expect(report_speedscope, p, &plain,
           "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
           "\"exporter\":\"oxprof@0.1.0\",\"name\":\"pid 7 (app)\",\"activeProfileIndex\":0,"
           "\"profiles\":[{\"type\":\"sampled\",\"name\":\"app (tid 7)\",\"unit\":\"none\","
           "\"samples\":[[0,1],[0,2,3,2,3],[0,4]],\"weights\":[6,3,2],\"startValue\":0,"
           "\"endValue\":11}\n"
           ",{\"type\":\"sampled\",\"name\":\"w \\u003c1\\u003e 2 (tid 8)\",\"unit\":\"none\","
           "\"samples\":[[5]],\"weights\":[9],\"startValue\":0,\"endValue\":9}\n"
           "],\"shared\":{\"frames\":[{\"name\":\"main\",\"file\":\"/s/app.c\",\"line\":10}\n"
           ",{\"name\":\"\\u003c/script\\u003e\\u003cimg onerror=x\\u003e;\\\"\\\\ 1\","
           "\"file\":\"app\"}\n"
           ",{\"name\":\"g\",\"file\":\"/s/app.c\",\"line\":30}\n"
           ",{\"name\":\"step\\u003cint\\u003e\",\"file\":\"/s/step.h\",\"line\":2}\n"
           ",{\"name\":\"parse\",\"file\":\"/srv/app.py\",\"line\":22}\n"
           ",{\"name\":\"[futex]\",\"file\":\"libc.so.6\"}\n"
           "]}}\n");
    profile_free(p);
}

Test(speedscope, in_time_what_nobody_saw_is_empty)
{
    struct profile *p = made_profile(true);
    expect(
        report_speedscope, p, &plain,
        "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
        "\"exporter\":\"oxprof@0.1.0\",\"name\":\"pid 7 (app)\",\"activeProfileIndex\":0,"
        "\"profiles\":[{\"type\":\"sampled\",\"name\":\"app (tid 7)\",\"unit\":\"nanoseconds\","
        "\"samples\":[[0,1],[0,2,3,2,3],[],[0,4],[0,1]],\"weights\":[50000000,30000000,10000000,"
        "20000000,10000000],\"startValue\":0,\"endValue\":120000000}\n"
        ",{\"type\":\"sampled\",\"name\":\"w \\u003c1\\u003e 2 (tid 8)\",\"unit\":\"nanoseconds\","
        "\"samples\":[[5]],\"weights\":[90000000],\"startValue\":0,\"endValue\":90000000}\n"
        "],\"shared\":{\"frames\":[{\"name\":\"main\",\"file\":\"/s/app.c\",\"line\":10}\n"
        ",{\"name\":\"\\u003c/script\\u003e\\u003cimg onerror=x\\u003e;\\\"\\\\ 1\","
        "\"file\":\"app\"}\n"
        ",{\"name\":\"g\",\"file\":\"/s/app.c\",\"line\":30}\n"
        ",{\"name\":\"step\\u003cint\\u003e\",\"file\":\"/s/step.h\",\"line\":2}\n"
        ",{\"name\":\"parse\",\"file\":\"/srv/app.py\",\"line\":22}\n"
        ",{\"name\":\"[futex]\",\"file\":\"libc.so.6\"}\n"
        "]}}\n");
    profile_free(p);
}

Test(firefox, whole)
{
    struct profile *p = made_profile(true);
    expect(
        report_firefox, p, &plain,
        "{\"meta\":{\"version\":24,\"preprocessedProfileVersion\":66,\"interval\":10.0000,"
        "\"startTime\":1700000000000.0000,\"product\":\"pid 7 (app)\","
        "\"importedFrom\":\"oxprof 0.1.0\",\"categories\":[{\"name\":\"Native\",\"color\":\"blue\","
        "\"subcategories\":[\"Other\"]},{\"name\":\"Python\",\"color\":\"yellow\","
        "\"subcategories\":[\"Other\"]},{\"name\":\"JIT\",\"color\":\"green\","
        "\"subcategories\":[\"Other\"]},{\"name\":\"Kernel\",\"color\":\"orange\","
        "\"subcategories\":[\"Other\"]},{\"name\":\"Other\",\"color\":\"grey\","
        "\"subcategories\":[\"Other\"]}],\"processType\":0,\"stackwalk\":1,\"debug\":false,"
        "\"symbolicated\":true,\"oscpu\":\"Linux "
        "x86_64\",\"platform\":\"Linux\",\"markerSchema\":[],"
        "\"usesOnlyOneStackType\":true,\"sourceCodeIsNotOnSearchfox\":true,"
        "\"extensions\":{\"length\":0,\"baseURL\":[],\"id\":[],\"name\":[]},"
        "\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\",\"threadCPUDelta\":\"ns\"}}\n"
        ",\"libs\":[{\"arch\":\"x86_64\",\"name\":\"app\",\"path\":\"/srv/app\","
        "\"debugName\":\"app\",\"debugPath\":\"/srv/app\","
        "\"breakpadId\":\"34CD12AB0000000000000000000000000\",\"codeId\":\"ab12cd34\"},"
        "{\"arch\":\"x86_64\",\"name\":\"libc.so.6\",\"path\":\"/srv/libc.so.6\","
        "\"debugName\":\"libc.so.6\",\"debugPath\":\"/srv/libc.so.6\","
        "\"breakpadId\":\"34CD12AB0000000000000000000000000\",\"codeId\":\"ab12cd34\"}],\"pages\":["
        "],"
        "\"counters\":[],\"profilerOverhead\":[],\"threads\":[{\"name\":\"app\","
        "\"processName\":\"app\",\"pid\":\"7\",\"tid\":\"7\",\"isMainThread\":true,"
        "\"processType\":\"default\",\"processStartupTime\":0,\"processShutdownTime\":null,"
        "\"registerTime\":0,\"unregisterTime\":null,\"showMarkersInTimeline\":false,"
        "\"pausedRanges\":[],\"markers\":{\"length\":0,\"category\":[],\"data\":[],\"endTime\":[],"
        "\"name\":[],\"phase\":[],\"startTime\":[]}\n"
        ",\"samples\":{\"length\":6,\"weightType\":\"samples\",\"stack\":[1,5,null,6,1,null],"
        "\"time\":[0.0000,50.0000,80.0000,90.0000,110.0000,120.0000],\"weight\":[5,3,0,2,1,0],"
        "\"threadCPUDelta\":[0,50000000,30000000,0,20000000,10000000]}}\n"
        ",{\"name\":\"w \\u003c1\\u003e 2\",\"processName\":\"app\",\"pid\":\"7\",\"tid\":\"8\","
        "\"isMainThread\":false,\"processType\":\"default\",\"processStartupTime\":0,"
        "\"processShutdownTime\":null,\"registerTime\":0,\"unregisterTime\":null,"
        "\"showMarkersInTimeline\":false,\"pausedRanges\":[],\"markers\":{\"length\":0,"
        "\"category\":[],\"data\":[],\"endTime\":[],\"name\":[],\"phase\":[],\"startTime\":[]}\n"
        ",\"samples\":{\"length\":2,\"weightType\":\"samples\",\"stack\":[7,null],\"time\":[0.0000,"
        "90.0000],\"weight\":[9,0],\"threadCPUDelta\":[0,0]}}\n"
        "],\"shared\":{\"stackTable\":{\"length\":8,\"frame\":[0,1,3,2,3,2,4,5],\"prefixOffset\":["
        "0,"
        "1,2,1,1,1,6,0]}\n"
        ",\"frameTable\":{\"length\":6,\"address\":[4096,8192,12288,12288,-1,36864],"
        "\"inlineDepth\":[0,0,1,0,0,0],\"category\":[0,0,0,0,1,0],\"subcategory\":[0,0,0,0,0,0],"
        "\"func\":[1,2,3,4,5,6],\"nativeSymbol\":[null,null,null,null,null,null],"
        "\"innerWindowID\":[0,0,0,0,0,0],\"line\":[12,null,3,33,25,null],\"column\":[null,null,"
        "null,"
        "null,null,null],\"originalLocation\":[null,null,null,null,null,null]}\n"
        ",\"funcTable\":{\"length\":7,\"name\":[1,2,3,4,5,6,7],\"isJS\":[false,false,false,false,"
        "false,false,false],\"relevantForJS\":[false,false,false,false,false,false,false],"
        "\"resource\":[-1,0,0,0,0,-1,1],\"source\":[null,0,null,1,0,2,null],\"lineNumber\":[null,"
        "10,"
        "null,2,30,22,null],\"columnNumber\":[null,null,null,null,null,null,null],"
        "\"originalLocation\":[null,null,null,null,null,null,null]}\n"
        ",\"resourceTable\":{\"length\":2,\"lib\":[0,1],\"name\":[8,9],\"host\":[null,null],"
        "\"type\":[1,1]}\n"
        ",\"nativeSymbols\":{\"length\":0,\"libIndex\":[],\"address\":[],\"name\":[],"
        "\"functionSize\":[]}\n"
        ",\"sources\":{\"length\":3,\"id\":[null,null,null],\"filename\":[10,11,12],\"startLine\":["
        "1,"
        "1,1],\"startColumn\":[1,1,1],\"sourceMapURL\":[null,null,null],\"content\":[null,null,"
        "null]}\n"
        ",\"sourceLocationTable\":{\"length\":0,\"source\":[],\"line\":[],\"column\":[]}\n"
        ",\"stringArray\":[\"\",\"[other]\",\"main\","
        "\"\\u003c/script\\u003e\\u003cimg onerror=x\\u003e;\\\"\\\\ 1\",\"step\\u003cint\\u003e\","
        "\"g\",\"parse\",\"[futex]\",\"app\",\"libc.so.6\",\"/s/app.c\",\"/s/step.h\","
        "\"/srv/app.py\"]}}\n");
    profile_free(p);
}

Test(firefox, needs_time)
{
    struct profile *p = made_profile(false);
    cr_assert_eq(report_firefox(p, &plain, stderr), -ENODATA);
    cr_assert_eq(errno, ENODATA);
    profile_free(p);
}

Test(time, a_thread_that_stays_is_one_moment)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "", &line, 1);
    uint32_t one = profile_thread(p, 1, 1, "one"), two = profile_thread(p, 1, 2, "two");
    profile_keep_time(p);
    MADE_HIT(p, one, PROFILE_WAIT, 3, 1, f);
    MADE_HIT(p, two, PROFILE_WAIT, 1, 1, f);
    MADE_HIT(p, one, PROFILE_WAIT, 2, 4, f);
    MADE_HIT(p, one, PROFILE_CPU, 1, 6, f);
    MADE_HIT(p, one, PROFILE_CPU, 1, 8, f);
    static const struct profile_moment wanted[] = {{.tick = 1, .tally = 0, .hits = 5},
                                                   {.tick = 1, .tally = 1, .hits = 1},
                                                   {.tick = 6, .tally = 2, .hits = 1},
                                                   {.tick = 8, .tally = 2, .hits = 1}};
    cr_assert_eq(p->n_moments, 4);
    for (size_t i = 0; i < 4; i++)
        cr_assert(p->moments[i].tick == wanted[i].tick && p->moments[i].tally == wanted[i].tally &&
                      p->moments[i].hits == wanted[i].hits,
                  "%zu", i);
    profile_reset(p);
    MADE_HIT(p, one, PROFILE_CPU, 1, 9, f);
    cr_assert_eq(p->n_moments, 1);
    cr_assert_eq(p->untimed, 0);
    profile_free(p);
}

Test(time, what_no_longer_fits_is_counted)
{
    struct profile *p = profile_new(NULL);
    struct profile_line line = made_line(p, "f", "", 0, 0);
    uint32_t f = made_frame(p, 1, KIND_NATIVE, "", &line, 1);
    uint32_t thread = profile_thread(p, 1, 1, "one");
    uint32_t tallies[] = {profile_stack(p, &f, 1, thread, PROFILE_CPU),
                          profile_stack(p, &f, 1, thread, PROFILE_WAIT)};
    profile_keep_time(p);
    for (uint64_t tick = 1; tick <= PROFILE_MOMENTS_MAX + 10; tick++)
        profile_moment(p, tallies[tick % 2], 1, tick);
    cr_assert_eq(p->n_moments, PROFILE_MOMENTS_MAX);
    cr_assert_eq(p->untimed, 10);
    profile_free(p);
}

Test(interval, known_values)
{
    static const struct {
        uint64_t hits, samples;
        const char *low, *high;
    } cases[] = {{0, 10, "0.00", "27.75"},    {5, 10, "23.66", "76.34"},
                 {10, 10, "72.25", "100.00"}, {1, 100, "0.18", "5.45"},
                 {0, 0, "0.00", "100.00"},    {263, 263, "98.56", "100.00"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct interval ci = interval_of(cases[i].hits, cases[i].samples, OX_Z_95);
        cr_assert_str_eq(interval_percent(ci.low).text, cases[i].low, "%zu", i);
        cr_assert_str_eq(interval_percent(ci.high).text, cases[i].high, "%zu", i);
    }
    /* Newcombe 1998, table II, example (a): 56/70 - 48/80 is 0.0524 to 0.3339 */
    struct interval d = interval_difference(48, 80, 56, 70, OX_Z_95);
    cr_assert_str_eq(interval_percent(d.low).text, "5.24");
    cr_assert_str_eq(interval_percent(d.high).text, "33.39");
    cr_assert_float_eq(interval_z_of(1), 1.959964, 1e-5);
    cr_assert_float_eq(interval_z_of(100), 3.480756, 1e-5);
    cr_assert_str_eq(interval_percent(-0.12345).text, "-12.35");
}

/* alpha has halved, beta has come, gamma is noise. */
static struct profile *diff_side(uint64_t alpha, uint64_t beta, uint64_t gamma)
{
    struct profile *p = profile_new(NULL);
    uint64_t hits[] = {alpha, beta, gamma};
    static const char *const names[] = {"alpha", "beta", "gamma 12"};
    struct profile_line line = made_line(p, "main", "", 0, 0);
    uint32_t root = made_frame(p, 1, KIND_NATIVE, "app", &line, 1);
    p->title = intern_put(p->strings, "pid 7 (app)");
    p->duration_ns = 1000000000;
    for (uint32_t i = 0; i < 3; i++) {
        line = made_line(p, names[i], "", 0, 0);
        uint32_t f = made_frame(p, 2 + i, KIND_NATIVE, "app", &line, 1);
        if (hits[i])
            MADE_HIT(p, profile_thread(p, 7, 7, "app"), PROFILE_CPU, hits[i], 1, root, f);
    }
    p->cpu_only = true;
    return p;
}

Test(diff, only_news)
{
    struct profile *before = diff_side(600, 0, 400), *after = diff_side(300, 290, 410);
    struct report_options opt = plain;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_eq(report_diff(before, after, &opt, out), 0);
    opt.sort = SORT_TOTAL;
    cr_assert_eq(report_diff(before, before, &opt, out), 0);
    cr_assert_eq(report_diff_folded(before, after, &opt, out), 0);
    fclose(out);
    cr_assert_str_eq(
        text,
        "# oxprof 0.1.0: before: pid 7 (app), 1.00 s; after: pid 7 (app), 1.00 s\n"
        "# SELF in percent of each block; shown is what differs by more than its error, 95% sure "
        "for the whole block\n"
        "#\n# on CPU: 1000 samples before, 1000 after\n"
        "#BEFORE%  AFTER%    DIFF   ERROR  KIND    FUNCTION\n"
        "   60.00   30.00  -30.00    5.19  native  alpha (app)\n"
        "    0.00   29.00  +29.00    3.55  native  beta (app)\n"
        "# 1 function not shown: no difference beyond the error\n"
        "# oxprof 0.1.0: before: pid 7 (app), 1.00 s; after: pid 7 (app), 1.00 s\n"
        "# TOTAL in percent of each block; shown is what differs by more than its error, 95% sure "
        "for the whole block\n"
        "#\n# on CPU: 1000 samples before, 1000 after\n"
        "#BEFORE%  AFTER%    DIFF   ERROR  KIND    FUNCTION\n"
        "# no difference beyond what chance does\n"
        "# 3 functions not shown: no difference beyond the error\n"
        "main;alpha 600 300\nmain;beta 0 290\nmain;gamma_12 400 410\n");
    free(text);
    profile_free(before);
    profile_free(after);
}
