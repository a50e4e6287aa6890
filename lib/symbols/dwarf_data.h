/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_DATA_H
#define SYMBOLS_DWARF_DATA_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/heartbeat.h"
#include "target/module.h"

/*
 * The bytes of a debug section, read from its file in pieces when they are needed, or decompressed
 * as a whole. No file is mapped: one that shrinks meanwhile is an error and no SIGBUS. What is
 * not looked at takes no memory and does not count against RLIMIT_DATA.
 */

/* What the debug information of all files together may take. */
struct debug_room {
    uint64_t bytes;     /* taken now */
    uint64_t max_bytes; /* no more than that */
    uint64_t work;      /* entries looked at for the address that is asked about */
    uint64_t max_work;  /* for one address */
    uint64_t refusals;  /* how often one of the two was reached: what was read meanwhile is cut */
    uint64_t refusals_before;    /* this address */
    uint64_t exhausted;          /* addresses before this one that met a refusal */
    struct heartbeat *heartbeat; /* borrowed; or NULL */
    uint64_t floor_bytes;        /* what the last trim could not give back */
    bool wanting;                /* there was no room for something since the last trim */
    uint32_t trims_for_want;
};

/* The next address: its work begins anew. */
void debug_room_next(struct debug_room *room);
/* How many addresses have met a refusal, this one among them. */
uint64_t debug_room_exhausted(const struct debug_room *room);

bool debug_room_take(struct debug_room *room, uint64_t bytes);
/* May something grow? What it grows by is added to `bytes` afterwards. */
bool debug_room_may_grow(struct debug_room *room);
/* Counts `entries` (of abbreviations, DIEs, lines, ranges); false when there were too many. */
bool debug_room_work(struct debug_room *room, uint64_t entries);
/* An entry that consists of n parts (attributes, operands), which are read faster than entries. */
bool debug_room_work_parts(struct debug_room *room, uint64_t n);

/* Something that a limit has cut short is read once more, for an address that has hardly begun its
 * work; what is cut then stays so. */
struct debug_cut {
    bool cut, again;
};
/* Is it to be read once more? Where not, an address that needs what is cut is counted. */
bool debug_cut_retry(struct debug_cut *c, struct debug_room *room);

struct debug_data {
    struct module *m; /* borrowed; NULL where there is no such section */
    struct debug_room *room;
    uint64_t off, file_bytes; /* in the file, as it is there */
    uint64_t bytes;           /* uncompressed */
    uint32_t packing;         /* 0, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD */
    uint8_t *base; /* owned address range of `bytes`, readable where read; NULL before first use */
    uint8_t *have; /* owned; a bit for each chunk that has been read */
    bool bad;      /* it could not be had, and is not tried again */
};

/*
 * Takes the section's place; zdebug: it is called ".zdebug_...", compressed in GNU's old way.
 * -EBADMSG where its compression is unknown or its size absurd: over 4 GiB, or compressed over 1
 * GiB or over 128 times its size in the file and 1 MiB (compilers' sections shrink to a tenth; what
 * shrinks more is made to fill memory).
 */
int debug_data_init(struct debug_data *d, struct module *m, const Elf64_Shdr *h, bool zdebug,
                    struct debug_room *room);
void debug_data_release(struct debug_data *d);

/* Gives the memory back of what can be read again; `packed`: also where that takes long. No pointer
 * into it may be in use. */
void debug_data_trim(struct debug_data *d, bool packed);

/* The bytes, or NULL where they can't be had. They stay until the next trim. */
const uint8_t *debug_data_get(struct debug_data *d, uint64_t off, uint64_t bytes);

/* The string there, of at most 64 KiB, or NULL. Stays as above. */
const char *debug_data_string(struct debug_data *d, uint64_t off);

/* Reads numbers one after another. The first that isn't there, or is a LEB128 of over 16 bytes,
 * makes `failed` true; from then on all are 0 and nothing moves. */
struct debug_reader {
    struct debug_data *d; /* borrowed */
    uint64_t pos, end;    /* end: no further than the section */
    uint64_t loaded;      /* [pos, loaded) may be read without asking */
    bool failed;
};

struct debug_reader debug_reader_at(struct debug_data *d, uint64_t pos, uint64_t end);
uint64_t debug_read_fixed(struct debug_reader *r, unsigned bytes); /* 1 to 8 */
uint64_t debug_read_uleb(struct debug_reader *r);
int64_t debug_read_sleb(struct debug_reader *r);
void debug_skip(struct debug_reader *r, uint64_t bytes);
/* Moves behind the string; returns where it begins. */
uint64_t debug_skip_string(struct debug_reader *r);

/* An initial length (DWARF 5 7.4): sets *ret_dwarf64; the length. */
uint64_t debug_read_length(struct debug_reader *r, bool *ret_dwarf64);

#endif
