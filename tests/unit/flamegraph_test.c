/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/flamegraph.h"

static const struct report_options plain = {.version = "0.1.0"};

static uint32_t frame(struct profile *p, const char *function, const char *module)
{
    uint32_t f = profile_frame(p, 99, p->n_frames);
    struct profile_line line = {.function = intern_put(p->strings, function),
                                .file = intern_put(p->strings, "/src/a.c"),
                                .start_line = 7};
    profile_name(p, f, KIND_NATIVE, profile_module(p, module, module, ""), &line, 1);
    return f;
}

static void hit(struct profile *p, pid_t tid, enum profile_state state, uint64_t hits,
                const uint32_t *frames, size_t n)
{
    uint32_t thread = profile_thread(p, 4242, tid, tid == 4242 ? "app" : "worker");
    profile_hit(p, profile_stack(p, frames, n, thread, state), hits);
}

/* Where it is inlined, gcc 12.2 takes what open_memstream() leaves in `text` for the address of it:
 * -Wdangling-pointer. */
__attribute__((noinline)) static char *data_of(const struct profile *p,
                                               const struct report_options *opt)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    flamegraph_data(p, opt, out);
    fclose(out);
    return text;
}

static char *page_of(const struct profile *p)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_eq(report_flamegraph(p, &plain, out), 0);
    fclose(out);
    return text;
}

static size_t occurrences(const char *text, const char *wanted)
{
    size_t n = 0;
    for (const char *s = text; (s = strstr(s, wanted)); s++)
        n++;
    return n;
}

/* What follows the cost in the data. */
static void expect_stacks(const struct profile *p, const struct report_options *opt,
                          const char *wanted)
{
    char *text = data_of(p, opt);
    size_t head = (size_t)(strstr(text, "\"functions\"") - text);
    cr_assert(!strcmp(text + head, wanted), "got:\n%s\nwanted:\n%s", text, wanted);
    free(text);
}

enum { MAIN, RUN, WORK, N_FRAMES };

static struct profile *named_profile(uint32_t frames[N_FRAMES])
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, "pid 4242 (app)");
    frames[MAIN] = frame(p, "main", "app");
    frames[RUN] = frame(p, "run", "libwork.so");
    frames[WORK] = frame(p, "work", "libwork.so");
    return p;
}

static const char both_stacks[] =
    "\"functions\":[[2,3,0,3,4,7],[5,6,0,6,4,7],[7,6,0,6,4,7]]\n"
    ",\"threads\":[[4242,4243,8,3],[4242,4242,3,3]]\n"
    ",\"strings\":[\"\",\"[other]\",\"main\",\"app\",\"/src/a.c\",\"run\",\"libwork.so\",\"work\","
    "\"worker\"]\n"
    /* main > run > work, main > work */
    ",\"nodes\":[0,1,1,2,2,3,2,2]\n"
    /* main waits 3 in 4242; main > run > work runs 5 and 2 in 4243 and 4242; main > work 4 */
    ",\"counts\":[1,3,3,2,0,5,0,2,2,1,0,4]}\n";

Test(flamegraph, data)
{
    uint32_t f[N_FRAMES];
    struct profile *p = named_profile(f);
    hit(p, 4242, PROFILE_WAIT, 3, (uint32_t[]){f[MAIN]}, 1);
    hit(p, 4242, PROFILE_CPU, 2, (uint32_t[]){f[MAIN], f[RUN], f[WORK]}, 3);
    hit(p, 4243, PROFILE_CPU, 5, (uint32_t[]){f[MAIN], f[RUN], f[WORK]}, 3);
    hit(p, 4243, PROFILE_CPU, 4, (uint32_t[]){f[MAIN], f[WORK]}, 2);
    expect_stacks(p, &plain, both_stacks);
    profile_free(p);
}

Test(flamegraph, the_order_in_which_stacks_came_does_not_show)
{
    uint32_t f[N_FRAMES];
    struct profile *p = named_profile(f);
    uint32_t again = frame(p, "work", "libwork.so"); /* another address of the same function */
    hit(p, 4243, PROFILE_CPU, 4, (uint32_t[]){f[MAIN], again}, 2);
    hit(p, 4243, PROFILE_CPU, 1, (uint32_t[]){f[MAIN], f[RUN], again}, 3);
    hit(p, 4243, PROFILE_CPU, 4, (uint32_t[]){f[MAIN], f[RUN], f[WORK]}, 3);
    hit(p, 4242, PROFILE_CPU, 2, (uint32_t[]){f[MAIN], f[RUN], f[WORK]}, 3);
    hit(p, 4242, PROFILE_WAIT, 3, (uint32_t[]){f[MAIN]}, 1);
    hit(p, 4244, PROFILE_WAIT, 0, (uint32_t[]){f[RUN], f[MAIN]}, 2); /* no hits: not there */
    expect_stacks(p, &plain, both_stacks);
    profile_free(p);
}

Test(flamegraph, inlined_functions_are_blocks_of_their_own)
{
    uint32_t f[N_FRAMES];
    struct profile *p = named_profile(f);
    struct profile_line lines[] = {{.function = intern_put(p->strings, "inner")},
                                   {.function = intern_put(p->strings, "outer")}};
    profile_name(p, f[RUN], KIND_JIT, 0, lines, 2);
    hit(p, 4242, PROFILE_CPU, 2, (uint32_t[]){f[RUN]}, 1);
    expect_stacks(p, &plain,
                  "\"functions\":[[2,0,2,0,0,0],[3,0,2,0,0,0]]\n"
                  ",\"threads\":[[4242,4242,4,4]]\n"
                  ",\"strings\":[\"\",\"[other]\",\"inner\",\"outer\",\"app\"]\n"
                  ",\"nodes\":[1,1,0,2]\n,\"counts\":[2,0,2]}\n");
    struct report_options whole = plain;
    whole.no_inlines = true;
    expect_stacks(p, &whole,
                  "\"functions\":[[2,0,2,0,0,0]]\n,\"threads\":[[4242,4242,3,3]]\n"
                  ",\"strings\":[\"\",\"[other]\",\"outer\",\"app\"]\n"
                  ",\"nodes\":[0,1]\n,\"counts\":[1,0,2]}\n");
    profile_free(p);
}

/* Two profiles with strings and frames of their own; a function of both is one. */
Test(flamegraph, two_profiles)
{
    uint32_t f[N_FRAMES], g[N_FRAMES];
    struct profile *before = named_profile(f), *after = profile_new(NULL);
    char *text = NULL;
    size_t bytes = 0;
    g[WORK] = frame(after, "work", "libwork.so");
    g[MAIN] = frame(after, "main", "app");
    after->title = intern_put(after->strings, "pid 7 (app)");
    hit(before, 4242, PROFILE_CPU, 2, (uint32_t[]){f[MAIN], f[RUN], f[WORK]}, 3);
    hit(before, 4243, PROFILE_CPU, 1, (uint32_t[]){f[MAIN], f[WORK]}, 2);
    hit(after, 4242, PROFILE_CPU, 9, (uint32_t[]){g[MAIN], g[WORK]}, 2);
    hit(after, 4242, PROFILE_WAIT, 4, NULL, 0);
    FILE *out = open_memstream(&text, &bytes);
    flamegraph_diff_data(before, after, &plain, out);
    fclose(out);
    cr_assert(strstr(text, "\"sides\":[{\"title\":\"pid 4242 (app)\",") &&
              strstr(text, "},{\"title\":\"pid 7 (app)\","));
    const char *got = strstr(text, ",\"nodes\"");
    static const char wanted[] = /* [other]; main > run > work, main > work */
        ",\"nodes\":[0,1,1,1,2,2,3,3,3,2]\n"
        ",\"counts\":[1,1,4,3,2,2,1,0,9,0,2,1]}\n";
    cr_assert(!strcmp(got, wanted), "got:\n%s\nwanted:\n%s", text, wanted);
    free(text);
    profile_free(before);
    profile_free(after);
}

Test(flamegraph, nothing_counted)
{
    struct profile *p = profile_new(NULL);
    expect_stacks(p, &plain,
                  "\"functions\":[]\n,\"threads\":[]\n,\"strings\":[\"\",\"[other]\"]\n"
                  ",\"nodes\":[]\n,\"counts\":[]}\n");
    profile_free(p);
}

Test(flamegraph, a_stack_that_a_limit_has_cut_to_nothing)
{
    struct profile *p = profile_new(NULL);
    hit(p, 4242, PROFILE_CPU, 6, NULL, 0);
    char *text = data_of(p, &plain);
    cr_assert(strstr(text, "\"nodes\":[0,1]\n,\"counts\":[1,0,6]}\n"), "%s", text);
    free(text);
    profile_free(p);
}

Test(flamegraph, names_cannot_leave_their_element)
{
    static const char hostile[] =
        "</script><img onerror=x>;\"\\ 1 \xe2\x80\xa8\xff\n<!--<script>&lt;";
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, hostile);
    hit(p, 4242, PROFILE_CPU, 1, (uint32_t[]){frame(p, hostile, hostile)}, 1);
    char *data = data_of(p, &plain), *page = page_of(p);
    cr_assert_eq(strcspn(data, "<>&"), strlen(data));
    cr_assert(strstr(data, "\"\\u003c/script\\u003e\\u003cimg onerror=x\\u003e;\\\"\\\\ 1 "
                           "\\\\xe2\\\\x80\\\\xa8\\\\xff\\\\x0a\\u003c!--\\u003cscript\\u003e"
                           "\\u0026lt;\""),
              "%s", data);
    cr_assert_eq(occurrences(page, "</script"), 2);
    cr_assert_eq(occurrences(page, "<img"), 0);
    cr_assert_eq(occurrences(page, "<!--"), 1, "the licence's line");
    free(data);
    free(page);
    profile_free(p);
}

Test(flamegraph, one_file_that_fetches_nothing)
{
    uint32_t f[N_FRAMES];
    struct profile *p = named_profile(f);
    char *page = page_of(p);
    cr_assert(strstr(page, "<!DOCTYPE html>") == page);
    cr_assert(strstr(page, "default-src 'none'; script-src 'sha256-"));
    cr_assert_eq(occurrences(page, flamegraph_script()), 1);
    cr_assert_eq(occurrences(page, flamegraph_style()), 1);
    static const char *const fetching[] = {" src=", "url(", "@import", "http://", "https://", "{{"};
    for (size_t i = 0; i < sizeof(fetching) / sizeof(*fetching); i++)
        cr_assert_eq(occurrences(page, fetching[i]), 0, "%s", fetching[i]);
    free(page);
    profile_free(p);
}

static void put_link(void *user, FILE *out)
{
    fputs(user, out);
}

/* As a server wants it, whose policy allows no script in the page. */
Test(flamegraph, a_page_without_the_scripts_in_it)
{
    char *text = NULL, link[] = "<script src=\"viewer.js\"></script>";
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    flamegraph_page("<link rel=\"stylesheet\" href=\"style.css\">", put_link, link, out);
    fclose(out);
    cr_assert_eq(occurrences(text, "<script"), 1);
    cr_assert(strstr(text, "href=\"style.css\">\n</head>"));
    cr_assert(strstr(text, "viewer.js\"></script>\n</body>"));
    cr_assert_eq(occurrences(text, " style="), 0);
    free(text);
}

Test(flamegraph, a_full_disk_is_told)
{
    struct profile *p = profile_new(NULL);
    FILE *out = fopen("/dev/full", "w");
    cr_assert_eq(report_flamegraph(p, &plain, out), -EIO);
    cr_assert_eq(errno, ENOSPC);
    fclose(out);
    profile_free(p);
}
