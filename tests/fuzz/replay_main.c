/* SPDX-License-Identifier: MIT */
/* Feeds every file of a corpus folder to the harness, and the empty input. usage: replay FOLDER */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

enum { INPUT_MAX_BYTES = 1024 * 1024 };

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX_BYTES);
    if (!file || !data) {
        perror(path);
        return 1;
    }
    size_t bytes = fread(data, 1, INPUT_MAX_BYTES, file);
    fclose(file);
    /* its own block: a sanitizer sees the first byte read behind it */
    data = realloc(data, bytes ? bytes : 1);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    unsigned files = 0;
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        failed |= replay_file(argv[1], entry->d_name);
        files++;
    }
    closedir(dir);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("%u inputs\n", files);
    return failed || files == 0;
}
