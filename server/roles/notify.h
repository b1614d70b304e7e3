/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd tells its services and wants to be told (sd_notify(3), sd-daemon(3)), without its
 * library. */
#ifndef CENOTE_SERVER_NOTIFY_H
#define CENOTE_SERVER_NOTIFY_H

#include <stdbool.h>

/* Tells the service manager that started this process, if it wants to know ($NOTIFY_SOCKET), e.g.
 * "READY=1". A lost message is logged, and nobody's error. */
void notify_manager(const char *state);

/* Does stderr end in the journal ($JOURNAL_STREAM), which wants to know how urgent a line is? */
bool notify_journal_listens(void);

#endif
