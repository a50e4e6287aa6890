/* SPDX-License-Identifier: MIT */
#include "capture/seize.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* Interrupted, the kernel has put the instruction pointer back onto the system call and its number
 * into RAX (arch_do_signal_or_restart() in arch/x86/kernel/signal.c). */
static void call_off(int sig, siginfo_t *info, void *context)
{
    static const uint8_t syscall_insn[] = {0x0f, 0x05};
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    (void)sig;
    (void)info;
    if (regs[REG_RAX] != SYS_ptrace || regs[REG_RDI] != PTRACE_SEIZE)
        return;
    if (memcmp((const void *)regs[REG_RIP], syscall_insn, sizeof(syscall_insn)) != 0)
        return;
    regs[REG_RIP] += (greg_t)sizeof(syscall_insn);
    regs[REG_RAX] = -EINTR;
}

int seize_prepare(void)
{
    struct sigaction action = {.sa_sigaction = call_off, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    return sigaction(SIGCHLD, &action, NULL) < 0 ? -errno : 0;
}

int seize(pid_t tid)
{
    sigset_t child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_UNBLOCK, &child, &before);
    int rc = ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0 ? 0 : -errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
