/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main for fuzz targets in builds without libFuzzer: replays a corpus. Each file is given whole
 * and cut short, since a parser of a stream meets every beginning: at so many lengths, or at all of
 * them if it has fewer.
 *
 * Usage: NAME CUTS DIRECTORY...
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1u << 20)
#define PATH_MAX_BYTES 4096

static size_t cuts_max;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly this size, so that AddressSanitizer sees a read behind its end. */
static bool replay_bytes(const uint8_t *data, size_t len_bytes)
{
    uint8_t *copy = malloc(len_bytes > 0 ? len_bytes : 1);
    if (copy == NULL)
        return false;
    memcpy(copy, data, len_bytes);
    LLVMFuzzerTestOneInput(copy, len_bytes);
    free(copy);
    return true;
}

static bool replay_file(const char *path)
{
    static uint8_t bytes[FILE_MAX_BYTES];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t len_bytes = fread(bytes, 1, sizeof bytes, file);
    bool ok = ferror(file) == 0 && fgetc(file) == EOF;
    fclose(file);
    size_t step = cuts_max == 0 ? len_bytes + 1 : len_bytes / cuts_max + 1;
    for (size_t cut = 0; ok && cut < len_bytes; cut += step)
        ok = replay_bytes(bytes, cut);
    return ok && replay_bytes(bytes, len_bytes);
}

/* Number of files replayed; -1: one could not be read. */
static int replay_directory(const char *directory)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return -1;
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(entries)) != NULL;) {
        char path[PATH_MAX_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        int len = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        bool ok = len > 0 && (size_t)len < sizeof path && replay_file(path);
        if (!ok)
            fprintf(stderr, "can't replay %s\n", path);
        count = ok ? count + 1 : -1;
    }
    closedir(entries);
    return count;
}

int main(int argc, char **argv)
{
    cuts_max = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    for (int i = 2; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "no corpus in %s\n", argv[i]);
            return 1;
        }
        printf("%s: %d files\n", argv[i], count);
    }
    return argc > 2 ? 0 : 2;
}
