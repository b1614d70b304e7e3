/* SPDX-License-Identifier: Apache-2.0 */
/* SIGHUP: the configuration is read again, and what may change while the daemon runs is taken. */
#ifndef CENOTE_SERVER_RELOAD_H
#define CENOTE_SERVER_RELOAD_H

#include "server/config/options.h"
#include "server/roles/meta_role.h"
#include "server/roles/node_role.h"

/* Reads file, environment and arguments anew, and compares with *now. Says, per option that
 * differs, whether it was taken (*now holds it then) or needs a restart. If anything is wrong, says
 * what, and changes nothing. meta, node: NULL where the process hasn't the role. For the thread
 * that owns *now. */
void reload(struct options *now, int argc, char **argv, struct meta_role *meta,
            struct node_role *node);

#endif
