/* SPDX-License-Identifier: MIT */
#ifndef TARGET_PROCESS_H
#define TARGET_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "target/mappings.h"
#include "target/module.h"
#include "target/proctext.h"

/*
 * The process under study. Its identity is the pidfd and the kept /proc descriptors, which go dead
 * with it: a number alone is never trusted, as PIDs are reused. Nothing here stops or changes it.
 */
struct process {
    pid_t pid, ppid;             /* ppid: of when it was opened */
    int pidfd, proc_fd, task_fd; /* owned; proc_fd is O_PATH */
    int root_fd;                 /* owned, O_PATH: its root directory */
    int stat_fd;                 /* owned; its leader's */
    int mem_fd, maps_fd;         /* owned; of the present program, reopened after an exec */
    uint64_t start_ticks, start_stack;
    char comm[64];
    char state;   /* its leader's, as process_check_exec() has last seen it */
    pid_t ns_pid; /* its PID as it sees itself */
    uid_t euid;
    struct mappings maps;  /* only what was asked for; see process_map() */
    bool maps_query;       /* PROCMAP_QUERY works (since Linux 6.11) */
    uint64_t maps_read_ns; /* when /proc/PID/maps was last read whole */
    uint64_t maps_dropped; /* how often a mapping found the table full */
};

/* -ESRCH, -EPERM, or another errno; err says what to do (see diagnose.h). */
int process_open(struct process *p, pid_t pid, struct error *err);
void process_close(struct process *p);

/* False once every thread has ended. A zombie leader of living threads is alive. */
bool process_alive(const struct process *p);

/* Reads /proc/PID/NAME, at most bytes - 1, and terminates it. Length or negative errno. */
ssize_t process_read_file(const struct process *p, const char *name, char *buf, size_t bytes);

/* Copies memory of the present program. The bytes got, fewer at the end of a mapping, or a
 * negative errno: -ESRCH where the program is gone (exit, exec). Never blocks on userfaultfd. */
ssize_t process_read(const struct process *p, void *dst, size_t bytes, uint64_t addr);

/*
 * Has it become another program? Then mem, maps and name are renewed and the mappings
 * forgotten, and true is returned. 3 us.
 */
bool process_check_exec(struct process *p);

/*
 * Learns the mapping that covers addr, and its module if it is executable: by PROCMAP_QUERY, else
 * by reading all of /proc/PID/maps (not more often than ten times a second: a large target
 * pays milliseconds for it). 0, or -ENODATA where nothing is mapped.
 */
int process_map(struct process *p, struct modules *modules, uint64_t addr);

/*
 * The first executable mapping of a file that ends above addr, without a module, and not kept; its
 * path is the caller's. 0, or -ENODATA. The other mappings cost next to nothing, but before
 * Linux 6.11: there the whole of /proc/PID/maps is read, not more often than ten times a second.
 */
int process_next_code(struct process *p, struct modules *modules, uint64_t addr,
                      struct mapping *ret);

/* As process_map(), but keeps and allocates nothing: start, end, and whether plain anonymous
 * memory lies there. -ENODATA also where the kernel has no PROCMAP_QUERY. */
int process_query_memory(const struct process *p, uint64_t addr, uint64_t *ret_start,
                         uint64_t *ret_end, bool *ret_anonymous);

/* What lies at an address. */
struct memory_region {
    uint64_t start, end;
    uint64_t dev, ino; /* 0, 0: no file */
    bool readable, shared;
};

/* As process_query_memory(), and which file's memory it is. */
int process_query_region(const struct process *p, uint64_t addr, struct memory_region *ret);

/* Compares the kept mappings with the kernel's and forgets them all where one has changed; true
 * where that one was a module's, so that whoever caches by address must forget too. */
bool process_check_mappings(struct process *p);

/*
 * Opens a file of the target under its own root: no links, no way out of the root, regular files
 * only, never blocking. -ENOTSUP where it, or a folder on the way, lies on a FUSE file system,
 * whose server may never answer. Descriptor or negative errno.
 */
int process_open_file(const struct process *p, const char *path, struct stat *ret_st);

/* The same for a file that is already held by an O_PATH descriptor, which stays the caller's. */
int process_reopen_file(const struct process *p, int path_fd, struct stat *ret_st);

#endif
