/* SPDX-License-Identifier: MIT */
#include "live/terminal.h"

#define NCURSES_NOMACROS
#include <curses.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"
#include "base/parse.h"
#include "live/api.h"
#include "live/calltree.h"
#include "live/mirror.h"

enum {
    HEAD_LINES = 5,
    TURN_MS = 200,
    DRAW_NS = 1000 * 1000 * 1000,
    RECENT_S = 10,
    CTRL_C = 3,
    CTRL_L = 12,
    CTRL_Z = 26,
    ESCAPE = 27
};
enum { PAIR_CPU = 1, PAIR_WAIT, PAIR_WRONG, PAIR_KIND };

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
    char chosen[600];      /* the function of the tree */
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
};

/* --- text */

/* Shows at most the columns that are left; nothing of it is taken for a format. */
static void put_text(const struct terminal *t, const char *text)
{
    char safe[1024];
    size_t n = escape_text(safe, sizeof(safe), text, NULL);
    for (size_t i = 0; !t->utf8 && i < n; i++)
        if ((unsigned char)safe[i] >= 0x80)
            safe[i] = '?';
    int left = getmaxx(stdscr) - getcurx(stdscr);
    int y = getcury(stdscr);
    /* addnstr counts bytes: what is too wide is cut by the window's edge, without wrapping */
    for (size_t i = 0; i < n && left > 0 && getcury(stdscr) == y;) {
        size_t len = escape_utf8_len(safe + i, n - i);
        len = len ? len : 1;
        if (addnstr(safe + i, (int)len) == ERR)
            break;
        i += len;
        left = getmaxx(stdscr) - getcurx(stdscr);
    }
}

static void put(const struct terminal *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void put(const struct terminal *t, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put_text(t, text);
}

static void put_duration(const struct terminal *t, double ns)
{
    if (ns >= 1e9)
        put(t, "%.2f s", ns / 1e9);
    else if (ns >= 1e6)
        put(t, "%.2f ms", ns / 1e6);
    else
        put(t, "%.0f us", ns / 1e3);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* --- the head */

static void draw_state(const struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    bool ended = s->finished || !s->processes;
    const char *name = !t->mirror->updates ? "starting"
                       : ended             ? "ended"
                       : s->paused         ? "PAUSED"
                                           : "";
    if (!*name)
        return;
    addstr("  ");
    attron(A_BOLD | (t->color ? COLOR_PAIR(PAIR_WRONG) : 0));
    addstr(name);
    attroff(A_BOLD | (t->color ? COLOR_PAIR(PAIR_WRONG) : 0));
}

static void draw_losses(const struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    uint64_t lost = 0;
    for (unsigned i = 0; i < LOSS_N; i++)
        lost += s->lost[i];
    put(t, "; %" PRIu64 " lost", lost);
    for (unsigned i = 0; i < LOSS_N; i++)
        if (s->lost[i])
            put(t, ", %" PRIu64 " %s", s->lost[i], loss_name((enum loss)i));
}

static void draw_head(const struct terminal *t)
{
    const struct session_status *s = &t->mirror->status;
    move(0, 0);
    attron(A_BOLD);
    put(t, "oxprof top: ");
    put_text(t, intern_get(t->mirror->p->strings, t->mirror->p->title));
    attroff(A_BOLD);
    draw_state(t);
    move(1, 0);
    put(t, "%" PRIu64 " samples in %.1f s, %zu thread%s", s->samples, (double)s->sampled_ns / 1e9,
        s->threads, s->threads == 1 ? "" : "s");
    draw_losses(t);
    move(2, 0);
    put(t, "every ");
    put_duration(t, (double)s->interval_ns);
    put(t, " (");
    put_duration(t, s->achieved_mean_ns);
    put(t, " +- ");
    put_duration(t, s->achieved_deviation_ns);
    put(t, " seen); %" PRIu64 " stops, ", s->cost.stops);
    put_duration(t, s->cost.stops ? (double)s->cost.stop_ns_sum / (double)s->cost.stops : 0);
    put(t, " mean; oxprof %.1f%% CPU", percent(s->cost.profiler_cpu_ns, s->sampled_ns));
}

/* --- what is listed */

static void list_functions(struct terminal *t)
{
    struct report_table table;
    tabulation_table(&t->tab, t->state, t->thread_index, &table);
    t->samples = table.samples;
    t->lines = mem_alloc(table.n * sizeof(*t->lines) + 1);
    for (size_t i = 0; i < table.n; i++) {
        const struct report_row *row = &table.rows[i];
        const uint32_t texts[] = {row->function, row->module, row->file};
        bool shown = !t->filtered;
        for (size_t k = 0; k < 3 && !shown; k++)
            shown = texts[k] &&
                    regexec(&t->filter, intern_get(t->tab.p->strings, texts[k]), 0, NULL, 0) == 0;
        if (!shown)
            continue;
        t->lines[t->n_lines++] =
            (struct line){.self = row->self, .total = row->total, .id = row->id};
    }
    report_table_release(&table);
}

static void list_threads(struct terminal *t)
{
    t->lines = mem_alloc(t->tab.n_threads * sizeof(*t->lines) + 1);
    for (size_t i = 0; i < t->tab.n_threads; i++) {
        const struct tab_thread *th = &t->tab.threads[i];
        const char *name = intern_get(t->tab.p->strings, t->tab.p->threads[th->thread].name);
        if (t->filtered && regexec(&t->filter, name, 0, NULL, 0) != 0)
            continue;
        t->lines[t->n_lines++] = (struct line){
            .self = th->hits[PROFILE_CPU], .total = th->hits[PROFILE_WAIT], .id = th->thread};
    }
}

/* By its name and place: its number may change from one drawing to the next. */
static uint32_t find_chosen(struct terminal *t)
{
    for (uint32_t i = 0; i < t->tab.n_functions; i++) {
        char *name OX_FREE = report_function(t->tab.p, t->tab.functions[i].row.function, NULL);
        char *place OX_FREE = report_place(t->tab.p, &t->opt, &t->tab.functions[i].row);
        char both[600];
        snprintf(both, sizeof(both), "%s (%s)", name, place);
        if (!strcmp(both, t->chosen))
            return i;
    }
    return UINT32_MAX;
}

static void list_tree(struct terminal *t)
{
    struct calltree tree;
    uint32_t function = find_chosen(t);
    t->lines = mem_alloc(CALLTREE_LINES_MAX * sizeof(*t->lines));
    if (function == UINT32_MAX)
        return;
    calltree_make(&t->tab, t->state, function, t->callers, &tree);
    t->samples = tree.n ? tree.lines[0].hits : 0;
    for (size_t i = 0; i < tree.n; i++)
        t->lines[t->n_lines++] = (struct line){.total = tree.lines[i].hits,
                                               .id = tree.lines[i].function,
                                               .depth = tree.lines[i].depth};
    calltree_release(&tree);
}

static void make_list(struct terminal *t)
{
    uint64_t now_s = t->mirror->updated_ns / OX_NS_PER_S;
    t->opt = (struct report_options){.version = OX_VERSION, .sort = t->sort};
    t->n_lines = 0;
    if (t->recent)
        mirror_between(t->mirror, now_s > RECENT_S ? now_s - RECENT_S : 1, now_s, &t->view);
    tabulation_init(&t->tab, t->recent ? &t->view : t->mirror->p, &t->opt);
    if (t->scene == SCENE_THREADS)
        list_threads(t);
    else if (t->scene == SCENE_TREE)
        list_tree(t);
    else
        list_functions(t);
}

static void release_list(struct terminal *t)
{
    tabulation_release(&t->tab);
    if (t->recent)
        mirror_view_release(&t->view);
    t->view = (struct profile){0};
    free(t->lines);
    t->lines = NULL;
}

/* --- the body */

static void put_function(const struct terminal *t, uint32_t function)
{
    const struct report_row *row = &t->tab.functions[function].row;
    char *name OX_FREE = report_function(t->tab.p, row->function, NULL);
    char *place OX_FREE = report_place(t->tab.p, &t->opt, row);
    put_text(t, name);
    if (*place)
        put(t, " (%s)", place);
}

static void draw_line(const struct terminal *t, const struct line *l)
{
    if (t->scene == SCENE_THREADS) {
        const struct profile_thread *th = &t->tab.p->threads[l->id];
        put(t, "%9" PRIu64 " %9" PRIu64 " %7.2f %8d %8d  ", l->self, l->total,
            percent(l->self, l->self + l->total), th->pid, th->tid);
        put_text(t, intern_get(t->tab.p->strings, th->name));
    } else if (t->scene == SCENE_TREE) {
        put(t, "%9" PRIu64 " %7.2f  %*s", l->total, percent(l->total, t->samples),
            (int)(l->depth < 40 ? 2 * l->depth : 80), "");
        put_function(t, l->id);
    } else {
        put(t, "%8" PRIu64 " %6.2f %8" PRIu64 " %6.2f  %-7s ", l->self,
            percent(l->self, t->samples), l->total, percent(l->total, t->samples),
            frame_kind_name(t->tab.functions[l->id].row.kind));
        put_function(t, l->id);
    }
}

static void draw_column_heads(const struct terminal *t)
{
    move(HEAD_LINES - 1, 0);
    attron(A_REVERSE);
    hline(' ', getmaxx(stdscr));
    if (t->scene == SCENE_THREADS)
        put(t, "%9s %9s %7s %8s %8s  %s", "ON CPU", "WAITING", "BUSY%", "PID", "TID", "THREAD");
    else if (t->scene == SCENE_TREE)
        put(t, "%9s %7s  %s", "TOTAL", "TOTAL%", t->callers ? "WHO CALLS" : "WHAT IT CALLS");
    else
        put(t, "%8s %6s %8s %6s  %-7s %s", "SELF", "SELF%", "TOTAL", "TOTAL%", "KIND", "FUNCTION");
    attroff(A_REVERSE);
}

static void draw_mode(const struct terminal *t)
{
    move(HEAD_LINES - 2, 0);
    if (t->message[0]) {
        attron(A_BOLD);
        put_text(t, t->message);
        attroff(A_BOLD);
        return;
    }
    put(t, "%s", t->state == PROFILE_CPU ? "on CPU" : "waiting");
    if (t->recent)
        put(t, ", last %d s", RECENT_S);
    if (t->thread_index != UINT32_MAX && t->thread_index < t->mirror->p->n_threads)
        put(t, ", thread %d", t->mirror->p->threads[t->thread_index].tid);
    if (t->filtered)
        put(t, ", /%s/", t->filter_text);
    put(t, "   h help  q quit  p pause  w on CPU/waiting  t threads  / search");
}

static size_t body_height(void)
{
    int rows = getmaxy(stdscr) - HEAD_LINES;
    return rows > 0 ? (size_t)rows : 0;
}

static void keep_in_sight(struct terminal *t)
{
    size_t height = body_height();
    if (t->selected >= t->n_lines)
        t->selected = t->n_lines ? t->n_lines - 1 : 0;
    if (t->selected < t->top)
        t->top = t->selected;
    if (height && t->selected >= t->top + height)
        t->top = t->selected - height + 1;
}

static void draw_help(void)
{
    static const char *const help[] = {
        "s self  S total  n name    order of the functions",
        "w                          on CPU, or waiting",
        "a                          all, or the last 10 seconds",
        "t                          threads; Enter shows one's functions",
        "Enter                      call tree of the chosen function; c callers, callees",
        "/                          search: a regular expression; empty: all",
        "p or space                 pause, resume     r  begin a new count",
        "i                          interval, as 10ms (begins a new count)",
        "arrows, PgUp, PgDn, Home, End                move",
        "Esc or Backspace           back              q  quit",
    };
    for (size_t i = 0; i < sizeof(help) / sizeof(*help); i++)
        mvaddnstr(HEAD_LINES + (int)i, 2, help[i], getmaxx(stdscr) - 2);
}

static void draw(struct terminal *t)
{
    size_t height = body_height();
    t->drawn_ns = clock_now_ns();
    t->stale = false;
    make_list(t);
    keep_in_sight(t);
    erase();
    draw_head(t);
    draw_mode(t);
    draw_column_heads(t);
    for (size_t i = 0; t->scene != SCENE_HELP && i < height && t->top + i < t->n_lines; i++) {
        bool chosen = t->top + i == t->selected;
        move(HEAD_LINES + (int)i, 0);
        if (chosen)
            attron(A_BOLD | (t->color ? (unsigned)COLOR_PAIR(PAIR_KIND) : A_UNDERLINE));
        draw_line(t, &t->lines[t->top + i]);
        if (chosen)
            attroff(A_BOLD | (t->color ? (unsigned)COLOR_PAIR(PAIR_KIND) : A_UNDERLINE));
    }
    if (t->scene == SCENE_HELP)
        draw_help();
    release_list(t);
    refresh();
}

/* --- keys */

static void follow_size(struct terminal *t)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
        return;
    if (size.ws_row != getmaxy(stdscr) || size.ws_col != getmaxx(stdscr)) {
        resizeterm(size.ws_row, size.ws_col); /* SIGWINCH is blocked, as all signals are */
        t->stale = true;
    }
}

/* False: the terminal is gone. */
static bool take_news(struct terminal *t)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    bool first = !t->mirror->updates;
    t->stale |= mirror_follow(t->mirror, t->feed) && first;
    return poll(&in, 1, 0) >= 0 && !(in.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Esc leaves what there was: false. */
static bool ask_line(struct terminal *t, const char *prompt, char *ret, size_t bytes)
{
    size_t n = 0;
    char text[API_REGEX_MAX_BYTES + 1] = "";
    while (take_news(t) && !atomic_load(&t->ending)) {
        move(HEAD_LINES - 2, 0);
        clrtoeol();
        put(t, "%s%s", prompt, text);
        refresh();
        int key = getch();
        if (key == ESCAPE || key == CTRL_C)
            return false;
        if (key == '\n' || key == '\r' || key == KEY_ENTER) {
            snprintf(ret, bytes, "%s", text);
            return true;
        }
        if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n)
            text[--n] = 0;
        else if (key >= 32 && key < 127 && n + 1 < sizeof(text) && n + 1 < bytes)
            text[n++] = (char)key;
    }
    return false;
}

static void search(struct terminal *t)
{
    char text[sizeof(t->filter_text)];
    struct error err;
    regex_t re;
    if (!ask_line(t, "search: ", text, sizeof(text)))
        return;
    if (*text && !api_compile(&re, text, &err)) {
        snprintf(t->message, sizeof(t->message), "%s", err.text);
        return;
    }
    if (t->filtered)
        regfree(&t->filter);
    t->filtered = *text != 0;
    if (t->filtered)
        t->filter = re;
    snprintf(t->filter_text, sizeof(t->filter_text), "%s", text);
    t->selected = 0;
}

static void command(struct terminal *t, enum command_kind kind, uint64_t value_ns)
{
    struct error err;
    if (mirror_command(t->mirror, t->feed, kind, value_ns, &err) < 0)
        snprintf(t->message, sizeof(t->message), "%s", err.text);
}

static void ask_interval(struct terminal *t)
{
    char text[32];
    uint64_t ns;
    if (!ask_line(t, "interval (as 10ms): ", text, sizeof(text)))
        return;
    if (parse_duration_ns(text, &ns) < 0)
        snprintf(t->message, sizeof(t->message), "want a time from 0.1ms to 10s, as 10ms");
    else
        command(t, COMMAND_INTERVAL, ns);
}

/* What the line under the cursor leads to. */
static void enter(struct terminal *t)
{
    make_list(t);
    keep_in_sight(t);
    if (t->selected < t->n_lines && t->scene == SCENE_THREADS) {
        t->thread_index = t->lines[t->selected].id;
        t->scene = SCENE_FUNCTIONS;
    } else if (t->selected < t->n_lines) {
        const struct report_row *row = &t->tab.functions[t->lines[t->selected].id].row;
        char *name OX_FREE = report_function(t->tab.p, row->function, NULL);
        char *place OX_FREE = report_place(t->tab.p, &t->opt, row);
        snprintf(t->chosen, sizeof(t->chosen), "%s (%s)", name, place);
        t->scene = SCENE_TREE;
    }
    release_list(t);
    t->selected = t->top = 0;
}

static void go_back(struct terminal *t)
{
    if (t->scene == SCENE_FUNCTIONS)
        t->thread_index = UINT32_MAX;
    t->scene = SCENE_FUNCTIONS;
    t->selected = t->top = 0;
}

static void stop_self(struct terminal *t)
{
    endwin();
    atomic_store(&t->wants_stop, true);
    while (sem_wait(&t->went_on) < 0)
        continue;
    clearok(stdscr, TRUE);
}

static void move_selection(struct terminal *t, int key)
{
    size_t page = body_height() ? body_height() : 1;
    if (key == KEY_UP || key == 'k')
        t->selected -= t->selected > 0;
    else if (key == KEY_DOWN || key == 'j')
        t->selected++;
    else if (key == KEY_PPAGE)
        t->selected -= t->selected < page ? t->selected : page;
    else if (key == KEY_NPAGE)
        t->selected += page;
    else if (key == KEY_HOME)
        t->selected = 0;
    else if (key == KEY_END)
        t->selected = SIZE_MAX / 2;
}

static void set_view(struct terminal *t, int key)
{
    t->sort = key == 's' ? SORT_SELF : key == 'S' ? SORT_TOTAL : key == 'n' ? SORT_NAME : t->sort;
    if (key == 'w')
        t->state = t->state == PROFILE_CPU ? PROFILE_WAIT : PROFILE_CPU;
    else if (key == 'a')
        t->recent = !t->recent;
    else if (key == 'c')
        t->callers = !t->callers;
    else if (key == 't')
        t->scene = t->scene == SCENE_THREADS ? SCENE_FUNCTIONS : SCENE_THREADS;
    else if (key == 'h' || key == '?')
        t->scene = t->scene == SCENE_HELP ? SCENE_FUNCTIONS : SCENE_HELP;
    if (key && strchr("wt", key))
        t->selected = t->top = 0;
}

static void handle_key(struct terminal *t, int key)
{
    t->message[0] = 0;
    t->stale = true;
    switch (key) {
    case 'q':
    case CTRL_C:
        atomic_store(&t->ended, true);
        break;
    case CTRL_Z:
        stop_self(t);
        break;
    case CTRL_L:
        clearok(stdscr, TRUE);
        break;
    case 'p':
    case ' ':
        command(t, t->mirror->status.paused ? COMMAND_RESUME : COMMAND_PAUSE, 0);
        break;
    case 'r':
        command(t, COMMAND_RESET, 0);
        break;
    case 'i':
        ask_interval(t);
        break;
    case '/':
        search(t);
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
        enter(t);
        break;
    case ESCAPE:
    case KEY_BACKSPACE:
    case 127:
        go_back(t);
        break;
    default:
        move_selection(t, key);
        if (key < 128)
            set_view(t, key);
    }
}

/* --- the thread */

static void begin_screen(struct terminal *t)
{
    t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    raw(); /* Ctrl-C and Ctrl-Z are keys: the sampler must not be stopped by them */
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    timeout(TURN_MS);
    t->color = t->color && has_colors() && start_color() == OK && use_default_colors() == OK;
    if (!t->color)
        return;
    init_pair(PAIR_WRONG, COLOR_RED, -1);
    init_pair(PAIR_KIND, COLOR_CYAN, -1);
}

static void *terminal_main(void *terminal)
{
    struct terminal *t = terminal;
    prctl(PR_SET_NAME, "oxprof-terminal");
    begin_screen(t);
    while (!atomic_load(&t->ending) && !atomic_load(&t->ended)) {
        if (!take_news(t))
            atomic_store(&t->ended, true);
        follow_size(t);
        if (t->stale || clock_now_ns() - t->drawn_ns >= DRAW_NS)
            draw(t);
        int key = getch();
        if (key != ERR)
            handle_key(t, key);
    }
    endwin();
    return NULL;
}

int terminal_start(struct terminal **ret, struct feed *feed, bool color, struct error *err)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(err, -ENOTTY, "standard input and output must be a terminal");
    if (!terminal_is_known())
        return error_set(err, -ENOTTY, "the kind of the terminal is not known (TERM)");
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return error_set(err, -ENOTTY, "the terminal can't be used (TERM)");
    set_term(screen);
    struct terminal *t = mem_alloc(sizeof(*t));
    t->feed = feed;
    t->color = color;
    t->mirror = mirror_new();
    t->thread_index = UINT32_MAX;
    t->stale = true;
    sem_init(&t->went_on, 0, 0);
    int rc = pthread_create(&t->thread, NULL, terminal_main, t);
    if (rc != 0) {
        endwin();
        mirror_free(t->mirror);
        free(t);
        return error_set(err, -rc, "no thread for the terminal: %s", strerror(rc));
    }
    *ret = t;
    return 0;
}

bool terminal_ended(const struct terminal *t)
{
    return atomic_load(&t->ended);
}

bool terminal_wants_stop(const struct terminal *t)
{
    return atomic_load(&t->wants_stop);
}

void terminal_go_on(struct terminal *t)
{
    atomic_store(&t->wants_stop, false);
    sem_post(&t->went_on);
}

void terminal_end(struct terminal *t)
{
    if (!t)
        return;
    atomic_store(&t->ending, true);
    sem_post(&t->went_on);
    pthread_join(t->thread, NULL);
    if (t->filtered)
        regfree(&t->filter);
    mirror_free(t->mirror);
    sem_destroy(&t->went_on);
    free(t);
}
