/* SPDX-License-Identifier: MIT */
#include "capture/repair.h"

#include <asm/unistd.h>
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>

/* include/linux/errno.h of the kernel: seen by tracers only, in RAX */
enum {
    ERESTARTSYS_ = 512,
    ERESTARTNOINTR_ = 513,
    ERESTARTNOHAND_ = 514,
    ERESTART_RESTARTBLOCK_ = 516
};

/*
 * The calls that report EINTR to PTRACE_INTERRUPT although no signal has come (measured on
 * Linux 6.18; signal(7), "Interruption of system calls by stop signals"): those that wait for an
 * event, and those of sockets with SO_RCVTIMEO or SO_SNDTIMEO. Where they report it they have
 * transferred nothing, so issuing them again changes nothing that they have done; connect goes on
 * with the connection that is under way (inet_stream_connect() in net/ipv4/af_inet.c). This is not
 * so for close, whose descriptor is gone.
 */
static bool may_be_issued_again(uint64_t nr)
{
    switch (nr) {
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
    case __NR_connect:
    case __NR_read:
    case __NR_readv:
    case __NR_write:
    case __NR_writev:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_sendmmsg:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_recvmmsg:
    case __NR_accept:
    case __NR_accept4:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_rt_sigtimedwait:
    case __NR_io_getevents:
    case __NR_io_pgetevents:
    case __NR_io_uring_enter:
        return true;
    default:
        return false;
    }
}

bool repair_was_blocked(const struct user_regs_struct *r)
{
    switch ((int64_t)r->rax) {
    case -EINTR:
    case -ERESTARTSYS_:
    case -ERESTARTNOINTR_:
    case -ERESTARTNOHAND_:
    case -ERESTART_RESTARTBLOCK_:
        return (int64_t)r->orig_rax >= 0;
    default:
        return false;
    }
}

/*
 * May a seccomp filter kill the thread for restart_syscall, which the kernel would have it call?
 * Asked while it stands still, as a filter may be installed at any moment; in doubt, yes. NULL: not
 * known.
 */
static bool is_filtered(struct watch *w)
{
    struct proc_status status;
    return !w || w->thread->status_fd < 0 ||
           thread_status(w->threads, w->process, w->thread, &status) < 0 || status.seccomp != 0;
}

/* -514 makes the kernel issue the call again, and still report EINTR if a handler runs. */
enum repair repair_call(pid_t tid, struct watch *w, const struct user_regs_struct *r)
{
    int64_t rax = (int64_t)r->rax;
    if ((int64_t)r->orig_rax < 0)
        return REPAIR_NEEDLESS;
    bool lethal = rax == -ERESTART_RESTARTBLOCK_ && is_filtered(w);
    bool again = rax == -EINTR && may_be_issued_again(r->orig_rax);
    if (!lethal && !again)
        return rax == -EINTR ? REPAIR_DISTURBED : REPAIR_NEEDLESS;
    if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, regs.rax), (long)-ERESTARTNOHAND_) < 0)
        return REPAIR_DISTURBED;
    return REPAIR_DONE;
}
