/* SPDX-License-Identifier: MIT */
/*
 * Copying all that is stored from one database to another, of any kinds, by
 * what backends have in common. For main.c, instead of running the server.
 */
#ifndef CORE_COPY_STORE_H
#define CORE_COPY_STORE_H

/*
 * From the database of one configuration (NULL: the usual one) to the empty
 * one of another. Tells on stdout how far it is, on stderr what went wrong;
 * the exit status.
 */
int copy_store(const char *from_conf, const char *to_conf);

#endif
