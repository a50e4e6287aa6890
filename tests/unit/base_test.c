/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/intern.h"
#include "base/lookup.h"
#include "base/map.h"
#include "base/parse.h"

Test(parse, numbers_are_whole_strings)
{
    uint64_t v = 7;
    cr_assert_eq(parse_u64("4711", &v), 0);
    cr_assert_eq(v, 4711);
    static const char *const bad[] = {"", "1abc", " 5", "-1", "+1", "0x10", "5 ", "1e3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_eq(parse_u64(bad[i], &v), -EINVAL, "%s", bad[i]);
    cr_assert_eq(parse_u64("18446744073709551615", &v), 0);
    cr_assert_eq(parse_u64("18446744073709551616", &v), -ERANGE);
}

Test(parse, durations)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"5", 5000000000},     {"5s", 5000000000},
                {"500ms", 500000000},  {"2m", 120000000000},
                {"1.5s", 1500000000},  {".5", 500000000},
                {"250us", 250000},     {"7ns", 7},
                {"1h", 3600000000000}, {"0", 0}};
    uint64_t ns;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        cr_assert_eq(parse_duration_ns(good[i].text, &ns), 0, "%s", good[i].text);
        cr_assert_eq(ns, good[i].ns, "%s", good[i].text);
    }
    static const char *const bad[] = {"", "s", "5x", "5 s", "1.s", "-1s", "1.5.5", "5ms ", "inf"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_lt(parse_duration_ns(bad[i], &ns), 0, "%s", bad[i]);
    cr_assert_eq(parse_duration_ns("99999999999h", &ns), -ERANGE);
}

Test(map, keeps_what_was_put_through_removals)
{
    struct map m = {0};
    for (uint64_t i = 0; i < 5000; i++)
        map_put(&m, i, i ^ 3, i * 7);
    for (uint64_t i = 0; i < 5000; i += 3)
        map_remove(&m, i, i ^ 3);
    for (uint64_t i = 0; i < 5000; i++) {
        const uint64_t *v = map_find(&m, i, i ^ 3);
        if (i % 3 == 0)
            cr_assert_null(v);
        else
            cr_assert(v && *v == i * 7);
    }
    size_t pos = 0, n = 0;
    while (map_next(&m, &pos))
        n++;
    cr_assert_eq(n, m.n);
    map_release(&m);
}

Test(intern, same_string_same_number_and_a_bound)
{
    struct intern *in = intern_new(4 * INTERN_OVERHEAD_BYTES + 64);
    uint32_t a = intern_put(in, "alpha"), b = intern_put(in, "beta");
    cr_assert_neq(a, b);
    cr_assert_eq(intern_put(in, "alpha"), a);
    cr_assert_eq(intern_put(in, ""), 0);
    cr_assert_str_eq(intern_get(in, b), "beta");
    char big[128];
    memset(big, 'x', sizeof(big) - 1);
    big[127] = '\0';
    cr_assert_str_eq(intern_get(in, intern_put(in, big)), "[other]");
    cr_assert_eq(intern_overflowed(in), 1);
    cr_assert_eq(intern_put(in, "alpha"), a, "what is known stays known");
    cr_assert_eq(intern_put_n(in, "beta\0x", 6), b, "a 0 ends it");
    intern_free(in);
}

Test(intern, short_strings_are_counted_with_what_they_cost)
{
    enum { BYTES = 100 * 1000 };
    struct intern *in = intern_new(BYTES);
    char name[16];
    uint32_t last = 0;
    for (int i = 0; i < BYTES; i++) {
        snprintf(name, sizeof(name), "%d", i);
        last = intern_put(in, name);
    }
    cr_assert_str_eq(intern_get(in, last), "[other]");
    cr_assert_gt(intern_overflowed(in), BYTES - BYTES / INTERN_OVERHEAD_BYTES);
    intern_free(in);
}

Test(lookup, finds_items_by_their_keys)
{
    enum { N = 5000 };
    static uint64_t keys[N];
    struct lookup l;
    lookup_init(&l);
    size_t at = 0;
    cr_assert_eq(lookup_next(&l, lookup_hash(&l, 1, 2), &at), LOOKUP_NONE);
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = (uint64_t)i * i;
        lookup_put(&l, lookup_hash(&l, keys[i], i), i);
    }
    for (uint32_t i = 0; i < N; i++) {
        size_t pos = 0;
        uint32_t found;
        do
            found = lookup_next(&l, lookup_hash(&l, keys[i], i), &pos);
        while (found != LOOKUP_NONE && found != i);
        cr_assert_eq(found, i);
        pos = 0;
        while ((found = lookup_next(&l, lookup_hash(&l, keys[i], N + i), &pos)) != LOOKUP_NONE)
            cr_assert_lt(found, N, "a stranger at most");
    }
    lookup_release(&l);
    lookup_release(NULL);
}

Test(escape, hostile_names_become_harmless)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain name", "plain name"},        {"x\x1b]0;pwn\a\n)S 1", "x\\x1b]0;pwn\\x07\\x0a)S 1"},
        {"\x7f\xc2\x9b", "\\x7f\\xc2\\x9b"}, {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff\xc3", "\\xff\\xc3"},          {"a\xe2\x80\xae", "a\\xe2\\x80\\xae"},
        {"\xc0\xaf", "\\xc0\\xaf"},          {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    };
    char buf[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t n = escape_text(buf, sizeof(buf), cases[i].in, NULL);
        cr_assert_str_eq(buf, cases[i].out);
        cr_assert_eq(n, strlen(buf));
    }
    escape_text(buf, sizeof(buf), "a;b", ";");
    cr_assert_str_eq(buf, "a\\x3bb");
    escape_text(buf, 6, "ab\ncd", NULL);
    cr_assert_str_eq(buf, "ab", "an escape is not cut in the middle");
}
