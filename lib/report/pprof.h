/* SPDX-License-Identifier: MIT */
#ifndef REPORT_PPROF_H
#define REPORT_PPROF_H

/*
 * What the writer and the reader of saved profiles share: the field numbers of profile.proto
 * (github.com/google/pprof/blob/main/proto/profile.proto), and how oxprof uses it.
 */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING = 6,
    PROFILE_TIME_NS = 9,
    PROFILE_DURATION_NS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_TYPE = 14,

    VALUE_TYPE = 1,
    VALUE_UNIT = 2,

    SAMPLE_LOCATIONS = 1,
    SAMPLE_VALUES = 2,
    SAMPLE_LABEL = 3,

    LABEL_KEY = 1,
    LABEL_STRING = 2,
    LABEL_NUMBER = 3,

    MAPPING_ID = 1,
    MAPPING_START = 2,
    MAPPING_LIMIT = 3,
    MAPPING_OFFSET = 4,
    MAPPING_FILE = 5,
    MAPPING_BUILD_ID = 6,
    MAPPING_HAS_FUNCTIONS = 7,
    MAPPING_HAS_FILES = 8,
    MAPPING_HAS_LINES = 9,
    MAPPING_HAS_INLINES = 10,

    LOCATION_ID = 1,
    LOCATION_MAPPING = 2,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,

    LINE_FUNCTION = 1,
    LINE_LINE = 2,

    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
    FUNCTION_LINKAGE_NAME = 3,
    FUNCTION_FILE = 4,
    FUNCTION_START = 5,
};

/*
 * Comments hold what profile.proto has no field for, one figure each: "oxprof:ticks=502".
 * A mapping's file is the module's path; where the code is not native, its kind stands before:
 * "[python]", "[jit] /srv/a.jar". Readers leave mappings in brackets alone.
 */
#define PPROF_COMMENT "oxprof:"
#define PPROF_TITLE "title"
#define PPROF_MODE "mode"
/* Values of the label "state". */
#define PPROF_STATE_CPU "cpu"
#define PPROF_STATE_WAIT "wait"
/* The label that says what a waiting sample waits for: "epoll_wait", "read: /var/lib/x.db". */
#define PPROF_WAIT "wait"

#endif
