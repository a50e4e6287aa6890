/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"
#include "live/web.h"

/* `oxprof serve`: the run's page. */
struct serving {
    const struct options *opt;
    struct listening listening;
    struct users *users;
    struct feed *feed;
    struct web *web;
    struct calls *calls;
};

static int begin(void *arg)
{
    struct serving *s = arg;
    struct error err;
    s->feed = feed_new();
    if (web_start(&s->web, s->feed, &s->listening, s->users, &err) < 0) {
        say("%s", err.text);
        return EXIT_FAILED;
    }
    say("%s", web_address(s->web));
    return EXIT_DONE;
}

static void attach(void *arg, struct session *session)
{
    struct serving *s = arg;
    if (s->opt->calls) {
        s->calls = calls_new(s->opt->calls);
        calls_attach(s->calls, session);
    }
    feed_attach(s->feed, session, s->calls);
}

static bool turn(void *arg)
{
    struct serving *s = arg;
    feed_turn(s->feed);
    return false;
}

static void end(void *arg)
{
    struct serving *s = arg;
    web_end(s->web);
    s->web = NULL;
}

static int open_serving(struct serving *s)
{
    const struct options *opt = s->opt;
    struct error err;
    if (opt->users && users_read(opt->users, &s->users, &err) < 0) {
        say("--users %s: %s", opt->users, err.text);
        return EXIT_USAGE;
    }
    if (opt->allow_remote && !opt->users) {
        say("--allow-remote wants --users FILE: whoever has the address could control it");
        return EXIT_USAGE;
    }
    int rc = listening_open(&s->listening, opt->listen ? opt->listen : "127.0.0.1:0",
                            opt->allow_remote, opt->host, &err);
    if (rc == 0) {
        if (!s->listening.loopback && !opt->quiet)
            say("passwords cross the network in clear: put a proxy with TLS before it");
        return EXIT_DONE;
    }
    say("--listen %s", err.text);
    return rc == -EINVAL || rc == -EPERM ? EXIT_USAGE : EXIT_FAILED;
}

static int serve(const struct options *opt)
{
    struct serving s = {.opt = opt, .listening = {.fd = -1}};
    struct face face = {.arg = &s, .begin = begin, .attach = attach, .turn = turn, .end = end};
    int code = open_serving(&s);
    if (code == EXIT_DONE)
        code = sample_for(opt, &face);
    listening_close(&s.listening);
    users_free(s.users);
    feed_free(s.feed);
    calls_free(s.calls);
    return code;
}

int serve_main(int argc, char **argv)
{
    struct options opt;
    int code;
    if (!options_parse(&opt, argc, argv, OPTIONS_SAMPLE | OPTIONS_PRINT | OPTIONS_SERVE))
        code = EXIT_USAGE;
    else if (!help_asked(&opt, help_serve, &code))
        code = serve(&opt);
    options_release(&opt);
    return code;
}
