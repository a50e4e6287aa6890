/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>

#include "profile/profile.h"

static const char *thread_name(const struct profile *p, uint32_t thread)
{
    return intern_get(p->strings, p->threads[thread].name);
}

Test(profile, names_of_kinds_and_losses)
{
    static const char *const kinds[] = {"native", "python", "jit", "kernel", "unknown"};
    for (unsigned i = 0; i < KIND_N; i++)
        cr_assert_str_eq(frame_kind_name((enum frame_kind)i), kinds[i]);
    cr_assert_str_eq(loss_name(LOSS_UNWIND), "unwind");
    cr_assert_str_eq(loss_name(LOSS_NOT_STOPPED), "not stopped");
    cr_assert_str_eq(loss_name(LOSS_PERF), "lost by perf");
    for (unsigned i = 0; i < LOSS_N; i++)
        cr_assert_not_null(loss_name((enum loss)i), "%u", i);
}

Test(profile, a_frame_is_known_by_its_key)
{
    struct profile *p = profile_new(NULL);
    uint32_t a = profile_frame(p, 1, 0x10), b = profile_frame(p, 2, 0x10);
    cr_assert_neq(a, PROFILE_NO_FRAME);
    cr_assert_neq(a, b);
    cr_assert_eq(profile_frame(p, 1, 0x10), a);
    cr_assert_eq(p->frames[a].space, 1);
    cr_assert_eq(p->frames[a].address, 0x10);
    cr_assert_eq(p->frames[a].kind, KIND_UNKNOWN);
    cr_assert_eq(p->frames[a].n_lines, 1);
    cr_assert_eq(p->lines[p->frames[a].first_line].function, 0);
    uint32_t zero = profile_frame(p, 0, 0);
    cr_assert_neq(zero, PROFILE_NO_FRAME, "key 0, 0 is an address like any other");
    profile_free(p);
    profile_free(NULL);
}

Test(profile, a_thread_takes_its_last_name)
{
    struct profile *p = profile_new(NULL);
    uint32_t t = profile_thread(p, 7, 8, "app");
    cr_assert_eq(profile_thread(p, 7, 8, "worker"), t);
    cr_assert_str_eq(thread_name(p, t), "worker");
    cr_assert_neq(profile_thread(p, 7, 7, "app"), t);
    cr_assert_eq(p->n_threads, 2);
    profile_free(p);
}

Test(profile, a_stack_is_counted_per_thread_and_state)
{
    struct profile *p = profile_new(NULL);
    uint32_t f[] = {profile_frame(p, 1, 1), profile_frame(p, 1, 2), profile_frame(p, 1, 1)};
    uint32_t t = profile_thread(p, 7, 7, "a"), u = profile_thread(p, 7, 8, "b");
    uint32_t cpu = profile_stack(p, f, 3, t, PROFILE_CPU);
    uint32_t wait = profile_stack(p, f, 3, t, PROFILE_WAIT);
    uint32_t second = profile_stack(p, f, 3, u, PROFILE_CPU);
    uint32_t shorter = profile_stack(p, f, 2, t, PROFILE_CPU);
    cr_assert_eq(profile_stack(p, f, 3, t, PROFILE_CPU), cpu);
    cr_assert_eq(p->n_tallies, 4);
    cr_assert_eq(p->n_nodes, 4);
    profile_hit(p, cpu, 2);
    profile_hit(p, wait, 10);
    profile_hit(p, second, 5);
    profile_hit(p, shorter, 1);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 8);
    cr_assert_eq(profile_samples(p, PROFILE_WAIT), 10);

    uint32_t leaf = p->tallies[cpu].node, parent = p->nodes[leaf].parent;
    cr_assert_eq(p->nodes[leaf].frame, f[2]);
    cr_assert_eq(parent, p->tallies[shorter].node);
    cr_assert_eq(p->nodes[p->nodes[parent].parent].parent, 0);
    cr_assert_eq(p->folded + p->unattributed, 0);
    profile_free(p);
}

Test(profile, past_the_nodes_stacks_fold_into_their_parents)
{
    struct profile *p = profile_new(&(struct profile_limits){.nodes = 2});
    uint32_t f[] = {profile_frame(p, 1, 1), profile_frame(p, 1, 2), profile_frame(p, 1, 3)};
    uint32_t t = profile_thread(p, 7, 7, "a");
    uint32_t whole = profile_stack(p, f, 2, t, PROFILE_CPU);
    uint32_t cut = profile_stack(p, f, 3, t, PROFILE_CPU);
    cr_assert_neq(cut, whole, "what was cut is told from what is whole");
    cr_assert_eq(p->tallies[cut].node, p->tallies[whole].node);
    profile_hit(p, whole, 4);
    cr_assert_eq(p->folded, 0);
    profile_hit(p, cut, 3);
    cr_assert_eq(p->folded, 3);
    cr_assert_eq(p->n_nodes, 3);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 7);

    uint32_t alone = profile_stack(p, &f[2], 1, t, PROFILE_CPU);
    cr_assert_eq(p->tallies[alone].node, 0, "no known parent: the root");
    profile_free(p);
}

Test(profile, past_the_frames_a_stack_is_cut_before_the_unknown_one)
{
    struct profile *p = profile_new(&(struct profile_limits){.frames = 2});
    uint32_t f[] = {profile_frame(p, 1, 1), profile_frame(p, 1, 3), profile_frame(p, 1, 2)};
    cr_assert_neq(f[1], PROFILE_NO_FRAME);
    cr_assert_eq(f[2], PROFILE_NO_FRAME);
    cr_assert_eq(profile_frame(p, 1, 1), f[0]);
    uint32_t stack[] = {f[0], f[2], f[1]};
    uint32_t tally = profile_stack(p, stack, 3, profile_thread(p, 7, 7, "a"), PROFILE_CPU);
    cr_assert_eq(p->nodes[p->tallies[tally].node].frame, f[0]);
    cr_assert(p->tallies[tally].folded);
    profile_free(p);
}

Test(profile, past_the_threads_there_is_one_called_other)
{
    struct profile *p = profile_new(&(struct profile_limits){.threads = 2});
    uint32_t f = profile_frame(p, 1, 1);
    uint32_t first = profile_thread(p, 7, 7, "a");
    profile_thread(p, 7, 8, "b");
    uint32_t third = profile_thread(p, 7, 9, "c");
    cr_assert_eq(profile_thread(p, 7, 10, "d"), third);
    cr_assert_eq(third, p->other_thread);
    cr_assert_str_eq(thread_name(p, third), "[other]");
    cr_assert_eq(profile_thread(p, 7, 7, "a"), first);
    cr_assert_eq(p->n_threads, 3);
    profile_hit(p, profile_stack(p, &f, 1, third, PROFILE_WAIT), 6);
    profile_hit(p, profile_stack(p, &f, 1, first, PROFILE_WAIT), 1);
    cr_assert_eq(p->unattributed, 6);
    cr_assert_eq(p->folded, 0);
    profile_free(p);
}

Test(profile, past_the_tallies_the_stack_stays_and_the_thread_is_other)
{
    struct profile *p = profile_new(&(struct profile_limits){.nodes = 2});
    uint32_t f[] = {profile_frame(p, 1, 1), profile_frame(p, 1, 2)};
    for (int i = 0; i < 50; i++) {
        uint32_t t = profile_thread(p, 7, 7 + i, "a");
        profile_hit(p, profile_stack(p, f, 2, t, PROFILE_CPU), 1);
        profile_hit(p, profile_stack(p, f, 1, t, PROFILE_WAIT), 1);
    }
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 50);
    cr_assert_eq(profile_samples(p, PROFILE_WAIT), 50);
    cr_assert_eq(p->unattributed, 98);
    cr_assert_eq(p->folded, 0);
    cr_assert_eq(p->n_tallies, 4);
    for (size_t i = 0; i < p->n_tallies; i++)
        cr_assert_neq(p->tallies[i].node, 0);
    profile_free(p);
}

Test(profile, a_reset_keeps_the_numbers)
{
    struct profile *p = profile_new(&(struct profile_limits){.nodes = 1});
    uint32_t f[] = {profile_frame(p, 1, 1), profile_frame(p, 1, 2)};
    uint32_t t = profile_thread(p, 7, 7, "a");
    uint32_t cut = profile_stack(p, f, 2, t, PROFILE_CPU);
    profile_hit(p, cut, 5);
    p->lost[LOSS_LATE] = p->truncated = p->ticks = p->ticks_missed = p->duration_ns = 9;
    p->cost.stops = 3;
    p->threads_seen = 1;
    profile_reset(p);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 0);
    cr_assert_eq(p->lost[LOSS_LATE] + p->truncated + p->ticks + p->ticks_missed + p->duration_ns,
                 0);
    cr_assert_eq(p->folded + p->cost.stops, 0);
    cr_assert_eq(p->threads_seen, 1);
    cr_assert_eq(profile_stack(p, f, 2, t, PROFILE_CPU), cut);
    profile_hit(p, cut, 2);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 2);
    cr_assert_eq(p->folded, 2);
    profile_free(p);
}
