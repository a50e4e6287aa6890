/* SPDX-License-Identifier: MIT */
/* What a namer's process is not trusted with: its answers are put in by hand. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "namer_fixture.h"
#include "symbols/namer_wire.h"

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

Test(namer_hostile, nonsense_is_refused)
{
    ask_hostile(0, NULL);
    for (int kind = 1; kind < ENDLESS; kind++)
        ask_hostile(kind, "answered nonsense");
}

Test(namer_hostile, talking_is_no_answer)
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

Test(namer_hostile, noise_is_refused)
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
