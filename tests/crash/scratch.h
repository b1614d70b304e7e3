/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in memory, where there is a file system for that. */
#ifndef CENOTE_TESTS_CRASH_SCRATCH_H
#define CENOTE_TESTS_CRASH_SCRATCH_H

#include "tests/crash/disk.h"

/* A name in a fresh directory; it isn't made yet. */
void scratch_make(char out[DISK_PATH_MAX]);
/* With all that is in it. */
void scratch_remove(const char *dir);

#endif
