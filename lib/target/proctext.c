/* SPDX-License-Identifier: MIT */
#include "target/proctext.h"

#include <errno.h>
#include <string.h>

#include "base/parse.h"

/* Signed fields of stat (pgrp, tpgid, priority, …) are skipped by this too. */
static bool skip_field(const char **p, const char *end)
{
    while (*p < end && **p == ' ')
        (*p)++;
    const char *first = *p;
    while (*p < end && **p != ' ' && **p != '\n')
        (*p)++;
    return *p > first;
}

static bool skip_fields(const char **p, const char *end, int n)
{
    while (n-- > 0)
        if (!skip_field(p, end))
            return false;
    return true;
}

int proctext_stat(const char *text, size_t bytes, struct proc_stat *ret)
{
    const char *end = text + bytes, *open = memchr(text, '(', bytes);
    const char *close = open ? memrchr(open, ')', (size_t)(end - open)) : NULL;
    if (!close || end - close < 4 || close[1] != ' ')
        return -EBADMSG;
    struct proc_stat s = {.state = close[2]};
    size_t n = (size_t)(close - open) - 1;
    memcpy(s.comm, open + 1, n < sizeof(s.comm) ? n : sizeof(s.comm) - 1);
    const char *p = close + 3;
    uint64_t ppid;
    /* counted from field 4, ppid; 9 is flags, 22 starttime, 28 startstack, 39 processor, 41 policy
     */
    if (!parse_number_at(&p, end, 10, &ppid) || ppid > INT32_MAX || !skip_fields(&p, end, 4) ||
        !parse_number_at(&p, end, 10, &s.flags) || !skip_fields(&p, end, 12) ||
        !parse_number_at(&p, end, 10, &s.start_ticks) || !skip_fields(&p, end, 5) ||
        !parse_number_at(&p, end, 10, &s.start_stack) || !skip_fields(&p, end, 10) ||
        !parse_number_at(&p, end, 10, &s.cpu) || !skip_fields(&p, end, 1) ||
        !parse_number_at(&p, end, 10, &s.policy))
        return -EBADMSG;
    s.ppid = (pid_t)ppid;
    *ret = s;
    return 0;
}

static const char *value_of(const char *line, const char *end, const char *key)
{
    size_t n = strlen(key);
    return (size_t)(end - line) > n && !memcmp(line, key, n) ? line + n : NULL;
}

static uint64_t number_in(const char *p, const char *end)
{
    uint64_t v = 0;
    return parse_number_at(&p, end, 10, &v) ? v : 0;
}

static uint64_t last_number_in(const char *p, const char *end)
{
    uint64_t v = 0;
    while (parse_number_at(&p, end, 10, &v))
        continue;
    return v;
}

static void status_line(const char *line, const char *end, struct proc_status *s)
{
    const char *v;
    if ((v = value_of(line, end, "State:\t")))
        s->state = *v;
    else if ((v = value_of(line, end, "Tgid:")))
        s->tgid = (pid_t)number_in(v, end);
    else if ((v = value_of(line, end, "TracerPid:")))
        s->tracer = (pid_t)number_in(v, end);
    else if ((v = value_of(line, end, "NSpid:")))
        s->ns_pid = (pid_t)last_number_in(v, end);
    else if ((v = value_of(line, end, "Seccomp:")))
        s->seccomp = (unsigned)number_in(v, end);
    else if ((v = value_of(line, end, "Uid:"))) {
        uint64_t uid = 0, euid = 0;
        if (parse_number_at(&v, end, 10, &uid) && parse_number_at(&v, end, 10, &euid)) {
            s->uid = (uid_t)uid;
            s->euid = (uid_t)euid;
        }
    }
}

int proctext_status(const char *text, size_t bytes, struct proc_status *ret)
{
    struct proc_status s = {0};
    const char *end = text + bytes;
    /* The first line, Name:, is the target's choice; the kernel escapes newlines in it. */
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        status_line(line, stop, &s);
        line = stop + 1;
    }
    if (!s.state)
        return -EBADMSG;
    *ret = s;
    return 0;
}

int proctext_schedstat(const char *text, size_t bytes, struct proc_run *ret)
{
    struct proc_run r;
    const char *p = text, *end = text + bytes;
    if (!parse_number_at(&p, end, 10, &r.run_ns) || !parse_number_at(&p, end, 10, &r.delay_ns) ||
        !parse_number_at(&p, end, 10, &r.switches_in))
        return -EBADMSG;
    *ret = r;
    return 0;
}

static bool hex_field(const char **p, const char *end, uint64_t *ret)
{
    while (*p < end && **p == ' ')
        (*p)++;
    if (end - *p < 3 || (*p)[0] != '0' || (*p)[1] != 'x')
        return false;
    const char *digits = *p + 2;
    if (!parse_number_at(&digits, end, 16, ret))
        return false;
    *p = digits;
    return true;
}

int proctext_syscall(const char *text, size_t bytes, struct proc_where *ret)
{
    static const char running[] = "running\n";
    struct proc_where w = {0};
    const char *p = text, *end = text + bytes;
    if (bytes == strlen(running) && !memcmp(text, running, bytes)) {
        *ret = (struct proc_where){.running = true};
        return 0;
    }
    uint64_t nr = 0;
    bool none = bytes > 3 && !memcmp(text, "-1 ", 3);
    if (none)
        p += 3;
    else if (!parse_number_at(&p, end, 10, &nr) || nr > INT32_MAX)
        return -EBADMSG;
    for (int i = 0; i < PROC_CALL_ARGS && !none; i++)
        if (!hex_field(&p, end, &w.args[i]))
            return -EBADMSG;
    if (!hex_field(&p, end, &w.sp) || !hex_field(&p, end, &w.pc))
        return -EBADMSG;
    w.syscall = none ? -1 : (int64_t)nr;
    *ret = w;
    return 0;
}
