/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "fixture.h"
#include "half.h"

enum { EVENT_SEM, NEVER_SEM, SEMS };

static void sem_open_set(struct half *h)
{
    unsigned short zero[SEMS] = {0};
    h->event = h->timeout = semget(IPC_PRIVATE, SEMS, 0600);
    if (h->event < 0 || semctl(h->event, 0, SETALL, zero) != 0)
        fixture_die("semget");
}

static void sem_drive(struct half *h)
{
    struct sembuf up = {EVENT_SEM, 1, 0};
    semop(h->event, &up, 1);
}

static int sem_wait_event(struct half *h)
{
    struct sembuf down = {EVENT_SEM, -1, 0};
    return semop(h->event, &down, 1) == 0 ? 0 : errno;
}

static int sem_wait_timeout(struct half *h)
{
    struct sembuf down = {NEVER_SEM, -1, 0};
    struct timespec timeout = {0, HALF_TIMEOUT_NS};
    if (semtimedop(h->timeout, &down, 1, &timeout) == 0)
        return EPROTO;
    return errno == EAGAIN ? ETIMEDOUT : errno;
}

static void sem_close_set(struct half *h)
{
    semctl(h->event, 0, IPC_RMID);
}

int main(void)
{
    static const struct half_ops ops = {sem_open_set, sem_drive, sem_wait_event, sem_wait_timeout,
                                        sem_close_set};
    return half_main(&ops);
}
