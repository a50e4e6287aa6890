/* SPDX-License-Identifier: MIT */
#include "live/terminal.h"

#define NCURSES_NOMACROS
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "live/terminal_state.h"

enum {
    TURN_MS = 200,
    DRAW_NS = 1000 * 1000 * 1000,
    CTRL_C = 3,
    CTRL_L = 12,
    CTRL_Z = 26,
    ESCAPE = 27
};

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
        terminal_prompt(t, prompt, text);
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

static void forget_filter(struct terminal *t)
{
    if (t->filtered)
        regfree(&t->filter);
    t->filtered = false;
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
    forget_filter(t);
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
    terminal_list(t);
    terminal_keep_in_sight(t);
    if (t->selected < t->n_lines && t->scene == SCENE_THREADS) {
        t->thread_index = t->lines[t->selected].id;
        t->scene = SCENE_FUNCTIONS;
    } else if (t->selected < t->n_lines) {
        free(t->chosen);
        t->chosen = terminal_function(t, t->lines[t->selected].id);
        t->scene = SCENE_TREE;
    }
    terminal_list_release(t);
    t->selected = t->top = 0;
}

static void go_back(struct terminal *t)
{
    if (t->scene == SCENE_FUNCTIONS || t->scene == SCENE_THREADS)
        forget_filter(t);
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
    size_t page = terminal_body_height() ? terminal_body_height() : 1;
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
    init_pair(PAIR_CHOSEN, COLOR_CYAN, -1);
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
            terminal_draw(t);
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
    forget_filter(t);
    free(t->chosen);
    mirror_free(t->mirror);
    sem_destroy(&t->went_on);
    free(t);
}
