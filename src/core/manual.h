/* SPDX-License-Identifier: MIT */
#ifndef CORE_MANUAL_H
#define CORE_MANUAL_H

/*
 * Prints the rows of rookery.yml(5), in mdoc(7): all options of the core and
 * of every module there is, to stdout. Before anything has been started.
 */
void manual_print_options(void);

#endif
