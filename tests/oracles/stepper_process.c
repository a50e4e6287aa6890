/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stepper.h"

void stepper_fail(const char *what)
{
    fprintf(stderr, "step: %s: %s\n", what, strerror(errno));
    exit(2);
}

pid_t stepper_launch(char **argv)
{
    static char *environment[] = {"LANG=C", NULL};
    pid_t pid = fork();
    if (pid < 0)
        stepper_fail("fork");
    if (pid)
        return pid;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execve(argv[0], argv, environment);
    _exit(127);
}

int stepper_await(struct stepper *s, int *ret_code)
{
    int status;
    if (waitpid(s->tid, &status, __WALL) != s->tid)
        stepper_fail("waitpid");
    if (WIFSTOPPED(status))
        return status >> 16 == PTRACE_EVENT_CLONE ? NEW_THREAD : WSTOPSIG(status);
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

static uint64_t entry_point(pid_t pid)
{
    char path[64];
    uint64_t pair[2] = {0};
    snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
    FILE *f = fopen(path, "re");
    while (f && fread(pair, sizeof(pair), 1, f) == 1 && pair[0] != AT_ENTRY)
        ;
    if (!f || pair[0] != AT_ENTRY)
        stepper_fail("no entry point");
    fclose(f);
    return pair[1];
}

void stepper_run_to_entry(struct stepper *s)
{
    int code;
    uint64_t entry = entry_point(s->pid);
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, s->tid, entry, NULL);
    if (errno || ptrace(PTRACE_POKETEXT, s->tid, entry, (word & ~0xffL) | 0xcc) < 0)
        stepper_fail("entry point");
    if (ptrace(PTRACE_CONT, s->tid, NULL, NULL) < 0 || stepper_await(s, &code) != SIGTRAP)
        stepper_fail("not reached: the entry point");
    ptrace(PTRACE_POKETEXT, s->tid, entry, word);
    ptrace(PTRACE_GETREGS, s->tid, NULL, &s->regs);
    s->regs.rip = entry;
    if (ptrace(PTRACE_SETREGS, s->tid, NULL, &s->regs) < 0)
        stepper_fail("registers");
}

static void find_stack(struct stepper *s, uint64_t rsp)
{
    bool anonymous;
    if (rsp >= s->stack_start && rsp < s->stack_end)
        return;
    if (process_query_memory(&s->living.process, rsp, &s->stack_start, &s->stack_end, &anonymous) <
        0)
        stepper_fail("no stack (PROCMAP_QUERY is since Linux 6.11)");
}

void stepper_take_snapshot(struct stepper *s)
{
    const struct user_regs_struct *r = &s->regs;
    struct snapshot *snap = &s->snap;
    if (ptrace(PTRACE_GETREGS, s->tid, NULL, &s->regs) < 0)
        stepper_fail("PTRACE_GETREGS");
    find_stack(s, r->rsp);
    *snap = (struct snapshot){.pid = s->pid,
                              .tid = s->tid,
                              .state = STATE_CPU,
                              .source = SOURCE_STOPPED,
                              .syscall = -1,
                              .stack_addr = r->rsp - SNAPSHOT_RED_ZONE_BYTES,
                              .stack = s->stack,
                              .regs.known = (1u << DWREG_N) - 1};
    const uint64_t values[DWREG_N] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
                                      r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
                                      r->r12, r->r13, r->r14, r->r15, r->rip};
    memcpy(snap->regs.value, values, sizeof(values));
    if (snap->stack_addr < s->stack_start)
        snap->stack_addr = s->stack_start;
    size_t bytes = s->stack_end - snap->stack_addr;
    if (bytes > SNAPSHOT_STACK_MAX_BYTES)
        bytes = SNAPSHOT_STACK_MAX_BYTES;
    ssize_t got = process_read(&s->living.process, s->stack, bytes, snap->stack_addr);
    snap->stack_bytes = got > 0 ? (size_t)got : 0;
    memset(s->code, 0, sizeof(s->code));
    process_read(&s->living.process, s->code, sizeof(s->code), r->rip);
}

bool stepper_take_other_stack(struct stepper *s)
{
    struct snapshot_piece *other = &s->snap.interrupted;
    const struct stack *st = &s->walked;
    uint64_t sp = st->frames[st->n - 1].sp, start, end;
    bool anonymous;
    if (st->end != STACK_ELSEWHERE)
        return false;
    if (st->elsewhere_at)
        process_read(&s->living.process, &sp, sizeof(sp), st->elsewhere_at);
    if (process_query_memory(&s->living.process, sp, &start, &end, &anonymous) < 0)
        return false;
    other->addr = sp - SNAPSHOT_RED_ZONE_BYTES < start ? start : sp - SNAPSHOT_RED_ZONE_BYTES;
    size_t bytes = end - other->addr;
    if (bytes > SNAPSHOT_STACK_MAX_BYTES)
        bytes = SNAPSHOT_STACK_MAX_BYTES;
    ssize_t got = process_read(&s->living.process, s->interrupted, bytes, other->addr);
    other->bytes = got > 0 ? (size_t)got : 0;
    other->data = s->interrupted;
    return got > 0;
}
