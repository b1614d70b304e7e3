/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's software RDMA devices (tests/vm), as tests need them: what a test does to them, what
 * the kernel counts there, and the errors that are logged meanwhile. What can't be done ends the
 * program.
 */
#ifndef CENOTE_TESTS_SOFTRDMA_H
#define CENOTE_TESTS_SOFTRDMA_H

#include <stdbool.h>
#include <stdint.h>

/* Is there a device of this name? */
bool softrdma_has(const char *device);
/* vm-net with these words, formatted. Takes 0.1 to 0.4 s, in which everything else goes on. */
void softrdma_net(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Takes a network device away, with the other end of its wire: both are down at once, and gone with
 * their RDMA devices when nobody has these open any more. */
void softrdma_pull(const char *network_device);

/* What the kernel has, of all devices and processes together. */
struct softrdma_counts {
    uint32_t pds, cqs, qps, mrs;
};
struct softrdma_counts softrdma_counts(void);
/* Waits until there is no more than there was then: what ends does so in its own time. */
void softrdma_await(const struct softrdma_counts *then);

/* Lines of level error are counted from now on and shown, with others up to the level that is
 * set. */
void softrdma_watch_log(void);
/* Since the last time. */
uint32_t softrdma_errors(void);

#endif
