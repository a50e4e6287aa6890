/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_H
#define SYMBOLS_NAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbols/symbols.h"
#include "target/module.h"

/*
 * What symbols.h answers, looked up in a process of its own: what reads a target's files may crash,
 * hang or use up its memory without harm. The process is forked when there is first something to
 * ask, so it has the modules, and lives on with what it has read; a question about a module that
 * was added later makes it be forked anew. It dies with us (with the thread that asked).
 *
 * Where it dies, answers nonsense, gives no sign of life for NAMER_PATIENCE_MS (while it downloads:
 * NAMER_DOWNLOAD_MS) or no answer for NAMER_SLOW_TIMES as long (downloads counted apart), the
 * question that it was at is asked again of a new one, which reads less of the module: first
 * without its DWARF, then (after a hang at once) no other file than the module itself. After that,
 * all questions about the module have no answer. namer_trouble() tells. After NAMER_DEATHS_MAX
 * deaths, or NAMER_HANGS_MAX of them for want of an answer, nothing more is looked up. A process
 * that can't be killed (a file on FUSE that hangs) is left behind.
 *
 * Time that we do not look is not its time: between two calls NAMER_LOOK_MS count at most. Silence
 * of one that is ready to run, but has hardly been given a CPU, is none.
 *
 * Not asked by more than one thread. It can be driven by poll(2), between other things; memory is
 * kept for the questions since there was none without an answer:
 *
 *     namer_ask(n, m, vaddr, tag);  and more
 *     while (namer_pending(n)) {
 *         while (namer_take(n, &answer)) use it;
 *         poll namer_fd(n) for POLLIN, NAMER_LOOK_MS at most; it changes, and may be -1
 *     }
 */
enum {
    NAMER_PATIENCE_MS = 2000,
    NAMER_DOWNLOAD_MS = 90 * 1000, /* debuginfod gives up after 60 s: see symbols/debuginfod.h */
    NAMER_SLOW_TIMES = 5,
    NAMER_LOOK_MS = 50,
    NAMER_DEATHS_MAX = 64,
    NAMER_HANGS_MAX = 4,
    NAMER_DATA_MAX_MIB = 512, /* RLIMIT_DATA, beyond what it has when it is forked */
};

struct namer_options {
    struct symbols_options symbols;
    uint32_t patience_ms; /* 0: NAMER_PATIENCE_MS */
    /* The i-th descriptor that the process needs beside those of the modules, -1 for none; false
     * past the last. All others it closes. NULL: none. */
    bool (*kept_fd)(void *arg, size_t i, int *ret_fd);
    void *kept_arg; /* borrowed */
    /* What tests put in their place, run by the process; NULL: what it is for. */
    int (*lines)(struct symbols *s, struct module *m, uint64_t vaddr,
                 struct symbol_line *ret_lines);
    void (*serve)(int fd);
};

/* The modules are borrowed; their bytes and descriptors must not change once they are asked about.
 * Later processes get the CPUs and the priority that we have now. */
struct namer *namer_new(const struct namer_options *opt, const struct modules *modules);
/* Ends the process; questions without an answer are forgotten. */
void namer_free(struct namer *n);

/* As symbols_lines(), symbols_advice() and symbols_demangle(); the tag comes with the answer. */
void namer_ask(struct namer *n, const struct module *m, uint64_t vaddr, uint64_t tag);
void namer_ask_advice(struct namer *n, const struct module *m, uint64_t tag);
void namer_ask_demangled(struct namer *n, const char *linkage_name, uint64_t tag);
/* Of an addr of the kernel's code, as kallsyms_find(): one line, its file is the module. */
void namer_ask_kernel(struct namer *n, uint64_t addr, uint64_t tag);

struct namer_answer {
    uint64_t tag;
    /* Number of lines, at least 1; or what symbols_lines() failed with; -ENOTRECOVERABLE where the
     * process that was to answer died. */
    int rc;
    const struct symbol_line *lines; /* until the next answer; their strings as long as the namer */
    const char *text; /* advice; the demangled name (the linkage name if rc < 0); else "" */
};

/* The next answer, in the order of asking. False: none at present. Never waits for an answer; the
 * end of a process that is killed it awaits, for a second at most. */
bool namer_take(struct namer *n, struct namer_answer *ret);
size_t namer_pending(const struct namer *n);
int namer_fd(const struct namer *n);

/* Waits for the next answer; false once nothing is pending. meanwhile(arg), which may be NULL and
 * must not ask or take, is called after every NAMER_LOOK_MS without an answer. */
bool namer_next(struct namer *n, struct namer_answer *ret, void (*meanwhile)(void *arg), void *arg);

/* Its process, 0 where there is none. Whoever reaps children of all kinds says how this one ended:
 * a status of waitpid(2). */
pid_t namer_pid(const struct namer *n);
void namer_ended(struct namer *n, int status);

/* The i-th thing that went wrong, a sentence such as "no names for libx.so: the reader of its
 * symbols crashed (SIGSEGV)"; false past the last. */
bool namer_trouble(const struct namer *n, size_t i, char *buf, size_t buf_bytes);

/* As symbols_tables_cut(), symbols_lines_cut() and symbols_names_folded(), of the process that had
 * the most; the last with what did not fit here (64 MiB of names). */
uint64_t namer_tables_cut(const struct namer *n);
uint64_t namer_lines_cut(const struct namer *n);
uint64_t namer_names_folded(const struct namer *n);

/* Running time of all its processes so far, and the most memory that one of them had (RSS, with the
 * pages that are also ours). */
void namer_cost(struct namer *n, uint64_t *ret_cpu_ns, uint64_t *ret_peak_bytes);

#endif
