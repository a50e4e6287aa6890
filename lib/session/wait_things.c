/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "session/state.h"

/* Files, and the ends of connections. */
enum {
    LIST_COST_PART = 50,              /* listing sockets takes at most this part of the time, */
    LIST_BURST_NS = 30 * 1000 * 1000, /* and this at the beginning, of each namespace */
    UNKNOWN_MAX = 4096,               /* sockets that are in no list, remembered */
};

/* "PREFIX[123]" */
static bool number_in_brackets(const char *link, const char *prefix, uint64_t *ret)
{
    size_t n = strlen(prefix), len = strlen(link);
    const char *at = link + n, *end = link + len;
    return len > n && !strncmp(link, prefix, n) && parse_number_at(&at, end, 10, ret) &&
           end - at == 1 && *at == ']';
}

static bool read_link(const struct target *t, const struct watch *w, const char *name, char *buf,
                      size_t bytes)
{
    char path[64];
    snprintf(path, sizeof(path), "%d/%s", w->thread->tid, name);
    ssize_t n = readlinkat(t->process.task_fd, path, buf, bytes - 1);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    return true;
}

static struct wait_net *net_of(struct session *s, const struct target *t, const struct watch *w)
{
    struct waits *waits = &s->waits;
    char link[64];
    uint64_t ns;
    if (!read_link(t, w, "ns/net", link, sizeof(link)) || !number_in_brackets(link, "net:[", &ns))
        return NULL;
    for (size_t i = 0; i < waits->n_nets; i++)
        if (waits->nets[i].ns == ns)
            return &waits->nets[i];
    if (waits->n_nets == WAIT_NETS_MAX)
        return NULL;
    waits->nets = mem_grow(waits->nets, &waits->nets_cap, waits->n_nets + 1, sizeof(*waits->nets));
    waits->nets[waits->n_nets] = (struct wait_net){.ns = ns, .first_ns = clock_now_ns()};
    return &waits->nets[waits->n_nets++];
}

static void read_list(struct sockets *sockets, const struct target *t, const struct watch *w,
                      enum sockets_list list)
{
    char path[64], *line OX_FREE = NULL;
    size_t cap = 0;
    snprintf(path, sizeof(path), "%d/net/%s", w->thread->tid, sockets_file(list));
    int fd = openat(t->process.task_fd, path, O_RDONLY | O_CLOEXEC);
    FILE *from = fd < 0 ? NULL : fdopen(fd, "re");
    if (!from) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (ssize_t n; !sockets->cut && (n = getline(&line, &cap, from)) > 0;)
        sockets_take(sockets, list, line, (size_t)n - (line[n - 1] == '\n'));
    fclose(from);
}

/* Not while a thread stands still for us, and rarely: it may take milliseconds. */
static bool may_list(const struct session *s, const struct wait_net *net, uint64_t now)
{
    uint64_t part = LIST_COST_PART * (uint64_t)s->waits.n_nets; /* all of them together */
    return !s->stopper.n && net->spent_ns <= (now - net->first_ns) / part + LIST_BURST_NS;
}

static bool list_again(struct session *s, const struct target *t, const struct watch *w,
                       struct wait_net *net)
{
    uint64_t begin = clock_now_ns();
    if (!may_list(s, net, begin))
        return false;
    sockets_release(&net->sockets);
    for (unsigned i = 0; i < SOCKETS_LISTS; i++)
        read_list(&net->sockets, t, w, (enum sockets_list)i);
    net->spent_ns += clock_now_ns() - begin;
    return true;
}

static void remember_unknown(struct wait_net *net, uint64_t inode)
{
    if (net->unknown.n >= UNKNOWN_MAX)
        map_release(&net->unknown);
    map_put(&net->unknown, inode, 0, 1);
}

/* False where it has not been looked up yet; "socket" where the lists don't know it. */
static bool describe_socket(struct session *s, const struct target *t, const struct watch *w,
                            uint64_t inode, struct wait_thing *ret)
{
    struct wait_net *net = net_of(s, t, w);
    if (!net)
        return false;
    if (sockets_describe(&net->sockets, inode, ret->text, WAIT_TEXT_BYTES))
        return true;
    if (!map_find(&net->unknown, inode, 0)) {
        if (!list_again(s, t, w, net))
            return false;
        if (sockets_describe(&net->sockets, inode, ret->text, WAIT_TEXT_BYTES))
            return true;
        remember_unknown(net, inode);
    }
    snprintf(ret->text, WAIT_TEXT_BYTES, "socket");
    return true;
}

/* "anon_inode:[eventfd]", "anon_inode:inotify" */
static const char *kind_of_link(char *link)
{
    static const char anonymous[] = "anon_inode:";
    uint64_t number;
    size_t n = sizeof(anonymous) - 1;
    if (number_in_brackets(link, "pipe:[", &number))
        return "pipe";
    if (strncmp(link, anonymous, n))
        return link;
    link += n;
    size_t len = strlen(link);
    if (*link != '[' || link[len - 1] != ']')
        return link;
    link[len - 1] = '\0';
    return link + 1;
}

bool wait_file(struct session *s, struct target *t, const struct watch *w, uint64_t fd,
               struct wait_thing *ret)
{
    char name[32], link[WAIT_TEXT_BYTES];
    uint64_t inode;
    if (fd > INT32_MAX)
        return false;
    snprintf(name, sizeof(name), "fd/%d", (int)fd);
    if (!read_link(t, w, name, link, sizeof(link)))
        return false;
    if (number_in_brackets(link, "socket:[", &inode))
        return describe_socket(s, t, w, inode, ret);
    snprintf(ret->text, WAIT_TEXT_BYTES, "%s", kind_of_link(link));
    return ret->text[0] != '\0';
}

bool wait_poll(struct session *s, struct target *t, const struct watch *w,
               const struct snapshot *snap, struct wait_thing *ret)
{
    struct pollfd one;
    if (snap->syscall_args[1] != 1 ||
        wait_read(s, t, &one, sizeof(one), snap->syscall_args[0]) != sizeof(one) || one.fd < 0)
        return false;
    return wait_file(s, t, w, (uint64_t)one.fd, ret);
}

bool wait_address(struct session *s, struct target *t, const struct snapshot *snap,
                  struct wait_thing *ret)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage space;
    } addr = {0};
    uint64_t bytes = snap->syscall_args[2];
    return bytes <= sizeof(struct sockaddr_un) &&
           wait_read(s, t, &addr, bytes, snap->syscall_args[1]) == bytes &&
           sockets_describe_address(&addr, bytes, ret->text, WAIT_TEXT_BYTES);
}

static bool is_known_file(const struct session *s, const struct memory_region *r)
{
    for (size_t i = 0; i < s->modules.n; i++) {
        const struct module *m = s->modules.items[i];
        if (m->fd >= 0 && m->dev == r->dev && m->ino == r->ino)
            return true;
    }
    return false;
}

size_t wait_read(struct session *s, struct target *t, void *dst, size_t bytes, uint64_t addr)
{
    struct memory_region r;
    int rc = process_query_region(&t->process, addr, &r);
    if (rc == -ENODATA && !t->process.maps_query &&
        process_map(&t->process, &s->modules, addr) == 0)
        rc = process_query_region(&t->process, addr, &r);
    if (rc < 0 || !r.readable || addr < r.start || addr >= r.end)
        return 0;
    if (r.ino && (r.shared || !is_known_file(s, &r)))
        return 0;
    bytes = r.end - addr < bytes ? r.end - addr : bytes;
    ssize_t got = bytes ? process_read(&t->process, dst, bytes, addr) : 0;
    return got > 0 ? (size_t)got : 0;
}
