/* SPDX-License-Identifier: MIT */
/*
 * usage: waits PORT: three threads compute 12 calls deep, six wait below 6 calls of ever other
 * callers, until it is ended; the port accepts connections. OWN_CALLS: waits by a system call of
 * its own, not by libc.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, noipa))

static volatile uint64_t sink;

#ifdef OWN_CALLS
NOINLINE static long own_call(long nr, long a, long b)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
}
#endif

NOINLINE static void nap(uint64_t ms)
{
    struct timespec t = {.tv_nsec = (long)ms * 1000000};
#ifdef OWN_CALLS
    own_call(35, (long)&t, 0); /* nanosleep */
#else
    nanosleep(&t, NULL);
#endif
}

NOINLINE static uint64_t crunch(uint64_t x)
{
    for (int i = 0; i < 20000; i++)
        x = x * 69069 + 1;
    return x;
}

NOINLINE static uint64_t descend(uint64_t x, int depth)
{
    uint64_t y = depth ? descend(x + 1, depth - 1) : crunch(x);
    return y ^ x;
}

NOINLINE static uint64_t rest(uint64_t ms, int depth)
{
    if (depth)
        return rest(ms, depth - 1) + ms;
    nap(ms);
    return ms;
}

NOINLINE static void *compute(void *arg)
{
    for (;;)
        sink = descend((uintptr_t)arg, 12);
    return NULL;
}

NOINLINE static void *wait_often(void *arg)
{
    for (;;)
        sink += rest(20 + (uintptr_t)arg, 6);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    if (argc < 2)
        return 2;
    at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 8) < 0)
        return 1;
    for (uintptr_t i = 0; i < 9; i++)
        if (pthread_create(&thread, NULL, i < 3 ? compute : wait_often, (void *)i))
            return 1;
    for (;;)
        close(accept(listener, NULL, NULL));
}
