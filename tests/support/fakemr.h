/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that register memory and do nothing else. A registration remembers the mark of its
 * memory, by which a test tells whether it is still the memory that was registered.
 */
#ifndef CENOTE_TESTS_FAKEMR_H
#define CENOTE_TESTS_FAKEMR_H

#include "transport/rdma/device.h"

struct fake_mr {
    uintptr_t begin, end;
    int access;
    int dmabuf_fd; /* -1: none */
    uint64_t mark; /* what stood at fake_mark_at(begin); 0 where that isn't in it */
    unsigned device;
};

/* Named fake0, fake1, ...; NULL: no memory. One set at a time. */
struct rdma_devices *fake_devices_new(unsigned count);
/* All registrations have ended. */
void fake_devices_free(struct rdma_devices *d);

/* Where the mark of memory that begins there is: in the middle of its first whole page. */
uint64_t *fake_mark_at(uintptr_t begin);

/* Registrations alive, and ever made. Any thread. */
unsigned fake_alive(void);
unsigned fake_made(void);
/* Copies the registration of this key; false: it isn't alive. Any thread. */
bool fake_mr_of(uint32_t lkey, struct fake_mr *out);
/* The n-th registration from now on, counted from 1, and all behind it fail with this errno; 0:
 * none does. */
void fake_fail_from(unsigned n, int error);
/* As the limit of locked memory; 0: none. */
void fake_limit_bytes(uint64_t most);
/* Registering waits until so many threads do it at once, or a second has passed; returns how many
 * it were at most since the last call. */
unsigned fake_expect_threads(unsigned count);
/* Whether the library has reg_dmabuf_mr(). */
void fake_dmabuf(struct rdma_devices *d, bool there);

#endif
