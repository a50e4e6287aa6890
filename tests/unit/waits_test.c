/* SPDX-License-Identifier: MIT */
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "made_profile.h"
#include "report/waits.h"
#include "target/locks.h"
#include "target/proctext.h"
#include "target/sockets.h"

/* ---- /proc/PID/task/TID/syscall */

static int where(const char *text, struct proc_where *ret)
{
    return proctext_syscall(text, strlen(text), ret);
}

Test(where, all_arguments_are_taken)
{
    struct proc_where w;
    cr_assert_eq(where("202 0x55aa 0x80 0x2 0x0 0x1 0xffffffff 0x7ffe10 0x7f0001\n", &w), 0);
    cr_assert_eq(w.syscall, 202);
    const uint64_t args[] = {0x55aa, 0x80, 2, 0, 1, 0xffffffff};
    cr_assert_arr_eq(w.args, args, sizeof(args));
    cr_assert_eq(w.sp, 0x7ffe10);
    cr_assert_eq(w.pc, 0x7f0001);
    cr_assert_lt(where("202 0x55aa 0x80 0x2 0x0 0x1\n", &w), 0);
}

/* ---- sockets */

static void take_all(struct sockets *s, enum sockets_list list, const char *const *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert(sockets_take(s, list, lines[i], strlen(lines[i])), "%s", lines[i]);
}

static void expect_end(const struct sockets *s, uint64_t inode, const char *wanted)
{
    char text[200] = "";
    cr_assert_eq(sockets_describe(s, inode, text, sizeof(text)), wanted != NULL, "%s", text);
    if (wanted)
        cr_assert_str_eq(text, wanted);
}

#define OX_TAIL " 00000000:00000000 00:00000000 00000000  1000        0 "

Test(sockets, tcp_by_whose_port_it_is)
{
    static const char *const lines[] = {
        "   0: 00000000:18EB 00000000:0000 0A" OX_TAIL "11 1 0000 100 0 0 10 0",
        "   1: 0100007F:1F90 00000000:0000 0A" OX_TAIL "12 1 0000 100 0 0 10 0",
        "   2: 0100007F:18EB 0200A8C0:D431 01" OX_TAIL "13 1 0000 20 4 30 10 -1",
        "   3: 0100007F:D431 0500000A:1538 01" OX_TAIL "14 1 0000 20 4 30 10 -1",
        " 400: 0100007F:D432 0500000A:1538 06" OX_TAIL "0 3 0000"};
    static const char *const six[] = {
        "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 "
        "0A" OX_TAIL "21 1 0000 100 0 0 10 0",
        "   1: 0000000000000000FFFF00000100007F:CDDD 0000000000000000FFFF00000500000A:01BB "
        "01" OX_TAIL "22 2 0000 20 4 0 18 -1",
        "   2: B80D0120000000000000000001000000:CDDE B80D0120000000000000000002000000:01BB "
        "01" OX_TAIL "23 2 0000 20 4 0 18 -1"};
    struct sockets s = {0};
    take_all(&s, SOCKETS_TCP, lines, 5);
    take_all(&s, SOCKETS_TCP6, six, 3);
    expect_end(&s, 11, ":6379");
    expect_end(&s, 12, "127.0.0.1:8080");
    expect_end(&s, 13, "clients of :6379");
    expect_end(&s, 14, "10.0.0.5:5432");
    expect_end(&s, 21, ":80");
    expect_end(&s, 22, "10.0.0.5:443");
    expect_end(&s, 23, "[2001:db8::2]:443");
    expect_end(&s, 0, NULL);
    expect_end(&s, 99, NULL);
    sockets_release(&s);
}

Test(sockets, udp_connected_or_not)
{
    static const char *const lines[] = {
        "  10: 00000000:0035 00000000:0000 07" OX_TAIL "31 2 0000 0",
        "  11: 0100007F:9C40 0500000A:0035 01" OX_TAIL "32 2 0000 0"};
    struct sockets s = {0};
    take_all(&s, SOCKETS_UDP, lines, 2);
    expect_end(&s, 31, "udp :53");
    expect_end(&s, 32, "udp 10.0.0.5:53");
    sockets_release(&s);
}

Test(sockets, unix_by_their_paths)
{
    static const char *const lines[] = {
        "000000001726db3e: 00000002 00000000 00010000 0001 01 41 /run/app.sock",
        "000000001726db3f: 00000003 00000000 00000000 0001 03 42 /run/app.sock",
        "000000001726db40: 00000003 00000000 00000000 0001 03 43",
        "000000001726db41: 00000002 00000000 00000000 0002 01 44 /run/log one",
        "000000001726db42: 00000002 00000000 00010000 0001 01 45 @abstract"};
    struct sockets s = {0};
    take_all(&s, SOCKETS_UNIX, lines, 5);
    expect_end(&s, 41, "/run/app.sock");
    expect_end(&s, 42, "clients of /run/app.sock");
    expect_end(&s, 43, "unix socket");
    expect_end(&s, 44, "/run/log one");
    expect_end(&s, 45, "@abstract");
    sockets_release(&s);
}

Test(sockets, other_lines_are_none)
{
    static const char *const lines[] = {
        "",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt",
        "   0: 0100007F:18EB",
        "   0: 0100007F18EB 00000000:0000 0A",
        "   0: 01 0007F:18EB 00000000:0000 0A" OX_TAIL "11 1",
        "Num       RefCount Protocol Flags"};
    struct sockets s = {0};
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        cr_expect_not(sockets_take(&s, SOCKETS_TCP, lines[i], strlen(lines[i])), "%s", lines[i]);
        cr_expect_not(sockets_take(&s, SOCKETS_UNIX, lines[i], strlen(lines[i])), "%s", lines[i]);
    }
    cr_assert_eq(s.n, 0);
    sockets_release(&s);
}

Test(sockets, addresses_that_are_connected_to)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(5432)};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/app.sock"};
    char text[200];
    four.sin_addr.s_addr = htonl(0x0a000005);
    cr_assert(sockets_describe_address(&four, sizeof(four), text, sizeof(text)));
    cr_assert_str_eq(text, "10.0.0.5:5432");
    cr_assert(sockets_describe_address(&un, sizeof(un), text, sizeof(text)));
    cr_assert_str_eq(text, "/run/app.sock");
    cr_assert_not(sockets_describe_address(&four, 1, text, sizeof(text)));
    cr_assert_not(sockets_describe_address(&four, 8, text, sizeof(text)));
}

/* ---- locks */

/* A plain mutex that thread 77 has, and others want. */
static const uint32_t taken[9] = {2, 0, 77, 1, 0};
static const struct futex_call plainly = {.addr = 0x1000, .op = FUTEX_WAIT_PRIVATE, .value = 2};

static uint32_t holder(const struct futex_call *call, enum lock_function in, const uint32_t *words)
{
    return lock_state_of(call, in, words, 9).holder;
}

Test(locks, a_mutex_and_its_holder)
{
    struct lock_state s = lock_state_of(&plainly, FUNCTION_MUTEX, taken, 9);
    cr_assert_eq(s.kind, LOCK_MUTEX);
    cr_assert_eq(s.holder, 77);
    cr_assert_eq(lock_words_addr(&plainly, FUNCTION_MUTEX), 0x1000);
    cr_assert_eq(holder(&plainly, FUNCTION_COND, taken), 77, "taken again after a condition");
    uint32_t before_the_woken[9] = {1, 0, 77, 1, 0}, between[9] = {0, 0, 0, 0, 0};
    cr_assert_eq(holder(&plainly, FUNCTION_MUTEX, before_the_woken), 77);
    cr_assert_eq(lock_state_of(&plainly, FUNCTION_MUTEX, between, 9).kind, LOCK_MUTEX);
    cr_assert_eq(holder(&plainly, FUNCTION_MUTEX, between), 0);
}

Test(locks, what_only_looks_like_a_mutex)
{
    struct futex_call call = plainly;
    uint32_t words[9];
    cr_assert_eq(lock_state_of(&plainly, FUNCTION_OTHER, taken, 9).kind, LOCK_NONE);
    call.value = 1;
    cr_assert_eq(lock_state_of(&call, FUNCTION_MUTEX, taken, 9).kind, LOCK_NONE);
    call = plainly;
    call.op = FUTEX_WAIT_BITSET_PRIVATE; /* without a limit: Rust's, not glibc's */
    cr_assert_eq(lock_state_of(&call, FUNCTION_MUTEX, taken, 9).kind, LOCK_NONE);
    memcpy(words, taken, sizeof(words));
    words[4] = 0x400; /* no such kind */
    cr_assert_eq(lock_state_of(&plainly, FUNCTION_MUTEX, words, 9).kind, LOCK_NONE);
    memcpy(words, taken, sizeof(words));
    words[3] = 0; /* nobody uses it */
    cr_assert_eq(holder(&plainly, FUNCTION_MUTEX, words), 0);
    for (unsigned n = 0; n < 5; n++)
        cr_assert_eq(lock_state_of(&plainly, FUNCTION_MUTEX, taken, n).kind, LOCK_NONE, "%u", n);
}

Test(locks, robust_and_inheriting)
{
    const uint32_t robust[9] = {77 | FUTEX_WAITERS, 0, 77, 1, 0x10};
    const uint32_t inheriting[1] = {77 | FUTEX_WAITERS};
    struct futex_call call = plainly;
    call.value = 77 | FUTEX_WAITERS;
    cr_assert_eq(holder(&call, FUNCTION_OTHER, robust), 77, "its own words suffice");
    call.value = 78 | FUTEX_WAITERS;
    cr_assert_eq(lock_state_of(&call, FUNCTION_OTHER, robust, 9).kind, LOCK_NONE);
    call = (struct futex_call){.addr = 0x1000, .op = FUTEX_LOCK_PI_PRIVATE};
    cr_assert_eq(lock_state_of(&call, FUNCTION_OTHER, inheriting, 1).holder, 77);
    cr_assert_eq(lock_state_of(&call, FUNCTION_OTHER, inheriting, 0).kind, LOCK_NONE);
}

Test(locks, a_lock_for_readers_and_writers)
{
    const uint32_t written[9] = {[6] = 77}, read[9] = {3 << 3};
    struct futex_call reader = {.addr = 0x1008, .op = FUTEX_WAIT_BITSET_PRIVATE};
    struct futex_call writer = {.addr = 0x100c, .op = FUTEX_WAIT_BITSET_PRIVATE};
    cr_assert_eq(lock_words_addr(&reader, FUNCTION_RWLOCK), 0x1000);
    cr_assert_eq(lock_words_addr(&writer, FUNCTION_RWLOCK), 0x1000);
    cr_assert_eq(holder(&reader, FUNCTION_RWLOCK, written), 77);
    struct lock_state s = lock_state_of(&writer, FUNCTION_RWLOCK, read, 9);
    cr_assert_eq(s.holder, 0);
    cr_assert(s.readers);
    cr_assert_eq(lock_state_of(&writer, FUNCTION_RWLOCK, read, 6).kind, LOCK_NONE);
}

Test(locks, the_end_of_a_thread)
{
    const struct futex_call join = {.addr = 0x10000 + 720, .op = FUTEX_WAIT_BITSET, .value = 77};
    struct futex_call other = join;
    cr_assert_eq(lock_joined_addr(&join), 0x10000);
    cr_assert(lock_is_pthread(0x10000, (uint64_t[]){0x10000, 0, 0x10000}));
    cr_assert_not(lock_is_pthread(0x10000, (uint64_t[]){0x10000, 0, 0}));
    other.op |= FUTEX_PRIVATE_FLAG; /* the kernel would not wake it */
    cr_assert_eq(lock_joined_addr(&other), 0);
    other = join;
    other.value = 0;
    cr_assert_eq(lock_joined_addr(&other), 0);
}

/* ---- the table */

static uint32_t waiting_frame(struct profile *p, const char *function, const char *wait)
{
    struct profile_line line = made_line(p, function, "", 0, 0);
    uint32_t frame = made_frame(p, p->n_frames, KIND_KERNEL, "", &line, 1);
    p->frames[frame].wait = wait ? intern_put(p->strings, wait) : 0;
    return frame;
}

static struct profile *waiting_profile(void)
{
    struct profile *p = made_profile(false);
    uint32_t one = profile_thread(p, 7, 71, "one"), two = profile_thread(p, 7, 72, "two");
    uint32_t read = waiting_frame(p, "[read: /a\tb]", "read: /a\tb: c");
    uint32_t epoll = waiting_frame(p, "epoll_wait", "epoll_wait");
    MADE_HIT(p, one, PROFILE_WAIT, 3, 1, read);
    MADE_HIT(p, two, PROFILE_WAIT, 3, 1, read);
    MADE_HIT(p, two, PROFILE_WAIT, 2, 4, epoll);
    MADE_HIT(p, two, PROFILE_CPU, 50, 6, epoll);
    return p;
}

Test(waits, hits_and_threads_by_reason_and_thing)
{
    struct profile *p = waiting_profile();
    struct report_options opt = plain;
    opt.waits = true;
    char *text = made_text(report_tsv, p, &opt, NULL);
    cr_assert_str_eq(text, "hits\tthreads\treason\tthing\ttid\n"
                           "9\t1\tunknown\t\t\n"
                           "6\t2\tread\t/a\\x09b: c\t\n"
                           "2\t1\tepoll_wait\t\t\n");
    free(text);
    opt.top = 1;
    text = made_text(report_text, p, &opt, NULL);
    cr_assert(strstr(text, "# waiting, by what for\n"
                           "#  HITS   HITS%  THREADS  REASON   THING\n"
                           "      9   52.94        1  unknown  -\n"
                           "# 2 more waits, 8 samples SELF, not shown: -N 1\n"),
              "%s", text);
    free(text);
    profile_free(p);
}

Test(waits, a_saved_profile_tells_the_same)
{
    struct profile *p = waiting_profile(), *again = profile_new(NULL);
    struct report_options opt = plain;
    struct error err;
    size_t n;
    opt.waits = opt.threads = true;
    uint8_t *bytes = (uint8_t *)made_text(report_pprof, p, &plain, &n);
    struct report_reader *r = report_reader_new(again);
    cr_assert_eq(report_reader_add(r, bytes, n, &err), 0, "%s", err.text);
    char *wanted = made_text(report_json, p, &opt, NULL);
    char *got = made_text(report_json, again, &opt, NULL);
    /* control characters are escaped when it is saved */
    cr_assert(strstr(wanted,
                     "\"reason\":\"read\",\"thing\":\"/a\\u0009b: c\",\"hits\":3,\"threads\":1,"
                     "\"tid\":71"),
              "%s", wanted);
    cr_assert(strstr(got,
                     "\"reason\":\"read\",\"thing\":\"/a\\\\x09b: c\",\"hits\":3,\"threads\":1,"
                     "\"tid\":71"),
              "%s", got);
    cr_assert(strstr(got, "\"reason\":\"epoll_wait\",\"thing\":null,\"hits\":2"), "%s", got);
    free(wanted);
    free(got);
    free(bytes);
    report_reader_free(r);
    profile_free(again);
    profile_free(p);
}
