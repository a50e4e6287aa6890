/* SPDX-License-Identifier: MIT */
#include "hostile_fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REQUEST_MAX_BYTES = 256 << 10, FILE_NODE = 2 };

unsigned hostile_fuse_opcode(const char *word)
{
    static const struct {
        const char *word;
        unsigned opcode;
    } all[] = {{"open", FUSE_OPEN},
               {"getattr", FUSE_GETATTR},
               {"read", FUSE_READ},
               {"lookup", FUSE_LOOKUP}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (!strcmp(all[i].word, word))
            return all[i].opcode;
    return 0;
}

bool hostile_fuse_mount(struct hostile_fuse *f, const char *dir)
{
    char options[100];
    f->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (f->fd < 0)
        return false;
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
             f->fd);
    return mount("hostile", dir, "fuse", MS_NOSUID | MS_NODEV, options) == 0;
}

static void answer(const struct hostile_fuse *f, const struct fuse_in_header *in, int error,
                   const void *body, size_t bytes)
{
    struct fuse_out_header out = {
        .len = (uint32_t)(sizeof(out) + bytes), .error = -error, .unique = in->unique};
    struct iovec iov[] = {{&out, sizeof(out)}, {(void *)body, bytes}};
    /* ENOENT: who asked has been interrupted */
    if (writev(f->fd, iov, bytes ? 2 : 1) < 0 && errno != ENOENT)
        perror("answer to the kernel");
}

static struct fuse_attr attr_of(const struct hostile_fuse *f, uint64_t node)
{
    struct fuse_attr attr = {.ino = node, .nlink = 1, .mode = S_IFDIR | 0755, .blksize = 4096};
    if (node == FILE_NODE) {
        attr.mode = S_IFREG | 0755;
        attr.size = f->bytes;
        attr.blocks = (f->bytes + 511) / 512;
    }
    return attr;
}

static void answer_init(const struct hostile_fuse *f, const struct fuse_in_header *in)
{
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                .minor = FUSE_KERNEL_MINOR_VERSION,
                                .max_background = 16,
                                .congestion_threshold = 12,
                                .max_write = 128 << 10};
    answer(f, in, 0, &out, sizeof(out));
}

static void answer_read(const struct hostile_fuse *f, const struct fuse_in_header *in,
                        const struct fuse_read_in *read_in)
{
    size_t left = read_in->offset < f->bytes ? f->bytes - read_in->offset : 0;
    answer(f, in, 0, f->content + (left ? read_in->offset : 0),
           left < read_in->size ? left : read_in->size);
}

static void answer_request(const struct hostile_fuse *f, const struct fuse_in_header *in,
                           const void *body)
{
    struct fuse_entry_out entry = {.nodeid = FILE_NODE, .attr = attr_of(f, FILE_NODE)};
    struct fuse_attr_out attr = {.attr = attr_of(f, in->nodeid)};
    /* Else the kernel would throw away, at the next open, the pages that the target runs on. */
    struct fuse_open_out opened = {.fh = 1, .open_flags = FOPEN_KEEP_CACHE};
    switch (in->opcode) {
    case FUSE_INIT:
        answer_init(f, in);
        return;
    case FUSE_LOOKUP:
        answer(f, in, 0, &entry, sizeof(entry));
        return;
    case FUSE_GETATTR:
        answer(f, in, 0, &attr, sizeof(attr));
        return;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        answer(f, in, 0, &opened, sizeof(opened));
        return;
    case FUSE_READ:
        answer_read(f, in, body);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FLUSH:
        answer(f, in, 0, NULL, 0);
        return;
    default:
        answer(f, in, ENOSYS, NULL, 0);
    }
}

bool hostile_fuse_serve(struct hostile_fuse *f)
{
    static union {
        struct fuse_in_header in;
        char bytes[REQUEST_MAX_BYTES];
    } request;
    ssize_t n = read(f->fd, &request, sizeof(request));
    if (n < (ssize_t)sizeof(request.in))
        return n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT);
    if (f->silent && request.in.opcode == f->mute)
        f->unanswered++;
    else
        answer_request(f, &request.in, request.bytes + sizeof(request.in));
    return true;
}
