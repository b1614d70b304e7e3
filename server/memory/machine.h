/* SPDX-License-Identifier: Apache-2.0 */
/* What cenoted asks of the machine: limits, memory, and places for its files. */
#ifndef CENOTE_SERVER_MACHINE_H
#define CENOTE_SERVER_MACHINE_H

#include <stddef.h>
#include <stdint.h>

struct machine_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; /* without pushing anybody else out */
};

/* The kernel's figures, or those of this process's control group where they are lower. */
void machine_memory(struct machine_memory *out);

/* Bytes of a NUMA node that are free, or hold nothing but cached files. UINT64_MAX: unknown. */
uint64_t machine_numa_available(unsigned node);

/* Raises the limit of open descriptors as far as it goes. */
void machine_raise_descriptors(void);

/* Makes dir (mode 0700) and its parents. CENOTE_OK or CENOTE_IO, logged. */
int machine_make_dir(const char *dir);
/* The default data directory: /var/lib/cenote, or below $XDG_STATE_HOME when not root. */
void machine_data_dir(char *out, size_t size);

/* host-pid-random, at most size - 1 bytes. */
void machine_node_name(char *out, size_t size);

#endif
