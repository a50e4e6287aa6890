/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_HOSTILE_FUSE_H
#define TARGETS_HOSTILE_FUSE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A file system with one file under any name, whose server falls silent: it takes the requests of
 * one kind from the kernel and never answers them. Whoever has made such a request waits, not even
 * SIGKILL frees him, until the server ends.
 */
struct hostile_fuse {
    int fd;
    const char *content; /* of the file; borrowed */
    size_t bytes;
    unsigned mute;       /* opcode of linux/fuse.h that gets no answer */
    bool silent;         /* from now on */
    unsigned unanswered; /* requests so far */
};

/* Mounts it; needs CAP_SYS_ADMIN. False with errno. */
bool hostile_fuse_mount(struct hostile_fuse *f, const char *dir);

/* Takes one request; to be called when fd is readable. False at the end. */
bool hostile_fuse_serve(struct hostile_fuse *f);

/* The opcode of "open", "getattr", "read", "lookup"; 0 for another word. */
unsigned hostile_fuse_opcode(const char *word);

#endif
