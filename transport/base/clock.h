/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Leases, time-outs and heartbeats use the monotonic one only. */
#ifndef CENOTE_BASE_CLOCK_H
#define CENOTE_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic time that goes on while the machine sleeps (CLOCK_BOOTTIME). */
uint64_t clock_now_ms(void);
uint64_t clock_now_ns(void);

/* Wall clock, milliseconds since 1970: shown to people, never compared. */
uint64_t clock_wall_ms(void);

#endif
