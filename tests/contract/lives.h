/* SPDX-License-Identifier: Apache-2.0 */
/* Lives of a node whose memory stays, and its directory of slots. */
#ifndef CENOTE_TESTS_CONTRACT_LIVES_H
#define CENOTE_TESTS_CONTRACT_LIVES_H

#include <unistd.h>

#include "tests/contract/rig.h"

/* For mkdtemp(). */
#define LIVES_DIRECTORY "/dev/shm/cenote-test-XXXXXX"

/* The next life: what the last one had in its process is gone, what it kept in files is there. It
 * has the same boot, so that only the slots can tell. */
void lives_begin(struct rig *r, const char *slots_dir);
int lives_count_files(const char *dir);
void lives_wait_empty(const char *dir);

#endif
