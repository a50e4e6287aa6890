/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "stepper.h"

enum { PLACES_SHOWN = 200 };

struct region *stepper_region(struct stepper *s)
{
    return &s->regions[s->n_regions - 1];
}

void stepper_region_begin(struct stepper *s, const char *name)
{
    if (s->n_regions < REGIONS_MAX)
        s->n_regions++;
    snprintf(stepper_region(s)->name, sizeof(stepper_region(s)->name), "%s", name);
}

bool stepper_same(const struct oracle_stack *a, const struct oracle_stack *b)
{
    return a->n == b->n && !memcmp(a->addrs, b->addrs, a->n * sizeof(a->addrs[0]));
}

static size_t common(const struct oracle_stack *a, const struct oracle_stack *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->addrs[n] == b->addrs[n])
        n++;
    return n;
}

static void show_stack(struct stepper *s, const char *whose, const struct oracle_stack *st,
                       char **at, const char *end)
{
    char buf[256];
    *at += snprintf(*at, (size_t)(end - *at), "      %s:", whose);
    for (size_t i = 0; i < st->n && i < 6 && *at < end; i++)
        *at += snprintf(*at, (size_t)(end - *at), "%s %s", i ? "," : "",
                        living_place(&s->living, st->addrs[i], !i, buf, sizeof(buf)));
    if (*at < end)
        *at += snprintf(*at, (size_t)(end - *at), "%s [%zu]\n", st->n > 6 ? ", ..." : "", st->n);
    if (*at > end)
        *at = (char *)end;
}

/* The last frame that ours and the wanted stack share. */
struct astray {
    size_t at;
    bool ours_ends; /* there, and says that it is not whole */
    bool ok[2];     /* the oracles' */
};

/*
 * What is known to be wrong, by its place, and why. "": not known.
 */
static const char *reason_of(struct stepper *s, const struct astray *a)
{
    bool all_wrong = !a->ok[0] && !a->ok[1];
    bool edge = s->n_regions == 1 || !strcmp(stepper_region(s)->name, "after");
    bool bare = by_elfutils_cfi(s->elfutils, s->wanted.addrs[a->at] -
                                                 !stepper_is_exact(s, a->at)) == ORACLE_CFI_NONE;
    if (s->bare && (s->n_regions == 1 || (all_wrong && bare)))
        return "a C library without CFI";
    if (all_wrong && bare && edge)
        return "the compiler's crt files have no CFI";
    for (size_t i = 0; i < 3 && i < s->wanted.n; i++)
        if (all_wrong && stepper_is_in(s, i, "_Unwind_"))
            return "landing of an exception: return addresses and registers are being replaced";
    return "";
}

static struct place *place_of(struct stepper *s, const char *text, const char *reason)
{
    for (size_t i = 0; i < s->n_places; i++)
        if (!strcmp(s->places[i].text, text) && s->places[i].reason == reason)
            return &s->places[i];
    if (s->n_places == PLACES_MAX) {
        s->places_lost++;
        return NULL;
    }
    struct place *p = &s->places[s->n_places++];
    snprintf(p->text, sizeof(p->text), "%s", text);
    p->region = s->n_regions - 1;
    p->reason = reason;
    return p;
}

void stepper_ask_oracles(struct stepper *s, bool ok[2], struct oracle_stack *found)
{
    by_libunwind_walk(s->libunwind, &s->snap, &s->living.process.maps, &found[0]);
    ok[0] = stepper_same(&found[0], &s->wanted);
    by_elfutils_walk(s->elfutils, &s->snap, &s->living.process.maps, &found[1]);
    ok[1] = stepper_same(&found[1], &s->wanted);
    s->oracle_wrong[0] += !ok[0];
    s->oracle_wrong[1] += !ok[1];
}

void stepper_note_wrong(struct stepper *s, const struct oracle_stack *ours)
{
    static struct oracle_stack found[2];
    struct astray a = {0};
    char text[256], where[200];
    size_t n = common(ours, &s->wanted);
    a.at = n ? n - 1 : 0;
    a.ours_ends = n == ours->n && s->walked.end != STACK_COMPLETE;
    living_place(&s->living, s->wanted.addrs[a.at], stepper_is_exact(s, a.at), where,
                 sizeof(where));
    snprintf(text, sizeof(text), "%s%s", where, a.at ? " called" : "");
    stepper_ask_oracles(s, a.ok, found);
    stepper_region(s)->libunwind_wrong += !a.ok[0];
    stepper_region(s)->elfutils_wrong += !a.ok[1];
    const char *reason = reason_of(s, &a);
    struct place *p = place_of(s, text, reason);
    if (reason[0])
        stepper_region(s)->known++;
    else if (s->walked.end != STACK_COMPLETE)
        stepper_region(s)->incomplete++;
    else
        stepper_region(s)->wrong++;
    if (!p || p->n++)
        return;
    char *at = p->example, *end = p->example + sizeof(p->example);
    at += snprintf(at, (size_t)(end - at), "      %s; libunwind %s, elfutils %s\n",
                   living_stack_end(s->walked.end), a.ok[0] ? "right" : "wrong",
                   a.ok[1] ? "right" : "wrong");
    show_stack(s, "wanted", &s->wanted, &at, end);
    show_stack(s, "ours", ours, &at, end);
    show_stack(s, "libunwind", &found[0], &at, end);
    show_stack(s, "elfutils", &found[1], &at, end);
}

enum { KNOWN_AT_MOST = 40 }; /* one in so many */

static void show_region(const struct region *r)
{
    printf("%-16s %9" PRIu64 " %10" PRIu64 " %7" PRIu64 " %7" PRIu64 " %9" PRIu64 " %15" PRIu64
           " %14" PRIu64 "\n",
           r->name, r->steps, r->incomplete, r->wrong, r->known, r->two_wrong, r->libunwind_wrong,
           r->elfutils_wrong);
}

bool stepper_show_regions(const struct stepper *s)
{
    struct region all = {.name = "all"};
    printf("%-16s %9s %10s %7s %7s %9s %15s %14s\n", "region", "steps", "incomplete", "wrong",
           "known", "two wrong", "libunwind wrong", "elfutils wrong");
    for (size_t i = 0; i < s->n_regions; i++) {
        const struct region *r = &s->regions[i];
        show_region(r);
        all.steps += r->steps, all.incomplete += r->incomplete, all.wrong += r->wrong;
        all.known += r->known, all.two_wrong += r->two_wrong;
        all.libunwind_wrong += r->libunwind_wrong, all.elfutils_wrong += r->elfutils_wrong;
    }
    show_region(&all);
    if (s->ask_all)
        printf("of those and one in %d of the others: libunwind %" PRIu64
               " wrong, elfutils %" PRIu64 " wrong\n",
               ASK_EVERY, s->oracle_wrong[0], s->oracle_wrong[1]);
    if (!s->bare && all.known > all.steps / KNOWN_AT_MOST)
        printf("more than is known: one in %d\n", KNOWN_AT_MOST);
    return all.incomplete + all.wrong + all.two_wrong == 0 &&
           (s->bare || all.known <= all.steps / KNOWN_AT_MOST);
}

/* One example for each function. */
void stepper_show_places(const struct stepper *s)
{
    const char *before = "";
    for (size_t i = 0; i < s->n_places && i < PLACES_SHOWN; i++) {
        const struct place *p = &s->places[i];
        size_t function = strcspn(p->text, "+");
        printf("  %6" PRIu64 " times from %s, in %s%s%s\n%s", p->n, p->text,
               s->regions[p->region].name, p->reason[0] ? "; known: " : "", p->reason,
               strncmp(before, p->text, function + 1) ? p->example : "");
        before = p->text;
    }
    if (s->n_places > PLACES_SHOWN)
        printf("  and %zu other places\n", s->n_places - PLACES_SHOWN + (size_t)s->places_lost);
}
