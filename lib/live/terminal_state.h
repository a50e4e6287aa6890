/* SPDX-License-Identifier: MIT */
#ifndef LIVE_TERMINAL_STATE_H
#define LIVE_TERMINAL_STATE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "live/api.h"
#include "live/mirror.h"
#include "live/terminal.h"
#include "report/table.h"

/* What the files of the terminal view share; nobody else includes it. */

enum { HEAD_LINES = 5, RECENT_S = 10 };
enum { PAIR_WRONG = 1, PAIR_CHOSEN };

enum scene { SCENE_FUNCTIONS, SCENE_THREADS, SCENE_TREE, SCENE_HELP };

/* One line of what is shown. */
struct line {
    uint64_t self, total; /* of threads: on CPU, waiting */
    uint32_t id;          /* function of the tabulation, thread of the profile */
    uint32_t depth;
};

struct terminal {
    struct feed *feed; /* borrowed */
    bool color, utf8;
    pthread_t thread;
    _Atomic bool ending, ended, wants_stop;
    sem_t went_on;

    /* the thread's own */
    struct mirror *mirror;
    enum scene scene;
    enum profile_state state;
    enum report_sort sort;
    bool recent, callers, filtered;
    regex_t filter;
    char filter_text[API_REGEX_MAX_BYTES + 1];
    char message[sizeof(struct error)];
    uint32_t thread_index; /* UINT32_MAX: all */
    char *chosen;          /* owned; the function of the tree; NULL: none */
    size_t selected, top;
    uint64_t drawn_ns;
    bool stale;

    /* of the drawing under way */
    struct profile view;
    struct tabulation tab;
    struct report_options opt;
    struct line *lines; /* owned */
    size_t n_lines;
    uint64_t samples;
    int columns_left; /* of the row that is being written */
};

/* terminal_list.c: t->lines for the scene, of the counts as they are; to be released. */
void terminal_list(struct terminal *t);
void terminal_list_release(struct terminal *t);
/* By its name and place: its number may change from one list to the next. Owned by the caller. */
char *terminal_function(const struct terminal *t, uint32_t function);

/* terminal_draw.c */
void terminal_draw(struct terminal *t);
/* A line under the head: the prompt, and what has been typed. */
void terminal_prompt(struct terminal *t, const char *prompt, const char *text);
size_t terminal_body_height(void);
/* Of what is listed: the chosen line is one of those on the screen. */
void terminal_keep_in_sight(struct terminal *t);

#endif
