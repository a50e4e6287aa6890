/* SPDX-License-Identifier: MIT */
#include "unwind/learnt.h"

#include "target/snapshot.h"

enum tag {
    WANTED, /* value: how often asked for */
    KNOWN,  /* value: the distance */
    LOOSE,  /* the same; see learnt_loosen() */
    VARIES, /* it was not the same twice */
    TAGS = 4
};
enum { TEACH_MAX = 3, DISTANCE_MAX = SNAPSHOT_STACK_MAX_BYTES, PLACES_MAX = 16384 };

void learnt_release(struct learnt *l)
{
    map_release(&l->places);
}

bool learnt_want(struct learnt *l, uint64_t place)
{
    const uint64_t *entry = map_find(&l->places, place, 0);
    uint64_t asked = entry ? *entry / TAGS : 0;
    if ((entry && *entry % TAGS != WANTED) || l->places.n >= PLACES_MAX)
        return false;
    map_put(&l->places, place, 0, (asked + 1) * TAGS + WANTED);
    return asked < TEACH_MAX;
}

bool learnt_recall(const struct learnt *l, uint64_t place, uint64_t *ret_distance)
{
    const uint64_t *entry = map_find(&l->places, place, 0);
    if (!entry || (*entry % TAGS != KNOWN && *entry % TAGS != LOOSE))
        return false;
    *ret_distance = *entry / TAGS;
    return true;
}

bool learnt_teach(struct learnt *l, uint64_t place, uint64_t distance)
{
    uint64_t *entry = map_find(&l->places, place, 0);
    if (!entry)
        return false;
    if (*entry % TAGS == WANTED && distance <= DISTANCE_MAX) {
        *entry = distance * TAGS + KNOWN;
        return true;
    }
    if (*entry % TAGS == WANTED || *entry / TAGS != distance)
        *entry = VARIES;
    return false;
}

void learnt_loosen(struct learnt *l, uint64_t place)
{
    uint64_t *entry = map_find(&l->places, place, 0);
    if (entry && *entry % TAGS == KNOWN)
        *entry = *entry / TAGS * TAGS + LOOSE;
}

bool learnt_is_loose(const struct learnt *l, uint64_t place)
{
    const uint64_t *entry = map_find(&l->places, place, 0);
    return entry && *entry % TAGS == LOOSE;
}
