/* SPDX-License-Identifier: MIT */
#include "symbols/debuginfod.h"

#include <errno.h>
#include <stdlib.h>

#if OX_HAVE_DEBUGINFOD
#include <dlfcn.h>
#include <elfutils/debuginfod.h>

/* What is used of the library. */
struct library {
    __typeof__(debuginfod_begin) *begin;
    __typeof__(debuginfod_find_debuginfo) *find_debuginfo;
    __typeof__(debuginfod_end) *end;
};

/* It stays loaded: curl and its TLS library, which it brings along, do not like to be unloaded. */
static int load(struct library *ret_library)
{
    void *handle = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    struct library lib;
    if (!handle)
        return -ENODATA;
    *(void **)&lib.begin = dlsym(handle, "debuginfod_begin");
    *(void **)&lib.find_debuginfo = dlsym(handle, "debuginfod_find_debuginfo");
    *(void **)&lib.end = dlsym(handle, "debuginfod_end");
    if (!lib.begin || !lib.find_debuginfo || !lib.end)
        return -ENODATA;
    *ret_library = lib;
    return 0;
}

int debuginfod_fetch(const uint8_t *build_id, size_t bytes, struct heartbeat *heartbeat)
{
    struct library lib;
    const char *servers = secure_getenv("DEBUGINFOD_URLS");
    if (!servers || !servers[0] || load(&lib) < 0)
        return -ENODATA;
    setenv("DEBUGINFOD_MAXTIME", "60", 0);
    setenv("DEBUGINFOD_MAXSIZE", "2147483648", 0);
    debuginfod_client *client = lib.begin();
    if (!client)
        return -ENODATA;
    heartbeat_download(heartbeat, true);
    int fd = lib.find_debuginfo(client, build_id, (int)bytes, NULL);
    heartbeat_download(heartbeat, false);
    lib.end(client);
    return fd < 0 ? -ENODATA : fd;
}

#else

int debuginfod_fetch(const uint8_t *build_id, size_t bytes, struct heartbeat *heartbeat)
{
    (void)build_id, (void)bytes, (void)heartbeat;
    return -ENODATA;
}

#endif
