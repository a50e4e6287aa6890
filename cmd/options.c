/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/options.h"

enum {
    LONG_ONLY = 256, /* above every character */
};

/* getopt's tables, made from the rules: an option answers LONG_ONLY + its place, or its letter. */
struct getopt_tables {
    struct option longs[OPTION_RULES + 1];
    char shorts[2 * OPTION_RULES + 4];
};

static void make_tables(struct getopt_tables *t, unsigned sets)
{
    size_t n = 0, at = 0;
    *t = (struct getopt_tables){0};
    if (!(sets & OPTIONS_FILES))
        t->shorts[at++] = '+'; /* options end at the first word */
    t->shorts[at++] = ':';     /* messages are ours */
    for (int i = 0; i < OPTION_RULES; i++) {
        if (option_rules[i].sets && !(option_rules[i].sets & sets))
            continue;
        t->longs[n++] =
            (struct option){option_rules[i].name, option_rules[i].takes_value, NULL, LONG_ONLY + i};
        if (!option_rules[i].letter)
            continue;
        t->shorts[at++] = option_rules[i].letter;
        if (option_rules[i].takes_value)
            t->shorts[at++] = ':';
    }
}

static const struct option_rule *rule_of(int code)
{
    if (code >= LONG_ONLY)
        return &option_rules[code - LONG_ONLY];
    for (int i = 0; i < OPTION_RULES; i++)
        if (option_rules[i].letter == code)
            return &option_rules[i];
    return NULL;
}

/* Whether another subcommand has it; word: "--rate" or "--rate=5". */
static bool long_elsewhere(const char *word)
{
    for (int i = 0; i < OPTION_RULES; i++) {
        size_t len = strlen(option_rules[i].name);
        if (!strncmp(word, "--", 2) && !strncmp(word + 2, option_rules[i].name, len) &&
            strchr("=", word[2 + len]))
            return true;
    }
    return false;
}

/* A letter may stand among others: the word that it is in is not known before the last of them. */
static bool complain_letter(void)
{
    char letter[8];
    escape_text(letter, sizeof(letter), (char[]){(char)optopt, '\0'}, NULL);
    if (rule_of(optopt))
        say("option '-%s' is none of this command's (see oxprof help)", letter);
    else
        say("unknown option '-%s' (see oxprof --help)", letter);
    return false;
}

static bool complain(int code, char **argv)
{
    char word[300];
    escape_text(word, sizeof(word), argv[optind - 1], NULL);
    if (code == ':')
        say("option '%s' needs a value (see oxprof --help)", word);
    else if (optopt >= LONG_ONLY)
        say("option '%s' takes no value (see oxprof --help)", word);
    else if (optopt > 0)
        return complain_letter();
    else if (long_elsewhere(argv[optind - 1]))
        say("option '%s' is none of this command's (see oxprof help)", word);
    else
        say("unknown or ambiguous option '%s' (see oxprof --help)", word);
    return false;
}

static void set_defaults(struct options *opt)
{
    *opt = (struct options){
        .session = {.interval_ns = OX_NS_PER_S / 100, .demangle = DEMANGLE_FULL},
        .report = {.version = OX_VERSION},
        .default_format = "text",
    };
}

void options_release(struct options *opt)
{
    if (opt->report.focus)
        regfree(&opt->focus);
    if (opt->calls)
        regfree(&opt->calls_re);
    if (opt->report.ignore)
        regfree(&opt->ignore);
}

bool options_fit_format(const struct options *opt, const char *format)
{
    if (!opt->row_option || report_has_table(format))
        return true;
    say("--%s is for formats with rows, -f %s has none", opt->row_option, format);
    return false;
}

bool options_parse(struct options *opt, int argc, char **argv, unsigned sets)
{
    struct getopt_tables tables;
    make_tables(&tables, sets);
    set_defaults(opt);
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1;) {
        const struct option_rule *rule = code == '?' || code == ':' ? NULL : rule_of(code);
        if (!rule)
            return complain(code, argv);
        if (!rule->read(opt, optarg))
            return false;
        if (rule->sets & OPTIONS_ROWS)
            opt->row_option = rule->name;
    }
    if (sets & OPTIONS_FILES) {
        opt->files = argv + optind;
        opt->n_files = (size_t)(argc - optind);
        return true;
    }
    bool after_dashes = optind > 1 && !strcmp(argv[optind - 1], "--");
    if (optind == argc)
        return true;
    if (after_dashes && (sets & OPTIONS_SAMPLE)) {
        opt->command = argv + optind;
        return true;
    }
    char word[300];
    escape_text(word, sizeof(word), argv[optind], NULL);
    if (sets & OPTIONS_SAMPLE)
        say("unexpected word '%s' (to run a program: oxprof [OPTIONS] -- %s)", word, word);
    else
        say("unexpected word '%s'", word);
    return false;
}
