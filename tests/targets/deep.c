/* SPDX-License-Identifier: MIT */
/* deep frames: computes at the bottom of 2,000 frames in 300 KiB. deep signal: in a handler that
 * runs on an alternate stack. deep asleep: waits there. */
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "fixture.h"

enum { FRAMES = 2000, FRAME_BYTES = 104, STACK_BYTES = 1 << 17 };

NOINLINE static uint64_t bottom_work(uint64_t x)
{
    while (!fixture_stop_asked())
        x = fixture_steps(x, 1000000);
    return x;
}

NOINLINE static uint64_t descend(uint64_t x, unsigned depth)
{
    volatile char ballast[FRAME_BYTES];
    ballast[depth % FRAME_BYTES] = (char)depth;
    x = depth == 0 ? bottom_work(x) : descend(x, depth - 1);
    return x + (uint64_t)ballast[depth % FRAME_BYTES];
}

NOINLINE static uint64_t handler_work(uint64_t x)
{
    return bottom_work(x) + 1;
}

static bool sleeps;

static void on_signal(int sig)
{
    while (sleeps && !fixture_stop_asked())
        poll(NULL, 0, 50);
    if (!sleeps && handler_work((uint64_t)sig) == 0)
        _exit(1);
}

NOINLINE static void raise_on_other_stack(void)
{
    stack_t stack = {.ss_sp = malloc(STACK_BYTES), .ss_size = STACK_BYTES};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0)
        fixture_die("sigaltstack");
    raise(SIGUSR1);
    free(stack.ss_sp);
}

int main(int argc, char **argv)
{
    uint64_t x = 1;
    fixture_begin();
    fixture_ready();
    sleeps = argc > 1 && !strcmp(argv[1], "asleep");
    if (argc > 1 && (sleeps || !strcmp(argv[1], "signal")))
        raise_on_other_stack();
    else
        x = descend(1, FRAMES - 1);
    printf("done=%d\n", x != 0);
    return 0;
}
