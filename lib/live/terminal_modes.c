/* SPDX-License-Identifier: MIT */
#include "live/terminal.h"

#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
/* clang-format off: it defines macros of common names, and so comes last */
#include <curses.h>
#include <term.h>
/* clang-format on */

bool terminal_is_known(void)
{
    int status;
    return setupterm(NULL, STDOUT_FILENO, &status) != ERR;
}

struct terminal_modes {
    struct termios modes;
};

struct terminal_modes *terminal_remember(void)
{
    struct terminal_modes *m = mem_alloc(sizeof(*m));
    if (tcgetattr(STDIN_FILENO, &m->modes) == 0)
        return m;
    free(m);
    return NULL;
}

void terminal_forget(struct terminal_modes *m)
{
    free(m);
}

void terminal_restore(struct terminal_modes *m)
{
    if (!m)
        return;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &m->modes);
    if (terminal_is_known()) {
        const char *const ends[] = {keypad_local, orig_pair, exit_attribute_mode, cursor_normal,
                                    exit_ca_mode};
        for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
            if (ends[i])
                putp(ends[i]);
        fflush(stdout);
    }
    free(m);
}
